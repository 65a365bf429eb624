"""Holds the table that requests are routed by, and the releases that requests name themselves."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from weakref import WeakKeyDictionary

from milepost.entities.errors import UnknownNameError, WorkspaceError
from milepost.serving.routing.plan import Plan, Route, Table

MOST_PINS = 4
"""Further releases of a task that are kept in memory because requests name them."""

Load = Callable[[Plan, int], Route]
"""The way to a release of a plan's task by its number, past the guards of the plan; may take long.
Raises ``UnknownNameError``."""


class Router:
    """The one place where the routing table stands.

    ``table`` is set by whoever watches the ledger, from any thread, in one assignment; each
    request reads it once. The rest is used on the event loop alone.

    Args:
        load: Loads a release that a request names, and makes the way to it.
    """

    def __init__(self, load: Load) -> None:
        self.table = Table()
        self._load = load
        # Kept by plan: with the next plan of the task its guards may be others.
        self._pins: WeakKeyDictionary[Plan, OrderedDict[int, Route]] = WeakKeyDictionary()
        self._loading: dict[tuple[Plan, int], asyncio.Task[Route]] = {}

    def plan(self, table: Table, task: str) -> Plan:
        """The plan of a task.

        Raises:
            UnknownNameError: If there is no such task; names the nearest.
            WorkspaceError: If it cannot answer; says why.
        """
        plan = table.plans.get(task)
        if plan is not None:
            return plan
        why = table.broken.get(task)
        if why is not None:
            raise WorkspaceError(f"the task {task!r} cannot answer: {why}")
        raise UnknownNameError("task", task, sorted(table.plans))

    async def pinned(self, plan: Plan, number: int) -> Route:
        """The way to a release that a request names, past the guards of the task.

        Raises:
            UnknownNameError: If there is no such release.
            InputError: If it lacks approvals.
        """
        routes = self._pins.setdefault(plan, OrderedDict())
        route = routes.get(number)
        if route is None:
            route = routes[number] = await self._loaded(plan, number)
            while len(routes) > MOST_PINS:
                routes.popitem(last=False)
        else:
            routes.move_to_end(number)
        return route

    async def _loaded(self, plan: Plan, number: int) -> Route:
        """The way to a release, made once however many ask for it."""
        key = plan, number
        going = self._loading.get(key)
        if going is None:
            going = asyncio.ensure_future(asyncio.to_thread(self._load, plan, number))
            self._loading[key] = going
            going.add_done_callback(lambda _done: self._loading.pop(key, None))
        # One who gives up must not take it from the others.
        return await asyncio.shield(going)
