"""Read every byte of the releases again, and hold it against everything that speaks of it."""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from milepost.entities.errors import (
    CorruptError,
    InputError,
    MilepostError,
    StorageError,
    UnknownNameError,
)
from milepost.entities.ids import Digest
from milepost.entities.release import Channel, Manifest, Release
from milepost.entities.upkeep_artifacts import Fault, Verification, VerifiedRelease
from milepost.predictors.bundle import MANIFEST, predictor_from_files, read_manifest
from milepost.storage.files.artifacts import Artifacts
from milepost.storage.records.releases import content_digest
from milepost.workflows.context import Context

_RESTORE = "Restore it from a backup, or roll back to a release that is whole."
_LEDGER = "Run `milepost audit verify`, and restore the ledger from a backup."


class _Tell(Protocol):
    """Told what is wrong: what, where, advice."""

    def __call__(self, what: str, where: str = "", advice: str = "") -> None: ...


@dataclass(slots=True)
class _Reader:
    """Reads artifacts, each once, and knows which it has read.

    Attributes:
        artifacts: The store, which verifies what it reads.
        sizes: Bytes of each artifact that was read and is whole.
        bad: What is wrong with each that is not.
    """

    artifacts: Artifacts
    sizes: dict[Digest, int] = field(default_factory=dict[Digest, int])
    bad: dict[Digest, str] = field(default_factory=dict[Digest, str])

    def get(self, digest: Digest) -> bytes | None:
        """The bytes; ``None`` when they are not whole."""
        try:
            data = self.artifacts.get(digest)
        except (StorageError, InputError) as error:
            self.bad[digest] = self._words(digest, error)
            return None
        self.sizes[digest] = len(data)
        return data

    def check(self, digest: Digest) -> None:
        """Read bytes in bounded memory, unless they were read before."""
        if digest in self.sizes or digest in self.bad:
            return
        try:
            with self.artifacts.open(digest) as file:
                self.sizes[digest] = file.seek(0, 2)
        except (StorageError, InputError) as error:
            self.bad[digest] = self._words(digest, error)

    def _words(self, digest: Digest, error: MilepostError) -> str:
        """What is wrong, without the digest, which is told as where."""
        if isinstance(error, CorruptError):
            return "the bytes are not what they were when they were stored."
        with suppress(StorageError):  # a link, which it does not look behind
            if isinstance(error, StorageError) and not self.artifacts.exists(digest):
                return "the bytes are missing."
        return error.what


def verify(
    context: Context, target: str | None = None, *, everything: bool = False
) -> Verification:
    """Verify releases: bytes, numbers, predictors, records, channels.

    Args:
        context: The workspace.
        target: ``TASK``, ``TASK@CHANNEL`` or ``TASK#NUMBER``; ``None`` takes all releases of all
            tasks.
        everything: Also read every other artifact, and look for missing ones and orphans.

    Raises:
        UnknownNameError: If there is no such task, channel or release.
        StorageError: If the ledger cannot be read, or the store does not answer.
    """
    started = time.perf_counter()
    chosen = _chosen(context, target)
    channels = context.ledger.every_channel()
    reader = _Reader(context.artifacts)
    faults: list[Fault] = []
    rows: list[VerifiedRelease] = []
    for done, release in enumerate(chosen):
        share = done / len(chosen) * (0.5 if everything else 1.0)
        context.on_event("verify", f"{release.task}#{release.number}", share)
        row, found = _release(context, reader, release, channels)
        rows.append(row)
        faults += found
    faults += _channels(context, channels, {release.task for release in chosen})
    loose: list[Digest] | None = None
    if everything:
        loose, found = _artifacts(context, reader)
        faults += found
    return Verification(
        releases=tuple(rows),
        faults=tuple(faults),
        artifacts=len(reader.sizes) + len(reader.bad),
        size=sum(reader.sizes.values()),
        orphans=None if loose is None else len(loose),
        orphan_bytes=sum(reader.sizes.get(each, 0) for each in loose or ()),
        seconds=time.perf_counter() - started,
    )


def _chosen(context: Context, target: str | None) -> list[Release]:
    """The releases that a target names, by task and number."""
    ledger = context.ledger
    if target is None:
        found = [release for task in ledger.tasks() for release in ledger.releases(task)]
        return sorted(found, key=lambda release: (release.task, release.number))
    task, at, channel = target.partition("@")
    if at:
        names = [c.name for c in ledger.every_channel() if c.task == task]
        standing = ledger.channel(task, channel)
        if standing is None:
            raise UnknownNameError(f"channel of {task!r}", channel, names)
        return [ledger.release(task, standing.release)]
    task, numbered, number = target.partition("#")
    if not numbered:
        return sorted(ledger.releases(task), key=lambda release: release.number)
    # ``isdecimal`` alone takes digits of other scripts.
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise InputError(
            f"{number!r} is not the number of a release.",
            where=target,
            advice=f"Write it as {task}#3, or name a channel, as in {task}@production.",
        )
    return [ledger.release(task, int(number))]


def _release(
    context: Context, reader: _Reader, release: Release, channels: Iterable[Channel]
) -> tuple[VerifiedRelease, list[Fault]]:
    subject = f"{release.task}#{release.number}"
    faults: list[Fault] = []

    def tell(what: str, where: str = "", advice: str = _RESTORE) -> None:
        faults.append(Fault(subject=subject, what=what, where=where, advice=advice))

    files, size = _bundle(context, reader, release, tell)
    try:
        _records(context, release, tell)
    except StorageError as error:
        tell(error.what, error.where or "", error.advice or "")
    here = tuple(c.name for c in channels if (c.task, c.release) == (release.task, release.number))
    row = VerifiedRelease(
        task=release.task,
        number=release.number,
        strategy=release.strategy,
        bundle=release.bundle,
        channels=here,
        files=files,
        size=size,
        faults=len(faults),
    )
    return row, faults


def _bundle(context: Context, reader: _Reader, release: Release, tell: _Tell) -> tuple[int, int]:
    """Read a bundle whole; returns its files that were read, and their bytes."""
    data = reader.get(release.bundle)
    if data is None:
        tell(reader.bad[release.bundle], f"{MANIFEST} {release.bundle}")
        return 0, 0
    try:
        manifest = read_manifest(data)
    except StorageError as error:
        tell(error.what, f"{MANIFEST} {release.bundle}")
        return 1, len(data)
    files = {MANIFEST: data}
    for file in manifest.files:
        content = reader.get(file.sha256)
        if content is None:
            tell(reader.bad[file.sha256], f"{file.name} {file.sha256}")
        else:
            files[file.name] = content
    if len(files) == len(manifest.files) + 1:
        try:
            predictor_from_files(files)
        except MilepostError as error:
            tell(f"the predictor cannot be loaded: {error.what}", error.where or "")
    _meaning(context, release, manifest, tell)
    return len(files), sum(map(len, files.values()))


def _meaning(context: Context, release: Release, manifest: Manifest, tell: _Tell) -> None:
    """Whether the manifest is one of the release's task, labels and strategy."""
    for name, is_, should in (
        ("task", manifest.task, release.task),
        ("strategy", manifest.strategy, release.strategy),
    ):
        if is_ != should:
            tell(f"the manifest is of the {name} {is_!r}, the release of {should!r}.", MANIFEST)
    versions = {v.digest: v.task for v in context.ledger.task_versions(release.task)}
    task = versions.get(manifest.task_version)
    if task is None:
        tell(f"the task never was what the manifest says ({manifest.task_version}).", MANIFEST)
    elif task.labels and tuple(task.labels) != manifest.labels:
        tell("the manifest's labels are not those that the task had.", MANIFEST)


def _records(context: Context, release: Release, tell: _Tell) -> None:
    """Whether the release's row, its candidate and its audit entry say the same."""
    if content_digest(release) != release.digest:
        tell("the release's row is not what it was when it was made.", "ledger", _LEDGER)
    candidate = context.ledger.candidate(release.candidate)
    if (candidate.bundle, candidate.strategy) != (release.bundle, release.strategy):
        tell("its candidate has another bundle or strategy.", release.candidate, _LEDGER)
    entries = context.ledger.audit(
        subject=f"{release.task}#{release.number}", action="release.made"
    )
    if len(entries) != 1:
        tell(f"{len(entries)} audit entries say that it was made.", "audit", _LEDGER)
    for entry in entries:
        told = entry.details
        # Entries of ledgers before the second schema lack the release's digest.
        if (told.get("bundle"), told.get("release", release.digest)) != (
            release.bundle,
            release.digest,
        ):
            tell(
                "its audit entry tells another bundle or digest.",
                f"audit {entry.sequence}",
                _LEDGER,
            )


def _channels(
    context: Context, channels: Iterable[Channel], tasks: Iterable[str]
) -> Iterable[Fault]:
    wanted = set(tasks)
    for channel in channels:
        if channel.task not in wanted:
            continue
        for number in {channel.release, channel.previous or channel.release}:
            try:
                context.ledger.release(channel.task, number)
            except UnknownNameError:
                yield Fault(
                    subject=f"{channel.task}@{channel.name}",
                    what=f"it points at release {number}, which is not there.",
                    where="ledger",
                    advice=_LEDGER,
                )


def _artifacts(context: Context, reader: _Reader) -> tuple[list[Digest] | None, list[Fault]]:
    """Read what was not read yet; returns what nothing needs, and what is wrong.

    What is needed is not known where a manifest cannot be read.
    """
    known_bad = set(reader.bad)
    needs = context.ledger.needed_artifacts()
    needed = {*needs.bundles, *needs.files, *needs.pinned}
    faults: list[Fault] = []
    known = True
    for digest in sorted(needs.bundles):
        data = reader.get(digest) if digest not in reader.bad else None
        if data is None:
            known = False
            continue
        try:
            needed.update(file.sha256 for file in read_manifest(data).files)
        except StorageError as error:
            known = False
            faults.append(_artifact_fault(digest, error.what))
    listed = sorted({*(each.digest for each in context.artifacts.list()), *needed})
    for done, digest in enumerate(listed):
        if done % 20 == 0:
            share = 0.5 + 0.5 * done / len(listed)
            context.on_event("verify", f"artifact {done:,} of {len(listed):,}", share)
        reader.check(digest)
    # What a release lacks was told with the release.
    faults += [_artifact_fault(d, reader.bad[d]) for d in sorted(reader.bad) if d not in known_bad]
    return [digest for digest in listed if digest not in needed] if known else None, faults


def _artifact_fault(digest: Digest, what: str) -> Fault:
    return Fault(
        subject="artifacts",
        what=what,
        where=digest,
        advice="Restore it from a backup, or make it again with `milepost improve`.",
    )
