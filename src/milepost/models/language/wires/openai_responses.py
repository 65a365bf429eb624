"""OpenAI's responses: a list of items in, a list of items out; nothing is stored at the provider.

Source: the API reference of responses and of their streaming events.
"""

from collections.abc import Sequence

import msgspec

from milepost.entities.errors import UpstreamError
from milepost.entities.language import (
    Completion,
    Finish,
    Message,
    ModelRequest,
    Part,
    Piece,
    TokenAlternative,
    TokenChoice,
    Tokens,
    ToolCall,
)
from milepost.models.language.wires.base import (
    Body,
    Header,
    Json,
    Reader,
    counted,
    decoded,
    kept,
    malformed,
    merged,
    strict,
    thoughts_of,
    unsupported,
)
from milepost.models.language.wires.failures import told
from milepost.models.language.wires.openai import OpenAI


class _Top(msgspec.Struct):
    token: str | None = None
    logprob: float | None = None


class _Token(msgspec.Struct):
    token: str
    logprob: float
    top_logprobs: list[_Top] | None = None


class _Content(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    logprobs: list[_Token] | None = None


class _Item(msgspec.Struct):
    type: str = ""
    id: str | None = None
    content: list[_Content] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    encrypted_content: str | None = None
    summary: list[Json] | None = None


class _Read(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Written(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _Read | None = None
    output_tokens_details: _Written | None = None


class _Reason(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    status: str | None = None
    model: str | None = None
    output: list[_Item] | None = None
    usage: _Usage | None = None
    error: Json | str | None = None
    incomplete_details: _Reason | None = None


class _Event(msgspec.Struct):
    type: str = ""
    delta: str | None = None
    item_id: str | None = None
    item: _Item | None = None
    logprobs: list[_Token] | None = None
    response: _Response | None = None


_RESPONSE = msgspec.json.Decoder(_Response)
_EVENT = msgspec.json.Decoder(_Event)
_RAW = msgspec.json.Decoder(dict[str, object])


class OpenAIResponses:
    """``POST /responses``; embeddings are those of chat completions."""

    def __init__(self) -> None:
        self._chat = OpenAI()

    def headers(self, key: str | None) -> list[Header]:
        """A bearer token, where there is a key."""
        return self._chat.headers(key)

    def asking(
        self, model: str, request: ModelRequest, *, stream: bool, refused: frozenset[str]
    ) -> Body:
        """The HTTP request of a question.

        Raises:
            UpstreamError: ``unsupported`` for ``stop`` and ``seed``, which responses do not have.
        """
        if request.stop:
            raise unsupported("Responses have no texts that end an answer.", "Leave out stop.")
        request = _reasoning(request)
        items = [item for message in request.messages for item in _items(message)]
        ours: Json = {
            "model": model,
            "input": items,
            "max_output_tokens": request.max_tokens,
            "store": False,
            # Said either way: some servers stream where nothing is said.
            "stream": stream,
        }
        optional: Json = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            "tool_choice": _choice(request.tool_choice),
        }
        if request.schema is not None:
            optional["text"] = {
                "format": {
                    "type": "json_schema",
                    "name": "answer",
                    "strict": strict(request.schema),
                    "schema": request.schema,
                }
            }
        if request.tools:
            optional["tools"] = [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                    "strict": False,
                }
                for tool in request.tools
            ]
        if request.top_logprobs is not None:
            optional["top_logprobs"] = request.top_logprobs
            optional["include"] = ("message.output_text.logprobs",)
        for name, value in optional.items():
            if value is not None and name not in refused:
                ours[name] = value
        return Body("/responses", merged(request, ours))

    def answered(self, content: bytes) -> Completion:
        """The answer from the body of a response."""
        return _completion(decoded(_RESPONSE, content))

    def reader(self) -> Reader:
        """Reads one streamed answer."""
        return _Streamed()

    def embedding(self, model: str, texts: Sequence[str]) -> Body:
        """The HTTP request for vectors of texts."""
        return self._chat.embedding(model, texts)

    def embedded(self, content: bytes, count: int) -> tuple[list[list[float]], Tokens]:
        """The vectors, in the order of the texts."""
        return self._chat.embedded(content, count)

    def listing(self) -> str:
        """Path of the list of models."""
        return self._chat.listing()


class _Streamed:
    def __init__(self) -> None:
        self.ended = self.complete = False
        self.tokens: Tokens | None = None
        self._whole: Completion | None = None
        self._calls: dict[str, tuple[str, str]] = {}

    def read(self, event: bytes) -> Piece | None:
        found = decoded(_EVENT, event)
        match found.type:
            case "response.output_text.delta" | "response.refusal.delta":
                return Piece(text=found.delta or "", logprobs=_logprobs(found.logprobs))
            case "response.output_item.added":
                return self._began(found.item)
            case "response.function_call_arguments.delta":
                call, name = self._calls.get(found.item_id or "", (found.item_id or "", ""))
                more = ToolCall(id=call, name=name, arguments=found.delta or "")
                return Piece(tool_calls=(more,))
            case "response.completed" | "response.incomplete" | "response.failed":
                if found.response is None:
                    raise malformed("The event that ends the answer does not hold it.")
                self._whole = _completion(found.response)
                self.tokens = self._whole.tokens
                self.ended = self.complete = True
            case "error":
                raw = decoded(_RAW, event)
                raise told(raw.get("error") or raw)
            case _:
                pass
        return None

    def whole(self) -> Completion:
        if self._whole is None:
            raise malformed("The answer has not ended.")
        return self._whole

    def _began(self, item: _Item | None) -> Piece | None:
        if item is None or item.type != "function_call":
            return None
        call, name = item.call_id or item.id or "", item.name or ""
        self._calls[item.id or call] = (call, "")
        return Piece(tool_calls=(ToolCall(id=call, name=name, arguments=item.arguments or ""),))


def _completion(response: _Response) -> Completion:
    if response.error is not None or response.status == "failed":
        raise told(response.error)
    if response.output is None:
        raise malformed("The answer holds no output.")
    if response.status not in (None, "completed", "incomplete"):
        raise malformed("The answer is not complete: it is computed in the background.")
    parts = [
        part for item in response.output if item.type == "message" for part in item.content or ()
    ]
    calls = _calls(response.output)
    return Completion(
        text="".join(part.text or part.refusal or "" for part in parts),
        finish=_finish(response, calls, refused=any(part.refusal for part in parts)),
        tokens=_tokens(response.usage),
        tool_calls=calls,
        logprobs=tuple(token for part in parts for token in _logprobs(part.logprobs)),
        model=response.model or "",
    )


def _calls(items: Sequence[_Item]) -> tuple[ToolCall, ...]:
    """Calls of tools, each with the sealed reasoning that stands before it."""
    found: list[ToolCall] = []
    held: list[Json] = []
    for item in items:
        if item.type == "reasoning" and item.encrypted_content:
            held.append(
                {
                    "type": "reasoning",
                    "id": item.id,
                    "summary": item.summary or [],
                    "encrypted_content": item.encrypted_content,
                }
            )
        if item.type != "function_call":
            continue
        thought = msgspec.json.encode(held).decode() if held else None
        found.append(
            ToolCall(
                id=item.call_id or item.id or "",
                name=item.name or "",
                arguments=item.arguments or "",
                thought=kept("openai-responses", thought),
            )
        )
        held = []
    return tuple(found)


def _finish(response: _Response, calls: Sequence[ToolCall], *, refused: bool) -> Finish:
    reason = response.incomplete_details.reason if response.incomplete_details else None
    if refused or reason == "content_filter":
        return "content_filter"
    if response.status == "incomplete":
        return "length"
    return "tool_calls" if calls else "stop"


def _reasoning(request: ModelRequest) -> ModelRequest:
    """With the effort of thinking where responses have it, if it came in chat's words."""
    if "reasoning_effort" not in request.extra:
        return request
    extra = {**request.extra}
    effort = {"effort": extra.pop("reasoning_effort")}
    held = extra.get("reasoning")
    extra["reasoning"] = {**effort, **held} if isinstance(held, dict) else effort
    return msgspec.structs.replace(request, extra=extra)


def _items(message: Message) -> list[Json]:
    """Items of a message: the calls that an assistant makes stand beside what it says."""
    if message.role == "tool":
        return [
            {
                "type": "function_call_output",
                "call_id": message.tool_call_id or "",
                "output": _said(message),
            }
        ]
    items: list[Json] = []
    if message.content or not message.tool_calls:
        items.append({"type": "message", "role": message.role, "content": _said(message)})
    for call in message.tool_calls:
        items.extend(thoughts_of("openai-responses", call))
        items.append(
            {
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            }
        )
    return items


def _said(message: Message) -> object:
    content = message.content
    if isinstance(content, str):
        return content
    return [_part(part, message.role) for part in content]


def _part(part: Part, role: str) -> Json:
    if part.image is None:
        kind = "output_text" if role == "assistant" else "input_text"
        return {"type": kind, "text": part.text or ""}
    if role == "assistant":
        raise UpstreamError("unsupported", "An assistant's own messages hold no images.")
    url = f"data:{part.media_type};base64,{part.image}"
    return {"type": "input_image", "image_url": url, "detail": "auto"}


def _choice(choice: str | None) -> object:
    if choice is None or choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "name": choice}


def _logprobs(found: list[_Token] | None) -> tuple[TokenChoice, ...]:
    return tuple(
        TokenChoice(
            token=token.token,
            logprob=token.logprob,
            alternatives=tuple(
                TokenAlternative(token=top.token, logprob=top.logprob)
                for top in token.top_logprobs or ()
                if top.token is not None and top.logprob is not None
            ),
        )
        for token in found or ()
    )


def _tokens(usage: _Usage | None) -> Tokens:
    if usage is None:
        return Tokens()
    read, written = usage.input_tokens_details, usage.output_tokens_details
    return counted(
        usage.input_tokens or 0,
        usage.output_tokens or 0,
        read.cached_tokens if read else None,
        written.reasoning_tokens if written else None,
        read.cache_write_tokens if read else None,
    )
