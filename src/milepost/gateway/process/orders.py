"""What the processes of a server hand each other."""

import os
import signal

import msgspec

from milepost.entities.errors import MilepostError
from milepost.entities.server import News, Order

DRAIN = signal.SIGTERM
"""To a worker: finish, and answer idle connections for a moment longer."""
HURRY = signal.SIGUSR1
"""To a worker: finish what was begun. While it drains, either signal ends it at once."""


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
