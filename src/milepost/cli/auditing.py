"""Commands about the audit log: ``audit log``, ``verify``, ``export`` and ``key``."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from milepost.cli.shared import JsonOption, WorkspaceOption, open_workspace, print_json, stdout

audit = typer.Typer(help="Show, verify and export what was done.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    audit.command("log")(log)
    audit.command("verify")(verify)
    audit.command("export")(export)
    audit.command("key")(key)
    app.add_typer(audit, name="audit")


def log(
    limit: Annotated[int, typer.Option(metavar="N", help="The most entries to show.")] = 20,
    subject: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only what was done to this, such as route@production."),
    ] = None,
    action: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only this kind of act, such as channel.moved."),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was done, newest first."""
    entries = open_workspace(workspace).audit(limit, subject=subject, action=action)
    if as_json:
        print_json(entries)
        return
    from milepost.reports.upkeep.audit import audit_table

    stdout().print(audit_table(entries))


def verify(
    checkpoints: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE", help="Folder or URL of the checkpoints. Default: milepost.toml's."
        ),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(metavar="N:HASH", help="An entry's number and hash, noted earlier."),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that the audit log is what was written, or say what was changed and where."""
    report = open_workspace(workspace).verify_audit(checkpoints, expect=expect)
    if as_json:
        print_json({"intact": report.intact, **_plain(report)})
    else:
        from milepost.reports.upkeep.audit import verification_document

        stdout().print(verification_document(report))
    if not report.intact:
        raise typer.Exit(1)


def export(
    format: Annotated[  # noqa: A002 - the option's name
        str, typer.Option(metavar="FORMAT", help="jsonl or cloudevents.")
    ] = "jsonl",
    after: Annotated[
        int, typer.Option(metavar="N", help="Begin after the entry with this number.")
    ] = 0,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: standard output.")
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Write the audit log as JSON Lines, with all that is needed to verify it elsewhere."""
    opened = open_workspace(workspace)
    if output is not None:
        count = opened.export_audit(output, format=format, after=after)
        stdout().print(f"{count} entries written to {output}.", markup=False)
        return
    try:
        for line in opened.audit_lines(format=format, after=after):
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever reads has enough, as `head` has. Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def key() -> None:
    """Print the public key that signs your checkpoints, for signers in milepost.toml."""
    from milepost.workspace import Workspace

    typer.echo(Workspace.public_key())


def _plain(record: object) -> dict[str, object]:
    import msgspec

    return msgspec.to_builtins(record)
