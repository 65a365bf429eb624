"""Budgets, and what calls of language models cost, as tables."""

from collections.abc import Mapping, Sequence

from milepost.entities.model_calls import Spending
from milepost.entities.money import Budget, usd
from milepost.reports import words
from milepost.reports.document import (
    BLANK,
    Cell,
    Column,
    Document,
    Grid,
    Line,
    Part,
    Role,
    Row,
    sentence,
)

_FULL, _EMPTY = "█", "░"
_BAR = 10
PERIODS = {"day": "a day", "month": "a month", "total": "in all"}
_NOBODY = {"task": "(no task)", "key": "(no key)", "upstream": "(none)", "day": ""}


def budgets_table(budgets: Sequence[Budget], names: Mapping[str, str] | None = None) -> Document:
    """Budgets by scope: what is spent, reserved and left in this period."""
    if not budgets:
        said = "There are no budgets: `milepost budget set workspace USD` makes one."
        return Document((sentence(said),))
    return Document((_budgets(budgets, names or {}),))


def _budgets(budgets: Sequence[Budget], names: Mapping[str, str]) -> Grid:
    columns = (
        Column("budget", wraps=True),
        Column("USD", "right"),
        Column(""),
        Column("spent", "right"),
        Column("", width=_BAR),
        Column("reserved", "right"),
        Column("left", "right"),
    )
    return Grid(columns, tuple(_budget_row(each, names) for each in budgets))


def _budget_row(budget: Budget, names: Mapping[str, str]) -> Row:
    used = budget.spent + budget.reserved
    share = 1.0 if not budget.micro_usd else min(1.0, used / budget.micro_usd)
    role: Role = "bad" if share >= 1.0 else "warn" if share >= 0.8 else ""
    cells = min(_BAR, round(share * _BAR))
    kind, _, name = budget.scope.partition(":")
    known = f" ({words.clean(names[name])})" if kind == "key" and names.get(name) else ""
    return Row(
        (
            Cell(f"{budget.scope}{known}", "strong"),
            Cell(usd(budget.micro_usd)),
            Cell(PERIODS[budget.period], "dim"),
            Cell(usd(budget.spent)),
            Cell(_FULL * cells + _EMPTY * (_BAR - cells), role),
            Cell(usd(budget.reserved) if budget.reserved else "–"),
            Cell(usd(budget.left), role),
        )
    )


def spending_table(
    groups: Sequence[Spending],
    *,
    by: str,
    title: str,
    names: Mapping[str, str],
    budgets: Sequence[Budget] = (),
) -> Document:
    """What calls cost, in groups, with the sum, and the budgets that it counts in."""
    head = Line(((title, "strong"),))
    if not groups:
        return Document((head, BLANK, sentence("No language model was called.")))
    columns = (
        Column(by, wraps=True),
        Column("calls", "right"),
        Column("cached", "right"),
        Column("failed", "right"),
        Column("tokens in", "right"),
        Column("out", "right"),
        Column("cost", "right"),
    )
    rows = [_spending_row(each, _title(each, by, names)) for each in groups]
    if len(groups) > 1:
        rows.append(_spending_row(_sum(groups), "together", "strong"))
    parts: list[Part] = [head, BLANK, Grid(columns, tuple(rows))]
    parts += _remarks(_sum(groups))
    if budgets:
        parts += [BLANK, _budgets(budgets, names)]
    return Document(tuple(parts))


def _remarks(whole: Spending) -> list[Part]:
    parts: list[Part] = []
    if whole.similar:
        calls = words.count(whole.similar, "cached call")
        said = f"{calls} got the answer to a similar question."
        parts += [BLANK, Line(((said, "dim"),), mark=("·", "dim"))]
    if whole.estimated:
        said = (
            f"{usd(whole.estimated)} of it is estimated: the most that calls can have cost which "
            "were given up before the provider said what it counted."
        )
        parts += [BLANK, Line(((said, "dim"),), mark=("·", "dim"))]
    if whole.unpriced:
        calls = words.count(whole.unpriced, "call")
        said = f"{calls} went to an upstream without a price, and count as $0.00."
        parts += [BLANK, Line(((said, ""),), mark=("!", "warn"))]
    return parts


def _title(each: Spending, by: str, names: Mapping[str, str]) -> str:
    if not each.name:
        return _NOBODY[by]
    return f"{each.name} ({words.clean(names[each.name])})" if names.get(each.name) else each.name


def _spending_row(each: Spending, title: str, role: Role = "") -> Row:
    def many(value: int) -> Cell:
        return Cell(f"{value:,}") if value else Cell("–", "dim")

    return Row(
        (
            Cell(words.clean(title), role or "strong"),
            Cell(f"{each.calls:,}"),
            many(each.cached),
            many(each.failed),
            many(each.tokens.input),
            many(each.tokens.output),
            Cell(usd(each.micro_usd), role),
        ),
        role,
    )


def _sum(groups: Sequence[Spending]) -> Spending:
    whole = groups[0]
    for each in groups[1:]:
        whole = Spending(
            name="",
            calls=whole.calls + each.calls,
            cached=whole.cached + each.cached,
            similar=whole.similar + each.similar,
            failed=whole.failed + each.failed,
            unpriced=whole.unpriced + each.unpriced,
            tokens=whole.tokens + each.tokens,
            micro_usd=whole.micro_usd + each.micro_usd,
            estimated=whole.estimated + each.estimated,
        )
    return whole
