"""Bytes by their SHA-256: snapshots, bundles, predictions, exported encoders.

Knows no task and no meaning. No name comes from outside: where bytes are kept follows from their
digest, which is checked to be one before it becomes a path. What is read is always verified.
"""

from pathlib import Path

from milepost.storage.files.local import LocalArtifacts
from milepost.storage.files.memory import MemoryArtifacts
from milepost.storage.files.quota import LimitedArtifacts
from milepost.storage.files.store import Artifacts, Stored, Usage

__all__ = [
    "Artifacts",
    "LimitedArtifacts",
    "LocalArtifacts",
    "MemoryArtifacts",
    "Stored",
    "Usage",
    "open_artifacts",
]


def open_artifacts(url: str | Path) -> Artifacts:
    """The store at a local folder or at any URL that fsspec knows.

    Args:
        url: A folder, ``file://FOLDER``, or another address such as ``s3://bucket/folder``.

    Raises:
        WorkspaceError: If the kind of address is unknown, or what it needs is not installed.
    """
    text = str(url)
    if isinstance(url, Path) or "://" not in text:
        return LocalArtifacts(Path(url))
    if text.startswith("file://"):
        return LocalArtifacts(Path(text.removeprefix("file://")))
    from milepost.storage.files.remote import RemoteArtifacts

    return RemoteArtifacts.at(text)
