"""What a backup needs of the artifacts: held while it is copied, and named where it is damaged."""

from contextlib import suppress

from milepost.entities.errors import StorageError
from milepost.entities.ids import Digest
from milepost.predictors.bundle import read_manifest
from milepost.workflows.context import Context

PINNED = "backup:"
"""How the owners begin for whom a running backup pins artifacts."""


def pin(context: Context, backup_id: str) -> set[Digest]:
    """Hold what the ledger needs now until the backup has it; returns all of it.

    Raises:
        StorageError: If a bundle's manifest is damaged or missing; says what needs it.
    """
    needs = context.ledger.needed_artifacts()
    context.ledger.pin(PINNED + backup_id, needs.bundles | needs.files | needs.pinned)
    found = {digest for digest in needs.pinned if context.artifacts.exists(digest)}
    for digest in needs.bundles:
        try:
            manifest = read_manifest(context.artifacts.get(digest))
        except StorageError:
            blame(context, digest)
            raise
        found |= {digest, *(Digest(file.sha256) for file in manifest.files)}
    found |= needs.files
    for digest in found:
        context.artifacts.refresh(digest)
    return found


def unpin(context: Context, backup_id: str) -> None:
    """Let go of what a backup held."""
    context.ledger.unpin(PINNED + backup_id)


def blame(context: Context, digest: str) -> None:
    """Say of an artifact that cannot be read where it is and what needs it; silent if it is whole.

    Raises:
        StorageError: Or ``CorruptError``, as the store raises it.
    """
    try:
        context.artifacts.open(digest).close()
    except StorageError as error:
        raise type(error)(
            f"{error.what} It belongs to {_needing(context, digest)}. No backup was made.",
            where=error.where,
            advice="Put it back from an earlier backup. `milepost verify --all` lists everything "
            "that is damaged.",
        ) from error


def _needing(context: Context, digest: str) -> str:
    """The first release that an artifact belongs to, or what else it may be of."""
    ledger = context.ledger
    for release in (each for task in ledger.tasks() for each in ledger.releases(task)):
        names: set[str] = {release.bundle}
        with suppress(StorageError):
            manifest = read_manifest(context.artifacts.get(release.bundle))
            names.update(file.sha256 for file in manifest.files)
        if digest in names:
            return f"release {release.task}#{release.number}"
    return "a dataset, or a candidate that was not released"
