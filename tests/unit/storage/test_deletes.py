"""A delete never takes what a put has promised, however their steps interleave."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milepost._base.digest import sha256_bytes, sha256_file
from milepost.storage.files import local
from milepost.storage.files.artifacts import Artifacts, LocalArtifacts
from milepost.storage.files.remote import RemoteArtifacts

DATA = b"what a running command is about to record"
DIGEST = sha256_bytes(DATA)
LONG_AGO = datetime.now(UTC) - timedelta(days=30)


class Turns:
    """Lets the registered threads do one step at a time, in a drawn order."""

    def __init__(self, order: list[int]) -> None:
        self.order = order
        self.waiting: dict[int, int] = {}
        self.condition = threading.Condition()
        self.members: dict[int, int] = {}

    def step(self) -> None:
        """Wait for one's turn; whoever is not a member, or alone, never waits."""
        me = self.members.get(threading.get_ident())
        if me is None:
            return
        with self.condition:
            self.waiting[me] = 1
            self.condition.notify_all()
            # A step begins when all that are still running wait, and the order says so.
            while not (len(self.waiting) == len(self.members) and self.next() == me):
                assert self.condition.wait(30), "the schedule stands still"
            del self.waiting[me]
            if self.order:
                self.order.pop(0)

    def next(self) -> int:
        running = sorted(self.members.values())
        return running[self.order[0] % len(running)] if self.order else running[0]

    def run(self, *calls: Callable[[], object]) -> list[object]:
        results: list[object] = [None] * len(calls)
        ready = threading.Barrier(len(calls))

        def member(number: int) -> None:
            with self.condition:
                self.members[threading.get_ident()] = number
            ready.wait()
            try:
                results[number] = calls[number]()
            except BaseException as error:  # noqa: BLE001 - handed to the test
                results[number] = error
            with self.condition:
                del self.members[threading.get_ident()]
                self.condition.notify_all()

        threads = [threading.Thread(target=member, args=(n,)) for n in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results


@contextmanager
def stepwise_os(turns: Turns) -> Iterator[None]:
    """Every call that the local store makes on the file system is one step."""
    names = ("stat", "rename", "replace", "link", "unlink", "utime", "open", "lstat")
    before = {name: getattr(os, name) for name in names}

    def stepping(real):
        def call(*args, **kwargs):
            turns.step()
            return real(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name, real in before.items():
            patch.setattr(os, name, stepping(real))
        yield


class StepwiseMemory(MemoryFileSystem):
    """fsspec's memory, with every operation one step."""

    cachable = False
    turns: Turns

    def info(self, path, **kwargs):
        self.turns.step()
        return super().info(path, **kwargs)

    def ls(self, path, detail=True, **kwargs):
        self.turns.step()
        return super().ls(path, detail=detail, **kwargs)

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        self.turns.step()
        return super().pipe_file(path, value, mode=mode, **kwargs)

    def cp_file(self, path1, path2, **kwargs):
        self.turns.step()
        return super().cp_file(path1, path2, **kwargs)

    def rm_file(self, path):
        self.turns.step()
        if path not in self.store:
            raise FileNotFoundError(path)
        return super()._rm(path)

    def cat_file(self, path, start=None, end=None, **kwargs):
        self.turns.step()
        return super().cat_file(path, start=start, end=end, **kwargs)


def whole_objects(turns: Turns) -> RemoteArtifacts:
    """A store that, as S3 does, makes and replaces objects in one step."""
    system = StepwiseMemory()
    system.turns = turns
    store = RemoteArtifacts(system, f"/{uuid4().hex}", "memory")
    store._whole = True
    return store


def age(store: Artifacts, place: Path | str) -> None:
    """Make the bytes look a month old."""
    if isinstance(store, LocalArtifacts):
        os.utime(place, (LONG_AGO.timestamp(),) * 2)
    else:
        held = StepwiseMemory.store[str(place)]
        held.created = held.modified = LONG_AGO


def limit() -> datetime:
    return datetime.now(UTC) - timedelta(hours=1)


orders = st.lists(st.integers(0, 2), max_size=60)
plans = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(store: Artifacts, results: list[object]) -> None:
    problems = [each for each in results if isinstance(each, BaseException)]
    assert problems == []
    assert store.exists(DIGEST)
    assert store.get(DIGEST) == DATA
    assert [each.digest for each in store.list()] == [DIGEST]


@plans
@given(order=orders)
def test_local_put_and_two_deletes(tmp_path: Path, order: list[int]) -> None:
    store = LocalArtifacts(tmp_path / uuid4().hex)
    store.put(DATA)
    age(store, store.root / DIGEST[:2] / DIGEST[2:4] / DIGEST)
    turns, before = Turns(order), limit()
    with stepwise_os(turns):
        results = turns.run(
            lambda: store.put(DATA),
            lambda: store.delete(DIGEST, before),
            lambda: store.delete(DIGEST, before),
        )
    check(store, results)


@plans
@given(order=orders)
def test_local_put_delete_and_sweep(tmp_path: Path, order: list[int]) -> None:
    store = LocalArtifacts(tmp_path / uuid4().hex)
    store.put(DATA)
    age(store, store.root / DIGEST[:2] / DIGEST[2:4] / DIGEST)
    turns, before = Turns(order), limit()
    with stepwise_os(turns):
        results = turns.run(
            lambda: store.put(DATA),
            lambda: store.delete(DIGEST, before),
            lambda: store.sweep(before),
        )
    check(store, results)


@plans
@given(order=orders)
def test_remote_put_and_two_deletes(order: list[int]) -> None:
    turns = Turns(order)
    store = whole_objects(turns)
    store.put(DATA)
    age(store, f"{store.root}/{DIGEST[:2]}/{DIGEST[2:4]}/{DIGEST}")
    before = limit()
    results = turns.run(
        lambda: store.put(DATA),
        lambda: store.delete(DIGEST, before),
        lambda: store.delete(DIGEST, before),
    )
    check(store, results)


@plans
@given(order=orders)
def test_a_reader_never_misses_what_was_put(tmp_path: Path, order: list[int]) -> None:
    turns = Turns(order)
    store = whole_objects(turns)
    store.put(DATA)
    age(store, f"{store.root}/{DIGEST[:2]}/{DIGEST[2:4]}/{DIGEST}")
    before = limit()

    def put_and_read() -> bytes:
        store.put(DATA)
        return store.get(DIGEST)

    check(store, turns.run(put_and_read, lambda: store.delete(DIGEST, before)))


def test_a_delete_between_the_look_and_the_reading_of_a_put(tmp_path: Path, monkeypatch) -> None:
    store = LocalArtifacts(tmp_path)
    store.put(DATA)
    age(store, tmp_path / DIGEST[:2] / DIGEST[2:4] / DIGEST)

    def deleted_before(path: Path) -> str:
        assert store.delete(DIGEST, limit())
        return sha256_file(path)

    monkeypatch.setattr(local, "sha256_file", deleted_before)
    assert store.put(DATA) == DIGEST
    assert store.get(DIGEST) == DATA


def test_what_a_killed_delete_left_is_read_and_put_back(tmp_path: Path) -> None:
    store = LocalArtifacts(tmp_path)
    store.put(DATA)
    path = tmp_path / DIGEST[:2] / DIGEST[2:4] / DIGEST
    path.rename(path.with_name(f".{DIGEST}.0123456789abcdef.trash"))
    assert store.exists(DIGEST)
    assert store.get(DIGEST) == DATA
    assert list(store.list()) == []
    store.sweep(limit(), dry_run=True)
    assert list(store.list()) == []
    store.sweep(limit())
    assert [each.digest for each in store.list()] == [DIGEST]
    assert sorted(p.name for p in path.parent.iterdir()) == [DIGEST]


def test_what_a_killed_remote_delete_left_is_read_and_put_back() -> None:
    store = whole_objects(Turns([]))
    store.put(DATA)
    folder = f"{store.root}/{DIGEST[:2]}/{DIGEST[2:4]}"
    mark = f"{folder}/.{DIGEST}.0123456789abcdef.trash"
    store.system.cp_file(f"{folder}/{DIGEST}", mark)
    store.system.rm_file(f"{folder}/{DIGEST}")
    assert store.get(DIGEST) == DATA
    store.sweep(datetime.now(UTC))
    assert list(store.list()) == []  # whoever left the mark may still be at work
    age(store, mark)
    store.sweep(datetime.now(UTC))
    assert [each.digest for each in store.list()] == [DIGEST]
    assert store.system.find(store.root) == [f"{folder}/{DIGEST}"]


def test_a_put_that_another_user_owns_is_made_young(tmp_path: Path, monkeypatch) -> None:
    store = LocalArtifacts(tmp_path)
    store.put(DATA)
    path = tmp_path / DIGEST[:2] / DIGEST[2:4] / DIGEST
    age(store, path)

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(1, "not yours")

    monkeypatch.setattr(os, "utime", refuse)
    assert store.refresh(DIGEST)
    assert not store.delete(DIGEST, limit())
