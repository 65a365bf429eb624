"""Inputs out of scope: how many are turned away, and what that costs inputs in scope.

clinc150 (100 examples out of scope beside 15,000 in scope) and banking77_oos (test inputs that are
near misses, of intents that were held back, and inputs about something else). The frozen encoder
with the logistic head, as `out_of_scope` in a task file makes it: nothing is chosen on test data.
Beside it, in the same run on the same vectors, two peers: logistic regression with a threshold on
its largest probability, and logistic regression that has learned "out of scope" as a label.

How to read it: `at_threshold` is what a user gets, at the threshold that was set on training data
for the asked `keep`. `recall_at` is the share of inputs out of scope that is turned away where the
threshold is moved until accuracy on the test inputs in scope, turned away counts as wrong, falls
to 95 or 94.5 %: it compares scores, not thresholds, and is measured alike for all. Intervals are
exact (Clopper-Pearson), 95 %.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import Options, data_folder

SETS = {"clinc150": (0.95, 0.99, 0.994), "banking77_oos": (0.95,)}
"""Data sets, and the shares of inputs in scope to keep."""


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
        for split in ("train", "test")
    }
    if quick:
        tables = {s: {c: v[::10] for c, v in t.items()} for s, t in tables.items()}
    cache = Path(tempfile.gettempdir()) / "milepost-bench-encoders"
    encoder = open_encoder("embedded", cache)
    train, test = tables["train"], tables["test"]
    labels = tuple(sorted(set(train["label"]) | {"oos"}))
    at = labels.index("oos")
    position = {label: i for i, label in enumerate(labels)}
    y, actual = (np.array([position.get(x, at) for x in t["label"]]) for t in (train, test))
    held = {
        text: vector
        for table in (train, test)
        for text, vector in zip(table["text"], encoder.encode(table["text"]), strict=True)
    }
    problem = _problem(labels, train["text"], y, _Held(encoder, held))
    kinds = np.array(test.get("kind", test["label"]))
    rows: dict[str, Any] = {"train": len(y), "train_out": int((y == at).sum()), "test": len(actual)}
    for keep in keeps:
        rows[f"milepost, keep {keep:g}"] = _ours(problem, test["text"], actual, kinds, keep)
    vectors = [np.stack([held[t] for t in table["text"]]) for table in (train, test)]
    rows |= _peers(vectors, y, actual, kinds, at)
    for who, row in rows.items():
        if isinstance(row, dict):
            print(f"{name:<14} {who:<28}", _line(row), flush=True)
    return rows


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


def _problem(labels: tuple[str, ...], texts: list[str], y: Any, encoder: Any) -> Any:
    from milepost.strategy import Problem

    return Problem(
        labels=labels,
        descriptions=("",) * len(labels),
        instruction="",
        texts=tuple(texts),
        y=y,
        encoder=encoder,
    )


def _ours(problem: Any, texts: list[str], actual: Any, kinds: Any, keep: float) -> dict[str, Any]:
    from milepost.contests.runner import predict
    from milepost.contests.scoped import Scoped
    from milepost.entities.expectations import ScopeRule
    from milepost.strategies.head_logistic import HeadLogistic

    rule = ScopeRule(label="oos", keep=keep)
    predictor = Scoped(HeadLogistic(), rule).fit(problem)
    p = predict(predictor, texts, problem.encoder)
    at = problem.labels.index("oos")
    inside = np.delete(p, at, axis=1)
    answers = inside.argmax(axis=1)
    answers += answers >= at
    margin = np.log(np.maximum(p[:, at], 1e-30)) - np.log(np.maximum(inside.max(axis=1), 1e-30))
    row = _scores(margin, 0.0, answers, actual, kinds, at)
    return {**row, "score": predictor.score_name, "compared": dict(predictor.compared)}


def _peers(vectors: list[Any], y: Any, actual: Any, kinds: Any, at: int) -> dict[str, Any]:
    """Logistic regression by scikit-learn, both ways."""
    from sklearn.linear_model import LogisticRegression

    train, test = vectors
    inside = y != at
    plain = LogisticRegression(C=10.0, max_iter=300).fit(train[inside], y[inside])
    p = plain.predict_proba(test)
    found = {
        "peer: max probability": _scores(
            -p.max(axis=1), None, plain.classes_[p.argmax(axis=1)], actual, kinds, at
        )
    }
    if inside.all():
        return found
    whole = LogisticRegression(C=10.0, max_iter=300).fit(train, y)
    column = int(np.flatnonzero(whole.classes_ == at)[0])
    logits = whole.decision_function(test)
    known = np.delete(logits, column, axis=1)
    answers = np.delete(whole.classes_, column)[known.argmax(axis=1)]
    margin = logits[:, column] - known.max(axis=1)
    return {**found, "peer: a label of its own": _scores(margin, 0.0, answers, actual, kinds, at)}


def _scores(
    score: Any, threshold: float | None, answers: Any, actual: Any, kinds: Any, at: int
) -> dict[str, Any]:
    """Numbers at the threshold, by kind of what is out of scope, and as the threshold moves."""
    from milepost.metrics.intervals import proportion
    from milepost.metrics.scope import auroc

    out = actual == at
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


def _recall(score: Any, right: Any, out: Any, floor: float) -> float | None:
    """Share turned away at the lowest threshold at which accuracy in scope is at the floor."""
    inside = np.sort(score[~out])[::-1]
    best = None
    for threshold in inside[: max(1, len(inside) // 2)]:
        if (right & (score <= threshold)).sum() / (~out).sum() < floor:
            break
        best = float((score[out] > threshold).mean())
    return best


def _line(row: dict[str, Any]) -> str:
    at = " ".join(f"{k}:{'-' if v is None else f'{v:.3f}'}" for k, v in row["recall_at"].items())
    text = f"auroc {row['auroc']:.4f} recall at {at}"
    if "at_threshold" in row:
        own = row["at_threshold"]
        text += f" | in scope {own['in_scope']['value']:.4f} recall {own['recall']['value']:.3f}"
        for kind, each in own["recall_by_kind"].items():
            text += f" {kind} {each['value']:.3f}"
    return text
