"""The audit log for people: witness it, verify it, list it, export it."""

import re
import weakref
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

from milepost._base.clock import utc_now
from milepost.entities.audit import AuditReport, Expected
from milepost.entities.configuration import Configuration
from milepost.entities.errors import InputError
from milepost.entities.ids import Digest
from milepost.entities.release import AuditEntry
from milepost.storage.ledger import Ledger
from milepost.storage.proof.checkpoints import Checkpoints
from milepost.storage.proof.exports import FORMATS, export_lines
from milepost.storage.proof.places import open_place
from milepost.storage.proof.signing import check_public_key, known_signer, own_signer
from milepost.storage.proof.verification import verify
from milepost.storage.proof.witness import Witness
from milepost.workflows.context import Context
from milepost.workflows.tasks.files import cannot_write

_EXPECTED = re.compile(r"(\d{1,12}):([0-9a-f]{64})")


def witness(ledger: Ledger, root: Path, configuration: Configuration) -> None:
    """Let a workspace's ledger have its log signed from now on, outside its database.

    Nothing is opened, read or made before the first entry is written.
    """
    told = Witness(
        lambda: _checkpoints(root, configuration.checkpoints),
        own_signer,
        utc_now,
    )
    ledger.database.witness = told
    # At the end of the process, or earlier when nobody uses the ledger any more.
    weakref.finalize(ledger.database, told.flush)


def verify_audit(
    context: Context, checkpoints: str | Path | None = None, expect: str | None = None
) -> AuditReport:
    """Verify the audit logs of all tenants; nothing is written.

    Args:
        context: The workspace.
        checkpoints: Where its checkpoints are; ``None`` takes what ``milepost.toml`` says. A
            relative folder starts at the current one.
        expect: ``SEQUENCE:HASH`` of an entry, noted earlier.

    Raises:
        InputError: If ``expect`` or a public key in ``signers`` cannot be read.
        WorkspaceError: If the own key is needed and cannot be used.
        StorageError: If the ledger or the checkpoints cannot be read.
    """
    configuration = context.configuration
    place = (
        _checkpoints(context.root, configuration.checkpoints)
        if checkpoints is None
        else Checkpoints(open_place(checkpoints))
    )
    believed = {check_public_key(key) for key in configuration.signers}
    if not believed:
        own = known_signer()
        believed = {own.public} if own else set[str]()
    ledger = context.ledger
    expected = None if expect is None else (ledger.tenant, _expected(expect))
    return verify(ledger.database, place, believed, expected)


def entries(
    context: Context, limit: int | None, *, subject: str | None, action: str | None
) -> list[AuditEntry]:
    """What was done, newest first.

    Raises:
        InputError: If ``limit`` is negative.
    """
    if limit is not None and limit < 0:
        raise InputError("a limit is 0 or more.", where="--limit")
    return list(context.ledger.audit(limit, subject=subject, action=action))


def export(context: Context, format: str, after: int) -> Generator[bytes]:  # noqa: A002
    """The log of this tenant as lines, oldest first, in bounded memory.

    Args:
        context: The workspace.
        format: ``jsonl`` or ``cloudevents``.
        after: Number of the entry after which to begin; 0 for all.

    Raises:
        InputError: If there is no such format or ``after`` is negative.
    """
    if format not in FORMATS:
        raise InputError(
            f"there is no format {format!r}.", where="--format", advice="Use jsonl or cloudevents."
        )
    if after < 0:
        raise InputError("the number of an entry is 0 or more.", where="--after")
    return export_lines(context.ledger.database, context.ledger.tenant, format, after)


def export_file(context: Context, format: str, after: int, output: Path) -> int:  # noqa: A002
    """Write the exported log to a file, whole or not at all; returns how many entries it holds.

    Raises:
        InputError: As ``export``.
        WorkspaceError: If the file cannot be written.
    """
    lines = export(context, format, after)
    beside = output.with_name(f".{output.name}.part")
    count = 0
    try:
        with beside.open("wb") as file:
            for line in lines:
                file.write(line)
                count += 1
        beside.replace(output)
    except OSError as error:
        raise cannot_write(output, error) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    return count


def public_key() -> str:
    """The own public key, for ``signers`` in ``milepost.toml``; makes a key where there is none.

    Raises:
        WorkspaceError: If the key is missing where it was named, or others can read it.
        StorageError: If it cannot be read or made.
    """
    return own_signer().public


def _checkpoints(root: Path, place: str) -> Checkpoints:
    return Checkpoints(open_place(place if "://" in place else root / place))


def _expected(text: str) -> Expected:
    found = _EXPECTED.fullmatch(text.strip())
    if not found:
        raise InputError(
            f"{text[:80]!r} is not a number and a hash.",
            where="--expect",
            advice="Write SEQUENCE:HASH, as an earlier verification printed it.",
        )
    return Expected(sequence=int(found[1]), hash=Digest(found[2]))
