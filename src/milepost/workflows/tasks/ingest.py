"""How tasks and labels come in: new workspaces, new tasks, more files.

Everything is checked before anything is written.
"""

import io
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

import msgspec

from milepost._base.settings import Settings
from milepost.data.clean import Plain
from milepost.data.examples import gather_examples
from milepost.data.load import Table, load_table
from milepost.data.read import read_examples
from milepost.data.splitting.columns import check_columns
from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.example import QualityReport
from milepost.entities.task import Objective, Task
from milepost.entities.taskfile import dump_task, parse_task
from milepost.evaluation.slices import slice_masks
from milepost.predictors.preparation import Preparation, preparation
from milepost.workflows.context import Context
from milepost.workflows.tasks.files import (
    append_data_file,
    cannot_write,
    read_task,
    task_names,
    write_task,
    write_whole,
)

Role = Literal["examples", "test"]
ROLES: tuple[Role, ...] = ("examples", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Columns of a file that somebody brings.

    Attributes:
        text: Column of the text; ``None`` takes what the task file says.
        label: Column of the label; ``None`` takes what the task file says.
    """

    text: str | None = None
    label: str | None = None


def copy_demo(root: Path) -> None:
    """Copy the demo's task files and data into a workspace."""
    try:
        for folder in ("tasks", "data"):
            with as_file(files("milepost.demo") / folder) as source:
                shutil.copytree(source, root / folder, dirs_exist_ok=True)
    except OSError as error:
        raise cannot_write(root, error) from error


def make_task(table: Table, name: str, columns: Columns, objective: Objective) -> Task:
    """A task over a table's columns, with the labels that the table holds, sorted.

    Raises:
        UnknownNameError: If a column is missing.
        InputError: If the name or the objective is not valid.
    """
    text, label = columns.text or "text", columns.label or "label"
    for column in (text, label):
        table.column(column)
    try:
        draft = msgspec.convert(
            {
                "name": name,
                "inputs": {"text": {"column": text}} if text != "text" else {"text": "string"},
                "objective": msgspec.to_builtins(objective),
                "data": {"label": label},
            },
            Task,
        )
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        advice = "A name has lower-case letters, digits, '-' and '_', and starts with a letter."
        raise InputError(
            f"{what}.", where=place.strip("`$.") or None, advice=advice if "name" in place else None
        ) from error
    return draft


def with_labels(
    task: Task, tables: Sequence[Table], settings: Settings, prepare: Preparation
) -> Task:
    """The task with the labels of its data, where it declares none."""
    if task.labels:
        return task
    found = gather_examples(tables, task, settings, prepare=prepare).examples.labels
    names = sorted({label for label in found if label is not None})
    return msgspec.structs.replace(task, labels=dict.fromkeys(names, ""))


def bring(source: object) -> tuple[Table, bytes, str]:
    """Read a file, standard input or dataframe: the table, the bytes to keep, and a suffix.

    Raises:
        DataError: If it cannot be read.
    """
    if isinstance(source, str) and source == "-":  # a dataframe compares cell by cell
        data = sys.stdin.buffer.read()
        return load_table("-", stdin=io.BytesIO(data)), data, _suffix_of(data)
    if isinstance(source, str | Path):
        path = Path(source)
        return load_table(path, name=str(source)), path.read_bytes(), path.suffix.lower()
    table = load_table(source)
    return table, table_bytes(table.columns), ".parquet"


def _suffix_of(data: bytes) -> str:
    if data.startswith(b"PAR1"):
        return ".parquet"
    head = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    return ".jsonl" if head.startswith(b"{") else ".json" if head.startswith(b"[") else ".csv"


def table_bytes(columns: Mapping[str, Sequence[Plain]]) -> bytes:
    """Columns as Parquet bytes; a column of several types is stored as text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays: dict[str, object] = {}
    for name, values in columns.items():
        kinds = {type(v) for v in values if v is not None}
        texts = [None if v is None else str(v) for v in values]
        arrays[name] = pa.array(list(values) if len(kinds) <= 1 else texts)
    out = io.BytesIO()
    pq.write_table(pa.table(arrays), out, compression="zstd")
    return out.getvalue()


def add_task(
    context: Context, task: Task, examples: object | None, test: object | None
) -> tuple[Task, QualityReport | None]:
    """Write a new task with its data, all of it checked first.

    Raises:
        TaskFileError: With everything in the task that a task file could not hold.
        InputError: If there is a task of that name, or the data cannot be used.
    """
    # Records made in Python are not validated when they are made; the file would be.
    task = parse_task(dump_task(task), "Task")
    if task.name in task_names(context.root):
        write_task(context.root, task)  # refuses, and says what to do
    quality: QualityReport | None = None
    files: list[tuple[Role, bytes, str]] = []
    if examples is not None:
        table, content, suffix = bring(examples)
        plan = _plan(table, content, suffix, task, context.root)
        task, quality = plan.task, plan.quality
        files.append(("examples", content, suffix))
    if test is not None:
        table, content, suffix = bring(test)
        check_columns(table, task)
        read_examples(
            [table],
            task,
            context.settings,
            unknown_labels="keep",
            prepare=context.preparation(task.prepare),
        )
        files.append(("test", content, suffix))
    context.record_configuration()
    data = task.data
    for role, content, suffix in files:
        stem = f"{task.name}-test" if role == "test" else task.name
        file = free_name(context.root, stem, suffix)
        write_whole(context.root / file, content)
        data = msgspec.structs.replace(data, **{role: file})
    task = msgspec.structs.replace(task, data=data)
    write_task(context.root, task)
    return task, quality


def add_file(
    context: Context, name: str, source: object, role: str, columns: Columns
) -> tuple[Task, QualityReport]:
    """Bring one more file to a task; a new name makes a new task.

    Raises:
        UnknownNameError: If ``role`` is neither ``examples`` nor ``test``.
        InputError: If the file does not fit the task.
    """
    if role not in ROLES:
        raise UnknownNameError("role", role, ROLES, where="--as")
    table, content, suffix = bring(source)
    if name not in task_names(context.root):
        if role == "test":
            raise UnknownNameError("task", name, task_names(context.root))
        task = make_task(table, name, columns, Objective())
        plan = _plan(table, content, suffix, task)
        context.record_configuration()
        return carry_out(context, plan)
    task = read_task(context.root, name)
    renamed = _as_declared(table, task, columns)
    if renamed is not table:
        table, content, suffix = renamed, table_bytes(renamed.columns), ".parquet"
    quality = _fits(context, task, table, role)
    context.record_configuration()
    stem = f"{name}-test" if role == "test" else name
    file = free_name(context.root, stem, suffix)
    write_whole(context.root / file, content)
    append_data_file(context.root, name, role, file)
    return read_task(context.root, name), quality


def _as_declared(table: Table, task: Task, columns: Columns) -> Table:
    """The table with its columns renamed to what the task file declares."""
    wanted = {task.input_column: columns.text, task.data.label: columns.label}
    moves = {given: name for name, given in wanted.items() if given and given != name}
    for given in moves:
        table.column(given)
    if not moves:
        return table
    renamed = {moves.get(k, k): v for k, v in table.columns.items() if k not in moves.values()}
    return Table(
        name=table.name,
        columns=renamed,
        rows=table.rows,
        total=table.total,
        sha256=table.sha256,
        typed=table.typed,
        findings=table.findings,
    )


def _fits(context: Context, task: Task, table: Table, role: Role) -> QualityReport:
    """Whether the task still works with one more file: its columns, labels and ids."""
    prepare = context.preparation(task.prepare)
    if role == "test":
        check_columns(table, task)
        return read_examples(
            [table], task, context.settings, unknown_labels="keep", prepare=prepare
        ).quality
    present = [load_table(context.root / file, name=file) for file in task.data.example_files]
    return read_examples([*present, table], task, context.settings, prepare=prepare).quality


def free_name(root: Path, stem: str, suffix: str) -> str:
    """A file name under ``data/`` that does not exist yet, relative to the workspace."""
    number = 1
    while True:
        name = f"data/{stem}{'' if number == 1 else f'-{number}'}{suffix or '.csv'}"
        if not (root / name).exists():
            return name
        number += 1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Plan:
    """A task that has been checked against its data and waits for a workspace.

    Attributes:
        task: The task, its labels filled in, without data files.
        content: Bytes of the data file to keep.
        suffix: Suffix of that file.
        quality: What was found in it.
    """

    task: Task
    content: bytes
    suffix: str
    quality: QualityReport


def plan_workspace(source: object, name: str, columns: Columns, objective: Objective) -> Plan:
    """Check everything about a task from a file before a workspace is made.

    Raises:
        InputError: If the file, a column, the name or the data cannot be used.
    """
    table, content, suffix = bring(source)
    return _plan(table, content, suffix, make_task(table, name, columns, objective))


def carry_out(context: Context, plan: Plan) -> tuple[Task, QualityReport]:
    """Write a planned task with its data: the data first, then the file that names it."""
    file = free_name(context.root, plan.task.name, plan.suffix)
    data = msgspec.structs.replace(plan.task.data, examples=file)
    task = msgspec.structs.replace(plan.task, data=data)
    write_whole(context.root / file, plan.content)
    write_task(context.root, task)
    return task, plan.quality


def _plan(table: Table, content: bytes, suffix: str, task: Task, root: Path | None = None) -> Plan:
    settings = Settings()
    prepare = preparation(task.prepare, root, settings.max_text_chars)
    # Profiled before the labels count as declared: declared ones are never taken for misspellings.
    reading = read_examples([table], task, settings, prepare=prepare)
    slice_masks(reading.examples.take([0]), task.input_name, task.objective.slices)
    quality = reading.quality
    task = with_labels(task, [table], settings, prepare)
    return Plan(task=task, content=content, suffix=suffix, quality=quality)
