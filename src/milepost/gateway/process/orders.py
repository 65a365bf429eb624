"""What the processes of a server hand each other."""

import logging
import os
import signal
import time

import msgspec

from milepost.entities.errors import MilepostError
from milepost.entities.server import News, Order

DRAIN = signal.SIGTERM
"""To a worker: be not ready, take connections for a moment longer, then finish."""
HURRY = signal.SIGUSR1
"""To a worker: finish what was begun. While it drains, end at once."""


def log_to_stderr() -> None:
    """Write what this process logs as lines with the time in UTC (ISO 8601) and a level."""
    lines = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s milepost[%(process)d]: %(message)s",
        "%Y-%m-%dT%H:%M:%S",
    )
    lines.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(lines)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("milepost").setLevel(logging.INFO)


class WorkerOrder(msgspec.Struct, frozen=True, kw_only=True):
    """How one worker is to serve.

    Attributes:
        order: How the server serves.
        listening: File descriptor of the listening socket.
        news: File descriptor to tell that it is ready, or why not.
        life: File descriptor that reaches its end when the process that watches is gone.
        rates: File descriptor of the memory in which workers count what keys send.
        metrics: Folder in which workers count what they do; ``None`` for none.
    """

    order: Order
    listening: int
    news: int
    life: int
    rates: int
    metrics: str | None = None


def tell(descriptor: int | None, news: News) -> None:
    """Send news and close the descriptor; nobody may be listening any more."""
    if descriptor is None:
        return
    line = msgspec.json.encode(news) + b"\n"
    try:
        while line:
            line = line[os.write(descriptor, line) :]
    except OSError:
        pass
    finally:
        os.close(descriptor)


def bad_news(error: MilepostError) -> News:
    """An error as news."""
    return News(error=error.what, where=error.where, advice=error.advice)
