"""A conversation in OpenAI's format as a question to a language model."""

from typing import Annotated, Any, Literal

import msgspec

from milepost.entities.language import Message, ModelRequest, Part, Tool, ToolCall
from milepost.entities.upstream import Upstream
from milepost.gateway.errors import RefusedError
from milepost.gateway.openai.wire import ExtraContent, ResponseFormat, StreamOptions

Meta = msgspec.Meta

MOST_TOKENS = 4096
"""Most tokens of an answer where the request does not say; half of the model's context where that
is known and less."""

SPEAKS_OPENAI = ("openai", "openai-responses")
"""Wire formats that are told fields that only this API has."""

KEPT_HERE = frozenset({"user", "safety_identifier", "metadata", "store", "service_tier"})
"""Fields that no language model needs for its answer: who asks stays here."""


class ImageUrl(msgspec.Struct, frozen=True, kw_only=True):
    """An image as ``data:image/png;base64,…``; nothing is fetched for anybody."""

    url: str


class ChatPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a message: ``text``, ``refusal`` or ``image_url``."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | None = None


class CalledFunction(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool was called with."""

    name: str
    arguments: str = ""


class ChatCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a tool that the model asked for before."""

    id: str
    function: CalledFunction
    extra_content: ExtraContent | None = None
    type: Literal["function"] = "function"


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ChatPart] | None = None
    tool_calls: list[ChatCall] | None = None
    tool_call_id: str | None = None


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that the model may ask for; ``parameters`` is a JSON Schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ChatTool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool of type ``function``."""

    type: str
    function: Function | None = None


class ChosenFunction(msgspec.Struct, frozen=True, kw_only=True):
    """The one tool that the model must ask for."""

    name: str


class ChosenTool(msgspec.Struct, frozen=True, kw_only=True):
    """The one tool that the model must ask for, as an object."""

    type: Literal["function"]
    function: ChosenFunction


class UpstreamChat(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation that a language model answers; what stands not here is handed on."""

    model: str
    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[ChatTool] | None = None
    tool_choice: str | ChosenTool | None = None
    n: Annotated[int, Meta(ge=1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    safety_identifier: str | None = None
    functions: list[Any] | None = None
    audio: dict[str, Any] | None = None
    modalities: list[str] | None = None


_KNOWN = frozenset(UpstreamChat.__struct_fields__)


def question_of(request: UpstreamChat, plain: dict[str, Any], upstream: Upstream) -> ModelRequest:
    """What the language model is asked.

    Args:
        request: The request.
        plain: The same as it came, with the fields that no other part of this server knows.
        upstream: Who is asked.

    Raises:
        RefusedError: 400 if it wants what cannot be passed on.
    """
    _refuse_more(request)
    extra = extra_of({k: v for k, v in plain.items() if k not in _KNOWN}, upstream)
    wanted = request.response_format
    if wanted is not None and wanted.type == "json_object":
        extra |= extra_of({"response_format": plain["response_format"]}, upstream)
    schema = wanted.json_schema.schema if wanted is not None and wanted.json_schema else None
    if wanted is not None and wanted.type == "json_schema" and schema is None:
        raise refuse("response_format.json_schema.schema", "there is no schema", "Give one.")
    stop = request.stop
    logprobs = (request.top_logprobs or 0) if request.logprobs else None
    return ModelRequest(
        messages=tuple(_message(each, at) for at, each in enumerate(request.messages)),
        max_tokens=most_tokens(request.max_completion_tokens or request.max_tokens, upstream),
        temperature=request.temperature,
        top_p=request.top_p,
        seed=request.seed,
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        schema=schema,
        top_logprobs=logprobs,
        tools=tuple(_tool(each, at) for at, each in enumerate(request.tools or ())),
        tool_choice=_choice(request.tool_choice),
        extra=extra,
    )


def most_tokens(wanted: int | None, upstream: Upstream) -> int:
    """Most tokens of the answer, which is what a budget reserves."""
    if wanted is not None:
        return wanted
    context = upstream.context_tokens
    return MOST_TOKENS if context is None else max(1, min(MOST_TOKENS, context // 2))


def extra_of(fields: dict[str, Any], upstream: Upstream) -> dict[str, object]:
    """Fields that are handed on as they are; those that are ``null`` say nothing.

    Raises:
        RefusedError: 400 if the upstream's wire format has no such field.
    """
    found = {k: v for k, v in fields.items() if v is not None and k not in KEPT_HERE}
    if found and upstream.wire not in SPEAKS_OPENAI:
        name = sorted(found)[0]
        raise refuse(
            name[:100],
            f"{upstream.name} speaks {upstream.wire}, which this field cannot be said in",
            "Leave the field out, or ask another model.",
        )
    return found


def refuse(field: str, what: str, advice: str) -> RefusedError:
    """The refusal of what cannot be passed on."""
    return RefusedError(400, "unsupported", f"{what}.", param=field, advice=advice)


def _refuse_more(request: UpstreamChat) -> None:
    if request.n not in (None, 1):
        raise refuse("n", f"one answer is given, not {request.n}", "Ask several times.")
    if request.functions:
        raise refuse("functions", "functions are no more", "Give them as tools.")
    if request.audio is not None or set(request.modalities or ()) - {"text"}:
        field = "audio" if request.audio is not None else "modalities"
        raise refuse(field, "answers are given in text only", "Leave the field out.")
    if request.top_logprobs is not None and not request.logprobs:
        raise refuse("top_logprobs", "it needs logprobs", "Set logprobs to true.")
    if request.stream_options is not None and not request.stream:
        raise refuse("stream_options", "it needs stream", "Set stream to true, or leave both out.")


def _message(message: ChatMessage, at: int) -> Message:
    content: str | tuple[Part, ...] = ""
    if isinstance(message.content, str):
        content = message.content
    elif message.content:
        parts = enumerate(message.content)
        content = tuple(_part(part, f"messages[{at}].content[{i}]") for i, part in parts)
    if message.role == "tool" and message.tool_call_id is None:
        where = f"messages[{at}].tool_call_id"
        raise refuse(where, "it is missing", "Name the call that the message answers.")
    return Message(
        role="system" if message.role == "developer" else message.role,
        content=content,
        tool_calls=tuple(
            ToolCall(
                id=call.id,
                name=call.function.name,
                arguments=call.function.arguments,
                thought=_thought(call),
            )
            for call in message.tool_calls or ()
        ),
        tool_call_id=message.tool_call_id,
    )


def _thought(call: ChatCall) -> str | None:
    extra = call.extra_content
    return None if extra is None or extra.google is None else extra.google.thought_signature


def _part(part: ChatPart, where: str) -> Part:
    if part.type == "image_url" and part.image_url is not None:
        return image_part(part.image_url.url, where)
    text = part.text if part.type == "text" else part.refusal if part.type == "refusal" else None
    if text is None:
        kind = part.type[:40]
        raise refuse(where, f"a part of type {kind!r} cannot be passed on", "Send text or images.")
    return Part(text=text)


def image_part(url: str, where: str) -> Part:
    """An image that stands in its own address.

    Raises:
        RefusedError: 400 if it would have to be fetched.
    """
    head, comma, data = url.partition(",")
    media, base64 = head.removeprefix("data:").partition(";")[::2]
    if not (head.startswith("data:image/") and base64 == "base64" and comma):
        raise refuse(
            where, "images are not fetched for anybody", "Send it as data:image/png;base64,…"
        )
    return Part(image=data, media_type=media)


def _tool(tool: ChatTool, at: int) -> Tool:
    if tool.type != "function" or tool.function is None:
        where, kind = f"tools[{at}]", tool.type[:40]
        raise refuse(where, f"a tool of type {kind!r} cannot be passed on", "Give functions.")
    function = tool.function
    return Tool(
        name=function.name,
        description=function.description or "",
        parameters=function.parameters or {},
    )


def _choice(choice: str | ChosenTool | None) -> str | None:
    return choice.function.name if isinstance(choice, ChosenTool) else choice
