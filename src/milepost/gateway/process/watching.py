"""The process that watches: it holds the socket, starts workers, and starts them again.

It loads nothing that could fail or fork badly, serves no request, and stays small. Its workers end
when it ends, however it ends.
"""

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from types import FrameType

import msgspec

from milepost.entities.errors import MilepostError
from milepost.entities.server import News, Order
from milepost.gateway.process.listening import check_insecure, listen, reserve, url
from milepost.gateway.process.orders import DRAIN, HURRY, WorkerOrder, bad_news, log_to_stderr, tell
from milepost.gateway.rates import BYTES

logger = logging.getLogger("milepost.gateway")

PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before a worker is started again, by how many have died in a row."""

SETTLED_SECONDS = 30.0
"""A worker that lived so long did not die of starting: the next one starts at once."""

SLOWEST_END = 900.0
"""Seconds after the first signal after which workers that still live are killed, whatever their
limits say."""

MOST_FALSE_STARTS = 3
"""Workers that may end one after the other before any has served."""


def main() -> None:
    """Entry point: one argument, the order as JSON. Exits with 0, or 2 if it cannot serve."""
    order = msgspec.json.decode(sys.argv[1], type=Order)
    log_to_stderr()
    try:
        code = Watcher(order).run()
    except MilepostError as error:
        tell(order.announce, bad_news(error))
        code = 2
    if order.announcer is not None:  # it may have something to say before we end
        with contextlib.suppress(ChildProcessError):
            os.waitpid(order.announcer, 0)
    sys.exit(code)


@dataclass(slots=True)
class _Worker:
    """A worker as the watcher knows it."""

    process: "subprocess.Popen[bytes]"
    news: int
    started: float
    heard: bytearray = field(default_factory=bytearray)
    ready: bool = False


class Watcher:
    """Keeps workers alive; one thread, woken by signals and news.

    Args:
        order: How to serve.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._workers: list[_Worker] = []
        self._life: tuple[int, int] = (-1, -1)
        self._wake: tuple[int, int] = (-1, -1)
        self._address = ""
        self._rates = -1
        self._metrics = ""
        self._first: int = DRAIN
        self._stopping: float | None = None
        self._signals = 0
        self._deaths = 0
        self._start_at = 0.0
        self._announced = False
        self._failure: News | None = None

    def run(self) -> int:
        """Serve until told to end; returns the exit code.

        Raises:
            MilepostError: If there can be no listening socket.
        """
        order = self._order
        if order.insecure:
            check_insecure(order.host)
        with contextlib.ExitStack() as held:
            listening = held.enter_context(
                listen(order.host, order.port, reuse_port=order.reuse_port)
            )
            self._address = url(listening)
            if order.grpc_port is not None:
                kept = reserve(order.host, order.grpc_port, reuse_port=order.reuse_port)
                port = held.enter_context(kept).getsockname()[1]
                self._order = msgspec.structs.replace(order, grpc_port=port)
            rates = held.enter_context(tempfile.TemporaryFile())
            rates.truncate(BYTES)
            self._rates = rates.fileno()
            self._metrics = held.enter_context(tempfile.TemporaryDirectory(prefix="milepost-"))
            self._life = os.pipe()
            self._listen_to_signals()
            while self._stopping is None:
                self._start_missing(listening.fileno())
                self._wait()
                self._look()
            # Closed here first: the last worker to close it takes what still waits in it.
            listening.close()
            self._end()
        if self._failure is not None:
            self._tell(self._failure)
            return 2
        logger.info("stopped")
        return 0

    def _listen_to_signals(self) -> None:
        self._wake = os.pipe()
        os.set_blocking(self._wake[1], False)
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, _wake_up)

    def _start_missing(self, listening: int) -> None:
        if time.monotonic() < self._start_at:
            return
        while len(self._workers) < self._order.workers:
            self._workers.append(self._start(listening))

    def _start(self, listening: int) -> _Worker:
        heard, told = os.pipe()
        os.set_blocking(heard, False)
        work = WorkerOrder(
            order=self._order,
            listening=listening,
            news=told,
            life=self._life[0],
            rates=self._rates,
            metrics=self._metrics,
        )
        process = subprocess.Popen(  # noqa: S603 - this program
            [
                sys.executable,
                "-m",
                "milepost.gateway.process.worker",
                msgspec.json.encode(work).decode(),
            ],
            pass_fds=(listening, told, self._life[0], self._rates),
            stdin=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C is for this process alone, which decides what it means
        )
        os.close(told)
        return _Worker(process, heard, time.monotonic())

    def _wait(self) -> None:
        """Until a signal or news comes, or it is time to start a worker."""
        missing = len(self._workers) < self._order.workers
        pause = max(0.0, self._start_at - time.monotonic()) if missing else None
        if self._stopping is not None:
            pause = 0.1
        news = [worker.news for worker in self._workers if worker.news >= 0]
        readable, _, _ = select.select([self._wake[0], *news], [], [], pause)
        if self._wake[0] in readable:
            numbers = os.read(self._wake[0], 512)
            for number in numbers:
                if number in (signal.SIGTERM, signal.SIGINT):
                    self._stop(number)

    def _look(self) -> None:
        """Hear news, bury the dead."""
        for worker in self._workers:
            self._hear(worker)
        for worker in list(self._workers):
            if worker.process.poll() is not None:
                self._bury(worker)
        if self._announced and self._order.announcer is not None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._order.announcer, os.WNOHANG)

    def _hear(self, worker: _Worker) -> None:
        if worker.news < 0:
            return
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(worker.news, 65_536):
                worker.heard += piece
            os.close(worker.news)
            worker.news = -1
            if worker.heard:
                self._act_on(worker, msgspec.json.decode(worker.heard, type=News))

    def _act_on(self, worker: _Worker, news: News) -> None:
        if news.error is None:
            worker.ready = True
            if all(each.ready for each in self._workers):
                port = self._order.grpc_port
                grpc = None if port is None else f"{self._order.host}:{port}"
                self._tell(msgspec.structs.replace(news, address=self._address, grpc=grpc))
        elif self._announced:
            logger.error("a worker cannot start: %s %s", news.error, news.advice or "")
        else:
            # Nobody has been served yet: what is wrong now would be wrong again.
            self._failure = news
            self._stopping = self._stopping or time.monotonic()

    def _bury(self, worker: _Worker) -> None:
        self._hear(worker)
        if worker.news >= 0:
            os.close(worker.news)
        self._workers.remove(worker)
        if self._stopping is not None:
            return
        code = worker.process.returncode
        lived = time.monotonic() - worker.started
        self._deaths = 1 if worker.ready and lived > SETTLED_SECONDS else self._deaths + 1
        if not self._announced and self._deaths >= MOST_FALSE_STARTS:
            self._failure = News(
                error="the workers end before they serve.", advice="See what they said above."
            )
            self._stopping = time.monotonic()
            return
        pause = PAUSES[min(self._deaths - 1, len(PAUSES) - 1)]
        self._start_at = time.monotonic() + pause
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        again = "at once" if not pause else f"in {pause:g} s"
        logger.warning("worker %d %s; another one starts %s", worker.process.pid, how, again)

    def _tell(self, news: News) -> None:
        if not self._announced:
            self._announced = True
            if news.error is None:
                counts = news.workers, len(news.tasks)
                logger.info("serving at %s; workers: %d, tasks: %d", news.address, *counts)
            tell(self._order.announce, news)

    def _stop(self, number: int) -> None:
        self._signals += 1
        logger.info("stopping: %s", signal.Signals(number).name)
        if self._stopping is None:
            self._stopping = time.monotonic()
            self._first = number
        else:
            self._order_all(HURRY if self._signals == 2 else signal.SIGKILL)

    def _order_all(self, number: int) -> None:
        for worker in self._workers:
            with contextlib.suppress(ProcessLookupError):
                worker.process.send_signal(number)

    def _end(self) -> None:
        """Let all workers finish; Ctrl-C does not wait for idle connections."""
        self._order_all(HURRY if self._first == signal.SIGINT else DRAIN)
        until = (self._stopping or 0.0) + SLOWEST_END
        while self._workers:
            self._wait()
            self._look()
            if time.monotonic() > until:
                self._order_all(signal.SIGKILL)


def _wake_up(number: int, frame: FrameType | None) -> None:
    """Nothing: that a signal came is read from the pipe."""
    del number, frame


if __name__ == "__main__":
    main()
