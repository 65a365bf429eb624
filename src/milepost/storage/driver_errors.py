"""Turns what a database driver says into an error that a person can act on.

Knows addresses and driver codes, no table. No message repeats a password, and none repeats the
address as it was given.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from milepost.entities.errors import (
    ConflictError,
    CorruptError,
    InputError,
    MilepostError,
    StorageError,
    UnreachableError,
    WorkspaceError,
)

_EXAMPLES = "Write sqlite:///ledger.db or postgresql://user:password@host:5432/database."


class _Known(NamedTuple):
    kind: type[MilepostError]
    what: str
    advice: str


_LOCKED = _Known(
    StorageError,
    "another process holds the ledger locked.",
    "Wait until it is done and try again.",
)
_FULL = _Known(
    StorageError,
    "the disk of the ledger is full; nothing was changed.",
    "Free some space and try again.",
)
_NO_ROOM = _Known(
    StorageError,
    "the database server cannot write: its disk is full, or may not be written.",
    "Free some space there and try again.",
)
_NO_ROOM_WORDS = ("No space left on device", "FATAL:  could not write", "FATAL:  could not extend")
"""What PostgreSQL says where it cannot even begin a session; it sends no code for that."""
_READ_ONLY = _Known(
    WorkspaceError,
    "the ledger cannot be written.",
    "Check the permissions of the file and of its folder, or use another workspace.",
)
_BROKEN = _Known(
    CorruptError,
    "the ledger file is damaged, or it is not a ledger.",
    "Restore it from a backup, or name another file.",
)
_UNREACHABLE = _Known(
    UnreachableError,
    "the database server cannot be reached.",
    "Check that it runs, and the host and port in the ledger's address.",
)
_LOG_IN = _Known(
    WorkspaceError,
    "the database server refused the login.",
    "Check user, password and rights in the ledger's address.",
)
_UNSUITABLE = _Known(
    InputError,
    "a value cannot be stored: it holds a NUL or half a character, or is out of range.",
    "Remove it and try again.",
)
_BROKEN_RULE = _Known(
    StorageError,
    "the record contradicts what is stored: it exists already, or names something that does not.",
    "Read the ledger again and decide anew.",
)
_HISTORY = _Known(
    StorageError,
    "history is never changed: rows of this table can only be added.",
    "Add a new one.",
)
MOVED = "this ledger has moved"
"""What the triggers of a ledger say that was moved to another database."""

_MOVED = _Known(
    StorageError,
    f"{MOVED} to another database; nothing was written.",
    "Run the command again: it finds the new one.",
)
_LOST = _Known(
    UnreachableError,
    "the connection to the database server was lost; what was being written may be there or not.",
    "Read it again, or give the same idempotency key, and try again.",
)
_STARTING = _Known(
    UnreachableError,
    "the database server is starting, stopping or recovering.",
    "Try again in a moment.",
)
_BUSY = _Known(
    StorageError,
    "all connections to the ledger are in use.",
    "Try again, or use fewer threads.",
)

# Primary result codes, and one extended, https://www.sqlite.org/rescode.html
_SQLITE: dict[int, _Known] = {
    3: _READ_ONLY,
    5: _LOCKED,
    6: _LOCKED,
    8: _READ_ONLY,
    11: _BROKEN,
    13: _FULL,
    14: _Known(
        WorkspaceError,
        "the ledger cannot be opened.",
        "Check that its folder exists and may be written.",
    ),
    26: _BROKEN,
    1811: _HISTORY,  # a trigger refused
}

# SQLSTATE codes, https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRES: dict[str, _Known] = {
    "25006": _READ_ONLY,
    "25P03": _LOST,
    "28000": _LOG_IN,
    "28P01": _LOG_IN,
    "3D000": _Known(
        WorkspaceError,
        "the database does not exist.",
        "Create it first, or correct its name in the ledger's address.",
    ),
    "40001": _Known(ConflictError, "another process changed the same rows.", "Try again."),
    "40P01": _Known(ConflictError, "another process changed the same rows.", "Try again."),
    "42501": _LOG_IN,
    "53100": _FULL,
    "53300": _Known(
        StorageError,
        "the database server takes no more connections.",
        "Try again, or raise its max_connections.",
    ),
    "55P03": _LOCKED,
    "57P01": _LOST,
    "57P02": _LOST,
    "57P03": _STARTING,
    "P0001": _HISTORY,  # a trigger refused
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a ledger is.

    Attributes:
        url: For SQLAlchemy; holds the password.
        label: For people: the file, or server and database. Holds no user and no password.
        secrets: Values that no message may repeat.
    """

    url: URL = field(repr=False)
    label: str
    secrets: tuple[str, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``.

        A relative file is taken from the current folder once, now.

        Raises:
            WorkspaceError: If it is neither.
        """
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            # No cause is kept: it would repeat the text, and with it the password.
            raise WorkspaceError("the ledger's address cannot be read.", advice=_EXAMPLES) from None
        name = url.get_backend_name()
        if name in {"postgresql", "postgres"}:
            url = url.set(drivername="postgresql+psycopg")
            host = url.host or str(url.query.get("host", "local socket"))
            port = f":{url.port}" if url.port else ""
            label = f"postgresql://{host}{port}/{url.database or ''}"
        elif name == "sqlite":
            url, label = _absolute(url.set(drivername="sqlite+pysqlite"))
        else:
            raise WorkspaceError(f"a ledger cannot be kept in {name!r}.", advice=_EXAMPLES)
        return cls(url, label, _secrets(url))

    def explain(self, error: Exception) -> MilepostError:
        """The error to raise in place of the driver's."""
        known = _recognise(error)
        if known:
            return known.kind(known.what, where=self.label, advice=known.advice)
        said = str(error.orig) if isinstance(error, DBAPIError) and error.orig else str(error)
        return StorageError(
            f"the database said: {self.without_secrets(said).strip()}.", where=self.label
        )

    def leaks(self, error: BaseException) -> bool:
        """Whether the error's own words repeat a secret."""
        return any(secret in str(error) for secret in self.secrets)

    def without_secrets(self, text: str) -> str:
        """The text with every secret replaced by stars."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def missing_driver(address: Address) -> WorkspaceError:
    """The error when the driver of PostgreSQL is not installed."""
    return WorkspaceError(
        "the driver for PostgreSQL is not installed.",
        where=address.label,
        advice='Install it with: pip install "milepost[pg]".',
    )


def _absolute(url: URL) -> tuple[URL, str]:
    if not url.database or url.database == ":memory:":
        return url, "ledger in memory"
    if url.database.startswith("file:"):
        return url, url.database
    path = str(Path(url.database).absolute())
    return url.set(database=path), path


def _secrets(url: URL) -> tuple[str, ...]:
    found = [str(url.password)] if url.password else []
    for key, value in url.query.items():
        if "password" in key:
            found.extend([value] if isinstance(value, str) else value)
    return tuple(secret for secret in found if secret)


def _recognise(error: Exception) -> _Known | None:
    if isinstance(error, PoolTimeout):
        return _BUSY
    if isinstance(error, (UnicodeError, OverflowError, DataError)):
        return _UNSUITABLE
    if not isinstance(error, DBAPIError):
        return None
    code = getattr(error.orig, "sqlite_errorcode", None)
    state = getattr(error.orig, "sqlstate", None)
    known = _SQLITE.get(code) or _SQLITE.get(code & 0xFF) if isinstance(code, int) else None
    known = known or (_POSTGRES.get(state) if isinstance(state, str) else None)
    if known is _HISTORY and MOVED in str(error.orig):
        return _MOVED
    if known:
        return known
    if isinstance(error, IntegrityError):
        return _BROKEN_RULE
    return _from_words(error)


def _from_words(error: DBAPIError) -> _Known | None:
    """PostgreSQL sends no code for what fails before there is a session."""
    said = str(error.orig)
    if "does not exist" in said and "database" in said:
        return _POSTGRES["3D000"]
    if "authentication failed" in said or "no password supplied" in said:
        return _LOG_IN
    if not type(error.orig).__module__.startswith("psycopg"):
        return None
    if error.statement is None and any(words in said for words in _NO_ROOM_WORDS):
        return _NO_ROOM
    # A statement was under way: what it did is not known. Before that, nothing was done.
    if error.connection_invalidated and error.statement is not None:
        return _LOST
    return _UNREACHABLE if error.connection_invalidated or "connection" in said else None
