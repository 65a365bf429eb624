"""Commands that use a release: ``predict``, ``evaluate`` and ``export``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from milepost.cli.shared import (
    CandidateOption,
    JsonOption,
    ReleaseOption,
    TaskArgument,
    WhereOption,
    WorkspaceOption,
    open_workspace,
    print_json,
    progress,
    stdout,
    warn,
)
from milepost.entities.errors import InputError
from milepost.entities.task import Task, inputs_of
from milepost.reports.learning import updated_words
from milepost.reports.plain import evaluate_json, predict_json, rank_json
from milepost.reports.ranking import rankings_table
from milepost.reports.tables import evaluation_table, predictions_table, seen_words
from milepost.reports.words import count

if TYPE_CHECKING:
    from milepost.workspace import Workspace

MOST_SHOWN = 60
"""Characters of a typed image that are shown again."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("predict")(predict)
    app.command("evaluate")(evaluate)
    app.command("export")(export)


def predict(
    task: TaskArgument,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="Texts to answer.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--input", metavar="FILE", help="CSV, JSONL or Parquet; - is stdin."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write .csv, .jsonl or .parquet: the input's columns and ours."
        ),
    ] = None,
    release: ReleaseOption = None,
    candidate: CandidateOption = None,
    where: WhereOption = None,
    cover: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Also the labels that it may be: sets that hold the right one so often.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", help="Most candidates for each query of a task that ranks."),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer texts with a release: label and confidence; queries with candidates in order."""
    if bool(texts) == (source is not None):
        raise InputError(
            "give either texts or --input FILE.",
            where="predict",
            advice=f'For example: milepost predict {task} "some text".',
        )
    if output is not None:
        from milepost.workflows.answering.writing import output_format

        output_format(output)  # a suffix that cannot be written is refused before the work
    opened = open_workspace(workspace)
    if texts and opened.task(task).kind == "rank":
        _rank(opened, task, texts, (top, release, candidate), as_json=as_json)
        return
    guards = [guard.task for guard in opened.task(task).guard_rules]
    if guards:
        warn(
            f"the guards of {task} ({', '.join(guards)}) are not asked here; "
            "`milepost serve` asks them."
        )
    if source is not None and not (as_json and output is None):
        to = sys.stdout.buffer if output is None else output
        with progress() as on_event:
            written = opened.predict_into(
                to,
                task,
                source,
                release=release,
                candidate=candidate,
                where=where,
                cover=cover,
                on_event=on_event,
            )
        for finding in written.findings:
            warn(" ".join((finding.summary, *finding.examples)))
        if output is not None:
            stdout().print(f"Wrote {count(written.rows, 'row')} to {output}.")
        return
    if source is not None:
        with progress() as on_event:
            answered = opened.predict_file(
                task,
                source,
                release=release,
                candidate=candidate,
                where=where,
                cover=cover,
                on_event=on_event,
            )
    else:
        answered = opened.answer(
            task,
            inputs_of(opened.task(task), texts or []),
            release=release,
            candidate=candidate,
            cover=cover,
        )
    if output is not None:
        answered.write(output)
        stdout().print(f"Wrote {count(len(answered), 'row')} to {output}.")
    elif as_json:
        print_json(predict_json(answered))
    else:
        shown = _as_typed(texts or [], opened.task(task)) or answered.texts
        stdout().print(predictions_table(shown, answered.predictions, answered.cover))
        if answered.update is not None:
            stdout().print(updated_words(answered.update), style="dim")


def _rank(
    opened: "Workspace",
    task: str,
    queries: list[str],
    how: tuple[int | None, int | None, str | None],
    *,
    as_json: bool,
) -> None:
    """Order candidates for queries: at most so many, by a release or a candidate of a contest."""
    top, release, candidate = how
    with progress() as on_event:
        found = opened.rank(
            task, queries, top=top, release=release, candidate=candidate, on_event=on_event
        )
    if as_json:
        print_json(rank_json(found))
    else:
        stdout().print(rankings_table(found))


def _as_typed(words: list[str], task: Task) -> tuple[str, ...]:
    """Inputs with images as somebody typed them; the start of a data URI is enough."""
    if not task.images:
        return ()
    each = len(task.inputs)
    short = [word if len(word) <= MOST_SHOWN else f"{word[:MOST_SHOWN]}…" for word in words]
    return tuple(" ".join(short[at : at + each]) for at in range(0, len(short), each))


def evaluate(
    task: TaskArgument,
    data: Annotated[str, typer.Option("--data", metavar="FILE", help="Labelled file; - is stdin.")],
    release: ReleaseOption = None,
    candidate: CandidateOption = None,
    where: WhereOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a release on a labelled file from outside."""
    opened = open_workspace(workspace)
    with progress() as on_event:
        evaluation = opened.evaluate(
            task, data, release=release, candidate=candidate, where=where, on_event=on_event
        )
    if evaluation.seen:
        warn(seen_words(evaluation))
    if as_json:
        print_json(evaluate_json(evaluation))
        return
    stdout().print(evaluation_table(evaluation))


def export(
    task: TaskArgument,
    directory: Annotated[Path, typer.Argument(help="New folder to write.")],
    release: ReleaseOption = None,
    merge: Annotated[
        bool,
        typer.Option(
            "--merge",
            help="Add the adapter of a tuned encoder to the encoder's weights, in fp32.",
        ),
    ] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Write a release with its encoder as a folder that answers anywhere."""
    number = open_workspace(workspace).export(task, directory, release=release, merge=merge)
    stdout().print(f"Wrote release {number} of {task} to {directory}.")
