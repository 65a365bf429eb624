"""Windows that guards read, and what is kept and held back on the way through."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from milepost.entities.errors import UnknownNameError, UpstreamError
from milepost.entities.language import (
    Completion,
    Message,
    ModelRequest,
    Part,
    Piece,
    TokenChoice,
    ToolCall,
)
from milepost.entities.serving import Guard, PassingRule, RecordingRule, Trace, Verdict
from milepost.models.language.asking import Terms
from milepost.models.language.inside.fake import fake_upstream
from milepost.serving.passing.asking import PassAsk, Passed
from milepost.serving.passing.through import Books, PassThrough, new_text
from milepost.serving.passing.windows import FEWEST, WINDOW, cut, windows

SENTENCE = "It is a fine day and nobody says otherwise, which is how it should be. "
TEXTS = st.text(alphabet="ab. \n!", max_size=3000)
CALL = ToolCall(id="c1", name="send", arguments='{"text":"bad words"}')


@given(TEXTS)
@example("a" * 5000)
@example("a. " * 900)
def test_windows_are_the_text_and_short_enough_to_be_read(text: str) -> None:
    rest, found = text, []
    while rest:
        end = cut(rest, ended=True)
        assert 0 < end <= WINDOW
        found.append(rest[:end])
        rest = rest[end:]
    assert "".join(found) == text
    assert all(len(each) >= FEWEST for each in found[:-1])
    assert windows(text) == [each for each in found if not each.isspace()]


@given(TEXTS, st.integers(1, 97))
def test_a_stream_is_cut_as_the_whole_is(text: str, step: int) -> None:
    held, found = "", []
    for at in range(0, len(text), step):
        held += text[at : at + step]
        while end := cut(held, ended=at + step >= len(text)):
            found.append(held[:end])
            held = held[end:]
    assert held == ""
    assert [each for each in found if not each.isspace()] == windows(text)


class Finds:
    """A judge whose guards trip at the word 'bad'."""

    def __init__(self) -> None:
        self.read: list[str] = []

    async def verdicts(
        self, guards: Sequence[Guard], text: str, terms: Terms
    ) -> dict[str, Verdict]:
        self.read.append(text)
        bad = float("bad" in text)
        return {
            guard.task: Verdict(label="x", score=bad, tripped=bool(bad), action=guard.action)
            for guard in guards
        }


class Speaks:
    """A language model that says pieces, and remembers how it ended."""

    upstream = fake_upstream()

    def __init__(self, *pieces: Piece, fails: bool = False) -> None:
        self.pieces, self.fails, self.closed, self.given = pieces, fails, False, 0

    def names(self) -> Sequence[str]:
        return ("big",)

    def get(self, name: str) -> "Speaks":
        if name != "big":
            raise UnknownNameError("upstream", name, self.names())
        return self

    def whole(self) -> Completion:
        return Completion(
            text="".join(piece.text for piece in self.pieces),
            tool_calls=tuple(call for piece in self.pieces for call in piece.tool_calls),
            upstream="big",
            micro_usd=12,
        )

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        assert terms.purpose == "pass"
        return self.whole()

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncIterator[Piece]:
        try:
            for piece in self.pieces:
                self.given += 1
                yield piece
            if self.fails:
                raise UpstreamError("cut_off", "it broke.", upstream="big")
            yield Piece(whole=self.whole())
        finally:
            self.closed = True


class Kept:
    """A recorder that remembers."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []
        self.committed = 0

    def record(self, traces: Sequence[Trace], rule: RecordingRule) -> None:
        self.traces.extend(traces)

    async def commit(self, traces: Sequence[Trace], rule: RecordingRule) -> None:
        self.committed += len(traces)


def through(model: Speaks, **rule: Any) -> tuple[PassThrough, Finds, Kept]:
    judge, kept = Finds(), Kept()
    books = Books(kept, lambda: datetime(2026, 1, 1, tzinfo=UTC))
    return PassThrough(model, judge, PassingRule(**rule), books), judge, kept  # type: ignore[arg-type]


def asked(text: str = "hello") -> PassAsk:
    request = ModelRequest(messages=(Message(role="user", content=text),))
    return PassAsk(upstream="big", question=request, key="k1", subject="ann")


async def _all(passing: PassThrough, ask: PassAsk) -> tuple[list[Piece], Passed]:
    pieces: list[Piece] = []
    async for each in passing.stream(ask):
        if isinstance(each, Passed):
            return pieces, each
        pieces.append(each)
    raise AssertionError("it has no end")


BLOCK = (Guard(task="tone", labels=("x",), action="block"),)
TELL = (Guard(task="tone", labels=("x",)),)


def test_guards_read_all_that_is_new_and_no_images() -> None:
    picture = Message(role="user", content=(Part(text="see"), Part(image="aGk=")))
    turns = (
        Message(role="user", content="old"),
        Message(role="assistant", tool_calls=(CALL,)),
        Message(role="tool", content="from outside", tool_call_id="c1"),
        picture,
    )
    assert new_text(turns) == "from outside\nsee"


def test_what_is_blocked_is_asked_of_nobody_and_recorded() -> None:
    model = Speaks(Piece(text="fine"))
    passing, _, kept = through(model, guards=BLOCK)
    passed = asyncio.run(passing.complete(asked("bad")))
    assert (passed.blocked, passed.completion.finish) == ("tone", "content_filter")
    assert passed.refusal == "Blocked by tone with a score of 1.00."
    assert asyncio.run(_all(passing, asked("bad")))[0] == []
    assert model.given == 0
    trace = kept.traces[0]
    assert (trace.label, trace.rung, trace.text, trace.said) == (None, "guard:tone", "bad", "")
    assert trace.subject != "ann"


def test_pieces_go_on_at_once_where_guards_only_tell() -> None:
    model = Speaks(Piece(text="a "), Piece(text="bad one", tool_calls=(CALL,)))
    passing, judge, kept = through(model, answer_guards=TELL)
    pieces, passed = asyncio.run(_all(passing, asked()))
    assert [piece.text for piece in pieces] == ["a ", "bad one", ""]
    assert (passed.blocked, passed.answer_guards["tone"].tripped) == (None, True)
    assert judge.read == [f"a bad one\n{CALL.arguments}"]
    assert kept.traces[0].said == "a bad one"
    assert kept.traces[0].task == "upstream/big"
    assert kept.traces[0].cost_usd == pytest.approx(12e-6)


def test_a_stream_ends_at_the_first_bad_window_and_ends_the_call() -> None:
    fine = [Piece(text=word + " ") for word in (SENTENCE * 6).split()]
    model = Speaks(*fine, *[Piece(text="bad ")] * 400)
    passing, _, kept = through(model, answer_guards=BLOCK)
    pieces, passed = asyncio.run(_all(passing, asked()))
    told = "".join(piece.text for piece in pieces)
    assert told
    assert "bad" not in told
    assert (SENTENCE * 6).startswith(told)
    assert (passed.blocked, passed.completion.text) == ("tone", "")
    assert model.closed
    assert model.given < len(model.pieces)
    assert (kept.traces[0].said, kept.traces[0].label) == (told, None)


def test_tools_and_logprobs_wait_for_the_end_and_are_judged() -> None:
    odds = (TokenChoice(token="fine", logprob=-0.1),)  # noqa: S106 - a word of a text
    model = Speaks(Piece(text="fine", logprobs=odds), Piece(tool_calls=(CALL,)))
    passing, _, _ = through(model, answer_guards=BLOCK)
    pieces, passed = asyncio.run(_all(passing, asked()))
    assert [(piece.text, piece.tool_calls, piece.logprobs) for piece in pieces] == [
        ("fine", (), ())
    ]
    assert passed.blocked == "tone"
    whole = asyncio.run(passing.complete(asked()))
    assert (whole.blocked, whole.completion.tool_calls) == ("tone", ())
    good = Speaks(Piece(text="fine", logprobs=odds), Piece(tool_calls=(
        ToolCall(id="c1", name="send", arguments="{}"),
    )))  # fmt: skip
    last = asyncio.run(_all(through(good, answer_guards=BLOCK)[0], asked()))[0][-1]
    assert (last.text, len(last.tool_calls), last.logprobs) == ("", 1, odds)


def test_whoever_goes_away_ends_the_call_and_leaves_a_trace() -> None:
    model = Speaks(*[Piece(text="word ")] * 50)
    passing, _, kept = through(model)

    async def leave() -> None:
        coming = passing.stream(asked())
        await anext(coming)
        await coming.aclose()

    asyncio.run(leave())
    assert (model.closed, model.given) == (True, 1)
    assert [(trace.label, trace.said) for trace in kept.traces] == [("cancelled", "word ")]


def test_a_stream_that_breaks_is_an_error_and_strict_records_are_committed() -> None:
    passing, _, kept = through(Speaks(Piece(text="a"), fails=True))
    with pytest.raises(UpstreamError, match="broke"):
        asyncio.run(_all(passing, asked()))
    assert kept.traces == []
    strict, _, kept = through(Speaks(Piece(text="a")), recording=RecordingRule(strict=True))
    asyncio.run(_all(strict, asked()))
    assert (kept.committed, kept.traces) == (1, [])
    with pytest.raises(UnknownNameError):
        asyncio.run(strict.complete(PassAsk(upstream="no", question=asked().question)))
