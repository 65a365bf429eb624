"""Every fault of an upstream ends by the deadline with a typed error, and is not asked for more.

A real HTTP server on this machine misbehaves in one way after the other, in a process of its own
each; calls go through connections, wire format and resilience as they do in use. What is counted
at the server is what was sent, whatever the client believes.
"""

import asyncio
import multiprocessing
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from random import Random
from typing import Any, NamedTuple

from bench.common import Options
from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, Message, ModelRequest, Piece
from milepost.entities.upstream import Endpoint, Upstream
from milepost.models.language.asking import LanguageModel, Terms
from milepost.models.language.http import HttpModel
from milepost.models.language.inside.fake import Fake, fake_upstream
from milepost.models.language.inside.faults import Fault, Kind
from milepost.models.language.resilience.resilient import Resilient
from milepost.testing.upstreams import serving

LATE_S = 0.05
AMPLIFICATION = 1.2
SHARED = 15
"""Waves through the same layers: fewer calls would count the two attempts that each begins with."""
AT_ONCE = 16

EXPECTED: dict[Kind, set[str]] = {
    "hang": {"timeout"},
    "slow": {"timeout"},
    "half": {"cut_off", "malformed"},
    "wrong_json": {"malformed"},
    "reset": {"reset"},
    "storm": {"rate_limited", "timeout"},
    "huge": {"too_large", "timeout"},
    "server_error": {"server_error"},
    "unreachable": {"unreachable"},
}
RESTING = {"breaker_open", "rate_limited", "overloaded"}
"""What calls are told without being sent, once an endpoint rests or its places are all taken."""

Ask = Callable[[LanguageModel, Terms], Awaitable[str]]


async def complete(model: LanguageModel, terms: Terms) -> str:
    await model.complete(REQUEST, terms)
    return "ok"


async def stream(model: LanguageModel, terms: Terms) -> str:
    async for piece in model.stream(REQUEST, terms):
        if piece.whole is not None:
            return "ok"
    return "no end"


REQUEST = ModelRequest(messages=(Message(role="user", content="one of: yes, no. Is it?"),))
FORMS: dict[str, Ask] = {"complete": complete, "stream": stream}


def run(options: Options) -> dict[str, Any]:
    deadlines = {0.4: 2} if options.quick else {0.4: 15, 1.5: 5}
    kinds: list[Kind] = [k for k in EXPECTED if not options.only or k in options.only]
    rows: list[dict[str, Any]] = []
    for kind in kinds:
        for form in FORMS:
            for deadline, waves_ in deadlines.items():
                rows.append(total(kind, form, deadline, waves_))
                print(line(rows[-1]))
    partial = [some(kind, 100 if options.quick else 1000) for kind in kinds if kind in PARTIAL]
    for row in partial:
        print(row)
    judge(rows)
    return {
        "total_failure": rows,
        "worst_late_ms": max(row["late_ms"]["max"] for row in rows),
        "worst_own_late_ms": max(row["own_late_ms"]["max"] for row in rows),
        "longest_step_cpu_ms": max(row["longest_step_cpu_ms"] for row in rows),
        "worst_amplification": max(row["amplification"] for row in rows),
        "some_fail": partial,
    }


def judge(rows: list[dict[str, Any]]) -> None:
    """Raises where a promise was broken.

    A client that was given no processor cannot end anything meanwhile. What this process computed
    itself while its event loop stood still is not excused: it may have blocked the loop.
    """
    for row in rows:
        assert row["own_late_ms"]["max"] <= 1000 * LATE_S, row
        assert row["amplification"] <= AMPLIFICATION, row
        assert not row["unexpected"], row
        # Fewer came in where a server that is busy with its own fault read them too late.
        assert row["sent"] <= row["attempts_told"], row


def line(row: dict[str, Any]) -> str:
    return (
        f"{row['fault']:<13}{row['form']:<10}{row['deadline_s']:>4} s  "
        f"late {row['late_ms']['max']:7.1f} ms, {row['own_late_ms']['max']:7.1f} of it our own  "
        f"(longest step {row['longest_step_cpu_ms']:.1f} ms of CPU, "
        f"{row['without_processor_ms']:.1f} ms without)  "
        f"sent {row['amplification']:.3f} a call  {row['outcomes']}"
    )


class Endless(Fake):
    """Streams that never end: what ``huge`` means where an answer comes in pieces."""

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncIterator[Piece]:
        while True:
            yield Piece(text="x" * 65_536)


def misbehave(fault: Fault, form: str, line: Connection) -> None:
    """In a process of its own: serve until told to stop, then say how many requests came."""
    row = fake_upstream(base_url=f"fake:?says={'word ' * 60}")
    endless = fault.kind == "huge" and form == "stream"
    model = Endless(row) if endless else Fake(row)
    with serving(model, fault=None if endless else fault) as found:
        line.send(found.base_url)
        while (asked := line.recv()) != "stop":
            line.send(found.calls if asked == "calls" else None)


class Server:
    """A server of a fault, and how many requests it has had."""

    def __init__(self, base_url: str, line: Connection) -> None:
        self.base_url = base_url
        self._line = line

    @property
    def calls(self) -> int:
        self._line.send("calls")
        return self._line.recv()


@contextmanager
def server(fault: Fault, form: str = "complete") -> Generator[Server]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=misbehave, args=(fault, form, there)
    )
    process.start()
    there.close()  # so that a server that dies is seen here as the end of the line
    try:
        yield Server(here.recv(), here)
    finally:
        with suppress(BrokenPipeError):
            here.send("stop")
        process.join()


def layers(base_url: str, timeout_s: float) -> Resilient:
    upstream = Upstream(
        name="big",
        model="fake",
        endpoints=(Endpoint(base_url=base_url, private=True),),
        at_once=AT_ONCE,
        timeout_s=timeout_s,
    )
    models = [HttpModel(upstream, endpoint) for endpoint in upstream.endpoints]
    return Resilient(upstream, models, random=Random(0))  # noqa: S311


def total(kind: Kind, form: str, deadline: float, times: int) -> dict[str, Any]:
    """All calls fail, ``AT_ONCE`` at a time.

    First in as many waves through layers of their own, so that every one is sent and meets the
    fault; then ``SHARED`` waves through the same layers, as a process has them: their breaker ends
    what it can at once, and their allowance bounds what is asked again.
    """
    with server(Fault(kind=kind, retry_after=0.2), form) as there:
        # Nobody listens on a port that was closed again.
        address = "http://127.0.0.1:9/v1" if kind == "unreachable" else there.base_url
        met, still = asyncio.run(waves(address, FORMS[form], deadline, times, shared=False))
        more, later = asyncio.run(waves(address, FORMS[form], deadline, SHARED, shared=True))
        sent = there.calls
    ended = [*met, *more]
    outcomes = Counter(call.outcome for call in ended)
    were_sent = Counter(call.outcome for call in ended if call.attempts)
    attempts = sum(call.attempts for call in ended)
    known = EXPECTED[kind] | RESTING
    every = [*still.stalls, *later.stalls]
    return {
        "fault": kind,
        "form": form,
        "deadline_s": deadline,
        "calls": len(ended),
        "calls_sent": sum(were_sent.values()),
        "outcomes": dict(outcomes),
        "unexpected": sorted({*(set(were_sent) - EXPECTED[kind]), *(set(outcomes) - known)}),
        "late_ms": spread([call.ended - call.deadline for call in met]),
        "own_late_ms": spread(
            [
                *(call.ended - call.deadline - still.excused(call) for call in met),
                *(call.ended - call.deadline - later.excused(call) for call in more),
            ]
        ),
        "longest_step_cpu_ms": 1000.0 * max((each.cpu for each in every), default=0.0),
        "without_processor_ms": 1000.0 * max((each.without for each in every), default=0.0),
        "sent": attempts if kind == "unreachable" else sent,
        "attempts_told": attempts,
        "amplification": sum(call.attempts for call in more) / len(more),
        "attempts_of_those_sent": attempts / max(1, sum(were_sent.values())),
    }


def spread(seconds: list[float]) -> dict[str, float]:
    """Median and largest, in milliseconds."""
    found = sorted(1000.0 * each for each in seconds)
    return {"median": found[len(found) // 2], "max": found[-1]}


class Call(NamedTuple):
    """A call that has ended; ``time.monotonic()`` of its deadline and its end."""

    outcome: str
    attempts: int
    deadline: float
    ended: float


class Stall(NamedTuple):
    """A time in which the event loop did not come round; seconds of CPU of this process in it."""

    began: float
    ended: float
    cpu: float

    @property
    def without(self) -> float:
        """Seconds in which this process had no processor and its loop had something to do."""
        return max(0.0, self.ended - self.began - TICK_S - self.cpu)


TICK_S = 0.002


class Watch:
    """Times when the event loop stood still, beside the calls that it carries."""

    def __init__(self) -> None:
        self.stalls: list[Stall] = []

    async def look(self) -> None:
        """Until it is cancelled."""
        while True:
            began, cpu = time.monotonic(), time.process_time()
            await asyncio.sleep(TICK_S)
            ended = time.monotonic()
            if ended - began > 2 * TICK_S:
                self.stalls.append(Stall(began, ended, time.process_time() - cpu))

    def excused(self, call: Call) -> float:
        """Seconds between a call's deadline and its end in which there was no processor."""
        found = 0.0
        for stall in self.stalls:
            common = min(stall.ended, call.ended) - max(stall.began, call.deadline)
            found += max(0.0, min(common, stall.without))
        return found


async def waves(
    address: str, ask: Ask, deadline: float, times: int, *, shared: bool
) -> tuple[list[Call], Watch]:
    """What came of all calls, and when the event loop stood still; a pause lets a breaker probe."""
    ended: list[Call] = []
    watch = Watch()
    watching = asyncio.create_task(watch.look())
    model = layers(address, 60.0)
    for _ in range(times):
        ended += await asyncio.gather(*[timed(model, ask, deadline) for _ in range(AT_ONCE)])
        await asyncio.sleep(0.05)
        if not shared:
            await model.close()
            model = layers(address, 60.0)
    watching.cancel()
    await model.close()
    return ended, watch


async def timed(model: LanguageModel, ask: Ask, deadline: float) -> Call:
    """How a call ended."""
    until = time.monotonic() + deadline
    terms = Terms(purpose="improve", deadline=until)
    try:
        outcome, attempts = await ask(model, terms), 1
    except UpstreamError as error:
        outcome, attempts = error.outcome, error.attempts
    return Call(outcome, attempts, until, time.monotonic())


PARTIAL: set[Kind] = {"half", "wrong_json", "reset", "storm", "server_error"}


def some(kind: Kind, calls: int, share: float = 0.1) -> dict[str, Any]:
    """A tenth of the calls fail: how many callers notice, with and without the layer."""
    found: dict[str, Any] = {"fault": kind, "share": share, "calls": calls}
    for name in ("alone", "resilient"):
        with server(Fault(kind=kind, share=share, retry_after=0.1)) as there:
            whole = layers(there.base_url, 10.0)
            model: LanguageModel = whole if name == "resilient" else whole.endpoints[0]
            well = asyncio.run(bulk(model, calls))
            found[name] = {"failed": calls - well, "sent": there.calls / calls}
    return found


async def bulk(model: LanguageModel, calls: int) -> int:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one() -> bool:
        async with gate:
            try:
                terms = Terms(purpose="improve", deadline=time.monotonic() + 10.0)
                return isinstance(await model.complete(REQUEST, terms), Completion)
            except UpstreamError:
                return False

    try:
        return sum(await asyncio.gather(*[one() for _ in range(calls)]))
    finally:
        await model.close()
