"""Puts the releases that a request needs into as few pieces of work as possible.

Releases that read the same text answer on one variant of the encoder, the best that all of them may
use, so that the text is encoded once: where one of them did not pass its check on the fast variant,
all answer on the reference, which is always allowed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from milepost.entities.errors import InputError
from milepost.entities.serving import Guard
from milepost.predictors.preparation.preparing import Preparation
from milepost.predictors.reading import space_name
from milepost.serving.driving import is_driven
from milepost.serving.engine.work import Stack
from milepost.serving.loaded import Loaded, Seat
from milepost.serving.routing.plan import Guarding, Lane, Place, Route


@dataclass(slots=True)
class _Heads:
    """Heads that one pass serves, while they are gathered."""

    prepare: Preparation
    encoder: str | None = None
    variants: tuple[str, ...] = ()
    heads: list[Loaded] = field(default_factory=list[Loaded])

    def takes(self, head: Loaded) -> bool:
        """Whether a head reads the same text, in the same encoder on a variant that all may use."""
        if head.prepare.steps != self.prepare.steps:
            return False
        if not head.variants or not self.variants:
            return True
        return head.encoder == self.encoder and bool(self._common(head))

    def add(self, head: Loaded) -> int:
        if head.variants:
            self.encoder = head.encoder
            self.variants = self._common(head) if self.variants else head.variants
        if head not in self.heads:
            self.heads.append(head)
        return self.heads.index(head)

    def lane(self) -> Lane:
        trunk = None
        if self.encoder is not None and self.variants:
            trunk = self.encoder, self.variants[0]
        seats = tuple(Seat(head, trunk if head.variants else None) for head in self.heads)
        return Lane(Stack(seats), self.prepare, seats)

    def _common(self, head: Loaded) -> tuple[str, ...]:
        return tuple(each for each in self.variants if each in head.variants)


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
        shadow: Asked along where that costs no further pass and changes nothing for the others,
            else afterwards.

    Raises:
        InputError: If a guard names a label that its release does not know.
    """
    first = _Heads(answering.prepare)
    first.add(answering)
    gathered = [first]
    placed = [
        Guarding(guard, head, tripping(guard, head), _place(gathered, head))
        for guard, head in guards
    ]
    along = shadow is not None and bool(first.variants) and first.takes(shadow)
    along = along and shadow is not None and first.variants[0] in shadow.variants
    along = along and shadow is not None and not is_driven(shadow.predictor)
    # With another adapter it would be a further row of the pass, for which the answer waits.
    along = along and shadow is not None and _spaces([shadow]) <= _spaces(first.heads)
    at = Place(0, first.add(shadow)) if shadow is not None and along else None
    aside = None
    if shadow is not None and at is None:
        alone = _Heads(shadow.prepare)
        alone.add(shadow)
        aside = shadow, alone.lane()
    lanes = tuple(each.lane() for each in gathered)
    return Route(
        channel=channel,
        key="|".join(
            [answering.strategy, answering.bundle, *(f"{g!r} {head.bundle}" for g, head in guards)]
        ),
        answering=answering,
        lanes=lanes,
        guards=tuple(placed),
        shadow=(shadow, at) if shadow is not None and at is not None else None,
        aside=aside,
        driven=tuple(
            Place(at, head)
            for at, lane in enumerate(lanes)
            for head, seat in enumerate(lane.seats)
            if is_driven(seat.predictor)
        ),
    )


def _spaces(heads: Sequence[Loaded]) -> set[str | None]:
    return {space_name(space) for head in heads for space in head.predictor.spaces}


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
    gathered.append(_Heads(head.prepare))
    return Place(len(gathered) - 1, gathered[-1].add(head))
