"""Delete artifacts that nothing needs.

**Why nothing that is needed can be deleted.** Only what was last put before a moment T (now less
the age) goes. Whoever is about to record a digest puts its bytes first, which makes them young, and
a delete leaves what is young at the moment of deleting (``milepost.storage.files``). So a digest
whose bytes go was put before T and not since; if its record was written before the ledger is read
here, it is known to be needed; if later, more than the age has passed between put and record. Only
a job takes longer than the least age: what was put since the oldest running one began stays too,
and what an earlier process of a job put is held by pins.

The ledger is read after the store was listed and before anything is deleted. When it cannot be
read, or a release's manifest cannot, nothing is deleted: which files such a bundle has is never
guessed. A candidate's manifest that is lost is told, and stops nothing.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from milepost.entities.errors import CorruptError, InputError, StorageError
from milepost.entities.ids import Digest
from milepost.entities.upkeep_artifacts import Collection, Fault
from milepost.predictors.bundle import MAX_MANIFEST, read_manifest
from milepost.storage.files.artifacts import Stored
from milepost.storage.records.needs import Needs
from milepost.workflows.context import Context

LEAST_AGE = timedelta(minutes=10)
"""Nothing younger is deleted. Commands that are no jobs record what they put within moments; the
rest is for clocks that differ."""

_PROGRESS = "artifacts"


def collect(
    context: Context,
    *,
    older_than: float | None = None,
    dry_run: bool = False,
    least: timedelta = LEAST_AGE,
) -> Collection:
    """Delete what nothing needs, and what killed commands left half-written.

    Args:
        context: The workspace.
        older_than: Hours since an artifact was last put, from which on it may go; ``None`` takes
            ``garbage_hours`` of the settings.
        dry_run: Only count.
        least: What is younger than that stays, whatever age was asked for.

    Raises:
        InputError: If the age is not usable.
        StorageError: If the ledger or a release's manifest cannot be read; nothing is deleted
            then. Also if the store cannot be written.
    """
    hours = context.settings.garbage_hours if older_than is None else older_than
    if not 0 <= hours < 24 * 365 * 100:
        raise InputError(
            f"an age of {hours:g} hours is out of range.", advice="Give 0 or more, such as 24."
        )
    asked = context.clock() - max(timedelta(hours=hours), least)
    # Before what is needed is asked: what a job recorded that has ended by now is seen there.
    since = context.ledger.working_since()
    before = asked if since is None else min(asked, since - least)
    context.on_event(_PROGRESS, "listing", 0.0)
    listed = list(context.artifacts.list())
    given_up = _give_up(context, dry_run=dry_run)
    context.on_event(_PROGRESS, "asking what is needed", 0.1)
    keep = context.settings.keep_contests
    # A contest that is concluded meanwhile makes older ones superseded, but gives nothing up.
    needs = context.ledger.needed_artifacts(keep if dry_run else None)
    needed, faults = everything_needed(context, needs)
    swept = context.artifacts.sweep(before, dry_run=dry_run)
    kept = [each for each in listed if each.digest in needed]
    loose = [each for each in listed if each.digest not in needed]
    old = [each for each in loose if each.modified <= before]
    gone = old if dry_run else _delete(context, old, before)
    went = {each.digest for each in gone}
    young = [each for each in loose if each.digest not in went]
    if not dry_run and (gone or swept.artifacts):
        context.ledger.record_collected(
            len(gone) + swept.artifacts,
            _bytes(gone) + swept.size,
            actor=context.actor,
            reason=f"nothing needs them, and they were put before {before:%Y-%m-%d %H:%M} UTC",
        )
    return Collection(
        dry_run=dry_run,
        before=before,
        deleted=len(gone),
        deleted_bytes=_bytes(gone),
        temporaries=swept.artifacts,
        temporary_bytes=swept.size,
        needed=len(kept),
        needed_bytes=_bytes(kept),
        young=len(young),
        young_bytes=_bytes(young),
        given_up=given_up,
        quota_bytes=context.settings.artifacts_quota_bytes,
        running_since=since if before < asked else None,
        faults=faults,
    )


def everything_needed(context: Context, needs: Needs) -> tuple[set[Digest], tuple[Fault, ...]]:
    """All digests that must stay: what rows name, and the files that needed manifests name.

    Where the manifest of a candidate that was not released is lost, everything that jobs ever
    stored stays, for its files are among that.

    Returns:
        The digests, and the lost manifests.

    Raises:
        StorageError: If the store cannot be read, or a release's manifest is missing or not what it
            was; the error says which.
    """
    needed: set[Digest] = {*needs.bundles, *needs.files, *needs.pinned}
    faults: list[Fault] = []
    for done, digest in enumerate(sorted(needs.bundles)):
        try:
            manifest = read_manifest(context.artifacts.get(digest))
            needed.update(file.sha256 for file in manifest.files)
        except StorageError as error:
            if digest in needs.released or not _is_lost(context, digest, error):
                raise _unreadable(digest, error) from error
            faults.append(_lost(digest, error))
        if done % 100 == 0:
            share = 0.1 + 0.4 * done / len(needs.bundles)
            context.on_event(_PROGRESS, "reading manifests", share)
    if faults:
        needed |= context.ledger.stored_by_jobs()
    for digest in sorted(needs.pinned - needs.bundles - needs.files):
        needed.update(_named_by(context, digest))
    return needed, tuple(faults)


def _is_lost(context: Context, digest: Digest, error: StorageError) -> bool:
    """Whether bytes are damaged or not there, rather than out of reach for now."""
    return isinstance(error, CorruptError) or not context.artifacts.exists(digest)


def _unreadable(digest: Digest, error: StorageError) -> StorageError:
    return type(error)(
        f"the manifest of a bundle that is needed cannot be read ({error.what.rstrip('.')}"
        "); nothing was deleted.",
        where=digest,
        advice="Run `milepost verify --all`, and restore what it names from a backup.",
    )


def _lost(digest: Digest, error: StorageError) -> Fault:
    return Fault(
        subject="artifacts",
        what=f"the manifest of a candidate cannot be read ({error.what.rstrip('.')}); what jobs "
        "stored stays.",
        where=digest,
        advice="Restore it from a backup, or make it again with `milepost improve`.",
    )


def _named_by(context: Context, digest: Digest) -> Iterable[Digest]:
    """Files that a pinned artifact names, if it is a manifest."""
    if not context.artifacts.exists(digest) or context.artifacts.size(digest) > MAX_MANIFEST:
        return ()
    data = context.artifacts.get(digest)
    try:
        return [file.sha256 for file in read_manifest(data).files]
    except CorruptError:
        return ()  # its bytes are what they were, and they are no manifest


def _give_up(context: Context, *, dry_run: bool) -> tuple[str, ...]:
    keep = context.settings.keep_contests
    if keep is None:
        return ()
    if dry_run:
        return context.ledger.superseded(keep)
    return context.ledger.give_up(
        keep,
        actor=context.actor,
        reason=f"not released, and older than the newest {keep} contests of the task",
    )


def _delete(context: Context, old: list[Stored], before: datetime) -> list[Stored]:
    gone: list[Stored] = []
    for done, each in enumerate(old):
        if context.artifacts.delete(each.digest, before):
            gone.append(each)
        if done % 100 == 0:
            share = 0.5 + 0.5 * done / len(old)
            context.on_event(_PROGRESS, f"deleting {done:,} of {len(old):,}", share)
    return gone


def _bytes(artifacts: Iterable[Stored]) -> int:
    return sum(each.size for each in artifacts)
