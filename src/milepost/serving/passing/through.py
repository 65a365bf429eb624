"""The way to a language model and back: guards before, guards after, a record of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Protocol

import msgspec

from milepost._base.clock import Clock
from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, Message, Piece, TokenChoice, Tokens, ToolCall
from milepost.entities.money import MICRO
from milepost.entities.serving import (
    Guard,
    PassingRule,
    RecordingRule,
    Trace,
    Verdict,
    trace_task,
)
from milepost.entities.upstream import Upstream
from milepost.serving.language import Languages
from milepost.serving.passing.asking import (
    CHANNEL,
    Coming,
    EmbedAsk,
    PassAsk,
    Passed,
)
from milepost.serving.passing.judging import Judge
from milepost.serving.passing.windows import cut

CANCELLED = "cancelled"
"""Label of the trace of an answer whose asker went away before its end."""


class Recording(Protocol):
    """What is needed of the recorder here."""

    def record(self, traces: Sequence[Trace], rule: RecordingRule) -> None:
        """Keep traces soon; never blocks."""
        ...

    async def commit(self, traces: Sequence[Trace], rule: RecordingRule) -> None:
        """Keep traces now, or raise ``RecordingError``."""
        ...


@dataclass(frozen=True, slots=True)
class Books:
    """Where traces are kept, and by which clock; ``None`` keeps none."""

    recorder: Recording | None
    clock: Clock


@dataclass(slots=True, eq=False)
class _Going:
    """A question on its way.

    Attributes:
        ask: The question.
        text: What is new of it, which guards read and a trace keeps.
        passed: What is known of the answer until now.
        begun: ``time.perf_counter()`` when it came in.
    """

    ask: PassAsk
    text: str
    passed: Passed
    begun: float


@dataclass(slots=True, eq=False)
class _Held:
    """What was answered until now.

    Attributes:
        told: Text that was passed on.
        text: Text that waits to be judged.
        tools: Tools that wait for the end.
        logprobs: Log-probabilities that do.
        tokens: What was read and written, where the provider said so on the way.
        whole: The whole answer, once it is there.
    """

    told: list[str] = field(default_factory=list[str])
    text: str = ""
    tools: list[ToolCall] = field(default_factory=list[ToolCall])
    logprobs: list[TokenChoice] = field(default_factory=list[TokenChoice])
    tokens: Tokens = field(default_factory=Tokens)
    whole: Completion | None = None

    def add(self, piece: Piece) -> None:
        self.text += piece.text
        self.tools.extend(piece.tool_calls)
        self.logprobs.extend(piece.logprobs)

    def window(self) -> str:
        """The next window, which waits no more; empty where it may still grow."""
        end = cut(self.text, ended=self.whole is not None)
        window, self.text = self.text[:end], self.text[end:]
        return window


class PassThrough:
    """Language models for clients; implements ``Passing``. Lives on one event loop.

    Args:
        languages: The language models.
        judge: Asks guards.
        rule: Guards and recording, the same for all upstreams, so that a new one has them too.
        books: Where traces go.
    """

    def __init__(self, languages: Languages, judge: Judge, rule: PassingRule, books: Books) -> None:
        self._languages = languages
        self._judge = judge
        self._rule = rule
        self._books = books
        self._holds = any(guard.action == "block" for guard in rule.answer_guards)

    def upstreams(self) -> Sequence[Upstream]:
        """See ``Passing.upstreams``."""
        return [self._languages.get(name).upstream for name in self._languages.names()]

    def upstream(self, name: str) -> Upstream:
        """See ``Passing.upstream``."""
        return self._languages.get(name).upstream

    async def complete(self, ask: PassAsk) -> Passed:
        """See ``Passing.complete``."""
        model = self._languages.get(ask.upstream)
        going = await self._begin(ask)
        if going.passed.blocked is None:
            whole = await model.complete(ask.question, ask.terms)
            going.passed = replace(going.passed, completion=whole)
            if self._rule.answer_guards:
                await self._judged(going, "\n".join(filter(None, (whole.text, _called(whole)))))
        return await self._end(going, going.passed.completion.text)

    async def stream(self, ask: PassAsk) -> Coming:
        """See ``Passing.stream``.

        Where a guard on answers may block, text is held back until the window that it stands in
        was judged; tools and log-probabilities are told at the end then.
        """
        model = self._languages.get(ask.upstream)
        going, held = await self._begin(ask), _Held()
        if going.passed.blocked is None:
            pieces = model.stream(ask.question, ask.terms)
            try:
                coming = self._held_back(going, held, pieces) if self._holds else _on(held, pieces)
                async for piece in coming:
                    held.told.append(piece.text)
                    yield piece
            except (GeneratorExit, asyncio.CancelledError):
                self._given_up(going, held)
                raise
            finally:
                await _close(pieces)
            await self._finish(going, held)
        yield await self._end(going, "".join(held.told))

    async def embed(self, ask: EmbedAsk) -> tuple[list[list[float]], Tokens]:
        """See ``Passing.embed``."""
        return await self._languages.get(ask.upstream).embed(ask.texts, ask.terms)

    async def _begin(self, ask: PassAsk) -> _Going:
        """What guards say of what is asked."""
        begun = time.perf_counter()
        text, rules = new_text(ask.question.messages), self._rule.guards
        verdicts: dict[str, Verdict] = {}
        if rules:
            verdicts = await self._judge.verdicts(rules, text, ask.terms)
        passed = Passed(
            trace_id=ask.trace_id,
            completion=Completion(text="", finish="content_filter", attempts=0),
            guards=verdicts,
            blocked=_blocking(rules, verdicts),
        )
        return _Going(ask, text, passed, begun)

    async def _judged(self, going: _Going, text: str) -> None:
        """Let guards judge what is answered, and withhold it where one blocks."""
        rules = self._rule.answer_guards
        said = await self._judge.verdicts(rules, text, going.ask.terms)
        verdicts = dict(going.passed.answer_guards)
        for task, one in said.items():
            before = verdicts.get(task)
            verdicts[task] = one if before is None or one.score > before.score else before
        blocked, whole = _blocking(rules, verdicts), going.passed.completion
        if blocked is not None:
            whole = msgspec.structs.replace(
                whole, text="", tool_calls=(), logprobs=(), finish="content_filter"
            )
        going.passed = replace(
            going.passed, completion=whole, answer_guards=verdicts, blocked=blocked
        )

    async def _held_back(
        self, going: _Going, held: _Held, pieces: AsyncIterator[Piece]
    ) -> AsyncIterator[Piece]:
        """Pieces of judged text; ends at the first window that is blocked."""
        async for piece in pieces:
            held.add(piece)
            held.tokens, held.whole = piece.tokens or held.tokens, piece.whole
            while window := held.window():
                await self._judged(going, window)
                if going.passed.blocked is not None:
                    return
                # Known to whoever passes it on: whether a cache has answered.
                yield Piece(text=window, whole=held.whole)
        if held.tools:
            await self._judged(going, "\n".join(call.arguments for call in held.tools))
        if going.passed.blocked is None and (held.tools or held.logprobs):
            calls, logprobs = tuple(held.tools), tuple(held.logprobs)
            yield Piece(tool_calls=calls, logprobs=logprobs, whole=held.whole)

    async def _finish(self, going: _Going, held: _Held) -> None:
        """The answer as a whole, once all of its pieces are told."""
        whole = held.whole
        if going.passed.blocked is not None:
            known = whole or Completion(text="", tokens=held.tokens, upstream=going.ask.upstream)
            whole = msgspec.structs.replace(
                known, text="", tool_calls=(), logprobs=(), finish="content_filter"
            )
        elif whole is None:
            raise UpstreamError(
                "cut_off", "the answer ended early.", upstream=going.ask.upstream, attempts=1
            )
        going.passed = replace(going.passed, completion=whole)
        if self._rule.answer_guards and not self._holds:
            said = "\n".join(filter(None, (whole.text, _called(whole))))
            await self._judged(going, said)

    def _given_up(self, going: _Going, held: _Held) -> None:
        """Nobody waits any more: what was told until then is recorded."""
        trace = self._trace(going, CANCELLED, "".join(held.told))
        if self._books.recorder is not None:
            self._books.recorder.record((trace,), self._rule.recording)

    async def _end(self, going: _Going, said: str) -> Passed:
        """What came of it, recorded."""
        recorder, rule, passed = self._books.recorder, self._rule.recording, going.passed
        if recorder is not None:
            label = None if passed.blocked is not None else passed.completion.finish
            traces = (self._trace(going, label, said),)
            if rule.strict:
                await recorder.commit(traces, rule)
            else:
                recorder.record(traces, rule)
        return passed

    def _trace(self, going: _Going, label: str | None, said: str) -> Trace:
        ask, passed, whole = going.ask, going.passed, going.passed.completion
        subject = None
        if ask.subject is not None:
            subject = sha256(ask.subject.encode("utf-8", "replace")).hexdigest()
        blocked = passed.blocked
        return Trace(
            id=passed.trace_id,
            task=trace_task(ask.upstream),
            release=0,
            channel=CHANNEL,
            at=self._books.clock(),
            key=ask.key,
            subject=subject,
            label=label,
            confidence=None,
            rung=whole.upstream or ask.upstream if blocked is None else f"guard:{blocked}",
            guards={**passed.guards, **{f"answer:{k}": v for k, v in passed.answer_guards.items()}},
            text=going.text,
            seconds=time.perf_counter() - going.begun,
            cached=bool(whole.cached),
            cost_usd=whole.micro_usd / MICRO,
            protocol=ask.protocol,
            request=ask.request,
            said=said,
        )


def new_text(messages: Sequence[Message]) -> str:
    """What users and tools said since the model spoke last, in order; images say nothing."""
    found: list[str] = []
    for message in reversed(messages):
        if message.role == "assistant":
            break
        if message.role in ("user", "tool"):
            found.append(_text(message))
    return "\n".join(reversed(found))


def _text(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(part.text for part in message.content if part.text is not None)


def _called(whole: Completion) -> str:
    """The arguments of the tools that a model asks for."""
    return "\n".join(call.arguments for call in whole.tool_calls)


def _blocking(rules: Sequence[Guard], verdicts: dict[str, Verdict]) -> str | None:
    """The first guard that blocks."""
    for guard in rules:
        said = verdicts.get(guard.task)
        if said is not None and said.tripped and guard.action == "block":
            return guard.task
    return None


async def _on(held: _Held, pieces: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
    """Pieces as they come."""
    async for piece in pieces:
        held.whole = piece.whole
        yield piece


async def _close(pieces: AsyncIterator[Piece]) -> None:
    """End the call, whoever made the iterator."""
    close = getattr(pieces, "aclose", None)
    if close is not None:
        await close()
