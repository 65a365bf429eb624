"""Requests and responses of the OpenAI API, as tasks and language models answer them.

Fields of the API that stand here in no request of a task, such as ``temperature``, are read over:
they change nothing in what a task answers. What language models are asked is in ``asked``.
"""

from typing import Annotated, Any, Literal

import msgspec

from milepost.entities.language import CacheKind, Finish
from milepost.entities.serving import Answer, Verdict

Meta = msgspec.Meta
Texts = str | list[str | int | list[int]]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a message or of an input; only text can be read.

    Attributes:
        type: ``text``.
        text: The text.
    """

    type: str
    text: str | None = None


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A task, an encoder or a language model, as a model.

    Attributes:
        id: ``milepost/NAME`` for a task; the name of the encoder, or of an upstream.
        created: When its production release was made, seconds since 1970; 0 without one.
        object: ``model``.
        owned_by: ``milepost``; of an upstream its wire format.
    """

    id: str
    created: int
    object: Literal["model"] = "model"
    owned_by: str = "milepost"


class Models(msgspec.Struct, frozen=True, kw_only=True):
    """All models that the key may ask."""

    data: tuple[Model, ...]
    object: Literal["list"] = "list"


class EmbeddingsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Texts to turn into vectors.

    Attributes:
        model: Name of the workspace's encoder, or of an upstream.
        input: One text, or several. Tokens of another tokenizer are refused.
        encoding_format: ``float`` for numbers, ``base64`` for little-endian float32.
        dimensions: Refused unless it is what the encoder has.
        user: Read over.
    """

    model: str
    input: Texts
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str | None = None


class Embedding(msgspec.Struct, frozen=True, kw_only=True):
    """The vector of one text.

    Attributes:
        index: Which text, from 0.
        embedding: Numbers of unit length together, or base64 of little-endian float32.
        object: ``embedding``.
    """

    index: int
    embedding: list[float] | str
    object: Literal["embedding"] = "embedding"


class PromptDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Of the tokens of the input, those that a cache held.

    Attributes:
        cached_tokens: Not read, because the cache had the answer; of a language model those that
            its provider's own cache held.
        cache_write_tokens: Put into the cache of a language model's provider.
    """

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class EmbeddingsUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Encoder tokens of the texts, special tokens included."""

    prompt_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails = PromptDetails()


class Embeddings(msgspec.Struct, frozen=True, kw_only=True):
    """One vector per text, in order."""

    data: tuple[Embedding, ...]
    model: str
    usage: EmbeddingsUsage
    object: Literal["list"] = "list"


class ModerationsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Texts to hold against guards.

    Attributes:
        input: One text, several, or parts of type ``text``.
        model: ``milepost/NAME`` of one guard. Without it, and with the names that OpenAI's own
            clients send, all guards of all tasks that the key may ask.
    """

    input: str | list[str | Part]
    model: str | None = None


class Moderation(msgspec.Struct, frozen=True, kw_only=True):
    """What the guards said of one text; a category is ``GUARD/LABEL``.

    Attributes:
        flagged: Whether a guard is tripped.
        categories: By category whether it is one that tripped its guard.
        category_scores: By category its calibrated probability.
        category_applied_input_types: ``["text"]`` for each category.
    """

    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[Literal["text"]]]


class Moderations(msgspec.Struct, frozen=True, kw_only=True):
    """One result per text, in order."""

    id: str
    model: str
    results: tuple[Moderation, ...]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a conversation; the last one of role ``user`` is the task's input."""

    role: str
    content: str | list[Part] | None = None


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a last chunk tells the usage."""

    include_usage: bool = False


class JsonSchema(msgspec.Struct, frozen=True, kw_only=True):
    """The schema that an answer is asked in; its properties choose the answer's fields."""

    name: str = ""
    schema: dict[str, Any] | None = None


class ResponseFormat(msgspec.Struct, frozen=True, kw_only=True):
    """How an answer is written: its label (``text``), or its fields as JSON."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchema | None = None


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation whose last user message a task answers.

    A language model that the key may ask answers it as the API says; there tools, images, sampling
    and everything else of the API are allowed that its wire format knows, ``n`` above 1 excepted.

    Attributes:
        model: ``milepost/NAME``, or ``milepost/NAME@N`` for release N; or the name of an upstream.
        messages: At least one of role ``user``.
        stream: Whether the answer comes as server-sent events.
        stream_options: Only with ``stream``.
        n: Only 1: a task gives one answer.
        response_format: ``json_object`` gives the whole answer, ``json_schema`` the fields that
            the schema names.
        logprobs: Whether probabilities of labels are given, as those of one token.
        top_logprobs: How many labels, 0 to 20; only with ``logprobs``.
        user: For whom, where no ``safety_identifier`` says it.
        safety_identifier: For whom; the same always gets production, or always the canary.
        tools: Of a task, refused unless empty.
        functions: Refused unless empty.
        audio: Refused.
        modalities: Only ``text``.
    """

    model: str
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1)] | None = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    audio: dict[str, Any] | None = None
    modalities: list[str] | None = None


class TopLogprob(msgspec.Struct, frozen=True, kw_only=True):
    """A label as a token.

    Attributes:
        token: The label.
        logprob: Natural logarithm of its probability; -9999 for 0.
        bytes: Its UTF-8.
    """

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob, frozen=True, kw_only=True):
    """The answered label as a token, with the labels beside it, most probable first."""

    top_logprobs: tuple[TopLogprob, ...] = ()


class Logprobs(msgspec.Struct, frozen=True, kw_only=True):
    """Probabilities of labels, as those of one token."""

    content: tuple[TokenLogprob, ...]
    refusal: None = None


class SaidFunction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool that a language model asks for; ``arguments`` is JSON text as the model wrote it."""

    arguments: str
    name: str | None = None


class Google(msgspec.Struct, frozen=True, kw_only=True):
    """Where Google's own OpenAI endpoint puts what it wants back with a call of a tool."""

    thought_signature: str | None = None


class ExtraContent(msgspec.Struct, frozen=True, kw_only=True):
    """What clients send back with a call of a tool without reading it."""

    google: Google | None = None


class SaidCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a tool that a language model asks for.

    Attributes:
        id: Of the call.
        function: What is called.
        extra_content: What the model's provider wants back with the call.
        type: ``function``.
    """

    id: str
    function: SaidFunction
    extra_content: ExtraContent | msgspec.UnsetType = msgspec.UNSET
    type: Literal["function"] = "function"


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered.

    Attributes:
        content: The label, or fields of the answer as JSON; ``None`` where there is none. Of a
            language model its text.
        refusal: Why there is none: a guard blocked it, or it was not sure enough.
        role: ``assistant``.
        tool_calls: Tools that a language model asks for.
    """

    content: str | None
    refusal: str | None = None
    role: Literal["assistant"] = "assistant"
    tool_calls: tuple[SaidCall, ...] | msgspec.UnsetType = msgspec.UNSET


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The one answer.

    Attributes:
        message: It.
        finish_reason: ``content_filter`` where a guard blocked it; of a task else ``stop``.
        logprobs: Where asked for.
        index: 0.
    """

    message: Said
    finish_reason: Finish
    logprobs: Logprobs | None = None
    index: int = 0


class CompletionDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Of the tokens that a language model wrote, those that it thought and did not show."""

    reasoning_tokens: int = 0


class ChatUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Of a task encoder tokens of the text; an answer counts as one token, a refusal as none.

    Of a language model the tokens that its provider counted.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails = PromptDetails()
    completion_tokens_details: CompletionDetails | msgspec.UnsetType = msgspec.UNSET


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """How the answer of a language model came here.

    Attributes:
        upstream: Name of the upstream that answered, which a fallback may have made another one;
            empty where a guard blocked the question.
        region: Where it computed.
        cached: Whether a cache of this server answered: ``exact``, ``similar``, or empty.
        attempts: How often it was sent.
        cost_usd: What it cost; 0 from the cache.
        guards: Verdicts on what was asked, by the guard's task.
        answer_guards: Verdicts on what was answered.
        trace_id: Under which it is recorded.
    """

    upstream: str
    region: str
    cached: CacheKind
    attempts: int
    cost_usd: float
    guards: dict[str, Verdict]
    answer_guards: dict[str, Verdict]
    trace_id: str


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as a chat completion.

    Attributes:
        id: ``chatcmpl-`` and the id of the trace, which feedback to a task names.
        created: Now, seconds since 1970.
        model: ``milepost/NAME``; of a language model what its provider calls it.
        choices: One.
        usage: What it took.
        system_fingerprint: ``release-N`` of a task.
        milepost: The whole answer of a task, whatever the format.
        upstream: How the answer of a language model came here.
        object: ``chat.completion``.
    """

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: ChatUsage
    system_fingerprint: str | msgspec.UnsetType = msgspec.UNSET
    milepost: Answer | msgspec.UnsetType = msgspec.UNSET
    upstream: Passage | msgspec.UnsetType = msgspec.UNSET
    object: Literal["chat.completion"] = "chat.completion"


class DeltaCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is new of a call of a tool; ``id`` and name stand in its first piece."""

    index: int
    function: SaidFunction
    extra_content: ExtraContent | msgspec.UnsetType = msgspec.UNSET
    id: str | None = None
    type: Literal["function"] | None = None


class Delta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is new in a chunk."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: str | None = None
    tool_calls: tuple[DeltaCall, ...] = ()


class ChunkChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The one answer's part in a chunk."""

    delta: Delta
    finish_reason: Finish | None = None
    logprobs: Logprobs | None = None
    index: int = 0


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a streamed chat completion."""

    id: str
    created: int
    model: str
    choices: tuple[ChunkChoice, ...]
    system_fingerprint: str | msgspec.UnsetType = msgspec.UNSET
    usage: ChatUsage | None = None
    milepost: Answer | msgspec.UnsetType = msgspec.UNSET
    upstream: Passage | msgspec.UnsetType = msgspec.UNSET
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
