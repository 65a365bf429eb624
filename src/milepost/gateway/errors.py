"""Every error as an HTTP answer of one shape: ``{"error": {type, code, message, param, hint}}``.

What is inside the server never shows: an error that nobody meant is told as an id to look for in
the log.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import msgspec

from milepost.entities.errors import (
    ConflictError,
    InputError,
    LateError,
    MilepostError,
    OverloadedError,
    RecordingError,
    UnknownNameError,
    UnreachableError,
    UpstreamError,
    WorkspaceError,
)
from milepost.entities.model_calls import Outcome

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    406: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    431: "invalid_request_error",
    500: "server_error",
    501: "invalid_request_error",
    502: "upstream_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""Class of an error by status, in the words of the OpenAI API, so that its clients know them."""


ADDRESSED = ("task", "release", "trace", "model")
"""What a request is about. Any other unknown name, such as a label, is a mistake in its content."""

_FIELDS = {"trace": "trace_id"}
"""How requests call what has another name here."""


_WORD = re.compile("[a-z]+ ")


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong with a request.

    Attributes:
        type: Class of the error; follows from the status.
        code: The one mistake, for programs.
        message: One sentence for people: what is wrong.
        param: Which part of the request it is about, as a JSON path or the name of a header.
        hint: What to do about it.
    """

    type: str
    code: str
    message: str
    param: str | None = None
    hint: str | None = None


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer that is an error."""

    error: ErrorDetail


class RefusedError(MilepostError):
    """A request that cannot be answered, with the status that says why.

    Args:
        status: HTTP status, one of ``TYPES``.
        code: The one mistake, for programs.
        what: One sentence: what is wrong.
        param: Which part of the request it is about.
        advice: What to do about it.
        headers: Further headers of the answer, such as ``allow``.
    """

    def __init__(
        self,
        status: int,
        code: str,
        what: str,
        *,
        param: str | None = None,
        advice: str | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(what, advice=advice)
        self.status = status
        self.code = code
        self.param = param
        self.headers = headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error as it is answered.

    Attributes:
        status: HTTP status.
        detail: What the body says.
        headers: Further headers, such as ``retry-after``.
        unforeseen: Whether nobody meant it: it belongs into the log.
    """

    status: int
    detail: ErrorDetail
    headers: tuple[tuple[bytes, bytes], ...] = ()
    unforeseen: bool = False

    def body(self) -> bytes:
        """JSON of the answer."""
        return msgspec.json.encode(ErrorBody(error=self.detail))

    def spoken_body(self) -> bytes:
        """The same with the hint in the message too: OpenAI's clients show nothing else."""
        detail = self.detail
        if detail.hint:
            detail = msgspec.structs.replace(detail, message=f"{detail.message} {detail.hint}")
        return msgspec.json.encode(ErrorBody(error=detail))


def refusal(error: BaseException, request: str = "") -> Refusal:
    """How an error is answered.

    Args:
        error: What was raised.
        request: Id of the request, named where the error is not meant for the outside.
    """
    for kind, answer in _ANSWERS:
        if isinstance(error, kind):
            return answer(cast("MilepostError", error))
    return Refusal(
        status=500,
        detail=ErrorDetail(
            type=TYPES[500],
            code="internal",
            message="The server failed to answer this request.",
            hint=f"Look for request {request} in the server's log." if request else None,
        ),
        unforeseen=True,
    )


def _plain(status: int, code: str) -> Callable[[MilepostError], Refusal]:
    def answer(error: MilepostError) -> Refusal:
        # `where` may name a file of the server; what is wrong and the advice never do.
        return _refusal(status, code, error)

    return answer


def _refusal(
    status: int,
    code: str,
    error: MilepostError,
    *,
    param: str | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Refusal:
    detail = ErrorDetail(
        type=TYPES[status], code=code, message=_sentence(error.what), param=param, hint=error.advice
    )
    return Refusal(status=status, detail=detail, headers=headers)


def _sentence(text: str) -> str:
    """With a capital, unless it begins with a name that has none."""
    return text[:1].upper() + text[1:] if _WORD.match(text) else text


def _refused(error: MilepostError) -> Refusal:
    refused = cast("RefusedError", error)
    return _refusal(
        refused.status, refused.code, error, param=refused.param, headers=refused.headers
    )


def _unknown(error: MilepostError) -> Refusal:
    kind = cast("UnknownNameError", error).kind.partition(" ")[0]
    status = 404 if kind in ADDRESSED else 422
    return _refusal(status, f"unknown_{kind}", error, param=_FIELDS.get(kind, kind))


def _overloaded(error: MilepostError) -> Refusal:
    overloaded = cast("OverloadedError", error)
    status, code = (429, "rate_limited") if overloaded.own else (503, "overloaded")
    return _refusal(status, code, error, headers=retry_after(overloaded.retry_after))


UPSTREAM: dict[Outcome, tuple[int, str]] = {
    "timeout": (504, "upstream_timeout"),
    "unreachable": (502, "upstream_unreachable"),
    "reset": (502, "upstream_reset"),
    "cut_off": (502, "upstream_cut_off"),
    "malformed": (502, "upstream_malformed"),
    "too_large": (502, "upstream_too_large"),
    "rate_limited": (503, "upstream_rate_limited"),
    "overloaded": (503, "upstream_overloaded"),
    "server_error": (502, "upstream_error"),
    "bad_key": (502, "upstream_bad_key"),
    "no_key": (502, "upstream_no_key"),
    "bad_request": (400, "upstream_refused"),
    "not_found": (502, "upstream_not_found"),
    "too_long": (400, "context_length_exceeded"),
    "filtered": (400, "content_filter"),
    "unsupported": (400, "unsupported"),
    "blocked_address": (502, "upstream_blocked_address"),
    "breaker_open": (503, "upstream_unavailable"),
    "over_budget": (402, "over_budget"),
    "no_price": (402, "no_price"),
    "cancelled": (503, "upstream_cancelled"),
}
"""Status and code by how a call of a language model ended."""

SOON = 60.0
"""A budget that is free again within so many seconds is answered 429, not 402."""


def _upstream(error: MilepostError) -> Refusal:
    failed = cast("UpstreamError", error)
    status, code = UPSTREAM.get(cast("Outcome", failed.outcome), (502, "upstream_error"))
    again = failed.retry_after
    if status == 402 and again is not None and again <= SOON:
        status = 429
    if again is None and status == 503:
        again = 1.0
    answer = _refusal(status, code, error, headers=() if again is None else retry_after(again))
    if failed.where is None or status in {402, 429}:
        return answer
    # "Its last calls failed" says nothing to whoever sent text to a task, and knows no upstream.
    said, hint = _sentence(f"{failed.where}: {failed.outside}"), error.advice
    if failed.outside != failed.what:
        hint = "Whoever runs the server finds out why with `milepost upstreams check`."
    return replace(answer, detail=msgspec.structs.replace(answer.detail, message=said, hint=hint))


def _try_again(code: str) -> Callable[[MilepostError], Refusal]:
    def answer(error: MilepostError) -> Refusal:
        return _refusal(503, code, error, headers=retry_after(1.0))

    return answer


def retry_after(seconds: float) -> tuple[tuple[bytes, bytes], ...]:
    """The header that says when to try again, in whole seconds (RFC 9110, 10.2.3)."""
    return ((b"retry-after", b"%d" % max(1, math.ceil(seconds))),)


_ANSWERS: tuple[tuple[type[BaseException], Callable[[MilepostError], Refusal]], ...] = (
    (RefusedError, _refused),
    (UnknownNameError, _unknown),
    (InputError, _plain(422, "unusable_input")),
    (OverloadedError, _overloaded),
    (LateError, _plain(504, "deadline_exceeded")),
    (UpstreamError, _upstream),
    (RecordingError, _try_again("not_recorded")),
    (UnreachableError, _try_again("ledger_unreachable")),
    (ConflictError, _plain(409, "conflict")),
    (WorkspaceError, _plain(409, "nothing_to_serve")),
)
"""First match answers; subclasses stand before what they are derived from."""
