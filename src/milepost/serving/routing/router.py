"""Holds the table that requests are routed by, and the releases that requests name themselves."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from weakref import WeakKeyDictionary

from milepost.entities.errors import UnknownNameError, WorkspaceError
from milepost.serving.loaded import Loaded
from milepost.serving.routing.plan import PINNED, Plan, Route, Table
from milepost.serving.routing.routes import make_route

MOST_PINS = 4
"""Further releases of a task that are kept in memory because requests name them."""

Load = Callable[[str, int], Loaded]
"""Gives a release of a task by its number; may take long. Raises ``UnknownNameError``."""


class Router:
    """The one place where the routing table stands.

    ``table`` is set by whoever watches the ledger, from any thread, in one assignment; each
    request reads it once. The rest is used on the event loop alone.

    Args:
        load: Loads a release that a request names.
    """

    def __init__(self, load: Load) -> None:
        self.table = Table()
        self._load = load
        # Kept by plan: with the next plan of the task its guards may be others.
        self._pins: WeakKeyDictionary[Plan, OrderedDict[int, Route]] = WeakKeyDictionary()
        self._loading: dict[tuple[str, int], asyncio.Task[Loaded]] = {}

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
            loaded = plan.kept.get(number) or await self._loaded(plan.served.name, number)
            route = routes[number] = make_route(PINNED, loaded, plan.guards)
            while len(routes) > MOST_PINS:
                routes.popitem(last=False)
        else:
            routes.move_to_end(number)
        return route

    async def _loaded(self, task: str, number: int) -> Loaded:
        """A release that is not in memory, loaded once however many ask for it."""
        key = task, number
        going = self._loading.get(key)
        if going is None:
            going = asyncio.ensure_future(asyncio.to_thread(self._load, task, number))
            self._loading[key] = going
            going.add_done_callback(lambda _done: self._loading.pop(key, None))
        # One who gives up must not take it from the others.
        return await asyncio.shield(going)
