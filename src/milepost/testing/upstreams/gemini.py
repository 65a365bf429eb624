"""Google's ``generateContent``, as a server speaks it."""

from collections.abc import Sequence

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
from milepost.testing.upstreams.formats import Body, event

REASONS = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
}
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Gemini:
    """``POST /models/MODEL:generateContent`` and ``:streamGenerateContent?alt=sse``."""

    def serves(self, path: str) -> bool:
        """Whatever ends as one of the two paths does."""
        return path.endswith((":generateContent", ":streamGenerateContent"))

    def streams(self, path: str, body: Body) -> bool:
        """The path says so."""
        return path.endswith(":streamGenerateContent")

    def request(self, path: str, body: Body) -> ModelRequest:
        """What is asked."""
        said = [message for turn in body["contents"] for message in _messages(turn)]
        system = body.get("systemInstruction")
        if system:
            text = "".join(part["text"] for part in system["parts"])
            said.insert(0, Message(role="system", content=text))
        config = body.get("generationConfig") or {}
        declared = [f for t in body.get("tools") or () for f in t["functionDeclarations"]]
        return ModelRequest(
            messages=tuple(said),
            max_tokens=config.get("maxOutputTokens") or 4096,
            temperature=config.get("temperature"),
            top_p=config.get("topP"),
            seed=config.get("seed"),
            stop=tuple(config.get("stopSequences") or ()),
            schema=config.get("responseJsonSchema"),
            top_logprobs=config.get("logprobs", 0) if config.get("responseLogprobs") else None,
            tools=tuple(
                Tool(
                    name=f["name"],
                    description=f.get("description") or "",
                    parameters=f.get("parametersJsonSchema") or {},
                )
                for f in declared
            ),
            tool_choice=_chosen((body.get("toolConfig") or {}).get("functionCallingConfig")),
        )

    def answer(self, completion: Completion, body: Body) -> Body:
        """The whole answer."""
        parts = [{"text": completion.text}] if completion.text else []
        return self._event(
            [*parts, *_called(completion.tool_calls)],
            completion.logprobs,
            completion.tokens,
            REASONS[completion.finish],
        )

    def begin(self, body: Body) -> bytes:
        """Nothing."""
        return b""

    def events(self, piece: Piece, body: Body) -> bytes:
        """Answers of their own; nothing but the reason tells which is the last."""
        parts = [{"text": piece.text}] if piece.text else []
        parts.extend(_called(piece.tool_calls))
        tokens, reason = piece.tokens, None
        if piece.whole is not None:
            tokens, reason = piece.whole.tokens, REASONS[piece.whole.finish]
        if not parts and reason is None:
            return b""
        return event(self._event(parts, piece.logprobs, tokens, reason))

    def error(self, status: int, error: UpstreamError) -> Body:
        """The envelope of errors."""
        known = STATUSES.get(status, "UNKNOWN")
        return {"error": {"code": status, "message": error.what, "status": known}}

    def _event(
        self,
        parts: Sequence[Body],
        logprobs: Sequence[TokenChoice],
        tokens: Tokens | None,
        reason: str | None,
    ) -> Body:
        candidate: Body = {"index": 0, "content": {"role": "model", "parts": list(parts)}}
        if reason is not None:
            candidate["finishReason"] = reason
        if logprobs:
            candidate["logprobsResult"] = {
                "chosenCandidates": [_token(choice.token, choice.logprob) for choice in logprobs],
                "topCandidates": [
                    {"candidates": [_token(a.token, a.logprob) for a in choice.alternatives]}
                    for choice in logprobs
                ],
            }
        found: Body = {"candidates": [candidate], "modelVersion": "gemini-test"}
        if tokens is not None:
            found["usageMetadata"] = {
                "promptTokenCount": tokens.input,
                "cachedContentTokenCount": tokens.cached_input,
                "candidatesTokenCount": tokens.output - tokens.reasoning,
                "thoughtsTokenCount": tokens.reasoning,
                "totalTokenCount": tokens.input + tokens.output,
            }
        return found


def _token(token: str, logprob: float) -> Body:
    # As protocol buffers are written in JSON: what is 0 is left out.
    found: Body = {"token": token, "logProbability": logprob}
    return found if logprob else {"token": token}


def _called(calls: Sequence[ToolCall]) -> list[Body]:
    return [
        {
            "functionCall": {
                "id": call.id,
                "name": call.name,
                "args": msgspec.json.decode(call.arguments or "{}"),
            }
        }
        for call in calls
    ]


def _chosen(config: Body | None) -> str | None:
    if not config:
        return None
    names = config.get("allowedFunctionNames")
    modes = {"AUTO": "auto", "NONE": "none", "ANY": "required"}
    return names[0] if names else modes[config["mode"]]


def _messages(turn: Body) -> list[Message]:
    found: list[Message] = []
    parts: list[Part] = []
    calls: list[ToolCall] = []
    for part in turn["parts"]:
        if "text" in part:
            parts.append(Part(text=part["text"]))
        elif "inlineData" in part:
            data = part["inlineData"]
            parts.append(Part(image=data["data"], media_type=data["mimeType"]))
        elif "functionCall" in part:
            call = part["functionCall"]
            arguments = msgspec.json.encode(call.get("args") or {}).decode()
            calls.append(ToolCall(id=call["name"], name=call["name"], arguments=arguments))
        else:
            told = part["functionResponse"]
            said = str(told["response"]["result"])
            found.append(Message(role="tool", content=said, tool_call_id=told["name"]))
    if parts or calls:
        role = "assistant" if turn.get("role") == "model" else "user"
        images = any(part.image is not None for part in parts)
        text = "".join(part.text or "" for part in parts)
        found.append(
            Message(role=role, content=tuple(parts) if images else text, tool_calls=tuple(calls))
        )
    return found
