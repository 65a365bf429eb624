"""Google's ``generateContent``, as the Gemini API and Vertex AI speak it.

Source: the API reference of ``models.generateContent``, ``GenerationConfig`` and
``models.batchEmbedContents``.
"""

from collections.abc import Sequence
from urllib.parse import quote

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
    arguments,
    counted,
    decoded,
    kept,
    malformed,
    merged,
    system_of,
    text_of,
    thought_of,
)
from milepost.models.language.wires.failures import told

FINISH: dict[str, Finish] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
}


_UNNAMED = "call_gemini_"
"""Begins the ids that are given here to calls that came without one."""


class _Made(msgspec.Struct, rename="camel"):
    id: str | None = None
    name: str = ""
    args: Json | None = None


class _Piece(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    function_call: _Made | None = None
    thought_signature: str | None = None


class _Content(msgspec.Struct):
    parts: list[_Piece] | None = None


class _Token(msgspec.Struct, rename="camel"):
    token: str = ""
    log_probability: float | None = None


class _Tops(msgspec.Struct):
    candidates: list[_Token] | None = None


class _Logprobs(msgspec.Struct, rename="camel"):
    chosen_candidates: list[_Token] | None = None
    top_candidates: list[_Tops] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None
    logprobs_result: _Logprobs | None = None


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    cached_content_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None


class _Answer(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | None = None
    model_version: str | None = None
    error: Json | str | None = None


class _Vector(msgspec.Struct):
    values: list[float]


class _Vectors(msgspec.Struct, rename="camel"):
    embeddings: list[_Vector]
    usage_metadata: _Usage | None = None


_ANSWER = msgspec.json.Decoder(_Answer)
_VECTORS = msgspec.json.Decoder(_Vectors)


class Gemini:
    """``POST /models/MODEL:generateContent`` and its streamed and embedding sisters."""

    def headers(self, key: str | None) -> list[Header]:
        """The key in a header of its own, never in the address, which servers log."""
        return [] if key is None else [(b"x-goog-api-key", key.encode())]

    def asking(
        self, model: str, request: ModelRequest, *, stream: bool, refused: frozenset[str]
    ) -> Body:
        """The HTTP request of a question."""
        config: Json = {"maxOutputTokens": request.max_tokens}
        optional: Json = {
            "temperature": request.temperature,
            "topP": request.top_p,
            "seed": request.seed,
            "stopSequences": request.stop or None,
        }
        if request.schema is not None:
            optional["responseMimeType"] = "application/json"
            optional["responseJsonSchema"] = request.schema
        if request.top_logprobs is not None:
            optional["responseLogprobs"] = True
            optional["logprobs"] = request.top_logprobs or None
        names = {"topP": "top_p", "stopSequences": "stop"}
        for name, value in optional.items():
            if value is not None and names.get(name, name) not in refused:
                config[name] = value
        ours: Json = {"contents": _contents(request.messages), "generationConfig": config}
        system = system_of(request)
        if system:
            ours["systemInstruction"] = {"parts": [{"text": system}]}
        if request.tools:
            declared = [
                {
                    "name": tool.name,
                    "description": tool.description,
                    "parametersJsonSchema": tool.parameters,
                }
                for tool in request.tools
            ]
            ours["tools"] = [{"functionDeclarations": declared}]
        if request.tool_choice is not None:
            ours["toolConfig"] = {"functionCallingConfig": _choice(request.tool_choice)}
        action = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return Body(f"{_path(model)}:{action}", merged(request, ours))

    def answered(self, content: bytes) -> Completion:
        """The answer from the body of a response."""
        reader = _Streamed()
        reader.take(decoded(_ANSWER, content))
        if not reader.complete:
            raise malformed("The answer holds no candidate.")
        return reader.whole()

    def reader(self) -> Reader:
        """Reads one streamed answer, whose events are answers of their own."""
        return _Streamed()

    def embedding(self, model: str, texts: Sequence[str]) -> Body:
        """The HTTP request for vectors of texts."""
        path = _path(model)
        requests = [
            {"model": path.lstrip("/"), "content": {"parts": [{"text": text}]}} for text in texts
        ]
        return Body(f"{path}:batchEmbedContents", msgspec.json.encode({"requests": requests}))

    def embedded(self, content: bytes, count: int) -> tuple[list[list[float]], Tokens]:
        """The vectors, in the order of the texts."""
        found = decoded(_VECTORS, content)
        rows = [row.values for row in found.embeddings]
        if len(rows) != count or len({len(row) for row in rows}) > 1:
            raise malformed("The answer does not hold one vector for each text.")
        return rows, _tokens(found.usage_metadata) or Tokens()

    def listing(self) -> str:
        """Path of the list of models."""
        return "/models"


class _Streamed:
    """Puts an answer together from events; the answer that comes at once is one event."""

    def __init__(self) -> None:
        self.ended = self.complete = False
        self.tokens: Tokens | None = None
        self._finish: Finish = "stop"
        self._model = ""
        self._text: list[str] = []
        self._calls: list[ToolCall] = []
        self._logprobs: list[TokenChoice] = []

    def read(self, event: bytes) -> Piece | None:
        return self.take(decoded(_ANSWER, event))

    def take(self, answer: _Answer) -> Piece | None:
        """What an event adds."""
        if answer.error is not None:
            raise told(answer.error)
        blocked = answer.prompt_feedback.block_reason if answer.prompt_feedback else None
        if blocked is not None:
            what = f"The question was refused: {blocked[:40]}."
            raise UpstreamError("filtered", what, attempts=1)
        self.tokens = _tokens(answer.usage_metadata) or self.tokens
        self._model = answer.model_version or self._model
        if not answer.candidates:
            return None
        candidate = answer.candidates[0]
        parts = (candidate.content.parts if candidate.content else None) or []
        text = "".join(part.text or "" for part in parts if not part.thought)
        calls = self._called(parts)
        logprobs = _logprobs(candidate.logprobs_result)
        self._text.append(text)
        self._calls.extend(calls)
        self._logprobs.extend(logprobs)
        if candidate.finish_reason is not None:
            # The last event has the reason, and no event tells that it is the last.
            self._finish = FINISH.get(candidate.finish_reason, "stop")
            self.complete = True
        if text or calls or logprobs:
            return Piece(text=text, tool_calls=calls, logprobs=logprobs)
        return None

    def whole(self) -> Completion:
        calls = tuple(self._calls)
        return Completion(
            text="".join(self._text),
            finish="tool_calls" if calls and self._finish == "stop" else self._finish,
            tokens=self.tokens or Tokens(),
            tool_calls=calls,
            logprobs=tuple(self._logprobs),
            model=self._model,
        )

    def _called(self, parts: Sequence[_Piece]) -> tuple[ToolCall, ...]:
        made = [(part.function_call, part.thought_signature) for part in parts]
        calls = [(call, signed) for call, signed in made if call is not None]
        return tuple(
            ToolCall(
                id=call.id or f"{_UNNAMED}{len(self._calls) + place}",
                name=call.name,
                arguments=msgspec.json.encode(call.args or {}).decode(),
                thought=kept("gemini", signed),
            )
            for place, (call, signed) in enumerate(calls)
        )


def _path(model: str) -> str:
    """Path of a model; those of Vertex AI name their publisher in the base URL."""
    return "/models/" + quote(model.removeprefix("models/"), safe="-._~")


def _contents(messages: Sequence[Message]) -> list[Json]:
    """Messages as the format has them; an answer of a tool names the tool, not the call alone."""
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    turns: list[tuple[str, list[Json]]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "model" if message.role == "assistant" else "user"
        parts = _parts(message, names)
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(parts)
        else:
            turns.append((role, parts))
    return [{"role": role, "parts": parts} for role, parts in turns]


def _parts(message: Message, names: dict[str, str]) -> list[Json]:
    if message.role == "tool":
        call = message.tool_call_id or ""
        told = {"name": names.get(call, call), "response": {"result": text_of(message)}}
        return [{"functionResponse": {**_id(call), **told}}]
    content = message.content
    pieces = (Part(text=content),) if isinstance(content, str) else content
    parts = [_part(part) for part in pieces if part.text or part.image is not None]
    parts.extend(_call(call) for call in message.tool_calls)
    return parts


def _call(call: ToolCall) -> Json:
    """A call as the model made it; models that sign their thoughts refuse it without."""
    made: Json = {**_id(call.id), "name": call.name, "args": arguments(call.arguments)}
    signed = thought_of("gemini", call)
    if signed is None:
        return {"functionCall": made}
    return {"functionCall": made, "thoughtSignature": signed}


def _id(call: str) -> Json:
    return {} if not call or call.startswith(_UNNAMED) else {"id": call}


def _part(part: Part) -> Json:
    if part.image is None:
        return {"text": part.text}
    return {"inlineData": {"mimeType": part.media_type, "data": part.image}}


def _choice(choice: str) -> Json:
    modes = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
    if choice in modes:
        return {"mode": modes[choice]}
    return {"mode": "ANY", "allowedFunctionNames": [choice]}


def _logprobs(found: _Logprobs | None) -> tuple[TokenChoice, ...]:
    if found is None or not found.chosen_candidates:
        return ()
    tops = found.top_candidates or []
    return tuple(
        TokenChoice(
            token=token.token,
            logprob=token.log_probability or 0.0,
            alternatives=tuple(
                TokenAlternative(token=top.token, logprob=top.log_probability or 0.0)
                for top in (tops[place].candidates if place < len(tops) else None) or ()
            ),
        )
        for place, token in enumerate(found.chosen_candidates)
    )


def _tokens(usage: _Usage | None) -> Tokens | None:
    """What was read and written; thoughts are counted beside the candidates, not among them."""
    if usage is None:
        return None
    thought = usage.thoughts_token_count or 0
    read = (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0)
    written = (usage.candidates_token_count or 0) + thought
    return counted(read, written, usage.cached_content_token_count, thought)
