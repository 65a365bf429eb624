"""Answers with the rows that they belong to, and as a table."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import msgspec

from milepost.entities.learning import HeadUpdate
from milepost.entities.prediction import Predictions, Scores, Spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """What answers: a candidate by id, a release by number, or production when both are None.

    ``cover`` asks for sets of labels too, that hold the right one so often.
    """

    release: int | None = None
    candidate: str | None = None
    cover: float | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Answered:
    """Predictions with the rows that they belong to.

    Attributes:
        task: Task name.
        release: Number of the release that answered, or ``None`` for a candidate.
        candidate: Id of the candidate that answered.
        texts: The inputs.
        predictions: One answer per row.
        columns: Columns of the input file, by name; empty for bare texts.
        cover: What the sets of labels promise that were asked for; ``None`` for none.
        may_withhold: Whether an answer may be withheld.
        update: What the release learned and forgot since it was made, where that answered.
    """

    task: str
    release: int | None
    candidate: str
    texts: tuple[str, ...]
    predictions: Predictions
    columns: Mapping[str, Sequence[object]]
    cover: float | None = None
    may_withhold: bool = False
    update: HeadUpdate | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def sets(self) -> tuple[tuple[str, ...], ...] | None:
        """Labels that each input may have, where they were asked for."""
        return None if self.cover is None else self.predictions.sets(self.cover)

    def table(self) -> dict[str, Sequence[object]]:
        """The input's columns, then ``label``, ``confidence`` and ``release``.

        Where any number of labels hold it is ``labels``, of a score ``score`` alone, and of spans
        ``spans``, each of which says how likely it is.

        Where answers may be withheld there is ``abstained`` too, and ``label`` is ``None`` then.
        Of a cascade ``rung`` says who answered, ``person`` where people are to. Where sets of
        labels were asked for there is ``set``.

        An input column of one of these names is kept as ``input_<name>``.
        """
        answers: dict[str, Sequence[object]] = {self.predictions.column: self.predictions.answers}
        if isinstance(self.predictions, Spans):
            answers = {"spans": self.predictions.in_texts(self.texts)}
        unsure = isinstance(self.predictions, Scores | Spans)
        sure = [round(float(c), 6) for c in self.predictions.confidence]
        stated = {} if unsure else {"confidence": sure}
        added: dict[str, Sequence[object]] = {
            **answers,
            **stated,
            "release": [self.release] * len(self),
        }
        if self.may_withhold or self.predictions.abstain_below is not None:
            added["abstained"] = self.predictions.abstained.tolist()
        if self.predictions.answered_by:
            added["rung"] = self.predictions.answered_by
        if self.sets is not None:
            added["set"] = self.sets
        kept = {f"input_{k}" if k in added else k: v for k, v in self.columns.items()}
        return {**kept, **added}

    def names(self) -> dict[str, str]:
        """Names of the table's columns that are the input's, and how the input calls them."""
        return dict(zip(self.table(), self.columns, strict=False))

    def csv(self) -> str:
        """The table as CSV text with a header; a set is a JSON array in its cell."""
        out = io.StringIO()
        write_csv(out, self.table(), header=True)
        return out.getvalue()

    def write(self, path: Path) -> None:
        """Write the table as .csv, .jsonl or .parquet, whole or not at all.

        Raises:
            InputError: If the suffix is none of these.
            WorkspaceError: If the place cannot be written.
        """
        from milepost.workflows.answering.writing import written

        with written(path) as writer:
            writer.write(self)


def write_csv(out: TextIO, table: Mapping[str, Sequence[object]], *, header: bool) -> None:
    """Rows as CSV; labels and spans are a JSON array in their cell."""
    cells = dict(table)
    for name in ("labels", "set", "spans"):
        if name in cells:
            cells[name] = [
                msgspec.json.encode(each).decode() if isinstance(each, tuple) else each
                for each in cells[name]
            ]
    writer = csv.writer(out, lineterminator="\n")
    if header:
        writer.writerow(cells)
    writer.writerows(zip(*cells.values(), strict=True))
