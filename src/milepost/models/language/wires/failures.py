"""What a status, and the error that a body tells, come to: one outcome for every failure."""

import email.utils
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from milepost.entities.errors import UpstreamError
from milepost.entities.model_calls import Outcome

WORDS = 300
"""Characters of a provider's words that are told on."""

STATUSES: dict[int, Outcome] = {
    400: "bad_request",
    401: "bad_key",
    402: "over_budget",
    403: "bad_key",
    404: "not_found",
    405: "not_found",
    408: "timeout",
    409: "overloaded",
    410: "not_found",
    413: "too_long",
    415: "bad_request",
    422: "bad_request",
    425: "overloaded",
    429: "rate_limited",
    451: "filtered",
    498: "overloaded",
    501: "unsupported",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
"""Statuses that mean something of their own; else 4xx is ``bad_request``, 5xx ``server_error``."""

CODES: dict[str, Outcome] = {
    # OpenAI and those who speak like it
    "invalid_api_key": "bad_key",
    "insufficient_quota": "over_budget",
    "billing_hard_limit_reached": "over_budget",
    "rate_limit_exceeded": "rate_limited",
    "model_not_found": "not_found",
    "context_length_exceeded": "too_long",
    "string_above_max_length": "too_long",
    "content_filter": "filtered",
    "content_policy_violation": "filtered",
    "unsupported_parameter": "unsupported",
    "unsupported_value": "unsupported",
    "server_error": "server_error",
    "exceed_context_size_error": "too_long",
    "unavailable_error": "overloaded",
    # Anthropic
    "authentication_error": "bad_key",
    "permission_error": "bad_key",
    "billing_error": "over_budget",
    "not_found_error": "not_found",
    "request_too_large": "too_long",
    "rate_limit_error": "rate_limited",
    "timeout_error": "timeout",
    "api_error": "server_error",
    "overloaded_error": "overloaded",
    # Google
    "UNAUTHENTICATED": "bad_key",
    "PERMISSION_DENIED": "bad_key",
    "API_KEY_INVALID": "bad_key",
    "NOT_FOUND": "not_found",
    "RESOURCE_EXHAUSTED": "rate_limited",
    "INTERNAL": "server_error",
    "UNAVAILABLE": "overloaded",
    "DEADLINE_EXCEEDED": "timeout",
    "UNIMPLEMENTED": "unsupported",
}
"""Codes, types and statuses in the words of the providers, which say more than the HTTP status."""

_PHRASES: tuple[tuple[re.Pattern[str], Outcome], ...] = (
    (re.compile(r"api key (not valid|expired|not found)|incorrect api key", re.I), "bad_key"),
    (
        re.compile(
            r"context (length|window|size)|prompt is too long|too many (input )?tokens"
            r"|exceeds the (maximum|max) (number of )?(input )?tokens"
            r"|(input|prompt) (length|token count).{0,60}exceed",
            re.I,
        ),
        "too_long",
    ),
    (re.compile(r"content (management|filter|policy)|safety (system|filter)", re.I), "filtered"),
    (
        re.compile(
            r"credit balance|insufficient (balance|credits|quota)|exceeded your current quota", re.I
        ),
        "over_budget",
    ),
    (
        re.compile(
            r"(not supported|unsupported|does not support|not available for this model)", re.I
        ),
        "unsupported",
    ),
)
"""For a 400 whose code says nothing, as some servers answer with words alone."""

ADVICE: dict[str, str] = {
    "bad_key": "The provider refuses the key, or what the key may use.",
    "not_found": "Look at the base URL, up to where the format's own paths begin, and the model.",
    "over_budget": "The account at the provider has no credit left.",
    "too_long": "Ask with a shorter text or fewer examples.",
    "rate_limited": "The provider allows fewer calls at a time.",
}

_PLACE = re.compile(r"https?://(?:[^/@\s]*@)?([A-Za-z0-9.\-:\[\]]+)")


def failed(status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
    """The typed error of an answer whose status is not 200.

    Args:
        status: HTTP status.
        headers: Names in lower case.
        body: Whatever came with it.
    """
    if 300 <= status < 400:
        found = _PLACE.match(headers.get(b"location", b"").decode("latin-1"))
        where = f" to {found[1][:100]}" if found else ""
        return UpstreamError(
            "blocked_address",
            f"It redirects{where}, and redirects are never followed.",
            advice="Register the address itself.",
            attempts=1,
        )
    error = told(_error(body), STATUSES.get(status) or _class(status), status=status)
    error.retry_after = retry_after(headers, _delay(body))
    return error


def told(error: object, otherwise: Outcome = "server_error", *, status: int = 200) -> UpstreamError:
    """The typed error of the error object in a body or an event of any format."""
    codes, words = _codes(error), _message(error)
    outcome = next((CODES[code] for code in codes if code in CODES), otherwise)
    if outcome in ("bad_request", "server_error", "rate_limited") and words and status < 500:
        meant = [found for pattern, found in _PHRASES if pattern.search(words)]
        outcome = meant[0] if meant else outcome
    shown = f"HTTP {status}" if status != 200 else "An error in place of an answer"
    what = f"{shown}: {words}" if words else f"{shown}, without a word."
    return UpstreamError(outcome, what, advice=ADVICE.get(outcome), attempts=1)


def objection(body: bytes, fields: frozenset[str]) -> str | None:
    """The one of the fields that a server says it does not know or take; ``None`` if none."""
    error = _error(body)
    words = _message(error)
    if not re.search(
        r"unsupported|not support|unexpected|deprecated|not permitted|unrecognized|unknown|invalid"
        r"|not allowed|only the default|may only be|cannot both",
        words,
        re.I,
    ):
        return None
    param = error.get("param") if isinstance(error, dict) else None
    if isinstance(param, str) and param in fields:
        return param
    named = [field for field in fields if re.search(rf"\b{field}\b", words)]
    return min(named, key=words.find) if named else None


def retry_after(headers: Mapping[bytes, bytes], delay: float | None = None) -> float | None:
    """Seconds after which to try again, as headers or the body say (RFC 9110, 10.2.3)."""
    precise = _number(headers.get(b"retry-after-ms"))
    if precise is not None:
        return precise / 1000
    said = headers.get(b"retry-after")
    if said is None:
        return delay
    seconds = _number(said)
    if seconds is not None:
        return seconds
    try:
        day = email.utils.parsedate_to_datetime(said.decode("latin-1"))
    except ValueError:
        return delay
    day = day if day.tzinfo is not None else day.replace(tzinfo=UTC)
    return max(0.0, (day - datetime.now(UTC)).total_seconds())


def _number(text: bytes | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def _class(status: int) -> Outcome:
    if status >= 500:
        return "server_error"
    return "bad_request" if status >= 400 else "malformed"


def _error(body: bytes) -> object:
    """The error of a body, wherever the formats put it."""
    try:
        found: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, dict):
        return None
    for name in ("error", "detail"):
        inner: object = found.get(name)
        if inner:
            return inner
    return found


def _codes(error: object) -> list[str]:
    if not isinstance(error, dict):
        return []
    details = error.get("details")
    reasons: list[object] = []
    if isinstance(details, list):
        reasons = [detail.get("reason") for detail in details if isinstance(detail, dict)]
    inner = error.get("innererror")
    if isinstance(inner, dict):
        reasons.append(inner.get("code"))
    named = [*reasons, error.get("code"), error.get("type"), error.get("status")]
    return [name for name in named if isinstance(name, str)]


def _message(error: object) -> str:
    if isinstance(error, dict):
        error = error.get("message") or error.get("msg") or ""
    elif isinstance(error, list):  # Validation errors of FastAPI
        parts = [part for part in error if isinstance(part, dict)]
        error = "; ".join(
            f"{'.'.join(str(at) for at in part.get('loc', ()))}: {part.get('msg', '')}"
            for part in parts
        )
    words = " ".join(str(error).split()) if isinstance(error, str) else ""
    return words if len(words) <= WORDS else f"{words[:WORDS]}…"


def _delay(body: bytes) -> float | None:
    """Google's ``RetryInfo``, such as ``"retryDelay": "17s"``."""
    error = _error(body)
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and delay.endswith("s"):
            return _number(delay[:-1].encode())
    return None
