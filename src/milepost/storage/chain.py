"""The hash chain of the audit log: each entry's hash covers its content and the hash before it.

Changing any part of a stored entry, or the order of entries, changes every hash after it. This
format is frozen: entries that were written with it must verify for good.
"""

from datetime import UTC, datetime

import msgspec

from milepost._base.digest import sha256_bytes

FORMAT = 1
"""Version of what is hashed; part of what is hashed."""

GENESIS = "0" * 64
"""What the first entry of a tenant follows."""

_encode = msgspec.json.Encoder().encode


def entry_hash(
    previous: str,
    tenant: str,
    sequence: int,
    at: datetime,
    actor: str,
    role: str,
    action: str,
    subject: str,
    reason: str,
    details: str,
) -> str:
    """SHA-256 of a JSON array of everything that an entry says, the hash before it first.

    Args:
        previous: Hash of the entry before, or ``GENESIS``.
        tenant: Whose log.
        sequence: Position from 1.
        at: When; timezone-aware.
        actor: Who.
        role: In which role.
        action: What.
        subject: On what.
        reason: Why.
        details: The stored JSON text, byte for byte.

    Returns:
        64 lower-case hex digits.
    """
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    content = (
        FORMAT, previous, tenant, sequence, moment, actor, role, action, subject, reason, details
    )  # fmt: skip
    return sha256_bytes(_encode(content))
