"""Commands about the workspace itself: ``init`` and ``doctor``."""

from pathlib import Path
from typing import Annotated

import typer

from milepost.cli.shared import JsonOption, print_json, progress, stdout
from milepost.entities.errors import InputError
from milepost.entities.task import make_objective
from milepost.reports.tables import doctor_table, findings_table
from milepost.reports.words import count


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("init")(init)
    app.command("doctor")(doctor)


def init(
    directory: Annotated[Path, typer.Argument(help="Folder to make.")],
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="FILE", help="Your labelled file; - reads standard input."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column that holds the text; left out, text."),
    ] = None,
    label: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column that holds the label.")
    ] = "label",
    task: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the task made with --from.")
    ] = "task",
    at_least: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="Floor of the metric.")
    ] = None,
    at_most: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="Ceiling of a metric that is better when lower."),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Such as accuracy, macro_f1, auroc or log_loss; left out, the kind's own.",
        ),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(metavar="KIND", help="classify, multilabel, score, extract or rank."),
    ] = "classify",
    pair: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="LEFT RIGHT",
            help="Columns of both sides of a pair; of the query and a candidate.",
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of images: paths, or data URIs; of a pair one of its columns.",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Encoder of the task, such as one that reads images."),
    ] = None,
) -> None:
    """Make a workspace: with example tasks, or from your own file.

    Without --from the workspace holds a support inbox with seven small tasks. With --from it
    holds one task made from the columns of your file (CSV, JSONL or Parquet).
    """
    from milepost.workspace import Workspace

    console = stdout()
    where = str(directory)
    if source is None:
        if at_least is not None or at_most is not None or metric is not None:
            raise InputError(
                "--at-least, --at-most and --metric need --from.", advice="Name your file."
            )
        workspace = Workspace.demo(directory)
        console.print(f"Made {where} with {len(workspace.task_names())} example tasks.")
        console.print(f"Next: milepost -w {where} improve", soft_wrap=True)
        return
    objective = make_objective(metric, at_least, at_most, kind=kind)
    _, made, quality = Workspace.from_file(
        directory,
        source,
        task=task,
        text=text,
        label=label,
        kind=kind,
        pair=pair,
        image=image,
        encoder=encoder,
        objective=objective,
    )
    console.print(
        f"Made {where} with the task {made.name!r}: "
        f"{count(quality.labelled, 'labelled example')}"
        + (f", {count(len(made.labels), 'label')}." if made.labels else ".")
    )
    if quality.findings:
        console.print(findings_table(quality))
    console.print(f"Next: milepost -w {where} improve {made.name}", soft_wrap=True)


def doctor(
    *,
    speed: Annotated[
        bool,
        typer.Option("--speed", help="Measure the encoder's variants here; half a minute."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is installed, what is missing, and what it enables."""
    if speed:
        _speed(as_json=as_json)
        return
    from milepost.workflows.doctor import examine

    rows = examine()
    if as_json:
        print_json(rows)
        return
    stdout().print(doctor_table(rows))


def _speed(*, as_json: bool) -> None:
    from milepost.reports.speed import speed_table
    from milepost.workflows.speed import measure_speed

    with progress() as on_event:
        found = measure_speed(lambda what, share: on_event("speed", what, share))
    if as_json:
        print_json(found)
        return
    stdout().print(speed_table(found))
