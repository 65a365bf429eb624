"""Tables to examples of a task: which column is what, cleaned, and counted where it was changed."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from milepost._base.settings import Settings
from milepost.data.clean import Plain, as_text, infer_types, storable
from milepost.data.composing import inputs_in
from milepost.data.load import Table, load_table
from milepost.data.spans import fits
from milepost.data.splitting.columns import check_columns, owners, times
from milepost.data.truths import names_of, require_queries, require_scores, truths_of
from milepost.data.wording import SHOWN, listing, number_of, quote, verb
from milepost.entities.errors import DataError, nearest
from milepost.entities.example import Examples, Finding, SourceFile
from milepost.entities.kinds import fewest_labels, names_in
from milepost.entities.task import Task
from milepost.predictors.preparation import Preparation, preparation
from milepost.predictors.preparation.preparing import StepError

UnknownLabels = Literal["error", "keep"]
"""What to do with labels that the task does not name: refuse (training) or keep (evaluation)."""


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """Examples of one role before they are grouped and profiled.

    Attributes:
        examples: With empty ``groups``.
        sources: The raw files.
        rows: Rows read, including those left out.
        findings: What was changed, left out or assumed on the way.
    """

    examples: Examples
    sources: tuple[SourceFile, ...]
    rows: int
    findings: tuple[Finding, ...]


@dataclass(slots=True)
class _Tally:
    """Places where something happened, by what happened."""

    places: dict[str, list[str]]

    def add(self, what: str, place: str) -> None:
        self.places.setdefault(what, []).append(place)


def read_tables(
    sources: Sequence[object], task: Task, *, root: Path | None = None
) -> tuple[Table, ...]:
    """Load the files or dataframes of a task.

    Args:
        sources: Paths as the task file names them, ``"-"``, tables or dataframes.
        task: Names the columns that are looked for.
        root: Folder that relative paths start from; ``None`` for the current one.

    Raises:
        DataError: If one cannot be read, or there is none.
    """
    if not sources:
        raise DataError(
            f"the task '{task.name}' names no data file.",
            advice="Name one under data: examples: in the task file, or add examples.",
        )
    expect = [*task.input_columns.values(), task.data.label]
    expect += [task.data.id] if task.data.id else []
    tables: list[Table] = []
    for source in sources:
        is_file = isinstance(source, str | Path) and source != "-"
        path = (root or Path()) / str(source) if is_file else source
        tables.append(load_table(path, name=str(source) if is_file else None, expect=expect))
    return tuple(tables)


def gather_examples(
    tables: Sequence[Table],
    task: Task,
    settings: Settings,
    *,
    unknown_labels: UnknownLabels = "error",
    to_split: bool = True,
    prepare: Preparation | None = None,
) -> Gathered:
    """Examples of all tables, in their order.

    The text stays as it is, but NUL is removed, a lone surrogate becomes U+FFFD, the steps that
    the task prepares its input by are applied, and what is longer than ``settings.max_text_chars``
    is cut. Rows whose text is empty are left out. Labels lose
    surrounding space. All other columns are metadata; those of a CSV are read as numbers or truth
    values where every cell is one.

    Without an id column an id is the first 64 bits of the text's SHA-256 in hex, with ``-2``,
    ``-3`` for further rows of the same text: adding rows after it does not change it, nor does
    correcting a label.

    Args:
        tables: The tables.
        task: Names the columns and the labels.
        settings: ``max_text_chars`` is used.
        unknown_labels: ``"error"`` for training data: labels must be the task's, and there must be
            at least two with two examples each. ``"keep"`` for evaluation data.
        to_split: Whether rows will be on a side of a split, so that the columns of groups and
            times that the task names must be there. Without it groups are read where they are.
        prepare: Prepares the inputs; ``None`` for the task's own steps, which must be built-in.

    Raises:
        UnknownNameError: If a column is missing.
        DataError: If an id occurs twice or is missing, a label is unknown, or there is too little
            to learn from.
    """
    tally = _Tally({})
    if to_split:
        for table in tables:
            check_columns(table, task)
    prepare = prepare or preparation(task.prepare, None, settings.max_text_chars)
    parts = [_rows_of(table, task, prepare, tally, to_split=to_split) for table in tables]
    texts = [text for part in parts for text in part.texts]
    asked = [text for part in parts for text in part.asked]
    sources = [source for part in parts for source in part.sources]
    ids = [identity for part in parts for identity in part.ids]
    identities = _checked_ids(ids, sources, task) if task.data.id else _derived_ids(asked)
    labels = [label for part in parts for label in part.labels]
    examples = Examples(
        ids=tuple(identities),
        texts=tuple(texts),
        labels=tuple(labels),
        groups=("",) * len(texts),
        sources=tuple(sources),
        metadata=_joined_metadata(parts),
        owners=_joined_owners(parts),
        times=tuple(t for part in parts for t in part.times) if to_split else (),
        originals=tuple(asked) if prepare.steps else (),
    )
    findings = [finding for table in tables for finding in table.findings]
    findings += _tallied(tally, settings)
    rows = sum(table.total for table in tables)
    place = tables[0].name if len(tables) == 1 else f"{tables[0].name} and others"
    if task.labels:
        findings += _unknown(examples, task, place, unknown_labels)
    if unknown_labels == "error":
        require_enough(examples, task, rows, place)
    return Gathered(examples, tuple(table.source for table in tables), rows, tuple(findings))


def clean_texts(values: Sequence[Plain], prepare: Preparation) -> list[str]:
    """Texts of a column, cleaned as examples are, one per row; empty ones stay as ``""``."""
    return prepare([as_text(value) for value in values])


def _prepared(texts: Sequence[str], table: Table, prepare: Preparation) -> list[str]:
    """The prepared texts, not cut.

    Raises:
        DataError: If an own step fails on one; names its row.
    """
    try:
        return prepare.whole(texts)
    except StepError as error:
        raise DataError(
            error.what, where=f"{table.name}:{table.rows[error.row]}", advice=error.advice
        ) from error


def _rows_of(
    table: Table, task: Task, prepare: Preparation, tally: _Tally, *, to_split: bool
) -> Examples:
    """The rows of one table that have a text, ids possibly empty."""
    columns, label_column, id_column = task.input_columns, task.data.label, task.data.id
    if label_column in columns.values():
        raise DataError(f"the column {label_column!r} cannot be both text and label.",
                        where=table.name,
                        advice="Name the label's column under data: label:.")  # fmt: skip
    raw = inputs_in(
        table, task.input_columns, task.composition, prepare.most, task.kind, prepare.images.keep
    )
    labels = truths_of(table, task)
    given = [as_text(value).strip() for value in table.column(id_column)] if id_column else None
    kept: list[int] = []
    texts: list[str] = []
    asked = [as_text(value) for value in raw]
    whole = _prepared(asked, table, prepare)
    for i, value in enumerate(raw):
        place = f"{table.name}:{table.rows[i]}"
        text = asked[i]
        if isinstance(value, str) and text != value:
            tally.add("nul" if "\x00" in value else "surrogates", f"{place}: {quote(text)}")
        clean = whole[i][: prepare.most]
        if not clean:
            what = "emptied" if text.strip() else "empty"
            tally.add(what, f"{place}: {quote(text)}" if text.strip() else place)
            continue
        if len(clean) < len(whole[i]):
            tally.add("cut", f"{place}: {len(whole[i]):,} characters, {quote(clean)}")
        if task.kind == "extract" and not fits(labels[i], len(clean)):
            raise DataError(
                f"a span lies beyond the first {prepare.most:,} characters, which are all that is "
                "read.",
                where=place,
                advice="Split the text, or raise max_text_chars in milepost.toml.",
            )
        if labels[i] is None:
            tally.add("unlabelled", f"{place}: {quote(text)}")
        kept.append(i)
        texts.append(clean)
    metadata = {
        name: _metadata([values[i] for i in kept], typed=table.typed)
        for name, values in table.columns.items()
        if name not in {*columns.values(), label_column, id_column, task.input_name}
    }
    if task.composition is not None:
        fields = {name: table.column(column) for name, column in columns.items()}
        metadata |= {name: tuple(as_text(cells[i]) for i in kept) for name, cells in fields.items()}
    return Examples(
        ids=tuple(given[i] for i in kept) if given else ("",) * len(kept),
        texts=tuple(texts),
        labels=tuple(labels[i] for i in kept),
        groups=("",) * len(kept),
        sources=tuple(f"{table.name}:{table.rows[i]}" for i in kept),
        metadata=metadata,
        owners=owners(table, task, kept),
        times=times(table, task, kept) if to_split else (),
        originals=tuple(asked[i] for i in kept) if prepare.steps else (),
    )


def _metadata(values: Sequence[Plain], *, typed: bool) -> tuple[Plain, ...]:
    if not typed:
        values = infer_types(values)
    return tuple(storable(value) if isinstance(value, str) else value for value in values)


def _joined_metadata(parts: Sequence[Examples]) -> dict[str, tuple[object, ...]]:
    names = dict.fromkeys(name for part in parts for name in part.metadata)
    return {
        name: tuple(
            value
            for part in parts
            for value in part.metadata.get(name, (None,) * len(part))
        )
        for name in names
    }  # fmt: skip


def _joined_owners(parts: Sequence[Examples]) -> tuple[str | None, ...]:
    if not any(part.owners for part in parts):
        return ()
    return tuple(o for part in parts for o in part.owners or (None,) * len(part))


def _derived_ids(texts: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    ids: list[str] = []
    for text in texts:
        base = hashlib.sha256(text.encode()).hexdigest()[:16]
        seen[base] += 1
        ids.append(base if seen[base] == 1 else f"{base}-{seen[base]}")
    return ids


def _checked_ids(ids: Sequence[str], sources: Sequence[str], task: Task) -> Sequence[str]:
    first: dict[str, str] = {}
    missing: list[str] = []
    twice: list[str] = []
    for identity, source in zip(ids, sources, strict=True):
        if not identity:
            missing.append(source)
        elif identity in first:
            twice.append(f"{identity!r} at {first[identity]} and {source}")
        else:
            first[identity] = source
    column = task.data.id
    if missing:
        raise DataError(
            f"{number_of(len(missing), 'row')} {verb(len(missing), 'has', 'have')} no id in the "
            f"column {column!r} (first: {', '.join(missing[:3])}).",
            advice="Fill it, or leave data: id: out of the task file.",
        )
    if twice:
        raise DataError(
            f"{number_of(len(twice), 'row')} {verb(len(twice), 'repeats', 'repeat')} an id of the "
            f"column {column!r} (first: {'; '.join(twice[:3])}).",
            advice="Ids must be unique; correct them, or leave data: id: out of the task file.",
        )
    return ids


def _tallied(tally: _Tally, settings: Settings) -> list[Finding]:
    sentences: Mapping[str, tuple[str, str, str]] = {
        "empty": ("empty_texts", "error", "{rows} {has} no text and {was} left out."),
        "emptied": (
            "emptied_texts",
            "error",
            "{rows} {has} no text left after its preparation and {was} left out.",
        ),
        "cut": (
            "cut_texts",
            "warning",
            f"{{texts}} {{was}} longer than {settings.max_text_chars:,} characters and cut there.",
        ),
        "nul": ("nul_characters", "warning", "{texts} held NUL characters, which were removed."),
        "surrogates": (
            "lone_surrogates",
            "warning",
            "{texts} held half characters (lone surrogates), which became U+FFFD.",
        ),
        "unlabelled": ("unlabelled", "note", "{rows} {has} no label."),
    }
    findings: list[Finding] = []
    for what, places in tally.places.items():
        check, severity, sentence = sentences[what]
        n = len(places)
        words = {
            "rows": number_of(n, "row"),
            "texts": number_of(n, "text"),
            "has": verb(n, "has", "have"),
            "was": verb(n, "was", "were"),
        }
        summary = sentence.format(**words)
        findings.append(
            Finding(
                check=check,
                severity=severity,
                count=n,
                summary=summary,
                examples=tuple(places[:SHOWN]),
            )
        )
    return findings


def _unknown(
    examples: Examples, task: Task, place: str, unknown_labels: UnknownLabels
) -> list[Finding]:
    counts = Counter({c: n for c, n in names_of(examples, task).items() if c not in task.labels})
    if not counts:
        return []
    first: dict[str, str] = {}
    for written, source in zip(examples.labels, examples.sources, strict=True):
        for label in names_in(task.kind, written) if written is not None else ():
            if label in counts:
                first.setdefault(label, source)
    worst = sorted(counts, key=lambda c: (-counts[c], c))
    lines: list[str] = []
    for label in worst[:10]:
        near = nearest(label, task.labels)
        hint = f", perhaps '{near}'" if near else ""
        lines.append(f"{quote(label, 40)} ({number_of(counts[label], 'row')}, first at "
                     f"{first[label]}{hint})")  # fmt: skip
    if unknown_labels == "error":
        more = f"; and {len(worst) - 10:,} more" if len(worst) > 10 else ""
        raise DataError(
            f"{number_of(len(worst), 'label')} {verb(len(worst), 'is', 'are')} not among those of "
            f"the task '{task.name}': {'; '.join(lines)}{more}.",
            where=place,
            advice=f"Correct the file, or add them under labels: in the task file. "
            f"Known: {listing(list(task.labels), 20)}.",
        )
    rows = counts.total()
    return [
        Finding(
            check="unknown_labels",
            severity="warning",
            count=rows,
            summary=f"{number_of(rows, 'row')} {verb(rows, 'has', 'have')} a label that the task "
            f"does not know ({number_of(len(worst), 'such label')}); every answer to them counts "
            "as wrong.",
            examples=tuple(lines[:SHOWN]),
        )
    ]


def require_enough(examples: Examples, task: Task, rows: int, place: str) -> None:
    """Refuse what nothing of the task's kind can be learned from.

    Args:
        examples: What there is.
        task: Names kind and labels.
        rows: Rows that were read, empty ones included.
        place: Where they come from.

    Raises:
        DataError: If it is too little; says what is missing.
    """
    if task.kind == "score" and rows and len(examples):
        require_scores(examples, task, place)
        return
    if task.kind == "rank" and rows and len(examples):
        require_queries(examples, place)
        return
    counts = names_of(examples, task)
    least = fewest_labels(task.kind)
    if sum(n >= 2 for n in counts.values()) >= least:
        return
    need = "The least is two labels with two examples each; ten of each is a good start."
    if not rows or not len(examples):
        what = "there is a header but no row of data." if not rows else "every text is empty."
    elif not counts:
        what = (f"none of the {number_of(len(examples), 'row')} has a label in the column "
                f"{task.data.label!r}.")  # fmt: skip
    elif len(counts) == 1:
        label, n = next(iter(counts.items()))
        what = f"all {n:,} labelled rows have the one label '{label}'; nothing is to be told apart."
        if n == 1:
            what = f"there is only one labelled row (label '{label}')."
    else:
        what = (
            f"{number_of(counts.total(), 'labelled row')} with {len(counts)} labels "
            f"({listing(sorted(counts))}) are too few to learn from and to measure."
        )
    raise DataError(what, where=place, advice=need)
