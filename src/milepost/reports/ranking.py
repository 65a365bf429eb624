"""Orders of candidates for people."""

from milepost.entities.ranking import Rankings
from milepost.reports import words
from milepost.reports.document import BLANK, Bar, Cell, Column, Document, Grid, Line, Part, Row

_SHOWN = 160
"""Characters of a candidate that are shown."""


def rankings_table(found: Rankings) -> Document:
    """Each query, and what may answer it: place, text, and how likely it is relevant."""
    parts: list[Part] = []
    for query, ranking in zip(found.queries, found.rankings, strict=True):
        rows = tuple(
            Row(
                (
                    Cell(str(at), "dim"),
                    Cell(words.shorten(each.text, _SHOWN)),
                    Cell(words.confidence(each.score)),
                    Cell(bar=Bar(0.0, each.score, each.score, 0.0, 1.0)),
                )
            )
            for at, each in enumerate(ranking, 1)
        )
        columns = (Column("", "right"), Column("candidate", wraps=True),
                   Column("relevant", "right"), Column("", width=10))  # fmt: skip
        head = Line(((words.shorten(query, _SHOWN), "strong"),))
        parts += [*([BLANK] if parts else []), head, Grid(columns, rows)]
    note = f"Out of {words.count(found.collection, 'candidate')}."
    return Document((*parts, BLANK, Line(((note, "dim"),), mark=("·", "dim"))))
