"""Requests and answers of OpenAI's Responses API, as language models answer them."""

from typing import Annotated, Any, Literal

import msgspec

from milepost.gateway.openai.wire import Passage

Meta = msgspec.Meta


class ResponsePart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a message: ``input_text``, ``output_text``, ``refusal`` or ``input_image``."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None


class ResponseInput(msgspec.Struct, frozen=True, kw_only=True):
    """A message, a call of a tool, or what a tool gave.

    Attributes:
        type: ``message`` where it is left out, ``function_call``, ``function_call_output`` or
            ``reasoning``, which belongs to the call that follows.
        role: Of a message.
        content: Of a message.
        call_id: Which call of a tool.
        name: Of the tool that was called.
        arguments: With which it was called, as JSON text.
        output: What the tool gave.
        encrypted_content: Of reasoning: what goes back to the model's provider as it came.
    """

    type: str = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[ResponsePart] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[ResponsePart] | None = None
    encrypted_content: str | None = None


class TextFormat(msgspec.Struct, frozen=True, kw_only=True):
    """How the text is written: freely, as JSON, or by a JSON Schema."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    schema: dict[str, Any] | None = None


class ResponseText(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of the text."""

    format: TextFormat | None = None


class ResponseTool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool of type ``function``; ``parameters`` is a JSON Schema."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ChosenResponseTool(msgspec.Struct, frozen=True, kw_only=True):
    """The one tool that the model must ask for."""

    type: Literal["function"]
    name: str


class ResponsesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a language model is asked; nothing is kept from one request to the next.

    Attributes:
        model: Name of an upstream.
        input: A text, or the conversation as items.
        instructions: What the model is to do, said first.
        max_output_tokens: Most tokens of the answer.
        temperature: 0 for the most probable answer.
        top_p: Nucleus sampling.
        text: How the text is written.
        tools: Functions that the model may ask for.
        tool_choice: ``auto``, ``none``, ``required`` or one function.
        top_logprobs: How many alternatives of each token are told.
        stream: Whether the answer comes as server-sent events.
        previous_response_id: Refused: send the conversation again.
        background: Refused.
        user: For whom; only its digest is kept.
        safety_identifier: The same.
    """

    model: str
    input: str | list[ResponseInput]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    text: ResponseText | None = None
    tools: list[ResponseTool] | None = None
    tool_choice: str | ChosenResponseTool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    stream: bool | None = None
    previous_response_id: str | None = None
    background: bool | None = None
    user: str | None = None
    safety_identifier: str | None = None


Status = Literal["in_progress", "completed", "incomplete"]


class OutputText(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="output_text"):
    """Text of the answer."""

    text: str
    annotations: tuple[Any, ...] = ()
    logprobs: tuple[Any, ...] = ()


class OutputRefusal(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    """Why there is no answer."""

    refusal: str


class OutputMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """What the model says."""

    id: str
    content: tuple[OutputText | OutputRefusal, ...]
    status: Status = "completed"
    role: Literal["assistant"] = "assistant"


class OutputCall(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    """A tool that the model asks for; ``arguments`` is JSON text as the model wrote it."""

    id: str
    call_id: str
    name: str
    arguments: str
    status: Status = "completed"


class OutputReasoning(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning"):
    """What the model's provider wants back with the call of a tool that follows."""

    id: str
    encrypted_content: str
    summary: tuple[Any, ...] = ()


OutputItem = OutputMessage | OutputCall | OutputReasoning


class InputTokensDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Of the tokens read, those that the provider's own cache held, and those put into it."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokensDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Of the tokens written, those that were thought and not shown."""

    reasoning_tokens: int = 0


class ResponseUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider counted."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens_details: OutputTokensDetails


class Incomplete(msgspec.Struct, frozen=True, kw_only=True):
    """Why an answer has no end."""

    reason: Literal["max_output_tokens", "content_filter"]


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A language model's answer.

    Attributes:
        id: ``resp_`` and the id of the trace.
        created_at: Now, seconds since 1970.
        model: As its provider calls it.
        output: Messages and calls of tools, in order.
        status: ``incomplete`` where the answer was cut or a guard blocked it.
        incomplete_details: Why.
        usage: What it took.
        error: Always ``null``: errors are answered as such.
        instructions: As they were asked.
        tools: Always empty: they stand in the request.
        tool_choice: ``auto``.
        parallel_tool_calls: Whether several tools may be asked for at once.
        store: Always ``false``: nothing is kept from one request to the next.
        upstream: How the answer came here.
        object: ``response``.
    """

    id: str
    created_at: int
    model: str
    output: tuple[OutputItem, ...]
    status: Status
    incomplete_details: Incomplete | None = None
    usage: ResponseUsage | None = None
    error: None = None
    instructions: str | None = None
    tools: tuple[Any, ...] = ()
    tool_choice: str = "auto"
    parallel_tool_calls: bool = True
    store: bool = False
    upstream: Passage | msgspec.UnsetType = msgspec.UNSET
    object: Literal["response"] = "response"
