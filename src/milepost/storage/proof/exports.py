"""The audit log as lines for others: with all that is needed to verify it, or as CloudEvents."""

import re
from collections.abc import Callable, Generator
from urllib.parse import quote

import msgspec

from milepost.storage.chain import GENESIS
from milepost.storage.database import Database
from milepost.storage.proof.chain_check import RawRow
from milepost.storage.proof.ledger_rows import entry_rows, last_entry

SOURCE = "/milepost/tenants/"
"""Before a tenant's name: the source of its events, a URI reference."""

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""What a CloudEvents attribute must not hold (version 1.0.2, "Type System")."""

_Line = Callable[[str, str, RawRow], bytes]

_encode = msgspec.json.Encoder().encode


def export_lines(database: Database, tenant: str, format: str, after: int) -> Generator[bytes]:  # noqa: A002
    """The entries of a tenant after a number, oldest first, each as one line of JSON.

    Args:
        database: The ledger.
        tenant: Whose log.
        format: A key of ``FORMATS``.
        after: Number of the entry after which to begin.
    """
    line, previous = FORMATS[format], GENESIS
    for row in entry_rows(database, tenant, max(0, after - 1), last_entry(database, tenant)):
        if row[0] > after:
            yield line(tenant, previous, row)
        previous = row[8]


def jsonl_line(tenant: str, previous: str, row: RawRow) -> bytes:
    """All that is hashed, the details as the text that they are stored as."""
    number, at, actor, role, action, subject, reason, details, digest = row
    content = {
        "tenant": tenant,
        "sequence": number,
        "at": at,
        "actor": actor,
        "role": role,
        "action": action,
        "subject": subject,
        "reason": reason,
        "details": details,
        "previous": previous,
        "hash": digest,
    }
    return _encode(content) + b"\n"


def cloudevents_line(tenant: str, previous: str, row: RawRow) -> bytes:
    """An event by CloudEvents 1.0.2 in its JSON format; the hash is its id."""
    number, at, actor, role, action, subject, reason, details, digest = row
    about = _FORBIDDEN.sub("\ufffd", subject)
    event: dict[str, object] = {
        "specversion": "1.0",
        "id": digest,
        "source": SOURCE + quote(tenant, safe=""),
        "type": f"milepost.{action}",
        **({"subject": about} if about else {}),
        "time": at.replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {
            "sequence": number,
            "actor": actor,
            "role": role,
            "reason": reason,
            "details": msgspec.Raw(details.encode()),
            "previous": previous,
        },
    }
    return _encode(event) + b"\n"


FORMATS: dict[str, _Line] = {"jsonl": jsonl_line, "cloudevents": cloudevents_line}
"""How an entry is written, by the name of the format."""
