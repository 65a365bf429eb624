"""Language models: what is asked of them, and what they answer, the same for every wire format."""

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from milepost.entities.money import Micro

Role = Literal["system", "user", "assistant", "tool"]

Finish = Literal["stop", "length", "tool_calls", "content_filter"]

Count = Annotated[int, msgspec.Meta(ge=0)]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A piece of a message.

    Attributes:
        text: Its text; ``None`` for an image.
        image: Base64 of an image's bytes; ``None`` for text. Images are never fetched for anybody.
        media_type: Of the image, such as ``image/png``.
    """

    text: str | None = None
    image: str | None = None
    media_type: str = "image/png"


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call of a tool that a model asks for.

    Attributes:
        id: Of the call, by which its result names it.
        name: Of the tool.
        arguments: JSON text as the model wrote it.
        thought: What the provider wants back with the call, such as a thought signature or sealed
            blocks of thinking, behind the name of the wire format that alone reads it; ``None``
            where it gave nothing.
    """

    id: str
    name: str
    arguments: str
    thought: str | None = None


class Tool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool that a model may ask for; ``parameters`` is a JSON Schema."""

    name: str
    description: str = ""
    parameters: dict[str, object] = {}


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One message of a conversation.

    Attributes:
        role: Who says it.
        content: Text, or parts where there are images.
        tool_calls: Tools that the assistant asked for.
        tool_call_id: Which call a message of role ``tool`` answers.
    """

    role: Role
    content: str | tuple[Part, ...] = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question to a language model, the same for every wire format.

    Attributes:
        messages: The conversation, at least one message.
        max_tokens: Most tokens of the answer; what a budget reserves for it.
        temperature: 0 for the most probable answer; ``None`` leaves it to the model.
        top_p: Nucleus sampling; ``None`` leaves it to the model.
        seed: For endpoints that take one.
        stop: Texts that end the answer.
        schema: JSON Schema that the answer must follow; ``None`` for free text.
        top_logprobs: How many alternatives of each token to tell with their log-probabilities;
            ``None`` for none at all.
        tools: Tools that the model may ask for.
        tool_choice: ``auto``, ``none``, ``required`` or the name of a tool.
        extra: Further fields as the wire format has them, for clients that speak it themselves.
    """

    messages: Annotated[tuple[Message, ...], msgspec.Meta(min_length=1)]
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] = 256
    temperature: float | None = 0.0
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    schema: dict[str, object] | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    extra: dict[str, object] = {}


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a call read and wrote, as the provider counts.

    Attributes:
        input: Tokens read, those of ``cached_input`` and ``cache_write`` included.
        output: Tokens written, those of ``reasoning`` included.
        cached_input: Of the input, what the provider had in its own prompt cache.
        reasoning: Of the output, what it thought and did not show.
        cache_write: Of the input, what the provider put into its own prompt cache.
    """

    input: Count = 0
    output: Count = 0
    cached_input: Count = 0
    reasoning: Count = 0
    cache_write: Count = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            input=self.input + other.input,
            output=self.output + other.output,
            cached_input=self.cached_input + other.cached_input,
            reasoning=self.reasoning + other.reasoning,
            cache_write=self.cache_write + other.cache_write,
        )


class TokenAlternative(msgspec.Struct, frozen=True, kw_only=True):
    """A token that could have stood there, and the natural logarithm of its probability."""

    token: str
    logprob: float


class TokenChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A token of the answer with its log-probability and the most probable alternatives."""

    token: str
    logprob: float
    alternatives: tuple[TokenAlternative, ...] = ()


CacheKind = Literal["", "exact", "similar"]


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """What a language model answered.

    Attributes:
        text: The answer.
        finish: Why it ended.
        tokens: What the call read and wrote.
        tool_calls: Tools that the model asks for.
        logprobs: Its tokens with log-probabilities, where they were asked for and given.
        model: The model as the provider names it.
        upstream: Name of the upstream that answered, which a fallback may have made another one.
        region: Of the endpoint that answered.
        micro_usd: What the call cost, all its attempts together; 0 from a cache of ours.
        attempts: How often it was sent.
        seconds: From the first attempt until the answer was whole.
        cached: Whether a cache of ours answered, and which.
    """

    text: str
    finish: Finish = "stop"
    tokens: Tokens = Tokens()
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenChoice, ...] = ()
    model: str = ""
    upstream: str = ""
    region: str = ""
    micro_usd: Micro = 0
    attempts: int = 1
    seconds: float = 0.0
    cached: CacheKind = ""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of an answer that is streamed.

    Attributes:
        text: What comes next of the text.
        tool_calls: What comes next of calls of tools: pieces of one call share its ``id``.
        logprobs: Of the tokens of ``text``, where they were asked for.
        tokens: All that was read and written until here, where the provider says so on the way;
            what a stream that is broken off costs follows from it.
        whole: The whole answer, with the last piece only.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenChoice, ...] = ()
    tokens: Tokens | None = None
    whole: Completion | None = None


def total(tokens: Iterable[Tokens]) -> Tokens:
    """The sum."""
    return sum(tokens, Tokens())
