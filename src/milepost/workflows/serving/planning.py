"""From what the ledger says to the routing table: which releases answer, guard and look on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from milepost.entities.errors import InputError, MilepostError, UnknownNameError, WorkspaceError
from milepost.entities.release import Channel
from milepost.entities.serving import Guard, ServedTask
from milepost.entities.task import Task
from milepost.serving.driving import is_driven
from milepost.serving.loaded import Loaded, Seat
from milepost.serving.routing.plan import PINNED, Plan, Route, Table
from milepost.serving.routing.routes import make_route
from milepost.storage.records.releases import CANARY, PRODUCTION, SHADOW
from milepost.workflows.serving.loading import Loader
from milepost.workflows.tasks.guards import guard_cycle


@dataclass(frozen=True, eq=False)
class Standing:
    """What the ledger said at a moment.

    Attributes:
        tasks: The tasks as they are now, by name.
        channels: Channels by name, per task.
    """

    tasks: Mapping[str, Task] = field(default_factory=dict[str, Task])
    channels: Mapping[str, Mapping[str, Channel]] = field(
        default_factory=dict[str, Mapping[str, Channel]]
    )

    @cached_property
    def guarding(self) -> Mapping[str, tuple[str, ...]]:
        """The tasks whose traffic each task guards."""
        found: dict[str, list[str]] = {}
        for name in sorted(self.tasks):
            for rule in self.tasks[name].guard_rules:
                found.setdefault(rule.task, []).append(name)
        return {name: tuple(each) for name, each in found.items()}

    def neighbours(self, names: Iterable[str]) -> set[str]:
        """The tasks, those that they guard or answer for, and those that do so for them."""
        wanted = set(names)
        touched = set(wanted)
        for name, task in self.tasks.items():
            named = _named(task)
            if named & wanted:
                touched.add(name)
            if name in wanted:
                touched |= named & set(self.tasks)
        return touched


def replan(
    loader: Loader, before: tuple[Table, Standing], now: Standing, names: Iterable[str]
) -> tuple[Table, dict[str, str]]:
    """The table with the plans of some tasks made anew; the others stay the very same.

    A task whose plan cannot be made keeps the one that it has.

    Args:
        loader: Gives releases.
        before: The table, and what it was made from.
        now: What the ledger says.
        names: Tasks about which something changed.

    Returns:
        The table, and why plans could not be made, by task.
    """
    table, was = before
    touched = was.neighbours(names) | now.neighbours(names)
    plans, broken = dict(table.plans), dict(table.broken)
    problems: dict[str, str] = {}
    made: dict[str, Plan] = {}
    for name in sorted(touched):
        if PRODUCTION not in now.channels.get(name, {}) or name not in now.tasks:
            plans.pop(name, None)
            broken.pop(name, None)
            if name in now.tasks:
                broken[name] = "it has nothing in production yet."
            continue
        try:
            made[name], missing = plan_of(loader, now, name)
            if missing is not None:
                problems[name] = missing
        except MilepostError as error:
            problems[name] = str(error)
    failed = _warm(loader, made)
    for name, why in failed.items():
        problems[name] = why
        del made[name]
    plans |= made
    for name in touched & plans.keys():
        broken.pop(name, None)
    broken |= {name: why for name, why in problems.items() if name not in plans}
    return Table(plans, broken), problems


def plan_of(loader: Loader, now: Standing, name: str) -> tuple[Plan, str | None]:
    """The plan of a task with something in production; its releases are not warm yet.

    Without the release before production's, or the one in the shadow, the task answers all the
    same.

    Returns:
        The plan, and why one of those two is not in it.

    Raises:
        InputError: If its guards cannot be used, or a release needs another encoder.
        StorageError: If a release cannot be read, or is not what it was.
    """
    task, channels = now.tasks[name], now.channels[name]
    made = loader.release(name, channels[PRODUCTION].release)
    production = loader.production(name, made.release)
    guards = _guards(loader, now, task)
    canary, share = _beside(loader, channels.get(CANARY), production)
    kept = {each.release: each for each in (made, canary) if each is not None}
    shadow, shadow_share, missing = None, 0.0, None
    try:
        shadow, shadow_share = _beside(loader, channels.get(SHADOW), production)
        before = channels[PRODUCTION].previous
        if before is not None and before not in kept:
            kept[before] = loader.release(name, before)
    except MilepostError as error:
        missing = str(error)
    if shadow is not None:
        kept[shadow.release] = shadow
    route = make_route(PRODUCTION, production, guards)
    plan = Plan(
        served=_served(loader, now, task, route, (canary, share), shadow),
        recording=task.recording_rule,
        production=route,
        shadowed=make_route(PRODUCTION, production, guards, shadow) if shadow else None,
        shadow_share=shadow_share,
        canary=make_route(CANARY, canary, guards) if canary else None,
        share=share,
        bare=make_route(PRODUCTION, production),
        guards=guards,
        kept=kept,
    )
    return plan, missing


def pinned_route(loader: Loader, plan: Plan, number: int) -> Route:
    """The way to a release that a request names, past the guards of its task; warm.

    Raises:
        UnknownNameError: If there is no such release.
        InputError: If it lacks approvals, or its encoder is not the workspace's.
        StorageError: If it cannot be read, or gives no answer.
    """
    loaded = plan.kept.get(number) or loader.pinned(plan.served.name, number)
    route = make_route(PINNED, loaded, plan.guards)
    for error in loader.warm(_seats(route)).values():
        raise error
    return route


def _beside(
    loader: Loader, channel: Channel | None, production: Loaded
) -> tuple[Loaded | None, float]:
    """The release of a channel beside production and its share; nothing where it is off."""
    if channel is None or not channel.share or channel.release == production.release:
        return None, 0.0
    return loader.release(channel.task, channel.release), channel.share


def _guards(loader: Loader, now: Standing, task: Task) -> tuple[tuple[Guard, Loaded], ...]:
    """The guards of a task with the releases that speak for them.

    Raises:
        UnknownNameError: If one is unknown; names the nearest.
        InputError: If one guards itself by a detour, or has nothing in production.
    """
    found: list[tuple[Guard, Loaded]] = []
    cycle = guard_cycle(now.tasks.get, task.name)
    if cycle:
        raise InputError(f"its guards lead back to it: {' → '.join(cycle)}.", where="guards")
    for guard in task.guard_rules:
        for named in filter(None, (guard.task, guard.to)):
            if named not in now.tasks:
                raise UnknownNameError("task", named, sorted(now.tasks), where="guards")
            if PRODUCTION not in now.channels.get(named, {}):
                raise WorkspaceError(
                    f"the task {named!r}, which its guards need, has nothing in production.",
                    advice=f"Run `milepost improve {named}`, or take the guard out.",
                )
        number = now.channels[guard.task][PRODUCTION].release
        found.append((guard, loader.production(guard.task, number)))
    return tuple(found)


def _served(
    loader: Loader,
    now: Standing,
    task: Task,
    route: Route,
    canary: tuple[Loaded | None, float],
    shadow: Loaded | None,
) -> ServedTask:
    production = route.answering
    to = {rule.to for rule in task.guard_rules if rule.to is not None}
    others = [loader.production(name, now.channels[name][PRODUCTION].release) for name in to]
    others += [each for each in (canary[0], *(guard.head for guard in route.guards)) if each]
    variant, why = _variant(route)
    return ServedTask(
        name=task.name,
        labels=production.predictor.labels,
        production=production.release,
        canary=canary[0].release if canary[0] else None,
        share=canary[1],
        shadow=shadow.release if shadow else None,
        encoder=production.manifest.encoder,
        variant=variant,
        variant_why=why,
        created=production.created,
        guards=task.guard_rules,
        instruction=task.instruction,
        guards_for=now.guarding.get(task.name, ()),
        descriptions={label: task.labels.get(label, "") for label in production.predictor.labels},
        input=task.input_name,
        inputs=task.composition,
        kind=task.kind,
        recording=task.recording_rule,
        asks=any(is_driven(each.predictor) for each in (production, *others)),
    )


def _variant(route: Route) -> tuple[str | None, str]:
    """The variant of the encoder that the answering release serves on, and why."""
    answering = route.answering
    trunk = route.lanes[0].seats[0].trunk
    if trunk is None:
        return None, answering.why
    variant = trunk[1]
    if variant == answering.variants[0]:
        return variant, answering.why
    heads = (each.head for each in route.guards if each.place.lane == 0)
    slow = next(h for h in heads if h.variants and answering.variants[0] not in h.variants)
    return variant, f"as its guard {slow.task} does, to encode each text once: {slow.why}"


def _warm(loader: Loader, made: Mapping[str, Plan]) -> dict[str, str]:
    """Warm all that new plans ask; why a plan cannot be used, by task.

    Without what only looks on, or stands by, a plan is still of use.
    """
    asked = {name: _needed(plan) for name, plan in made.items()}
    seats: set[Seat] = set().union(*map(_standing_by, made.values()), *asked.values())

    def place(each: Seat) -> tuple[str, int, str]:
        return each.loaded.task, each.loaded.release, str(each.trunk)

    try:
        failed = loader.warm(sorted(seats, key=place))
    except MilepostError as error:
        return dict.fromkeys(made, f"it could not be warmed: {error}")
    return {
        name: str(failed[each]) for name, heads in asked.items() for each in heads if each in failed
    }


def _needed(plan: Plan) -> set[Seat]:
    """Without these a plan is worth nothing."""
    routes = filter(None, (plan.production, plan.canary, plan.bare))
    return {each for route in routes for each in _seats(route)}


def _standing_by(plan: Plan) -> set[Seat]:
    """What looks on, and the releases that may be put into production or named next."""
    routes = [make_route(PINNED, each, plan.guards) for each in plan.kept.values()]
    if plan.shadowed is not None:
        routes.append(plan.shadowed)
    return {each for route in routes for each in _seats(route)}


def _seats(route: Route) -> list[Seat]:
    """All releases on a route, where they sit, and the one that is asked afterwards."""
    lanes = (*route.lanes, route.aside[1]) if route.aside is not None else route.lanes
    return [each for lane in lanes for each in lane.seats]


def _named(task: Task) -> set[str]:
    """The tasks that the guards of a task name."""
    rules = task.guard_rules
    return {rule.task for rule in rules} | {rule.to for rule in rules if rule.to is not None}
