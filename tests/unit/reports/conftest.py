"""Realistic records for the tests of reports: 77 labels, 2 labels, hostile text, thousands."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from milepost.entities.contest import Candidate, Contest, CurvePoint, Evaluation
from milepost.entities.decision import Decision
from milepost.entities.estimate import Estimate
from milepost.entities.example import Finding, QualityReport
from milepost.entities.ids import CandidateId, ContestId, Digest
from milepost.entities.learning import HeadUpdate
from milepost.entities.prediction import Predictions
from milepost.entities.release import Channel, Release
from milepost.entities.scorecard import (
    Calibration,
    CalibrationBin,
    Confusion,
    LabelScore,
    Latency,
    Mistake,
    Regime,
    Scorecard,
    SliceScore,
)
from milepost.entities.task import Objective, Task
from milepost.reports.records import ReportSubject

STARTED = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
HASH = Digest("53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")
NOUNS = ("card", "transfer", "top_up", "exchange", "cash_withdrawal", "pin", "refund", "fee")
VERBS = (
    "not_working", "pending", "declined", "charged_twice", "arrival", "limits", "lost_or_stolen",
    "wrong_amount_received", "reverted", "verify_source_of_funds",
)  # fmt: skip
HOSTILE = "<script>alert('x')</script> & \"quoted\" \x00\x1b[31m \u202egnp.exe"
RTL = "لم أستلم بطاقتي حتى الآن، أين هي؟"


def estimate(value: float, n: int, method: str = "wilson") -> Estimate:
    half = 1.96 * float(np.sqrt(max(value * (1 - value), 0.002) / max(n, 1)))
    low, high = max(0.0, value - half), min(1.0, value + half)
    at_least, at_most = max(0.0, value - half * 0.84), min(1.0, value + half * 0.84)
    return Estimate(
        value=value, low=low, high=high, n=n, method=method, at_least=at_least, at_most=at_most
    )


def label_names(k: int) -> tuple[str, ...]:
    pairs = [f"{noun}_{verb}" for verb in VERBS for noun in NOUNS]
    return tuple(pairs[i] if i < len(pairs) else f"label_{i:04d}" for i in range(k))


def label_scores(names: tuple[str, ...], n: int, seed: int) -> tuple[LabelScore, ...]:
    rng = np.random.default_rng(seed)
    each = max(1, n // len(names))
    scores: list[LabelScore] = []
    for i, name in enumerate(names):
        recall, precision = np.clip(rng.beta(12, 2, 2), 0.05, 1.0)
        missing = len(names) > 10 and i == 3
        scores.append(
            LabelScore(
                label=name,
                n=0 if missing else each,
                precision=None if missing else estimate(float(precision), each),
                recall=None if missing else estimate(float(recall), each),
                f1=None if missing else float(2 * recall * precision / (recall + precision)),
            )
        )
    return tuple(scores)


def calibration(n: int, seed: int) -> Calibration:
    rng = np.random.default_rng(seed)
    bins: list[CalibrationBin] = []
    each = max(1, n // 15)
    for confidence in np.linspace(0.31, 0.995, 15):
        accuracy = float(np.clip(confidence + rng.normal(0, 0.025), 0, 1))
        e = estimate(accuracy, each)
        bins.append(
            CalibrationBin(
                confidence=float(confidence), accuracy=accuracy, low=e.low, high=e.high, n=each
            )
        )
    return Calibration(ece=0.021, ece_if_perfect=0.017, temperature=1.31, bins=tuple(bins))


def confusions(names: tuple[str, ...]) -> tuple[Confusion, ...]:
    texts = (
        ("My card still has not arrived and I ordered it two weeks ago, what is going on?", 0.91),
        (HOSTILE, 0.88),
        (RTL, 0.74),
    )
    mistakes = tuple(
        Mistake(id=f"row-{i}", text=text, confidence=share) for i, (text, share) in enumerate(texts)
    )
    rows: list[Confusion] = []
    for i in range(min(14, len(names) * (len(names) - 1))):
        actual = names[i % len(names)]
        predicted = names[(i * 3 + 1) % len(names)]
        if actual != predicted:
            rows.append(
                Confusion(
                    actual=actual, predicted=predicted, n=max(1, 17 - 2 * i), examples=mistakes
                )
            )
    return tuple(rows)


def slices(value: float, n: int) -> tuple[SliceScore, ...]:
    return (
        SliceScore(
            name="short",
            predicate="length(text) < 40",
            n=n // 2,
            estimate=estimate(value + 0.02, n // 2),
            gap=-0.04,
            gap_low=-0.09,
            gap_high=0.01,
            p_value=0.98,
        ),
        SliceScore(
            name="german",
            predicate="lang = 'de'",
            n=n // 12,
            estimate=estimate(value - 0.17, n // 12),
            gap=0.18,
            gap_low=0.07,
            gap_high=0.29,
            p_value=0.0004,
        ),
        SliceScore(
            name="written-on-a-phone-while-travelling-abroad",
            predicate="channel = 'app' AND country <> home",
            n=n // 40,
            estimate=estimate(value - 0.03, max(1, n // 40)),
            gap=0.03,
            gap_low=-0.2,
            gap_high=0.26,
            p_value=0.9,
        ),
        SliceScore(name="empty", predicate="text = ''", n=0, estimate=None),
    )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a fake contest is made of: strategy to (value, USD per 1k, p50 ms)."""

    task: str
    metric: str
    n: int
    names: tuple[str, ...]
    regime: Regime
    strategies: dict[str, tuple[float, float, float]]
    chosen: str
    decision: Decision
    release: int | None = None
    failures: tuple[tuple[str, str], ...] = ()
    sliced: bool = True


def scorecard(recipe: Recipe, strategy: str) -> Scorecard:
    value, cost, p50 = recipe.strategies[strategy]
    n = recipe.n
    others = {"accuracy": 0.01, "balanced_accuracy": -0.004, "macro_f1": -0.008, "mcc": -0.03}
    metrics = {
        name: estimate(min(0.999, max(0.0, value + shift)), n) for name, shift in others.items()
    }
    metrics[recipe.metric] = estimate(value, n, "bca")
    return Scorecard(
        regime=recipe.regime,
        metric=recipe.metric,
        metrics=metrics,
        labels=label_scores(recipe.names, n, seed=1),
        slices=slices(value, n) if recipe.sliced else (),
        calibration=calibration(n, seed=2),
        confusions=confusions(recipe.names),
        latency=Latency(
            p50_ms=p50,
            p95_ms=p50 * 1.6,
            n=50,
            cpu_seconds_per_1k=cost * 90_000,
            cost_per_1k_usd=cost,
        ),
        looks=0 if recipe.regime == "cross_fitted" else 1,
        notes=("The interval of the chosen candidate is corrected for choosing (BBC-CV).",),
        provenance={
            "examples": HASH,
            "holdout": HASH[::-1],
            "encoder": HASH,
            "variant": "fp32",
            "code": "0.1.0",
        },
    )


def contest(recipe: Recipe) -> Contest:
    identity = ContestId("c0ffee123456")
    candidates = [
        Candidate(
            id=CandidateId(f"{identity}-{name}"),
            strategy=name,
            parameters={"shrinkage": 0.1},
            selection=estimate(value[0] + 0.012, recipe.n * 4),
            scorecard=scorecard(recipe, name),
            bundle=HASH,
            chosen=name == recipe.chosen,
            fit_seconds=1.7,
        )
        for name, value in recipe.strategies.items()
    ]
    candidates += [
        Candidate(id=CandidateId(f"{identity}-{name}"), strategy=name, error=error)
        for name, error in recipe.failures
    ]
    top = max(value[0] for value in recipe.strategies.values())
    curve = tuple(
        CurvePoint(examples=size, estimate=estimate(top * (1 - 0.6 / size**0.35), recipe.n))
        for size in (77, 154, 308, 462, 616, 770)
    )
    return Contest(
        id=identity,
        task=recipe.task,
        task_version=HASH,
        examples=HASH,
        holdout=None if recipe.regime == "cross_fitted" else HASH,
        regime=recipe.regime,
        seed=0,
        budget_seconds=60.0,
        started=STARTED,
        seconds=12.34,
        candidates=tuple(candidates),
        curve=curve,
        decision=recipe.decision,
        release=recipe.release,
        code="0.1.0",
    )


BANKING = Recipe(
    task="route",
    metric="accuracy",
    n=3080,
    names=label_names(77),
    regime="test_file",
    strategies={
        "head_logistic": (0.8612, 0.0031, 4.13),
        "head_closed_form": (0.8574, 0.0030, 4.08),
        "neighbours": (0.8221, 0.0033, 4.61),
        "tfidf_linear": (0.7483, 0.00042, 0.31),
        "zero_shot": (0.6127, 0.0030, 4.02),
        "majority": (0.0130, 0.0000009, 0.004),
    },
    chosen="head_logistic",
    decision=Decision(
        verdict="released",
        reasons=(
            "The accuracy is at least 0.851 with 95 % confidence, above the floor of 0.80.",
            "It beats majority by 0.848 (exact McNemar, p < 0.0001, n = 3,080).",
            "One prediction takes 6.6 ms at the 95th percentile; 25 ms are allowed.",
        ),
    ),
    release=1,
    failures=(
        ("prompted", "It needs a language model, and no upstream is registered. Add one."),
        (
            "my_plugin_with_a_long_name",
            "It failed: ValueError: could not broadcast input array from shape (770, 384) into "
            "shape (770, 77)\n  while fitting fold 3 of 5",
        ),
    ),
)
CHURN = Recipe(
    task="churn",
    metric="balanced_accuracy",
    n=66,
    names=("at-risk", "staying"),
    regime="cross_fitted",
    strategies={
        "head_closed_form": (0.842, 0.0030, 4.1),
        "head_logistic": (0.836, 0.0031, 4.2),
        "tfidf_linear": (0.701, 0.0004, 0.3),
        "majority": (0.5, 0.0, 0.004),
    },
    chosen="head_closed_form",
    decision=Decision(
        verdict="insufficient_evidence",
        reasons=(
            "The balanced accuracy is somewhere between 0.74 and 0.92 on 66 examples; a floor of "
            "0.85 can be neither met nor missed.",
            "About 190 more labelled examples would settle it at the present rate.",
        ),
    ),
    sliced=False,
)


def task_for(recipe: Recipe, floor: float | None, instruction: str) -> Task:
    return Task(
        name=recipe.task,
        instruction=instruction,
        labels=dict.fromkeys(recipe.names, ""),
        objective=Objective(metric=recipe.metric, at_least=floor),  # pyright: ignore[reportArgumentType]
    )


def quality(names: tuple[str, ...], rows: int) -> QualityReport:
    return QualityReport(
        rows=rows,
        used=rows - 3,
        labelled=rows - 13,
        label_counts=dict.fromkeys(names, rows // len(names)),
        findings=(
            Finding(
                check="empty_texts",
                severity="error",
                count=3,
                summary="3 rows have no text and were left out.",
                examples=("inbox.csv:17", "inbox.csv:90"),
            ),
            Finding(
                check="conflicting_labels",
                severity="warning",
                count=7,
                summary="7 texts have more than one label; nobody can be right about both.",
                examples=(
                    "inbox.csv:12 'where is my card' is card_arrival, inbox.csv:88 says lost",
                    f"inbox.csv:14 {HOSTILE}",
                    RTL,
                ),
            ),
            Finding(
                check="rare_labels",
                severity="note",
                count=2,
                summary="2 labels have fewer than five examples.",
            ),
        ),
    )


def subject_for(recipe: Recipe, floor: float | None, instruction: str) -> ReportSubject:
    fought = contest(recipe)
    releases = tuple(
        Release(
            task=recipe.task,
            number=number,
            candidate=fought.candidates[0].id,
            contest=fought.id,
            bundle=HASH,
            strategy=recipe.chosen,
            created=STARTED + timedelta(days=number),
            actor="ada",
        )
        for number in (1, 2)
    )
    released = recipe.release is not None
    channel = Channel(task=recipe.task, name="production", release=2, previous=1, version=3)
    return ReportSubject(
        task=task_for(recipe, floor, instruction),
        contest=fought,
        quality=quality(recipe.names, 10_013),
        test_quality=quality(recipe.names, recipe.n) if recipe.regime == "test_file" else None,
        releases=releases if released else (),
        channel=channel if released else None,
    )


def many_labels_recipe() -> Recipe:
    return Recipe(
        task="products",
        metric="macro_f1",
        n=20_000,
        names=label_names(5000),
        regime="holdout",
        strategies={
            f"strategy_{i}": (0.9 - 0.001 * i, 0.003 * (1 + 0.01 * i), 4.0) for i in range(10)
        },
        chosen="strategy_0",
        decision=Decision(verdict="kept", reasons=("Release 4 is as good.",)),
    )


def foreign_recipe() -> Recipe:
    names = ("退款请求：客户想要退回全部款项并取消订单", "شكوى", "доставка", "😀 praise", HOSTILE)
    return Recipe(
        task="foreign",
        metric="mcc",
        n=500,
        names=names,
        regime="holdout",
        strategies={"head_closed_form": (0.71, 0.003, 4.0)},
        chosen="head_closed_form",
        decision=Decision(verdict="rejected", reasons=(f"Не достигнут порог. {HOSTILE}",)),
    )


def failed_contest() -> Contest:
    return Contest(
        id=ContestId("cdeadbeef0000"),
        task="doomed",
        task_version=HASH,
        examples=HASH,
        holdout=None,
        regime="cross_fitted",
        seed=0,
        budget_seconds=None,
        started=STARTED,
        seconds=0.2,
        candidates=(
            Candidate(id=CandidateId("x-a"), strategy="a", error="It failed: KeyError: 'b'"),
        ),
        decision=Decision(verdict="insufficient_evidence", reasons=()),
        code="0.1.0",
    )


@pytest.fixture(scope="session")
def banking() -> ReportSubject:
    return subject_for(BANKING, 0.80, "Which queue should this message go to?")


@pytest.fixture(scope="session")
def churn() -> ReportSubject:
    return subject_for(CHURN, 0.85, "Does the writer signal that he or she may leave?")


@pytest.fixture(scope="session")
def products() -> ReportSubject:
    return subject_for(many_labels_recipe(), None, "")


@pytest.fixture(scope="session")
def foreign() -> ReportSubject:
    return subject_for(foreign_recipe(), 0.9, "这条消息属于哪一类？")


@pytest.fixture(scope="session")
def doomed() -> ReportSubject:
    return ReportSubject(task=Task(name="doomed"), contest=failed_contest())


@pytest.fixture(scope="session")
def untouched() -> ReportSubject:
    return ReportSubject(task=Task(name="fresh", instruction="Not improved yet."))


@pytest.fixture(scope="session")
def evaluation(banking: ReportSubject) -> Evaluation:
    return evaluation_of(banking)


def evaluation_of(subject: ReportSubject) -> Evaluation:
    import msgspec

    assert subject.contest is not None
    best = subject.contest.candidates[0]
    assert best.scorecard is not None
    card = msgspec.structs.replace(best.scorecard, regime="test_file", unknown_labels=4)
    return Evaluation(task="route", release=1, candidate=best.id, scorecard=card)


@dataclass(frozen=True)
class FakeAnswers:
    task: str
    release: int | None
    candidate: str
    texts: tuple[str, ...]
    predictions: Predictions
    sets: tuple[tuple[str, ...], ...] | None = None
    may_withhold: bool = False
    update: HeadUpdate | None = None


@pytest.fixture(scope="session")
def answered() -> FakeAnswers:
    return answers()


def answers() -> FakeAnswers:
    texts = ("my card was stolen", RTL, HOSTILE, "Where is my parcel? " * 30)
    rows = np.array(
        [[0.97, 0.02, 0.01], [0.2, 0.5, 0.3], [0.34, 0.33, 0.33], [0.1, 0.1, 0.8]], np.float32
    )
    labels = ("card_lost_or_stolen", "delivery", "退款请求")
    return FakeAnswers("route", 3, "c0ffee123456-head_logistic", texts, Predictions(labels, rows))
