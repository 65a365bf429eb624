"""Ten thousand single-byte faults in what is stored and exported: every one is refused."""

import json
import random
import shutil
from pathlib import Path

import pytest

import milepost as mp

SEED = 20261121
IN_WORKSPACE = 5_500
EXPORTED = {
    "SHA256SUMS": 500,
    "predictor/manifest.json": 1_540,
    "predictor/arrays.safetensors": 1_000,
    "predictor/parameters.json": 800,
    "encoder/manifest.json": 500,
    "encoder/tokenizer.json": 80,
    "encoder/model.onnx": 80,
}
TEXT = ["my card was stolen"]


def fault(data: bytes, draw: random.Random) -> tuple[str, bytes]:
    """One byte changed, added or removed, or the end cut off."""
    kind = draw.choice(("flip", "insert", "delete", "truncate"))
    at = draw.randrange(len(data))
    changed = {
        "flip": lambda: data[:at] + bytes([data[at] ^ draw.randrange(1, 256)]) + data[at + 1 :],
        "insert": lambda: data[:at] + bytes([draw.randrange(256)]) + data[at:],
        "delete": lambda: data[:at] + data[at + 1 :],
        "truncate": lambda: data[:at],
    }[kind]()
    assert changed != data
    return f"{kind} at {at}", changed


def put(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def files(folder: Path) -> list[str]:
    """Files of an exported release, but for the card, which is for people and may be edited."""
    found = (str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    return sorted(name for name in found if name != "README.md")


def bundle_paths(workspace: Path, digest: str) -> list[Path]:
    def place(name: str) -> Path:
        return workspace / ".milepost/artifacts" / name[:2] / name[2:4] / name

    manifest = json.loads(place(digest).read_bytes())
    return [place(digest), *(place(file["sha256"]) for file in manifest["files"])]


@pytest.mark.slow
def test_every_fault_in_the_artifacts_is_refused_and_the_other_release_answers(improved) -> None:
    workspace = mp.Workspace.open(improved)
    paths = {r.number: bundle_paths(improved, r.bundle) for r in workspace.releases("route")}
    right = {n: workspace.predict("route", TEXT, release=n).probabilities.tobytes() for n in paths}
    draw = random.Random(SEED)  # noqa: S311 - no secret
    refused = 0
    for number in range(IN_WORKSPACE):
        release = draw.choice([1, 2])
        path = draw.choice(paths[release])
        whole = path.read_bytes()
        what, broken = fault(whole, draw)
        put(path, broken)
        try:
            with pytest.raises(mp.MilepostError):
                workspace.predict("route", TEXT, release=release)
            refused += 1
            if number % 10 == 0:
                other = workspace.predict("route", TEXT, release=3 - release)
                assert other.probabilities.tobytes() == right[3 - release], what
            if number % 250 == 0:
                found = workspace.verify("route")
                assert {f.subject for f in found.faults} == {f"route#{release}"}, what
        finally:
            put(path, whole)
    print(f"seed {SEED}: {refused} of {IN_WORKSPACE} faults in artifacts refused")  # noqa: T201 - the figure
    for n, expected in right.items():
        assert workspace.predict("route", TEXT, release=n).probabilities.tobytes() == expected


@pytest.mark.exhaustive
def test_every_fault_in_an_exported_release_is_refused(improved, tmp_path) -> None:
    folder = tmp_path / "exported"
    mp.Workspace.open(improved).export("route", folder, release=2)
    mp.load_exported(folder).predict(TEXT)
    assert files(folder) == sorted(EXPORTED)
    draw = random.Random(SEED)  # noqa: S311 - no secret
    refused = 0
    for name, times in EXPORTED.items():
        path = folder / name
        whole = path.read_bytes()
        for _ in range(times):
            what, broken = fault(whole, draw)
            put(path, broken)
            try:
                mp.load_exported(folder)
            except mp.MilepostError:
                refused += 1
            else:
                pytest.fail(f"{name}: {what} was taken")
        put(path, whole)
    print(f"seed {SEED}: {refused} of {sum(EXPORTED.values())} faults in exported files refused")  # noqa: T201
    mp.load_exported(folder).predict(TEXT)
    shutil.rmtree(folder)


def test_some_faults_of_each_kind_in_each_file(improved, tmp_path) -> None:
    workspace = mp.Workspace.open(improved)
    draw = random.Random(SEED)  # noqa: S311 - no secret
    for release in workspace.releases("route"):
        for path in bundle_paths(improved, release.bundle):
            whole = path.read_bytes()
            for _ in range(10):
                put(path, fault(whole, draw)[1])
                with pytest.raises(mp.MilepostError):
                    workspace.predict("route", TEXT, release=release.number)
            put(path, whole)
    folder = tmp_path / "exported"
    workspace.export("route", folder, release=1)
    for path in (folder / name for name in files(folder)):
        whole = path.read_bytes()
        for _ in range(10):
            put(path, fault(whole, draw)[1])
            with pytest.raises(mp.MilepostError):
                mp.load_exported(folder)
        put(path, whole)
    mp.load_exported(folder).predict(TEXT)
