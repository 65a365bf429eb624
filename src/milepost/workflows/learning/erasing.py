"""Takes chosen rows out of everything that a workspace keeps as text: what, where, and how.

What is chosen is asked of every snapshot anew, so that a command that was killed finds what it had
not reached when it is run again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from milepost._base.digest import sha256_bytes
from milepost.data.clean import as_text
from milepost.data.duplicates import text_keys
from milepost.data.erase import without_rows
from milepost.data.snapshot import read_snapshot, write_snapshot
from milepost.entities.errors import InputError, StorageError
from milepost.entities.example import Examples
from milepost.entities.ids import Digest
from milepost.entities.learning import ErasedFile, ErasedSnapshot
from milepost.entities.serving import Feedback
from milepost.entities.task import Task
from milepost.evaluation.slices import where_mask
from milepost.models.cached import text_keys as vector_keys
from milepost.storage.files.vectors import FileVectorStore
from milepost.storage.records.updates import StoredSnapshot
from milepost.workflows.contest.cases import case_files
from milepost.workflows.context import Context
from milepost.workflows.tasks.files import read_task, task_names, write_whole

_Value = TypeVar("_Value")

_BARE = "unlabeled"
"""Role of snapshots that hold texts alone."""

_VECTORS = (".milepost", "vectors")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Choice:
    """Which examples are to be forgotten.

    Attributes:
        where: A predicate in SQL; ``None`` for none.
        ids: Ids of examples.
        input_name: What the task calls its input.
        label: What its files call the label, in which the predicate finds it.
        numbers: Whether labels are numbers.
        pairs: Ids and inputs that are known to be chosen.
    """

    where: str | None
    ids: frozenset[str]
    input_name: str
    label: str = "label"
    numbers: bool = False
    pairs: frozenset[tuple[str, str]] = frozenset()

    def rows(self, examples: Examples, *, strict: bool) -> list[int]:
        """The chosen rows of some examples.

        Args:
            examples: Any.
            strict: Whether a predicate that does not fit their columns is an error; else they have
                none of the rows that it speaks of, but for those that are known.

        Raises:
            InputError: If the predicate cannot be used.
        """
        mask: NDArray[np.bool_] = np.asarray(
            [
                bool(text) and (identity in self.ids or (identity, text) in self.pairs)
                for identity, text in zip(examples.ids, examples.asked, strict=True)
            ],
            np.bool_,
        )
        if self.where is not None and len(examples):
            try:
                mask |= where_mask(self._with_label(examples), self.input_name, self.where)
            except InputError:
                if strict:
                    raise
        there = np.asarray([bool(text) for text in examples.asked], np.bool_)
        return np.flatnonzero(mask & there).tolist()

    def _with_label(self, examples: Examples) -> Examples:
        """With the label as a column, where no other one has its name."""
        taken = {name.lower() for name in (*examples.metadata, self.input_name)}
        if self.label.lower() in taken:
            return examples
        labels: tuple[object, ...] = examples.labels
        if self.numbers:
            labels = tuple(map(_number, examples.labels))
        return replace(examples, metadata={**examples.metadata, self.label: labels})

    def knowing(self, examples: Examples, rows: Sequence[int]) -> "Choice":
        """The same with some rows known to be chosen."""
        found = {(examples.ids[row], examples.asked[row]) for row in rows}
        return replace(self, pairs=self.pairs | found)


def _number(label: str | None) -> float | None:
    """A label as a number; nothing where it is none, as in a file of inputs without scores."""
    try:
        return None if label is None else float(label)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Held:
    """Chosen rows of a stored snapshot."""

    snapshot: StoredSnapshot
    examples: Examples
    rows: list[int]

    @property
    def inputs(self) -> list[str]:
        """Their inputs, as they were asked and as they were read."""
        taken = self.examples.take(self.rows)
        return [*taken.asked, *taken.texts]


def held_rows(
    context: Context, task: str, choice: Choice, inputs: frozenset[str] = frozenset()
) -> list[Held]:
    """The chosen rows of every stored snapshot of a task that has any.

    Args:
        context: The workspace.
        task: Name of the task.
        choice: What is chosen.
        inputs: Chosen inputs, by which rows are known that kept neither id nor columns.

    Raises:
        StorageError: If a snapshot is damaged; one that is gone holds nothing.
    """
    found: list[Held] = []
    for each in context.ledger.snapshots(task):
        if not context.artifacts.exists(each.artifact):
            continue
        examples = read_snapshot(context.artifacts.get(each.artifact))
        rows = choice.rows(examples, strict=False)
        if each.role == _BARE:
            rows = [row for row, text in enumerate(examples.asked) if text in inputs]
        if rows:
            found.append(Held(snapshot=each, examples=examples, rows=rows))
    return found


def data_files(task: Task) -> tuple[str, ...]:
    """Every data file that a task names."""
    data = task.data
    files = (*data.example_files, *data.test_files, *data.unlabeled_files, *case_files(task))
    return tuple(dict.fromkeys(files))


def erase_files(
    context: Context, task: Task, rows: Mapping[str, set[int]], *, dry_run: bool
) -> tuple[ErasedFile, ...]:
    """Rewrite data files without some rows, each whole or not at all.

    Args:
        context: The workspace.
        task: Names the columns.
        rows: Rows to take out, by file.
        dry_run: Only say what would be done.

    Raises:
        InputError: If a file lies outside the workspace: it is somebody else's.
    """
    done: list[ErasedFile] = []
    expect = [task.input_column, task.data.label, *([task.data.id] if task.data.id else [])]
    for file, gone in sorted(rows.items()):
        path = _inside(context.root, file)
        before = path.read_bytes()
        after = without_rows(before, file, gone, expect)
        if not dry_run:
            write_whole(path, after)
        done.append(
            ErasedFile(
                path=file,
                rows=len(gone),
                before=Digest(sha256_bytes(before)),
                after=Digest(sha256_bytes(after)),
                shared_with=_sharing(context, task.name, file),
            )
        )
    return tuple(done)


def erase_snapshot(context: Context, task: str, held: Held) -> ErasedSnapshot:
    """Put a snapshot without the chosen rows' text in the place of a stored one.

    Ids, labels and places stay, so that recorded predictions and splits still name the same rows.
    """
    gone, examples = set(held.rows), held.examples
    blank = replace(
        examples,
        texts=_blanked(examples.texts, gone, ""),
        groups=_blanked(examples.groups, gone, ""),
        duplicates=_blanked(examples.duplicates, gone, ""),
        metadata={k: _blanked(v, gone, None) for k, v in examples.metadata.items()},
        owners=_blanked(examples.owners, gone, None),
        originals=_blanked(examples.originals, gone, ""),
    )
    before, after = held.snapshot.artifact, context.artifacts.put(write_snapshot(blank))
    context.ledger.replace_snapshot(task, held.snapshot, after, context.actor)
    needs = context.ledger.needed_artifacts()
    deleted = before not in needs.files and before not in needs.pinned
    if deleted:
        # Nothing reads it any more; what was put a moment ago is no exception.
        deleted = context.artifacts.delete(before, context.clock() + timedelta(days=1))
    return ErasedSnapshot(
        digest=held.snapshot.record.digest,
        role=held.snapshot.role,
        rows=len(held.rows),
        before=before,
        after=after,
        deleted=deleted or not context.artifacts.exists(before),
    )


def feedback_on(context: Context, task: str, inputs: Sequence[str]) -> list[Feedback]:
    """All feedback on some inputs, taught labels included."""
    keys = set(text_keys(inputs))
    said = [each for each in context.ledger.feedback(task) if each.text]
    named = text_keys([as_text(each.text) for each in said])
    return [each for each, key in zip(said, named, strict=True) if key in keys]


def erase_vectors(context: Context, inputs: Sequence[str]) -> int:
    """Delete the cached vectors of some inputs, of every encoder; returns how many."""
    store = FileVectorStore(context.root.joinpath(*_VECTORS))
    return store.drop(vector_keys(sorted(set(inputs))))


def _inside(root: Path, file: str) -> Path:
    path = (root / file).resolve()
    if not path.is_relative_to(root.resolve()):
        raise InputError(
            "this file lies outside the workspace and is not rewritten.",
            where=file,
            advice="Take the rows out of it yourself, then run the command again.",
        )
    if not path.is_file():
        raise StorageError("the file is gone.", where=file, advice="Run the command again.")
    return path


def _sharing(context: Context, name: str, file: str) -> tuple[str, ...]:
    others = (each for each in task_names(context.root) if each != name)
    return tuple(each for each in others if file in data_files(read_task(context.root, each)))


def _blanked(values: tuple[_Value, ...], gone: set[int], blank: _Value) -> tuple[_Value, ...]:
    return tuple(blank if row in gone else value for row, value in enumerate(values))
