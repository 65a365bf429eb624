"""The part of the ledger about who alone may do something for a while: leases and their tokens.

A lease may be lost to somebody else at any moment, because clocks differ and processes pause. So
nothing relies on holding one: every guarded write checks, in its own transaction, that the token is
still the newest. Clocks decide only how soon somebody else may go on.
"""

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Connection, delete, insert, select, update

from milepost._base import process
from milepost.entities.errors import HeldError, LostError
from milepost.entities.job import Lease
from milepost.storage import tables
from milepost.storage.records.audit import AuditRecords
from milepost.storage.records.base import own


class LeaseRecords(AuditRecords):
    """Leases with fencing tokens (Kleppmann 2016, "How to do distributed locking")."""

    gone: Callable[[str], bool] = staticmethod(process.gone)
    """Whether a holder is seen to have ended."""

    def acquire(self, name: str, holder: str, seconds: float) -> Lease:
        """Take a lease that is free, has run out, or whose holder is seen to have ended.

        Args:
            name: What it is the right to.
            holder: Identity of the process that asks, from ``milepost._base.process``.
            seconds: How long it holds without being renewed.

        Raises:
            HeldError: If somebody else holds it.
        """
        with self.database.write(self.tenant) as connection:
            return self._acquire(connection, name, holder, seconds)

    def renew(self, lease: Lease, seconds: float) -> Lease:
        """Hold a lease for ``seconds`` from now, also where it has run out but nobody took it.

        Raises:
            LostError: If somebody else took it, or it was given back.
        """
        with self.database.write(self.tenant) as connection:
            return self._renew(connection, lease, seconds)

    def give_back(self, lease: Lease) -> None:
        """Give a lease back; where it was lost already, nothing is changed."""
        with self.database.write(self.tenant) as connection:
            self._give_back(connection, lease)

    def lease(self, name: str) -> Lease | None:
        """The lease as it stands; ``None`` when nobody holds it.

        One whose holder is seen to have ended, or whose time has run out, counts as not held.
        """
        with self.database.read() as connection:
            found = self._lease(connection, name)
        return found if found is not None and self._alive(found) else None

    def _acquire(self, connection: Connection, name: str, holder: str, seconds: float) -> Lease:
        table = tables.leases
        held = self._lease(connection, name)
        if held is not None and self._alive(held):
            raise HeldError(
                f"{process.described(held.holder)} has been at this since "
                f"{held.since:%H:%M:%S} UTC; without a sign of life its claim ends at "
                f"{held.expires:%H:%M:%S} UTC.",
                where=name,
                advice="Wait until it is done.",
            )
        where = own(table, self.tenant, name=name)
        token = connection.scalar(select(table.c.token).where(*where)) or 0
        now = self.clock()
        lease = Lease(
            name=name,
            token=token + 1,
            holder=holder,
            since=now,
            expires=now + timedelta(seconds=seconds),
        )
        connection.execute(delete(table).where(*where))
        connection.execute(
            insert(table).values(
                tenant=self.tenant,
                name=name,
                token=lease.token,
                holder=holder,
                since=lease.since,
                expires=lease.expires,
            )
        )
        return lease

    def _renew(self, connection: Connection, lease: Lease, seconds: float) -> Lease:
        self._require_lease(connection, lease)
        expires = self.clock() + timedelta(seconds=seconds)
        table = tables.leases
        connection.execute(
            update(table).where(*own(table, self.tenant, name=lease.name)).values(expires=expires)
        )
        return Lease(
            name=lease.name,
            token=lease.token,
            holder=lease.holder,
            since=lease.since,
            expires=expires,
        )

    def _give_back(self, connection: Connection, lease: Lease) -> None:
        table = tables.leases
        connection.execute(
            update(table)
            .where(*own(table, self.tenant, name=lease.name, token=lease.token))
            .values(holder=None, since=None, expires=None)
        )

    def _revoke(self, connection: Connection, name: str) -> None:
        """Take a lease away from whoever holds it; none of its guarded writes succeeds any more."""
        table = tables.leases
        connection.execute(
            update(table)
            .where(*own(table, self.tenant, name=name))
            .values(token=table.c.token + 1, holder=None, since=None, expires=None)
        )

    def _require_lease(self, connection: Connection, lease: Lease | None) -> None:
        """Refuse a guarded write of somebody who lost the lease; ``None`` guards nothing.

        Holds until the caller's transaction ends, because the writes of a tenant wait for one
        another.

        Raises:
            LostError: If its token is not the newest, or it was given back.
        """
        if lease is None:
            return
        held = self._lease(connection, lease.name)
        if held is None or held.token != lease.token:
            other = f"{process.described(held.holder)} took it over" if held else "it ended"
            raise LostError(
                f"this process may not write any more: {other} in the meantime.",
                where=lease.name,
                advice="See `milepost jobs`.",
            )

    def _lease(self, connection: Connection, name: str) -> Lease | None:
        """The row of a lease, run out or not; ``None`` where nobody has it."""
        table = tables.leases
        row = connection.execute(
            select(table).where(*own(table, self.tenant, name=name), table.c.holder.is_not(None))
        ).one_or_none()
        if row is None:
            return None
        return Lease(
            name=row.name, token=row.token, holder=row.holder, since=row.since, expires=row.expires
        )

    def _alive(self, lease: Lease) -> bool:
        return lease.expires > self.clock() and not self.gone(lease.holder)
