"""One suite for every artifact store."""

import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milepost._base.digest import sha256_bytes
from milepost.entities.errors import CorruptError, InputError, StorageError
from milepost.storage.files.artifacts import (
    Artifacts,
    LimitedArtifacts,
    MemoryArtifacts,
    open_artifacts,
)

HOUR = timedelta(hours=1)
ABSENT = sha256_bytes(b"never stored")


@pytest.fixture(
    params=["local", "file url", "memory", "fsspec memory", "fsspec local", "s3", "limited"]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Artifacts:
    return {
        "local": lambda: open_artifacts(tmp_path / "store 100%"),
        "file url": lambda: open_artifacts(f"file://{tmp_path}/store"),
        "memory": MemoryArtifacts,
        "fsspec memory": lambda: open_artifacts(f"memory://{uuid4().hex}"),
        "fsspec local": lambda: open_artifacts(f"local://{tmp_path}/store"),
        "s3": lambda: open_artifacts(request.getfixturevalue("s3_store")),
        "limited": lambda: LimitedArtifacts(MemoryArtifacts(), 10**9),
    }[request.param]()


@given(data=st.binary(max_size=200))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_put_comes_back(store: Artifacts, data: bytes) -> None:
    digest = store.put(data)
    assert digest == sha256_bytes(data)
    assert store.put(data) == digest
    assert store.get(digest) == data
    assert store.exists(digest)
    assert store.size(digest) == len(data)


def test_a_file_is_put_copied_and_read_in_parts(store: Artifacts, tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(data)
    target.write_bytes(b"old")
    digest = store.put_file(source)
    assert digest == store.put(data)
    store.copy(digest, target)
    assert target.read_bytes() == data
    with store.open(digest) as file:
        assert file.read(3) == data[:3]
        assert file.seek(-2, io.SEEK_END) == len(data) - 2
        assert file.read() == data[-2:]
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["source", "target"]


def test_what_is_absent_is_said_to_be(store: Artifacts, tmp_path: Path) -> None:
    assert not store.exists(ABSENT)
    for ask in (store.get, store.open, store.size):
        with pytest.raises(StorageError, match="no artifact"):
            ask(ABSENT)
    with pytest.raises(StorageError, match="no artifact"):
        store.copy(ABSENT, tmp_path / "target")
    assert not (tmp_path / "target").exists()
    with pytest.raises(StorageError):
        store.put_file(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "digest", ["", "../../../etc/passwd", "A" * 64, "g" * 64, "a" * 63, "../" + "a" * 61]
)
def test_only_a_digest_becomes_a_path(store: Artifacts, tmp_path: Path, digest: str) -> None:
    for ask in (store.get, store.open, store.size, store.exists, store.refresh):
        with pytest.raises(InputError, match="not a digest"):
            ask(digest)
    with pytest.raises(InputError, match="not a digest"):
        store.delete(digest, later())
    with pytest.raises(InputError, match="not a digest"):
        store.copy(digest, tmp_path / "target")


def test_many_threads_put_the_same(store: Artifacts) -> None:
    data = b"x" * 100_000
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(lambda _: store.put(data), range(16)))
    assert [store.get(digest) for digest in digests] == [data]


def test_a_copy_to_a_missing_folder_is_refused(store: Artifacts, tmp_path: Path) -> None:
    digest = store.put(b"x")
    with pytest.raises(StorageError):
        store.copy(digest, tmp_path / "no" / "folder")


def now() -> datetime:
    return datetime.now(UTC)


def later() -> datetime:
    return now() + HOUR


def test_an_empty_store_lists_nothing(store: Artifacts) -> None:
    assert list(store.list()) == []
    assert store.usage() == (0, 0)
    assert store.sweep(later()) == (0, 0)


def test_a_listing_gives_digest_size_and_age(store: Artifacts) -> None:
    before = now() - timedelta(seconds=2)
    digests = {store.put(bytes(size)): size for size in range(5)}
    listed = list(store.list())
    assert {each.digest: each.size for each in listed} == digests
    assert [each.digest for each in listed] == sorted(digests)
    assert all(before <= each.modified <= now() + timedelta(seconds=2) for each in listed)
    assert all(each.modified.tzinfo is UTC for each in listed)
    assert store.usage() == (5, 10)


def test_only_what_is_old_is_deleted(store: Artifacts) -> None:
    digest, other = store.put(b"x"), store.put(b"y")
    assert not store.delete(digest, now() - HOUR)
    assert store.get(digest) == b"x"
    assert store.delete(digest, later())
    assert not store.delete(digest, later())
    assert not store.delete(ABSENT, later())
    assert not store.exists(digest)
    assert [each.digest for each in store.list()] == [other]
    with pytest.raises(StorageError, match="no artifact"):
        store.get(digest)
    assert store.put(b"x") == digest
    assert store.get(digest) == b"x"


def test_what_is_absent_cannot_be_made_young(store: Artifacts) -> None:
    assert not store.refresh(ABSENT)
    assert store.refresh(store.put(b"x"))


def test_half_written_files_are_swept_and_nothing_else(tmp_path: Path, s3_store: str) -> None:
    for address in (str(tmp_path / "a"), f"local://{tmp_path}/b", s3_store):
        store = open_artifacts(address)
        digest = store.put(b"whole")
        folder = f"{address}/{digest[:2]}/{digest[2:4]}"
        with fsspec.open(f"{folder}/.0123456789abcdef.tmp", "wb") as half:
            half.write(b"half")
        assert store.sweep(now() - HOUR) == (0, 0)
        assert store.sweep(later(), dry_run=True) == (1, 4)
        assert store.usage() == (1, 5)
        assert store.sweep(later()) == (1, 4)
        assert store.sweep(later()) == (0, 0)
        assert store.get(digest) == b"whole"


def test_two_writers_of_the_same_bytes_at_once(store: Artifacts, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"y" * 300_000)
    with ThreadPoolExecutor(4) as pool:
        digests = set(pool.map(lambda _: store.put_file(source), range(8)))
    assert [store.get(digest) for digest in digests] == [source.read_bytes()]
    assert store.usage() == (1, 300_000)


@pytest.mark.parametrize("address", ["local", "file url", "fsspec local"])
def test_changed_bytes_are_never_handed_out(tmp_path: Path, address: str) -> None:
    store = open_artifacts(
        {
            "local": str(tmp_path),
            "file url": f"file://{tmp_path}",
            "fsspec local": f"local://{tmp_path}",
        }[address]
    )
    digest = store.put(b"the right bytes")
    place = tmp_path / digest[:2] / digest[2:4] / digest
    place.unlink()
    place.write_bytes(b"the wrong bytes")
    target = tmp_path / "target"
    for ask in (store.get, store.open):
        with pytest.raises(CorruptError, match=digest):
            ask(digest)
    with pytest.raises(CorruptError, match=digest):
        store.copy(digest, target)
    assert not target.exists()
