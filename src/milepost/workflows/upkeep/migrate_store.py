"""Moves a workspace's ledger to another database.

The rows are copied and compared while nobody else may write. One transaction then closes the old
ledger and decides; what comes after it is only carried out, by this process or by the next one that
opens the workspace. So at every moment one of the two is in force, and nothing that was
acknowledged is left behind.
"""

import socket
from pathlib import Path

from milepost._base.digest import digest_of
from milepost.entities.backup import StoreMoved
from milepost.entities.errors import InputError
from milepost.storage.database import Database
from milepost.storage.moving import Act, Arrival
from milepost.workflows.context import Context
from milepost.workflows.ledger_address import (
    FILE,
    follow,
    ledger_url,
    refuse_password,
    with_places,
)


def migrate_store(context: Context, address: str, reason: str = "moved by hand") -> StoreMoved:
    """Move the ledger to an empty database, and let ``milepost.toml`` name it.

    Args:
        context: The workspace.
        address: As ``milepost.toml`` shall name it: ``postgresql://…`` or ``sqlite:///FILE``;
            ``${NAME}`` stands for an environment variable.
        reason: Why, for the audit log.

    Raises:
        InputError: If the address holds a password, or is the one in use.
        WorkspaceError: If the address cannot be used, or the database is not empty.
        StorageError: If either database fails; the old one stays in force then.
    """
    refuse_password(address)
    source = context.ledger.database
    target = Database(ledger_url(context.root, address))
    try:
        if target.address.url == source.address.url:
            raise InputError("the ledger is there already.", where=target.address.label)
        # What cannot be written at the end is found out before anything is copied.
        with_places((context.root / FILE).read_text(encoding="utf-8-sig"), ledger=address)
        old, new = source.address.label, target.address.label
        act = Act(
            actor=context.actor,
            action="ledger.moved",
            subject=FILE,
            reason=reason,
            details={"from": old, "to": new},
        )
        arrival = Arrival(target, context.clock, context.ledger.tenant, context.ledger.role)
        token = digest_of([socket.gethostname(), str(context.root), old])
        copied = arrival.take_over(context.ledger, token, address, act)
    finally:
        target.close()
    follow(context.root, address)
    return StoreMoved(
        source=old,
        target=new,
        rows=sum(count.rows for count in copied.values()),
        tables=copied,
        kept=str(Path(old)) if source.is_sqlite else None,
    )
