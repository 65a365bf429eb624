"""Inputs out of scope: how many are turned away, and what that costs inputs in scope.

clinc150 (100 examples out of scope beside 15,000 in scope) and banking77_oos (none to learn from;
test inputs that are near misses, of intents that were held back, and inputs about something else).
The frozen encoder with the logistic head, as `out_of_scope` in a task file makes it. Beside it, on
the same vectors, two peers: logistic regression with a threshold on its largest probability, and
logistic regression that has learned "out of scope" as a label.

How to read it: `at_threshold` is what a user gets, at a threshold that was set on training data for
the asked `keep`. In the row `threshold from validation` it is instead the lowest at which accuracy
on the validation file's inputs in scope is 95 %, and in `all from validation` the scores that are
combined are chosen there too, by AUROC among all equally weighted subsets: the test file decides
nothing in either. `examples from validation` (banking77_oos) learns from the validation file's
inputs out of scope, which are of the same held-back intents as the test file's. `recall_at` is the
share of inputs out of scope that is turned away where the threshold is moved until accuracy on the
test inputs in scope, turned away counts as wrong, falls to 95, 94.5, 90 or 85 %: it compares
scores, not thresholds, and is measured alike for all. Intervals are exact (Clopper-Pearson), 95 %.
"""

import tempfile
from dataclasses import dataclass
from itertools import compress, product
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import Options, data_folder

SETS = {"clinc150": (0.95, 0.99), "banking77_oos": (0.95,)}
"""Data sets, and the shares of inputs in scope to keep."""
OUT = "oos"
FLOOR = 0.95
"""Accuracy in scope that the threshold from validation is for."""


def run(options: Options) -> dict[str, object]:
    """Every set; a tenth of the rows when quick."""
    found: dict[str, object] = {}
    for name, keeps in SETS.items():
        if options.only and name not in options.only:
            continue
        found[name] = _measured(name, keeps, quick=options.quick)
    return {"sets": found}


def _measured(name: str, keeps: tuple[float, ...], *, quick: bool) -> dict[str, Any]:
    import pyarrow.parquet as pq

    from milepost.models.catalog import open_encoder

    tables = {
        split: pq.read_table(data_folder() / name / f"{split}.parquet").to_pydict()
        for split in ("train", "valid", "test")
    }
    if quick:
        tables = {s: {c: v[::10] for c, v in t.items()} for s, t in tables.items()}
    later = {*tables["valid"]["text"], *tables["test"]["text"]}
    own = [text not in later for text in tables["train"]["text"]]
    tables["train"] = {c: list(compress(v, own)) for c, v in tables["train"].items()}
    labels = tuple(sorted(set(tables["train"]["label"]) | {OUT}))
    at = labels.index(OUT)
    position = {label: i for i, label in enumerate(labels)}
    ys = {s: np.array([position.get(x, at) for x in t["label"]]) for s, t in tables.items()}
    encoder = open_encoder("embedded", Path(tempfile.gettempdir()) / "milepost-bench-encoders")
    vectors = {s: encoder.encode(t["text"]) for s, t in tables.items()}
    held: dict[str, Any] = {}
    for split, table in tables.items():
        held |= dict(zip(table["text"], vectors[split], strict=True))
    kinds = np.array(tables["test"].get("kind", tables["test"]["label"]))
    data = _Data(labels, at, {s: t["text"] for s, t in tables.items()}, vectors, ys, kinds)
    encoder = _Held(encoder, held)
    rows: dict[str, Any] = {
        "train": len(ys["train"]),
        "train_out": int((ys["train"] == at).sum()),
        "test": len(ys["test"]),
    }
    learned = int((ys["train"] == at).sum()) > 0
    for keep in keeps:
        predictor = _fitted(data, data.texts["train"], ys["train"], encoder, keep)
        rows[f"milepost, keep {keep:g}"] = _ours(data, predictor, encoder)
        if learned and keep == keeps[0]:
            rows |= _from_validation(data, predictor)
    if not learned:
        more = [i for i, y in enumerate(ys["valid"].tolist()) if y == at]
        texts = [*data.texts["train"], *(data.texts["valid"][i] for i in more)]
        y = np.append(ys["train"], np.full(len(more), at))
        predictor = _fitted(data, texts, y, encoder, keeps[0])
        rows[f"examples from validation, keep {keeps[0]:g}"] = _ours(data, predictor, encoder)
    rows |= _peers(data)
    for who, row in rows.items():
        if isinstance(row, dict):
            print(f"{name:<14} {who:<28}", _line(row), flush=True)
    return rows


@dataclass(frozen=True)
class _Data:
    """Texts, vectors and labels by split; ``at`` is the column of what is out of scope."""

    labels: tuple[str, ...]
    at: int
    texts: dict[str, list[str]]
    vectors: dict[str, Any]
    y: dict[str, Any]
    kinds: Any


class _Held:
    """An encoder that holds vectors and asks another for the rest."""

    def __init__(self, inner: Any, held: dict[str, Any]) -> None:
        self._inner, self._held = inner, held
        self.name, self.digest, self.dimensions = inner.name, inner.digest, inner.dimensions
        self.variant = inner.variant

    def encode(self, texts: Any, progress: Any = None) -> Any:
        del progress
        missing = [text for text in texts if text not in self._held]
        if missing:
            self._held |= dict(zip(missing, self._inner.encode(missing), strict=True))
        return np.stack([self._held[text] for text in texts])


def _fitted(data: _Data, texts: list[str], y: Any, encoder: Any, keep: float) -> Any:
    """As a contest fits the strategy to a task that declares ``out_of_scope``."""
    from milepost.contests.scoped import Scoped
    from milepost.entities.expectations import ScopeRule
    from milepost.strategies.head_logistic import HeadLogistic
    from milepost.strategy import Problem

    problem = Problem(
        labels=data.labels,
        descriptions=("",) * len(data.labels),
        instruction="",
        texts=tuple(texts),
        y=y,
        encoder=encoder,
    )
    return Scoped(HeadLogistic(), ScopeRule(label=OUT, keep=keep)).fit(problem)


def _ours(data: _Data, predictor: Any, encoder: Any) -> dict[str, Any]:
    from milepost.contests.runner import predict

    p = predict(predictor, data.texts["test"], encoder)
    inside = np.delete(p, data.at, axis=1)
    answers = inside.argmax(axis=1)
    answers += answers >= data.at
    margin = np.log(np.maximum(p[:, data.at], 1e-30)) - np.log(
        np.maximum(inside.max(axis=1), 1e-30)
    )
    row = _scores(data, margin, 0.0, answers)
    return {**row, "score": predictor.score_name, "compared": dict(predictor.compared)}


def _from_validation(data: _Data, predictor: Any) -> dict[str, Any]:
    """The threshold, and also the scores, as the validation file would have them."""
    from milepost.metrics.knowing.scope import SCORES, auroc, scope_scores
    from milepost.predictors.base import Batch

    inner = predictor.inner
    standard, answers = {}, {}
    for split in ("valid", "test"):
        vectors = data.vectors[split]
        raw = inner.logits(Batch(tuple(data.texts[split]), vectors)) / inner.temperature
        scores = scope_scores(raw, vectors, predictor.geometry, data.at)
        standard[split] = (scores - predictor.centre) / predictor.scale
        known = np.delete(raw, data.at, axis=1).argmax(axis=1)
        answers[split] = known + (known >= data.at)
    out = data.y["valid"] == data.at
    right = answers["valid"] == data.y["valid"]

    def row(weights: Any) -> dict[str, Any]:
        score = standard["valid"] @ weights
        limit = _lowest(score, right, out, FLOOR)
        return _scores(data, standard["test"] @ weights, limit, answers["test"])

    subsets = np.array(list(product((0.0, 1.0), repeat=len(SCORES)))[1:])
    best = max(subsets.tolist(), key=lambda w: auroc(standard["valid"] @ np.array(w), out).value)
    names = [name for name, weight in zip(SCORES, best, strict=True) if weight]
    return {
        "threshold from validation": row(predictor.weights),
        "all from validation": {**row(np.array(best)), "score": " + ".join(names)},
    }


def _peers(data: _Data) -> dict[str, Any]:
    """Logistic regression by scikit-learn, both ways."""
    from sklearn.linear_model import LogisticRegression

    (train, test), y = (data.vectors["train"], data.vectors["test"]), data.y["train"]
    inside = y != data.at
    plain = LogisticRegression(C=10.0, max_iter=300).fit(train[inside], y[inside])
    p = plain.predict_proba(test)
    answers = plain.classes_[p.argmax(axis=1)]
    found = {"peer: max probability": _scores(data, -p.max(axis=1), None, answers)}
    if inside.all():
        return found
    whole = LogisticRegression(C=10.0, max_iter=300).fit(train, y)
    column = int(np.flatnonzero(whole.classes_ == data.at)[0])
    logits = whole.decision_function(test)
    known = np.delete(logits, column, axis=1)
    answers = np.delete(whole.classes_, column)[known.argmax(axis=1)]
    margin = logits[:, column] - known.max(axis=1)
    return {**found, "peer: a label of its own": _scores(data, margin, 0.0, answers)}


def _scores(data: _Data, score: Any, threshold: float | None, answers: Any) -> dict[str, Any]:
    """Numbers at the threshold, by kind of what is out of scope, and as the threshold moves."""
    from milepost.metrics.inference.intervals import proportion
    from milepost.metrics.knowing.scope import auroc

    actual, kinds = data.y["test"], data.kinds
    out = actual == data.at
    right = (answers == actual) & ~out
    row: dict[str, Any] = {
        "auroc": auroc(np.asarray(score, np.float64), out).value,
        "accuracy_if_all_kept": float(right[~out].mean()),
        "recall_at": {
            f"{floor:g}": _recall(score, right, out, floor) for floor in (0.95, 0.945, 0.9, 0.85)
        },
    }
    if threshold is None:
        return row
    away = score > threshold

    def share(hits: Any) -> dict[str, float]:
        each = proportion(int(hits.sum()), len(hits), 0.95)
        return {"value": each.value, "low": each.low, "high": each.high, "n": each.n}

    row["at_threshold"] = {
        "kept": share(~away[~out]),
        "in_scope": share((right & ~away)[~out]),
        "recall": share(away[out]),
        "recall_by_kind": {
            str(kind): share(away[out & (kinds == kind)]) for kind in np.unique(kinds[out])
        },
    }
    return row


def _lowest(score: Any, right: Any, out: Any, floor: float) -> float | None:
    """Lowest threshold at which accuracy in scope is at least the floor, if there is one."""
    best = None
    for threshold in np.unique(score[~out])[::-1]:
        if (right & ~out & (score <= threshold)).sum() / (~out).sum() < floor:
            break
        best = float(threshold)
    return best


def _recall(score: Any, right: Any, out: Any, floor: float) -> float | None:
    """Share turned away at that threshold."""
    threshold = _lowest(score, right, out, floor)
    return None if threshold is None else float((score[out] > threshold).mean())


def _line(row: dict[str, Any]) -> str:
    at = " ".join(f"{k}:{'-' if v is None else f'{v:.3f}'}" for k, v in row["recall_at"].items())
    text = f"auroc {row['auroc']:.4f} recall at {at}"
    if "at_threshold" in row:
        own = row["at_threshold"]
        text += f" | in scope {own['in_scope']['value']:.4f} recall {own['recall']['value']:.3f}"
        for kind, each in own["recall_by_kind"].items():
            text += f" {kind} {each['value']:.3f}"
    return text
