"""What a language model's answers are worth: counted on few examples, held against the rest.

The recorded answers of up to 13 models to 12 tasks (Ziems et al. 2023): of each model's answers to
a task some are solved examples, on which their worth is counted as ``prompted`` counts it; the
others say whether the confidence is true and whether the counted answer is better than the one that
was given. Repeated over draws of the examples.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.common import Options, data_folder
from milepost.metrics.scoring.calibration import fit_temperature
from milepost.predictors.prompting.worth import (
    counts_of,
    evidence,
    held_out_evidence,
    log_posterior,
    prior_of,
)

EXAMPLES = (20, 50, 100, 200)
DRAWS = 30
UNREAD = "UNPARSED"

Rows = NDArray[np.int64]


def run(options: Options) -> dict[str, object]:
    """Accuracy, confidence and log loss by number of examples, over tasks, models and draws."""
    import pandas as pd

    folder = data_folder() / "llm_css_answers"
    found: dict[int, list[dict[str, float]]] = {n: [] for n in EXAMPLES}
    pairs = 0
    for path in sorted(folder.glob("*.parquet")):
        table = pd.read_parquet(path)
        labels = sorted(set(table["label"].astype(str)))
        y = np.array([labels.index(each) for each in table["label"].astype(str)], np.int64)
        for column in [name for name in table.columns if name.startswith("pred_")]:
            said = _read(table[column].astype(str).tolist(), labels)
            if (said >= 0).mean() < 0.5:
                continue  # a model that hardly answers is no candidate
            pairs += 1
            for n in EXAMPLES:
                rng = np.random.default_rng([n, pairs])
                for _ in range(2 if options.quick else DRAWS):
                    found[n].append(_once(said, y, len(labels), n, rng))
    rows = {str(n): _summary(each) for n, each in found.items()}
    for n, row in rows.items():
        print(n, {name: round(value, 4) for name, value in row.items()})
    return {"tasks": len(list(folder.glob("*.parquet"))), "pairs": pairs, "by_examples": rows}


def _read(answers: list[str], labels: list[str]) -> Rows:
    place = {label: at for at, label in enumerate(labels)}
    return np.array([place.get(answer, -1) for answer in answers], np.int64)


def _once(said: Rows, y: Rows, k: int, n: int, rng: np.random.Generator) -> dict[str, float]:
    """One draw: counted on ``n``, judged on the others; what is unread is wrong."""
    order = rng.permutation(len(y))
    known, new = order[:n], order[n:]
    prior = prior_of(y[known], k)
    counts = counts_of(said[known], y[known], k)
    table = evidence(log_posterior(counts, prior), prior, np.arange(k))
    held = held_out_evidence(said[known], y[known], prior) + np.log(prior)
    spoke = said[known] >= 0
    temperature = fit_temperature(held[spoke], y[known][spoke])
    read = new[said[new] >= 0]
    logits = (table[said[read]] + np.log(prior)) / temperature
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    right = shares.argmax(axis=1) == y[read]
    share_right = float((said[known] == y[known]).mean())
    plain = np.clip(share_right, 1 / (n + 2), 1 - 1 / (n + 2))
    plain_shares = np.full((len(read), k), (1 - plain) / max(1, k - 1))
    plain_shares[np.arange(len(read)), said[read]] = plain
    own = np.arange(len(read))
    return {
        "as_said": float((said[new] == y[new]).mean()),
        "counted": float(right.sum() / len(new)),
        "confidence": float(shares.max(axis=1).mean()),
        "right_of_read": float(right.mean()),
        "log_loss": float(-np.log(np.maximum(shares[own, y[read]], 1e-12)).mean()),
        "log_loss_one_share": float(-np.log(plain_shares[own, y[read]]).mean()),
    }


def _summary(each: list[dict[str, float]]) -> dict[str, float]:
    means: dict[str, Any] = {k: float(np.mean([row[k] for row in each])) for k in each[0]}
    gaps = np.array([row["confidence"] - row["right_of_read"] for row in each])
    worse = np.array([row["counted"] - row["as_said"] for row in each])
    return {
        **means,
        "repeats": len(each),
        "mean_gap": float(gaps.mean()),
        "mean_absolute_gap": float(np.abs(gaps).mean()),
        "worse_by_two_points": float((worse < -0.02).mean()),
        "better_by_two_points": float((worse > 0.02).mean()),
    }
