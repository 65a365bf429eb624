"""The command ``serve``."""

import os
import signal
import sys
from typing import Annotated

import msgspec
import typer

from milepost.cli.shared import GIVEN_WORKSPACE, WorkspaceOption, complain, seconds, stdout
from milepost.entities.errors import InputError, MilepostError
from milepost.entities.server import News, Order

MOST_PORT = 65_535


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("serve")(serve)


def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port; 0 takes a free one.")] = 8400,
    grpc_port: Annotated[
        int | None,
        typer.Option(
            "--grpc-port",
            metavar="PORT",
            help="Port for the Open Inference Protocol over gRPC. Default: none.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", help="Processes that answer.")] = 1,
    reload_every: Annotated[
        str,
        typer.Option(
            "--reload-every", metavar="AGE", help="How soon changed channels and keys are followed."
        ),
    ] = "0.5s",
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Ask for no key; on a loopback host only.")
    ] = False,
    reuse_port: Annotated[
        bool,
        typer.Option(
            "--reuse-port", help="Let another server listen on the same port, to take over."
        ),
    ] = False,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="Log a line for each request.")
    ] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Answer the tasks of the workspace over HTTP until it is stopped."""
    for name, given in (("--port", port), ("--grpc-port", grpc_port)):
        if given is not None and not 0 <= given <= MOST_PORT:
            raise InputError(f"{given} is no port.", where=name, advice=f"0 to {MOST_PORT} are.")
    if not 1 <= workers <= 256:
        raise InputError(
            f"{workers} workers cannot serve.", where="--workers", advice="1 to 256 can."
        )
    place = workspace or GIVEN_WORKSPACE.get()
    order = Order(
        directory=None if place is None else str(place),
        host=host,
        port=port,
        grpc_port=grpc_port,
        workers=workers,
        reload_every=seconds(reload_every, "--reload-every") or 0.5,
        insecure=insecure,
        reuse_port=reuse_port,
        access_log=access_log,
    )
    _become_server(order, "" if place is None else f"-w {place}")


def _become_server(order: Order, place: str) -> None:
    """Turn this process into the server, so that signals for the command reach it.

    A child stays behind only until there is something to print: the server loads no terminal.
    """
    read, write = os.pipe()
    sys.stdout.flush()
    announcer = os.fork()
    if announcer == 0:
        os.close(write)
        os._exit(_announce(read, place))
    os.close(read)
    os.set_inheritable(write, True)
    order = msgspec.structs.replace(order, announce=write, announcer=announcer)
    text = msgspec.json.encode(order).decode()
    os.execv(  # noqa: S606 - this program
        sys.executable, [sys.executable, "-m", "milepost.gateway.process.watching", text]
    )


def _announce(read: int, place: str) -> int:
    """Print what the server tells first: where it serves, or what is wrong."""
    from milepost.reports.serving import started

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(read, "rb") as pipe:
        line = pipe.read()
    if line:
        news = msgspec.json.decode(line, type=News)
        if news.error is None:
            stdout().print(started(news, place), soft_wrap=True)
        else:
            complain(MilepostError(news.error, where=news.where, advice=news.advice))
    sys.stdout.flush()
    sys.stderr.flush()
    return 0
