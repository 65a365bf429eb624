"""Ranking of injected wrong labels on real sets, beside cleanlab on the same probabilities.

In each set a tenth of the labels is replaced: `uniform`, by any other label; `similar`, by the
label whose name is nearest in meaning, as people err. Every ranking is scored by average precision
(1 is perfect, 0.1 is chance). cleanlab gets the same out-of-fold probabilities as milepost's own
first step, and those it recommends: logistic regression on the vectors, five folds. The ranking was
chosen on the sets in `CHOSEN_ON` but clinc150; `FRESH` ones were looked at for nothing and have a
mean of their own. Real sets have wrong labels of their own; finding those counts against every
ranking alike.

`removal`: what leaving the suspects out was estimated to do to accuracy, by the noisy labels
themselves, beside what it does on published test rows, whose labels are as they were. With `--only`
the named sets are ranked again, and what was stored of the others stays.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.common import Options, child, peer, scratch, stored
from bench.vectors import Held, Texts, load, problem

if TYPE_CHECKING:
    pass

CHOSEN_ON = (
    "banking77", "clinc150", "hwu64", "trec", "emotion", "sst2", "sms_spam", "snips", "atis"
)  # fmt: skip
FRESH = ("hate_offensive_davidson", "humaid_crisis_tweets")
REMOVED_ON = ("trec", "emotion", "sst2", *FRESH)
KINDS = ("uniform", "similar")
ROWS, SEEDS, NOISE = 1500, 3, 0.1
PACKAGES = ("cleanlab==2.9.0", "termcolor", "tqdm")


def run(options: Options) -> dict[str, object]:
    """Average precision per set, kind of noise and ranking, as means over seeds."""
    seeds = 1 if options.quick else SEEDS
    wanted = options.only or (CHOSEN_ON[3:4] if options.quick else (*CHOSEN_ON, *FRESH))
    rows: dict[str, dict[str, dict[str, float]]] = (
        {} if options.quick else stored("label_noise").get("sets", {})
    )
    effects = {name: _removals(load(name)) for name in (wanted if options.quick else REMOVED_ON)}
    with scratch() as folder:
        install = ["-m", "pip", "install", "-q", "--no-deps", "--target", folder / "peer"]
        child([sys.executable, *install, *PACKAGES])
        for name in wanted:
            whole = load(name)
            rows[name] = {kind: _mean(whole, kind, seeds, folder) for kind in KINDS}
            for kind, found in rows[name].items():
                print(f"{name:<12}{kind:<9}" + "".join(f" {m} {v:.3f}" for m, v in found.items()))
            sys.stdout.flush()
    parts = {"chosen_on": CHOSEN_ON, "fresh": FRESH}
    means = {
        part: _means([rows[name] for name in of if name in rows]) for part, of in parts.items()
    }
    for part, found in means.items():
        for kind, each in found.items():
            print(f"{part:<12}{kind:<9}" + "".join(f" {m} {v:.3f}" for m, v in each.items()))
    return {
        "rows": ROWS,
        "noise": NOISE,
        "seeds": seeds,
        "parts": parts,
        "sets": rows,
        "means": means,
        "removal": effects,
    }


def _means(rows: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Mean over sets by kind of noise and ranking; empty without a set."""
    return {
        kind: {m: float(np.mean([row[kind][m] for row in rows])) for m in rows[0][kind]}
        for kind in (KINDS if rows else ())
    }


def _mean(whole: Texts, kind: str, seeds: int, folder: Path) -> dict[str, float]:
    found = [_case(whole, kind, seed, folder) for seed in range(seeds)]
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def _case(whole: Texts, kind: str, seed: int, folder: Path) -> dict[str, float]:
    from milepost.evaluation.label_quality import suspicion

    _, rows, bad = _asked(whole, kind, seed)
    found = suspicion(rows)
    vectors, y = rows.vectors, rows.y
    path = folder / "case.npz"
    np.savez(path, probabilities=found.first, vectors=vectors, y=y)
    done = peer("label_noise_peers", {"path": str(path), "peer": str(folder / "peer")})
    scores: dict[str, Any] = {"milepost": found.of(y).tolist(), **json.loads(done.out)}
    return {name: average_precision(np.asarray(each), bad) for name, each in scores.items()}


def _asked(whole: Texts, kind: str, seed: int):
    """Rows of a set with some wrong labels: as a problem, for the search, and which are wrong."""
    from milepost.evaluation.label_quality import Labelled
    from milepost.strategies.head_closed_form import HeadClosedForm
    from milepost.workflows.tasks.suspects import left_out_probabilities

    rows = np.arange(min(ROWS, len(whole.y)))
    y = _noisy(whole, rows, kind, seed)
    _, groups = np.unique(np.asarray(whole.groups)[rows], return_inverse=True)
    vectors = whole.vectors[rows]
    asked = problem(whole, rows, y, Held(whole))

    def answering(kept: NDArray[np.bool_], within: NDArray[np.bool_]) -> NDArray[np.float64]:
        marks = (kept, within)
        return left_out_probabilities(HeadClosedForm(), asked, vectors, groups, marks)

    labelled = Labelled(vectors=vectors, y=y, groups=groups, answering=answering)
    return asked, labelled, y != whole.y[rows]


def _removals(whole: Texts) -> dict[str, dict[str, float]]:
    """Gain of accuracy without the suspects, estimated and true, by kind of noise and without."""
    from milepost.data.splitting.folding import fold_groups
    from milepost.evaluation.label_quality import agreeing_groups, removal, suspicion
    from milepost.predictors.base import Batch
    from milepost.strategies.head_closed_form import HeadClosedForm

    found: dict[str, dict[str, float]] = {}
    batch = Batch(("",) * len(whole.test_y), whole.test_vectors)
    for kind in ("none", *KINDS):
        asked, rows, _ = _asked(whole, kind, 0)
        kept = np.flatnonzero(agreeing_groups(suspicion(rows).mean, rows.y, rows.groups))
        folds = fold_groups([str(group) for group in rows.groups], rows.y, 5).fold_of
        effect = removal("accuracy", rows, folds, 0.95)
        right = [
            HeadClosedForm().fit(each).logits(batch).argmax(axis=1) == whole.test_y
            for each in (asked, asked.take(kept))
        ]
        gain, low, high = (
            (effect.difference, effect.low, effect.high) if effect is not None else (0.0, 0.0, 0.0)
        )
        found[kind] = {
            "removed": float(len(rows.y) - len(kept)),
            "gain": gain,
            "low": low,
            "high": high,
            "gain_test": float(right[1].mean() - right[0].mean()),
        }
        print(
            f"{whole.name:<12}{kind:<9}" + "".join(f" {m} {v:.3f}" for m, v in found[kind].items())
        )
    return found


def _noisy(whole: Texts, rows: NDArray[np.int64], kind: str, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    y, k = whole.y[rows].copy(), len(whole.labels)
    if kind == "none":
        return y
    hit = rng.choice(len(y), round(NOISE * len(y)), replace=False)
    if kind == "uniform":
        y[hit] = (y[hit] + rng.integers(1, k, len(hit))) % k
        return y
    alike = whole.label_vectors @ whole.label_vectors.T
    np.fill_diagonal(alike, -np.inf)
    y[hit] = alike.argmax(axis=1)[y[hit]]
    return y


def average_precision(scores: NDArray[np.float64], bad: NDArray[np.bool_]) -> float:
    """Mean precision at the rank of each wrong label; equal scores in the order of the rows."""
    ranked = bad[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return float(precision[ranked].mean())
