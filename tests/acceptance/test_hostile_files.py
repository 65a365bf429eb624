"""Files that somebody else wrote are never followed, never run, and never waited for."""

import json
import os
import pickle
from hashlib import sha256
from pathlib import Path

import pytest

import milepost as mp

TEXT = ["my card was stolen"]


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __reduce__(self):
        return (os.mkdir, (self.place,))


@pytest.fixture
def exported(improved, tmp_path) -> Path:
    mp.Workspace.open(improved).export("route", tmp_path / "exported", release=1)
    return tmp_path / "exported"


def relisted(folder: Path, **changes: bytes) -> None:
    """Replace files of an exported predictor, with every digest made to fit."""
    predictor = folder / "predictor"
    manifest = json.loads((predictor / "manifest.json").read_bytes())
    for name, data in changes.items():
        file = {"arrays": "arrays.safetensors", "parameters": "parameters.json"}[name]
        (predictor / file).write_bytes(data)
        for each in manifest["files"]:
            if each["name"] == file:
                each["sha256"], each["size"] = sha256(data).hexdigest(), len(data)
    signed(folder, json.dumps(manifest).encode())


def signed(folder: Path, manifest: bytes) -> None:
    (folder / "predictor/manifest.json").write_bytes(manifest)
    digest = sha256(manifest).hexdigest()
    (folder / "SHA256SUMS").write_text(f"{digest}  predictor/manifest.json\n")


def refused(folder: Path) -> None:
    with pytest.raises(mp.MilepostError):
        mp.load_exported(folder)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_never_run(exported, tmp_path, protocol) -> None:
    trap = pickle.dumps(Trap(tmp_path / "sprung"), protocol)
    relisted(exported, arrays=trap)
    refused(exported)
    relisted(exported, parameters=trap)
    refused(exported)
    signed(exported, trap)
    refused(exported)
    for name in ("model.pkl", "x.pt", "__init__.py", "arrays.safetensors.pkl", "sitecustomize.py"):
        (exported / "predictor" / name).write_bytes(trap)
        refused(exported)
        (exported / "predictor" / name).unlink()
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["manifest.json", "arrays.safetensors", "parameters.json"])
@pytest.mark.parametrize("kind", ["link", "dangling", "loop", "fifo", "folder", "device"])
def test_only_plain_files_are_read(exported, tmp_path, name, kind) -> None:
    path = exported / "predictor" / name
    path.rename(tmp_path / "aside")
    {
        "link": lambda: path.symlink_to(tmp_path / "aside"),
        "dangling": lambda: path.symlink_to(tmp_path / "nowhere"),
        "loop": lambda: path.symlink_to(path),
        "fifo": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "device": lambda: path.symlink_to("/dev/zero"),
    }[kind]()
    refused(exported)


@pytest.mark.parametrize("part", ["predictor", "SHA256SUMS"])
def test_no_part_of_an_exported_release_may_be_a_link(exported, tmp_path, part) -> None:
    (exported / part).rename(tmp_path / "aside")
    (exported / part).symlink_to(tmp_path / "aside")
    refused(exported)


@pytest.mark.parametrize("kind", ["link", "fifo", "device", "folder", "linked folder"])
def test_only_plain_files_of_the_artifact_store_are_read(improved, tmp_path, kind) -> None:
    workspace = mp.Workspace.open(improved)
    release = workspace.releases("route")[-1]
    store = improved / ".milepost/artifacts"
    path = store / release.bundle[:2] / release.bundle[2:4] / release.bundle
    if kind == "linked folder":
        path.parent.rename(tmp_path / "aside")
        path.parent.symlink_to(tmp_path / "aside")
    else:
        path.rename(tmp_path / "aside")
        {
            "link": lambda: path.symlink_to(tmp_path / "aside"),
            "fifo": lambda: os.mkfifo(path),
            "device": lambda: path.symlink_to("/dev/zero"),
            "folder": path.mkdir,
        }[kind]()
    with pytest.raises(mp.MilepostError):
        workspace.predict("route", TEXT, release=release.number)
    assert not workspace.verify().sound
    with pytest.raises(mp.MilepostError, match="nothing was deleted"):
        workspace.collect(older_than=0)
    workspace.predict("route", TEXT, release=2)


HOSTILE_JSON = {
    "deep": b"[" * 200_000,
    "deep object": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "closed and deep": b"[" * 100_000 + b"]" * 100_000,
    "duplicate": b'{"temperature": 1.0, "temperature": 2.0, "parameters": {}}',
    "nan": b'{"temperature": NaN, "parameters": {}}',
    "infinity": b'{"temperature": Infinity, "parameters": {}}',
    "overflow": b'{"temperature": 1e9999, "parameters": {}}',
    "long number": b'{"temperature": ' + b"9" * 100_000 + b', "parameters": {}}',
    "half a character": b'{"temperature": 1.0, "parameters": {"\\ud800": 1}}',
    "bom": b'\xef\xbb\xbf{"temperature": 1.0, "parameters": {}}',
    "utf-16": '{"temperature": 1.0, "parameters": {}}'.encode("utf-16"),
    "empty": b"",
    "null": b"null",
    "comment": b'{"temperature": 1.0, "parameters": {}} // x',
    "two": b'{"temperature": 1.0, "parameters": {}}{}',
}


@pytest.mark.parametrize("name", HOSTILE_JSON)
def test_json_is_strict(exported, name) -> None:
    relisted(exported, parameters=HOSTILE_JSON[name])
    refused(exported)
    signed(exported, HOSTILE_JSON[name])
    refused(exported)


def header(content: object, body: bytes = b"") -> bytes:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return len(data).to_bytes(8, "little") + data + body


HUGE = 2**62
HOSTILE_ARRAYS = {
    "declares an exabyte header": (HUGE).to_bytes(8, "little") + b"{}",
    "negative header": b"\xff" * 8 + b"{}",
    "declares an exabyte": header(
        {"weights": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, HUGE]}}
    ),
    "shape overflows": header(
        {"weights": {"dtype": "F32", "shape": [2**32, 2**32, 4], "data_offsets": [0, 4]}}, b"0000"
    ),
    "offsets backwards": header(
        {"weights": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, b"0000"
    ),
    "unknown dtype": header(
        {"weights": {"dtype": "OBJECT", "shape": [1], "data_offsets": [0, 4]}}, b"0000"
    ),
    "name with a path": header(
        {"../../x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"0000"
    ),
    "deep header": header(b"[" * 100_000),
    "numpy file": b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    "zip": b"PK\x03\x04" + b"\x00" * 100,
    "empty": b"",
}


@pytest.mark.parametrize("name", HOSTILE_ARRAYS)
def test_arrays_are_what_they_declare(exported, name) -> None:
    relisted(exported, arrays=HOSTILE_ARRAYS[name])
    refused(exported)


@pytest.mark.parametrize("size", [0, -1, 2**40, 2**70])
def test_a_declared_size_allocates_nothing(exported, size) -> None:
    manifest = json.loads((exported / "predictor/manifest.json").read_bytes())
    for each in manifest["files"]:
        each["size"] = size
    signed(exported, json.dumps(manifest).encode())
    refused(exported)


def test_a_sparse_giant_is_refused_unread(exported) -> None:
    with (exported / "predictor/arrays.safetensors").open("r+b") as file:
        file.truncate(2**40)
    refused(exported)
    with (exported / "SHA256SUMS").open("r+b") as file:
        file.truncate(2**40)
    refused(exported)


@pytest.mark.parametrize(
    "name", ["../arrays.safetensors", "/etc/passwd", "..", "", "a\x00b", "C:\\x", "arrays.pkl"]
)
def test_a_manifest_names_no_place(exported, name) -> None:
    manifest = json.loads((exported / "predictor/manifest.json").read_bytes())
    manifest["files"][0]["name"] = name
    signed(exported, json.dumps(manifest).encode())
    refused(exported)
