"""Contests that ask language models: within a budget, and nothing paid twice however they end."""

from collections import Counter

import pytest

from milepost.entities.errors import InputError, UnknownNameError
from milepost.models.language.blocking import Asker
from milepost.models.language.inside.fake import Fake, fake_upstream
from milepost.models.language.inside.recorded import request_digest
from milepost.workflows.answering.answered import Which
from milepost.workflows.answering.asking import answer_texts
from milepost.workflows.answering.evaluating import evaluate
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.release.reproduce import reproduce

PROMPTED = Options(strategies=("tfidf_linear", "prompted"), budget_usd=0.05)


@pytest.fixture
def upstream(context):
    for name, price in (("big", 2.5), ("small", 0.1)):
        row = fake_upstream(name, "fake:?accuracy=1&seconds=0", price_in=price, price_out=4 * price)
        context.ledger.add_upstream(row, reason="a test", actor="somebody")


@pytest.fixture
def counted(monkeypatch):
    """Counts what reaches the upstreams."""
    seen, real = Counter(), Fake.complete

    async def complete(self, request, terms):
        seen[self.upstream.name, request_digest(request)] += 1
        return await real(self, request, terms)

    monkeypatch.setattr(Fake, "complete", complete)
    return seen


def spent(context):
    return sum(each.micro_usd for each in context.ledger.spending())


def test_prompts_compete_and_what_they_cost_is_in_the_books(context, things, upstream, counted):
    contest = improve(context, things, PROMPTED).contest
    rows = {each.strategy: each for each in contest.candidates}
    assert set(rows) == {"majority", "tfidf_linear", "prompted", "prompted-small"}
    assert contest.budget_micro_usd == 50_000
    assert 0 < contest.spent_micro_usd == spent(context) < 50_000
    assert counted
    assert set(counted.values()) == {1}
    for name in ("prompted", "prompted-small"):
        (asked,) = rows[name].asked
        assert asked.requests >= 20
        assert rows[name].foreseen_micro_usd == pytest.approx(asked.micro_usd, rel=0.5)
        cost = rows[name].scorecard.latency.cost_per_1k_usd
        assert cost == pytest.approx(asked.micro_usd / asked.requests / 1000, rel=0.1)
        assert rows[name].fit_cost_usd > asked.micro_usd / 1e6
    assert rows["prompted"].asked[0].price == fake_upstream().prices[0]
    again = reproduce(context, things, contest.release)
    assert again.unequal == ()
    assert set(counted.values()) == {1}


def test_an_interrupted_contest_pays_for_nothing_twice(
    context, things, upstream, counted, monkeypatch
):
    real = Asker.ask

    def broken_off(self, requests):
        real(self, requests[:7])
        raise KeyboardInterrupt

    with monkeypatch.context() as now:
        now.setattr(Asker, "ask", broken_off)
        with pytest.raises(KeyboardInterrupt):
            improve(context, things, PROMPTED)
    assert counted.total() == 7
    before = spent(context)
    contest = improve(context, things, PROMPTED).contest
    assert set(counted.values()) == {1}
    assert 0 < before < contest.spent_micro_usd == spent(context)


def test_what_is_too_dear_is_a_row_that_says_so(context, things, upstream, counted):
    options = Options(strategies=("tfidf_linear", "prompted"), budget_usd=0.0005)
    contest = improve(context, things, options).contest
    rows = {each.strategy: each for each in contest.candidates}
    assert rows["prompted"].error.startswith("It would cost about $0.0")
    assert rows["prompted-small"].scorecard is not None
    assert {name for name, _ in counted} == {"small"}
    assert any("budget left out 1 of 4" in each for each in contest.decision.reasons)


def test_without_a_budget_nobody_is_asked(context, things, upstream, counted, caplog):
    with caplog.at_level("INFO", "milepost.jobs"):
        contest = improve(context, things, Options(strategies=("tfidf_linear",))).contest
    assert [each.strategy for each in contest.candidates] == ["tfidf_linear", "majority"]
    assert not counted
    assert "No language model is asked (big, small)" in caplog.text


def test_a_candidate_that_asks_answers_and_is_measured(context, things, upstream, write):
    options = Options(strategies=("prompted",), budget_usd=0.05)
    contest = improve(context, things, options).contest
    which = Which(candidate=contest.chosen.id)
    assert contest.chosen.strategy.startswith("prompted")
    answered = answer_texts(context, things, ["ripe apples and pears of juno"], which)
    (label,) = answered.predictions.answers
    assert label in {"fruit", "tool", None}
    assert answered.table()["abstained"] == [label is None]
    path = write([("n1", "a hammer and saw from juno", "tool")], "new.csv")
    found = evaluate(context, things, path, which, None)
    assert found.scorecard.latency.cost_per_1k_usd > 0
    purposes = {call.purpose for call in context.ledger.model_calls()}
    assert purposes == {"improve", "serve", "evaluate"}


def test_who_asks_is_not_named_without_money(context, things, upstream):
    with pytest.raises(InputError, match="budget-usd") as refused:
        improve(context, things, Options(strategies=("tfidf_linear", "prompted")))
    assert "'prompted' asks a language model" in str(refused.value)
    assert not context.ledger.jobs()


def test_bad_budgets_and_names_are_refused_before_anything_is_fitted(context, things):
    with pytest.raises(InputError, match="no language model to spend the budget on"):
        improve(context, things, PROMPTED)
    with pytest.raises(InputError, match="out of range"):
        improve(context, things, Options(budget_usd=0.0))
    context.ledger.add_upstream(fake_upstream("big"), reason="a test", actor="somebody")
    file = context.root / "tasks/things.yaml"
    file.write_text(f"{file.read_text()}\nlanguage: {{upstreams: [bigg]}}\n")
    with pytest.raises(UnknownNameError, match="Did you mean 'big'"):
        improve(context, things, PROMPTED)


def test_pairs_are_asked_about_and_searched_like_single_texts(context, upstream):
    words = ["apple", "pear", "plum", "grape", "lemon", "melon", "cherry", "fig", "kiwi", "lime"]
    rows = ["left,right,label"]
    for at, word in enumerate(words):
        other = words[(at + 3) % len(words)]
        for more in ("fresh", "ripe", "sweet"):
            rows.append(f"{more} {word},{word} {more},same")
            rows.append(f"{more} {word},{other} {more},other")
    (context.root / "data/pairs.csv").write_text("\n".join(rows))
    (context.root / "tasks/pairs.yaml").write_text(
        "name: pairs\nkind: match\ninputs: {left: string, right: string}\n"
        "labels: {same: 'both name the same', other: 'they differ'}\n"
        "data: {examples: data/pairs.csv}\n"
    )
    entering = ("head_logistic", "tfidf_linear", "prompted", "ensemble")
    options = Options(strategies=entering, budget_usd=0.5, budget=60)
    contest = improve(context, "pairs", options).contest
    found = {each.strategy: each for each in contest.candidates}
    for name in ("head_logistic", "prompted", "prompted-small"):
        assert found[name].error is None
        assert found[name].scorecard is not None
    assert "log loss of head_logistic" in str(found["ensemble"].error)  # it was made, and weighed
    assert "tried" in str(found["head_logistic"].parameters)
    which = Which(candidate=found["prompted"].id)
    asked = answer_texts(context, "pairs", [{"left": "ripe fig", "right": "fig ripe"}], which)
    assert set(asked.predictions.answers) <= {"same", "other"}
    assert len(asked.texts) == 1
