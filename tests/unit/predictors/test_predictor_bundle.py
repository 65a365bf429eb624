"""A bundle comes back as it was written, or not at all."""

import json
import os
import pickle
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost._base.digest import sha256_bytes
from milepost.entities.cascade import PERSON
from milepost.entities.errors import CorruptError, StorageError
from milepost.entities.language import Completion, Tokens
from milepost.entities.release import BundleFile, Manifest
from milepost.metrics.knowing.scope import SCORES, Geometry
from milepost.models.folder import read_folder
from milepost.models.pairs import PairEncoder
from milepost.predictors.asking import drive
from milepost.predictors.base import Batch
from milepost.predictors.bundle import (
    ARRAYS,
    MANIFEST,
    PARAMETERS,
    bundle_files,
    predictor_from_files,
    read_bundle,
    write_bundle,
)
from milepost.predictors.carried.encoder import OwnEncoder
from milepost.predictors.cascade import CascadePredictor, TextCascadePredictor
from milepost.predictors.constant import ConstantPredictor
from milepost.predictors.ensemble import EnsemblePredictor, TextEnsemblePredictor
from milepost.predictors.kinds import KINDS
from milepost.predictors.linear import LinearPredictor
from milepost.predictors.neighbours import NeighboursPredictor
from milepost.predictors.ordinal import OrdinalPredictor
from milepost.predictors.own_encoder import OwnEncoderPredictor
from milepost.predictors.prompting.builtin import builtin_prompt
from milepost.predictors.prompting.predictor import Asked, PromptedPredictor, RetrievingPredictor
from milepost.predictors.reading import batch_for
from milepost.predictors.scoped import ScopedPredictor
from milepost.predictors.static import StaticPredictor
from milepost.predictors.tfidf import TfidfPredictor
from milepost.strategies.registry import strategy_named
from milepost.testing.encoders import HashedEncoder
from milepost.testing.strategies import example_problem
from milepost.testing.tiny import write_tiny

LABELS = ("card lost", "été", "c")
WORDS = (
    '{"version": "1.0", "normalizer": {"type": "Lowercase"},'
    ' "pre_tokenizer": {"type": "Whitespace"}, "model": {"type": "WordLevel",'
    ' "vocab": {"[UNK]": 0, "card": 1, "lost": 2}, "unk_token": "[UNK]"}}'
)


FITTED = {
    "gazetteer": ("gazetteer", "extract"),
    "ordinal": ("head_ordinal", "score"),
    "ranker": ("head_rank", "rank"),
    "state_tagger": ("tagger", "extract"),
    "trees": ("head_trees", "match"),
    "word_ranker": ("bm25", "rank"),
    "word_tagger": ("tagger_words", "extract"),
}
"""Strategy and kind of task of predictors that are made of much."""


@cache
def fitted(kind):
    """A predictor of the example problem, and a batch of its first inputs."""
    strategy, of_task = FITTED[kind]
    encoder = HashedEncoder() if of_task == "extract" else PairEncoder(HashedEncoder())
    problem = example_problem(encoder, kind=of_task)
    predictor = strategy_named(strategy).fit(problem)
    return predictor, batch_for(predictor, problem.texts[:2], encoder)


def batch_of(kind):
    if kind in FITTED:
        return fitted(kind)[1]
    return Batch(("card lost", ""), np.ones((2, 4), np.float32))


def one_of(kind):
    if kind in FITTED:
        return fitted(kind)[0]
    generator = np.random.default_rng(0)
    common = {"labels": LABELS, "temperature": 0.8}
    return {
        "constant": lambda: ConstantPredictor(log_prior=np.log([0.2, 0.3, 0.5]), **common),
        "linear": lambda: LinearPredictor(
            weights=generator.normal(size=(3, 4)).astype(np.float32),
            bias=np.zeros(3, np.float32),
            **common,
        ),
        "neighbours": lambda: NeighboursPredictor(
            vectors=generator.normal(size=(5, 4)).astype(np.float32),
            y=np.array([0, 0, 1, 2, 2]),
            neighbours=2,
            bandwidth=0.1,
            smoothing=0.02,
            **common,
        ),
        "own_encoder": lambda: OwnEncoderPredictor(
            encoder=own_encoder(),
            weights=generator.normal(size=(3, 32)).astype(np.float32),
            bias=np.zeros(3, np.float32),
            **common,
        ),
        "static": lambda: StaticPredictor(
            tokenizer=WORDS,
            table=generator.normal(size=(3, 4)).astype(np.float16),
            weights=generator.normal(size=(3, 4)).astype(np.float32),
            bias=np.zeros(3, np.float32),
            **common,
        ),
        "tfidf": lambda: TfidfPredictor(
            vocabulary=("card", "card lost", "lost"),
            idf=np.array([1.0, 1.5, 2.0]),
            weights=generator.normal(size=(3, 3)).astype(np.float32),
            bias=np.zeros(3, np.float32),
            **common,
        ),
        "scoped": lambda: ScopedPredictor(
            inner=one_of("linear"),
            label="c",
            threshold=0.1,
            slope=2.0,
            weights=np.full(len(SCORES), 0.1),
            centre=np.zeros(len(SCORES)),
            scale=np.ones(len(SCORES)),
            geometry=Geometry.of(
                generator.normal(size=(9, 4)).astype(np.float32),
                np.arange(9) % 2,
                np.eye(4, dtype=np.float32)[:2],
            ),
            compared={"combined": 0.9},
            **common,
        ),
        "prompted": lambda: PromptedPredictor(**prompted(), **common),
        "prompted_retrieving": lambda: RetrievingPredictor(
            **prompted(), vectors=np.eye(2, 4, dtype=np.float32), **common
        ),
        "cascade": lambda: CascadePredictor(
            rungs=(one_of("linear"), one_of("tfidf"), one_of("prompted")),
            names=("linear", "tfidf", "prompted"),
            threshold=0.9,
            **common,
        ),
        "ensemble": lambda: EnsemblePredictor(
            members=(one_of("linear"), one_of("tfidf")),
            names=("linear", "tfidf"),
            shares=(0.25, 0.75),
            **common,
        ),
        "text_ensemble": lambda: TextEnsemblePredictor(
            members=(one_of("tfidf"), one_of("constant")),
            names=("tfidf", "constant"),
            shares=(0.5, 0.5),
            **common,
        ),
        "text_cascade": lambda: TextCascadePredictor(
            rungs=(one_of("tfidf"),), names=("tfidf", PERSON), threshold=0.2, **common
        ),
    }[kind]()


@cache
def own_encoder():
    with tempfile.TemporaryDirectory() as folder:
        return OwnEncoder.of_folder(read_folder(write_tiny(Path(folder) / "bert")))


def prompted():
    k = len(LABELS)
    return {
        "upstream": "big",
        "model": "m",
        "instruction": "What is it about?",
        "descriptions": ("", "a word", ""),
        "input_name": "text",
        "asked": (Asked(template=builtin_prompt("label")),),
        "prior": np.full(k, 1 / k),
        "tables": 3.0 * np.eye(k)[None],
        "bias": np.zeros((1, k)),
        "weights": np.ones(1),
        "examples": ("card lost", "summer"),
        "y": np.array([0, 1]),
    }


def answered(predictor, batch):
    """Its answers, from a model that always says the second label where it asks one."""
    said = Completion(text=LABELS[1], model="m", tokens=Tokens())
    return drive(predictor.answering(batch), lambda questions: [said for _ in questions])


def manifest_of(predictor, **changes):
    values = {
        "kind": predictor.kind,
        "task": "route",
        "task_version": "0" * 64,
        "labels": predictor.labels,
        "strategy": "some",
        **changes,
    }
    return Manifest(**values)


def files_of(kind="linear"):
    predictor = one_of(kind)
    return bundle_files(predictor, manifest_of(predictor))


def relisted(files, **changes):
    """The files with some replaced and the manifest brought up to date."""
    files = {**files, **changes}
    manifest = msgspec.json.decode(files[MANIFEST], type=Manifest)
    listed = tuple(
        BundleFile(name=name, sha256=sha256_bytes(data), size=len(data))
        for name, data in files.items()
        if name != MANIFEST
    )
    files[MANIFEST] = msgspec.json.encode(msgspec.structs.replace(manifest, files=listed))
    return files


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip_through_a_folder_is_exact(kind, tmp_path):
    predictor = one_of(kind)
    written = write_bundle(tmp_path / "b", predictor, manifest_of(predictor))
    loaded, manifest = read_bundle(
        tmp_path / "b", sha256_bytes((tmp_path / "b" / MANIFEST).read_bytes())
    )
    batch = batch_of(kind)
    assert manifest == written
    found, expected = answered(loaded, batch), answered(predictor, batch)
    assert found.probabilities.tobytes() == expected.probabilities.tobytes()
    assert not found.abstained.all()
    assert bundle_files(loaded, manifest) == bundle_files(predictor, manifest)


@pytest.mark.parametrize("kind", KINDS)
def test_the_manifest_comes_last_and_lists_the_others(kind):
    files = files_of(kind)
    assert list(files) == [ARRAYS, PARAMETERS, MANIFEST]


@settings(max_examples=150)
@given(st.sampled_from([ARRAYS, PARAMETERS, MANIFEST]), st.data())
def test_any_flipped_bit_is_found_or_stays_within_the_description(name, data):
    files = files_of("tfidf")
    changed = bytearray(files[name])
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        _, manifest = predictor_from_files({**files, name: bytes(changed)})
    except StorageError:
        return
    assert name == MANIFEST  # only free text of the manifest can change; its digest is outside
    assert manifest.files == msgspec.json.decode(files[MANIFEST], type=Manifest).files


@settings(max_examples=100)
@given(st.sampled_from([ARRAYS, PARAMETERS, MANIFEST]), st.binary(max_size=80))
def test_arbitrary_bytes_are_refused_even_when_listed(name, content):
    files = {**files_of(), name: content}
    with pytest.raises(CorruptError):
        predictor_from_files(files if name == MANIFEST else relisted(files))


def faulty_arrays(**arrays):
    return {ARRAYS: safetensors.numpy.save(arrays)}


W, B = np.zeros((3, 4), np.float32), np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"weights": W}, "the arrays are"),
        ({"weights": W, "bias": B, "extra": B}, "the arrays are"),
        ({"weights": W.astype(np.float64), "bias": B}, "'weights' is float64"),
        ({"weights": W[:2].copy(), "bias": B}, r"'weights' is float32 \(2, 4\)"),
        ({"weights": W.ravel(), "bias": B}, "'weights' is float32"),
        ({"weights": W + np.float32("nan"), "bias": B}, "not finite"),
        ({"weights": W, "bias": B + np.float32("inf")}, "not finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arrays, message):
    with pytest.raises(CorruptError, match=message):
        predictor_from_files(relisted(files_of(), **faulty_arrays(**arrays)))


@pytest.mark.parametrize(
    "content",
    [
        b'{"temperature": 0, "parameters": {}}',
        b'{"temperature": NaN, "parameters": {}}',
        b'{"temperature": 1e999, "parameters": {}}',
        b'{"temperature": 1, "temperature": 2, "parameters": {}}',
        b'{"temperature": 1, "parameters": {"surprise": 1}}',
        b'{"temperature": 1, "parameters": {}, "surprise": 1}',
        b'{"temperature": 1}',
        b'{"temperature": "1", "parameters": {}}',
        b"[]",
        b"[" * 100_000,
        b'{"temperature": 1, "parameters": ' + b"[" * 50 + b"]" * 50 + b"}",
        b'\xff{"temperature": 1, "parameters": {}}',
    ],
    ids=range(12),
)
def test_parameters_that_do_not_fit_are_refused(content):
    with pytest.raises(CorruptError, match=r"parameters\.json"):
        predictor_from_files(relisted(files_of(), **{PARAMETERS: content}))


@pytest.mark.parametrize(
    "change",
    [
        {"y": np.array([0, 1, 3])},
        {"y": np.array([-1, 0, 1])},
        {"y": np.zeros(0, np.int64), "vectors": np.zeros((0, 4), np.float32)},
        {"y": np.array([0, 1])},
    ],
)
def test_stored_neighbours_must_have_known_labels(change):
    arrays = {"vectors": np.zeros((3, 4), np.float32), **change}
    with pytest.raises(CorruptError):
        predictor_from_files(relisted(files_of("neighbours"), **faulty_arrays(**arrays)))


def changed_manifest(bundle, /, **changes):
    content = {**json.loads(bundle[MANIFEST]), **changes}
    return {**bundle, MANIFEST: json.dumps(content).encode()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": np.array([1.0, 3.0, 2.0])}, "'levels' is empty, or not in ascending order"),
        ({"levels": np.array([1.0, 1.0, 2.0])}, "'levels' is empty, or not in ascending order"),
        ({"levels": np.zeros(0), "cuts": np.zeros(0)}, "'levels' is empty"),
        ({"levels": np.array(1.0), "cuts": np.zeros(0)}, "'levels' is float64"),
        ({"levels": np.array([1.0, np.inf, np.inf])}, "not finite"),
        ({"cuts": np.array([0.0])}, "'cuts' is float64"),
        ({"cuts": np.array([1.0, 0.0])}, "'cuts' is not in ascending order"),
        ({"weights": np.zeros(3)}, "'weights' is float64"),
        ({"answer": "mode"}, "answer"),
    ],
)
def test_a_scale_that_is_none_is_refused(change, message):
    good = OrdinalPredictor(
        labels=("value",),
        weights=np.ones(3, np.float32),
        cuts=np.array([0.0, 1.0]),
        levels=np.array([1.0, 2.0, 5.0]),
        answer="mean",
    )
    changed = {"answer": change["answer"]} if "answer" in change else good.parameters()
    arrays = {**good.arrays(), **{k: v for k, v in change.items() if k != "answer"}}
    with pytest.raises(CorruptError, match=message):
        OrdinalPredictor.from_parts(good.labels, 1.0, arrays, changed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "pickle"}, "no kind"),
        ({"surprise": 1}, "unknown fields"),
        ({"format": 0}, "no format"),
        ({"labels": ["a", "a", "b"]}, "named twice"),
        ({"labels": []}, "missing"),
        ({"labels": ["a", "b"]}, "'weights' is"),
        ({"files": []}, "it lists"),
        (
            {"files": [{"name": "../../etc/passwd", "sha256": "0", "size": 1}] * 2},
            "it lists",
        ),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(CorruptError, match=message):
        predictor_from_files(changed_manifest(files_of(), **changes))


def test_a_newer_format_says_upgrade():
    with pytest.raises(StorageError, match="Upgrade milepost") as caught:
        predictor_from_files(changed_manifest(files_of(), format=2))
    assert not isinstance(caught.value, CorruptError)


@pytest.mark.parametrize("name", [ARRAYS, PARAMETERS, MANIFEST])
def test_a_missing_file_is_named(name):
    files = files_of()
    del files[name]
    with pytest.raises(CorruptError, match=name):
        predictor_from_files(files)


def test_unknown_files_links_and_other_digests_are_refused(tmp_path):
    predictor = one_of("linear")
    folder = tmp_path / "b"
    write_bundle(folder, predictor, manifest_of(predictor))
    with pytest.raises(CorruptError, match="digest"):
        read_bundle(folder, "0" * 64)
    (folder / "notes.txt").write_text("x")
    with pytest.raises(CorruptError, match="unknown files"):
        read_bundle(folder)
    (folder / "notes.txt").unlink()
    (folder / ARRAYS).rename(tmp_path / "elsewhere")
    (folder / ARRAYS).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CorruptError, match="plain file"):
        read_bundle(folder)
    (folder / ARRAYS).unlink()
    os.mkfifo(folder / ARRAYS)
    with pytest.raises(CorruptError, match="plain file"):
        read_bundle(folder)


def test_a_folder_in_use_and_a_missing_one_are_storage_errors(tmp_path):
    predictor = one_of("constant")
    (tmp_path / "x").write_text("mine")
    with pytest.raises(StorageError, match="not empty"):
        write_bundle(tmp_path, predictor, manifest_of(predictor))
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    with pytest.raises(StorageError, match="cannot be written"):
        write_bundle(tmp_path / "x" / "y", predictor, manifest_of(predictor))
    with pytest.raises(StorageError, match="cannot be read"):
        read_bundle(tmp_path / "absent")


def test_a_manifest_of_another_predictor_is_refused():
    predictor = one_of("linear")
    with pytest.raises(ValueError, match="kind and labels"):
        bundle_files(predictor, manifest_of(predictor, kind="tfidf"))
    with pytest.raises(ValueError, match="kind and labels"):
        bundle_files(predictor, manifest_of(predictor, labels=("a",)))


SCRIPT = """
import pickle
import sys
from pathlib import Path
from milepost.predictors.bundle import read_bundle
for folder in sorted(Path(sys.argv[1]).iterdir()):
    predictor, _ = read_bundle(folder / "bundle")
    if predictor.upstreams:
        continue
    answer = predictor.predict(pickle.loads((folder / "batch").read_bytes()))
    assert answer.probabilities.shape == (2, predictor.width)
heavy = {"sklearn", "scipy", "torch", "pandas", "pyarrow", "duckdb", "sqlalchemy", "onnx",
         "transformers", "altair", "onnxruntime"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""


def test_loading_and_predicting_import_nothing_heavy(tmp_path):
    for kind in set(KINDS) - {"own_encoder"}:  # which runs its encoder
        predictor = one_of(kind)
        write_bundle(tmp_path / kind / "bundle", predictor, manifest_of(predictor))
        (tmp_path / kind / "batch").write_bytes(pickle.dumps(batch_of(kind)))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(tmp_path),
    )
    assert done.stdout.strip() == "[]"
