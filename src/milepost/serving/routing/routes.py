"""Puts the releases that a request needs into as few pieces of work as possible."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from milepost.entities.errors import InputError
from milepost.entities.serving import Guard
from milepost.predictors.preparation.preparing import Preparation
from milepost.serving.engine.work import Stack, TrunkKey
from milepost.serving.loaded import Loaded
from milepost.serving.routing.plan import Guarding, Lane, Place, Route


@dataclass(slots=True)
class _Heads:
    """Heads that one pass serves, while they are gathered."""

    prepare: Preparation
    trunk: TrunkKey | None
    heads: list[Loaded] = field(default_factory=list[Loaded])

    def takes(self, head: Loaded) -> bool:
        """Whether a head reads the same text in the same encoder, or needs none."""
        if head.prepare.steps != self.prepare.steps:
            return False
        return head.trunk is None or self.trunk is None or head.trunk == self.trunk

    def add(self, head: Loaded) -> int:
        self.trunk = self.trunk or head.trunk
        if head not in self.heads:
            self.heads.append(head)
        return self.heads.index(head)


def make_route(
    channel: str,
    answering: Loaded,
    guards: Sequence[tuple[Guard, Loaded]] = (),
    shadow: Loaded | None = None,
) -> Route:
    """The way to a release, past its guards, with another release in the shadow.

    Args:
        channel: What leads there.
        answering: The release that answers.
        guards: Each guard with the release that speaks for it.
        shadow: Asked along where that costs no further pass, else afterwards.

    Raises:
        InputError: If a guard names a label that its release does not know.
    """
    gathered = [_Heads(answering.prepare, answering.trunk)]
    gathered[0].add(answering)
    placed = [
        Guarding(guard, head, tripping(guard, head), _place(gathered, head))
        for guard, head in guards
    ]
    along = shadow is not None and shadow.predictor.uses == "vectors" and gathered[0].takes(shadow)
    at = Place(0, gathered[0].add(shadow)) if shadow is not None and along else None
    aside = None
    if shadow is not None and at is None:
        aside = shadow, Lane(Stack((shadow,)), shadow.prepare)
    return Route(
        channel=channel,
        key="|".join(
            [answering.strategy, answering.bundle, *(f"{g!r} {head.bundle}" for g, head in guards)]
        ),
        answering=answering,
        lanes=tuple(Lane(Stack(tuple(each.heads)), each.prepare) for each in gathered),
        guards=tuple(placed),
        shadow=(shadow, at) if shadow is not None and at is not None else None,
        aside=aside,
    )


def tripping(guard: Guard, head: Loaded) -> tuple[int, ...]:
    """Columns of the labels that trip a guard.

    Raises:
        InputError: If its release does not know one.
    """
    known = head.predictor.labels
    for label in guard.labels:
        if label not in known:
            raise InputError(
                f"release {head.release} of the guard {guard.task!r} knows no label {label!r}.",
                where="guards",
                advice=f"It knows {', '.join(known[:20])}.",
            )
    return tuple(known.index(label) for label in guard.labels)


def _place(gathered: list[_Heads], head: Loaded) -> Place:
    for lane, heads in enumerate(gathered):
        if heads.takes(head):
            return Place(lane, heads.add(head))
    gathered.append(_Heads(head.prepare, head.trunk))
    return Place(len(gathered) - 1, gathered[-1].add(head))
