"""Commands about tasks and their data: ``tasks``, ``add`` and ``check``."""

from typing import Annotated

import typer

from milepost.cli.shared import (
    JsonOption,
    TaskArgument,
    WorkspaceOption,
    open_workspace,
    print_json,
    stdout,
)
from milepost.entities.example import Finding
from milepost.reports.tables import findings_table, tasks_table
from milepost.reports.words import count, truths


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("tasks")(tasks)
    app.command("add")(add)
    app.command("check")(check)


def tasks(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the tasks with their last verdict and what runs."""
    rows = open_workspace(workspace).overview()
    if as_json:
        print_json(rows)
        return
    stdout().print(tasks_table(rows))


def add(
    task: TaskArgument,
    file: Annotated[str, typer.Argument(help="CSV, JSONL or Parquet; - is stdin.")],
    role: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="ROLE",
            help="examples: to learn from; test: to certify on; candidates: what may answer.",
        ),
    ] = "examples",
    text: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column that holds the text.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column that holds the label.")
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Add labels to a task, give it a test file, or make another task from a file."""
    opened = open_workspace(workspace)
    made, quality = opened.add_file(task, file, role=role, text=text, label=label)
    console = stdout()
    if role == "candidates":
        # They are searched from the next question on: nothing is fitted to them.
        console.print(f"{task}: {count(quality.used, 'candidate')}.")
        return
    said = "" if made.kind == "rank" else f", {truths(quality)}"
    examples = count(quality.labelled, "labelled example")
    console.print(f"{task}: {examples} with role {role!r}{said}.")
    if quality.findings:
        console.print(findings_table(quality))
    console.print(f"Next: milepost -w {opened.root} improve {made.name}", soft_wrap=True)


def check(
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="Only this task.")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check task files and data: every problem at once, with line numbers.

    Ends with exit code 2 when there is a problem.
    """
    results = open_workspace(workspace).check(task)
    if as_json:
        print_json(results)
    else:
        console, shown = stdout(), set[Finding]()
        for result in results:
            head = "✘" if result.problems else "✔"
            # What could not be read has no count, which is not a count of 0.
            known = result.quality
            rows = f"  {count(known.labelled, 'labelled example')}" if known else ""
            console.print(f"[bold]{head} {result.task}[/]{rows}")
            for problem in result.problems:
                console.print(f"  {problem}", markup=False, soft_wrap=True)
            for quality in (result.quality, result.test_quality):
                if quality and quality.findings:
                    console.print(findings_table(quality, shown))
                    shown.update(quality.findings)
    if any(result.problems for result in results):
        raise typer.Exit(2)
