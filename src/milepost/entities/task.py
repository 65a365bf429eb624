"""The task: what is to be decided, about what, and how well."""

from math import isfinite
from typing import Annotated, Literal

import msgspec

from milepost.entities.errors import FieldError, InputError, nearest
from milepost.entities.expectations import AbstainRule, Behaviour, FairnessRule, ScopeRule
from milepost.entities.measures import ORDINAL, PATTERN, measure_kind
from milepost.entities.preparation import check_step
from milepost.entities.prompts import CascadeRule, LanguageRule, SimilarRule
from milepost.entities.serving import Guard, RecordingRule

# The end of the pattern refuses a line break, before which ``$`` would match too.
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,62}$(?!\n)")]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, msgspec.Meta(gt=0.0)]
NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]

Kind = Literal["classify"]
MetricName = Annotated[str, msgspec.Meta(pattern=PATTERN)]
"""Measures an objective may name: see ``milepost.entities.measures``."""


class InputField(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input of a task.

    Attributes:
        type: What it holds; text for now.
        column: Column of the data files; ``None`` takes the input's own name.
        prepare: Steps that prepare each input, alike when fitting and when answering, such as
            ``strip_html``, or a function of your own: ``own:prepare/mail.py:body``.
    """

    type: Literal["string"] = "string"
    column: NonEmpty | None = None
    prepare: tuple[NonEmpty, ...] | msgspec.UnsetType = msgspec.UNSET


class Objective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What "good enough" means for a task.

    Attributes:
        metric: The measure that candidates are chosen and judged by, such as ``macro_f1``,
            ``log_loss``, ``hit_rate@3``, ``recall:LABEL``, ``utility``, or a function of your own:
            ``own:metrics/value.py:profit``.
        at_least: Floor of the metric where higher is better; ``None`` asks only that ``majority``
            is beaten with significance.
        at_most: Ceiling of the metric where lower is better, such as ``log_loss``.
        order: For ``mae``, ``spearman`` and ``kendall``: all labels, lowest first; needed where the
            labels are no numbers and ``labels`` lists them in alphabetical order.
        costs: For ``utility``: what each answered label costs for each actual one, such as
            ``fraud: {fine: 50}``; 0 where left out, a negative cost is a gain.
        max_p95_ms: Largest allowed 95th percentile of the latency of one prediction, in ms.
        max_cost_per_1k_usd: Largest allowed cost of a thousand predictions, in USD.
        slices: Named SQL predicates over inputs and metadata.
        max_slice_gap: Largest allowed shortfall of a slice against the rest, 0 to 1.
    """

    metric: MetricName = "accuracy"
    at_least: float | None = None
    at_most: float | msgspec.UnsetType = msgspec.UNSET
    order: tuple[NonEmpty, ...] | msgspec.UnsetType = msgspec.UNSET
    costs: dict[NonEmpty, dict[NonEmpty, float]] | msgspec.UnsetType = msgspec.UNSET
    max_p95_ms: Positive | None = None
    max_cost_per_1k_usd: Positive | None = None
    slices: dict[Name, NonEmpty] = {}
    max_slice_gap: Share | None = None

    def __post_init__(self) -> None:
        """Check that bound, order, costs and metric fit each other.

        Raises:
            FieldError: If they do not; says what to write instead.
        """
        self._check_bounds()
        if self.said_order and self.metric not in ORDINAL:
            raise FieldError(f"it is for {', '.join(ORDINAL)} only", where="order")
        if len(set(self.said_order)) < len(self.said_order):
            raise FieldError("a label stands there twice", where="order")
        if (self.metric == "utility") == isinstance(self.costs, msgspec.UnsetType):
            raise FieldError(
                "they are needed for the metric utility, and only for it", where="costs"
            )

    def _check_bounds(self) -> None:
        """Refuse a bound on the wrong side of the metric, out of its range, or a second one.

        Raises:
            FieldError: If there is one.
        """
        kind = measure_kind(self.metric)
        for field, value, fits in (
            ("at_least", self.at_least, kind.higher is not False),
            ("at_most", self.ceiling, kind.higher is not True),
        ):
            if value is None:
                continue
            if not fits:
                other = "at_most" if field == "at_least" else "at_least"
                better = "lower" if field == "at_least" else "higher"
                raise FieldError(f"{better} is better for {kind.words}; use {other}", where=field)
            if not isfinite(value):
                raise FieldError(f"{value:g} is not a finite number", where=field)
            if not kind.low <= value <= kind.high:
                raise FieldError(
                    f"{value:g} is out of range; "
                    f"{kind.words} lies between {kind.low:g} and {kind.high:g}",
                    where=field,
                )
        if self.at_least is not None and self.ceiling is not None:
            raise FieldError(
                "give at_least where higher is better, at_most where lower", where="at_most"
            )

    @property
    def ceiling(self) -> float | None:
        """``at_most``, or ``None``."""
        return None if isinstance(self.at_most, msgspec.UnsetType) else self.at_most

    @property
    def said_order(self) -> tuple[str, ...]:
        """``order``, or nothing."""
        return () if isinstance(self.order, msgspec.UnsetType) else self.order


def make_objective(
    metric: str = "accuracy", at_least: float | None = None, at_most: float | None = None
) -> Objective:
    """An objective from words that somebody typed.

    Raises:
        UnknownNameError: If there is no such metric.
        InputError: If the bound is out of range or does not fit the metric.
    """
    measure_kind(metric)
    given = {"metric": metric, "at_least": at_least}
    if at_most is not None:
        given["at_most"] = at_most
    try:
        return msgspec.convert(given, Objective)
    except msgspec.ValidationError as error:
        field, _, what = str(error).partition(": ")
        raise InputError(
            f"{what.partition(' - at')[0]}.",
            where=field,
            advice="It is a number such as 0.9." if field != "costs" else "Write them in the file.",
        ) from error


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
        guards: Tasks whose verdict on an input is told with the answer, withholds it, or lets
            another task answer; a bare name only tells.
        recording: What is kept of the traffic; left out, everything for 30 days.
        language: Which language models may compete, and with what prompt; left out, all that are
            registered.
        cascade: What a cascade must promise; left out, at most 5 % wrong with 95 % confidence.
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
    guards: tuple[Name | Guard, ...] | msgspec.UnsetType = msgspec.UNSET
    recording: RecordingRule | msgspec.UnsetType = msgspec.UNSET
    language: LanguageRule | msgspec.UnsetType = msgspec.UNSET
    cascade: CascadeRule | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        """Check what the types cannot say.

        Raises:
            FieldError: If there is not exactly one input, or exactly one label.
        """
        if len(self.inputs) != 1:
            raise FieldError("exactly one input is supported", where="inputs")
        if len(self.labels) == 1:
            raise FieldError("at least two labels are needed", where="labels")
        self._check_costs()
        self._check_cascade()
        self._check_steps()

    def _check_costs(self) -> None:
        """Refuse costs of labels that the task does not have.

        Raises:
            FieldError: With the nearest name.
        """
        costs = self.objective.costs
        if isinstance(costs, msgspec.UnsetType) or not self.labels:
            return
        for label in [*costs, *(answered for row in costs.values() for answered in row)]:
            if label not in self.labels:
                near = nearest(label, tuple(self.labels))
                guess = f"; did you mean {near!r}?" if near else ""
                raise FieldError(f"there is no label {label!r}{guess}", where="objective.costs")

    def _check_cascade(self) -> None:
        """Refuse a promise about costs that nobody names, or that every or no answer keeps.

        Raises:
            FieldError: With what is missing.
        """
        limit, costs = self.cascade_rule.at_most_cost, self.objective.costs
        if limit is None:
            return
        if isinstance(costs, msgspec.UnsetType):
            raise FieldError(
                "it promises a mean cost, and the task names no costs; set objective.metric to "
                "utility, and objective.costs",
                where="cascade.at_most_cost",
            )
        named = [0.0, *(cost for row in costs.values() for cost in row.values())]
        if not min(named) < limit < max(named):
            raise FieldError(
                f"it must lie between the smallest and the largest cost, {min(named):g} and "
                f"{max(named):g}",
                where="cascade.at_most_cost",
            )

    def _check_steps(self) -> None:
        """Refuse steps of preparation that do not exist.

        Raises:
            FieldError: With the nearest name.
        """
        for step in () if isinstance(self.prepare, msgspec.UnsetType) else self.prepare:
            try:
                check_step(step)
            except InputError as error:
                said = f"{error.what.rstrip('.')}; {(error.advice or '').rstrip('.')}"
                raise FieldError(said, where=f"inputs.{self.input_name}.prepare") from error

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

    @property
    def prepare(self) -> tuple[str, ...] | msgspec.UnsetType:
        """Steps that prepare the input; unset where there are none."""
        field = self.inputs[self.input_name]
        return (field.prepare or msgspec.UNSET) if isinstance(field, InputField) else msgspec.UNSET

    @property
    def guard_rules(self) -> tuple[Guard, ...]:
        """Its guards; a bare name is one without labels, which only tells."""
        if isinstance(self.guards, msgspec.UnsetType):
            return ()
        bare = {each: Guard(task=each, labels=()) for each in self.guards if isinstance(each, str)}
        return tuple(bare[each] if isinstance(each, str) else each for each in self.guards)

    @property
    def cascade_rule(self) -> CascadeRule:
        """What a cascade must promise."""
        return CascadeRule() if isinstance(self.cascade, msgspec.UnsetType) else self.cascade

    @property
    def similar_rule(self) -> SimilarRule | None:
        """What is promised of answers to similar questions; ``None`` where there are none."""
        rule = self.language.similar if isinstance(self.language, LanguageRule) else None
        return rule if isinstance(rule, SimilarRule) else None

    @property
    def leaves_to_people(self) -> bool:
        """Whether it asks for a cascade whose last rung is a person."""
        return self.cascade_rule.last == "person"

    @property
    def recording_rule(self) -> RecordingRule:
        """What is kept of its traffic."""
        if isinstance(self.recording, msgspec.UnsetType):
            return RecordingRule()
        return self.recording
