"""Many small errands to a place that is slow to reach, done together. Knows no place."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Wanted = TypeVar("Wanted")
Found = TypeVar("Found")


class Gathered(Generic[Wanted, Found]):
    """Does in one go what came while the last go was under way. Used on one event loop.

    Who comes while nothing is under way waits for nobody; the slower the place, the more is done
    at once. What was begun or waits is done even if its caller has gone.

    Args:
        do: Does errands, in a worker thread; what came of each, in their order. What it raises is
            raised for each of them.
        most: Errands in one go, ≥ 1.
    """

    def __init__(self, do: Callable[[Sequence[Wanted]], Sequence[Found]], most: int) -> None:
        self._do = do
        self._most = most
        self._waiting: deque[tuple[Wanted, asyncio.Future[Found]]] = deque()
        self._going: asyncio.Future[Sequence[Found]] | None = None

    async def done(self, wanted: Wanted) -> Found:
        """What came of the errand, once it is done."""
        landed: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, landed))
        if self._going is None:
            self._go()
        return await landed

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while self._going is not None:
            await asyncio.wait({self._going})

    def _go(self) -> None:
        some = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
        if not some:
            self._going = None
            return
        wanted = [each for each, _ in some]
        # No task: those are cancelled when a loop is closed, and this must be done by then.
        self._going = asyncio.get_running_loop().run_in_executor(None, self._do, wanted)
        self._going.add_done_callback(lambda going: self._land(going, [each for _, each in some]))

    def _land(
        self, going: "asyncio.Future[Sequence[Found]]", waiting: Sequence["asyncio.Future[Found]"]
    ) -> None:
        error = going.exception()
        found = going.result() if error is None else ()
        for at, landed in enumerate(waiting):
            if landed.done():
                continue
            if error is None:
                landed.set_result(found[at])
            else:
                landed.set_exception(error)
        self._go()
