"""Making and finding workspaces, and wiring the rooms of one."""

import logging
import os
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from milepost.entities.configuration import Configuration, dump_configuration, parse_configuration
from milepost.entities.errors import WorkspaceError
from milepost.models.cached import CachedEncoder
from milepost.models.catalog import EncoderOptions, open_encoder
from milepost.models.encoder import Encoder
from milepost.storage.files.artifacts import open_artifacts
from milepost.storage.files.vectors import FileVectorStore
from milepost.storage.ledger import Ledger
from milepost.workflows.context import Context, local_actor
from milepost.workflows.tasks.files import cannot_write, write_whole

FILE = "milepost.toml"
HIDDEN = ".milepost"
_RELATIVE_SQLITE = "sqlite:///"


def create(root: Path, configuration: Configuration) -> Context:
    """Make a workspace in a new or empty folder; the configuration file is written last.

    Raises:
        WorkspaceError: If the folder holds something already or cannot be written.
    """
    try:
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            what = "there is a workspace here already." if (root / FILE).exists() else (
                "the folder is not empty." if root.is_dir() else "this is a file."
            )  # fmt: skip
            raise WorkspaceError(
                what, where=str(root), advice="Name a new folder, or open the workspace with -w."
            )
        for folder in ("tasks", "data", HIDDEN):
            (root / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(root, error) from error
    write_whole(root / HIDDEN / ".gitignore", b"*\n")
    context = _wire(root, configuration)
    write_whole(root / FILE, dump_configuration(configuration).encode())
    return context


def open_context(directory: Path | None) -> Context:
    """Open the workspace of a folder, or the one that is found.

    Raises:
        WorkspaceError: If there is none, or a newer milepost wrote it.
    """
    root = _found(directory)
    text = (root / FILE).read_text(encoding="utf-8-sig")
    return _wire(root, parse_configuration(text, FILE))


def cache_folder() -> Path:
    """Where exported encoders are kept: ``MILEPOST_CACHE``, else the user's cache folder."""
    given = os.environ.get("MILEPOST_CACHE")
    return Path(given) if given else user_cache_path("milepost")


def _found(directory: Path | None) -> Path:
    named = directory or (
        Path(os.environ["MILEPOST_WORKSPACE"]) if os.environ.get("MILEPOST_WORKSPACE") else None
    )
    if named is not None:
        if not (named / FILE).is_file():
            raise WorkspaceError(
                f"this folder holds no {FILE}.",
                where=str(named),
                advice=f"Make a workspace with `milepost init {named}`.",
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

    @cache
    def bare() -> Encoder:
        spec = configuration.encoder
        local = root / spec
        options = EncoderOptions(
            max_tokens=configuration.settings.max_tokens, notify=logging.getLogger("milepost").info
        )
        return open_encoder(str(local) if local.is_dir() else spec, cache_folder(), options)

    @cache
    def encoder() -> Encoder:
        return CachedEncoder(bare(), FileVectorStore(root / HIDDEN / "vectors"))

    return Context(
        root=root,
        configuration=configuration,
        ledger=Ledger.open(_ledger_url(root, configuration.ledger)),
        artifacts=open_artifacts(_artifacts_place(root, configuration.artifacts)),
        encoder=encoder,
        bare_encoder=bare,
        actor=local_actor(),
    )


def _ledger_url(root: Path, url: str) -> str:
    """A relative SQLite path starts at the workspace."""
    path = url.removeprefix(_RELATIVE_SQLITE)
    if path == url or not path or path == ":memory:" or Path(path).is_absolute():
        return url
    return f"{_RELATIVE_SQLITE}{root / path}"


def _artifacts_place(root: Path, place: str) -> str | Path:
    return place if "://" in place else root / place
