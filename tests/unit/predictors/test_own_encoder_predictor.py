"""A predictor that carries its own encoder: what it gives, how it is kept, and what it refuses."""

import subprocess
import sys

import numpy as np
import pytest

from milepost.entities.errors import CorruptError, EncoderError
from milepost.entities.release import Manifest
from milepost.models.catalog import EncoderOptions, open_encoder
from milepost.models.folder import read_folder
from milepost.models.graphs import bert
from milepost.models.graphs.calibration import ranges_over
from milepost.predictors.base import Batch
from milepost.predictors.bundle import bundle_files, predictor_from_files
from milepost.predictors.carried.encoder import OwnEncoder
from milepost.predictors.own_encoder import OwnEncoderPredictor
from milepost.testing.tiny import write_tiny

TEXTS = ("where is my card", "a", "", "zebra " * 60, "😀 \ud800")
"""The last one holds half a character; the one before is longer than the encoder reads."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return read_folder(write_tiny(tmp_path_factory.mktemp("own") / "bert"))


def described_as(predictor):
    return Manifest(
        kind=predictor.kind,
        task="route",
        task_version="t" * 64,
        labels=predictor.labels,
        strategy="student_encoder",
        examples="e" * 64,
        seed=0,
        code="test",
    )


def made(folder, stored="fp32", integers=False):
    encoder = OwnEncoder.of_folder(folder, stored=stored)
    if integers:
        watched = bert.build(folder, bert.Plan(watched=True), encoder.floats())
        found = ranges_over(watched, encoder.tokens(["where is my card", "the refund is late"]))
        encoder = OwnEncoder(
            config=encoder.config,
            tokenizer=encoder.tokenizer,
            pooling=encoder.pooling,
            max_tokens=encoder.max_tokens,
            tensors=encoder.tensors,
            ranges=found,
        )
    rng = np.random.default_rng(0)
    return OwnEncoderPredictor(
        labels=("a", "b", "c"),
        encoder=encoder,
        weights=rng.normal(size=(3, 32)).astype(np.float32),
        bias=np.zeros(3, np.float32),
    )


def test_its_vectors_are_those_of_the_encoder_it_was_made_of(folder, tmp_path):
    other = open_encoder(str(folder.path), tmp_path, EncoderOptions(threads=1))
    assert np.abs(made(folder).encoder.vectors(TEXTS) - other.encode(TEXTS)).max() <= 1e-6


@pytest.mark.parametrize(("stored", "least"), [("fp16", 0.9999), ("int8", 0.99)])
def test_fewer_bits_give_nearly_the_same_vectors(folder, stored, least):
    exact, kept = made(folder).encoder, made(folder, stored).encoder
    cosines = (exact.vectors(TEXTS) * kept.vectors(TEXTS)).sum(axis=1)
    assert cosines.min() >= least
    assert sum(a.nbytes for a in kept.tensors.values()) < 0.7 * sum(
        a.nbytes for a in exact.tensors.values()
    )


@pytest.mark.parametrize("integers", [False, True])
@pytest.mark.parametrize("stored", ["fp32", "fp16", "int8"])
def test_it_comes_back_from_its_bundle_to_the_bit(folder, stored, integers):
    predictor = made(folder, stored, integers).calibrated(2.0)
    described = described_as(predictor)
    again, _ = predictor_from_files(bundle_files(predictor, described))
    batch = Batch(TEXTS)
    assert np.array_equal(
        again.predict(batch).probabilities, predictor.predict(batch).probabilities
    )


@pytest.mark.parametrize("integers", [False, True])
def test_a_text_has_the_same_answer_whatever_is_beside_it(folder, integers):
    predictor = made(folder, integers=integers)
    together = predictor.logits(Batch(TEXTS))
    alone = np.concatenate([predictor.logits(Batch((text,))) for text in TEXTS])
    assert np.abs(together - alone).max() <= 1e-4
    assert predictor.logits(Batch(())).shape == (0, 3)


def test_positions_that_no_text_reaches_are_left_out(folder):
    table = made(folder).encoder.tensors["embeddings.position_embeddings.weight"]
    assert len(table) == folder.max_tokens


def changed(arrays, name, array):
    return {**arrays, name: array}


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("encoder.encoder.layer.1.output.dense.weight", None, "cannot be built"),
        ("encoder.encoder.layer.0.output.dense.bias", lambda a: a * np.nan, "not finite"),
        ("encoder.encoder.layer.0.output.dense.bias", lambda a: a[:-1], "cannot be built"),
        ("encoder.embeddings.word_embeddings.weight", lambda a: a[:5], "fewer rows"),
        ("encoder.embeddings.word_embeddings.weight", lambda a: a.astype(np.int8), "scales"),
        ("weights", lambda a: a[:, :3].copy(), "other vectors"),
        ("stray", lambda a: np.zeros(1, np.float32), "none that this kind has"),
        ("low.x", lambda a: np.zeros(1, np.float32), "not of the same layers"),
    ],
)
def test_a_damaged_one_is_refused(folder, name, change, said):
    predictor = made(folder)
    arrays = dict(predictor.arrays())
    if change is None:
        del arrays[name]
    else:
        arrays[name] = change(arrays.get(name))
    with pytest.raises(CorruptError, match=said):
        OwnEncoderPredictor.from_parts(predictor.labels, 1.0, arrays, predictor.parameters())


@pytest.mark.parametrize(
    "change",
    [
        {"pooling": "sum"},
        {"max_tokens": 0},
        {"tokenizer": "{}"},
        {"config": {"model_type": "bert", "num_hidden_layers": 10**9}},
        {"more": 1},
    ],
)
def test_parameters_that_make_no_encoder_are_refused(folder, change):
    predictor = made(folder)
    with pytest.raises(CorruptError):
        OwnEncoderPredictor.from_parts(
            predictor.labels, 1.0, predictor.arrays(), {**predictor.parameters(), **change}
        )


def test_another_architecture_is_refused(tmp_path):
    other = read_folder(write_tiny(tmp_path / "other", model_type="mpnet"))
    with pytest.raises(EncoderError, match="mpnet"):
        OwnEncoder.of_folder(other)


def test_it_is_read_and_answers_without_onnx_and_torch(folder, tmp_path):
    predictor = made(folder, "int8", integers=True)
    described = described_as(predictor)
    for name, data in bundle_files(predictor, described).items():
        (tmp_path / name).write_bytes(data)
    code = (
        "import sys; from pathlib import Path\n"
        "from milepost.predictors.bundle import read_bundle\n"
        "from milepost.predictors.base import Batch\n"
        f"predictor, _ = read_bundle(Path({str(tmp_path)!r}))\n"
        "assert predictor.predict(Batch(('hello',))).probabilities.shape == (1, 3)\n"
        "print([m for m in ('onnx', 'torch', 'transformers', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
