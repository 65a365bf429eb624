"""A whole workspace whose artifacts lie in a real object store."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import milepost as mp
from milepost.storage.files.artifacts import open_artifacts


@pytest.fixture
def on_s3(improved, s3_store, s3_server, environment, monkeypatch) -> Path:
    """The improved workspace, told that its artifacts are in an empty bucket."""
    for name, value in s3_server.items():
        monkeypatch.setitem(environment, name, value)
    path = improved / "milepost.toml"
    text = path.read_text()
    assert 'artifacts = ".milepost/artifacts"' in text
    path.write_text(text.replace(".milepost/artifacts", s3_store))
    return improved


@pytest.mark.slow
def test_improve_predict_verify_and_gc(milepost, on_s3, s3_store) -> None:
    local = open_artifacts(on_s3 / ".milepost/artifacts")
    store = open_artifacts(s3_store)
    needed = mp.Workspace.open(on_s3)._context.ledger.needed_artifacts()
    for each in local.list():
        store.put(local.get(each.digest))
    assert milepost.ok("-w", on_s3, "verify", "--all").out.count("✔") >= 3
    done = milepost("-w", on_s3, "improve", "route", "--strategy", "tfidf_linear", "--seed", 3)
    assert done.code in (0, 1), done.err
    assert "s3cret" not in done.out + done.err
    milepost.ok("-w", on_s3, "predict", "route", "my card was stolen")
    loose = store.put(b"loose")
    assert milepost.ok("-w", on_s3, "gc", "--json").json["deleted"] == 0
    assert store.exists(loose)
    # Time passes.
    later = datetime.now(UTC) + timedelta(days=2)
    context = replace(mp.Workspace.open(on_s3)._context, clock=lambda: later)
    collected = mp.Workspace(context).collect()
    assert collected.deleted >= 1
    assert not store.exists(loose)
    assert all(store.exists(each) for each in needed.bundles | needed.files)
    milepost.ok("-w", on_s3, "verify", "--all")
    milepost.ok("-w", on_s3, "predict", "route", "--release", 1, "my card was stolen")


def test_wrong_credentials_are_not_repeated(milepost, on_s3, environment, is_refusal) -> None:
    environment["AWS_SECRET_ACCESS_KEY"] = "s3cret-and-wrong"  # noqa: S105 - and meant to be seen nowhere
    done = milepost("-w", on_s3, "predict", "route", "x")
    is_refusal(done, "s3://")
    assert "s3cret" not in done.err
    environment["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    is_refusal(milepost("-w", on_s3, "predict", "route", "x"), "artifact store")
