"""What bodies look like: from a provider's JSON to a request, and from an answer back to JSON.

The other side of ``milepost.models.language.wires``, and written apart from it on purpose: a
mistake that both made together would not be seen.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from milepost.entities.errors import UpstreamError
from milepost.entities.language import (
    Completion,
    Message,
    ModelRequest,
    Part,
    Piece,
    TokenChoice,
    Tokens,
    Tool,
    ToolCall,
)

Body = dict[str, Any]

STATUS = {
    "bad_key": 401, "no_key": 401, "bad_request": 400, "not_found": 404, "too_long": 400,
    "filtered": 400, "unsupported": 400, "rate_limited": 429, "overloaded": 503, "timeout": 504,
}  # fmt: skip
"""HTTP status of each outcome; 500 for all others."""


class Spoken(Protocol):
    """One provider's format."""

    def serves(self, path: str) -> bool:
        """Whether a path, without its query, is one of chats in this format."""
        ...

    def streams(self, path: str, body: Body) -> bool:
        """Whether the answer is wanted in pieces."""
        ...

    def request(self, path: str, body: Body) -> ModelRequest:
        """What is asked.

        Raises:
            ValueError: If it is not in this format.
        """
        ...

    def answer(self, completion: Completion, body: Body) -> Body:
        """The whole answer."""
        ...

    def begin(self, body: Body) -> bytes:
        """What a stream begins with; may be empty."""
        ...

    def events(self, piece: Piece, body: Body) -> bytes:
        """What a piece looks like in a stream, of the last one the end of the stream as well."""
        ...

    def error(self, status: int, error: UpstreamError) -> Body:
        """What an error looks like."""
        ...


def event(data: object, name: str = "") -> bytes:
    """A server-sent event (WHATWG HTML, "Server-sent events")."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + msgspec.json.encode(data) + b"\n\n"


class OpenAI:
    """Chat completions as OpenAI and most others serve them."""

    def serves(self, path: str) -> bool:
        """Whatever ends as the chat's path does."""
        return path.endswith("/chat/completions")

    def streams(self, path: str, body: Body) -> bool:
        """The field ``stream``."""
        return bool(body.get("stream"))

    def request(self, path: str, body: Body) -> ModelRequest:
        """What is asked."""
        try:
            return self._request(body)
        except (KeyError, TypeError, AttributeError, msgspec.ValidationError) as error:
            raise ValueError(f"cannot be read: {error!r}") from None

    def _request(self, body: Body) -> ModelRequest:
        form = body.get("response_format") or {}
        stop = body.get("stop") or ()
        choice = body.get("tool_choice")
        return ModelRequest(
            messages=tuple(_message(m) for m in body["messages"]),
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens") or 4096,
            temperature=body.get("temperature"),
            top_p=body.get("top_p"),
            seed=body.get("seed"),
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            schema=form["json_schema"]["schema"] if form.get("type") == "json_schema" else None,
            top_logprobs=body.get("top_logprobs", 0) if body.get("logprobs") else None,
            tools=tuple(_tool(t["function"]) for t in body.get("tools") or ()),
            tool_choice=choice["function"]["name"] if isinstance(choice, dict) else choice,
        )

    def answer(self, completion: Completion, body: Body) -> Body:
        """The whole answer."""
        message: Body = {"role": "assistant", "content": completion.text or None, "refusal": None}
        if completion.tool_calls:
            message["tool_calls"] = [_called(call) for call in completion.tool_calls]
        choice: Body = {
            "index": 0,
            "message": message,
            "finish_reason": completion.finish,
            "logprobs": _logprobs(completion.logprobs),
        }
        return {
            **_head(body, "chat.completion"),
            "choices": [choice],
            "usage": usage(completion.tokens),
        }

    def begin(self, body: Body) -> bytes:
        """A piece that says who speaks."""
        return event(self._chunk(body, {"role": "assistant", "content": ""}, None, ()))

    def events(self, piece: Piece, body: Body) -> bytes:
        """A chunk; behind the last one its reason, the usage where it was asked for, and DONE."""
        delta: Body = {"content": piece.text} if piece.text else {}
        if piece.tool_calls:
            delta["tool_calls"] = [
                {**_called(call), "index": n} for n, call in enumerate(piece.tool_calls)
            ]
        found = event(self._chunk(body, delta, None, piece.logprobs)) if delta else b""
        if piece.whole is None:
            return found
        found += event(self._chunk(body, {}, piece.whole.finish, ()))
        if (body.get("stream_options") or {}).get("include_usage"):
            last = _head(body, "chat.completion.chunk")
            found += event({**last, "choices": [], "usage": usage(piece.whole.tokens)})
        return found + b"data: [DONE]\n\n"

    def error(self, status: int, error: UpstreamError) -> Body:
        """The envelope of errors."""
        codes = {"too_long": "context_length_exceeded", "filtered": "content_filter"}
        kind = "invalid_request_error" if status < 429 else "server_error"
        return {
            "error": {
                "message": error.what,
                "type": "rate_limit_error" if status == 429 else kind,
                "param": None,
                "code": codes.get(error.outcome, error.outcome),
            }
        }

    def _chunk(
        self, body: Body, delta: Body, finish: str | None, logprobs: Sequence[TokenChoice]
    ) -> Body:
        choice = {
            "index": 0, "delta": delta, "finish_reason": finish, "logprobs": _logprobs(logprobs),
        }  # fmt: skip
        return {**_head(body, "chat.completion.chunk"), "choices": [choice]}


def usage(tokens: Tokens) -> Body:
    """What was read and written."""
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {
            "cached_tokens": tokens.cached_input,
            "cache_write_tokens": tokens.cache_write,
        },
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }


def _head(body: Body, kind: str) -> Body:
    return {
        "id": "chatcmpl-test",
        "object": kind,
        "created": 1_767_225_600,
        "model": body.get("model", ""),
    }


def _message(said: Body) -> Message:
    content = said.get("content") or ""
    calls = tuple(
        ToolCall(id=c["id"], name=c["function"]["name"], arguments=c["function"]["arguments"])
        for c in said.get("tool_calls") or ()
    )
    role = "system" if said["role"] == "developer" else said["role"]
    return msgspec.convert(
        {
            "role": role,
            "content": content if isinstance(content, str) else tuple(map(_part, content)),
            "tool_calls": calls,
            "tool_call_id": said.get("tool_call_id"),
        },
        Message,
    )


def _part(part: Body) -> Part:
    if part["type"] == "text":
        return Part(text=part["text"])
    media, _, data = part["image_url"]["url"].removeprefix("data:").partition(";base64,")
    return Part(image=data, media_type=media)


def _tool(function: Body) -> Tool:
    return Tool(
        name=function["name"],
        description=function.get("description") or "",
        parameters=function.get("parameters") or {},
    )


def _called(call: ToolCall) -> Body:
    extra = {"extra_content": {"google": {"thought_signature": call.thought}}}
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
        **(extra if call.thought is not None else {}),
    }


def _logprobs(choices: Sequence[TokenChoice]) -> Body | None:
    if not choices:
        return None

    def one(token: str, logprob: float) -> Body:
        return {"token": token, "logprob": logprob, "bytes": list(token.encode())}

    content = [
        {
            **one(choice.token, choice.logprob),
            "top_logprobs": [one(a.token, a.logprob) for a in choice.alternatives],
        }
        for choice in choices
    ]
    return {"content": content, "refusal": None}
