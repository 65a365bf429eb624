"""One HTTP request and its answer, as the handlers of all protocols see them."""

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from milepost._base.randomness import random64
from milepost.entities.serving import Ask
from milepost.gateway.access import NOBODY, Caller
from milepost.gateway.errors import RefusedError

if TYPE_CHECKING:
    from milepost.gateway.gate import Gate
    from milepost.gateway.reading import Reader

T = TypeVar("T")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = b"application/json"
STREAMS = "milepost.streams"
"""In the scope of a request whose body may come as slowly as its sender likes."""

MOST_ID_CHARS = 128
MOST_SUBJECT_BYTES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is answered.

    Attributes:
        body: All bytes, or pieces of them as they come.
        status: HTTP status.
        content_type: Media type of the body.
        headers: Further headers, names in small letters.
    """

    body: bytes | AsyncIterator[bytes] = b""
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


_encode = msgspec.json.Encoder().encode


def as_json(record: object, status: int = 200) -> Reply:
    """A record as a JSON answer."""
    return Reply(body=_encode(record), status=status)


class Call:
    """One request; lives on the event loop, is handled by one coroutine.

    Attributes:
        gate: Through which all questions go.
        method: HTTP method in capitals.
        path: Path without the prefix under which the app is mounted, percent-decoded.
        headers: Headers by their names in small letters; of one that came twice, the last.
        arguments: Values of the names in the path of the route.
        caller: Who asks; set by the app before a handler sees the request.
        request: Id of the request: ``X-Request-ID`` where it is usable, else a new one.
        began: ``time.monotonic()`` when it was seen first.
        read_all: Whether the body was read to its end.
    """

    __slots__ = (
        "_ahead",
        "_most",
        "_receive",
        "arguments",
        "began",
        "caller",
        "gate",
        "headers",
        "method",
        "path",
        "read_all",
        "request",
        "scope",
    )

    def __init__(self, scope: Scope, receive: Receive, gate: "Gate") -> None:
        self.scope = scope
        self.gate = gate
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self.arguments: Mapping[str, str] = {}
        self.caller: Caller = NOBODY
        self.began = time.monotonic()
        self.read_all = False
        self.request = _request_id(self.headers.get(b"x-request-id"))
        self._receive = receive
        self._ahead: Message | None = None
        self._most = gate.limits.body_bytes

    @property
    def query(self) -> dict[str, str]:
        """The query of the address; of a name that came twice, the last value."""
        raw: bytes = self.scope["query_string"]
        return dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True)) if raw else {}

    def header(self, name: bytes) -> str | None:
        """Value of a header, ``None`` without; bytes outside of ASCII come as Latin-1."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def deadline(self) -> float:
        """``time.monotonic()`` after which nobody waits: ``X-Request-Timeout``, else the limit.

        Raises:
            RefusedError: 400 if the header is no number of seconds within the limits.
        """
        limits = self.gate.limits
        given = self.headers.get(b"x-request-timeout")
        if given is None:
            return self.began + limits.timeout
        try:
            seconds = float(given)
        except ValueError:
            seconds = math.nan
        if not 0.0 < seconds <= limits.most_timeout:
            raise RefusedError(
                400,
                "wrong_header",
                f"X-Request-Timeout is not a number of seconds up to {limits.most_timeout:g}.",
                param="X-Request-Timeout",
                advice="Send seconds, such as 2.5.",
            )
        return self.began + seconds

    @property
    def release(self) -> int | None:
        """Number of the release that ``X-Milepost-Release`` pins; ``None`` without.

        Raises:
            RefusedError: 400 if it is no number.
        """
        given = self.headers.get(b"x-milepost-release")
        if given is None:
            return None
        if not given.isdigit() or len(given) > 9 or int(given) < 1:
            raise RefusedError(
                400,
                "wrong_header",
                "X-Milepost-Release is not the number of a release.",
                param="X-Milepost-Release",
                advice="Send a number such as 3, or leave the header out.",
            )
        return int(given)

    def ask(
        self,
        task: str,
        texts: tuple[str, ...],
        *,
        top: int | None = None,
        subject: str | None = None,
        protocol: str = "native",
    ) -> Ask:
        """A question in the name of the caller, with what the headers say.

        Raises:
            RefusedError: 400 if a header cannot be used.
        """
        return Ask(
            task=task,
            texts=texts,
            key=self.caller.key,
            subject=subject or self.subject(),
            release=self.release,
            top=top,
            deadline=self.deadline,
            request=self.request,
            parent=self.header(b"traceparent"),
            protocol=protocol,
        )

    def subject(self) -> str | None:
        """For whom, as ``X-Milepost-Subject`` says; ``None`` without.

        Raises:
            RefusedError: 400 if the header is too long.
        """
        given = self.headers.get(b"x-milepost-subject")
        if given is not None and len(given) > MOST_SUBJECT_BYTES:
            raise RefusedError(
                400,
                "wrong_header",
                f"X-Milepost-Subject may have at most {MOST_SUBJECT_BYTES} bytes.",
                param="X-Milepost-Subject",
            )
        return given.decode("utf-8", "replace") if given else None

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            RefusedError: 413 if it is too large, 415 if it is compressed, 400 if the client went
                away before its end.
        """
        message = await self._next()
        if not message.get("more_body"):
            self.read_all = True
            whole: bytes = message.get("body", b"")
            if len(whole) > self._most:
                raise self._too_large()
            return whole
        pieces = bytearray(message["body"])
        while message.get("more_body"):
            if len(pieces) > self._most:
                raise self._too_large()
            message = await self._next()
            pieces += message.get("body", b"")
        self.read_all = True
        if len(pieces) > self._most:
            raise self._too_large()
        return bytes(pieces)

    async def welcome(self) -> None:
        """Have a client that asks first begin its body: before an answer that needs none of it.

        It waits for ``100 Continue``, which a server can say no more once an answer has begun
        (RFC 9110, section 10.1.1).

        Raises:
            RefusedError: As :meth:`chunks`.
        """
        if b"expect" in self.headers:
            self.scope[STREAMS] = True
            self._ahead = await self._next(whole=False)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body piece by piece as it arrives, of any length in all.

        Raises:
            RefusedError: 415 if it is compressed, 400 if the client went away before its end.
        """
        self.scope[STREAMS] = True
        more = True
        while more:
            message, self._ahead = self._ahead or await self._next(whole=False), None
            more = bool(message.get("more_body"))
            self.read_all = not more
            yield message.get("body", b"")

    async def rest(self) -> AsyncIterator[bytes]:
        """What still comes of a body that nobody wants."""
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                return
            yield message.get("body", b"")
            if not message.get("more_body"):
                return

    async def left(self) -> None:
        """Returns when the client has gone away; after the body was read to its end."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def read(self, reader: "Reader[T]") -> T:
        """The body as a record.

        Raises:
            RefusedError: As :meth:`body`, and 400 if it is not the JSON that the reader takes.
        """
        return reader(await self.body())

    async def _next(self, *, whole: bool = True) -> Message:
        self._refuse_before_reading(whole=whole)
        message = await self._receive()
        if message["type"] != "http.request":
            raise RefusedError(400, "client_gone", "the client went away before the body's end.")
        return message

    def _refuse_before_reading(self, *, whole: bool) -> None:
        coding = self.headers.get(b"content-encoding")
        if coding is not None and coding.lower() != b"identity":
            raise RefusedError(
                415,
                "compressed_body",
                f"bodies with Content-Encoding {coding[:40].decode('latin-1')!r} are not read.",
                param="Content-Encoding",
                advice="Send the body uncompressed.",
                headers=((b"accept-encoding", b"identity"),),
            )
        length = self.headers.get(b"content-length")
        if whole and length is not None and int(length) > self._most:
            raise self._too_large()

    def _too_large(self) -> RefusedError:
        length = self.headers.get(b"content-length")
        given = f"has {int(length):,} bytes" if length is not None else "is longer than that"
        return RefusedError(
            413,
            "body_too_large",
            f"a body may have at most {self._most:,} bytes; this one {given}.",
            advice="Send fewer inputs in one request, or stream them as NDJSON.",
        )


def _request_id(given: bytes | None) -> str:
    if given is not None and len(given) <= MOST_ID_CHARS:
        text = given.decode("latin-1")
        if text.isascii() and text.isprintable() and text:
            return text
    return f"r{random64():016x}"
