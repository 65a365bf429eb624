"""The task: what is to be decided, about what, and how well."""

from collections.abc import Sequence
from math import isfinite
from typing import Annotated, Literal

import msgspec

from milepost.entities.errors import FieldError, InputError, nearest
from milepost.entities.expectations import AbstainRule, Behaviour, FairnessRule, ScopeRule
from milepost.entities.inputs import PAIR, Composition, composition, fields_of
from milepost.entities.kinds import KINDS, Kind, check_metric, fewest_labels
from milepost.entities.measures import ORDINAL, PATTERN, measure_kind
from milepost.entities.preparation import check_step
from milepost.entities.prompts import CascadeRule, LanguageRule, SimilarRule
from milepost.entities.serving import Guard, RecordingRule

# The end of the pattern refuses a line break, before which ``$`` would match too.
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,62}$(?!\n)")]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, msgspec.Meta(gt=0.0)]
NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]

Setting = bool | int | float | str | tuple[bool | int | float | str, ...]
"""Value of a strategy's parameter."""
MetricName = Annotated[str, msgspec.Meta(pattern=PATTERN)]
"""Measures an objective may name: see ``milepost.entities.measures``."""


InputType = Literal["image", "string"]
"""What an input holds."""


class InputField(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input of a task.

    Attributes:
        type: What it holds: text, or an image. A cell of an image is a path from the folder of the
            data file, or a ``data:image/…;base64,`` URI.
        column: Column of the data files; ``None`` takes the input's own name.
        prepare: Steps that prepare each input, alike when fitting and when answering, such as
            ``strip_html``, or a function of your own: ``own:prepare/mail.py:body``.
    """

    type: InputType = "string"
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


def inputs_of(task: "Task", words: Sequence[str]) -> list[str] | list[dict[str, str]]:
    """Words that somebody typed as inputs of a task: of one with several inputs, so many each.

    Raises:
        InputError: If the last input is not whole.
    """
    names = tuple(task.inputs)
    if len(names) == 1:
        return list(words)
    if len(words) % len(names):
        raise InputError(
            f"{len(words)} texts are no whole number of inputs: each has {', '.join(names)}.",
            where=task.name,
            advice=f"Give {len(names)} texts for each, in this order.",
        )
    rows = range(0, len(words), len(names))
    return [dict(zip(names, words[at : at + len(names)], strict=True)) for at in rows]


def make_objective(
    metric: str | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    *,
    kind: str = "classify",
) -> Objective:
    """An objective from words that somebody typed.

    Args:
        metric: Name of the measure; ``None`` takes the usual one of the kind.
        at_least: Floor.
        at_most: Ceiling.
        kind: Kind of the task; of one that there is not, whoever makes the task says so.

    Raises:
        UnknownNameError: If there is no such metric.
        InputError: If it does not fit the kind, or the bound is out of range or does not fit the
            metric.
    """
    known: Kind = kind if kind in KINDS else "classify"
    if metric is None:
        metric = KINDS[known].metric
    measure_kind(metric)
    check_metric(known, metric)
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
        label: Column that holds the label; of spans a JSON array of them, or a tag for each token.
        id: Column that holds a unique id; ``None`` derives ids from the content.
        separator: What stands between the labels of one row of a multilabel task, where they are
            not a JSON array; left out, ``|``.
        group: Column whose equal values, such as a customer or a conversation, must never be on
            two sides of a split.
        time: Column with the time of each row; what is judged on is then later than what is
            trained on.
        unlabeled: File, or files, with further inputs that nobody labelled: some strategies learn
            from them.
        candidates: File, or files, with what a query of a ranking task may be answered with, in
            the column of its second input; left out, the candidates of its examples.
    """

    examples: NonEmpty | tuple[NonEmpty, ...] = ()
    test: NonEmpty | tuple[NonEmpty, ...] = ()
    label: NonEmpty = "label"
    id: NonEmpty | None = None
    # Unset rather than a default, here and below: a task without them keeps its digest.
    separator: NonEmpty | msgspec.UnsetType = msgspec.UNSET
    group: NonEmpty | msgspec.UnsetType = msgspec.UNSET
    time: NonEmpty | msgspec.UnsetType = msgspec.UNSET
    unlabeled: NonEmpty | tuple[NonEmpty, ...] | msgspec.UnsetType = msgspec.UNSET
    candidates: NonEmpty | tuple[NonEmpty, ...] | msgspec.UnsetType = msgspec.UNSET

    @property
    def unlabeled_files(self) -> tuple[str, ...]:
        """``unlabeled`` as a tuple."""
        if isinstance(self.unlabeled, msgspec.UnsetType):
            return ()
        return (self.unlabeled,) if isinstance(self.unlabeled, str) else self.unlabeled

    @property
    def candidate_files(self) -> tuple[str, ...]:
        """``candidates`` as a tuple."""
        if isinstance(self.candidates, msgspec.UnsetType):
            return ()
        return (self.candidates,) if isinstance(self.candidates, str) else self.candidates

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


PAIRED = ("match", "rank")
"""Kinds whose inputs are the sides of a pair."""

FOR_TEXTS_ALONE = ("extract", "rank")
"""Kinds that read texts: spans are found in them, and candidates are searched by their words."""

FOR_TEXTS = ("out_of_scope",)
"""Fields of a task that rest on labels being said in words like the inputs: not for pairs."""

FOR_WORDS = (*FOR_TEXTS, "behaviour", "fairness", "guards")
"""Fields of a task that rest on the words of its inputs: not for images."""

FOR_CLASSES = (*FOR_TEXTS, "abstain", "behaviour", "cascade", "fairness", "guards")
"""Fields of a task that rest on one label being answered."""


class Task(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be decided: kind, input, labels with descriptions, objective and data.

    Attributes:
        name: Lower-case name, unique in the workspace.
        kind: How an answer looks: one label (``classify``), any number of labels
            (``multilabel``), a number (``score``), one label for a pair (``match``), spans of the
            text, each with a label (``extract``), or an order of candidates for a query (``rank``).
        instruction: The question in words, for people and for prompts.
        inputs: One named input; or several, which ``compose`` makes one text of; or the two sides
            of a pair; or a query and a candidate, in this order.
        encoder: Encoder of this task, where it is not the workspace's own: as in ``milepost.toml``.
            An encoder of images and one of texts are read side by side as ``IMAGES + TEXTS``.
        compose: How several inputs become one text: each input's name in braces, such as
            ``{subject}``; left out, a line for each. ``pair`` keeps two inputs apart as the sides
            of a pair, which the kinds ``match`` and ``rank`` do by themselves.
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
        strategies: Parameters of strategies that are set by hand, by strategy, such as
            ``head_logistic: {c: 3}``; nothing searches them.
    """

    name: Name
    kind: Kind = "classify"
    instruction: str = ""
    inputs: dict[Name, InputType | InputField] = msgspec.field(
        default_factory=lambda: {"text": "string"}
    )
    compose: NonEmpty | msgspec.UnsetType = msgspec.UNSET
    encoder: NonEmpty | msgspec.UnsetType = msgspec.UNSET
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
    strategies: dict[Name, dict[NonEmpty, Setting]] | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        """Check what the types cannot say.

        Raises:
            FieldError: If inputs, labels or measure do not fit the kind, or each other.
        """
        self._check_inputs()
        self._check_kind()
        self._check_costs()
        self._check_cascade()
        self._check_steps()

    def _check_inputs(self) -> None:
        """Refuse inputs that nothing can be made of.

        Raises:
            FieldError: With what is allowed.
        """
        names = tuple(self.inputs)
        if not names:
            raise FieldError("at least one input is needed", where="inputs")
        if self.pairs and len(names) != 2:
            raise FieldError("a pair has exactly two inputs, its sides", where="inputs")
        if self.data.candidate_files and self.kind != "rank":
            raise FieldError("they are for tasks of the kind rank", where="data.candidates")
        if len(names) > 1 and "text" in names:
            raise FieldError("`text` is what several are composed to; call it otherwise",
                             where="inputs")  # fmt: skip
        said = self.compose
        if isinstance(said, msgspec.UnsetType) or said == PAIR:
            pass
        else:
            self._check_template(said)
        several = len(names) > 1 or bool(self.images)
        if several and not isinstance(self.prepare, msgspec.UnsetType):
            raise FieldError("steps of preparation are for a single text", where="inputs")

    def _check_template(self, said: str) -> None:
        """Refuse a template that does not name just the texts among the inputs.

        Raises:
            FieldError: With what is allowed.
        """
        names = [name for name in self.inputs if name not in self.images]
        if len(self.inputs) == 1 or self.kind in PAIRED or not names:
            raise FieldError("it is for several inputs that become one text", where="compose")
        if set(fields_of(said)) != set(names):
            raise FieldError(
                f"it must name each input in braces: {', '.join(f'{{{n}}}' for n in names)}",
                where="compose",
            )

    def _check_kind(self) -> None:
        """Refuse labels and measures that do not fit the kind; a kind has its usual measure.

        Raises:
            FieldError: With what is allowed.
        """
        facts = KINDS.get(self.kind)
        if facts is None:
            return  # made in Python, where nobody checks it before it is written
        least = fewest_labels(self.kind)
        if facts.labelled and 0 < len(self.labels) < least:
            raise FieldError("at least two labels are needed", where="labels")
        if self.kind in FOR_TEXTS_ALONE and self.images:
            raise FieldError(f"a task of the kind {self.kind} reads texts", where="inputs")
        if self.kind == "extract":
            self._check_spans()
        if not facts.labelled and self.labels:
            raise FieldError(f"a task of the kind {self.kind} has none", where="labels")
        for field, tasks in self.no_room_for.items():
            if not isinstance(getattr(self, field), msgspec.UnsetType):
                raise FieldError(f"it is not for {tasks}", where=field)
        metric = self.objective.metric
        if facts.measured_by(metric):
            return
        if metric != Objective().metric:
            check_metric(self.kind, metric)
        usual = msgspec.structs.replace(self.objective, metric=facts.metric)
        msgspec.structs.force_setattr(self, "objective", usual)

    @property
    def no_room_for(self) -> dict[str, str]:
        """Fields that it cannot declare, each with the tasks that it is not for, in words."""
        softmax = KINDS[self.kind].link == "softmax"
        fields = FOR_TEXTS if softmax and self.pairs else () if softmax else FOR_CLASSES
        found = dict.fromkeys(fields, f"tasks of the kind {self.kind}")
        images = FOR_WORDS if self.images else ()
        return {**dict.fromkeys(images, "tasks that read images"), **found}

    def _check_spans(self) -> None:
        """Refuse what moves the characters that spans count.

        Raises:
            FieldError: With what is allowed.
        """
        if len(self.inputs) > 1:
            raise FieldError("spans are those of one input", where="inputs")
        if not isinstance(self.prepare, msgspec.UnsetType):
            raise FieldError("steps of preparation would move the spans", where="inputs")

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
        """Name of the one input, as slices use it; ``text`` for what several are composed to."""
        return next(iter(self.inputs)) if len(self.inputs) == 1 else "text"

    @property
    def input_column(self) -> str:
        """Column of the data files that holds the input, or the first of several."""
        return next(iter(self.input_columns.values()))

    @property
    def input_columns(self) -> dict[str, str]:
        """Column of the data files that holds each input."""
        return {
            name: (field.column if isinstance(field, InputField) else None) or name
            for name, field in self.inputs.items()
        }

    @property
    def composition(self) -> Composition | None:
        """How several inputs, or images, become one text; ``None`` where there is one text."""
        if len(self.inputs) == 1 and not self.images:
            return None
        said = None if isinstance(self.compose, msgspec.UnsetType) else self.compose
        return composition(tuple(self.inputs), said, pair=self.pairs, images=self.images)

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the inputs that are images."""
        return tuple(
            name
            for name, field in self.inputs.items()
            if (field.type if isinstance(field, InputField) else field) == "image"
        )

    @property
    def words(self) -> bool:
        """Whether an input is a text."""
        return len(self.images) < len(self.inputs)

    @property
    def own_encoder(self) -> str | None:
        """The encoder of this task; ``None`` for that of the workspace."""
        return None if isinstance(self.encoder, msgspec.UnsetType) else self.encoder

    @property
    def pairs(self) -> bool:
        """Whether its inputs are the two sides of a pair."""
        return self.kind in PAIRED or self.compose == PAIR

    @property
    def prepare(self) -> tuple[str, ...] | msgspec.UnsetType:
        """Steps that prepare the input; unset where there are none."""
        said = (
            field.prepare
            for field in self.inputs.values()
            if isinstance(field, InputField) and field.prepare
        )
        return next(said, msgspec.UNSET)

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
