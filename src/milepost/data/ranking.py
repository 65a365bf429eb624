"""Candidates of queries: whose rows belong together, what may answer, and negatives to learn from.

All rows of a query, and of its near-duplicates, are one group: an interval rests on queries, and no
query is on both sides of a split.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from milepost.data.clean import as_text
from milepost.data.duplicates import group_texts, normalise, regroup
from milepost.data.load import Table, load_table
from milepost.data.splitting.columns import group_column
from milepost.data.wording import SHOWN, number_of, quote, verb
from milepost.entities.errors import DataError
from milepost.entities.example import Examples, Finding
from milepost.entities.inputs import MARK, sides
from milepost.entities.kinds import read_grade, written_grade
from milepost.entities.task import Task

DRAWN = 30
"""Candidates that are drawn for a query of which only right ones are known."""


def query_input(task: Task) -> str:
    """Column of the queries of a task that ranks."""
    return task.input_column


def unit_name(task: Task) -> str:
    """What rows that belong together share, as people call it."""
    return group_column(task) or (query_input(task) if task.kind == "rank" else "group")


def grouped(parts: Sequence[Examples], task: Task, threshold: float) -> tuple[Examples, ...]:
    """The same examples with their groups drawn over all parts together.

    Args:
        parts: Such as a task's training examples and its test examples.
        task: Tells whether they are candidates of queries.
        threshold: Likeness from which two texts, or two queries, are joined.
    """
    if task.kind != "rank":
        return regroup(parts, threshold)
    queries = [sides(text)[0] for part in parts for text in part.texts]
    owners = iter(group_texts(queries, threshold).groups)
    owned = [
        part if part.owners else replace(part, owners=tuple(next(owners) for _ in range(len(part))))
        for part in parts
    ]
    # Long candidates make pairs alike whose queries are not: only equal pairs are the same.
    return regroup(owned, 1.0)


def grouped_anew(parts: Sequence[Examples], task: Task, threshold: float) -> tuple[Examples, ...]:
    """As ``grouped`` for parts that were grouped before, each with others than now.

    What their queries were called then is forgotten; owners that the data name stay.
    """
    if task.kind == "rank" and group_column(task) is None:
        parts = [replace(part, owners=()) for part in parts]
    return grouped(parts, task, threshold)


def candidates_of(task: Task, tables: Sequence[Table], root: Path | None) -> tuple[str, ...]:
    """What may answer a query: of the task's files of candidates, or else of its examples.

    Args:
        task: Names the files and the column.
        tables: Of examples, which count where it names no file of candidates.
        root: Folder that relative paths start from; ``None`` for the current one.

    Raises:
        UnknownNameError: If a file has no such column.
        DataError: If a file cannot be read, or there is no candidate at all.
    """
    column = list(task.input_columns.values())[1]
    files = task.data.candidate_files
    known = {table.name for table in tables}
    more = files or [file for file in task.data.example_files if file not in known]
    read = [load_table((root or Path()) / file, name=file, expect=[column]) for file in more]
    return candidates_in(task, read if files else [*tables, *read])


def at_home(task: Task, root: Path) -> Task:
    """A task that ranks with its own files found from anywhere; any other task as it is.

    Of examples in a file from elsewhere, what may answer is still said by the task's own files.
    """
    if task.kind != "rank":
        return task
    data = msgspec.structs.replace(
        task.data,
        examples=tuple(str(root / file) for file in task.data.example_files),
        candidates=tuple(str(root / file) for file in task.data.candidate_files) or msgspec.UNSET,
    )
    return msgspec.structs.replace(task, data=data)


def candidates_in(task: Task, tables: Sequence[Table]) -> tuple[str, ...]:
    """The different candidates in tables, in their order.

    They stand in the column of the task's second input, or in one called as that, or ``text``.

    Raises:
        UnknownNameError: If a table has no such column.
        DataError: If there is none.
    """
    name, column = list(task.input_columns.items())[1]
    texts: dict[str, None] = {}
    for table in tables:
        found = next((each for each in (column, name, "text") if each in table.columns), column)
        cells = table.column(found)
        texts.update(dict.fromkeys(as_text(cell).replace(MARK, " ").strip() for cell in cells))
    texts.pop("", None)
    if not texts:
        raise DataError(
            "there is no candidate to answer with.",
            where=tables[0].name if tables else task.name,
            advice=f"Candidates are texts in a column {column!r}.",
        )
    return tuple(texts)


def with_negatives(
    examples: Examples, task: Task, candidates: Sequence[str]
) -> tuple[Examples, tuple[Finding, ...]]:
    """The examples, and drawn candidates for each query that has only relevant ones.

    They are drawn by chance alone. Those that share most words with a query would be harder, and
    would teach that words mean nothing: nDCG@10 on a fifth of Cranfield fell from 0.37 to 0.15.
    The draw hangs on the query, so that adding other queries changes nothing. None is relevant as
    far as the data say; one that would be, and was never judged, counts as one that is not.

    Args:
        examples: With truths, without groups.
        task: Names the inputs.
        candidates: What may answer.
    """
    rows = _positives(examples)
    if not rows:
        return examples, ()
    keys = normalise(candidates)
    texts: list[str] = []
    first: list[int] = []
    for query, own in rows.items():
        right = set(normalise([sides(examples.texts[row])[1] for row in own]))
        drawn = _drawn(query, right, keys)
        texts += [f"{query} {MARK} {candidates[at]}" for at in drawn]
        first += [own[0]] * len(drawn)
    if not texts:
        return examples, ()
    finding = Finding(
        check="drawn_candidates",
        severity="note",
        count=len(texts),
        summary=f"{number_of(len(rows), 'query', 'queries')} {verb(len(rows), 'has', 'have')} "
        f"relevant candidates alone: {len(texts):,} others were drawn for them, and count as not "
        "relevant. What is measured is an order among these.",
        examples=tuple(f"{examples.sources[row]}: {quote(sides(text)[1])}"
                       for row, text in list(zip(first, texts, strict=True))[:SHOWN]),
    )  # fmt: skip
    return _joined(examples, _rows(examples, task, texts, first)), (finding,)


def _positives(examples: Examples) -> dict[str, list[int]]:
    """Rows of each query all of whose judged candidates are relevant, in order."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    others: set[str] = set()
    for row in examples.labelled_rows:
        query = sides(examples.texts[row])[0]
        relevant = read_grade(examples.labels[row] or "")[0] > 0
        rows[query].append(row) if relevant else others.add(query)
    return {query: own for query, own in rows.items() if query not in others}


def _drawn(query: str, right: AbstractSet[str], keys: Sequence[str]) -> list[int]:
    """Candidates that are drawn for a query, none of which says what a right one says."""
    seed = hashlib.sha256(query.encode("utf-8", "surrogatepass")).digest()[:8]
    order: list[int] = np.random.default_rng(int.from_bytes(seed)).permutation(len(keys)).tolist()
    drawn: dict[str, int] = {}
    for at in order:
        if len(drawn) == DRAWN:
            break
        if keys[at] not in right:
            drawn.setdefault(keys[at], at)
    return list(drawn.values())


def _rows(examples: Examples, task: Task, texts: list[str], first: list[int]) -> Examples:
    """Drawn candidates as rows; what is not an input is unknown of them."""
    names = dict(zip(task.inputs, zip(*map(sides, texts), strict=True), strict=True))
    unknown = (None,) * len(texts)
    return Examples(
        ids=tuple("drawn-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
                  for text in texts),
        texts=tuple(texts),
        labels=tuple(written_grade(0.0, sides(text)[0]) for text in texts),
        groups=("",) * len(texts),
        sources=tuple(examples.sources[row] for row in first),
        metadata={name: names.get(name, unknown) for name in examples.metadata},
        owners=tuple(examples.owners[row] for row in first) if examples.owners else (),
        times=tuple(examples.times[row] for row in first) if examples.times else (),
    )  # fmt: skip


def _joined(first: Examples, more: Examples) -> Examples:
    return Examples(
        ids=first.ids + more.ids,
        texts=first.texts + more.texts,
        labels=first.labels + more.labels,
        groups=first.groups + more.groups,
        sources=first.sources + more.sources,
        metadata={name: (*first.metadata[name], *more.metadata[name]) for name in first.metadata},
        owners=first.owners + more.owners,
        times=first.times + more.times,
    )
