"""What a close examination of the chosen candidate found, beyond the scorecard's own numbers.

Every part is ``None`` or empty where it does not apply or could not be measured; ``notes`` says
why where a reader would wonder.
"""

from typing import Literal

import msgspec

from milepost.entities.estimate import Estimate

Outcome = Literal["passed", "failed", "open"]
"""``passed``; ``failed``: shown to miss what the task asks; ``open``: the examples cannot tell."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the task asks for, judged; the gate reads these and nothing else of this.

    Attributes:
        name: What was checked, such as ``behaviour polite-prefix``.
        outcome: What came out.
        sentence: The finding in words with its numbers; what to do where it is not passed.
        proven: ``False`` where it passed as measured, but its interval reaches beyond the limit
            or there is too little to judge it on: it holds nothing up and shows nothing.
    """

    name: str
    outcome: Outcome
    sentence: str
    proven: bool = True


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One input with its answer, for people to read.

    Attributes:
        id: Id of the example that it comes from.
        text: The input, shortened.
        actual: Its label; ``None`` where it has none.
        answer: What was answered.
        confidence: Probability of that answer.
        changed: The changed input, shortened; ``None`` where nothing was changed.
        answer_then: What was answered to the changed input.
        confidence_then: Probability of that answer. In a test of direction ``answer`` and
            ``answer_then`` are the label that it is about, whatever was answered.
    """

    id: str
    text: str
    actual: str | None
    answer: str
    confidence: float
    changed: str | None = None
    answer_then: str | None = None
    confidence_then: float | None = None


class FoundSlice(msgspec.Struct, frozen=True, kw_only=True):
    """A slice that was found to be worse than the rest.

    Attributes:
        description: The slice in words.
        kind: How it was found.
        predicate: Its SQL, to declare it in the task file; ``None`` where none says it.
        n: Examples in it.
        estimate: Share of right answers in it, not corrected for the search.
        gap: That share outside minus inside, > 0.
        gap_low: Lower bound of the gap, simultaneous over all slices that were tried.
        p_value: One-sided; corrected for the whole search.
        cases: Mistakes in it, most confident first.
    """

    description: str
    kind: Literal[
        "label", "metadata", "conjunction", "length", "language", "word", "token", "cluster"
    ]
    predicate: str | None
    n: int
    estimate: Estimate
    gap: float
    gap_low: float
    p_value: float
    cases: tuple[Case, ...] = ()


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """The search for slices that are worse than the rest.

    Attributes:
        searched: How many slices were tried.
        found: Those shown to be worse, the strongest evidence first; one that others explain is
            left out.
        suspected: Those not shown to be worse that come nearest to it, for people to look at.
        method: Test and correction.
    """

    searched: int
    found: tuple[FoundSlice, ...]
    suspected: tuple[FoundSlice, ...]
    method: str


class GroupScore(msgspec.Struct, frozen=True, kw_only=True):
    """One group of people in the examples.

    Attributes:
        name: Value of the column, or the identity term.
        n: Examples.
        estimate: The metric of the attribute; ``None`` where it cannot be had.
        answered: Share that was answered with the rule's label.
        true_positive_rate: Share of its actual label that was answered with it.
        false_positive_rate: Share of the other labels that was answered with it.
        swapped_in: Share that is answered with the rule's label when this term stands in the
            texts of all groups, which are then the same but for the term.
    """

    name: str
    n: int
    estimate: Estimate | None
    answered: Estimate | None = None
    true_positive_rate: Estimate | None = None
    false_positive_rate: Estimate | None = None
    swapped_in: Estimate | None = None


class GroupFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A group that is shown to be treated worse than the rest.

    Attributes:
        group: Its name.
        rate: Which rate: a high ``false_positive_rate``, a low ``true_positive_rate`` or a low
            ``metric``.
        inside: The rate in the group.
        rest: The same among all other examples.
        gap: How much worse, > 0.
        gap_low: Lower bound of the gap, simultaneous over all groups and rates of the rule.
        p_value: One-sided; corrected for all groups and rates of the rule (Holm).
        sentence: The finding in words.
        advice: What to do about it.
        cases: Examples of the group that it went wrong for, most confident first.
    """

    group: str
    rate: Literal["false_positive_rate", "true_positive_rate", "metric"]
    inside: Estimate
    rest: Estimate
    gap: float
    gap_low: float
    p_value: float
    sentence: str
    advice: str
    cases: tuple[Case, ...] = ()


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """The largest difference between two groups.

    Attributes:
        name: ``equal_opportunity`` (true positive rate; Hardt et al. 2016), ``equalised_odds``
            (the larger of both rates' gaps), ``demographic_parity`` (share answered) or
            ``metric``.
        value: Highest minus lowest.
        low: Lower end of its simultaneous interval.
        high: Upper end of it.
        highest: The group with the highest rate.
        lowest: The group with the lowest.
        p_value: Two-sided, of "all groups are alike"; corrected for all gaps of the rule.
    """

    name: Literal["equal_opportunity", "equalised_odds", "demographic_parity", "metric"]
    value: float
    low: float
    high: float
    highest: str
    lowest: str
    p_value: float


class AttributeScore(msgspec.Struct, frozen=True, kw_only=True):
    """Groups by one attribute.

    Attributes:
        attribute: Column, or name of the identity terms.
        label: The answer that the rates are about; ``None`` for the metric alone.
        metric: What the groups' ``estimate`` is: the objective's metric where the answers alone
            decide it, else accuracy.
        groups: By name.
        gaps: Largest differences.
        findings: Groups that are shown to be treated worse than the rest, worst first.
        swaps: Inputs in which a term of the attribute was swapped for another.
        flips: Share of those whose answer changed; ``None`` where none was swapped.
        cases: Inputs whose answer changed.
    """

    attribute: str
    label: str | None
    groups: tuple[GroupScore, ...]
    gaps: tuple[Gap, ...]
    findings: tuple[GroupFinding, ...] = ()
    swaps: int = 0
    flips: Estimate | None = None
    cases: tuple[Case, ...] = ()
    metric: str = "accuracy"


class ChangeScore(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of change to the inputs does to the answers.

    Attributes:
        change: Name of the change, such as ``typos``.
        metric: What ``before``, ``after`` and ``drop`` are in: the objective's metric where the
            answers alone decide it, else accuracy.
        n: Inputs that the change changed.
        before: That metric on them.
        after: The same on the changed inputs.
        flips: Share of the answers that changed.
        drop: ``before`` minus ``after``.
        drop_low: Lower end of its simultaneous interval over all changes.
        drop_high: Upper end of it.
        cases: Inputs that were right before and wrong after, most confident first.
    """

    change: str
    n: int
    before: Estimate
    after: Estimate
    flips: Estimate
    drop: float
    drop_low: float
    drop_high: float
    cases: tuple[Case, ...] = ()
    metric: str = "accuracy"


class BehaviourPart(msgspec.Struct, frozen=True, kw_only=True):
    """The cases of a declared minimum that have one value in the column it is reported by.

    Attributes:
        name: The value.
        n: Cases.
        failed: Cases that failed.
        passed: Share that passed.
        outcome: Whether that is enough.
        cases: Cases that failed, most confident first.
    """

    name: str
    n: int
    failed: int
    passed: Estimate
    outcome: Outcome
    cases: tuple[Case, ...] = ()


class BehaviourScore(msgspec.Struct, frozen=True, kw_only=True):
    """One declared test of behaviour.

    Attributes:
        name: Its name.
        kind: ``invariance``, ``direction`` or ``minimum``.
        asks: What it asks, in words.
        n: Cases.
        failed: Cases that failed.
        passed: Share that passed; ``None`` without cases.
        at_least: Smallest share that must pass.
        outcome: Whether it passed.
        by: Column that a minimum is reported by; ``None`` where it is not.
        parts: Each value of that column, worst first; its share is held against ``at_least``.
        cases: Cases that failed, most confident first.
    """

    name: str
    kind: str
    asks: str
    n: int
    failed: int
    passed: Estimate | None
    at_least: float
    outcome: Outcome
    by: str | None = None
    parts: tuple[BehaviourPart, ...] = ()
    cases: tuple[Case, ...] = ()


class Behaved(msgspec.Struct, frozen=True, kw_only=True):
    """What the declared tests came to, run on a release or a candidate without a contest.

    Attributes:
        task: Name of the task.
        release: Number of the release; ``None`` for a candidate.
        candidate: Id of the candidate.
        behaviour: The tests, in the order of the task file.
        checks: One for each, in words.
        notes: What a reader must know.
    """

    task: str
    release: int | None
    candidate: str
    behaviour: tuple[BehaviourScore, ...]
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether a test failed; an open one did not."""
        return any(score.outcome == "failed" for score in self.behaviour)


class RiskPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One point of the risk–coverage curve (El-Yaniv & Wiener 2010).

    Attributes:
        threshold: Answers below this confidence are withheld.
        coverage: Share that is answered.
        risk: Share of those answers that is wrong.
        low: Lower end of the risk's interval.
        high: Upper end of it.
    """

    threshold: float
    coverage: float
    risk: float
    low: float
    high: float


class Abstention(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold below which no answer is given, with its guarantee.

    Attributes:
        at_most_wrong: Bound on the share of wrong answers among those given.
        confidence: Confidence of the bound.
        threshold: Smallest confidence that is answered; ``None`` where no threshold keeps the
            bound on these examples.
        answered: Share that is answered.
        wrong: Share of the answers that was wrong; ``None`` where nothing is answered.
        method: How the threshold was found, and on what.
    """

    at_most_wrong: float
    confidence: float
    threshold: float | None
    answered: Estimate | None
    wrong: Estimate | None
    method: str


class PredictionSets(msgspec.Struct, frozen=True, kw_only=True):
    """Conformal prediction sets: sets of labels that hold the right one as often as they say.

    Attributes:
        coverage: What they promise, such as 0.9.
        covered: How often they held the right label; ``None`` where that cannot be measured on
            examples that did not set the threshold.
        size: Mean number of labels in a set.
        single: Share of sets with exactly one label.
        threshold: Score up to which a label is in the set.
        n: Examples that set the threshold.
        method: Score and source.
    """

    coverage: float
    covered: Estimate | None
    size: float
    single: float
    threshold: float
    n: int
    method: str


class ScopeScore(msgspec.Struct, frozen=True, kw_only=True):
    """How well inputs out of scope are known.

    Attributes:
        score: Name of the score in use.
        compared: Out-of-fold AUROC of every score that was tried.
        auroc: Of the score in use, on the judged examples.
        kept: Share of the inputs in scope that was not turned away.
        in_scope: Accuracy on the inputs in scope, turned away counts as wrong.
        recall: Share of the inputs out of scope that was turned away.
        precision: Share of what was turned away that was out of scope.
        threshold: Of the score.
        near: Recall by kind of what is out of scope, where a column says it.
    """

    score: str
    compared: dict[str, float]
    auroc: Estimate | None
    kept: Estimate
    in_scope: Estimate
    recall: Estimate | None
    precision: Estimate | None
    threshold: float
    near: dict[str, Estimate] = {}


class Knowing(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the predictor knows what it does not know."""

    curve: tuple[RiskPoint, ...] = ()
    area: Estimate | None = None
    abstention: Abstention | None = None
    sets: tuple[PredictionSets, ...] = ()
    scope: ScopeScore | None = None


class Privacy(msgspec.Struct, frozen=True, kw_only=True):
    """Whether answers tell which examples the predictor was trained on.

    Attributes:
        tpr_at_1_fpr: Share of training examples recognised when 1 % of others are wrongly so
            (Carlini et al. 2022); 0.01 is as good as guessing.
        auroc: Of the attack; 0.5 is as good as guessing.
        members: Training examples attacked.
        shadows: Predictors fitted for the attack.
        method: The attack.
        cases: The training examples that are told most surely.
    """

    tpr_at_1_fpr: Estimate
    auroc: Estimate
    members: int
    shadows: int
    method: str
    cases: tuple[Case, ...] = ()


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """All parts, of one candidate on the examples that its scorecard is about."""

    discovery: Discovery | None = None
    fairness: tuple[AttributeScore, ...] = ()
    robustness: tuple[ChangeScore, ...] = ()
    behaviour: tuple[BehaviourScore, ...] = ()
    knowing: Knowing | None = None
    privacy: Privacy | None = None
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
