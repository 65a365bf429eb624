"""A task's answer as a chat completion, whole or as events."""

import math
import time
from collections.abc import Iterator

import msgspec

from milepost.entities.language import Finish
from milepost.entities.serving import Answer, Answers
from milepost.gateway.errors import RefusedError
from milepost.gateway.openai.models import PREFIX
from milepost.gateway.openai.wire import (
    Chat,
    ChatRequest,
    ChatUsage,
    Choice,
    Chunk,
    ChunkChoice,
    Delta,
    Logprobs,
    Message,
    PromptDetails,
    ResponseFormat,
    Said,
    TokenLogprob,
    TopLogprob,
)

IMPOSSIBLE = -9999.0
"""What stands for the logarithm of 0."""

_FIELDS = Answer.__struct_fields__
_DONE = b"data: [DONE]\n\n"


def chat_text(request: ChatRequest) -> str:
    """The text that a conversation asks a task about: its last user message.

    Raises:
        RefusedError: If there is none, or the request wants what a task cannot give.
    """
    _refuse_more(request)
    if request.response_format is not None:
        _chosen_fields(request.response_format)
    for at in range(len(request.messages) - 1, -1, -1):
        if request.messages[at].role == "user":
            return _text_of(request.messages[at], at)
    raise RefusedError(
        400,
        "invalid_value",
        "no message is of role 'user'.",
        param="messages",
        advice="The last one of this role is the task's input.",
    )


def _refuse_more(request: ChatRequest) -> None:
    if request.n not in (None, 1):
        _refuse("n", f"a task gives one answer, not {request.n}", "Leave the field out, or give 1.")
    if request.tools:
        _refuse("tools", "a task calls no tools", "Leave the field out.")
    if request.functions:
        _refuse("functions", "a task calls no functions", "Leave the field out.")
    if request.audio is not None or set(request.modalities or ()) - {"text"}:
        field = "audio" if request.audio is not None else "modalities"
        _refuse(field, "a task answers in text only", "Leave the field out.")
    if request.top_logprobs is not None and not request.logprobs:
        _refuse("top_logprobs", "it needs logprobs", "Set logprobs to true, or leave both out.")
    if request.stream_options is not None and not request.stream:
        _refuse("stream_options", "it needs stream", "Set stream to true, or leave both out.")


def _refuse(field: str, what: str, advice: str) -> None:
    raise RefusedError(400, "unsupported", f"{what}.", param=field, advice=advice)


def _text_of(message: Message, at: int) -> str:
    content = message.content
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for i, part in enumerate(content or ()):
        if part.type != "text" or part.text is None:
            raise RefusedError(
                400,
                "invalid_value",
                f"parts of type {part.type[:40]!r} cannot be read.",
                param=f"messages[{at}].content[{i}]",
                advice="A task reads text: give parts of type 'text'.",
            )
        texts.append(part.text)
    if not texts:
        raise RefusedError(
            400, "invalid_value", "the message is empty.", param=f"messages[{at}].content"
        )
    return "\n".join(texts)


def chat_top(request: ChatRequest) -> int | None:
    """How many labels the answer must tell; ``None`` for the default."""
    return max(request.top_logprobs, 5) if request.top_logprobs else None


def _chosen_fields(wanted: ResponseFormat) -> tuple[str, ...]:
    """The fields of the answer that a JSON format asks for.

    Raises:
        RefusedError: If its schema asks for another.
    """
    if wanted.type != "json_schema":
        return _FIELDS
    schema = wanted.json_schema.schema if wanted.json_schema is not None else None
    properties = (schema or {}).get("properties")
    if not isinstance(properties, dict) or not properties:
        raise RefusedError(
            400,
            "invalid_value",
            "the schema names no properties.",
            param="response_format.json_schema.schema",
            advice=f"An answer has {', '.join(_FIELDS)}.",
        )
    unknown = sorted(set(map(str, properties)) - set(_FIELDS))
    if unknown:
        raise RefusedError(
            400,
            "invalid_value",
            f"an answer has no field {unknown[0][:60]!r}.",
            param="response_format.json_schema.schema",
            advice=f"It has {', '.join(_FIELDS)}.",
        )
    return tuple(properties)


def _content(request: ChatRequest, answer: Answer) -> str:
    wanted = request.response_format
    if wanted is None or wanted.type == "text":
        return answer.label or ""
    fields = {name: getattr(answer, name) for name in _chosen_fields(wanted)}
    # What an answer may leave out is left out, or null where a schema asks for it.
    left_out = [name for name, value in fields.items() if value is msgspec.UNSET]
    for name in left_out:
        if wanted.type == "json_schema":
            fields[name] = None
        else:
            del fields[name]
    return msgspec.json.encode(fields).decode()


def _refusal(answer: Answer) -> tuple[str | None, Finish]:
    """Why an answer is not given, and how that is called; ``None`` where it is."""
    if answer.label is not None:
        return None, "stop"
    if not isinstance(answer.failed, msgspec.UnsetType):
        failed = answer.failed
        said = f"{failed.outcome}: {failed.message.rstrip('.')}"
        return f"Withheld: the language model that decides this did not answer ({said}).", "stop"
    if answer.abstained and answer.confidence is not None:
        share = f"{answer.confidence:.2f}"
        return f"Withheld: the most probable label has only probability {share}.", "stop"
    tripped = [name for name, verdict in answer.guards.items() if verdict.tripped]
    name = answer.rung.removeprefix("guard:") if answer.rung.startswith("guard:") else ""
    name = name or (tripped[0] if tripped else "a guard")
    verdict = answer.guards.get(name)
    said = f" with a score of {verdict.score:.2f}" if verdict is not None else ""
    return f"Blocked by {name}{said}.", "content_filter"


def _logprobs(request: ChatRequest, answer: Answer) -> Logprobs | None:
    if not request.logprobs:
        return None
    share = answer.confidence
    if answer.label is not None:
        share = answer.probabilities.get(answer.label, share)
    if answer.label is None or share is None:
        return Logprobs(content=())
    listed = list(answer.probabilities.items())[: request.top_logprobs or 0]
    first = TokenLogprob(
        token=answer.label,
        logprob=_log(share),
        bytes=list(answer.label.encode()),
        top_logprobs=tuple(
            TopLogprob(token=label, logprob=_log(p), bytes=list(label.encode()))
            for label, p in listed
        ),
    )
    return Logprobs(content=(first,))


def _log(share: float) -> float:
    return math.log(share) if share > 0.0 else IMPOSSIBLE


def chat_response(request: ChatRequest, answers: Answers) -> Chat:
    """The one answer as a chat completion."""
    answer = answers.predictions[0]
    refusal, finish = _refusal(answer)
    spoken = 0 if refusal else 1
    prompt = answers.usage.tokens + answers.usage.cached_tokens
    return Chat(
        id=f"chatcmpl-{answer.trace_id}",
        created=int(time.time()),
        model=PREFIX + answers.task,
        choices=(
            Choice(
                message=Said(
                    content=None if refusal else _content(request, answer), refusal=refusal
                ),
                finish_reason=finish,
                logprobs=_logprobs(request, answer),
            ),
        ),
        usage=ChatUsage(
            prompt_tokens=prompt,
            completion_tokens=spoken,
            total_tokens=prompt + spoken,
            prompt_tokens_details=PromptDetails(cached_tokens=answers.usage.cached_tokens),
        ),
        system_fingerprint=f"release-{answers.release}",
        milepost=answer,
    )


def chat_events(request: ChatRequest, answers: Answers) -> bytes:
    """The same as server-sent events (WHATWG HTML, 9.2), ended by ``[DONE]``.

    A label is one decision, so that all events are there at once.
    """
    whole = chat_response(request, answers)
    told = request.stream_options is not None and request.stream_options.include_usage
    events = [_event(chunk) for chunk in _chunks(whole)]
    if told:
        events.append(_event(_chunk(whole, (), usage=whole.usage)))
    return b"".join(events) + _DONE


def _chunks(whole: Chat) -> Iterator[Chunk]:
    choice = whole.choices[0]
    said = choice.message
    yield _chunk(whole, (ChunkChoice(delta=Delta(role="assistant", content="")),))
    delta = Delta(content=said.content, refusal=said.refusal)
    yield _chunk(whole, (ChunkChoice(delta=delta, logprobs=choice.logprobs),))
    last = ChunkChoice(delta=Delta(), finish_reason=choice.finish_reason)
    yield _chunk(whole, (last,), milepost=whole.milepost)


def _chunk(
    whole: Chat,
    choices: tuple[ChunkChoice, ...],
    usage: ChatUsage | None = None,
    milepost: Answer | msgspec.UnsetType = msgspec.UNSET,
) -> Chunk:
    return Chunk(
        id=whole.id,
        created=whole.created,
        model=whole.model,
        choices=choices,
        system_fingerprint=whole.system_fingerprint,
        usage=usage,
        milepost=milepost,
    )


def _event(chunk: Chunk) -> bytes:
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"
