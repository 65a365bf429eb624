"""OpenAI's Responses API over language models: the question, the answer, and its events."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from milepost.entities.language import Message, ModelRequest, Part, Piece, Tool, ToolCall
from milepost.entities.upstream import Upstream
from milepost.gateway.errors import RefusedError
from milepost.gateway.openai.asked import extra_of, image_part, most_tokens, refuse
from milepost.gateway.openai.passed import passage
from milepost.gateway.openai.response_wire import (
    ChosenResponseTool,
    Incomplete,
    InputTokensDetails,
    OutputCall,
    OutputItem,
    OutputMessage,
    OutputReasoning,
    OutputRefusal,
    OutputText,
    OutputTokensDetails,
    Response,
    ResponseInput,
    ResponsePart,
    ResponsesRequest,
    ResponseTool,
    ResponseUsage,
    Status,
)
from milepost.serving.passing.asking import Passed

_KNOWN = frozenset(ResponsesRequest.__struct_fields__)
SEALED = "reasoning.encrypted_content"
"""What a client includes that hands reasoning back with the calls of tools it led to."""
_READ_OVER = frozenset({"include", "truncation", "prompt_cache_key", "stream_options"})
_encode = msgspec.json.Encoder().encode


def response_question(
    request: ResponsesRequest, plain: dict[str, Any], upstream: Upstream
) -> ModelRequest:
    """What the language model is asked.

    Raises:
        RefusedError: 400 if it wants what cannot be passed on.
    """
    if request.previous_response_id is not None:
        raise refuse("previous_response_id", "no answer is kept", "Send the conversation again.")
    if request.background:
        raise refuse("background", "answers are given at once", "Leave the field out.")
    fields = {k: v for k, v in plain.items() if k not in _KNOWN and k not in _READ_OVER}
    wanted = request.text.format if request.text is not None else None
    if wanted is not None and wanted.type == "json_object":
        fields["response_format"] = {"type": "json_object"}
    if wanted is not None and wanted.type == "json_schema" and wanted.schema is None:
        raise refuse("text.format.schema", "there is no schema", "Give one.")
    if upstream.wire == "openai-responses":
        wishes: object = plain.get("include")
        if isinstance(wishes, list) and SEALED in wishes:
            fields["include"] = [SEALED]
    elif isinstance(reasoning := fields.pop("reasoning", None), dict):
        fields["reasoning_effort"] = reasoning.get("effort")  # pyright: ignore[reportUnknownMemberType] - any JSON
    choice = request.tool_choice
    return ModelRequest(
        messages=_messages(request),
        max_tokens=most_tokens(request.max_output_tokens, upstream),
        temperature=request.temperature,
        top_p=request.top_p,
        schema=None if wanted is None else wanted.schema,
        top_logprobs=request.top_logprobs,
        tools=tuple(_tool(each, at) for at, each in enumerate(request.tools or ())),
        tool_choice=choice.name if isinstance(choice, ChosenResponseTool) else choice,
        extra=extra_of(fields, upstream),
    )


def _messages(request: ResponsesRequest) -> tuple[Message, ...]:
    found: list[Message] = []
    if request.instructions:
        found.append(Message(role="system", content=request.instructions))
    if isinstance(request.input, str):
        found.append(Message(role="user", content=request.input))
    else:
        thought: str | None = None
        for at, item in enumerate(request.input):
            if item.type == "reasoning":
                thought = item.encrypted_content
                continue
            _add(found, item, f"input[{at}]", thought)
            thought = None
    if not any(message.role != "system" for message in found):
        raise RefusedError(
            400, "invalid_value", "nothing is asked.", param="input", advice="Send a text."
        )
    return tuple(found)


def _add(found: list[Message], item: ResponseInput, where: str, thought: str | None) -> None:
    """Append what an item says; calls of tools belong to the message before."""
    if item.type == "message" and item.role is not None:
        role = "system" if item.role == "developer" else item.role
        found.append(Message(role=role, content=_content(item.content, where)))
    elif item.type == "function_call" and item.call_id and item.name:
        call = ToolCall(
            id=item.call_id, name=item.name, arguments=item.arguments or "", thought=thought
        )
        if found and found[-1].role == "assistant":
            last = found.pop()
            found.append(msgspec.structs.replace(last, tool_calls=(*last.tool_calls, call)))
        else:
            found.append(Message(role="assistant", tool_calls=(call,)))
    elif item.type == "function_call_output" and item.call_id:
        content = _content(item.output, where)
        found.append(Message(role="tool", content=content, tool_call_id=item.call_id))
    else:
        kind = item.type[:40]
        raise refuse(where, f"an item of type {kind!r} cannot be passed on", "Send messages.")


def _content(content: str | list[ResponsePart] | None, where: str) -> str | tuple[Part, ...]:
    if content is None or isinstance(content, str):
        return content or ""
    parts: list[Part] = []
    for at, part in enumerate(content):
        if part.type == "input_image" and part.image_url is not None:
            parts.append(image_part(part.image_url, f"{where}.content[{at}]"))
            continue
        text = part.refusal if part.type == "refusal" else part.text
        if text is None:
            kind = part.type[:40]
            raise refuse(
                f"{where}.content[{at}]",
                f"a part of type {kind!r} cannot be passed on",
                "Send text or images.",
            )
        parts.append(Part(text=text))
    return tuple(parts)


def _tool(tool: ResponseTool, at: int) -> Tool:
    if tool.type != "function" or not tool.name:
        where, kind = f"tools[{at}]", tool.type[:40]
        raise refuse(where, f"a tool of type {kind!r} cannot be passed on", "Give functions.")
    return Tool(
        name=tool.name, description=tool.description or "", parameters=tool.parameters or {}
    )


def response_of(passed: Passed, request: ResponsesRequest) -> Response:
    """The answer as a whole."""
    whole = passed.completion
    items: list[OutputItem] = []
    status, why = _status(passed)
    if passed.refusal is not None:
        content = (OutputRefusal(refusal=passed.refusal),)
        items.append(OutputMessage(id=_item_id(passed, 0), content=content, status=status))
    elif whole.text or not whole.tool_calls:
        content = (OutputText(text=whole.text),)
        items.append(OutputMessage(id=_item_id(passed, 0), content=content, status=status))
    for call in whole.tool_calls:
        if call.thought is not None:
            sealed = OutputReasoning(
                id=_item_id(passed, len(items)), encrypted_content=call.thought
            )
            items.append(sealed)
        items.append(
            OutputCall(
                id=_item_id(passed, len(items)),
                call_id=call.id,
                name=call.name,
                arguments=call.arguments,
            )
        )
    tokens = whole.tokens
    return Response(
        id=f"resp_{passed.trace_id}",
        created_at=int(time.time()),
        model=whole.model or request.model,
        output=tuple(items),
        status=status,
        incomplete_details=why,
        instructions=request.instructions,
        usage=ResponseUsage(
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            total_tokens=tokens.input + tokens.output,
            input_tokens_details=InputTokensDetails(
                cached_tokens=tokens.cached_input, cache_write_tokens=tokens.cache_write
            ),
            output_tokens_details=OutputTokensDetails(reasoning_tokens=tokens.reasoning),
        ),
        upstream=passage(passed),
    )


def _status(passed: Passed) -> tuple[Status, Incomplete | None]:
    if passed.completion.finish == "length":
        return "incomplete", Incomplete(reason="max_output_tokens")
    if passed.completion.finish == "content_filter":
        return "incomplete", Incomplete(reason="content_filter")
    return "completed", None


def _item_id(passed: Passed, at: int) -> str:
    return f"item_{at}_{passed.trace_id}"


class _Open(NamedTuple):
    """An item whose pieces are coming.

    Attributes:
        at: Its place in the output.
        id: Its id.
        call: Of a tool: its id and name; ``None`` for the message.
        thought: What goes back with the call that follows; ``None`` for all else.
    """

    at: int
    id: str
    call: tuple[str, str] | None
    thought: str | None = None


class ResponseEvents:
    """Makes the events of an answer of its pieces; one for each answer.

    Args:
        request: What was asked.
        trace: Id of the trace.
    """

    def __init__(self, request: ResponsesRequest, trace: str) -> None:
        self._request = request
        self._number = 0
        self._mark = trace
        self._created = int(time.time())
        self._items: list[_Open] = []
        self._said: list[list[str]] = []
        self._begun = False

    def piece(self, piece: Piece) -> bytes:
        """The events of a piece; nothing for one that says nothing."""
        events = self._begin()
        if piece.text:
            events += self._text(piece.text)
        for call in piece.tool_calls:
            events += self._call(call)
        return b"".join(events)

    def end(self, passed: Passed) -> bytes:
        """The last events."""
        events = self._begin()
        status, why = _status(passed)
        for item in self._items:
            events += self._done(item, status)
        if passed.refusal is not None:
            events += self._refused(passed.refusal)
        elif not self._items:
            events += self._text("") + self._done(self._items[-1], status)
        whole = response_of(passed, self._request)
        # The same ids as in the events before.
        whole = msgspec.structs.replace(
            whole,
            id=self._id,
            created_at=self._created,
            output=tuple(self._item(each, status) for each in self._items) + self._refusals(passed),
            status=status,
            incomplete_details=why,
        )
        kind = "response.completed" if status == "completed" else "response.incomplete"
        events.append(self._event(kind, {"response": whole}))
        return b"".join(events)

    def failed(self, body: bytes) -> bytes:
        """The event of an error after the first piece; OpenAI's clients raise it."""
        detail = msgspec.json.decode(body)["error"]
        fields = {key: detail.get(key) for key in ("code", "message", "param")}
        return self._event("error", fields)

    @property
    def _id(self) -> str:
        return f"resp_{self._mark}"

    def _begin(self) -> list[bytes]:
        if self._begun:
            return []
        self._begun = True
        begun = Response(
            id=self._id,
            created_at=self._created,
            model=self._request.model,
            output=(),
            status="in_progress",
            instructions=self._request.instructions,
        )
        kinds = ("response.created", "response.in_progress")
        return [self._event(kind, {"response": begun}) for kind in kinds]

    def _text(self, text: str) -> list[bytes]:
        events: list[bytes] = []
        messages = (each for each in self._items if each.call is None and each.thought is None)
        item = next(messages, None)
        if item is None:
            item = self._open(None)
            empty = OutputMessage(id=item.id, content=(), status="in_progress")
            events.append(
                self._event("response.output_item.added", {"output_index": item.at, "item": empty})
            )
            part = {"part": OutputText(text="")}
            events.append(self._event("response.content_part.added", self._at(item) | part))
        self._said[item.at].append(text)
        fields = self._at(item) | {"delta": text, "logprobs": ()}
        return [*events, self._event("response.output_text.delta", fields)]

    def _call(self, call: ToolCall) -> list[bytes]:
        events: list[bytes] = []
        item = next((each for each in self._items if each.call and each.call[0] == call.id), None)
        if item is None:
            if call.thought is not None:
                sealed = self._open(None, call.thought)
                events.append(self._added(sealed))
            item = self._open((call.id, call.name))
            empty = OutputCall(
                id=item.id, call_id=call.id, name=call.name, arguments="", status="in_progress"
            )
            events.append(
                self._event("response.output_item.added", {"output_index": item.at, "item": empty})
            )
        self._said[item.at].append(call.arguments)
        where = {"item_id": item.id, "output_index": item.at, "delta": call.arguments}
        return [*events, self._event("response.function_call_arguments.delta", where)]

    def _done(self, item: _Open, status: Status) -> list[bytes]:
        said = "".join(self._said[item.at])
        events: list[bytes] = []
        if item.call is not None:
            where = {"item_id": item.id, "output_index": item.at, "name": item.call[1]}
            kind = "response.function_call_arguments.done"
            events = [self._event(kind, {**where, "arguments": said})]
        elif item.thought is None:
            text = {"text": said, "logprobs": ()}
            part = {"part": OutputText(text=said)}
            events = [
                self._event("response.output_text.done", self._at(item) | text),
                self._event("response.content_part.done", self._at(item) | part),
            ]
        ended = {"output_index": item.at, "item": self._item(item, status)}
        return [*events, self._event("response.output_item.done", ended)]

    def _refused(self, why: str) -> list[bytes]:
        """A message that says why there is no more, after what was told before."""
        index = len(self._items)
        item = self._refusal(why)
        where = {"item_id": item.id, "output_index": index, "content_index": 0}
        return [
            self._event("response.output_item.added", {"output_index": index, "item": item}),
            self._event("response.refusal.delta", {**where, "delta": why}),
            self._event("response.refusal.done", {**where, "refusal": why}),
            self._event("response.output_item.done", {"output_index": index, "item": item}),
        ]

    def _refusal(self, why: str) -> OutputMessage:
        content = (OutputRefusal(refusal=why),)
        index = len(self._items)
        return OutputMessage(id=f"item_{index}_{self._mark}", content=content, status="incomplete")

    def _refusals(self, passed: Passed) -> tuple[OutputItem, ...]:
        return () if passed.refusal is None else (self._refusal(passed.refusal),)

    def _added(self, item: _Open) -> bytes:
        told = {"output_index": item.at, "item": self._item(item, "completed")}
        return self._event("response.output_item.added", told)

    def _open(self, call: tuple[str, str] | None, thought: str | None = None) -> _Open:
        index = len(self._items)
        item = _Open(index, f"item_{index}_{self._mark}", call, thought)
        self._items.append(item)
        self._said.append([])
        return item

    def _item(self, item: _Open, status: Status) -> OutputItem:
        said = "".join(self._said[item.at])
        if item.thought is not None:
            return OutputReasoning(id=item.id, encrypted_content=item.thought)
        if item.call is None:
            return OutputMessage(id=item.id, content=(OutputText(text=said),), status=status)
        return OutputCall(id=item.id, call_id=item.call[0], name=item.call[1], arguments=said)

    def _at(self, item: _Open) -> dict[str, object]:
        return {"item_id": item.id, "output_index": item.at, "content_index": 0}

    def _event(self, kind: str, fields: Mapping[str, object]) -> bytes:
        said = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + _encode(said) + b"\n\n"
