"""Inputs without a label: read, cleaned as examples are, and kept apart from what is labelled.

What has a label is trained on or judged. An input that says the same as one of those could carry
its answer into a student, or count twice, and is left out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from milepost._base.digest import sha256_bytes
from milepost._base.settings import Settings
from milepost.data.clean import as_text
from milepost.data.composing import inputs_in
from milepost.data.duplicates import group_texts
from milepost.data.load import load_table
from milepost.data.wording import SHOWN, number_of, quote, verb
from milepost.entities.errors import DataError
from milepost.entities.example import Examples, Finding, SourceFile
from milepost.entities.task import Task
from milepost.predictors.preparation import Preparation, preparation
from milepost.predictors.preparation.preparing import StepError

MOST = 20_000
"""Unlabelled inputs that are kept at most: a student that has seen these gains little from more."""


class Unlabeled(NamedTuple):
    """Unlabelled inputs that may be learned from.

    Attributes:
        examples: Without labels, each message once.
        sources: The raw files.
        rows: Rows read from them.
        finding: How many there are and what was left out; ``None`` where there were none.
    """

    examples: Examples
    sources: tuple[SourceFile, ...]
    rows: int
    finding: Finding | None


def read_unlabeled(
    task: Task,
    labelled: Sequence[str],
    settings: Settings,
    *,
    among: Examples | None = None,
    root: Path | None = None,
    prepare: Preparation | None = None,
) -> Unlabeled:
    """The unlabelled inputs of a task that say nothing that a labelled one says.

    Args:
        task: Names the files and the columns.
        labelled: Texts that are trained on, judged on, or left out of training: none of them, nor a
            near-duplicate of one, is kept.
        settings: ``max_text_chars`` and ``near_duplicate`` are used.
        among: Unlabelled rows that came with the examples.
        root: Folder that relative paths start from; ``None`` for the current one.
        prepare: Prepares the inputs; ``None`` for the task's own steps, which must be built-in.

    Raises:
        UnknownNameError: If a file has no such column.
        DataError: If a file cannot be read, or holds no text.
    """
    prepare = prepare or preparation(task.prepare, None, settings.max_text_chars)
    texts = [] if among is None else list(among.texts)
    places = [] if among is None else list(among.sources)
    asked = [] if among is None else list(among.asked)
    sources: list[SourceFile] = []
    for file in task.data.unlabeled_files:
        columns = task.input_columns
        table = load_table((root or Path()) / file, name=file, expect=[*columns.values()])
        given = inputs_in(table, columns, task.composition, prepare.most)
        raw = [as_text(value) for value in given]
        try:
            clean = prepare(raw)
        except StepError as error:
            where = f"{file}:{table.rows[error.row]}"
            raise DataError(error.what, where=where, advice=error.advice) from error
        kept = [i for i, text in enumerate(clean) if text]
        if not kept:
            raise DataError("no row of it has a text.", where=file, advice="Is it the right file?")
        texts += [clean[i] for i in kept]
        asked += [raw[i] for i in kept]
        places += [f"{file}:{table.rows[i]}" for i in kept]
        sources.append(table.source)
    found = Examples(
        ids=tuple(sha256_bytes(f"unlabeled {i} {t}".encode())[:16] for i, t in enumerate(asked)),
        texts=tuple(texts),
        labels=(None,) * len(texts),
        groups=("",) * len(texts),
        sources=tuple(places),
        originals=tuple(asked) if prepare.steps else (),
    )
    return _apart(found, labelled, settings, tuple(sources))


def _apart(
    found: Examples, labelled: Sequence[str], settings: Settings, sources: tuple[SourceFile, ...]
) -> Unlabeled:
    rows = len(found)
    if not rows:
        return Unlabeled(found, sources, 0, None)
    grouping = group_texts([*labelled, *found.texts], settings.near_duplicate)
    said = set(grouping.groups[: len(labelled)])
    own = grouping.groups[len(labelled) :]
    known = [i for i, group in enumerate(own) if group in said]
    once: dict[str, int] = {}
    for i, group in enumerate(own):
        if group not in said:
            once.setdefault(group, i)
    # By their keys, which have nothing to do with the order of the file.
    kept = sorted(sorted(once.values(), key=lambda i: own[i])[:MOST])
    named = [own[i] for i in kept]
    part = found.take(kept)
    examples = Examples(
        ids=part.ids,
        texts=part.texts,
        labels=part.labels,
        groups=tuple(named),
        sources=part.sources,
        originals=part.originals,
    )
    finding = _finding(found, len(kept), known, len(once))
    return Unlabeled(examples, sources, rows, finding)


def _finding(found: Examples, kept: int, known: Sequence[int], distinct: int) -> Finding:
    n, twice = len(known), len(found) - len(known) - distinct
    left_out = [
        f"{n:,} {verb(n, 'says', 'say')} what a labelled one says" if n else "",
        f"{twice:,} {verb(twice, 'says', 'say')} what another one says" if twice else "",
        f"{distinct - kept:,} {verb(distinct - kept, 'is', 'are')} more than {MOST:,}"
        if distinct > kept
        else "",
    ]
    reasons = "; ".join(each for each in left_out if each)
    more = f" Left out: {reasons}." if reasons else ""
    return Finding(
        check="unlabeled_inputs",
        severity="note",
        count=kept,
        summary=f"{number_of(kept, 'unlabelled input')} {verb(kept, 'is', 'are')} there to learn "
        f"from without {verb(kept, 'its', 'their')} label.{more}",
        examples=tuple(f"{found.sources[i]}: {quote(found.texts[i])}" for i in known[:SHOWN]),
    )
