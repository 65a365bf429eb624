"""From a task's files to what a contest works on: snapshots, sides, labels.

Reads files as they are now, records snapshots and the side of every new near-duplicate group, and
never moves a group to the other side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost._base.digest import canonical_json, sha256_bytes
from milepost.data.read import Reading, TaskData, read_task
from milepost.data.snapshot import snapshot_digest, write_snapshot
from milepost.data.split import Sides, assign_sides
from milepost.data.splitting.columns import group_column, time_column
from milepost.data.splitting.owned import check_owners
from milepost.data.splitting.unlabeled import Unlabeled, read_unlabeled
from milepost.data.truths import names_of
from milepost.entities.errors import DataError, UnknownNameError
from milepost.entities.example import Dataset, Examples, Finding, QualityReport
from milepost.entities.ids import ContestId, Digest
from milepost.entities.inputs import Composition
from milepost.entities.kinds import KINDS, Kind, columns_of, fewest_labels, strata, truths
from milepost.entities.scorecard import Regime
from milepost.entities.serving import Feedback
from milepost.entities.task import Task
from milepost.evaluation.declared import check_declared
from milepost.evaluation.measuring import check_objective
from milepost.evaluation.slices import slice_masks
from milepost.predictors.preparation import Preparation
from milepost.workflows.contest.cases import case_files, read_cases
from milepost.workflows.contest.corrections import corrections, with_corrections
from milepost.workflows.contest.snapshots import stored_examples
from milepost.workflows.context import Context
from milepost.workflows.prompts.using import prompt_for
from milepost.workflows.tasks.guarding import check_guards

# Sides are drawn once and recorded; another seed of a contest must not draw them anew.
SIDES_SEED = 0
_TRIED = 200
"""Examples whose preparation is tried a second time."""

_SCHEME = "by:"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Material:
    """What a contest works on.

    Attributes:
        labels: Label names in column order.
        regime: How numbers are certified.
        train: Labelled training examples, ``n`` of them; those that came of feedback stand last.
        train_y: ``(n,) int64``, or the truths of another kind.
        holdout: Labelled examples to certify on; ``None`` when cross-fitted.
        holdout_y: ``(m,) int64``, -1 for unknown labels; ``None`` when cross-fitted.
        examples_digest: Digest of the snapshot of all examples.
        holdout_digest: Digest of what is certified on; ``None`` when cross-fitted.
        quality: What was found, leaks and quarantined rows included.
        leaks: Labelled examples that are not trained on because the test file holds their like.
        leaks_y: ``(l,) int64``, 0 or more.
        split: How it follows from the stored snapshots.
        own: How many of ``train`` are the task's own examples: only they are ever judged.
        cases: Cases of the files that declared tests of behaviour name, by file.
        unlabeled: Further inputs without a label, none of which says what a labelled one says.
    """

    labels: tuple[str, ...]
    regime: Regime
    train: Examples
    train_y: NDArray[Any]
    holdout: Examples | None
    holdout_y: NDArray[Any] | None
    examples_digest: Digest
    holdout_digest: Digest | None
    quality: QualityReport
    leaks: Examples
    leaks_y: NDArray[Any]
    split: "Split"
    own: int
    cases: Mapping[str, Examples] = field(default_factory=dict[str, Examples])
    unlabeled: tuple[str, ...] = ()

    @property
    def strata(self) -> NDArray[np.int64]:
        """Part of each training example, ``(n,)``: folds have equal shares of all parts."""
        return strata(self.split.task_kind, self.train_y)


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """What a contest works on as rows of stored snapshots, from which it can be had again.

    Attributes:
        labels: Label names in column order.
        regime: How numbers are certified.
        examples: Digest of the snapshot of all examples.
        examples_artifact: Where its bytes are.
        test_artifact: Where those of the test file's snapshot are; ``None`` without a test file.
        train: Rows of the examples to train on, the task's own.
        holdout: Rows to certify on, of the test file where there is one, else of the examples;
            ``None`` when cross-fitted.
        holdout_digest: Digest of what is certified on; ``None`` when cross-fitted.
        quality: What was found, leaks and quarantined rows included.
        leaks: Labelled rows of the examples that the test file holds the like of.
        cases: Artifact of the snapshot of each file with cases, by file.
        prepare: Steps that prepared the inputs, own ones with the digest of their file; left out
            where there are none.
        feedback: Rows of the examples that came of feedback: trained on, never judged on; left out
            where feedback was not asked for.
        unlabeled: Artifact of the snapshot of the unlabelled inputs; left out where there are none.
        together: Artifact of the record of tasks that were tuned together, this one among them;
            left out where they were not.
        kind: Kind of the task; left out of one that classifies.
        inputs: How several inputs became one text; left out where there is one.
    """

    labels: tuple[str, ...]
    regime: Regime
    examples: Digest
    examples_artifact: Digest
    test_artifact: Digest | None
    train: tuple[int, ...]
    holdout: tuple[int, ...] | None
    holdout_digest: Digest | None
    quality: QualityReport
    leaks: tuple[int, ...] = ()
    cases: dict[str, Digest] = {}
    prepare: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    feedback: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET
    unlabeled: Digest | msgspec.UnsetType = msgspec.UNSET
    together: Digest | msgspec.UnsetType = msgspec.UNSET
    kind: Kind | msgspec.UnsetType = msgspec.UNSET
    inputs: Composition | msgspec.UnsetType = msgspec.UNSET

    @property
    def task_kind(self) -> Kind:
        """Kind of the task."""
        return "classify" if isinstance(self.kind, msgspec.UnsetType) else self.kind

    @property
    def trained(self) -> tuple[int, ...]:
        """All rows that are trained on, those of feedback last."""
        return (*self.train, *(self.feedback or ()))


def load(context: Context, task: Task) -> TaskData:
    """Read, group and profile a task's files.

    Raises:
        DataError: If a file or column is missing, or the data cannot be used.
    """
    if not task.data.example_files:
        raise DataError(
            "the task names no data.",
            where=f"tasks/{task.name}.yaml",
            advice=f"Add labelled examples: milepost add {task.name} FILE.",
        )
    return read_task(
        task, context.settings, root=context.root, prepare=task_preparation(context, task)
    )


def task_preparation(context: Context, task: Task) -> Preparation:
    """The steps that the task file names for its input, ready to be applied.

    Raises:
        InputError: If one cannot be used.
    """
    where = f"tasks/{task.name}.yaml: inputs.{task.input_name}.prepare"
    return context.preparation(task.prepare, where)


def check_repeatable(prepare: Preparation, examples: Examples) -> None:
    """Refuse steps that do not give the same text for the same input each time.

    What is cached, traced and compared would not be what is answered.

    Raises:
        DataError: With the row of an example that shows it.
    """
    if not examples.originals:
        return
    # The other way round: what depends on what came before shows itself too.
    rows = range(min(len(examples), _TRIED))[::-1]
    texts = [examples.originals[row] for row in rows]
    for row, again in zip(rows, prepare(texts), strict=True):
        if again != examples.texts[row]:
            raise DataError(
                "its preparation gives another text each time.",
                where=examples.sources[row],
                advice="A step must depend on nothing but the text: no clock, no chance, no state.",
            )


def prepare(
    context: Context,
    task: Task,
    contest: ContestId,
    said: Sequence[Feedback] | None = None,
) -> Material:
    """Load a task's data, record its snapshots and sides, and split it.

    Args:
        context: The workspace.
        task: The task.
        contest: Id of the contest.
        said: Feedback to train on besides, newest first; ``None`` where it was not asked for.

    Raises:
        DataError: If the data cannot be used.
        InputError: If a slice is not a predicate over its columns.
    """
    data = load(context, task)
    examples = data.examples.examples
    # What cannot be used is found before anything is recorded or fitted.
    check_guards(context, task)
    check_repeatable(task_preparation(context, task), examples)
    slice_masks(examples.take([0]), task.input_name, task.objective.slices)
    labels = label_names(task, examples)
    prompt_for(context, task, labels)
    read = declared_cases(context, task, data)
    cases = {file: reading.examples for file, reading in read.items()}
    check_groups(context, task, data)
    sides = data.sides or _drawn(context, task, examples, contest)
    quality = _with_findings(data.examples.quality, sides.findings)
    whole = examples
    if said is not None:
        steps = task_preparation(context, task)
        more = corrections(context, task, data, sides, said, steps)
        whole = with_corrections(examples, more.examples)
        quality = _with_findings(quality, more.findings)
    more_inputs = unlabeled_of(context, task, data)
    quality = with_unlabeled(quality, more_inputs)
    kept = _keep(context, task, "examples", data.examples._replace(examples=whole, quality=quality))
    train = _labelled(examples, sides.rows("train"))
    if _alike(task, examples.take(train), labels):
        raise DataError(
            "what is left to train on has a single label.",
            where=f"tasks/{task.name}.yaml",
            advice="Add examples of the other labels.",
        )
    holdout, holdout_digest, test = None, None, None
    if data.test is not None:
        holdout = _labelled(data.test.examples, range(len(data.test.examples)))
        test = _keep(context, task, "test", data.test)
        holdout_digest = test.digest
    elif sides.regime == "holdout":
        rows = _labelled(examples, sides.rows("holdout"))
        holdout = tuple(rows[i] for i in once_per_message(examples.take(rows)).tolist())
        holdout_digest = snapshot_digest(examples.take(holdout))
    if holdout is not None and not holdout:
        raise DataError(
            "the test file has no labelled row.",
            where=f"tasks/{task.name}.yaml",
            advice=f"Is {task.data.label!r} its label column?",
        )
    split = Split(
        labels=labels,
        regime=sides.regime,
        examples=kept.digest,
        examples_artifact=kept.artifact,
        test_artifact=test.artifact if test is not None else None,
        train=train,
        holdout=holdout,
        holdout_digest=holdout_digest,
        quality=quality,
        leaks=_labelled(examples, sides.rows("leak")),
        cases={f: _keep(context, task, "cases", each).artifact for f, each in read.items()},
        prepare=task_preparation(context, task).steps or msgspec.UNSET,
        kind=msgspec.UNSET if task.kind == "classify" else task.kind,
        inputs=task.composition or msgspec.UNSET,
        feedback=msgspec.UNSET if said is None else tuple(range(len(examples), len(whole))),
        unlabeled=_kept_unlabeled(context, task, more_inputs, quality),
    )
    tested = data.test.examples if data.test is not None else None
    return _material(split, whole, tested, cases, more_inputs.examples.texts)


def unlabeled_of(context: Context, task: Task, data: TaskData) -> Unlabeled:
    """The task's unlabelled inputs: those of its files, and the rows of its examples without one.

    Raises:
        DataError: If a file cannot be used.
    """
    examples = data.examples.examples
    labelled = set(examples.labelled_rows)
    texts = [examples.texts[row] for row in sorted(labelled)]
    if data.test is not None:
        texts += data.test.examples.texts
    rest = [row for row in range(len(examples)) if row not in labelled]
    return read_unlabeled(
        task,
        texts,
        context.settings,
        among=examples.take(rest) if rest else None,
        root=context.root,
        prepare=task_preparation(context, task),
    )


def with_unlabeled(quality: QualityReport, found: Unlabeled) -> QualityReport:
    """The report with what is said of the unlabelled inputs, where there are any."""
    return quality if found.finding is None else _with_findings(quality, (found.finding,))


def _kept_unlabeled(
    context: Context, task: Task, found: Unlabeled, quality: QualityReport
) -> Digest | msgspec.UnsetType:
    """Where the snapshot of the unlabelled inputs is stored, where there are any."""
    if not len(found.examples):
        return msgspec.UNSET
    counted = msgspec.structs.replace(
        quality, rows=found.rows, used=len(found.examples), labelled=0, label_counts={}, findings=()
    )
    return _keep(
        context, task, "unlabeled", Reading(found.examples, found.sources, counted)
    ).artifact


def _alike(task: Task, examples: Examples, labels: Sequence[str]) -> bool:
    """Whether nothing is to be told apart."""
    if not KINDS[task.kind].labelled:
        return len(set(examples.labels)) < 2
    named = {name for name in names_of(examples, task) if name in labels}
    return len(named) < fewest_labels(task.kind)


def check_groups(context: Context, task: Task, data: TaskData) -> None:
    """Check that the task's own groups, if it has any, allow to judge; nothing is recorded.

    Raises:
        DataError: If what would be judged on has hardly any group, or most rows are of one.
    """
    column = group_column(task)
    if column is None:
        return
    where = f"tasks/{task.name}.yaml"
    if data.test is not None:
        judged = data.test.examples
        check_owners(judged, judged.labelled_rows, column, where)
        return
    examples = data.examples.examples
    sides = planned_sides(context, task, examples)
    rows = sides.rows("holdout" if sides.regime == "holdout" else "train")
    check_owners(examples, _labelled(examples, rows), column, where)


def planned_sides(context: Context, task: Task, examples: Examples) -> Sides:
    """The sides that the next contest would draw, without recording any."""
    try:
        known = recorded_sides(context, task)
    except UnknownNameError:
        known = {}
    return assign_sides(_parted(task, examples), known, context.settings, seed=SIDES_SEED)


def _parted(task: Task, examples: Examples) -> Examples:
    """Examples as sides are drawn of them: with their part where truths are no single labels."""
    if KINDS[task.kind].link == "softmax":
        return examples
    rows = examples.labelled_rows
    written = [examples.labels[row] for row in rows]
    parts = strata(task.kind, truths(task.kind, written, label_names(task, examples)))
    said = dict(zip(rows, parts.tolist(), strict=True))
    labels = tuple(str(said[row]) if row in said else None for row in range(len(examples)))
    return replace(examples, labels=labels)


def declared_cases(context: Context, task: Task, data: TaskData) -> dict[str, Reading]:
    """Check what a task declares besides its slices against its data; the cases that it names.

    Raises:
        InputError: If a metric, test of behaviour, rule of fairness or scope cannot be used.
        DataError: If a file with cases cannot be read.
    """
    examples = data.examples.examples
    labels = label_names(task, examples)
    read = read_cases(
        case_files(task),
        task,
        context.settings,
        root=context.root,
        prepare=task_preparation(context, task),
    )
    cases = {file: reading.examples for file, reading in read.items()}
    judged = data.test.examples if data.test is not None else examples
    check_declared(task, labels, judged, cases)
    check_objective(task, labels, context.root)
    return read


def prepared(context: Context, split: Split) -> Material:
    """What ``prepare`` gave, from the snapshots that it stored.

    Raises:
        StorageError: If a snapshot is gone or is not what it was.
    """
    examples = stored_examples(context, split.examples_artifact)
    test = split.test_artifact
    cases = {f: stored_examples(context, each) for f, each in split.cases.items()}
    tested = stored_examples(context, test) if test else None
    unlabeled: tuple[str, ...] = ()
    if not isinstance(split.unlabeled, msgspec.UnsetType):
        found = stored_examples(context, split.unlabeled).texts
        unlabeled = tuple(text for text in found if text)
    return _material(split, examples, tested, cases, unlabeled)


def label_names(task: Task, examples: Examples) -> tuple[str, ...]:
    """Label names in column order: those of the task file, else those of the data, sorted."""
    return columns_of(task.kind, tuple(task.labels) or sorted(names_of(examples, task)))


def _material(
    split: Split,
    examples: Examples,
    test: Examples | None,
    cases: Mapping[str, Examples],
    unlabeled: tuple[str, ...],
) -> Material:
    train, holdout = examples.take(split.trained), None
    leaks = examples.take(split.leaks)
    if split.holdout is not None:
        holdout = (examples if test is None else test).take(split.holdout)
    return Material(
        labels=split.labels,
        regime=split.regime,
        train=train,
        train_y=truths(split.task_kind, train.labels, split.labels),
        holdout=holdout,
        holdout_y=None
        if holdout is None
        else truths(split.task_kind, holdout.labels, split.labels),
        examples_digest=split.examples,
        holdout_digest=split.holdout_digest,
        quality=split.quality,
        leaks=leaks,
        leaks_y=truths(split.task_kind, leaks.labels, split.labels),
        split=split,
        own=len(split.train),
        cases=cases,
        unlabeled=unlabeled,
    )


def once_per_message(examples: Examples) -> NDArray[np.int64]:
    """The first row of each near-duplicate group and label, ``(m,) int64``, ascending.

    What is said twice is no more evidence than what is said once: only these rows are counted
    when something is measured. What a customer says besides is another message and counts.
    """
    first: dict[tuple[str, str | None], int] = {}
    for row, key in enumerate(zip(examples.duplicates, examples.labels, strict=True)):
        first.setdefault(key, row)
    return np.asarray(list(first.values()), np.int64)


def label_indices(names: Sequence[str | None], labels: Sequence[str]) -> NDArray[np.int64]:
    """Column of each label name, ``(n,) int64``; -1 where the task does not know it."""
    return truths("classify", names, labels)


def _drawn(context: Context, task: Task, examples: Examples, contest: ContestId) -> Sides:
    """Sides by what the ledger has recorded; sides of new groups are recorded."""
    known, scheme = recorded_sides(context, task), _scheme(task)
    parted = _parted(task, examples)
    sides = assign_sides(parted, known, context.settings, seed=SIDES_SEED)
    new = {scheme + key: side for key, side in sides.new.items()}
    in_force = context.ledger.record_sides(task.name, new, contest=contest, actor=context.actor)
    if any(in_force.get(key) != side for key, side in new.items()):
        # Another process recorded some of these groups first; its draw stands.
        known = {**known, **{key.removeprefix(scheme): side for key, side in in_force.items()}}
        return assign_sides(parted, known, context.settings, seed=SIDES_SEED)
    return sides


def recorded_sides(context: Context, task: Task) -> dict[str, str]:
    """What is recorded of the task's split, as it is declared now, by key."""
    scheme = _scheme(task)
    return {
        key.removeprefix(scheme): side
        for key, side in context.ledger.sides(task.name).items()
        if key.startswith(scheme) and (scheme or not key.startswith(_SCHEME))
    }


def _scheme(task: Task) -> str:
    """What the recorded keys of the task's split begin with.

    A task that comes to name a column of groups or times is split anew: by its old sides a
    customer would be on both. What was looked at stays looked at.
    """
    columns = [group_column(task), time_column(task)]
    return f"{_SCHEME}{sha256_bytes(canonical_json(columns))[:16]}:" if any(columns) else ""


def _labelled(examples: Examples, rows: Sequence[int]) -> tuple[int, ...]:
    """Those of the rows that have a label."""
    return tuple(i for i in rows if examples.labels[i] is not None)


def _with_findings(quality: QualityReport, findings: Sequence[Finding]) -> QualityReport:
    """The report with what splitting found, without saying it twice."""
    known = {finding.check for finding in quality.findings}
    new = tuple(finding for finding in findings if finding.check not in known)
    return msgspec.structs.replace(quality, findings=(*new, *quality.findings))


def _keep(context: Context, task: Task, role: str, reading: Reading) -> Dataset:
    """Store a snapshot and its record; the same content is stored once."""
    dataset = Dataset(
        digest=snapshot_digest(reading.examples),
        artifact=context.artifacts.put(write_snapshot(reading.examples)),
        task=task.name,
        role=role,
        rows=len(reading.examples),
        sources=reading.sources,
        quality=reading.quality,
    )
    context.ledger.save_dataset(dataset, actor=context.actor)
    return dataset
