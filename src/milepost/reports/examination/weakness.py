"""Where a candidate is weak: slices that were found to be worse than the rest."""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence

from milepost.entities.examination import Discovery, FoundSlice
from milepost.reports import words
from milepost.reports.document import BLANK, Cell, Column, Grid, Line, Part, Role, Row
from milepost.reports.examination.section import Section, cases_shown, said
from milepost.reports.records import Examined

NAME = "weakness"
TITLE = "Where it is weak"
FOUND = 6
FOUND_IN_FULL = 20
SUSPECTED = 3
SUSPECTED_IN_FULL = 8
LONGEST_NAME = 40


def weakness(examined: Examined, *, full: bool) -> Section:
    """The slices that were found, the SQL to declare them, and the worst mistakes in them."""
    found = examined.found.discovery
    if found is None:
        return Section(NAME, TITLE, absent="No slices were searched for.")
    parts: list[Part] = [_lead(found)]
    shown = found.found[: FOUND_IN_FULL if full else FOUND]
    if shown:
        parts += [BLANK, _grid(shown, "warn"), *_rest(len(found.found) - len(shown))]
        parts += _cases(shown, full=full)
        parts += _declarations(shown)
    else:
        parts += _suspected(found, full=full)
    parts += [BLANK, Line(((words.capital(found.method), "dim"),))]
    return Section(NAME, TITLE, tuple(parts), _advice(found))


def _lead(found: Discovery) -> Line:
    tried = words.count(found.searched, "slice was", "slices were")
    if not found.found:
        # How much worse one may still be is not bounded, so this is no tick.
        return said(f"{tried} tried; none is shown to be worse than the rest.", "●", "calm")
    worse = words.count(len(found.found), "is", "are")
    return said(f"{tried} tried; {worse} shown to be worse than the rest.", "!", "warn")


def _grid(slices: Sequence[FoundSlice], role: Role) -> Grid:
    columns = (
        Column("slice", wraps=True),
        Column("accuracy", "right"),
        Column("worse by", "right"),
        Column("n", "right"),
        Column("p", "right"),
    )
    rows = [
        Row(
            (
                Cell(each.description),
                Cell(words.measured(each.estimate)),
                Cell(f"{each.gap:.3f} (≥ {max(each.gap_low, 0):.2f})", role),
                Cell(words.count(each.n)),
                Cell(words.chance(each.p_value)),
            )
        )
        for each in slices
    ]
    return Grid(columns, tuple(rows))


def _rest(hidden: int) -> list[Part]:
    return [Line(((f"{hidden:,} more in --json.", "dim"),))] if hidden > 0 else []


def _cases(slices: Sequence[FoundSlice], *, full: bool) -> Iterator[Part]:
    for each in slices if full else slices[:2]:
        if each.cases:
            yield BLANK
            if not full:
                yield Line(((each.description, "strong"),))
            yield from cases_shown(each.cases, full=full, title=each.description)


def _declarations(slices: Sequence[FoundSlice]) -> list[Part]:
    """The slices as lines of a task file; continued lines are still valid YAML."""
    sayable = [each for each in slices if each.predicate is not None]
    if not sayable:
        return []
    names = slice_names([each.description for each in sayable])
    lines = [
        Line(((json.dumps(each.predicate, ensure_ascii=False), "code"),), 4, (f"{name}:", "code"))
        for name, each in zip(names, sayable, strict=True)
    ]
    return [
        BLANK,
        said(
            "To watch them in every contest, declare them under `objective` in the task file"
            f"{_without(len(slices) - len(sayable))}:"
        ),
        Line((("slices:", "code"),), indent=2),
        *lines,
    ]


def _without(hidden: int) -> str:
    """How many slices no SQL says."""
    if not hidden:
        return ""
    which = words.count(hidden, "slice above has", "slices above have")
    return f" ({which} no SQL and cannot be declared)"


def slice_names(descriptions: Sequence[str]) -> list[str]:
    """Names for slices that a task file takes, each different from the others."""
    names: list[str] = []
    for description in descriptions:
        ascii_only = unicodedata.normalize("NFKD", description).encode("ascii", "ignore").decode()
        slug = "-".join(re.findall(r"[a-z0-9]+", ascii_only.lower()))[:LONGEST_NAME].strip("-")
        name = slug if re.match(r"[a-z]", slug) else f"slice-{slug}".strip("-")
        while name in names:
            stem, _, number = name.rpartition("-")
            name = f"{stem}-{int(number) + 1}" if stem and number.isdigit() else f"{name}-2"
        names.append(name)
    return names


def _suspected(found: Discovery, *, full: bool) -> list[Part]:
    shown = found.suspected[: SUSPECTED_IN_FULL if full else SUSPECTED]
    if not shown:
        return []
    lead = "The worst of them, which may be chance; look at them before you believe them:"
    return [BLANK, said(lead), BLANK, _grid(shown, "")]


def _advice(found: Discovery) -> tuple[str, ...]:
    if not found.found:
        return ()
    worst = found.found[0]
    label = f"Label more examples like “{worst.description}”"
    if worst.predicate is None:
        return (f"{label}.",)
    return (f"{label}, or declare the slice and limit its gap with max_slice_gap.",)
