"""The command about money: ``advise``."""

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


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("advise")(advise)


def advise(
    task: TaskArgument,
    per_month: Annotated[
        int | None,
        typer.Option("--per-month", metavar="N", help="Answers a month: adds the monthly bills."),
    ] = None,
    usd_per_label: Annotated[
        float, typer.Option("--usd-per-label", metavar="USD", help="Cost of labelling one example.")
    ] = 0.10,
    labels: Annotated[
        int | None,
        typer.Option(
            "--labels",
            metavar="N",
            help="Labels that a specialist needs. Default: those it was trained on; 0 where they "
            "are there anyhow.",
            show_default=False,
        ),
    ] = None,
    labels_per_month: Annotated[
        int, typer.Option("--labels-per-month", metavar="N", help="Labels to stay up to date.")
    ] = 0,
    fixed_usd_per_month: Annotated[
        float,
        typer.Option(
            "--fixed-usd-per-month", metavar="USD", help="What a machine for it costs a month."
        ),
    ] = 0.0,
    months: Annotated[
        float,
        typer.Option("--months", metavar="N", help="Over which what is paid once is spread."),
    ] = 12.0,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a point of quality costs, and at what volume a specialist beats prompting.

    Everything is taken from the last contest: nothing is asked or paid. What no ledger knows is an
    assumption that the options change and the answer repeats.
    """
    from milepost.reports.advice import advice_document

    found = open_workspace(workspace).advise(
        task,
        {
            "per_month": per_month,
            "usd_per_label": usd_per_label,
            "labels": labels,
            "labels_per_month": labels_per_month,
            "fixed_usd_per_month": fixed_usd_per_month,
            "months": months,
        },
    )
    if as_json:
        print_json(found)
        return
    stdout().print(advice_document(found))
