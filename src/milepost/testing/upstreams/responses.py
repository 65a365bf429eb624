"""OpenAI's responses, as a server speaks them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, ModelRequest, Piece, TokenChoice, ToolCall
from milepost.testing.upstreams.formats import Body, OpenAI, event


class OpenAIResponses:
    """``POST /responses``. Holds the state of one stream at a time: for one caller."""

    def __init__(self) -> None:
        self._chat = OpenAI()
        self._number = 0

    def serves(self, path: str) -> bool:
        """Whatever ends as the path of responses does."""
        return path.endswith("/responses")

    def streams(self, path: str, body: Body) -> bool:
        """The field ``stream``."""
        return bool(body.get("stream"))

    def request(self, path: str, body: Body) -> ModelRequest:
        """What is asked, by way of chat completions."""
        form = (body.get("text") or {}).get("format") or {}
        chat: Body = {
            "messages": [_message(i) for i in body["input"] if i.get("type") != "reasoning"],
            "max_tokens": body.get("max_output_tokens"),
            "temperature": body.get("temperature"),
            "top_p": body.get("top_p"),
            "logprobs": "message.output_text.logprobs" in (body.get("include") or ()),
            "top_logprobs": body.get("top_logprobs"),
            "tools": [{"type": "function", "function": t} for t in body.get("tools") or ()],
        }
        if form.get("type") == "json_schema":
            chat["response_format"] = {"type": "json_schema", "json_schema": form}
        choice = body.get("tool_choice")
        chat["tool_choice"] = {"function": choice} if isinstance(choice, dict) else choice
        return self._chat.request(path, chat)

    def answer(self, completion: Completion, body: Body) -> Body:
        """The whole answer."""
        output: list[Body] = []
        if completion.tokens.reasoning:
            output.append({"type": "reasoning", "id": "rs_1", "summary": []})
        if completion.text or not completion.tool_calls:
            part = {
                "type": "output_text",
                "text": completion.text,
                "annotations": [],
                "logprobs": _logprobs(completion.logprobs),
            }
            if completion.finish == "content_filter":
                part = {"type": "refusal", "refusal": completion.text}
            output.append({
                "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                "content": [part],
            })  # fmt: skip
        output.extend(_called(call, n) for n, call in enumerate(completion.tool_calls))
        cut = completion.finish == "length"
        tokens = completion.tokens
        return {
            **self._head(body, "incomplete" if cut else "completed"),
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "output": output,
            "usage": {
                "input_tokens": tokens.input,
                "input_tokens_details": {
                    "cached_tokens": tokens.cached_input,
                    "cache_write_tokens": tokens.cache_write,
                },
                "output_tokens": tokens.output,
                "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
                "total_tokens": tokens.input + tokens.output,
            },
        }

    def begin(self, body: Body) -> bytes:
        """That it was made."""
        self._number = 0
        head = self._head(body, "in_progress")
        return self._event("response.created", response={**head, "output": []})

    def events(self, piece: Piece, body: Body) -> bytes:
        """Deltas, and the whole answer at the end."""
        found = b""
        if piece.text:
            found += self._event(
                "response.output_text.delta", item_id="msg_1", output_index=0, content_index=0,
                delta=piece.text, logprobs=_logprobs(piece.logprobs),
            )  # fmt: skip
        for n, call in enumerate(piece.tool_calls):
            item = _called(call, n)
            found += self._event(
                "response.output_item.added", output_index=n, item={**item, "arguments": ""}
            )
            found += self._event(
                "response.function_call_arguments.delta", item_id=item["id"], output_index=n,
                delta=call.arguments,
            )  # fmt: skip
            found += self._event("response.output_item.done", output_index=n, item=item)
        if piece.whole is not None:
            whole = self.answer(piece.whole, body)
            found += self._event(f"response.{whole['status']}", response=whole)
        return found

    def error(self, status: int, error: UpstreamError) -> Body:
        """The envelope of errors is that of chats."""
        return self._chat.error(status, error)

    def _event(self, kind: str, **data: Any) -> bytes:
        self._number += 1
        return event({"type": kind, "sequence_number": self._number, **data}, kind)

    def _head(self, body: Body, status: str) -> Body:
        return {
            "id": "resp_test",
            "object": "response",
            "created_at": 1_767_225_600,
            "model": body.get("model", ""),
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "parallel_tool_calls": True,
            "temperature": body.get("temperature"),
            "tool_choice": "auto",
            "tools": [],
            "top_p": body.get("top_p"),
        }


def _message(item: Body) -> Body:
    if item.get("type") == "function_call_output":
        return {"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]}
    if item.get("type") == "function_call":
        call = {
            "id": item["call_id"],
            "function": {"name": item["name"], "arguments": item["arguments"]},
        }
        return {"role": "assistant", "tool_calls": [call]}
    content = item["content"]
    if isinstance(content, list):
        content = [_part(part) for part in content]
    return {"role": item["role"], "content": content}


def _part(part: Body) -> Body:
    if part["type"] == "input_image":
        return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    return {"type": "text", "text": part["text"]}


def _called(call: ToolCall, number: int) -> Body:
    return {
        "type": "function_call",
        "id": f"fc_{number}",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments,
        "status": "completed",
    }


def _logprobs(choices: Sequence[TokenChoice]) -> list[Body]:
    return [
        {
            "token": choice.token,
            "bytes": list(choice.token.encode()),
            "logprob": choice.logprob,
            "top_logprobs": [
                {**msgspec.structs.asdict(a), "bytes": list(a.token.encode())}
                for a in choice.alternatives
            ],
        }
        for choice in choices
    ]
