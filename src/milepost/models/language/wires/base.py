"""What a wire format is, and what all of them share."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec

from milepost.entities.errors import UpstreamError
from milepost.entities.language import (
    Completion,
    Message,
    ModelRequest,
    Piece,
    Tokens,
    ToolCall,
)
from milepost.entities.upstream import Wire as WireName

Header = tuple[bytes, bytes]
Json = dict[str, object]
T = TypeVar("T")

REFUSABLE = frozenset(
    {"max_tokens", "temperature", "top_p", "seed", "stream_options", "stop", "stop_sequences"}
)
"""Fields of requests, in the words of the formats, that are left out or renamed once an endpoint
has said that it does not know them."""


class Body(msgspec.Struct, frozen=True):
    """What is sent: a path below the base URL, with its query, and JSON."""

    path: str
    content: bytes


class Reader(Protocol):
    """Reads a streamed answer event by event.

    Attributes:
        ended: Whether the event that ends an answer has come.
        complete: Whether the answer is whole if nothing more comes.
        tokens: What was read and written until now; ``None`` where no event told it.
    """

    ended: bool
    complete: bool
    tokens: Tokens | None

    def read(self, event: bytes) -> Piece | None:
        """What an event adds; ``None`` where that is nothing.

        Raises:
            UpstreamError: ``malformed``, or whatever failure the event tells.
        """
        ...

    def whole(self) -> Completion:
        """All of the answer, once it has ended."""
        ...


class Wire(Protocol):
    """A format. Methods are pure; errors that they raise name no upstream."""

    def headers(self, key: str | None) -> list[Header]:
        """Headers that every call has."""
        ...

    def asking(
        self, model: str, request: ModelRequest, *, stream: bool, refused: frozenset[str]
    ) -> Body:
        """The HTTP request of a question.

        Args:
            model: The model as the endpoint calls it.
            request: The question.
            stream: Whether the answer is to come in pieces.
            refused: Fields of ``REFUSABLE`` that the endpoint does not know.

        Raises:
            UpstreamError: ``unsupported`` for what the format has no words for.
        """
        ...

    def answered(self, content: bytes) -> Completion:
        """The answer from the body of a response.

        Raises:
            UpstreamError: ``malformed``, ``filtered``, or the failure that the body tells.
        """
        ...

    def reader(self) -> Reader:
        """Reads one streamed answer."""
        ...

    def embedding(self, model: str, texts: Sequence[str]) -> Body:
        """The HTTP request for vectors of texts.

        Raises:
            UpstreamError: ``unsupported``.
        """
        ...

    def embedded(self, content: bytes, count: int) -> tuple[list[list[float]], Tokens]:
        """The vectors, in the order of the texts.

        Raises:
            UpstreamError: ``malformed``.
        """
        ...

    def listing(self) -> str:
        """Path of the list of models, which costs nothing to ask for."""
        ...


class Events:
    """Splits server-sent events out of bytes as they come (WHATWG HTML, 9.2.6).

    Only ``data`` is kept: all formats say in the data what an event is.
    """

    def __init__(self) -> None:
        self._left: list[bytes] = []
        self._torn = False

    def feed(self, part: bytes) -> list[bytes]:
        """The data of the events that are now complete."""
        self._left.append(part)
        if not self._torn and b"\n" not in part and b"\r" not in part:
            # No event ends here: a long one is put together once, not with each part of it.
            return []
        text = b"".join(self._left)
        # A line may end in CR LF, and the part between the two.
        held = b"\r" if text.endswith(b"\r") else b""
        text = text[: len(text) - len(held)]
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *events, rest = text.split(b"\n\n")
        self._left, self._torn = [rest + held], bool(held)
        return [data for event in events if (data := _data(event))]

    def rest(self) -> list[bytes]:
        """The data of an event whose blank line was left out at the end of the stream."""
        return [data] if (data := _data(b"".join(self._left).strip())) else []


def _data(event: bytes) -> bytes:
    if event.startswith(b"data:") and b"\n" not in event:
        return event[5:].strip()
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line[:5] == b"data:"]
    return b"\n".join(lines).strip()


def decoded(decoder: "msgspec.json.Decoder[T]", content: bytes) -> T:
    """Typed JSON.

    Raises:
        UpstreamError: ``malformed``; the content itself is not told.
    """
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # The words name fields and types, never values.
        raise malformed(f"The answer is not what its format says: {error}.") from None


class _Model(msgspec.Struct):
    id: str | None = None
    name: str | None = None


class _Models(msgspec.Struct):
    data: list[_Model] | None = None
    models: list[_Model] | None = None


_MODELS = msgspec.json.Decoder(_Models)


def listed(content: bytes) -> list[str]:
    """Names in a list of models, as any of the formats writes it.

    Raises:
        UpstreamError: ``malformed``.
    """
    found = decoded(_MODELS, content)
    names = [model.id or model.name or "" for model in found.data or found.models or ()]
    return [name.removeprefix("models/") for name in names if name]


def malformed(what: str) -> UpstreamError:
    """An answer that cannot be read."""
    return UpstreamError("malformed", what, attempts=1)


def unsupported(what: str, advice: str | None = None) -> UpstreamError:
    """A question that cannot be put in a format."""
    return UpstreamError("unsupported", what, advice=advice)


def merged(request: ModelRequest, ours: Json, forbidden: Sequence[str] = ()) -> bytes:
    """JSON of a request: ours, and what a client wrote in the format itself.

    Raises:
        UpstreamError: ``unsupported`` for fields that would make one call into several.
    """
    extra = request.extra
    if not extra:
        return msgspec.json.encode(ours)
    for name in forbidden:
        if extra.get(name, 1) not in (1, None):
            raise unsupported(f"{name} other than 1 would be several answers of one call.")
    both = {name: _joined(extra[name], ours[name]) for name in ours if name in extra}
    return msgspec.json.encode({**extra, **ours, **both})


def _joined(theirs: object, own: object) -> object:
    """A field that both gave: settings stand beside ours, lists that are wishes are united."""
    if isinstance(theirs, dict) and isinstance(own, dict):
        return {**theirs, **own}
    if isinstance(theirs, list) and isinstance(own, tuple):
        return [*own, *(each for each in theirs if each not in own)]
    return own


def kept(wire: WireName, thought: str | None) -> str | None:
    """What a provider wants back with a call of a tool, marked as of its format."""
    return f"{wire}:{thought}" if thought else None


def thought_of(wire: WireName, call: ToolCall) -> str | None:
    """What goes back with a call; ``None`` where another format, or none, gave it."""
    mark = f"{wire}:"
    held = call.thought
    return held.removeprefix(mark) if held is not None and held.startswith(mark) else None


def thoughts_of(wire: WireName, call: ToolCall) -> list[Json]:
    """The same for formats that want JSON objects back.

    Raises:
        UpstreamError: ``bad_request`` if somebody changed them on the way.
    """
    held = thought_of(wire, call)
    if held is None:
        return []
    try:
        return msgspec.json.decode(held, type=list[Json])
    except msgspec.DecodeError:
        raise UpstreamError(
            "bad_request", "The thoughts that belong to a tool's call were changed on the way."
        ) from None


def text_of(message: Message) -> str:
    """Its text, without images."""
    content = message.content
    if isinstance(content, str):
        return content
    return "".join(part.text or "" for part in content)


def system_of(request: ModelRequest) -> str:
    """All system messages as one text, for formats that keep it apart from the conversation."""
    return "\n\n".join(text_of(m) for m in request.messages if m.role == "system")


def counted(
    read: int, written: int, cached: int | None, thought: int | None, kept: int | None = None
) -> Tokens:
    """Tokens as a provider counts them, the parts never more than the whole.

    Args:
        read: All that was read.
        written: All that was written.
        cached: Of the first, what its cache held.
        thought: Of the second, what was not shown.
        kept: Of the first, what it put into its cache.
    """
    read, written = max(0, read), max(0, written)
    found = min(max(0, cached or 0), read)
    return Tokens(
        input=read,
        output=written,
        cached_input=found,
        reasoning=min(max(0, thought or 0), written),
        cache_write=min(max(0, kept or 0), read - found),
    )


def strict(schema: object) -> bool:
    """Whether a JSON Schema is of the kind that can be followed to the letter.

    Every object closed, with all of its properties required; what OpenAI's strict mode accepts.
    """
    if isinstance(schema, list):
        return all(strict(part) for part in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        names: set[object] = set(properties) if isinstance(properties, dict) else set()
        required = schema.get("required", [])
        if schema.get("additionalProperties") is not False:
            return False
        if not isinstance(required, list) or set(required) != names:
            return False
        return all(strict(part) for part in (properties or {}).values())
    return all(strict(part) for part in schema.values() if isinstance(part, dict | list))


def arguments(text: str) -> Json:
    """Arguments of a tool's call as an object, for formats that want them so.

    Raises:
        UpstreamError: ``bad_request`` if they are not one.
    """
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, object])
    except msgspec.DecodeError:
        raise UpstreamError(
            "bad_request", "Arguments of a tool's call in the conversation are not a JSON object."
        ) from None
