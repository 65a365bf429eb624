"""Conformal coverage and selective-risk bounds on real data sets, over many random splits.

For each set the frozen encoder with the closed-form head is cross-fitted once, on at most 2000
different texts; its out-of-fold answers are then resampled `repeats` times.

How to read it: under `conformal`, `coverage` is the mean over random halves of how often sets whose
threshold one half set hold the right label of the other; it must not be below the promise by more
than `noise`, two standard errors of that mean. That is the usual promise, an average. milepost asks
for more: that the threshold at hand is good, with 95 % confidence. `sure_violations` is the share
of draws (with replacement, half as many rows) whose threshold covers less than promised of the
whole set, and `usual_violations` the same without that confidence. Under `selective` it is that
of draws (a third as many rows) whose certified threshold breaks the bound on the whole set, with
the mean share answered; `cross_fitted` spreads the error over the thresholds, `set_aside` begins
where other rows say. No share of violations may exceed `delta` by more than chance: `beyond_chance`
is how many are shown to (exact binomial, 5 % in all over all shares, Holm). These are exact
statements about drawing from the set at hand: rows are exchangeable by construction here, which
future inputs need not be.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import Options, data_folder, scratch

SETS = (
    "banking77", "hwu64", "snips", "trec", "sst2", "cr", "subj", "emotion", "sms_spam",
    "tweeteval_irony", "tweeteval_hate", "mr",
)  # fmt: skip
ROWS = 2000
REPEATS = 1000
PROMISES = (0.8, 0.9, 0.95)
RISKS = (0.02, 0.05, 0.1)
DELTA = 0.05
PARTS = Path(tempfile.gettempdir()) / "milepost-bench-knowing"
"""What a run that was broken off has of each set: the next one goes on from there."""


def run(options: Options) -> dict[str, object]:
    """Twelve sets; two of them with a hundred repeats when quick."""
    names = options.only or (SETS[5:7] if options.quick else SETS)
    repeats = 100 if options.quick else REPEATS
    found: dict[str, Any] = {}
    with scratch() as folder:
        for name in names:
            part = PARTS / f"{name}.json"
            if not options.quick and part.exists():
                found[name] = json.loads(part.read_text())
                continue
            p, y = _out_of_fold(name, folder)
            found[name] = {
                "rows": len(y),
                "accuracy": float((p.argmax(axis=1) == y).mean()),
                "conformal": _conformal(p, y, repeats),
                "selective": _selective(p, y, repeats),
            }
            if not options.quick:
                PARTS.mkdir(exist_ok=True)
                part.write_text(json.dumps(found[name]))
            _print(name, found[name])
    if not options.quick:
        shutil.rmtree(PARTS, ignore_errors=True)
    return {"repeats": repeats, "delta": DELTA, "sets": found, "worst": _worst(found, repeats)}


def _out_of_fold(name: str, folder: Path) -> tuple[Any, Any]:
    """Calibrated out-of-fold probabilities of at most ``ROWS`` different texts."""
    import pyarrow.parquet as pq

    from milepost.contests.held import HeldVectors
    from milepost.contests.runner import run as contest
    from milepost.data.splitting.folding import fold_groups
    from milepost.models.catalog import open_encoder
    from milepost.strategies.head_closed_form import HeadClosedForm
    from milepost.strategy import Problem

    table = pq.read_table(data_folder() / name / "train.parquet").to_pydict()
    once = dict(zip(table["text"], table["label"], strict=True))
    rows = [(text, str(label)) for text, label in once.items() if text and label is not None]
    order = np.random.default_rng(0).permutation(len(rows))[:ROWS]
    texts, names = zip(*(rows[i] for i in order.tolist()), strict=True)
    labels, y = np.unique(names, return_inverse=True)
    problem = Problem(
        labels=tuple(labels.tolist()),
        descriptions=("",) * len(labels),
        instruction="",
        texts=texts,
        y=y.astype(np.int64),
        encoder=HeldVectors(open_encoder("embedded", folder), texts),
    )
    (entry,) = contest(problem, fold_groups(texts, problem.y, 5), [HeadClosedForm()])
    assert entry.fitted is not None, entry.error
    return entry.fitted.out_of_fold.astype(np.float64), problem.y


def _conformal(p: Any, y: Any, repeats: int) -> dict[str, Any]:
    from milepost.metrics.knowing.conformal import (
        actual_scores,
        conformal_threshold,
        prediction_sets,
    )

    rng = np.random.default_rng(1)
    n, top = len(y), p.argmax(axis=1) == y
    half = n // 2
    splits = [rng.permutation(n) for _ in range(repeats)]
    draws = [rng.integers(0, n, half) for _ in range(repeats)]
    found: dict[str, Any] = {}
    for score in ("lac", "aps"):
        scores = actual_scores(p, y, score)

        def cover(rows: Any, limit: float, scores: Any = scores) -> float:
            # The most probable label is in the set whatever its score.
            return float(((scores[rows] <= limit) | top[rows]).mean())

        for promise in PROMISES:
            means = np.array(
                [cover(o[half:], conformal_threshold(scores[o[:half]], promise)) for o in splits]
            )
            short = {
                who: [
                    cover(slice(None), conformal_threshold(scores[rows], promise, sure)) < promise
                    for rows in draws
                ]
                for who, sure in (("sure", 1.0 - DELTA), ("usual", None))
            }
            limit = conformal_threshold(scores, promise, 1.0 - DELTA)
            sizes = prediction_sets(p, limit, score).sum(axis=1)
            found[f"{score} {promise:g}"] = {
                "coverage": float(means.mean()),
                "noise": float(2 * means.std() / np.sqrt(repeats)),
                "sure_violations": float(np.mean(short["sure"])),
                "usual_violations": float(np.mean(short["usual"])),
                "size": float(sizes.mean()),
                "single": float((sizes == 1).mean()),
            }
    return found


def _selective(p: Any, y: Any, repeats: int) -> dict[str, Any]:
    """Draws of a third as many rows certify; as many others say where to begin, where they may."""
    from milepost.metrics.knowing.selective import certified, given, surest, thresholds

    rng = np.random.default_rng(2)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    n = len(y)
    rows, before = n // 3, n // 3
    found: dict[str, Any] = {}
    for risk in RISKS:
        tried = thresholds(risk)
        tally = {way: np.zeros((repeats, 2)) for way in ("cross_fitted", "set_aside")}
        truth = {each.threshold: each for each in given(confidence, right, tried)}
        for at in range(repeats):
            setting, ordering = rng.integers(0, n, rows), rng.integers(0, n, before)
            here = given(confidence[setting], right[setting], tried)
            first = given(confidence[ordering], right[ordering], tried)
            starts = {"cross_fitted": None, "set_aside": surest(first, risk, before, rows)}
            for way, start in starts.items():
                kept = certified(here, risk, 1.0 - DELTA, start)
                if kept is None:
                    continue
                whole = truth[kept.threshold]
                tally[way][at] = (whole.wrong > risk * whole.answered, kept.answered / rows)
        found[f"{risk:g}"] = {
            way: {"violations": float(each[:, 0].mean()), "answered": float(each[:, 1].mean())}
            for way, each in tally.items()
        }
    return found


def _worst(found: dict[str, Any], repeats: int) -> dict[str, float]:
    """The largest shortfall of a coverage beyond its noise, and the violations."""
    from scipy.special import bdtrc

    from milepost.metrics.inference.multiplicity import holm

    sets = [(k, row) for each in found.values() for k, row in each["conformal"].items()]
    sure = [row["sure_violations"] for _, row in sets]
    risk = [
        way["violations"]
        for each in found.values()
        for row in each["selective"].values()
        for way in row.values()
    ]
    counts = np.round(np.array(sure + risk) * repeats)
    p_values = bdtrc(counts - 1, repeats, DELTA)  # of so many violations or more
    return {
        "coverage_short_by": max(
            float(name.split()[1]) - row["coverage"] - row["noise"] for name, row in sets
        ),
        "sure_violations": max(sure),
        "usual_violations": max(row["usual_violations"] for _, row in sets),
        "risk_violations": max(risk),
        "shares": len(counts),
        "beyond_chance": int((np.asarray(holm(p_values)) <= 0.05).sum()),
    }


def _print(name: str, row: dict[str, Any]) -> None:
    cover = " ".join(
        f"{each['coverage']:.3f}/{each['sure_violations']:.3f}"
        for each in (row["conformal"][f"lac {c:g}"] for c in PROMISES)
    )
    broken = " ".join(
        f"{way['violations']:.3f}/{way['answered']:.2f}"
        for each in row["selective"].values()
        for way in each.values()
    )
    print(f"{name:<16}{row['rows']:>5} acc {row['accuracy']:.3f} | {cover} | {broken}", flush=True)
