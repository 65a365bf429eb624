"""The task: what is to be decided, about what, and how well."""

from typing import Annotated, Literal, get_args

import msgspec

from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.expectations import AbstainRule, Behaviour, FairnessRule, ScopeRule

# The end of the pattern refuses a line break, before which ``$`` would match too.
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,62}$(?!\n)")]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, msgspec.Meta(gt=0.0)]
NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]

Kind = Literal["classify"]
MetricName = Literal["accuracy", "balanced_accuracy", "macro_f1", "mcc"]
"""Metrics an objective may name. All are better when higher and at most 1."""


class InputField(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input of a task.

    Attributes:
        type: What it holds; text for now.
        column: Column of the data files; ``None`` takes the input's own name.
    """

    type: Literal["string"] = "string"
    column: NonEmpty | None = None


class Objective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What "good enough" means for a task.

    Attributes:
        metric: The metric that candidates are chosen and judged by.
        at_least: Floor of the metric, 0 to 1; ``None`` asks only that ``majority`` is beaten
            with significance.
        max_p95_ms: Largest allowed 95th percentile of the latency of one prediction, in ms.
        max_cost_per_1k_usd: Largest allowed cost of a thousand predictions, in USD.
        slices: Named SQL predicates over inputs and metadata.
        max_slice_gap: Largest allowed shortfall of a slice against the rest, 0 to 1.
    """

    metric: MetricName = "accuracy"
    at_least: Share | None = None
    max_p95_ms: Positive | None = None
    max_cost_per_1k_usd: Positive | None = None
    slices: dict[Name, NonEmpty] = {}
    max_slice_gap: Share | None = None


def make_objective(metric: str = "accuracy", at_least: float | None = None) -> Objective:
    """An objective from words that somebody typed.

    Raises:
        UnknownNameError: If there is no such metric.
        InputError: If the floor is not between 0 and 1.
    """
    if metric not in get_args(MetricName):
        raise UnknownNameError("metric", metric, get_args(MetricName))
    if at_least is not None and not 0 <= at_least <= 1:
        raise InputError(
            f"the floor {at_least:g} is out of range.",
            where="at_least",
            advice="It is a share between 0 and 1, such as 0.9.",
        )
    return msgspec.convert({"metric": metric, "at_least": at_least}, Objective)


class DataFiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a task's examples are. Paths are relative to the workspace.

    Attributes:
        examples: File, or files, with labelled (and unlabelled) examples.
        test: File, or files, kept for certification only; ``None`` lets milepost set a holdout
            aside when there are enough labels.
        label: Column that holds the label.
        id: Column that holds a unique id; ``None`` derives ids from the content.
        group: Column whose equal values, such as a customer or a conversation, must never be on
            two sides of a split.
        time: Column with the time of each row; what is judged on is then later than what is
            trained on.
    """

    examples: NonEmpty | tuple[NonEmpty, ...] = ()
    test: NonEmpty | tuple[NonEmpty, ...] = ()
    label: NonEmpty = "label"
    id: NonEmpty | None = None
    # Unset rather than a default, here and below: a task without them keeps its digest.
    group: NonEmpty | msgspec.UnsetType = msgspec.UNSET
    time: NonEmpty | msgspec.UnsetType = msgspec.UNSET

    @property
    def example_files(self) -> tuple[str, ...]:
        """``examples`` as a tuple."""
        return (self.examples,) if isinstance(self.examples, str) else self.examples

    @property
    def test_files(self) -> tuple[str, ...]:
        """``test`` as a tuple."""
        return (self.test,) if isinstance(self.test, str) else self.test


class ReleaseRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it takes, besides the gate, to put a release of a task into production.

    Attributes:
        approvals: People other than whoever made a release who must approve it before it goes
            into production, 0 to 20.
    """

    approvals: Annotated[int, msgspec.Meta(ge=0, le=20)] = 0


class Task(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be decided: kind, input, labels with descriptions, objective and data.

    Attributes:
        name: Lower-case name, unique in the workspace.
        kind: How an answer looks; ``classify`` gives one label.
        instruction: The question in words, for people and for prompts.
        inputs: Exactly one named input.
        labels: Label name to description (may be empty), in the order used everywhere;
            empty takes the labels that the data holds, sorted.
        objective: What "good enough" means.
        data: Where the examples are.
        release: What it takes, besides the gate, to go into production; left out, nothing.
        behaviour: Tests of behaviour that a candidate must pass.
        fairness: Groups that must be treated alike.
        abstain: When the predictor should rather not answer.
        out_of_scope: How inputs that belong to no label are known.
    """

    name: Name
    kind: Kind = "classify"
    instruction: str = ""
    inputs: dict[Name, Literal["string"] | InputField] = msgspec.field(
        default_factory=lambda: {"text": "string"}
    )
    labels: dict[NonEmpty, str] = {}
    objective: Objective = Objective()
    data: DataFiles = DataFiles()
    release: ReleaseRule | msgspec.UnsetType = msgspec.UNSET
    behaviour: tuple[Behaviour, ...] | msgspec.UnsetType = msgspec.UNSET
    fairness: FairnessRule | msgspec.UnsetType = msgspec.UNSET
    abstain: AbstainRule | msgspec.UnsetType = msgspec.UNSET
    out_of_scope: ScopeRule | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        """Check what the types cannot say.

        Raises:
            ValueError: If there is not exactly one input, or exactly one label.
        """
        if len(self.inputs) != 1:
            raise ValueError("inputs: exactly one input is supported")
        if len(self.labels) == 1:
            raise ValueError("labels: at least two labels are needed")

    @property
    def approvals(self) -> int:
        """How many people other than its maker must approve a release."""
        return 0 if isinstance(self.release, msgspec.UnsetType) else self.release.approvals

    @property
    def input_name(self) -> str:
        """Name of the one input, as slices use it."""
        return next(iter(self.inputs))

    @property
    def input_column(self) -> str:
        """Column of the data files that holds the input."""
        field = self.inputs[self.input_name]
        column = field.column if isinstance(field, InputField) else None
        return column or self.input_name
