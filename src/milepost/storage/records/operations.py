"""The part of the ledger about requests that are asked twice: the answer is given, the act is not.

A caller that does not know whether its request was carried out asks again with the same key. Keys
are remembered for good, in the transaction of what they stand for.
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from sqlalchemy import Connection, insert, select

from milepost._base.digest import digest_of
from milepost.entities.errors import InputError
from milepost.storage import tables
from milepost.storage.records.audit import AuditRecords
from milepost.storage.records.base import from_json, own, to_json

MOST_KEY = 128
_KEY = re.compile(rf"[!-~]{{1,{MOST_KEY}}}")

_Result = TypeVar("_Result")

Request = Mapping[str, object]
"""What is asked, in words that stay the same when it is asked again."""


class OperationRecords(AuditRecords):
    """First results of requests with an idempotency key."""

    def first_result(
        self, key: str | None, request: Request, kind: type[_Result]
    ) -> _Result | None:
        """What a request with this key came to before; ``None`` when it was never made.

        Args:
            key: The idempotency key; with ``None`` nothing is looked up.
            request: What is asked.
            kind: Type of the result.

        Raises:
            InputError: If the key is none, or was used for another request.
        """
        if key is None:
            return None
        check_key(key)
        with self.database.read() as connection:
            return self._first_result(connection, key, request, kind)

    def keep_result(
        self, key: str | None, request: Request, result: _Result, actor: str = tables.DEFAULT
    ) -> _Result:
        """Remember what a request came to that had nothing to write; the first result stands.

        Raises:
            InputError: If the key is none, or was used for another request.
        """
        if key is None:
            return result
        with self.database.write(self.tenant) as connection:
            return self._once(connection, key, request, type(result), lambda: result, actor=actor)

    def _once(
        self,
        connection: Connection,
        key: str | None,
        request: Request,
        kind: type[_Result],
        act: Callable[[], _Result],
        *,
        actor: str,
    ) -> _Result:
        """Act and remember the result, or give the result of the first time."""
        if key is None:
            return act()
        check_key(key)
        known = self._first_result(connection, key, request, kind)
        if known is not None:
            return known
        result = act()
        connection.execute(
            insert(tables.operations).values(
                tenant=self.tenant,
                key=key,
                request=digest_of(request),
                result=to_json(result),
                created=self.clock(),
                actor=actor,
            )
        )
        return result

    def _first_result(
        self, connection: Connection, key: str, request: Request, kind: type[_Result]
    ) -> _Result | None:
        table = tables.operations
        row = connection.execute(
            select(table.c.request, table.c.result).where(*own(table, self.tenant, key=key))
        ).one_or_none()
        if row is None:
            return None
        if row.request != digest_of(request):
            raise InputError(
                "this idempotency key was used for another request.",
                where=key,
                advice="Use a new key for each request, and the same one only to ask it again.",
            )
        return from_json(row.result, kind, where=f"operation {key}")


def check_key(key: str) -> None:
    """Refuse a text that cannot be an idempotency key.

    Raises:
        InputError: Unless it is 1 to 128 visible ASCII characters without spaces.
    """
    if not _KEY.fullmatch(key):
        raise InputError(
            "this is no idempotency key.",
            where=repr(key[:MOST_KEY]),
            advice=f"It has 1 to {MOST_KEY} visible ASCII characters and no spaces, such as a "
            "random UUID.",
        )
