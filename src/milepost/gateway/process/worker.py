"""One process that answers: opens the workspace, serves, and ends when it is told to."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import uvloop

from milepost.entities.errors import InputError, MilepostError
from milepost.entities.server import News, Order, Served
from milepost.gateway.application import Opened, Options, app
from milepost.gateway.process.orders import DRAIN, HURRY, WorkerOrder, bad_news, log_to_stderr, tell
from milepost.gateway.process.serving import Serving, raise_descriptor_limit

if TYPE_CHECKING:
    from milepost.gateway.inference.grpc import Running

logger = logging.getLogger("milepost.gateway")

SWITCH_SECONDS = 0.0005

REFUSED = 2
"""Exit code of a worker that could not open the workspace."""


def main() -> None:
    """Entry point: one argument, the order as JSON."""
    work = msgspec.json.decode(sys.argv[1], type=WorkerOrder)
    log_to_stderr()
    # A line for each malformed request would let anybody fill the disk.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    # What Ctrl-C means is decided by the process that watches.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise_descriptor_limit()
    # The engine's threads give the interpreter back to the loop sooner (default: 5 ms).
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        code = uvloop.run(Worker(work).run())
    except MilepostError as error:
        tell(work.news, bad_news(error))
        code = REFUSED
    logging.shutdown()
    # Records are flushed; threads that still encode what nobody waits for would hold it up.
    os._exit(code)


class Worker:
    """Serves until it is told to end; runs on one event loop.

    Args:
        work: What to serve, and where.
    """

    def __init__(self, work: WorkerOrder) -> None:
        self._work = work
        self._ending = asyncio.Event()
        self._hurried = False
        self._orphan = False
        self._serving: Serving | None = None

    async def run(self) -> int:
        """Serve; the exit code when it has ended.

        Raises:
            MilepostError: If the workspace cannot be opened.
        """
        self._listen_to_signals()
        order = self._work.order
        gateway = app(order.directory, options=_options(self._work))
        opened = await gateway.open()
        # What was loaded stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        serving = Serving(gateway, opened, socket.socket(fileno=self._work.listening))
        await serving.start()
        other = await _start_grpc(order, opened)
        tell(self._work.news, _ready(order, opened))
        self._serving = serving
        await self._ending.wait()
        logger.info("this worker drains, with %d connections", serving.connections)
        if self._hurried:
            serving.hurry()
        if self._orphan:
            serving.take_no_more()
        await serving.drain(None if other is None else other.stop)
        logger.info("this worker has ended")
        return 0

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(DRAIN, self._end)
        loop.add_signal_handler(HURRY, partial(self._end, hurry=True))
        loop.add_reader(self._work.life, self._orphaned)

    def _end(self, *, hurry: bool = False) -> None:
        self._hurried = self._hurried or hurry
        # A service manager may tell all processes what the one that watches tells once more.
        if hurry and self._ending.is_set() and self._serving is not None:
            self._serving.give_up()
        self._ending.set()

    def _orphaned(self) -> None:
        # Nobody would start this worker again, or know that it holds the port, which the next
        # server needs.
        asyncio.get_running_loop().remove_reader(self._work.life)
        self._orphan = True
        if self._serving is not None:
            self._serving.take_no_more()
        self._end()


def _options(work: WorkerOrder) -> Options:
    order = work.order
    return Options(
        insecure=order.insecure,
        local=order.insecure,
        access_log=order.access_log,
        reload_every=order.reload_every,
        threads=max(1, (os.cpu_count() or 1) // order.workers),
        rates=work.rates,
        metrics=None if work.metrics is None else Path(work.metrics),
    )


async def _start_grpc(order: Order, opened: Opened) -> "Running | None":
    if order.grpc_port is None:
        return None
    try:
        from milepost.gateway.inference.grpc import start_grpc
    except ImportError as error:
        raise InputError(
            "gRPC needs a package that is not installed.",
            where="--grpc-port",
            advice="pip install 'milepost[grpc]'.",
        ) from error
    return await start_grpc(opened.gate, opened.access, order.host, order.grpc_port)


def _ready(order: Order, opened: Opened) -> News:
    tasks = tuple(
        Served(
            name=task.name,
            release=task.production,
            variant=task.variant,
            why=task.variant_why,
            canary=task.canary,
            share=task.share,
            shadow=task.shadow,
            kept_days=task.recording.days if task.recording.inputs == "full" else 0.0,
            fields=() if task.inputs is None else task.inputs.names,
        )
        for task in opened.gate.service.tasks()
    )
    return News(tasks=tasks, insecure=order.insecure, workers=order.workers)


if __name__ == "__main__":
    main()
