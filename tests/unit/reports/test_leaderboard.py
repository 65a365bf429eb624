import io
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from milepost.entities.contest import Candidate, Contest
from milepost.entities.decision import Comparison
from milepost.reports import words
from milepost.reports.document import Bar, Bullets, Cell, Column, Document, Grid, Line, Row
from milepost.reports.records import ReportSubject
from milepost.reports.tables import Leaderboard

SUBJECTS = ("banking", "churn", "products", "foreign", "doomed")


def contest_of(request: pytest.FixtureRequest, name: str) -> Contest:
    subject: ReportSubject = request.getfixturevalue(name)
    assert subject.contest is not None
    return subject.contest


def test_it_says_who_won_how_it_was_certified_and_why(banking: ReportSubject) -> None:
    assert banking.contest is not None
    text = str(Leaderboard(banking.contest))
    assert "route  accuracy, certified on your test file, 3,080 examples, look 1" in text
    chosen = next(line for line in text.splitlines() if "★" in line)
    assert chosen.split()[:3] == ["★", "head_logistic", "0.873"]
    assert "0.861 [0.85, 0.87]" in chosen
    assert chosen.split()[-2:] == ["$0.0031", "4.1"]
    assert "━●━" in chosen
    assert "✔ released as release 1" in text
    assert "• It beats majority by 0.848" in text


def test_failures_are_rows_with_their_reason_in_full(banking: ReportSubject) -> None:
    assert banking.contest is not None
    text = " ".join(str(Leaderboard(banking.contest)).split())
    assert "prompted: It needs a language model, and no upstream is registered. Add one." in text
    assert "shape (770, 384) into shape (770, 77) while fitting fold 3 of 5" in text
    assert "skipped" in text
    assert "failed" in text


def test_cross_fitted_contests_say_that_nothing_was_set_aside(churn: ReportSubject) -> None:
    assert churn.contest is not None
    text = str(Leaderboard(churn.contest))
    assert "cross-fitted on 66 examples; nothing set aside" in text
    header = next(line for line in text.splitlines() if "strategy" in line)
    assert "ranked" not in header
    assert "? insufficient evidence" in text


def test_what_was_luck_in_being_chosen_is_said(churn: ReportSubject) -> None:
    contest = churn.contest
    assert contest is not None
    chosen = contest.chosen
    assert chosen is not None
    assert chosen.scorecard is not None
    value = chosen.scorecard.objective.value
    lucky = msgspec.structs.replace(
        chosen, selection=msgspec.structs.replace(chosen.scorecard.objective, value=value + 0.04)
    )
    others = tuple(c for c in contest.candidates if not c.chosen)
    shown = str(Leaderboard(msgspec.structs.replace(contest, candidates=(lucky, *others))))
    assert "the luck of being the best of several, 0.040, is taken off" in " ".join(shown.split())


def ranked_above(
    contest: Contest, strategy: str, against: Comparison | None = None, by: float = 0.02
) -> str:
    """The table in one line where some strategy ranks above the chosen one."""
    replace = msgspec.structs.replace
    chosen = contest.chosen
    assert chosen is not None
    assert chosen.scorecard is not None
    mine = replace(chosen, selection=chosen.scorecard.objective, against=against)
    better = replace(chosen.scorecard.objective, value=chosen.scorecard.objective.value + by)
    other = replace(chosen, strategy=strategy, chosen=False, selection=better)
    return " ".join(str(Leaderboard(replace(contest, candidates=(mine, other)))).split())


def test_why_a_lower_one_is_chosen_is_told_as_the_rule_is(churn: ReportSubject) -> None:
    assert churn.contest is not None
    shown = ranked_above(churn.contest, "other")
    assert "neither metric nor log loss puts two standard errors behind the best" in shown
    assert "not shown to be worse" not in shown
    assert "`majority` ranks higher" not in shown


def test_why_one_of_equals_is_chosen_is_told_with_their_log_losses(churn: ReportSubject) -> None:
    contest = churn.contest
    assert contest is not None
    chosen = contest.chosen
    assert chosen is not None
    card = chosen.scorecard
    assert card is not None

    def with_loss(value: float) -> Candidate:
        loss = msgspec.structs.replace(card.objective, value=value)
        told = msgspec.structs.replace(card, metrics={**card.metrics, "log_loss": loss})
        return msgspec.structs.replace(chosen, scorecard=told, selection=card.objective)

    mine = with_loss(0.41)
    other = msgspec.structs.replace(with_loss(0.52), strategy="head_logistic", chosen=False)
    pair = msgspec.structs.replace(contest, candidates=(mine, other))
    shown = " ".join(str(Leaderboard(pair)).split())
    assert "puts two standard errors behind the best out of fold" in shown
    assert "Its log loss is 0.410, that of `head_logistic` 0.520; lower is better." in shown
    assert "two standard errors" not in ranked_above(contest, "behind", by=-0.01)
    assert "Its log loss" not in ranked_above(contest, "majority", by=0.0)


def test_what_was_not_fitted_has_no_time_to_fit(churn: ReportSubject) -> None:
    contest = churn.contest
    assert contest is not None
    first = contest.candidates[0]
    skipped = msgspec.structs.replace(
        first, strategy="skipped_one", chosen=False, scorecard=None, error="Too long.",
        fit_seconds=77.0, size_bytes=None,
    )  # fmt: skip
    fitted = msgspec.structs.replace(first, fit_seconds=33.0)
    both = msgspec.structs.replace(contest, candidates=(fitted, skipped))
    shown = str(Leaderboard(both, ids=True))
    assert words.duration(33.0) in shown
    assert words.duration(77.0) not in shown


@pytest.mark.parametrize(
    ("measure", "loss"), [("rmse", "squared error"), ("span_f1", "the number of wrong spans")]
)
def test_the_loss_that_is_named_is_the_one_that_was_compared(
    churn: ReportSubject, measure: str, loss: str
) -> None:
    contest = churn.contest
    assert contest is not None
    chosen = contest.chosen
    assert chosen is not None
    card = chosen.scorecard
    assert card is not None
    measured = msgspec.structs.replace(card, metrics={**card.metrics, measure: card.objective})
    others = tuple(each for each in contest.candidates if not each.chosen)
    mine = msgspec.structs.replace(chosen, scorecard=measured)
    shown = ranked_above(msgspec.structs.replace(contest, candidates=(mine, *others)), "other")
    assert f"neither metric nor {loss} puts" in shown
    assert "log loss" not in shown


def test_a_chosen_one_that_is_worse_than_majority_is_a_warning(churn: ReportSubject) -> None:
    assert churn.contest is not None
    below = Comparison(
        metric="utility", against="majority", difference=-0.107, low=-0.17, high=-0.05,
        p_value=1.0, p_worse=0.0001, n=598, method="bound of the paired difference",
    )  # fmt: skip
    shown = ranked_above(churn.contest, "majority", below)
    assert "`majority` ranks higher, but is only what others are held against" in shown
    assert "two standard errors" not in shown
    assert "✘ Worse than no model:" in shown
    assert "-0.107 [-0.17, -0.05] in utility against `majority` (one-sided p <0.001)" in shown
    unsure = msgspec.structs.replace(below, p_worse=0.2)
    assert "Worse than no model" not in ranked_above(churn.contest, "majority", unsure)


def test_ids_are_shown_on_request(churn: ReportSubject) -> None:
    assert churn.contest is not None
    identity = churn.contest.candidates[0].id
    assert identity not in str(Leaderboard(churn.contest))
    assert identity in str(Leaderboard(churn.contest, ids=True))


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_table_fits_80_columns(request: pytest.FixtureRequest, name: str) -> None:
    board = Leaderboard(contest_of(request, name), ids=True)
    assert max(cell_len(line) for line in str(board).splitlines()) <= 80
    for width in (40, 60, 120):
        assert max(cell_len(line) for line in board.plain(width).splitlines()) <= width


@pytest.mark.parametrize("name", SUBJECTS)
def test_it_prints_to_streams_that_know_only_ascii(
    request: pytest.FixtureRequest, name: str
) -> None:
    board = Leaderboard(contest_of(request, name))
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Console(file=stream, width=80).print(board)
    stream.flush()
    assert b"[0." in raw.getvalue() or name == "doomed"


def test_str_suits_the_encoding_of_standard_output(
    monkeypatch: pytest.MonkeyPatch, banking: ReportSubject
) -> None:
    assert banking.contest is not None
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert str(Leaderboard(banking.contest)).isascii()


def test_colour_is_used_where_a_terminal_has_it(banking: ReportSubject) -> None:
    assert banking.contest is not None
    stream = io.StringIO()
    Console(file=stream, width=80, force_terminal=True, color_system="standard").print(
        Leaderboard(banking.contest)
    )
    assert "\x1b[32m✔ released" in stream.getvalue()
    assert "\x1b" not in str(Leaderboard(banking.contest))


def test_notebooks_get_escaped_html(foreign: ReportSubject) -> None:
    assert foreign.contest is not None
    html = Leaderboard(foreign.contest)._repr_html_()
    assert "<table>" in html
    assert "&lt;script&gt;" in html
    assert "<script" not in html


@given(
    st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), min_size=1, max_size=4),
    st.integers(30, 100),
)
def test_any_text_fits_any_width(rows: list[tuple[str, str]], width: int) -> None:
    columns = (Column("name", wraps=True), Column("", width=10), Column("what", wraps=True))
    bar = Cell(bar=Bar(0.1, 0.2, 0.5, 0.0, 1.0))
    grid = Grid(columns, tuple(Row((Cell(a), bar, Cell(b)), detail=b) for a, b in rows))
    document = Document(
        (grid, Bullets((rows[0][0],)), Line(((rows[0][1], "good"),), mark=("!", "")))
    )
    assert max(cell_len(line) for line in document.plain(width).splitlines()) <= width
    assert document.plain(width, ascii_only=True).isascii()


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(4, 30))
def test_bars_have_their_width_and_one_mark(a: float, b: float, c: float, width: int) -> None:
    low, value, high = sorted((a, b, c))
    text = Bar(low, value, high, 0.3, 0.9).text(width).plain
    assert len(text) == width
    assert sum(text.count(mark) for mark in "●◂▸") == 1
