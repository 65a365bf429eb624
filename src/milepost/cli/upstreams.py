"""Commands about language models: ``upstreams`` and what is done with one of them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from milepost.cli.shared import (
    JsonOption,
    ReasonOption,
    WorkspaceOption,
    day_of,
    open_workspace,
    print_json,
    stdout,
    warn,
)
from milepost.entities.upstream import Balance, Wire

Name = Annotated[str, typer.Argument(metavar="NAME", help="How tasks and clients call it.")]
Usd = "USD"


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(help="Register language models, see what they cost and whether they work.")
    group.command("add")(add)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("check")(check)
    group.command("similar")(similar)
    group.command("remove")(remove)
    app.add_typer(group, name="upstreams")


def add(
    name: Name,
    base_url: Annotated[
        list[str] | None,
        typer.Option("--base-url", metavar="URL", help="Where it is; again for more endpoints."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="What the provider calls it.")
    ] = None,
    wire: Annotated[Wire, typer.Option("--wire", help="How it is spoken to.")] = "openai",
    key_env: Annotated[
        str | None,
        typer.Option("--key-env", metavar="NAME", help="Variable that holds the key."),
    ] = None,
    key_file: Annotated[
        str | None, typer.Option("--key-file", metavar="PATH", help="File that holds the key.")
    ] = None,
    price_in: Annotated[
        str | None,
        typer.Option("--price-in", metavar=Usd, help="USD per million tokens read."),
    ] = None,
    price_out: Annotated[
        str | None,
        typer.Option("--price-out", metavar=Usd, help="USD per million tokens written."),
    ] = None,
    price_cached: Annotated[
        str | None,
        typer.Option(
            "--price-cached", metavar=Usd, help="Of tokens in the provider's prompt cache."
        ),
    ] = None,
    price_cache_write: Annotated[
        str | None,
        typer.Option(
            "--price-cache-write", metavar=Usd, help="Of tokens put into that prompt cache."
        ),
    ] = None,
    price_reasoning: Annotated[
        str | None,
        typer.Option("--price-reasoning", metavar=Usd, help="Of tokens thought and not shown."),
    ] = None,
    price_call: Annotated[
        str | None, typer.Option("--price-call", metavar=Usd, help="USD of a call besides.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DAY", help="First day (UTC) of these prices."),
    ] = None,
    private: Annotated[
        bool,
        typer.Option("--private", help="Allow private addresses and plain HTTP."),
    ] = False,
    region: Annotated[
        list[str] | None,
        typer.Option("--region", metavar="NAME", help="Of each --base-url, in order."),
    ] = None,
    weight: Annotated[
        list[float] | None,
        typer.Option("--weight", metavar="N", help="Of each --base-url, in order. Default: 1."),
    ] = None,
    balance: Annotated[
        Balance | None, typer.Option("--balance", help="How endpoints are chosen.")
    ] = None,
    fallback: Annotated[
        list[str] | None,
        typer.Option("--fallback", metavar="NAME", help="Upstream to ask where this one fails."),
    ] = None,
    at_once: Annotated[
        int | None, typer.Option("--at-once", metavar="N", help="Most calls at a time.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", help="Longest call, retries included."),
    ] = None,
    hedge_after: Annotated[
        float | None,
        typer.Option("--hedge-after", metavar="SECONDS", help="Ask a second time after so long."),
    ] = None,
    context_tokens: Annotated[
        int | None,
        typer.Option("--context-tokens", metavar="N", help="Most tokens of a conversation."),
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", metavar="TEXT", help="Of the model.")
    ] = None,
    terms: Annotated[
        str | None, typer.Option("--terms", metavar="URL", help="Where its terms stand.")
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Change the one of this name; older prices are kept."),
    ] = False,
    reason: ReasonOption = "added by hand",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register a language model. Nothing is called, and no key is read into the workspace."""
    from milepost.reports.upstreams import upstream_sheet
    from milepost.workflows.language.registry import NewUpstream, Prices

    opened = open_workspace(workspace)
    wanted = NewUpstream(
        name=name,
        model=model,
        wire=wire,
        addresses=tuple(base_url or ()),
        weights=tuple(weight or ()),
        regions=tuple(region or ()),
        key_env=key_env,
        key_file=key_file,
        private=private,
        prices=Prices(
            read=price_in,
            written=price_out,
            cached=price_cached,
            reasoning=price_reasoning,
            kept=price_cache_write,
            call=price_call,
            since=day_of(since, "--since"),
        ),
        fallback=tuple(fallback or ()),
        at_once=at_once,
        timeout_s=timeout,
        hedge_after_s=hedge_after,
        context_tokens=context_tokens,
        balance=balance,
        licence=licence,
        terms=terms,
    )
    added = opened.add_upstream(wanted, reason=reason, replace=replace)
    if as_json:
        print_json(added.version)
    else:
        stdout().print(upstream_sheet([added.version], datetime.now(UTC).date()))
        stdout().print(f"\nTry it with: milepost upstreams check {name}")
    for missing in added.missing:
        warn(missing)


def list_(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List all language models with what a million tokens cost."""
    from milepost.reports.upstreams import upstreams_table

    found = open_workspace(workspace).upstreams()
    if as_json:
        print_json({"upstreams": found})
        return
    stdout().print(upstreams_table(found, datetime.now(UTC).date()))


def show(name: Name, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Show one: endpoints, dated prices, what it can do, and who changed it when."""
    from milepost.reports.upstreams import upstream_sheet

    versions = open_workspace(workspace).upstream_versions(name)
    if as_json:
        print_json({"versions": versions})
        return
    stdout().print(upstream_sheet(versions, datetime.now(UTC).date()))


def check(name: Name, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Try one: whether it answers, what it can do, what a call costs. Some short calls are made.

    What it is found to be able to do is kept; what was missing once is tried again. The exit code
    is 1 where an endpoint does not answer.
    """
    from milepost.reports.upstreams import check_sheet

    found = open_workspace(workspace).check_upstream(name)
    if as_json:
        print_json(found)
    else:
        stdout().print(check_sheet(found))
    if not found.works:
        raise typer.Exit(1)


def similar(
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help="To certify; none lists all that are.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="Texts to ask about; what the task was asked lately, else its examples.",
        ),
    ] = None,
    budget_usd: Annotated[
        float, typer.Option("--budget-usd", metavar="USD", min=0.0, help="The most to spend.")
    ] = 0.0,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Certify for a task that questions may be answered as similar ones were; servers then do.

    What may be wrong, and how sure that is, says language.similar in its task file. What was asked
    before costs nothing again. Ends with exit code 1 when nothing can be promised.
    """
    from milepost.reports.similar import certified_sheet, similar_table

    opened = open_workspace(workspace)
    if task is None:
        states = opened.similar_answers()
        if as_json:
            print_json({"similar": states})
        else:
            stdout().print(similar_table(states))
        return
    found = opened.certify_similar(task, source=source, budget_usd=budget_usd)
    if as_json:
        print_json(found)
    else:
        stdout().print(certified_sheet(found))
    if not found.banks:
        raise typer.Exit(1)


def remove(
    name: Name, reason: ReasonOption = "removed by hand", workspace: WorkspaceOption = None
) -> None:
    """Let one be asked no more; running servers follow. What it cost stays in the books."""
    gone = open_workspace(workspace).remove_upstream(name, reason=reason)
    stdout().print(f"The upstream {gone.name} is removed (version {gone.number}).")
