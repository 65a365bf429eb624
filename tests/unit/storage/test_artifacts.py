"""What only some artifact stores promise."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from milepost._base.digest import sha256_bytes
from milepost.entities.errors import StorageError, WorkspaceError
from milepost.storage.files.artifacts import LocalArtifacts, open_artifacts
from milepost.storage.proof.places import open_place


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_the_layout_is_two_levels_by_digest(tmp_path: Path) -> None:
    digest = LocalArtifacts(tmp_path).put(b"x")
    assert files(tmp_path) == [f"{digest[:2]}/{digest[2:4]}/{digest}"]
    assert (tmp_path / files(tmp_path)[0]).stat().st_mode & 0o222 == 0


def test_putting_again_heals_what_went_bad(tmp_path: Path) -> None:
    store = LocalArtifacts(tmp_path)
    digest = store.put(b"right")
    place = tmp_path / files(tmp_path)[0]
    place.unlink()
    place.write_bytes(b"wrong")
    assert store.put(b"right") == digest
    assert store.get(digest) == b"right"


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_no_symbolic_link_is_followed(tmp_path: Path, depth: int) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    digest = LocalArtifacts(outside).put(b"x")
    parts = (digest[:2], digest[2:4], digest)[: depth + 1]
    link = root.joinpath(*parts)
    link.parent.mkdir(parents=True)
    link.symlink_to(outside.joinpath(*parts))
    store = LocalArtifacts(root)
    for act in (store.get, store.open, store.exists):
        with pytest.raises(StorageError, match="symbolic link"):
            act(digest)
    with pytest.raises(StorageError, match="symbolic link"):
        store.put(b"x")


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    # A limit on the size of files makes the kernel refuse the write half-way.
    program = """
import resource, sys
from pathlib import Path
from milepost.entities.errors import StorageError
from milepost.storage.files.artifacts import LocalArtifacts
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    LocalArtifacts(Path(sys.argv[1])).put(b"x" * 5000)
except StorageError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True
    )
    assert "the disk is full" in done.stdout, done.stderr
    assert "Free some space" in done.stdout
    assert files(tmp_path) == []


def test_a_place_that_may_not_be_written_is_named() -> None:
    with pytest.raises((WorkspaceError, StorageError), match="/proc/artifacts"):
        LocalArtifacts(Path("/proc/artifacts")).put(b"x")


def test_a_folder_where_the_bytes_should_be(tmp_path: Path) -> None:
    digest = sha256_bytes(b"x")
    (tmp_path / digest[:2] / digest[2:4] / digest).mkdir(parents=True)
    store = LocalArtifacts(tmp_path)
    assert not store.exists(digest)
    with pytest.raises(StorageError):
        store.get(digest)
    with pytest.raises(StorageError):
        store.put(b"x")


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has permissions of this kind")
def test_a_copy_can_be_edited(tmp_path: Path) -> None:
    store = LocalArtifacts(tmp_path / "store")
    store.copy(store.put(b"x"), tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_mode & 0o200


@pytest.mark.parametrize(
    "url", ["nonsense://user:s3cret@host/path", "s3://user:s3cret@bucket/folder"]
)
def test_an_address_that_cannot_be_used_keeps_its_password(url: str) -> None:
    with pytest.raises(WorkspaceError) as caught:
        open_artifacts(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("opened", [open_artifacts, open_place])
def test_a_server_that_does_not_answer_is_told_without_its_password(opened) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(StorageError, match="cannot be reached") as caught:
        opened(f"ftp://user:s3cret@{closed}/x")
    assert closed in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError, match="a folder where a checkpoint should be"):
        open_place(tmp_path).read(["a"])


def test_artifacts_do_not_need_sql() -> None:
    program = (
        "import sys, milepost.storage.files.artifacts;"
        "print('sqlalchemy' in sys.modules, 'fsspec' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"], done.stderr
