"""Records of a contest: its candidates, its verdict and its learning curve."""

from datetime import datetime

import msgspec

from milepost.entities.asked import Asked
from milepost.entities.decision import Comparison, Decision
from milepost.entities.estimate import Estimate
from milepost.entities.ids import CandidateId, ContestId, Digest
from milepost.entities.scorecard import Regime, Scorecard

SEARCHED = "searched"
"""Parameter of a candidate that tells of the search for the others: how many were tried, of how
many, and what each fold took."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy's predictor in one contest.

    Attributes:
        id: ``<contest>-<strategy>``.
        strategy: Name of the strategy.
        parameters: Its parameters, and what it chose by itself.
        selection: Out-of-fold estimate on which candidates are ranked and one is chosen;
            ``None`` when it failed.
        scorecard: Certified numbers; ``None`` when it failed.
        bundle: Digest of the stored bundle's manifest; ``None`` when it failed.
        predictions: Digest of the stored evaluation predictions; ``None`` when it failed.
        chosen: Whether the contest put it before the gate.
        error: Why there is no scorecard; ``None`` when there is one.
        fit_seconds: Wall time of fitting, folds included; where tasks were tuned together, this
            task's share of the tuning too.
        fit_cpu_seconds: Processor time of fitting, folds included, and of encoding for the first
            candidate that needs vectors; ``None`` where it was not measured.
        fit_cost_usd: ``fit_cpu_seconds`` at the workspace's price of a CPU-hour, and what it asked
            language models.
        against: Paired comparison with ``majority`` on the same examples.
        behind: The chosen candidate against this one on the same examples; p-values corrected for
            all candidates (Holm). ``None`` for the chosen one, and for one without numbers.
        foreseen_micro_usd: What its calls of language models were foreseen to cost, in micro-USD;
            ``None`` where it asks none, or nobody could say.
        asked: What it asked them, by upstream.
        size_bytes: What its bundle takes on a disk; an encoder that tasks share is not part of it.
            ``None`` when it failed.
        notes: What its fits said that whoever reads the numbers should know, as sentences.
    """

    id: CandidateId
    strategy: str
    parameters: dict[str, object] = {}
    selection: Estimate | None = None
    scorecard: Scorecard | None = None
    bundle: Digest | None = None
    predictions: Digest | None = None
    chosen: bool = False
    error: str | None = None
    fit_seconds: float = 0.0
    fit_cpu_seconds: float | None = None
    fit_cost_usd: float | None = None
    against: Comparison | None = None
    behind: Comparison | None = None
    foreseen_micro_usd: int | None = None
    asked: tuple[Asked, ...] = ()
    size_bytes: int | None = None
    notes: tuple[str, ...] = ()


class CurvePoint(msgspec.Struct, frozen=True, kw_only=True):
    """Metric at a number of training examples, measured out of fold."""

    examples: int
    estimate: Estimate


class Moving(msgspec.Struct, frozen=True, kw_only=True):
    """What a contest was asked whose task is to move to another encoder.

    Attributes:
        loss: Largest loss of the objective's metric against the release in production that is
            accepted, 0 or more.
        against: The candidate against that release on the same examples, its interval as sure as
            the decision; ``None`` where the two could not be compared.
        before: The metric of that release on those examples; ``None`` as above.
        together: Whether the decision was taken for all tasks at once, or that none of them moves.
    """

    loss: float
    against: Comparison | None = None
    before: Estimate | None = None
    together: bool = False


class Contest(msgspec.Struct, frozen=True, kw_only=True):
    """All strategies on one task, under one budget, one seed and one harness.

    Attributes:
        id: ``c`` and 12 hex digits.
        task: Task name.
        task_version: Digest of the task as it was.
        examples: Digest of the training snapshot.
        holdout: Digest of what it was certified on; ``None`` when cross-fitted.
        split: Digest of the stored record of which rows were trained on and which certified on;
            ``None`` in contests of versions that did not keep it.
        regime: How it was certified.
        seed: The one seed.
        budget_seconds: Wall time allowed; ``None`` for no limit.
        started: When, UTC.
        seconds: How long it took.
        candidates: Best first, as ranked out of fold; failures last.
        curve: Learning curve of the closed-form head.
        forecast: What that head is expected to reach with more labels; empty where the curve does
            not allow one.
        decision: What the gate said.
        release: Number of the release that it led to, or ``None``.
        actors: Everybody whose process worked on it; none of them may approve its release.
        code: milepost version.
        waits_for: Approvals that its release still lacks before it goes into production.
        budget_micro_usd: What language models were allowed to cost, in micro-USD; ``None`` where
            none was asked.
        spent_micro_usd: What the books say that they did cost: of answers that were known from
            before, nothing.
        moving: What was asked where the task is to move to another encoder; ``None`` otherwise.
        needs: Digests of stored bytes besides the split without which no number can be recomputed:
            of tasks tuned together the record and its adapters.
    """

    id: ContestId
    task: str
    task_version: Digest
    examples: Digest
    holdout: Digest | None
    split: Digest | None = None
    regime: Regime
    seed: int
    budget_seconds: float | None
    started: datetime
    seconds: float
    candidates: tuple[Candidate, ...]
    curve: tuple[CurvePoint, ...] = ()
    forecast: tuple[CurvePoint, ...] = ()
    decision: Decision
    release: int | None = None
    code: str
    actors: tuple[str, ...] = ()
    waits_for: int = 0
    budget_micro_usd: int | None = None
    spent_micro_usd: int = 0
    moving: Moving | None = None
    needs: tuple[Digest, ...] = ()

    @property
    def chosen(self) -> Candidate | None:
        """The candidate put before the gate, if any."""
        return next((c for c in self.candidates if c.chosen), None)


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """A release or candidate on a labelled file from outside.

    Attributes:
        task: Task name.
        release: Number of the release, or ``None`` for an unreleased candidate.
        candidate: Id of the candidate.
        scorecard: Its numbers on the file; the regime is ``test_file``.
        seen: Rows of the file that it was trained on, or near-duplicates of such: they flatter it.
        on_unseen: The objective's metric on the others; ``None`` where there are none, or nothing
            was seen.
        rows: Rows of the file; of an order of candidates the scorecard counts queries. 0 where
            nobody counted.
    """

    task: str
    release: int | None
    candidate: CandidateId
    scorecard: Scorecard
    seen: int = 0
    on_unseen: Estimate | None = None
    rows: int = 0
