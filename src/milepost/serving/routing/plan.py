"""Where the requests for a task go: immutable, replaced as a whole when anything changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from milepost.entities.serving import Guard, RecordingRule, ServedTask
from milepost.predictors.preparation.preparing import Preparation
from milepost.serving.engine.work import Stack
from milepost.serving.loaded import Loaded, Seat

PINNED = "pinned"
"""What stands for the channel where a request names the release itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """What is asked of each text in one piece of work: one encoder pass, one preparation.

    Attributes:
        stack: The heads.
        prepare: From what was sent to what they read.
        seats: The heads again, as releases; all that read vectors sit on one variant.
    """

    stack: Stack
    prepare: Preparation
    seats: tuple[Seat, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the probabilities of a head are found: which lane, and which head of it."""

    lane: int
    head: int


@dataclass(frozen=True, slots=True, eq=False)
class Guarding:
    """A guard with the release that speaks for it.

    Attributes:
        guard: What the task file says; without labels it only tells.
        head: Release of the guarding task.
        columns: Columns of the labels that trip it.
        place: Where its probabilities are.
    """

    guard: Guard
    head: Loaded
    columns: tuple[int, ...]
    place: Place


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Route:
    """One way that a request can go. All that it touches is of one moment.

    Attributes:
        channel: ``production``, ``canary`` or ``pinned``.
        key: Equal only where equal probabilities are answered equally; holds no release in memory.
        answering: The release that answers; it is the first head of the first lane.
        lanes: At least one; more only where a guard reads another encoder or preparation.
        guards: Verdicts that are asked for, in the order of the task file.
        shadow: The release that is asked along, and where its probabilities are.
        aside: A release in the shadow that would hold the answer up or change its variant, for it
            reads the text itself or another encoder, asks language models, or did not pass on the
            variant: asked
            afterwards.
        driven: Where heads sit that may ask language models; the engine leaves them out.
    """

    channel: str
    key: str
    answering: Loaded
    lanes: tuple[Lane, ...]
    guards: tuple[Guarding, ...] = ()
    shadow: tuple[Loaded, Place] | None = None
    aside: tuple[Loaded, Lane] | None = None
    driven: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, weakref_slot=True)
class Plan:
    """All ways that requests for one task can go.

    Attributes:
        served: The task as others see it.
        recording: What is kept of its traffic.
        production: To the release in production.
        shadowed: The same with the shadow release asked along; ``None`` without one.
        shadow_share: Share of the requests to production that the shadow sees.
        canary: To the release in the canary channel; ``None`` without one.
        share: Share of the requests that go there.
        bare: The release in production without guards: for what is routed here from elsewhere.
        guards: The guards with their releases, for routes that are made later.
        kept: Releases of the task in memory by number, the one before production's among them.
    """

    served: ServedTask
    recording: RecordingRule
    production: Route
    shadowed: Route | None = None
    shadow_share: float = 0.0
    canary: Route | None = None
    share: float = 0.0
    bare: Route
    guards: tuple[tuple[Guard, Loaded], ...] = ()
    kept: Mapping[int, Loaded] = field(default_factory=dict[int, Loaded])


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The plans of all tasks. A request reads the table once and keeps to it to its end.

    Attributes:
        plans: By the name of the task.
        broken: Why a task that should be served is not, by its name.
    """

    plans: Mapping[str, Plan] = field(default_factory=dict[str, Plan])
    broken: Mapping[str, str] = field(default_factory=dict[str, str])
