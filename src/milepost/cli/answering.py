"""Commands that use a release: ``predict``, ``evaluate`` and ``export``."""

import sys
from pathlib import Path
from typing import Annotated

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
from milepost.reports.plain import evaluate_json, predict_json
from milepost.reports.tables import evaluation_table, predictions_table, seen_words


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
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer texts with a release: label and confidence."""
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
            stdout().print(f"Wrote {written.rows:,} rows to {output}.")
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
            task, texts or [], release=release, candidate=candidate, cover=cover
        )
    if output is not None:
        answered.write(output)
        stdout().print(f"Wrote {len(answered):,} rows to {output}.")
    elif as_json:
        print_json(predict_json(answered))
    else:
        stdout().print(predictions_table(answered.texts, answered.predictions, answered.cover))


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
    workspace: WorkspaceOption = None,
) -> None:
    """Write a release with its encoder as a folder that answers anywhere."""
    number = open_workspace(workspace).export(task, directory, release=release)
    stdout().print(f"Wrote release {number} of {task} to {directory}.")
