"""Who asks, and what they may: keys become callers, callers have rights.

A key is a secret of 256 random bits; the ledger knows only its SHA-256, and so does this module's
cache. Nothing here is ever logged. Of HTTP it knows some headers.
"""

import asyncio
import hashlib
import ipaddress
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, Protocol
from urllib.parse import urlsplit

from milepost.entities.errors import StorageError
from milepost.entities.serving import EVERY, Key, KeyRole
from milepost.gateway.errors import RefusedError

Right = Literal["open", "ask", "watch", "manage"]
"""What a route needs: ``open`` nothing, ``ask`` answers and feedback, ``watch`` metrics and
traces, ``manage`` everything else."""

RIGHTS: dict[KeyRole, frozenset[Right]] = {
    "consumer": frozenset({"open", "ask"}),
    "finetuner": frozenset({"open", "ask", "watch"}),
    "provider": frozenset({"open", "ask", "watch", "manage"}),
    "admin": frozenset({"open", "ask", "watch", "manage"}),
}

MOST_KNOWN = 100_000
"""Keys, right and wrong, that a worker remembers; the least recently looked up go first."""

STRANGERS_AT_ONCE = 2
"""Keys never seen before that are looked up at once, so that whoever sends made-up ones keeps no
thread from those that are known."""

STALE_SECONDS = 600.0
"""How long a key that was seen to be good still works while the ledger cannot be reached."""

_CHALLENGE = ((b"www-authenticate", b'Bearer realm="milepost"'),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks.

    Attributes:
        key: Id of the key; ``None`` where none is needed.
        rights: What they may do.
        tasks: Tasks that they may ask; empty for all.
        per_second: Most inputs per second; ``None`` for no limit.
        upstreams: Language models that they may ask themselves; ``*`` stands for all.
    """

    key: str | None = None
    rights: frozenset[Right] = RIGHTS["admin"]
    tasks: frozenset[str] = frozenset()
    per_second: float | None = None
    upstreams: frozenset[str] = frozenset({EVERY})

    def may_ask(self, task: str) -> bool:
        """Whether they may ask this task."""
        return not self.tasks or task in self.tasks

    def may_pass(self, upstream: str) -> bool:
        """Whether they may ask this language model themselves."""
        return upstream in self.upstreams or EVERY in self.upstreams


ANYBODY = Caller()
"""Who asks a server that needs no keys."""

NOBODY = Caller(rights=frozenset({"open"}), tasks=frozenset({""}), upstreams=frozenset())
"""Who asks without a key where one is needed."""


def check_local(headers: Mapping[bytes, bytes]) -> None:
    """Nothing, if a request without a key can come from this machine's own user alone.

    A page of any site can have its reader's browser ask a server on the reader's machine, and read
    the answers where the name of the site leads to this machine (DNS rebinding). The browser says
    by which name it asks, and for which site.

    Args:
        headers: Of the request.

    Raises:
        RefusedError: 403 if it asks by another name, or for another site.
    """
    host = headers.get(b"host")
    if host is not None and not _is_local(host):
        raise RefusedError(
            403,
            "other_host",
            "a server without keys answers only to names of this machine.",
            param="Host",
            advice="Ask it as localhost or 127.0.0.1, or serve with keys.",
        )
    origin = headers.get(b"origin")
    other = origin is not None and origin.partition(b"://")[2] != host
    # A link that is followed shows its page to nobody else.
    follows = headers.get(b"sec-fetch-mode") == b"navigate"
    if other or (not follows and headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site")):
        raise RefusedError(
            403,
            "other_origin",
            "a server without keys answers no page of another site.",
            param="Origin",
            advice="Serve with keys, and let the page's own server ask.",
        )


@lru_cache(16)
def _is_local(host: bytes) -> bool:
    try:
        name = urlsplit(b"//" + host).hostname or b""
        text = name.decode("ascii").rstrip(".")
        return text == "localhost" or ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


class Keys(Protocol):
    """Where keys are looked up; called from threads."""

    def key_by_hash(self, sha256: str, /) -> Key | None:
        """The key whose secret has this digest, revoked and expired ones too.

        Raises:
            StorageError: If that cannot be found out now.
        """
        ...


class NoKeys:
    """Knows no key: whoever asks is refused."""

    def key_by_hash(self, sha256: str, /) -> Key | None:
        """None."""
        del sha256


@dataclass(slots=True)
class _Known:
    key: Key | None
    caller: Caller | None
    checked: float
    refresh: "asyncio.Task[None] | None" = None


class Access:
    """Looks keys up and remembers them for a moment; used on one event loop.

    Looking up by digest takes no time that depends on how much of a secret is right. A key in use
    is looked up again in the background after half the time that it is remembered, so that its
    requests do not wait and a revoked one stops within that time.

    Args:
        keys: Where keys are looked up.
        ttl: Seconds for which a looked-up key is believed.
        insecure: Whether everybody may do everything without a key.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        keys: Keys,
        ttl: float = 1.0,
        *,
        insecure: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._ttl = ttl
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self._strangers = asyncio.Semaphore(STRANGERS_AT_ONCE)
        self.insecure = insecure

    async def caller(self, authorization: bytes | None) -> Caller:
        """Who a request is from.

        Args:
            authorization: Its ``Authorization`` header; ``None`` without.

        Raises:
            RefusedError: 401 if there is no key, or it is wrong, revoked or expired.
            StorageError: If that cannot be found out now.
        """
        if self.insecure:
            return ANYBODY
        if authorization is None:
            raise _unauthorized(
                "no_key",
                "this needs a key.",
                "Send `Authorization: Bearer mp_…`; `milepost keys create` makes a key.",
            )
        scheme, _, secret = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not secret.strip():
            raise _unauthorized(
                "no_key",
                "the Authorization header holds no bearer token.",
                "Send `Authorization: Bearer mp_…`.",
            )
        digest = hashlib.sha256(secret.strip()).digest()
        known = self._known.get(digest)
        now = self._clock()
        if known is None:
            async with self._strangers:
                known = self._known.get(digest) or await self._look_up(digest, None)
        elif now - known.checked > self._ttl:
            known = await self._look_up(digest, known)
        elif now - known.checked > self._ttl / 2 and known.caller and known.refresh is None:
            known.refresh = asyncio.create_task(self._refresh(digest, known))
        return _checked(known)

    def forget(self) -> None:
        """Look every key up again before it is believed."""
        for known in self._known.values():
            known.checked = min(known.checked, self._clock() - 2 * self._ttl)

    async def _refresh(self, digest: bytes, known: _Known) -> None:
        try:
            await self._look_up(digest, known)
        except StorageError:
            pass  # said to the next request that finds it too old
        finally:
            known.refresh = None

    async def _look_up(self, digest: bytes, known: _Known | None) -> _Known:
        asked = self._clock()
        try:
            key = await asyncio.to_thread(self._keys.key_by_hash, digest.hex())
        except StorageError:
            if known is not None and known.caller and asked - known.checked < STALE_SECONDS:
                return known
            raise
        if known is None or known.key != key:
            known = _Known(key, None if key is None else _caller(key), asked)
        known.checked = asked
        self._known.pop(digest, None)
        while len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[digest] = known
        return known


def _caller(key: Key) -> Caller:
    return Caller(
        key=key.id,
        rights=RIGHTS[key.role],
        tasks=frozenset(key.tasks),
        per_second=key.per_second,
        # Money is spent by whoever was given leave to; those who register models need none.
        upstreams=frozenset({EVERY} if "manage" in RIGHTS[key.role] else key.upstreams),
    )


def _checked(known: _Known) -> Caller:
    key, caller = known.key, known.caller
    if key is None or caller is None:
        raise _unauthorized(
            "wrong_key", "this key is not known here.", "Is it complete, and of this workspace?"
        )
    if key.revoked is not None:
        raise _unauthorized("revoked_key", "this key was revoked.", "Ask for a new one.")
    if key.expires is not None and key.expires <= datetime.now(UTC):
        raise _unauthorized("expired_key", "this key has expired.", "Ask for a new one.")
    return caller


def _unauthorized(code: str, what: str, advice: str) -> RefusedError:
    return RefusedError(401, code, what, param="Authorization", advice=advice, headers=_CHALLENGE)
