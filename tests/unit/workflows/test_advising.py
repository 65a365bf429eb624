from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost._base.settings import Settings
from milepost.entities.asked import Asked
from milepost.entities.contest import Candidate, Contest
from milepost.entities.decision import Comparison, Decision
from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.estimate import Estimate
from milepost.entities.ids import CandidateId, ContestId, Digest
from milepost.entities.language import Message, ModelRequest
from milepost.entities.scorecard import Latency, Scorecard
from milepost.entities.upstream import Price
from milepost.models.language.inside.fake import Fake, fake_upstream
from milepost.reports.advice import advice_document
from milepost.workflows import advising
from milepost.workflows.advising import advise

PRICE = Price(since=date(2026, 10, 1), input=2_500_000, output=10_000_000)


def candidate(name: str, value: float, usd: float, *, asks: bool = False, **more: Any) -> Candidate:
    quality = Estimate(
        value=value, low=value - 0.03, high=value + 0.03, n=400, method="wilson",
        at_least=value - 0.025, at_most=value + 0.025,
    )  # fmt: skip
    latency = Latency(p50_ms=1, p95_ms=2, n=400, cpu_seconds_per_1k=1, cost_per_1k_usd=usd)
    card = Scorecard(
        regime="holdout", metric="accuracy", metrics={"accuracy": quality}, latency=latency
    )
    asked = (Asked(upstream="big", model="m", price=PRICE, requests=400),) if asks else ()
    return Candidate(
        id=CandidateId(f"c1-{name}"), strategy=name, scorecard=card, asked=asked, **more
    )


def contest(*candidates: Candidate) -> Contest:
    return Contest(
        id=ContestId("c1"), task="route", task_version=Digest("0" * 64), examples=Digest("1" * 64),
        holdout=None, split=Digest("2" * 64), regime="holdout", seed=0, budget_seconds=None,
        started=datetime(2026, 11, 1, tzinfo=UTC), seconds=1.0, candidates=candidates,
        decision=Decision(verdict="released", reasons=()), code="0",
    )  # fmt: skip


@pytest.fixture
def advised(monkeypatch: pytest.MonkeyPatch):
    """Advice on a contest with these candidates, which were trained on 500 labels."""

    def ask(*candidates: Candidate, **assumed: object):
        monkeypatch.setattr(advising, "last_contest", lambda context, name: contest(*candidates))
        monkeypatch.setattr(advising, "_trained_on", lambda context, contest: 500)
        context = SimpleNamespace(
            settings=Settings(), clock=lambda: datetime(2026, 11, 2, tzinfo=UTC)
        )
        return advise(cast("Any", context), "route", assumed)

    return ask


def behind(difference: float) -> Comparison:
    return Comparison(
        metric="accuracy", against="x", difference=difference, low=difference - 0.02,
        high=difference + 0.02, p_value=0.01, p_worse=0.9, n=400, method="exact McNemar",
    )  # fmt: skip


def test_break_even_is_where_both_bills_are_the_same(advised) -> None:
    own = candidate("head_logistic", 0.93, 0.0001, chosen=True, fit_cost_usd=0.5)
    prompted = candidate("prompted", 0.90, 0.40, asks=True, behind=behind(0.03))
    found = advised(own, prompted, usd_per_label=0.2, months=6.0, labels_per_month=10)
    (even,) = found.break_even
    assert (even.specialist, even.prompted, even.worth) == ("head_logistic", "prompted", "pays")
    assert even.once_usd == pytest.approx(500 * 0.2 + 0.5)
    assert (even.low, even.high) == (pytest.approx(1.0), pytest.approx(5.0))
    at = advised(
        own, prompted, usd_per_label=0.2, months=6.0, labels_per_month=10, per_month=even.per_month
    )
    bills = {offer.strategy: offer.month_usd for offer in at.offers}
    assert bills["head_logistic"] == pytest.approx(bills["prompted"], rel=1e-4)


@given(
    saved=st.floats(0.001, 50.0),
    label=st.floats(0.0, 5.0),
    months=st.floats(0.5, 60.0),
    fixed=st.floats(0.0, 500.0),
)
def test_below_break_even_prompting_is_cheaper_and_above_it_is_not(
    saved, label, months, fixed
) -> None:
    own = advising.Offer(
        id=CandidateId("a"), strategy="own", quality=candidate("x", 0.9, 1).scorecard.objective,
        usd_per_1k=0.01, labels=100, once_usd=100 * label, usd_per_month=fixed,
    )  # fmt: skip
    other = advising.Offer(
        id=CandidateId("b"), strategy="other", quality=own.quality, usd_per_1k=0.01 + saved,
        upstreams=("big",),
    )  # fmt: skip
    rows = [SimpleNamespace(id=each, behind=None, scorecard=None) for each in ("a", "b")]
    both = SimpleNamespace(candidates=rows)
    given_ = advising.Assumptions(usd_per_label=label, months=months, fixed_usd_per_month=fixed)
    even = advising._against(cast("Any", both), own, other, given_, 1.0)

    def bill(offer, answers: float) -> float:
        spread = offer.once_usd / months + offer.usd_per_month
        return answers * offer.usd_per_1k / 1000 + spread

    assert even.per_month is not None
    assert bill(own, even.per_month + 1) <= bill(other, even.per_month + 1) * (1 + 1e-9)
    if even.per_month > 1:
        assert bill(own, even.per_month - 2) > bill(other, even.per_month - 2) * (1 - 1e-9)


def test_break_even_is_within_a_tenth_of_a_replayed_bill(advised) -> None:
    """What was measured on 400 messages against the bills of months with other messages."""
    model = Fake(fake_upstream(base_url="fake:?accuracy=0.9&seed=4"))
    labels = "- refund: money back\n- card: lost or stolen card"

    def paid(numbers: range) -> float:
        """Micro-USD of these messages, of which no two are equally long."""
        total = 0
        for number in numbers:
            text = f"message {number}: " + "please help with my card " * (number * 7919 % 23)
            user = f"Which queue?\n{labels}\n\nText: {text}\nLabel:"
            total += model.say(
                ModelRequest(messages=(Message(role="user", content=user),))
            ).micro_usd
        return total

    measured = paid(range(400)) / 400 / 1000
    own = candidate("head_logistic", 0.93, 0.0005, chosen=True)
    prompted = candidate("prompted", 0.90, measured, asks=True)
    (even,) = advised(own, prompted, usd_per_label=0.001, months=1.0).break_even
    # Replayed message by message: the month in which the bill of prompting reaches the other one.
    burden, spent, answers = 500 * 0.001 * 1e6, 0.0, 0
    while spent < burden + answers * 0.0005 * 1000:
        spent += paid(range(1000 + answers, 1020 + answers))
        answers += 20
    assert even.per_month == pytest.approx(answers, rel=0.1)


def test_the_price_of_a_point_follows_the_offers_that_nothing_beats(advised) -> None:
    found = advised(
        candidate("majority", 0.5, 0.0),
        candidate("tfidf_linear", 0.80, 0.001),
        candidate("neighbours", 0.78, 0.002),
        candidate("cascade", 0.92, 0.061, chosen=True),
        candidate("prompted", 0.90, 0.40, asks=True),
    )
    (point,) = found.points
    assert (point.cheaper, point.better) == ("tfidf_linear", "cascade")
    assert point.points == pytest.approx(12.0)
    assert point.usd_per_point == pytest.approx(0.005)
    assert point.sure
    text = advice_document(found).plain()
    assert "From tfidf_linear to cascade: 12.0 points for $0.06 more per 1,000 answers" in text
    assert "prompted is no way to buy a point" in text


def test_what_is_not_known_is_said(advised) -> None:
    alone = advised(candidate("head_logistic", 0.9, 0.001, chosen=True))
    assert alone.break_even == ()
    assert "No language model took part" in alone.unknown[0]
    failed = Candidate(id=CandidateId("c1-p"), strategy="prompted", error="It would cost $3.")
    assert any("It would cost $3." in each for each in advised(
        candidate("head_logistic", 0.9, 0.001), failed).unknown)  # fmt: skip


def test_a_dearer_specialist_never_pays(advised) -> None:
    own = candidate("head_logistic", 0.93, 0.9, chosen=True)
    (even,) = advised(own, candidate("prompted", 0.9, 0.4, asks=True)).break_even
    assert (even.worth, even.per_month) == ("never_pays", None)
    assert (
        "never pays"
        in advice_document(advised(own, candidate("prompted", 0.9, 0.4, asks=True))).plain()
    )


@pytest.mark.parametrize(
    "assumed", [{"months": 0}, {"usd_per_label": -1}, {"months": float("inf")}, {"per_month": 0}]
)
def test_assumptions_that_make_no_sense_are_refused(advised, assumed) -> None:
    (field,) = assumed
    with pytest.raises(InputError, match="assumption") as refused:
        advised(candidate("head_logistic", 0.9, 0.001), **assumed)
    assert refused.value.where == f"--{field.replace('_', '-')}"


def test_an_unknown_assumption_names_the_nearest(advised) -> None:
    with pytest.raises(UnknownNameError, match="usd_per_label"):
        advised(candidate("head_logistic", 0.9, 0.001), usd_per_labl=1)


def test_a_specialist_that_is_worse_is_said_to_be_before_what_it_saves(advised) -> None:
    own = candidate("head_logistic", 0.70, 0.0001)
    prompted = candidate("prompted", 0.90, 0.40, asks=True)
    searched = candidate("prompt_search", 0.95, 0.80, asks=True, chosen=True, behind=None)
    found = advised(own, prompted, searched, usd_per_label=0.1)
    first, second = found.break_even
    # Both intervals reach 0.03 to each side: the difference reaches the square root of twice that.
    assert (first.low, first.high) == (
        pytest.approx(-24.24, abs=0.01),
        pytest.approx(-15.76, abs=0.01),
    )
    text = " ".join(advice_document(found).plain().split())
    assert "head_logistic is 20.0 points worse than prompted (-24.2 to -15.8). It saves" in text
    assert (first.shared_labels, second.shared_labels) == (0, 500)
    assert "The 500 labels that both need count for neither." in text


def test_one_reason_is_said_once(advised) -> None:
    left = [
        Candidate(id=CandidateId(f"c1-{name}"), strategy=name, error="There is no price.")
        for name in ("prompted", "prompt_search")
    ]
    found = advised(candidate("head_logistic", 0.9, 0.001), *left)
    assert "prompted, prompt_search have no numbers: There is no price." in found.unknown
