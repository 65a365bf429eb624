"""What clients ask language models themselves, seen from outside: guards that trip are counted."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from milepost.entities.language import Piece, Tokens
from milepost.entities.serving import trace_task
from milepost.entities.upstream import Upstream
from milepost.serving.passing.asking import EmbedAsk, PassAsk, Passed, Passing

if TYPE_CHECKING:
    from milepost.gateway.telemetry.telemetry import Telemetry


class WatchedPassing:
    """Passes everything on; used on the event loop of what it watches.

    Args:
        inner: The language models.
        telemetry: Counts.
    """

    def __init__(self, inner: Passing, telemetry: "Telemetry") -> None:
        self._inner = inner
        self._telemetry = telemetry

    def upstreams(self) -> Sequence[Upstream]:
        """See ``Passing.upstreams``."""
        return self._inner.upstreams()

    def upstream(self, name: str) -> Upstream:
        """See ``Passing.upstream``."""
        return self._inner.upstream(name)

    async def complete(self, ask: PassAsk) -> Passed:
        """See ``Passing.complete``."""
        passed = await self._inner.complete(ask)
        if passed.guards or passed.answer_guards:
            self._count(ask, passed)
        return passed

    async def stream(self, ask: PassAsk) -> AsyncGenerator[Piece | Passed]:
        """See ``Passing.stream``."""
        async with aclosing(self._inner.stream(ask)) as coming:
            async for piece in coming:
                if isinstance(piece, Passed):
                    self._count(ask, piece)
                yield piece

    async def embed(self, ask: EmbedAsk) -> tuple[list[list[float]], Tokens]:
        """See ``Passing.embed``."""
        return await self._inner.embed(ask)

    def _count(self, ask: PassAsk, passed: Passed) -> None:
        task = trace_task(ask.upstream)
        for verdicts, where in ((passed.guards, ""), (passed.answer_guards, "answer:")):
            for guard, said in verdicts.items():
                if said.tripped:
                    labels = (task, where + guard, said.action)
                    self._telemetry.count("milepost_guard_trips_total", labels)
