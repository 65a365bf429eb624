"""Anthropic's messages, as a server speaks them."""

import msgspec

from milepost.entities.errors import UpstreamError
from milepost.entities.language import (
    Completion,
    Message,
    ModelRequest,
    Part,
    Piece,
    Tokens,
    Tool,
    ToolCall,
)
from milepost.testing.upstreams.formats import Body, event

REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class Anthropic:
    """``POST /messages``. Holds the state of one stream at a time: for one caller."""

    def __init__(self) -> None:
        self._blocks = 0
        self._open = False

    def serves(self, path: str) -> bool:
        """Whatever ends as the path of messages does."""
        return path.endswith("/messages")

    def streams(self, path: str, body: Body) -> bool:
        """The field ``stream``."""
        return bool(body.get("stream"))

    def request(self, path: str, body: Body) -> ModelRequest:
        """What is asked.

        Raises:
            ValueError: If it is not in this format.
        """
        said = [message for turn in body["messages"] for message in _messages(turn)]
        if body.get("system"):
            said.insert(0, Message(role="system", content=body["system"]))
        form = (body.get("output_config") or {}).get("format") or {}
        choice = body.get("tool_choice") or {}
        kinds = {"auto": "auto", "none": "none", "any": "required"}
        return ModelRequest(
            messages=tuple(said),
            max_tokens=body["max_tokens"],
            temperature=body.get("temperature"),
            top_p=body.get("top_p"),
            stop=tuple(body.get("stop_sequences") or ()),
            schema=form.get("schema"),
            tools=tuple(
                Tool(
                    name=t["name"],
                    description=t.get("description") or "",
                    parameters=t["input_schema"],
                )
                for t in body.get("tools") or ()
            ),
            tool_choice=kinds.get(choice.get("type", ""), choice.get("name")),
        )

    def answer(self, completion: Completion, body: Body) -> Body:
        """The whole answer."""
        content: list[Body] = []
        if completion.text or not completion.tool_calls:
            content.append({"type": "text", "text": completion.text})
        content.extend(
            {
                "type": "tool_use",
                "id": call.id,
                "name": call.name,
                "input": msgspec.json.decode(call.arguments or "{}"),
            }
            for call in completion.tool_calls
        )
        return {
            **_head(body),
            "content": content,
            "stop_reason": REASONS[completion.finish],
            "usage": _usage(completion.tokens),
        }

    def begin(self, body: Body) -> bytes:
        """Nothing: the first event tells what was read, which the first piece knows."""
        self._blocks, self._open = -1, False
        return b""

    def events(self, piece: Piece, body: Body) -> bytes:
        """The beginning, blocks with their deltas, and the end."""
        found = b""
        if self._blocks < 0:
            self._blocks = 0
            read = msgspec.structs.replace(piece.tokens or Tokens(), output=1, reasoning=0)
            start = {**_head(body), "content": [], "stop_reason": None, "usage": _usage(read)}
            found += _event("message_start", message=start) + _event("ping")
        if piece.text:
            if not self._open:
                found += self._begin({"type": "text", "text": ""})
                self._open = True
            delta = {"type": "text_delta", "text": piece.text}
            found += _event("content_block_delta", index=self._blocks, delta=delta)
        for call in piece.tool_calls:
            found += self._close()
            found += self._begin({
                "type": "tool_use", "id": call.id, "name": call.name, "input": {},
            })  # fmt: skip
            delta = {"type": "input_json_delta", "partial_json": call.arguments}
            found += _event("content_block_delta", index=self._blocks, delta=delta)
            self._open = True
            found += self._close()
        if piece.whole is None:
            return found
        reason = {"stop_reason": REASONS[piece.whole.finish], "stop_sequence": None}
        usage = _usage(piece.whole.tokens)
        found += self._close() + _event("message_delta", delta=reason, usage=usage)
        return found + _event("message_stop")

    def error(self, status: int, error: UpstreamError) -> Body:
        """The envelope of errors."""
        kind = ERRORS.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": error.what}}

    def _begin(self, block: Body) -> bytes:
        return _event("content_block_start", index=self._blocks, content_block=block)

    def _close(self) -> bytes:
        if not self._open:
            return b""
        found = _event("content_block_stop", index=self._blocks)
        self._blocks, self._open = self._blocks + 1, False
        return found


def _event(kind: str, **data: object) -> bytes:
    return event({"type": kind, **data}, kind)


def _head(body: Body) -> Body:
    return {
        "id": "msg_test",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", ""),
        "stop_sequence": None,
    }


def _usage(tokens: Tokens) -> Body:
    return {
        "input_tokens": tokens.input - tokens.cached_input - tokens.cache_write,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cached_input,
        "output_tokens": tokens.output,
        "output_tokens_details": {"thinking_tokens": tokens.reasoning},
    }


def _messages(turn: Body) -> list[Message]:
    """A turn may hold what tools answered beside what the user says."""
    said = turn["content"]
    content: list[Body] = [{"type": "text", "text": said}] if isinstance(said, str) else said
    found: list[Message] = []
    parts: list[Part] = []
    calls: list[ToolCall] = []
    for block in content:
        match block["type"]:
            case "text":
                parts.append(Part(text=block["text"]))
            case "image":
                source = block["source"]
                parts.append(Part(image=source["data"], media_type=source["media_type"]))
            case "tool_use":
                arguments = msgspec.json.encode(block["input"]).decode()
                calls.append(ToolCall(id=block["id"], name=block["name"], arguments=arguments))
            case "tool_result":
                told, call = block["content"], block["tool_use_id"]
                found.append(Message(role="tool", content=told, tool_call_id=call))
            case "thinking" | "redacted_thinking":
                pass  # The model's own, of a turn before.
            case other:
                raise ValueError(f"there is no block {other!r}")
    if parts or calls:
        images = any(part.image is not None for part in parts)
        text = "".join(part.text or "" for part in parts)
        found.append(
            Message(
                role=turn["role"], content=tuple(parts) if images else text, tool_calls=tuple(calls)
            )
        )
    return found
