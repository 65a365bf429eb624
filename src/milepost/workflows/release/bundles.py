"""Bundles in the artifact store: a manifest that names its files by digest, and back."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from milepost.entities.errors import InputError, UnknownNameError, WorkspaceError
from milepost.entities.example import Examples
from milepost.entities.ids import CandidateId, Digest
from milepost.entities.inputs import Composition
from milepost.entities.learning import HeadUpdate
from milepost.entities.release import Manifest
from milepost.models.catalog import save_encoder
from milepost.models.export import export_merged
from milepost.predictors.base import Predictor
from milepost.predictors.bundle import (
    MANIFEST,
    bundle_files,
    predictor_from_files,
    read_manifest,
    write_bundle,
)
from milepost.predictors.exported import ENCODER, PREDICTOR, SUMS, sums
from milepost.predictors.reading import adapters_of
from milepost.workflows.context import Context
from milepost.workflows.tasks.files import cannot_write, write_whole


@dataclass(frozen=True, slots=True, eq=False)
class Answerer:
    """A predictor with what it is: which candidate, and which release if any, and how updated."""

    predictor: Predictor
    manifest: Manifest
    candidate: CandidateId
    release: int | None
    update: HeadUpdate | None = None


def store_bundle(context: Context, predictor: Predictor, manifest: Manifest) -> Digest:
    """Store a bundle's files, the manifest last, and return the manifest's digest."""
    files = bundle_files(predictor, manifest)
    for name, data in files.items():
        if name != MANIFEST:
            context.artifacts.put(data)
    return context.artifacts.put(files[MANIFEST])


def load_bundle(context: Context, digest: Digest) -> tuple[Predictor, Manifest]:
    """The verified predictor of a stored bundle.

    Raises:
        CorruptError: If any byte is not what the manifest says.
    """
    files = bundle_bytes(context, digest)
    return predictor_from_files(files)


def bundle_bytes(context: Context, digest: Digest) -> dict[str, bytes]:
    """All files of a stored bundle by name, the manifest included."""
    data = context.artifacts.get(digest)
    manifest = read_manifest(data)
    files = {file.name: context.artifacts.get(file.sha256) for file in manifest.files}
    return {**files, MANIFEST: data}


def find_answerer(
    context: Context,
    task: str,
    release: int | None,
    candidate: str | None,
    *,
    updated: bool = False,
) -> Answerer:
    """What answers: a candidate, a numbered release, or else what is in production.

    Args:
        context: The workspace.
        task: Name of the task.
        release: Number of a release.
        candidate: Id of a candidate.
        updated: Whether production answers with what it learned and forgot since its contest;
            without it, and under its number, it is what was released.

    Raises:
        WorkspaceError: If there is no release yet.
        UnknownNameError: If there is no such release or candidate of this task.
    """
    if candidate is not None:
        record = context.ledger.candidate(candidate)
        if record.bundle is None or context.ledger.contest_of(candidate).task != task:
            raise UnknownNameError("candidate with a predictor", candidate, _tried(context, task))
        _require_kept(context, candidate)
        predictor, manifest = load_bundle(context, record.bundle)
        return Answerer(predictor, manifest, record.id, None)
    update = None
    if release is None:
        channel = context.ledger.channel(task, "production")
        if channel is None:
            raise nothing_live(context, task)
        release = channel.release
        update = context.ledger.release_update(task, release) if updated else None
    row = context.ledger.release(task, release)
    predictor, manifest = load_bundle(context, update.bundle if update else row.bundle)
    return Answerer(predictor, manifest, row.candidate, row.number, update)


def inputs_for(context: Context, manifest: Manifest, examples: Examples) -> list[str]:
    """Examples as a predictor reads them: prepared by its own steps, whatever theirs were.

    Raises:
        InputError: If an own step is not what it was, or fails on one.
    """
    if not examples.originals and not manifest.prepare:
        return list(examples.texts)
    return context.preparation(manifest.prepare)(examples.asked)


def _require_lone_image(how: Composition) -> None:
    """Raise ``InputError`` for inputs of which an export could not read every part."""
    if len(how.names) > 1:
        raise InputError(
            "a release that reads images beside other inputs is not exported yet.",
            advice="Serve it from its workspace.",
        )


def nothing_live(context: Context, task: str) -> WorkspaceError:
    """The error for a task whose production channel points nowhere."""
    made = context.ledger.releases(task, 1)
    if not made:
        return WorkspaceError(
            f"the task {task!r} has no release yet.",
            advice=f"Run `milepost improve {task}`, or name a candidate with --candidate.",
        )
    number = made[0].number
    return WorkspaceError(
        f"the task {task!r} has no release in production yet: release {number} waits for approval.",
        advice=f"Approve it with `milepost approve {task} {number} --reason '…'`, or name it with "
        "--release.",
    )


def _require_kept(context: Context, candidate: str) -> None:
    """Raise ``InputError`` if retention has given the candidate's predictor up."""
    when = context.ledger.given_up(candidate)
    if when is not None:
        raise InputError(
            f"the predictor of {candidate!r} was collected on {when:%Y-%m-%d at %H:%M} UTC: it was "
            "not released, and keep_contests keeps those of newer contests only.",
            advice="Use a release, or a candidate of a newer contest.",
        )


def _tried(context: Context, task: str) -> list[str]:
    contests = context.ledger.contests(task, limit=20)
    return [c.id for contest in contests for c in contest.candidates if c.bundle is not None]


def export_bundle(
    context: Context, digest: Digest, directory: Path, *, merge: bool = False
) -> None:
    """Write a bundle as a folder that answers outside its workspace.

    The folder holds ``predictor/`` and, where the predictor reads vectors, ``encoder/``, and
    ``SHA256SUMS``, written last; ``milepost.predictors.exported`` loads it.

    Args:
        context: The workspace.
        digest: Of the bundle.
        directory: Must not exist, or be empty.
        merge: Whether the adapter of the predictor is added to the encoder's weights.

    Raises:
        InputError: If it is to be merged, and the predictor has not just one adapter.
        WorkspaceError: If the folder exists and is not empty, is a file, or cannot be written.
    """
    try:
        taken = directory.exists() and (not directory.is_dir() or any(directory.iterdir()))
    except (OSError, ValueError) as error:
        raise cannot_write(directory, error) from error
    if taken:
        what = "the folder is not empty." if directory.is_dir() else "this is a file."
        raise WorkspaceError(what, where=str(directory), advice="Name a new folder.")
    predictor, manifest = load_bundle(context, digest)
    if isinstance(manifest.inputs, Composition) and manifest.inputs.pictures:
        _require_lone_image(manifest.inputs)
    adapters = adapters_of(predictor.spaces)
    if merge and not len(adapters) == len(predictor.spaces) == 1:
        raise InputError(
            "there is nothing to merge: this release does not read the encoder with one adapter.",
            where="merge",
            advice="Leave --merge out.",
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if manifest.encoder is not None:
            own = context.reading(manifest.encoder)
            if merge:
                export_merged(own.weights(), adapters[0], directory / ENCODER)
            else:
                save_encoder(own.bare_encoder(), directory / ENCODER, adapters)
        write_bundle(directory / PREDICTOR, predictor, manifest)
        write_whole(directory / SUMS, sums(directory))
    except BaseException as error:
        # The folder was empty, and half of an export would be in the way of the next one.
        for part in (PREDICTOR, ENCODER):
            shutil.rmtree(directory / part, ignore_errors=True)
        if isinstance(error, (OSError, ValueError)):
            raise cannot_write(directory, error) from error
        raise
