"""A language model's answer as a chat completion, whole or as events as they come."""

import time

import msgspec

from milepost.entities.language import Completion, Piece, TokenChoice, Tokens, ToolCall
from milepost.entities.money import MICRO
from milepost.gateway.openai.wire import (
    Chat,
    ChatUsage,
    Choice,
    Chunk,
    ChunkChoice,
    CompletionDetails,
    Delta,
    DeltaCall,
    ExtraContent,
    Google,
    Logprobs,
    Passage,
    PromptDetails,
    Said,
    SaidCall,
    SaidFunction,
    TokenLogprob,
    TopLogprob,
)
from milepost.serving.passing.asking import Passed

DONE = b"data: [DONE]\n\n"
_encode = msgspec.json.Encoder().encode


def passage(passed: Passed) -> Passage:
    """How an answer came here."""
    whole = passed.completion
    return Passage(
        upstream=whole.upstream,
        region=whole.region,
        cached=whole.cached,
        attempts=whole.attempts,
        cost_usd=whole.micro_usd / MICRO,
        guards=passed.guards,
        answer_guards=passed.answer_guards,
        trace_id=passed.trace_id,
    )


def trace_header(trace: str) -> tuple[bytes, bytes]:
    """Under which an answer is recorded."""
    return (b"x-milepost-trace", trace.encode())


def cache_headers(whole: Completion) -> tuple[tuple[bytes, bytes], ...]:
    """Who answered, and whether from a cache."""
    cache = {"": b"miss", "exact": b"hit", "similar": b"similar"}[whole.cached]
    return (b"x-milepost-cache", cache), (b"x-milepost-upstream", whole.upstream.encode())


def usage(tokens: Tokens) -> ChatUsage:
    """What was read and written, in OpenAI's words."""
    return ChatUsage(
        prompt_tokens=tokens.input,
        completion_tokens=tokens.output,
        total_tokens=tokens.input + tokens.output,
        prompt_tokens_details=PromptDetails(
            cached_tokens=tokens.cached_input, cache_write_tokens=tokens.cache_write
        ),
        completion_tokens_details=CompletionDetails(reasoning_tokens=tokens.reasoning),
    )


def chat(name: str, passed: Passed) -> Chat:
    """The answer as a whole.

    Args:
        name: As the client calls the model.
        passed: What came of it.
    """
    whole = passed.completion
    calls = tuple(
        SaidCall(
            id=call.id,
            function=SaidFunction(name=call.name, arguments=call.arguments),
            extra_content=_extra(call),
        )
        for call in whole.tool_calls
    )
    nothing = passed.blocked is not None or (calls and not whole.text)
    message = Said(
        content=None if nothing else whole.text,
        refusal=passed.refusal,
        tool_calls=calls or msgspec.UNSET,
    )
    return Chat(
        id=f"chatcmpl-{passed.trace_id}",
        created=int(time.time()),
        model=whole.model or name,
        choices=(
            Choice(
                message=message,
                finish_reason=whole.finish,
                logprobs=_logprobs(whole.logprobs) if whole.logprobs else None,
            ),
        ),
        usage=usage(whole.tokens),
        upstream=passage(passed),
    )


def _extra(call: ToolCall) -> ExtraContent | msgspec.UnsetType:
    """What a client sends back with the call, where clients of Google's endpoint look for it."""
    if call.thought is None:
        return msgspec.UNSET
    return ExtraContent(google=Google(thought_signature=call.thought))


class ChatEvents:
    """Makes events of pieces; one for each answer.

    Args:
        name: As the client calls the model.
        trace: Id of the trace.
        told: Whether a last chunk tells the usage.
    """

    def __init__(self, name: str, trace: str, *, told: bool) -> None:
        self._name = name
        self._told = told
        self._id = f"chatcmpl-{trace}"
        self._created = int(time.time())
        self._begun = False
        self._calls: dict[str, int] = {}

    def piece(self, piece: Piece) -> bytes:
        """The event of a piece; nothing for one that says nothing."""
        if not (piece.text or piece.tool_calls or piece.logprobs):
            return b""
        delta = Delta(
            role=None if self._begun else "assistant",
            content=piece.text if piece.text or not piece.tool_calls else None,
            tool_calls=tuple(self._call(call) for call in piece.tool_calls),
        )
        logprobs = _logprobs(piece.logprobs) if piece.logprobs else None
        self._begun = True
        return self._chunk((ChunkChoice(delta=delta, logprobs=logprobs),))

    def end(self, passed: Passed) -> bytes:
        """The last events."""
        events: list[bytes] = []
        if not self._begun or passed.blocked is not None:
            role = None if self._begun else "assistant"
            delta = Delta(role=role, content=None, refusal=passed.refusal)
            events.append(self._chunk((ChunkChoice(delta=delta),)))
        last = ChunkChoice(delta=Delta(), finish_reason=passed.completion.finish)
        events.append(self._chunk((last,), upstream=passage(passed)))
        if self._told:
            events.append(self._chunk((), usage=usage(passed.completion.tokens)))
        return b"".join(events) + DONE

    def failed(self, body: bytes) -> bytes:
        """The event of an error after the first piece; OpenAI's clients raise it."""
        return b"data: " + body + b"\n\n"

    def _call(self, call: ToolCall) -> DeltaCall:
        known = self._calls.get(call.id)
        if known is not None:
            more = SaidFunction(arguments=call.arguments)
            return DeltaCall(index=known, function=more, extra_content=_extra(call))
        index = self._calls[call.id] = len(self._calls)
        function = SaidFunction(name=call.name, arguments=call.arguments)
        return DeltaCall(
            index=index,
            id=call.id,
            type="function",
            function=function,
            extra_content=_extra(call),
        )

    def _chunk(
        self,
        choices: tuple[ChunkChoice, ...],
        usage: ChatUsage | None = None,
        upstream: Passage | msgspec.UnsetType = msgspec.UNSET,
    ) -> bytes:
        chunk = Chunk(
            id=self._id,
            created=self._created,
            model=self._name,
            choices=choices,
            usage=usage,
            upstream=upstream,
        )
        return b"data: " + _encode(chunk) + b"\n\n"


def _logprobs(choices: tuple[TokenChoice, ...]) -> Logprobs:
    return Logprobs(
        content=tuple(
            TokenLogprob(
                token=choice.token,
                logprob=choice.logprob,
                bytes=list(choice.token.encode(errors="replace")),
                top_logprobs=tuple(
                    TopLogprob(
                        token=other.token,
                        logprob=other.logprob,
                        bytes=list(other.token.encode(errors="replace")),
                    )
                    for other in choice.alternatives
                ),
            )
            for choice in choices
        )
    )
