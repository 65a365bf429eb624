"""The rest of a stream after its first piece: by the deadline, and settled however it ends."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import cast

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Piece
from milepost.entities.model_calls import Outcome
from milepost.models.language.resilience.lane import Flight
from milepost.models.language.resilience.lanes import Lanes
from milepost.models.language.resilience.trial import GRACE_S, Trial


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream whose first piece has come.

    Attributes:
        flight: Its place.
        first: The first piece.
        pieces: What comes after it.
    """

    flight: Flight
    first: Piece
    pieces: AsyncIterator[Piece]


async def first_piece(pieces: AsyncIterator[Piece]) -> Piece:
    """The first piece; the stream is closed if there is none.

    Raises:
        UpstreamError: If the stream failed or was empty.
    """
    try:
        return await anext(pieces)
    except StopAsyncIteration:
        raise UpstreamError("cut_off", "the stream ended before its first piece.") from None
    except BaseException:
        await closed(pieces)
        raise


async def closed(pieces: AsyncIterator[Piece]) -> None:
    """End a stream early, which settles what it cost."""
    close = getattr(pieces, "aclose", None)
    if close is not None:
        await close()


async def rest(
    opened: Opened, trial: Trial, lanes: Lanes, clock: Callable[[], float]
) -> AsyncGenerator[Piece]:
    """All pieces, the first included; the place is given back when the stream ends.

    Raises:
        UpstreamError: If it failed on the way, with what all attempts cost.
    """
    outcome: Outcome = "cancelled"
    try:
        piece = opened.first
        while piece.whole is None:
            yield piece
            piece = await _next(opened.pieces, trial.deadline - clock() + GRACE_S)
        outcome = "ok"
        yield piece
    except UpstreamError as error:
        outcome = cast(Outcome, error.outcome)
        trial.failed(opened.flight.lane, error)
        raise trial.error(error) from None
    finally:
        lanes.land(opened.flight, outcome)
        await closed(opened.pieces)


async def _next(pieces: AsyncIterator[Piece], seconds: float) -> Piece:
    """The next piece, or an error of this one's kind if there is none in time."""
    try:
        if seconds <= 0.0:
            # Pieces that are there already never let a timer run.
            raise TimeoutError
        async with asyncio.timeout(seconds):
            return await anext(pieces)
    except StopAsyncIteration:
        raise UpstreamError("cut_off", "the stream ended before the answer was whole.") from None
    except TimeoutError:
        what = "the answer was not whole by the deadline."
        raise UpstreamError("timeout", what) from None
