"""Commands about where a release came from and what must be known of it."""

from pathlib import Path
from typing import Annotated

import typer

from milepost.cli.shared import (
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
    stdout,
)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("lineage")(lineage)
    app.command("card")(card)


def lineage(
    subject: Annotated[
        str,
        typer.Argument(
            help="A channel (route@production), a release (route#3), a task for all its "
            "releases, a data file, a prompt (route/prompt/2), a language model (upstream/big), "
            "six or more digits of a digest, contest or candidate, or the id of a recorded answer."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also draw it: a .svg, .png or .html file."),
    ] = None,
    openlineage: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL",
            help="Also send OpenLineage events of its contests to a JSON Lines file or over HTTP.",
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what something came from, what came of it, and who moved it."""
    opened = open_workspace(workspace)
    found = opened.lineage(subject)
    if as_json:
        print_json(found)
    else:
        from milepost.reports.lineage.tree import lineage_document

        stdout().print(lineage_document(found))
    # Beside JSON, standard output holds nothing else.
    if output is not None:
        typer.echo(f"Wrote {opened.draw_lineage(found, output)}.", err=as_json)
    if openlineage is not None:
        sent = opened.send_lineage(found, openlineage)
        typer.echo(f"Sent {sent} OpenLineage events.", err=as_json)


def card(
    subject: Annotated[
        str, typer.Argument(help="A task, a channel (route@production) or a release (route#3).")
    ],
    release: Annotated[
        int | None,
        typer.Option("--release", metavar="N", help="Release to use. Default: production's."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Markdown file to write.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what a person still has to write.")
    ] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Write the model card of a release, from the ledger.

    With --check it ends with exit code 1 when sections are left for a person to write.
    """
    made = open_workspace(workspace).card(subject, release=release)
    if output is not None:
        made.write(output)
    if check:
        _check(made.name, made.place, made.blanks)
    elif output is None:
        typer.echo(made.text, nl=False)
    else:
        typer.echo(f"Wrote {output}.")


def _check(name: str, place: str, blanks: tuple[str, ...]) -> None:
    if not blanks:
        typer.echo(f"The card of {name} is whole.")
        return
    typer.echo(f"The card of {name} waits for a person. Write into {place}:")
    for blank in blanks:
        typer.echo(f"  {blank}")
    raise typer.Exit(1)
