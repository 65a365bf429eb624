"""Making and finding workspaces, and wiring the rooms of one."""

import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from milepost.entities.configuration import Configuration, dump_configuration, parse_configuration
from milepost.entities.errors import WorkspaceError
from milepost.entities.task import InputType
from milepost.models.cached import CachedEncoder
from milepost.models.catalog import BESIDE, EncoderOptions, find_encoder, inputs_read, open_trunk
from milepost.models.encoder import Encoder
from milepost.models.export import Variant
from milepost.models.folder import EncoderFolder
from milepost.models.images.store import Images
from milepost.models.onnx_encoder import OnnxEncoder
from milepost.models.trunk import Trunk
from milepost.storage.files.artifacts import Artifacts, LimitedArtifacts, open_artifacts
from milepost.storage.files.digest_files import make_folders
from milepost.storage.files.vectors import FileVectorStore
from milepost.storage.ledger import Ledger
from milepost.storage.migrations.upgrade import LedgerMovedError
from milepost.workflows.context import Context, local_actor
from milepost.workflows.encoders import Encoders, Opened
from milepost.workflows.ledger_address import FILE, follow, ledger_url
from milepost.workflows.listening import teller
from milepost.workflows.new_folder import new_folder
from milepost.workflows.tasks.files import cannot_write, write_whole
from milepost.workflows.upkeep.audit import witness

HIDDEN = ".milepost"
IMAGES = "data/images"
"""Where the images of a workspace's data are kept, by the digest of their bytes."""


def create(root: Path, configuration: Configuration) -> Context:
    """Make a workspace in a new or empty folder, and open it.

    Raises:
        WorkspaceError: If the folder holds something already or cannot be written.
    """
    with creating(root, configuration) as context:
        return context


@contextmanager
def creating(root: Path, configuration: Configuration) -> Generator[Context]:
    """A new workspace to fill; whole when the block ends, empty after an error in it.

    Raises:
        WorkspaceError: If the folder holds something already or cannot be written.
    """
    with new_folder(root):
        try:
            for folder in ("tasks", "data", HIDDEN):
                make_folders(root / folder)
        except OSError as error:
            raise cannot_write(root, error) from error
        write_whole(root / HIDDEN / ".gitignore", b"*\n")
        context = _wire(root, configuration)
        try:
            yield context
            write_whole(root / FILE, dump_configuration(configuration).encode())
        except BaseException:
            context.ledger.close()
            raise


def open_context(directory: Path | None) -> Context:
    """Open the workspace of a folder, or the one that is found.

    Raises:
        WorkspaceError: If there is none, or a newer milepost wrote it.
    """
    root = _found(directory)
    try:
        return _wire(root, _configuration(root))
    except LedgerMovedError as moved:
        # A move was decided and then broken off before the file named the new ledger.
        follow(root, moved.address)
        return _wire(root, _configuration(root))


def _configuration(root: Path) -> Configuration:
    text = (root / FILE).read_text(encoding="utf-8-sig")
    return parse_configuration(text, FILE)


def cache_folder() -> Path:
    """Where exported encoders are kept: ``MILEPOST_CACHE``, else the user's cache folder."""
    given = os.environ.get("MILEPOST_CACHE")
    return Path(given) if given else user_cache_path("milepost")


def _holds_file(folder: Path) -> bool:
    try:
        return (folder / FILE).is_file()
    except (OSError, ValueError):
        return False  # a name that no file system takes


def _found(directory: Path | None) -> Path:
    named = directory or (
        Path(os.environ["MILEPOST_WORKSPACE"]) if os.environ.get("MILEPOST_WORKSPACE") else None
    )
    if named is not None:
        if not _holds_file(named):
            raise WorkspaceError(
                f"this folder holds no {FILE}.",
                where=str(named)[:500],
                advice=f"Make a workspace with `milepost init {str(named)[:500]}`.",
            )
        return named
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return folder
    raise WorkspaceError(
        f"there is no workspace here: no {FILE} in {here} or above.",
        advice="Make one with `milepost init DIR`, or name one with -w DIR.",
    )


def _wire(root: Path, configuration: Configuration) -> Context:
    root = root.resolve()

    images = Images(root / IMAGES)
    encoders = Encoders(
        root / FILE, configuration, lambda spec: _opened(root, spec, configuration, images)
    )
    own = encoders.open(configuration.encoder)
    ledger = Ledger.open(ledger_url(root, configuration.ledger))
    witness(ledger, root, configuration)
    return Context(
        root=root,
        configuration=configuration,
        ledger=ledger,
        artifacts=_artifacts(root, configuration),
        encoder=own.encoder,
        bare_encoder=own.bare_encoder,
        trunk=own.trunk,
        weights=own.weights,
        inputs_read=own.inputs_read,
        encoders=encoders,
        images=images,
        actor=local_actor(),
        tell=teller(root, configuration.openlineage),
    )


def _opened(root: Path, spec: str, configuration: Configuration, images: Images) -> Opened:
    """An encoder for a workspace; nothing is read before something is asked for."""
    named = spec.split(BESIDE)
    where = BESIDE.join(str(root / each) if (root / each).is_dir() else each for each in named)
    options = EncoderOptions(
        max_tokens=configuration.settings.max_tokens,
        apart=True,
        images=images,
        notify=logging.getLogger("milepost").info,
    )

    @cache
    def trunk(variant: Variant) -> Trunk:
        return open_trunk(where, cache_folder(), replace(options, variant=variant))

    @cache
    def weights() -> EncoderFolder:
        return find_encoder(where, options)

    @cache
    def bare() -> Encoder:
        return OnnxEncoder(trunk("fp32"))

    @cache
    def encoder() -> Encoder:
        return CachedEncoder(bare(), FileVectorStore(root / HIDDEN / "vectors"))

    @cache
    def reads() -> tuple[InputType, ...]:
        return inputs_read(where, options)

    return Opened(
        encoder=encoder, bare_encoder=bare, trunk=trunk, weights=weights, inputs_read=reads
    )


def _artifacts(root: Path, configuration: Configuration) -> Artifacts:
    place, quota = configuration.artifacts, configuration.settings.artifacts_quota_bytes
    store = open_artifacts(place if "://" in place else root / place)
    return store if quota is None else LimitedArtifacts(store, quota)
