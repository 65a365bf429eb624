"""Answers in bulk: dataframes, files of any length, the same as the predictor gives."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from milepost.data.streaming import stream as streaming
from milepost.entities.errors import DataError, InputError
from milepost.models.cached import CachedEncoder
from milepost.predictors.base import Batch
from milepost.predictors.linear import LinearPredictor
from milepost.storage.files.vectors import FileVectorStore
from milepost.testing.encoders import HashedEncoder
from milepost.testing.releases import release
from milepost.testing.trunks import HashedTrunk
from milepost.workflows.answering import bulk
from milepost.workflows.answering.answered import Which
from milepost.workflows.answering.asking import answer_into, answer_table, answer_texts

TEXTS = [f"ripe apples and pears number {i % 97}" for i in range(300)]


class WithTrunk(HashedEncoder):
    """An encoder that has a trunk, as those of packages have."""

    @property
    def trunk(self):
        return self.__dict__.setdefault("_trunk", HashedTrunk(HashedEncoder()))


@pytest.fixture(params=["trunk", "cached", "none"])
def desk(context, things, request, monkeypatch):
    """A workspace with a linear release; its encoder with a trunk, behind a cache, or without."""
    inner = HashedEncoder() if request.param == "none" else WithTrunk()
    outer = inner
    if request.param == "cached":
        outer = CachedEncoder(inner, FileVectorStore(context.root / ".milepost/vectors"))
    desk = replace(context, encoder=lambda: outer, bare_encoder=lambda: inner)
    generator = np.random.default_rng(0)
    predictor = LinearPredictor(
        labels=("fruit", "tool"),
        weights=generator.normal(size=(2, inner.dimensions)).astype(np.float32) * 4,
        bias=np.zeros(2, np.float32),
        temperature=0.6,
    )
    release(desk, things, predictor)
    monkeypatch.setattr(bulk, "PART_TEXTS", 64)
    return desk, things, predictor


def expected(predictor, texts):
    return predictor.predict(Batch(tuple(texts), HashedEncoder().encode(texts))).probabilities


def test_texts_in_parts_are_answered_as_by_the_predictor(desk):
    context, name, predictor = desk
    for _ in range(2):  # the second time from the workspace's vectors, where it keeps any
        answered = answer_texts(context, name, TEXTS, Which())
        np.testing.assert_allclose(
            answered.predictions.probabilities, expected(predictor, TEXTS), atol=1e-6
        )
    assert len(answer_texts(context, name, [], Which())) == 0


COLUMNS = {
    "pandas": pd.Series,
    "polars": pl.Series,
    "arrow": lambda texts: pa.chunked_array([texts[:3], texts[3:]]),
    "numpy": np.array,
    "tuple": tuple,
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_of_every_kind(desk, kind):
    context, name, predictor = desk
    answered = answer_texts(context, name, COLUMNS[kind](TEXTS[:9]), Which())
    np.testing.assert_allclose(
        answered.predictions.probabilities, expected(predictor, TEXTS[:9]), atol=1e-6
    )


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, pa.table, pl.LazyFrame])
def test_dataframes_of_every_kind(desk, frame):
    context, name, predictor = desk
    content = frame({"n": list(range(9)), "text": TEXTS[:9]})
    answered = answer_texts(context, name, content, Which())
    np.testing.assert_allclose(
        answered.predictions.probabilities, expected(predictor, TEXTS[:9]), atol=1e-6
    )
    assert answered.columns == {}
    table = answer_table(context, name, content, Which(), "n >= 7").table()
    assert table["n"] == [7, 8]
    assert list(table) == ["n", "text", "label", "confidence", "release"]


@pytest.mark.parametrize("inputs", ["one text", ["a", None], 3, pd.DataFrame({"body": ["a"]})])
def test_what_is_no_text_is_refused(desk, inputs):
    context, name, _ = desk
    with pytest.raises(InputError):
        answer_texts(context, name, inputs, Which())


def rows_of(path):
    match path.suffix:
        case ".csv":
            return list(csv.DictReader(path.read_text().splitlines()))
        case ".jsonl":
            return [json.loads(line) for line in path.read_text().splitlines()]
        case _:
            return pq.read_table(path).to_pylist()


def write(frame, path):
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)


@pytest.mark.parametrize("where", [None, "n % 3 = 1 AND rare IS NULL"])
@pytest.mark.parametrize(
    ("source", "output"),
    [("in.csv", "out.csv"), ("in.csv", "out.parquet"), ("in.jsonl", "out.parquet"),
     ("in.parquet", "out.jsonl")],
)  # fmt: skip
def test_a_file_in_parts_is_as_a_file_at_once(desk, tmp_path, monkeypatch, source, output, where):
    context, name, _ = desk
    rare = [None] * 299 + [2.5]  # empty in all parts but the last
    frame = pd.DataFrame({"text": TEXTS, "n": range(300), "label": ["given"] * 300, "rare": rare})
    write(frame, tmp_path / source)
    whole = answer_table(context, name, tmp_path / source, Which(), where)
    whole.write(tmp_path / f"whole{output[3:]}")
    monkeypatch.setattr(streaming, "WHOLE_BYTES", 0)
    parts = streaming.open_stream
    monkeypatch.setattr(
        "milepost.workflows.answering.asking.open_stream",
        lambda source, expect: parts(source, expect, rows=64, whole=0),
    )
    done = answer_into(context, name, tmp_path / source, tmp_path / output, Which(), where)
    assert done.rows == len(whole) == (300 if where is None else 100)
    found = rows_of(tmp_path / output)
    assert [row["text"] for row in found] == list(whole.texts)
    assert [row["input_label"] for row in found] == ["given"] * len(found)
    alike = rows_of(tmp_path / f"whole{output[3:]}")
    for one, other in zip(found, alike, strict=True):
        assert float(one.pop("confidence")) == pytest.approx(
            float(other.pop("confidence")), abs=3e-6
        )
        assert one == other


@pytest.mark.parametrize(
    "inputs",
    [["a pear", ""], ["a pear", " \t"], pd.Series(["a pear", None]), pl.Series(["a pear", None])],
)
def test_what_is_empty_is_refused_and_not_answered(desk, inputs):
    where, things, _ = desk
    with pytest.raises(InputError, match="input 1 is empty"):
        answer_texts(where, things, inputs, Which())
    frame = pd.DataFrame({"text": list(inputs)})
    with pytest.raises(DataError, match="there is no text in 'text'"):
        answer_table(where, things, frame, Which(), None)
    assert len(answer_table(where, things, frame, Which(), "trim(text) != ''")) == 1


def test_a_bad_row_leaves_no_output_and_is_named(desk, tmp_path, monkeypatch):
    context, name, _ = desk
    source, output = tmp_path / "in.jsonl", tmp_path / "out.csv"
    lines = [json.dumps({"text": text}) for text in TEXTS]
    lines[200] = "{not json"
    source.write_text("\n".join(lines))
    parts = streaming.open_stream
    monkeypatch.setattr(
        "milepost.workflows.answering.asking.open_stream",
        lambda source, expect: parts(source, expect, rows=64, whole=0),
    )
    with pytest.raises(DataError, match=r"in\.jsonl:201"):
        answer_into(context, name, source, output, Which(), None)
    assert {each.name for each in tmp_path.iterdir()} == {"desk", "in.jsonl"}


def test_an_output_that_fails_half_way_leaves_what_was_there(desk, tmp_path, monkeypatch):
    context, name, _ = desk
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    pd.DataFrame({"text": TEXTS}).to_csv(source, index=False)
    output.write_text("as before")
    finish = bulk.Bulk._finish
    calls = []

    def fail_later(self, pending):
        calls.append(1)
        if len(calls) > 2:
            raise DataError("it broke.")
        return finish(self, pending)

    monkeypatch.setattr(bulk.Bulk, "_finish", fail_later)
    parts = streaming.open_stream
    monkeypatch.setattr(
        "milepost.workflows.answering.asking.open_stream",
        lambda source, expect: parts(source, expect, rows=64, whole=0),
    )
    with pytest.raises(DataError, match="it broke"):
        answer_into(context, name, source, output, Which(), None)
    assert output.read_text() == "as before"
    assert {each.name for each in tmp_path.iterdir()} == {"desk", "in.csv", "out.csv"}


def test_an_open_file_gets_csv(desk, tmp_path):
    context, name, _ = desk
    source = tmp_path / "in.csv"
    pd.DataFrame({"text": TEXTS[:5]}).to_csv(source, index=False)
    out = io.BytesIO()
    done = answer_into(context, name, source, out, Which(), None)
    assert (done.path, done.rows) == (None, 5)
    assert len(out.getvalue().decode().splitlines()) == 6


def test_a_file_that_the_workspace_knows_nothing_of_is_not_looked_up_to_its_end(context):
    class Store:
        looks = 0

        def get(self, space, keys, dimensions):
            self.looks += 1
            return np.zeros(len(keys), np.bool_), np.zeros((len(keys), dimensions), np.float32)

        def put(self, space, keys, vectors):
            raise AssertionError("nothing was to be kept")

    store, encoder = Store(), WithTrunk()
    predictor = LinearPredictor(
        labels=("a", "b"),
        weights=np.ones((2, encoder.dimensions), np.float32),
        bias=np.zeros(2, np.float32),
    )
    made = bulk.Bulk(predictor, CachedEncoder(encoder, store), keep=False)
    parts = [(i, TEXTS[i * 10 : i * 10 + 10]) for i in range(8)]
    assert [label for label, _ in made.answers(parts)] == list(range(8))
    assert store.looks == 2
    made.close()
