"""OpenAI's chat completions, which most servers and gateways speak as well.

Source: the API reference of chat completions and of embeddings. Compatible servers differ in what
they leave out, so every field of an answer may be absent or null here.
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
)
from milepost.models.language.wires.failures import told

FINISH: dict[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | Json | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)
    extra_content: Json | None = None


class _Top(msgspec.Struct):
    token: str
    logprob: float


class _Token(msgspec.Struct):
    token: str
    logprob: float
    top_logprobs: list[_Top] | None = None


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


class _Text(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    message: _Text | None = None
    delta: _Text | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Read(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Written(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Read | None = None
    completion_tokens_details: _Written | None = None
    prompt_cache_hit_tokens: int | None = None


class _Answer(msgspec.Struct):
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Json | str | None = None


class _Vector(msgspec.Struct):
    embedding: list[float]
    index: int | None = None


class _Vectors(msgspec.Struct):
    data: list[_Vector]
    usage: _Usage | None = None


_ANSWER = msgspec.json.Decoder(_Answer)
_VECTORS = msgspec.json.Decoder(_Vectors)


class OpenAI:
    """``POST /chat/completions`` and ``POST /embeddings``."""

    def headers(self, key: str | None) -> list[Header]:
        """A bearer token, where there is a key."""
        return [] if key is None else [(b"Authorization", f"Bearer {key}".encode())]

    def asking(
        self, model: str, request: ModelRequest, *, stream: bool, refused: frozenset[str]
    ) -> Body:
        """The HTTP request of a question.

        ``max_tokens`` is what most servers know; OpenAI's own newer models want it by its newer
        name, and say so.
        """
        most = "max_completion_tokens" if "max_tokens" in refused else "max_tokens"
        ours: Json = {
            "model": model,
            "messages": [_message(message) for message in request.messages],
            most: request.max_tokens,
            "stream": stream,
        }
        optional: Json = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
            "stop": request.stop or None,
            "tool_choice": _choice(request.tool_choice),
        }
        if request.schema is not None:
            optional["response_format"] = {
                "type": "json_schema",
                "json_schema": {
                    "name": "answer",
                    "strict": strict(request.schema),
                    "schema": request.schema,
                },
            }
        if request.tools:
            optional["tools"] = [_tool(tool.name, tool.description, tool.parameters)
                                 for tool in request.tools]  # fmt: skip
        if request.top_logprobs is not None:
            optional["logprobs"] = True
            optional["top_logprobs"] = request.top_logprobs
        if stream:
            optional["stream_options"] = {"include_usage": True}
        for name, value in optional.items():
            if value is not None and name not in refused:
                ours[name] = value
        return Body("/chat/completions", merged(request, ours, ("n", "best_of")))

    def answered(self, content: bytes) -> Completion:
        """The answer from the body of a response."""
        answer = decoded(_ANSWER, content)
        if answer.error is not None:
            raise told(answer.error)
        if not answer.choices or answer.choices[0].message is None:
            raise malformed("The answer holds no choice with a message.")
        choice = answer.choices[0]
        said = answer.choices[0].message
        return Completion(
            text=said.content or said.refusal or "",
            finish=_finish(choice, said),
            tokens=_tokens(answer.usage),
            tool_calls=tuple(
                ToolCall(
                    id=call.id or f"call_{place}",
                    name=call.function.name or "",
                    arguments=_arguments(call),
                    thought=_thought(call),
                )
                for place, call in enumerate(said.tool_calls or ())
            ),
            logprobs=_logprobs(choice.logprobs),
            model=answer.model or "",
        )

    def reader(self) -> Reader:
        """Reads one streamed answer."""
        return _Streamed()

    def embedding(self, model: str, texts: Sequence[str]) -> Body:
        """The HTTP request for vectors of texts."""
        asked = {"model": model, "input": list(texts), "encoding_format": "float"}
        return Body("/embeddings", msgspec.json.encode(asked))

    def embedded(self, content: bytes, count: int) -> tuple[list[list[float]], Tokens]:
        """The vectors, in the order of the texts."""
        found = decoded(_VECTORS, content)
        rows: list[list[float] | None] = [None] * count
        for place, row in enumerate(found.data):
            index = place if row.index is None else row.index
            if 0 <= index < count:
                rows[index] = row.embedding
        whole = [row for row in rows if row]
        if len(whole) != count or len({len(row) for row in whole}) > 1:
            raise malformed("The answer does not hold one vector for each text.")
        return whole, _tokens(found.usage)

    def listing(self) -> str:
        """Path of the list of models."""
        return "/models"


class _Streamed:
    def __init__(self) -> None:
        self.ended = self.complete = False
        self.tokens: Tokens | None = None
        self._finish: Finish | None = None
        self._refused = False
        self._model = ""
        self._text: list[str] = []
        self._logprobs: list[TokenChoice] = []
        self._calls: dict[int, list[str]] = {}

    def read(self, event: bytes) -> Piece | None:
        if event == b"[DONE]":
            self.ended = self.complete = True
            return None
        answer = decoded(_ANSWER, event)
        if answer.error is not None:
            raise told(answer.error)
        if answer.usage is not None:
            self.tokens = _tokens(answer.usage)
        self._model = answer.model or self._model
        for choice in answer.choices or ():
            said = choice.delta or _Text()
            self._refused = self._refused or bool(said.refusal)
            text = said.content or said.refusal or ""
            made = enumerate(said.tool_calls or ())
            calls = tuple(self._call(place, call) for place, call in made)
            logprobs = _logprobs(choice.logprobs)
            self._text.append(text)
            self._logprobs.extend(logprobs)
            if choice.finish_reason is not None:
                self._finish = FINISH.get(choice.finish_reason, "stop")
                # Some servers leave it at that, without the event that ends the stream.
                self.complete = True
            if text or calls or logprobs:
                return Piece(text=text, tool_calls=calls, logprobs=logprobs)
        return None

    def whole(self) -> Completion:
        calls = tuple(
            ToolCall(id=i, name=n, arguments=a, thought=t or None)
            for i, n, a, t in self._calls.values()
        )
        finish = self._finish or "stop"
        if self._refused and finish == "stop":
            finish = "content_filter"
        return Completion(
            text="".join(self._text),
            finish="tool_calls" if calls and finish == "stop" else finish,
            tokens=self.tokens or Tokens(),
            tool_calls=calls,
            logprobs=tuple(self._logprobs),
            model=self._model,
        )

    def _call(self, place: int, call: _Call) -> ToolCall:
        index = place if call.index is None else call.index
        held = self._calls.setdefault(index, [call.id or f"call_{index}", "", "", ""])
        name, more = call.function.name or "", _arguments(call)
        held[1] += name
        held[2] += more
        thought = _thought(call)
        held[3] = thought or held[3]
        return ToolCall(id=held[0], name=name, arguments=more, thought=thought)


def _message(message: Message) -> Json:
    content = message.content
    said: Json = {"role": message.role}
    if isinstance(content, str):
        # An assistant that only calls tools says nothing.
        said["content"] = content if content or not message.tool_calls else None
    else:
        said["content"] = [_part(part) for part in content]
    if message.tool_calls:
        said["tool_calls"] = [_called(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        said["tool_call_id"] = message.tool_call_id
    return said


def _called(call: ToolCall) -> Json:
    function = {"name": call.name, "arguments": call.arguments}
    made: Json = {"id": call.id, "type": "function", "function": function}
    for extra in thoughts_of("openai", call):
        made["extra_content"] = extra
    return made


def _thought(call: _Call) -> str | None:
    """What Google's own endpoint of this format puts beside a call: the thought's signature."""
    extra = call.extra_content
    return kept("openai", msgspec.json.encode([extra]).decode()) if extra else None


def _part(part: Part) -> Json:
    if part.image is None:
        return {"type": "text", "text": part.text or ""}
    url = f"data:{part.media_type};base64,{part.image}"
    return {"type": "image_url", "image_url": {"url": url}}


def _tool(name: str, description: str, parameters: Json) -> Json:
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def _choice(choice: str | None) -> object:
    if choice is None or choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _arguments(call: _Call) -> str:
    found = call.function.arguments
    if isinstance(found, dict):
        return msgspec.json.encode(found).decode()
    return found or ""


def _finish(choice: _Choice, said: _Text) -> Finish:
    if said.refusal and not said.content:
        return "content_filter"
    finish = FINISH.get(choice.finish_reason or "stop", "stop")
    return "tool_calls" if said.tool_calls and finish == "stop" else finish


def _logprobs(found: _Logprobs | None) -> tuple[TokenChoice, ...]:
    if found is None or not found.content:
        return ()
    return tuple(
        TokenChoice(
            token=token.token,
            logprob=token.logprob,
            alternatives=tuple(
                TokenAlternative(token=top.token, logprob=top.logprob)
                for top in token.top_logprobs or ()
            ),
        )
        for token in found.content
    )


def _tokens(usage: _Usage | None) -> Tokens:
    if usage is None:
        return Tokens()
    read, written = usage.prompt_tokens or 0, usage.completion_tokens or 0
    details = usage.prompt_tokens_details
    cached = details.cached_tokens if details is not None else usage.prompt_cache_hit_tokens
    put = details.cache_write_tokens if details is not None else None
    thought = usage.completion_tokens_details
    return counted(read, written, cached, thought.reasoning_tokens if thought else None, put)
