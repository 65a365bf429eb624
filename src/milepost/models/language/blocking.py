"""Language models for code that waits: many calls on their way at once, on a thread of its own."""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import CancelledError, wait
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from milepost._base.digest import digest_of
from milepost.entities.errors import UpstreamError
from milepost.entities.language import ModelRequest
from milepost.entities.model_calls import Outcome
from milepost.entities.upstream import Upstream
from milepost.models.language.asking import Answered, LanguageModel, Terms
from milepost.models.language.lengths import Lengths

T = TypeVar("T")

Known = Callable[[ModelRequest, Terms], Awaitable[bool]]
"""Whether a cache of ours holds the answer already."""

ENDS: frozenset[Outcome] = frozenset(
    {"over_budget", "no_key", "no_price", "bad_key", "blocked_address", "not_found"}
)
"""Outcomes after which no further call can be made either."""

Watch = Callable[[int, int, int], None]
"""Told how many answers of an ``ask`` there are, of how many, and what came to cost since it was
told last, in micro-USD; what it raises ends the ``ask``."""

WATCH_S = 0.2
"""How often a watch is told, in seconds."""

SETTLING_S = 5.0
"""Longest that an interrupted ``ask`` waits for its calls to be settled in the books."""


class Asker:
    """A ``Speaker`` over a language model. Any thread may ask.

    All calls run on one event loop in a thread of its own, which starts with the first call and
    ends with ``close``. The model is used on that loop alone.

    Args:
        model: The whole stack.
        terms: Under what every call is made.
        left: Micro-USD that the budgets leave; ``None`` where there are none. Called by the thread
            that asks.
        known: Tells which answers are cached, for estimates; ``None`` where nothing is.
        at_once: Most calls on their way at a time, of all threads together; ``None`` takes the
            upstream's.
        watch: Told how an ``ask`` gets on, by the thread that asks; ``None`` for nobody.
    """

    def __init__(
        self,
        model: LanguageModel,
        terms: Terms,
        *,
        left: Callable[[], int | None] | None = None,
        known: Known | None = None,
        at_once: int | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._model = model
        self._terms = terms
        self._left = left
        self._known = known
        self._watch = watch
        self._at_once = at_once or model.upstream.at_once
        self._lengths = Lengths()
        self._gate = _Gate(self._at_once)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def upstream(self) -> Upstream:
        """Where it is and what it costs."""
        return self._model.upstream

    def ask(self, requests: Sequence[ModelRequest]) -> list[Answered]:
        """What comes of each request, in their order.

        Ctrl-C, or what a watch raises, cancels what is on its way, waits until that is settled and
        goes on as it was raised; answers that were whole by then are in the cache.

        Raises:
            UpstreamError: If no further call can be made at all (``ENDS``). A budget that is only
                reserved by calls on their way is no reason: these are waited for. With outcome
                ``cancelled``, if another thread closes it meanwhile.
            RuntimeError: If it is closed.
        """
        if not requests:
            return []
        errand = _Errand(self._model, self._terms, requests, self._gate)
        work = errand.run(min(self._at_once, len(requests)))
        answers = self._run(work, self._watching(errand))
        with self._lock:
            for request, answer in zip(requests, answers, strict=True):
                if not isinstance(answer, UpstreamError):
                    self._lengths.saw(request, answer)
        return answers

    def _watching(self, errand: "_Errand") -> Callable[[], None]:
        """Tells the watch what has come of an errand since it was told last."""
        told = 0

        def tell() -> None:
            nonlocal told
            if self._watch is None:
                return
            spent, done = errand.micro_usd, errand.done
            self._watch(done, errand.asked, spent - told)
            told = spent

        return tell

    def estimate(self, requests: Sequence[ModelRequest]) -> int:
        """Micro-USD that these would cost at about; what is cached or asked twice is free.

        Raises:
            UpstreamError: With outcome ``no_price``, if today's price is not known.
        """
        price = self.upstream.price(datetime.now(UTC).date())
        if price is None:
            raise UpstreamError(
                "no_price",
                "what it costs is not known, so nothing can be estimated.",
                upstream=self.upstream.name,
                advice="Register it with --price-in and --price-out, in USD per million tokens.",
            )
        fresh = list(requests)
        if self._known is not None and self._terms.cache and fresh:
            fresh = self._run(self._unknown(self._known, fresh))
        with self._lock:
            return sum(price.cost(self._lengths.about(request)) for request in fresh)

    def left(self) -> int | None:
        """Micro-USD that its budgets leave; ``None`` without a budget."""
        return None if self._left is None else self._left()

    def close(self) -> None:
        """Cancel what is on its way, let go of connections and end the thread. May be repeated."""
        with self._lock:
            loop, thread = self._loop, self._thread
            closed, self._closed = self._closed, True
        if closed or loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def _unknown(self, known: Known, requests: Sequence[ModelRequest]) -> list[ModelRequest]:
        once = list({digest_of(request): request for request in requests}.values())
        # All at once, so that a cache that is slow to reach looks them up together.
        held = await asyncio.gather(*(known(request, self._terms) for request in once))
        return [request for request, is_held in zip(once, held, strict=True) if not is_held]

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._model.close()

    def _run(self, work: Coroutine[Any, Any, T], meanwhile: Callable[[], None] = lambda: None) -> T:
        """What the coroutine comes to on the loop; cancelled there if the waiting is interrupted.

        ``meanwhile`` is called now and then, and once more at the end. An interrupt can come at any
        moment, before there is a future to cancel too. A cancelled future would also not say when
        the calls have been settled. So the work itself says when it begins and ends.
        """
        watched = _Watched(work)
        try:
            loop = self._running()
        except RuntimeError:
            work.close()
            raise
        try:
            future = asyncio.run_coroutine_threadsafe(watched.run(), loop)
            while not wait([future], WATCH_S).done:
                meanwhile()
            meanwhile()
            return future.result()
        except CancelledError:
            what = "it was closed while calls were on their way."
            raise UpstreamError("cancelled", what, upstream=self.upstream.name) from None
        finally:
            if not watched.ended.is_set():
                loop.call_soon_threadsafe(watched.stop)
                watched.ended.wait(SETTLING_S)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise RuntimeError(f"The asker of upstream {self.upstream.name!r} is closed.")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name=f"ask-{self.upstream.name}", daemon=True
                )
                self._thread.start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


class _Watched(Generic[T]):
    """Work on the loop that another thread waits for and may stop."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self.ended = threading.Event()
        self._work = work
        self._task: asyncio.Task[Any] | None = None
        self._stopped = False

    async def run(self) -> T:
        """The work; on the loop."""
        if self._stopped:
            self._work.close()
            raise asyncio.CancelledError
        self._task = asyncio.current_task()
        try:
            return await self._work
        finally:
            self.ended.set()

    def stop(self) -> None:
        """Cancel it, or never begin; on the loop."""
        self._stopped = True
        if self._task is None:
            self.ended.set()
        else:
            self._task.cancel()


class _Gate:
    """Lets so many calls through at a time, over all errands, and tells when one has landed."""

    def __init__(self, places: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._landed = asyncio.Event()
        self.flying = 0

    async def __aenter__(self) -> None:
        await self._places.acquire()
        self.flying += 1

    async def __aexit__(self, *_: object) -> None:
        self.flying -= 1
        self._places.release()
        self._landed.set()
        self._landed = asyncio.Event()

    async def landing(self) -> None:
        """Until the next call has ended; at once where none is on its way."""
        if self.flying:
            await self._landed.wait()


class _Errand:
    """The requests of one ``ask``, worked off by as many workers as may be; on the loop alone."""

    def __init__(
        self, model: LanguageModel, terms: Terms, requests: Sequence[ModelRequest], gate: _Gate
    ) -> None:
        self._model = model
        self._terms = terms
        self._requests = requests
        self._gate = gate
        self._todo = deque(range(len(requests)))
        self._answers: dict[int, Answered] = {}
        self.asked, self.micro_usd = len(requests), 0
        self._workers = 0
        self._end: UpstreamError | None = None

    @property
    def done(self) -> int:
        """How many are answered, for any thread to see."""
        return len(self._answers)

    async def run(self, workers: int) -> list[Answered]:
        self._workers = workers
        tasks = [asyncio.ensure_future(self._work()) for _ in range(workers)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._end is not None:
            raise self._end
        return [self._answers[place] for place in range(len(self._requests))]

    async def _work(self) -> None:
        """Ask until nothing is left to ask or nothing more can be asked.

        Reservations hold more than most calls come to, so a budget may be refused although it
        suffices. A refused worker leaves the rest to the others; the last one asks again when a
        call of another errand has ended, and gives up when it was refused with none on its way.
        """
        while self._todo and self._end is None:
            place = self._todo.popleft()
            async with self._gate:
                alone = self._gate.flying == 1
                answer = await self._answer(self._requests[place])
            if not isinstance(answer, UpstreamError) or answer.outcome not in ENDS:
                self._answers[place] = answer
                self.micro_usd += answer.micro_usd
                continue
            if answer.outcome != "over_budget" or alone:
                self._end = answer
                return
            self._todo.appendleft(place)
            if self._workers > 1:
                break
            await self._gate.landing()
        self._workers -= 1

    async def _answer(self, request: ModelRequest) -> Answered:
        try:
            return await self._model.complete(request, self._terms)
        except UpstreamError as error:
            return error
