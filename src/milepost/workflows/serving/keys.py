"""Keys to a server: made, listed, revoked. A secret is told once and kept nowhere."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import get_args

from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.money import Period
from milepost.entities.serving import EVERY, Key, KeyRole
from milepost.workflows.context import Context
from milepost.workflows.language.registry import micro
from milepost.workflows.tasks.files import task_names

SECRET_BYTES = 32
"""Random bytes of a secret: 256 bits cannot be guessed, so a plain SHA-256 of it may be kept."""

MOST_NAME_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """What somebody wants a key for.

    Attributes:
        role: What its holder may do.
        tasks: Tasks that it may ask; empty for all.
        upstreams: Language models that it may ask itself; ``*`` for all, empty for none.
        name: For people; may be empty.
        seconds: How long it works; ``None`` for ever.
        per_second: Most inputs per second; ``None`` for no limit.
        budget_usd: Most that language models may cost that it asks, such as ``5``; ``None`` for no
            budget of its own.
        per: When that begins anew; ``None`` for each month.
    """

    role: KeyRole = "consumer"
    tasks: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = ()
    name: str = ""
    seconds: float | None = None
    per_second: float | None = None
    budget_usd: str | float | None = None
    per: Period | None = None


def create_key(context: Context, wanted: NewKey, reason: str) -> tuple[Key, str]:
    """Make a key.

    Returns:
        Its record, and the secret: ``mp_`` and 43 letters, digits, ``-`` and ``_``.

    Raises:
        UnknownNameError: If there is no such task, or language model.
        InputError: If a number or the name cannot be used.
    """
    known = task_names(context.root)
    for task in wanted.tasks:
        if task not in known:
            raise UnknownNameError("task", task, known, where="--task")
    registered = [row.name for row in context.ledger.upstreams()] if wanted.upstreams else []
    for upstream in wanted.upstreams:
        if upstream != EVERY and upstream not in registered:
            raise UnknownNameError("upstream", upstream, registered, where="--upstream")
    if wanted.per_second is not None and not 0 < wanted.per_second < float("inf"):
        raise InputError(f"{wanted.per_second:g} inputs per second is no limit above 0.")
    if len(wanted.name) > MOST_NAME_CHARS or not wanted.name.isprintable():
        raise InputError(f"a name has at most {MOST_NAME_CHARS} printable characters.")
    secret = f"mp_{secrets.token_urlsafe(SECRET_BYTES)}"
    now = context.clock()
    tasks = tuple(dict.fromkeys(wanted.tasks))
    try:
        expires = None if wanted.seconds is None else now + timedelta(seconds=wanted.seconds)
    except OverflowError:
        raise InputError("no key works for so long.", advice="Leave --expires out.") from None
    key = Key(
        id=f"k{secrets.token_hex(6)}",
        name=wanted.name,
        role=wanted.role,
        tasks=tasks,
        created=now,
        actor=context.actor,
        expires=expires,
        per_second=wanted.per_second,
        upstreams=tuple(dict.fromkeys(wanted.upstreams)),
    )
    most = None if wanted.budget_usd is None else micro(wanted.budget_usd, "--budget-usd")
    if most is None and wanted.per is not None:
        raise InputError(
            "there is no budget that could begin anew.",
            where="--per",
            advice="Say how much the key may spend (--budget-usd), or leave --per out.",
        )
    if wanted.per not in (*get_args(Period), None):
        raise UnknownNameError("period", str(wanted.per), get_args(Period), where="--per")
    context.record_configuration()
    if most is not None:
        # Before the key, which so never is without it.
        context.ledger.set_budget(
            f"key:{key.id}", most, period=wanted.per or "month", reason=reason, actor=context.actor
        )
    kept = context.ledger.create_key(key, _digest(secret), reason=reason, actor=context.actor)
    return kept, secret


def keys(context: Context) -> Sequence[Key]:
    """All keys, also revoked and expired ones, oldest first."""
    return context.ledger.keys()


def revoke_key(context: Context, key: str, reason: str) -> Key:
    """Let a key work no more, for good.

    Raises:
        UnknownNameError: If there is none of this id.
        InputError: If it was revoked before, or its secret was given instead of its id.
    """
    if key.startswith("mp_"):
        raise InputError(
            "this is the secret of a key, not its id.",
            advice="`milepost keys list` shows the ids.",
        )
    context.record_configuration()
    return context.ledger.revoke_key(key, reason=reason, actor=context.actor)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
