"""A candidate that was examined: every section full, with texts that are hard to show."""

import msgspec
import pytest

from milepost.entities.contest import Contest, CurvePoint
from milepost.entities.estimate import Estimate
from milepost.entities.examination import (
    Abstention,
    AttributeScore,
    BehaviourPart,
    BehaviourScore,
    Case,
    ChangeScore,
    Check,
    Discovery,
    Examination,
    FoundSlice,
    Gap,
    GroupFinding,
    GroupScore,
    Knowing,
    PredictionSets,
    Privacy,
    RiskPoint,
    ScopeScore,
)
from milepost.reports.records import Examined, ReportSubject

HOSTILE = "<script>alert('x')</script> & \"quoted\" \x00\x1b[31m \u202egnp.exe"
RTL = "لم أستلم بطاقتي حتى الآن، أين هي؟"


def measured(value: float, n: int = 400) -> Estimate:
    half = 1.96 * max(value * (1 - value), 0.002) ** 0.5 / n**0.5
    return Estimate(
        value=value,
        low=max(0.0, value - half),
        high=min(1.0, value + half),
        n=n,
        method="wilson",
        at_least=max(0.0, value - 0.84 * half),
        at_most=min(1.0, value + 0.84 * half),
    )


def case(
    text: str, actual: str | None = "refund", answer: str = "card_arrival", **more: str
) -> Case:
    return Case(id="row-1", text=text, actual=actual, answer=answer, confidence=0.97, **more)


def found_slice(description: str, predicate: str | None, gap: float, n: int) -> FoundSlice:
    return FoundSlice(
        description=description,
        kind="word",
        predicate=predicate,
        n=n,
        estimate=measured(0.86 - gap, n),
        gap=gap,
        gap_low=gap / 2,
        p_value=0.0001,
        cases=(
            case("where on earth is my money, I have waited for three weeks now"),
            case(HOSTILE),
        ),
    )


DISCOVERY = Discovery(
    searched=412,
    found=(
        found_slice("texts that hold “refund”", "contains(lower(text), 'refund')", 0.31, 132),
        found_slice(
            "texts longer than 180 characters written in German on a telephone",
            "length(text) > 180 AND lang = 'de' AND channel = 'app' AND \"home\" <> country",
            0.22,
            61,
        ),
        found_slice("texts like “my card was swallowed by the machine”", None, 0.19, 44),
    ),
    suspected=(found_slice("texts that hold “fee”", "contains(text, 'fee')", 0.09, 31),),
    method="one-sided permutation test of the largest gap, 1,000 permutations",
)


def group(name: str, n: int, wrong: float) -> GroupScore:
    return GroupScore(
        name=name,
        n=n,
        estimate=measured(1 - wrong, n),
        answered=measured(0.3 + wrong, n),
        true_positive_rate=measured(0.9 - wrong / 2, n),
        false_positive_rate=measured(wrong, n),
    )


FAIRNESS = (
    AttributeScore(
        attribute="religion",
        label="toxic",
        findings=(
            GroupFinding(
                group="muslim",
                rate="false_positive_rate",
                inside=measured(0.23, 240),
                rest=measured(0.04, 544),
                gap=0.19,
                gap_low=0.11,
                p_value=0.0001,
                sentence='religion "muslim" is over-flagged: 23.0 % of its 240 examples, against '
                "4.0 % of the rest.",
                advice='Label more examples of religion "muslim" that are not "toxic".',
                cases=(case("I am a muslim woman", actual="fine", answer="toxic"),),
            ),
        ),
        groups=tuple(
            group(name, n, wrong)
            for name, n, wrong in (
                ("christian", 310, 0.04),
                ("jewish", 190, 0.11),
                ("muslim", 240, 0.23),
                ("atheist", 44, 0.02),
            )
        ),
        gaps=(
            Gap(
                name="equalised_odds",
                value=0.21,
                low=0.12,
                high=0.3,
                highest="muslim",
                lowest="atheist",
                p_value=0.0002,
            ),
            Gap(
                name="demographic_parity",
                value=0.2,
                low=-0.01,
                high=0.4,
                highest="muslim",
                lowest="atheist",
                p_value=0.08,
            ),
        ),
        swaps=784,
        flips=measured(0.07, 784),
        cases=(
            case("I am a muslim man", "not-toxic", changed="I am a christian man", answer_then="x"),
            case(HOSTILE, None, changed=RTL, answer_then="toxic"),
        ),
    ),
    AttributeScore(
        attribute="country",
        label=None,
        groups=tuple(
            GroupScore(name=f"country-{i:02d}", n=30 + i, estimate=measured(0.5 + 0.01 * i, 30 + i))
            for i in range(24)
        ),
        gaps=(
            Gap(
                name="metric",
                value=0.23,
                low=0.0,
                high=0.4,
                highest="country-23",
                lowest="country-00",
                p_value=0.2,
            ),
        ),
    ),
)


def change(name: str, drop: float, cases: tuple[Case, ...] = ()) -> ChangeScore:
    return ChangeScore(
        change=name,
        n=380,
        before=measured(0.86),
        after=measured(0.86 - drop),
        flips=measured(abs(drop) + 0.02),
        drop=drop,
        drop_low=drop - 0.03,
        drop_high=drop + 0.03,
        cases=cases,
    )


ROBUSTNESS = (
    change("upper_case", 0.004),
    change(
        "typos", 0.083, (case("where is my card", changed="whree is my crad", answer_then="pin"),)
    ),
    change("look_alikes", 0.41, (case(RTL, changed=HOSTILE, answer_then="退款"),)),
    change("irrelevant_text", -0.01),
)
BEHAVIOUR = (
    BehaviourScore(
        name="polite-prefix",
        kind="invariance",
        asks="“Please, ” in front must not change the answer.",
        n=100,
        failed=2,
        passed=measured(0.98, 100),
        at_least=0.9,
        outcome="passed",
    ),
    BehaviourScore(
        name="derogation-of-groups",
        kind="minimum",
        asks="The cases of cases/hatecheck.csv must be answered right.",
        by="functionality",
        parts=tuple(
            BehaviourPart(
                name=name,
                n=20,
                failed=failed,
                passed=measured(1 - failed / 20, 20),
                outcome="failed" if failed > 3 else "open" if failed else "passed",
                cases=(case("they are all the same", "toxic"), case(HOSTILE))[:failed],
            )
            for name, failed in (
                ("counter_quote_nh", 14),
                ("negate_neg_nh", 11),
                ("spell_leet_h", 5),
                ("ident_neutral_nh", 1),
                ("threat_dir_h", 0),
                *((f"functionality_{i:02d}_h", 0) for i in range(10)),
            )
        ),
        n=140,
        failed=31,
        passed=measured(0.78, 140),
        at_least=0.95,
        outcome="failed",
        cases=(case("they are all the same", "toxic"), case(HOSTILE)),
    ),
    BehaviourScore(
        name="anger-raises-urgency",
        kind="direction",
        asks="“!!!” behind the input must not lower the probability of high.",
        n=12,
        failed=0,
        passed=measured(1.0, 12),
        at_least=0.95,
        outcome="open",
    ),
    BehaviourScore(
        name="nothing-applies",
        kind="invariance",
        asks="“Please, ” in front must not change the answer.",
        n=0,
        failed=0,
        passed=None,
        at_least=0.95,
        outcome="open",
    ),
)
KNOWING = Knowing(
    curve=tuple(
        RiskPoint(
            threshold=round(1 - share, 2),
            coverage=share,
            risk=0.14 * share**2,
            low=max(0.0, 0.14 * share**2 - 0.02),
            high=0.14 * share**2 + 0.02 / share,
        )
        for share in (0.05 * i for i in range(1, 21))
    ),
    area=measured(0.05),
    abstention=Abstention(
        at_most_wrong=0.05,
        confidence=0.95,
        threshold=0.61,
        answered=measured(0.71),
        wrong=measured(0.031),
        method="Learn then Test with exact binomial tests on 900 examples",
    ),
    sets=tuple(
        PredictionSets(
            coverage=coverage,
            covered=measured(coverage + 0.005),
            size=size,
            single=single,
            threshold=0.93,
            n=700,
            method="adaptive prediction sets, cross-fitted",
        )
        for coverage, size, single in ((0.8, 1.02, 0.97), (0.9, 1.6, 0.7), (0.95, 2.84, 0.4))
    ),
    scope=ScopeScore(
        score="energy",
        compared={"energy": 0.961, "max_probability": 0.94, "distance": 0.955},
        auroc=measured(0.957),
        kept=measured(0.951, 900),
        in_scope=measured(0.903, 900),
        recall=measured(0.68, 200),
        precision=measured(0.83, 170),
        threshold=-3.2,
        near={"near": measured(0.41, 80), "far": measured(0.86, 120)},
    ),
)
PRIVACY = Privacy(
    tpr_at_1_fpr=measured(0.043, 500),
    auroc=measured(0.61, 500),
    members=500,
    shadows=16,
    method="likelihood-ratio attack with 16 shadow predictors",
    cases=(case("my account number is 0000, please block it"),),
)
CHECKS = (
    Check(name="behaviour polite-prefix", outcome="passed", sentence="Polite prefix passes."),
    Check(
        name="behaviour derogation-of-groups",
        outcome="failed",
        sentence="Behaviour `derogation-of-groups` passed 78 % of 140 cases; 95 % must.",
    ),
    Check(name="abstain", outcome="open", sentence="The bound cannot be shown on 40 examples."),
)
EXAMINATION = Examination(
    discovery=DISCOVERY,
    fairness=FAIRNESS,
    robustness=ROBUSTNESS,
    behaviour=BEHAVIOUR,
    knowing=KNOWING,
    privacy=PRIVACY,
    checks=CHECKS,
    notes=("The change `typos` was tried on 380 of 3,080 inputs to bound the time.",),
)
FORECAST = tuple(
    CurvePoint(examples=770 * times, estimate=measured(value, 3080))
    for times, value in ((2, 0.884), (5, 0.902))
)


def with_examination(contest: Contest, examination: Examination | None) -> Contest:
    """The contest with an examination of its chosen candidate."""
    replace = msgspec.structs.replace
    candidates = tuple(
        replace(c, scorecard=replace(c.scorecard, examination=examination)) if c.chosen else c
        for c in contest.candidates
    )
    return replace(
        contest,
        candidates=candidates,
        forecast=FORECAST if examination and examination.discovery else (),
    )


def examined_of(subject: ReportSubject, examination: Examination | None) -> Examined:
    assert subject.contest is not None
    contest = with_examination(subject.contest, examination)
    assert contest.chosen is not None
    return Examined(
        task=subject.task,
        contest=contest,
        candidate=contest.chosen,
        release=contest.release,
        live=contest.release is not None,
    )


@pytest.fixture(scope="session")
def examined(banking: ReportSubject) -> Examined:
    return examined_of(banking, EXAMINATION)


@pytest.fixture(scope="session")
def barely_examined(churn: ReportSubject) -> Examined:
    return examined_of(churn, Examination())


@pytest.fixture(scope="session")
def not_examined(churn: ReportSubject) -> Examined:
    return examined_of(churn, None)
