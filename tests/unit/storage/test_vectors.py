"""What is put is found again, by any process, and damage costs a miss and never a wrong vector."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from milepost.entities.errors import StorageError
from milepost.storage.files.vectors import FileVectorStore, MemoryVectorStore

SPACE = "ab" * 32
Store = FileVectorStore | MemoryVectorStore


@pytest.fixture(params=["files", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return (
        FileVectorStore(tmp_path / "vectors") if request.param == "files" else MemoryVectorStore()
    )


def keys_of(*numbers: int) -> NDArray[np.uint8]:
    rows = [n.to_bytes(8, "little") * 2 for n in numbers]
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 16)


def vectors_of(*numbers: int, d: int = 4) -> NDArray[np.float32]:
    return np.array([[n + i / 8 for i in range(d)] for n in numbers], np.float32).reshape(-1, d)


def segments(root: Path) -> list[Path]:
    return sorted(root.rglob("*.vec"))


def test_what_is_put_is_found_in_the_order_asked(store: Store) -> None:
    store.put(SPACE, keys_of(5, 1, 9), vectors_of(5, 1, 9))
    found, vectors = store.get(SPACE, keys_of(9, 2, 5, 9), 4)
    assert found.tolist() == [True, False, True, True]
    assert np.array_equal(vectors[found], vectors_of(9, 5, 9))
    assert not vectors[1].any()


def test_an_empty_store_and_an_empty_question(store: Store) -> None:
    found, vectors = store.get(SPACE, keys_of(1), 4)
    assert not found.any()
    assert vectors.shape == (1, 4)
    store.put(SPACE, keys_of(), vectors_of())
    found, vectors = store.get(SPACE, keys_of(), 4)
    assert (found.shape, vectors.shape) == ((0,), (0, 4))


def test_spaces_do_not_mix(store: Store) -> None:
    store.put(SPACE, keys_of(1), vectors_of(1))
    assert not store.get("cd" * 32, keys_of(1), 4)[0].any()


def test_the_answer_belongs_to_the_caller(store: Store) -> None:
    store.put(SPACE, keys_of(1), vectors_of(1))
    store.get(SPACE, keys_of(1), 4)[1][:] = 0
    assert np.array_equal(store.get(SPACE, keys_of(1), 4)[1], vectors_of(1))


def test_what_does_not_belong_together_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="belong together"):
        store.put(SPACE, keys_of(1, 2), vectors_of(1))
    with pytest.raises(StorageError, match="not finite"):
        store.put(SPACE, keys_of(1), np.full((1, 4), np.nan, np.float32))


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 40), unique=True, max_size=15), max_size=6),
    st.lists(st.integers(0, 60), max_size=40),
)
def test_files_and_memory_agree(
    tmp_path_factory: pytest.TempPathFactory, puts: list[list[int]], wanted: list[int]
) -> None:
    root = tmp_path_factory.mktemp("vectors")
    files, memory = FileVectorStore(root), MemoryVectorStore()
    for numbers in puts:
        for store in (files, memory):
            store.put(SPACE, keys_of(*numbers), vectors_of(*numbers))
    expected = memory.get(SPACE, keys_of(*wanted), 4)
    for store in (files, FileVectorStore(root)):
        for left, right in zip(store.get(SPACE, keys_of(*wanted), 4), expected, strict=True):
            assert np.array_equal(left, right)


def test_keys_that_share_their_first_half_never_answer_for_each_other(tmp_path: Path) -> None:
    store = FileVectorStore(tmp_path)
    one, other = keys_of(1), keys_of(1).copy()
    other[0, 15] = 7
    store.put(SPACE, one, vectors_of(1))
    found, _ = store.get(SPACE, other, 4)
    assert not found.any()


def test_another_process_sees_what_this_one_wrote(tmp_path: Path) -> None:
    reader = FileVectorStore(tmp_path)
    assert not reader.get(SPACE, keys_of(7), 4)[0].any()
    FileVectorStore(tmp_path).put(SPACE, keys_of(7), vectors_of(7))
    assert reader.get(SPACE, keys_of(7), 4)[0].all()


@pytest.mark.parametrize("fault", ["flip", "truncate", "grow", "empty", "magic"])
def test_a_damaged_segment_is_a_miss_and_is_removed(tmp_path: Path, fault: str) -> None:
    FileVectorStore(tmp_path).put(SPACE, keys_of(1, 2), vectors_of(1, 2))
    FileVectorStore(tmp_path).put(SPACE, keys_of(3), vectors_of(3))
    file = max(segments(tmp_path), key=lambda segment: segment.stat().st_size)
    data = bytearray(file.read_bytes())
    if fault in {"flip", "magic"}:
        data[-3 if fault == "flip" else 0] ^= 0x40
    changed = {"truncate": data[:-5], "grow": data + b"\x00", "empty": b""}.get(fault, data)
    file.write_bytes(changed)
    store = FileVectorStore(tmp_path)
    assert store.get(SPACE, keys_of(1, 2, 3), 4)[0].tolist() == [False, False, True]
    assert len(segments(tmp_path)) == 1
    store.put(SPACE, keys_of(1), vectors_of(1))
    assert store.get(SPACE, keys_of(1), 4)[0].all()


def test_vectors_of_another_length_are_a_miss_and_stay(tmp_path: Path) -> None:
    store = FileVectorStore(tmp_path)
    store.put(SPACE, keys_of(1), vectors_of(1))
    assert not store.get(SPACE, keys_of(1), 8)[0].any()
    assert store.get(SPACE, keys_of(1), 4)[0].all()


def test_many_small_segments_become_one(tmp_path: Path) -> None:
    store = FileVectorStore(tmp_path)
    for number in range(70):
        store.put(SPACE, keys_of(number), vectors_of(number))
    assert len(segments(tmp_path)) < 10
    for reader in (store, FileVectorStore(tmp_path)):
        found, vectors = reader.get(SPACE, keys_of(*range(70)), 4)
        assert found.all()
        assert np.array_equal(vectors, vectors_of(*range(70)))


def test_a_draft_of_a_crashed_process_is_swept_and_a_fresh_one_is_not(tmp_path: Path) -> None:
    folder = tmp_path / SPACE
    folder.mkdir()
    old, fresh = folder / "old.tmp", folder / "fresh.tmp"
    old.write_bytes(b"half")
    fresh.write_bytes(b"half")
    os.utime(old, (1, 1))
    FileVectorStore(tmp_path).get(SPACE, keys_of(1), 4)
    assert not old.exists()
    assert fresh.exists()


@pytest.mark.parametrize("space", ["", "../up", "AB", "a/b"])
def test_a_space_cannot_lead_out_of_the_folder(tmp_path: Path, space: str) -> None:
    with pytest.raises(ValueError, match="hex digits"):
        FileVectorStore(tmp_path).get(space, keys_of(1), 4)


def test_a_folder_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = FileVectorStore(tmp_path / "file")
    with pytest.raises(StorageError, match="cannot be cached"):
        store.put(SPACE, keys_of(1), vectors_of(1))


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from milepost.storage.files.vectors import FileVectorStore\n"
        "store, base = FileVectorStore(Path(sys.argv[1])), int(sys.argv[2])\n"
        "for n in range(base, base + 80):\n"
        "    key = np.frombuffer(n.to_bytes(8, 'little') * 2, np.uint8).reshape(1, 16)\n"
        f"    store.put('{SPACE}', key, np.full((1, 4), n, np.float32))\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(base)])
        for base in (0, 1000, 2000)
    ]
    assert [process.wait() for process in running] == [0, 0, 0]
    numbers = [n for base in (0, 1000, 2000) for n in range(base, base + 80)]
    found, vectors = FileVectorStore(tmp_path).get(SPACE, keys_of(*numbers), 4)
    assert found.all()
    assert np.array_equal(vectors[:, 0], np.array(numbers, np.float32))
