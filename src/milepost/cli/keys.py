"""Commands about keys to a server: ``keys create``, ``keys list`` and ``keys revoke``."""

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from milepost.cli.shared import (
    JsonOption,
    ReasonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
    seconds,
    stdout,
)
from milepost.entities.money import Period
from milepost.entities.serving import EVERY, KeyRole


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(help="Make, list and revoke keys to a server.")
    group.command("create")(create)
    group.command("list")(list_)
    group.command("revoke")(revoke)
    app.add_typer(group, name="keys")


def create(
    role: Annotated[
        KeyRole,
        typer.Option(
            "--role",
            help="consumer asks and gives feedback; finetuner also sees traces and metrics; "
            "provider and admin may do everything.",
        ),
    ] = "consumer",
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task", metavar="TASK", help="Task that it may ask; can be given again. Default: all."
        ),
    ] = None,
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            "--upstream",
            metavar="NAME",
            help="Language model that it may ask itself, or '*' for all; can be given again. "
            "Default: none.",
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="For people, such as who has it.")] = "",
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="AGE", help="How long it works, such as 30d or 12h."),
    ] = None,
    per_second: Annotated[
        float | None,
        typer.Option("--per-second", metavar="N", help="Most inputs per second."),
    ] = None,
    budget_usd: Annotated[
        str | None,
        typer.Option("--budget-usd", metavar="USD", help="Most that language models may cost."),
    ] = None,
    per: Annotated[
        Period | None,
        typer.Option("--per", help="When that begins anew. Default: month.", show_default=False),
    ] = None,
    reason: ReasonOption = "made by hand",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, once: it is kept nowhere, only its SHA-256 is."""
    from milepost.reports.spending import PERIODS

    age = seconds(expires, "--expires")
    opened = open_workspace(workspace)
    key, secret = opened.create_key(
        role=role,
        tasks=task or (),
        upstreams=upstream or (),
        name=name,
        expires_in=age,
        per_second=per_second,
        budget_usd=budget_usd,
        per=per,
        reason=reason,
    )
    if as_json:
        print_json({"key": key, "secret": secret})
        return
    # Alone on standard output, so that KEY=$(milepost keys create …) holds it.
    sys.stdout.write(secret + "\n")
    until = "" if key.expires is None else f" until {key.expires:%Y-%m-%d %H:%M} UTC"
    may = ", ".join([*key.tasks] or ["all tasks"])
    if key.upstreams:
        named = ", ".join(key.upstreams)
        may += " and all language models" if EVERY in key.upstreams else f" and {named}"
    if budget_usd is not None:
        may += f", at most ${budget_usd.removeprefix('$')} {PERIODS[per or 'month']}"
    sys.stderr.write(
        f"Key {key.id} ({key.role}, {may}){until}. It is shown only now: keep it safe.\n"
        f"Revoke it with: milepost keys revoke {key.id} --reason WHY\n"
    )


def list_(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List all keys, also revoked and expired ones; never their secrets."""
    from milepost.reports.keys import keys_table

    found = open_workspace(workspace).keys()
    if as_json:
        print_json({"keys": found})
    else:
        stdout().print(keys_table(found, datetime.now(UTC)))


def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="Id of the key, as `keys list` shows.")],
    reason: ReasonOption = "revoked by hand",
    workspace: WorkspaceOption = None,
) -> None:
    """Let a key work no more; running servers follow within their --reload-every."""
    gone = open_workspace(workspace).revoke_key(key, reason=reason)
    stdout().print(f"Key {gone.id} ({gone.name or gone.role}) is revoked.")
