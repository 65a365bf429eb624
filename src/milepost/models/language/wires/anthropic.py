"""Anthropic's messages.

Source: the API reference of messages, of their streaming events and of structured outputs. The
format has no log-probabilities, seeds or embeddings.
"""

from collections.abc import Sequence

import msgspec

from milepost.entities.language import (
    Completion,
    Finish,
    Message,
    ModelRequest,
    Part,
    Piece,
    Tokens,
    ToolCall,
)
from milepost.models.language.wires.base import (
    Body,
    Header,
    Json,
    Reader,
    arguments,
    counted,
    decoded,
    kept,
    malformed,
    merged,
    system_of,
    text_of,
    thoughts_of,
    unsupported,
)
from milepost.models.language.wires.failures import told

VERSION = b"2023-06-01"
"""Of the API; the only one there is."""

FINISH: dict[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class _Block(msgspec.Struct):
    type: str = ""
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: object = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


class _Thought(msgspec.Struct):
    thinking_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: _Thought | None = None


class _Answer(msgspec.Struct):
    type: str = ""
    model: str | None = None
    content: list[_Block] | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None
    error: Json | str | None = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    message: _Answer | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None
    error: Json | str | None = None


_ANSWER = msgspec.json.Decoder(_Answer)
_EVENT = msgspec.json.Decoder(_Event)


class Anthropic:
    """``POST /messages``."""

    def headers(self, key: str | None) -> list[Header]:
        """The version, and the key in a header of its own."""
        found: list[Header] = [(b"anthropic-version", VERSION)]
        return found if key is None else [*found, (b"x-api-key", key.encode())]

    def asking(
        self, model: str, request: ModelRequest, *, stream: bool, refused: frozenset[str]
    ) -> Body:
        """The HTTP request of a question.

        ``seed`` is left out: the format has none, and it is a wish wherever there is one.

        Raises:
            UpstreamError: ``unsupported`` for log-probabilities.
        """
        if request.top_logprobs is not None:
            raise unsupported("Anthropic's messages have no log-probabilities.")
        ours: Json = {
            "model": model,
            "messages": _conversation(request.messages),
            "max_tokens": request.max_tokens,
            "stream": stream,
        }
        optional: Json = {
            "system": system_of(request) or None,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stop_sequences": request.stop or None,
            "tool_choice": _choice(request.tool_choice),
        }
        if request.schema is not None:
            optional["output_config"] = {
                "format": {"type": "json_schema", "schema": request.schema}
            }
        if request.tools:
            optional["tools"] = [
                {
                    "name": tool.name,
                    "description": tool.description,
                    "input_schema": {"type": "object", **tool.parameters},
                }
                for tool in request.tools
            ]
        for name, value in optional.items():
            if value is not None and name not in refused:
                ours[name] = value
        return Body("/messages", merged(request, ours))

    def answered(self, content: bytes) -> Completion:
        """The answer from the body of a response."""
        answer = decoded(_ANSWER, content)
        if answer.error is not None:
            raise told(answer.error)
        if answer.content is None:
            raise malformed("The answer holds no content.")
        blocks = answer.content
        return Completion(
            text="".join(block.text or "" for block in blocks if block.type == "text"),
            finish=FINISH.get(answer.stop_reason or "", "stop"),
            tokens=_tokens(answer.usage or _Usage()),
            tool_calls=_calls(blocks),
            model=answer.model or "",
        )

    def reader(self) -> Reader:
        """Reads one streamed answer."""
        return _Streamed()

    def embedding(self, model: str, texts: Sequence[str]) -> Body:
        """Anthropic has no embeddings.

        Raises:
            UpstreamError: ``unsupported``, always.
        """
        raise unsupported("Anthropic's API has no embeddings.")

    def embedded(self, content: bytes, count: int) -> tuple[list[list[float]], Tokens]:
        """Anthropic has no embeddings.

        Raises:
            UpstreamError: ``unsupported``, always.
        """
        raise unsupported("Anthropic's API has no embeddings.")

    def listing(self) -> str:
        """Path of the list of models."""
        return "/models"


class _Streamed:
    def __init__(self) -> None:
        self.ended = self.complete = False
        self.tokens: Tokens | None = None
        self._usage = _Usage()
        self._finish: Finish = "stop"
        self._model = ""
        self._text: list[str] = []
        self._calls: dict[int, list[str]] = {}
        self._thoughts = _Thoughts()

    def read(self, event: bytes) -> Piece | None:
        found = decoded(_EVENT, event)
        match found.type:
            case "message_start":
                message = found.message or _Answer()
                self._model = message.model or ""
                self._count(message.usage)
                # Nothing is said yet, but what was read is known and billed.
                return Piece()
            case "content_block_start":
                return self._began(found)
            case "content_block_stop":
                self._thoughts.sealed()
            case "content_block_delta":
                return self._more(found)
            case "message_delta":
                reason = found.delta.stop_reason if found.delta else None
                self._finish = FINISH.get(reason or "", self._finish)
                self._count(found.usage)
            case "message_stop":
                self.ended = self.complete = True
            case "error":
                raise told(found.error)
            case _:  # Pings, ends of blocks, and what may be added to the format.
                pass
        return None

    def whole(self) -> Completion:
        return Completion(
            text="".join(self._text),
            finish=self._finish,
            tokens=self.tokens or Tokens(),
            tool_calls=tuple(
                ToolCall(id=i, name=n, arguments=a or "{}", thought=t or None)
                for i, n, a, t in self._calls.values()
            ),
            model=self._model,
        )

    def _began(self, event: _Event) -> Piece | None:
        block = event.content_block or _Block()
        if block.type == "tool_use":
            thought = self._thoughts.taken()
            self._calls[event.index] = [block.id or "", block.name or "", "", thought or ""]
            call = ToolCall(id=block.id or "", name=block.name or "", arguments="", thought=thought)
            return Piece(tool_calls=(call,))
        self._thoughts.began(block)
        if block.text:
            self._text.append(block.text)
            return Piece(text=block.text)
        return None

    def _more(self, event: _Event) -> Piece | None:
        delta = event.delta or _Delta()
        self._thoughts.more(delta)
        if delta.text:
            self._text.append(delta.text)
            return Piece(text=delta.text)
        if delta.partial_json and event.index in self._calls:
            call = self._calls[event.index]
            call[2] += delta.partial_json
            return Piece(tool_calls=(ToolCall(id=call[0], name="", arguments=delta.partial_json),))
        return None

    def _count(self, usage: _Usage | None) -> None:
        """Later events count everything anew, but may leave out what has not changed."""
        if usage is None:
            return
        for name in _Usage.__struct_fields__:
            value = getattr(usage, name)
            if value is not None:
                setattr(self._usage, name, value)
        self.tokens = _tokens(self._usage)


class _Thoughts:
    """Blocks of thinking until the call of a tool that they led to, which carries them back."""

    def __init__(self) -> None:
        self._held: list[Json] = []
        self._open: _Block | None = None

    def whole(self, block: _Block) -> None:
        """A block that came at once."""
        if block.type == "redacted_thinking":
            self._held.append({"type": block.type, "data": block.data or ""})
        elif block.type == "thinking" and block.signature:
            thinking = block.thinking or ""
            self._held.append(
                {"type": block.type, "thinking": thinking, "signature": block.signature}
            )

    def began(self, block: _Block) -> None:
        """The first of a block that comes in pieces."""
        self._open = block

    def more(self, delta: _Delta) -> None:
        """What comes next of it."""
        if self._open is not None:
            self._open.thinking = (self._open.thinking or "") + (delta.thinking or "")
            self._open.signature = (self._open.signature or "") + (delta.signature or "")

    def sealed(self) -> None:
        """It has ended."""
        if self._open is not None:
            self.whole(self._open)
        self._open = None

    def taken(self) -> str | None:
        """What goes back with a call that begins now."""
        if not self._held:
            return None
        held, self._held = self._held, []
        return kept("anthropic", msgspec.json.encode(held).decode())


def _calls(blocks: Sequence[_Block]) -> tuple[ToolCall, ...]:
    found: list[ToolCall] = []
    thoughts = _Thoughts()
    for block in blocks:
        thoughts.whole(block)
        if block.type == "tool_use":
            arguments = msgspec.json.encode(block.input or {}).decode()
            found.append(
                ToolCall(
                    id=block.id or "",
                    name=block.name or "",
                    arguments=arguments,
                    thought=thoughts.taken(),
                )
            )
    return tuple(found)


def _conversation(messages: Sequence[Message]) -> list[Json]:
    """Messages as the format has them: tools answer as the user, and neighbours are joined."""
    turns: list[tuple[str, list[Json]]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message)
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        else:
            turns.append((role, blocks))
    return [{"role": role, "content": blocks} for role, blocks in turns]


def _blocks(message: Message) -> list[Json]:
    if message.role == "tool":
        return [
            {
                "type": "tool_result",
                "tool_use_id": message.tool_call_id or "",
                "content": text_of(message),
            }
        ]
    content = message.content
    parts = (Part(text=content),) if isinstance(content, str) else content
    blocks = [_part(part) for part in parts if part.text or part.image is not None]
    for place, call in enumerate(message.tool_calls):
        thoughts = thoughts_of("anthropic", call)
        # A turn that was thought about has to begin with its thoughts.
        blocks = [*thoughts, *blocks] if place == 0 else [*blocks, *thoughts]
        made = {"id": call.id, "name": call.name, "input": arguments(call.arguments)}
        blocks.append({"type": "tool_use", **made})
    return blocks


def _part(part: Part) -> Json:
    if part.image is None:
        return {"type": "text", "text": part.text}
    source = {"type": "base64", "media_type": part.media_type, "data": part.image}
    return {"type": "image", "source": source}


def _choice(choice: str | None) -> Json | None:
    if choice is None:
        return None
    kinds = {"auto": "auto", "none": "none", "required": "any"}
    if choice in kinds:
        return {"type": kinds[choice]}
    return {"type": "tool", "name": choice}


def _tokens(usage: _Usage) -> Tokens:
    """What was read, which the format tells in three parts that do not overlap."""
    cached = usage.cache_read_input_tokens or 0
    put = usage.cache_creation_input_tokens or 0
    read = (usage.input_tokens or 0) + cached + put
    details = usage.output_tokens_details
    thought = details.thinking_tokens if details else None
    return counted(read, usage.output_tokens or 0, cached, thought, put)
