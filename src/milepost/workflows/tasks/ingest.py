"""How tasks and labels come in: new workspaces, new tasks, more files.

Everything is checked before anything is written.
"""

import io
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

import msgspec

from milepost._base.settings import Settings
from milepost.data.clean import Plain
from milepost.data.composing import ReadImage, image_column
from milepost.data.examples import gather_examples
from milepost.data.load import Table, load_table
from milepost.data.ranking import at_home, candidates_in
from milepost.data.read import read_examples
from milepost.data.splitting.columns import check_columns
from milepost.data.truths import names_of
from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.example import QualityReport
from milepost.entities.inputs import PAIR
from milepost.entities.kinds import KINDS, Kind
from milepost.entities.task import PAIRED, DataFiles, Objective, Task
from milepost.entities.taskfile import dump_task, parse_task
from milepost.evaluation.slices import slice_masks
from milepost.models.images.store import Images
from milepost.predictors.preparation import Preparation, preparation
from milepost.workflows.context import Context
from milepost.workflows.migrating.options import encoder_spec
from milepost.workflows.tasks.files import (
    append_data_file,
    cannot_write,
    read_task,
    task_names,
    write_task,
    write_whole,
)

Role = Literal["candidates", "examples", "test"]
SIDES = ("left", "right")
"""Names of the inputs of a new task that matches pairs."""

ASKED = ("query", "candidate")
"""Names of the inputs of a new task that ranks."""

ROLES: tuple[Role, ...] = ("candidates", "examples", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Columns of a file that somebody brings.

    Attributes:
        text: Column of the text; ``None`` takes what the task file says.
        label: Column of the label; ``None`` takes what the task file says.
        pair: Columns of both sides of a pair, for a new task that matches; ``None`` for other ones.
        kind: Kind of a new task.
        image: Column of the images of a new task; beside it a text only where ``text`` is named. Of
            a pair one of its columns.
        encoder: Encoder of a new task; ``None`` for that of the workspace.
    """

    text: str | None = None
    label: str | None = None
    pair: tuple[str, str] | None = None
    kind: Kind = "classify"
    image: str | None = None
    encoder: str | None = None

    @property
    def inputs(self) -> dict[str, dict[str, str]]:
        """Inputs of a new task, as its file names them.

        Raises:
            InputError: If the images are in no column of the pair.
        """
        pair = self.pair or (ASKED if self.kind == "rank" else None)
        if pair:
            if self.image not in (None, *pair):
                raise InputError(
                    f"the images of {self.image!r} are no side of the pair.",
                    where="--image",
                    advice=f"Name one of its columns, {pair[0]!r} or {pair[1]!r}.",
                )
            names = ASKED if self.kind == "rank" else SIDES
            seen = {"type": "image"}
            return {
                side: {**(seen if column == self.image else {}), "column": column}
                for side, column in zip(names, pair, strict=True)
            }
        if self.image is None:
            return {"text": {"column": self.text or "text"}}
        found = {_name_for(self.image, "image"): {"type": "image", "column": self.image}}
        if self.text is not None:
            found[_name_for(self.text, "words")] = {"column": self.text}
        return found


def encoder_from(root: Path, written: str | None) -> str | None:
    """An encoder as a task file shall call it, whatever folder it was named from."""
    return None if written is None else encoder_spec(root.resolve(), written)


def _name_for(column: str, otherwise: str) -> str:
    """Name of the input in a column: the column's own where it can be one."""
    fits = column != "text" and re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", column)
    return column if fits else otherwise


def kind_named(name: str) -> Kind:
    """The kind of that name.

    Raises:
        UnknownNameError: If there is none; carries the nearest.
    """
    found: Kind | None = next((kind for kind in KINDS if kind == name), None)
    if found is None:
        raise UnknownNameError("kind", name, tuple(KINDS), where="--kind")
    return found


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
        InputError: If the name or the objective is not valid, or the kind reads no images.
    """
    label = columns.label or "label"
    kind: Kind = "match" if columns.pair and columns.kind == "classify" else columns.kind
    inputs: dict[str, object] = dict(columns.inputs)
    # Without a column of relevance each row of what ranks is a right answer.
    labelled = kind != "rank" or columns.label not in (None, DataFiles().label)
    read = [each["column"] for each in columns.inputs.values()]
    for column in (*read, *([label] if labelled else [])):
        table.column(column)
    if inputs == {"text": {"column": "text"}}:
        inputs = {"text": "string"}
    try:
        draft = msgspec.convert(
            {
                "name": name,
                "kind": kind,
                "inputs": inputs,
                **({"compose": PAIR} if columns.pair and kind not in PAIRED else {}),
                **({} if columns.encoder is None else {"encoder": columns.encoder}),
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
    if not KINDS[task.kind].labelled:
        return task
    examples = gather_examples(tables, task, settings, prepare=prepare).examples
    names = sorted(names_of(examples, task))
    return msgspec.structs.replace(task, labels=dict.fromkeys(names, ""))


def with_images(table: Table, task: Task, keep: ReadImage) -> Table:
    """The table with what stands for each image in the place of paths and data URIs.

    So that a file that is copied into a workspace needs no other one.

    Raises:
        DataError: If a cell is no image.
    """
    if not task.images:
        return table
    columns = dict(table.columns)
    for name in task.images:
        column = task.input_columns[name]
        columns[column] = image_column(table, column, keep)
    return replace(table, columns=columns)


class NotedImages(Images):
    """Looks at images before there is a workspace to keep them; remembers where they are."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, tuple[str | bytes, Path | None]] = {}

    def keep(self, cell: str | bytes, base: Path | None = None) -> str:
        """What stands for an image."""
        if isinstance(cell, str) and cell in self.places:
            return cell
        text = self.hold(cell, base).text
        self.places[text] = (cell, base)
        return text


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
        EncoderError: If the task's encoder is not there, or does not read its inputs.
    """
    # Records made in Python are not validated when they are made; the file would be.
    task = parse_task(dump_task(task), "Task")
    if task.name in task_names(context.root):
        write_task(context.root, task)  # refuses, and says what to do
    context.for_task(task)
    quality: QualityReport | None = None
    files: list[tuple[Role, bytes, str]] = []
    if examples is not None:
        table, content, suffix = bring(examples)
        plan = _plan(table, content, suffix, task, context.root, context.images)
        task, quality = plan.task, plan.quality
        files.append(("examples", plan.content, plan.suffix))
    if test is not None:
        table, content, suffix = bring(test)
        if task.images:
            table = with_images(table, task, context.images.keep)
            content, suffix = table_bytes(table.columns), ".parquet"
        check_columns(table, task)
        read_examples(
            [table],
            at_home(task, context.root),
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
        UnknownNameError: If ``role`` is none of ``ROLES``.
        InputError: If the file does not fit the task.
    """
    if role not in ROLES:
        raise UnknownNameError("role", role, ROLES, where="--as")
    table, content, suffix = bring(source)
    if name not in task_names(context.root):
        if role != "examples":
            raise UnknownNameError("task", name, task_names(context.root))
        task = make_task(table, name, columns, Objective())
        plan = _plan(table, content, suffix, task, None, context.images)
        context.record_configuration()
        return carry_out(context, plan)
    task = read_task(context.root, name)
    renamed = with_images(_as_declared(table, task, columns), task, context.images.keep)
    if renamed is not table:
        table, content, suffix = renamed, table_bytes(renamed.columns), ".parquet"
    quality = _fits(context, task, table, role)
    context.record_configuration()
    stem = name if role == "examples" else f"{name}-{role}"
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
    return replace(table, columns=renamed)


def _fits(context: Context, task: Task, table: Table, role: Role) -> QualityReport:
    """Whether the task still works with one more file: its columns, labels and ids."""
    prepare = context.preparation(task.prepare)
    if role == "candidates":
        return _candidates(task, table)
    present = [load_table(context.root / file, name=file) for file in task.data.example_files]
    task = at_home(task, context.root)
    if role == "test":
        check_columns(table, task)
        return read_examples(
            [table], task, context.settings, unknown_labels="keep", prepare=prepare
        ).quality
    return read_examples([*present, table], task, context.settings, prepare=prepare).quality


def _candidates(task: Task, table: Table) -> QualityReport:
    """What is said of a file of candidates.

    Raises:
        InputError: If the task does not rank.
        UnknownNameError: If the file has no column of candidates.
    """
    if task.kind != "rank":
        raise InputError(
            f"the task {task.name!r} is of the kind {task.kind}, and ranks nothing.",
            where="--as",
            advice="Candidates are for tasks of the kind rank.",
        )
    used = len(candidates_in(task, [table]))
    return QualityReport(rows=table.total, used=used, labelled=0, label_counts={})


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
        images: Where its images are; ``None`` where they are in the workspace.
    """

    task: Task
    content: bytes
    suffix: str
    quality: QualityReport
    images: NotedImages | None = None


def plan_workspace(source: object, name: str, columns: Columns, objective: Objective) -> Plan:
    """Check everything about a task from a file before a workspace is made.

    Raises:
        InputError: If the file, a column, the name or the data cannot be used.
    """
    table, content, suffix = bring(source)
    task = make_task(table, name, columns, objective)
    return _plan(table, content, suffix, task, None, NotedImages())


def carry_out(context: Context, plan: Plan) -> tuple[Task, QualityReport]:
    """Write a planned task with its data: the data first, then the file that names it.

    Raises:
        EncoderError: If the task's encoder is not there, or does not read its inputs.
    """
    context.for_task(plan.task)
    file = free_name(context.root, plan.task.name, plan.suffix)
    data = msgspec.structs.replace(plan.task.data, examples=file)
    task = msgspec.structs.replace(plan.task, data=data)
    for cell, base in plan.images.places.values() if plan.images is not None else ():
        context.images.keep(cell, base)
    write_whole(context.root / file, plan.content)
    write_task(context.root, task)
    return task, plan.quality


def _plan(
    table: Table, content: bytes, suffix: str, task: Task, root: Path | None, images: Images
) -> Plan:
    settings = Settings()
    prepare = preparation(task.prepare, root, settings.max_text_chars, images=images)
    if task.images:
        table = with_images(table, task, images.keep)
        content, suffix = table_bytes(table.columns), ".parquet"
    # Profiled before the labels count as declared: declared ones are never taken for misspellings.
    reading = read_examples([table], task, settings, prepare=prepare)
    slice_masks(reading.examples.take([0]), task.input_name, task.objective.slices)
    quality = reading.quality
    task = with_labels(task, [table], settings, prepare)
    noted = images if isinstance(images, NotedImages) else None
    return Plan(task=task, content=content, suffix=suffix, quality=quality, images=noted)
