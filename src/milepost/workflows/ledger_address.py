"""The ledger's address as ``milepost.toml`` writes it: read, replaced, followed after a move."""

import os
import re
from contextlib import suppress
from pathlib import Path

import msgspec

from milepost._base.clock import utc_now
from milepost.entities.configuration import parse_configuration
from milepost.entities.errors import InputError, WorkspaceError
from milepost.storage.database import Database
from milepost.storage.driver_errors import Address
from milepost.storage.ledger import Ledger
from milepost.storage.moving import Arrival
from milepost.storage.tables import DEFAULT
from milepost.workflows.tasks.files import write_whole
from milepost.workflows.upkeep.audit import witness

FILE = "milepost.toml"
_RELATIVE_SQLITE = "sqlite:///"
_REFERENCE = re.compile(r"\$\{(\w+)\}")
# What a reference stands for while an address is looked at: digits can be part of a host or a port.
_STAND_IN = "80901706"
_TABLE = r"\{[^}\n]*\}"
_STRING = r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\''


def ledger_url(root: Path, written: str) -> str:
    """The URL behind an address: references filled in, a relative SQLite path at the workspace.

    Args:
        root: Folder of the workspace.
        written: As in ``milepost.toml``; ``${NAME}`` stands for an environment variable, so that a
            password need not be in the file. Its value is put in as it is.

    Raises:
        WorkspaceError: If a variable is not set.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise WorkspaceError(
                f"the ledger's address needs the environment variable {found[1]}, "
                "which is not set.",
                where=FILE,
                advice="Set it and try again.",
            )
        return os.environ[found[1]]

    url = _REFERENCE.sub(value, written)
    path = url.removeprefix(_RELATIVE_SQLITE)
    if path == url or not path or path == ":memory:" or Path(path).is_absolute():
        return url
    return f"{_RELATIVE_SQLITE}{root / path}"


def refuse_password(written: str) -> None:
    """Refuse an address that is to be written down and holds a password.

    Args:
        written: As ``milepost.toml`` shall name it. In place of a password there may be a single
            ``${NAME}``, and one may stand for the whole address.

    Raises:
        InputError: If it holds a password, in any encoding, or a part of one.
        WorkspaceError: If it cannot be read.
    """
    if _REFERENCE.fullmatch(written):
        return
    # A person who chose just these digits is asked for a variable as everybody else.
    secrets = Address.parse(_REFERENCE.sub(_STAND_IN, written)).secrets
    if _STAND_IN in written or any(secret != _STAND_IN for secret in secrets):
        raise InputError(
            "the address holds a password.",
            where=FILE,
            advice="Leave it out and set PGPASSWORD or a .pgpass file, or write an environment "
            "variable in its place, such as 'postgresql://user:${DB_PASSWORD}@host/database' in "
            "single quotes.",
        )


def with_places(text: str, **places: str | dict[str, str]) -> str:
    """The text of ``milepost.toml`` with other addresses; comments and order stay.

    Args:
        text: As it is.
        places: New values of top-level fields such as ``ledger``.

    Raises:
        InputError: If the file writes one of them in a way that is not understood here.
    """
    before = parse_configuration(text, FILE)
    head, table, rest = ("", "", text) if text.startswith("[") else text.partition("\n[")
    for field, place in places.items():
        quoted = _quoted(place)
        line = re.compile(rf"^({field}[ \t]*=[ \t]*)(?:{_STRING}|{_TABLE})", re.MULTILINE)
        head, found = line.subn(lambda old, new=quoted: old[1] + new, head, count=1)
        if not found:
            head = f"{field} = {quoted}\n{head}"
    whole = head + table + rest
    if parse_configuration(whole, FILE) != msgspec.structs.replace(before, **places):
        raise InputError(
            f"the line of {' or '.join(places)} cannot be replaced.",
            where=FILE,
            advice='Write it on one line, such as ledger = "…".',
        )
    return whole


def _quoted(place: str | dict[str, str]) -> str:
    """A value as TOML on one line."""
    if isinstance(place, str):
        return msgspec.json.encode(place).decode()
    return f"{{{', '.join(f'{key} = {_quoted(value)}' for key, value in place.items())}}}"


def sign_head(database: Database, root: Path) -> None:
    """Let a ledger that arrived have its last audit entry signed, which no commit told of.

    Args:
        database: The ledger, as the workspace names it.
        root: Folder of the workspace.
    """
    text = (root / FILE).read_text(encoding="utf-8-sig")
    ledger = Ledger(database, utc_now, DEFAULT)
    head = ledger.audit_head()
    witness(ledger, root, parse_configuration(text, FILE))
    if database.witness is not None and head.sequence:
        database.witness(ledger.tenant, head.sequence, head.hash)


def follow(root: Path, address: str) -> None:
    """Bring a decided move to its end: the file names the new ledger, which is open from now on.

    May be done any number of times, also by several processes.

    Raises:
        WorkspaceError: If the file cannot be written, or the new ledger cannot be reached.
    """
    root = root.resolve()
    path = root / FILE
    text = path.read_text(encoding="utf-8-sig")
    old = ledger_url(root, parse_configuration(text, FILE).ledger)
    target = Database(ledger_url(root, address))
    try:
        with target.read():
            pass
        write_whole(path, with_places(text, ledger=address).encode())
        Arrival(target, utc_now, DEFAULT).finish()
        sign_head(target, root)
    finally:
        target.close()
    if old.startswith(_RELATIVE_SQLITE) and old != ledger_url(root, address):
        # It refuses every write by itself; this only shows it in a listing of the folder.
        with suppress(OSError):
            file = Path(old.removeprefix(_RELATIVE_SQLITE))
            file.chmod(file.stat().st_mode & ~0o222)
