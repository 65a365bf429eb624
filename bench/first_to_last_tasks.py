"""Each task from its first mile to its last: the prompt's recorded answers beside a specialist.

The specialist is what a contest of milepost chooses from few labelled rows. Where a task has no
further examples the rows themselves are split: five times four fifths teach, choose and set the
threshold of the cascade, and one fifth, which nobody has seen, is measured.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.first_to_last_data import CANNOT, PRICES, Answers, Recorded

Row = dict[str, Any]
Chances = NDArray[np.float32]

CPU_USD_PER_HOUR = 0.04
"""Price of a CPU-hour, the default of ``[settings] cpu_usd_per_hour``."""
FOLDS = 5
TIMED = 40
"""Single answers whose CPU seconds are taken."""


def specialist(
    labels: tuple[str, ...], texts: Sequence[str], y: Answers, tested: Sequence[str], encoder: Any
) -> tuple[str, Chances, Chances]:
    """What a contest on labelled texts chooses, its out-of-fold and its tested probabilities."""
    from milepost._base.settings import Settings
    from milepost.contests.runner import predict
    from milepost.contests.runner import run as contest
    from milepost.data.duplicates import group_texts
    from milepost.data.splitting.folding import fold_groups
    from milepost.metrics.inference.intervals import Sampling
    from milepost.metrics.inference.selection import Ties, best_of
    from milepost.metrics.scoring.classification import log_loss_rows
    from milepost.strategies.registry import strategy_named, trust_of
    from milepost.strategy import Problem

    problem = Problem(
        labels=labels, descriptions=("",) * len(labels), instruction="",
        texts=tuple(texts), y=y, encoder=encoder,
    )  # fmt: skip
    groups = group_texts(problem.texts, Settings().near_duplicate).groups
    entered = [strategy_named(n) for n in ("head_closed_form", "head_logistic", "tfidf_linear")]
    entries = contest(problem, fold_groups(groups, y, FOLDS, 0), entered)
    fitted = {e.strategy: e.fitted for e in entries if e.fitted is not None}
    out = np.stack([each.out_of_fold.argmax(axis=1) for each in fitted.values()])
    losses = np.stack([log_loss_rows(y, each.out_of_fold) for each in fitted.values()])
    ties = Ties(losses=losses, trust=np.array(trust_of(list(fitted)), np.int64))
    chosen = best_of("accuracy", y, out, len(labels), Sampling(resamples=300), ties).chosen
    name = list(fitted)[chosen]
    return name, fitted[name].out_of_fold, predict(fitted[name].predictor, tested, encoder)


def held(texts: Sequence[str]) -> Any:
    """The embedded encoder, with the vectors of these texts made once."""
    from milepost.contests.held import HeldVectors
    from milepost.models.catalog import open_encoder
    from milepost.workflows.opening import cache_folder

    return HeldVectors(
        open_encoder("embedded", cache_folder()),
        list(dict.fromkeys(texts)),
    )


def laxest(sure: NDArray[np.floating], right: NDArray[np.bool_], large: NDArray[np.bool_]) -> float:
    """The threshold that answers most without the large model at no loss of accuracy.

    Args:
        sure: ``(n,)`` confidence of the specialist on rows that it did not see.
        right: ``(n,)``, where it is right.
        large: ``(n,)``, where the large model is right.
    """
    order = np.argsort(-sure, kind="stable")
    gained = np.cumsum(right[order].astype(np.int64) - large[order].astype(np.int64))
    # Only between different confidences is there a threshold.
    ends = np.append(sure[order][:-1] > sure[order][1:], True)
    good = np.flatnonzero((gained >= 0) & ends)
    return float(sure[order][good[-1]]) if len(good) else float("inf")


def first_to_last(task: Recorded) -> Row:
    """One task: the dearest and best that was sold, the specialist, and the cascade of both."""
    sold = [model for model in task.answers if model in PRICES]
    large = max(sold, key=lambda model: task.right(model).mean())
    n = len(task.y)
    encoder = held([*task.texts, *(text for text, _ in task.train), *task.labels])
    answers = np.zeros(n, np.int64)
    local = np.zeros(n, np.bool_)
    chosen: list[str] = []
    for inside, outside in _splits(task):
        if task.train:
            texts, y = zip(*task.train, strict=True)
            taught, truth = list(texts), np.array(y, np.int64)
        else:
            taught, truth = [task.texts[i] for i in inside], task.y[inside]
        name, out, tested = specialist(
            task.labels, taught, truth, [task.texts[i] for i in outside], encoder
        )
        chosen.append(name)
        answers[outside] = tested.argmax(axis=1)
        if task.train:
            # The rows that teach were not answered by the large model: nothing to set a threshold
            # on but how often it is right, as far as it was asked about the other rows.
            order = np.sort(out.max(axis=1))
            rate = task.right(large).mean()
            right = out.argmax(axis=1) == truth
            bar = next((t for t in order if right[out.max(axis=1) >= t].mean() >= rate), 2.0)
        else:
            bar = laxest(out.max(axis=1), out.argmax(axis=1) == truth, task.right(large)[inside])
        local[outside] = tested.max(axis=1) >= bar
    right, prompt = answers == task.y, task.right(large)
    cascade = np.where(local, right, prompt)
    best_open = max(task.answers, key=lambda model: task.right(model).mean())
    cpu = _cpu_seconds(task)
    cheap = 1000 * cpu / 3600 * CPU_USD_PER_HOUR
    cost = task.cost_per_1k(large)
    return {
        "task": task.name,
        "rows": n,
        "labels": len(task.labels),
        "majority": float(np.bincount(task.y).max() / n),
        "taught_on": len(task.train) or int(n * (FOLDS - 1) / FOLDS),
        "specialist": max(set(chosen), key=chosen.count),
        "large": large,
        "large_accuracy": float(prompt.mean()),
        "best_recorded": {"model": best_open, "accuracy": float(task.right(best_open).mean())},
        "specialist_accuracy": float(right.mean()),
        "specialist_minus_large": paired(right, prompt),
        "cascade_accuracy": float(cascade.mean()),
        "cascade_minus_large": paired(cascade, prompt),
        "fewer_large_calls": float(local.mean()),
        "fewer_errors": float((~prompt).sum() / max((~right).sum(), 1)),
        "large_usd_per_1k": cost,
        "specialist_cpu_seconds_per_1k": 1000 * cpu,
        "specialist_usd_per_1k": cheap,
        "cheaper": cost / cheap,
        "reason": CANNOT.get(task.name, ""),
    }


def _splits(task: Recorded) -> list[tuple[Answers, Answers]]:
    if task.train:
        return [(np.zeros(0, np.int64), np.arange(len(task.y)))]
    from milepost._base.settings import Settings
    from milepost.data.duplicates import group_texts
    from milepost.data.splitting.folding import fold_groups

    groups = group_texts(task.texts, Settings().near_duplicate).groups
    folding = fold_groups(groups, task.y, FOLDS, 1)
    parts = [folding.inside(fold) for fold in range(FOLDS)]
    everything = np.arange(len(task.y))
    return [(np.setdiff1d(everything, part), part) for part in parts]


def paired(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> dict[str, float]:
    """Difference of two accuracies on the same rows with its 95 % interval (paired, normal)."""
    differences = first.astype(np.float64) - second.astype(np.float64)
    mean = float(differences.mean())
    half = 1.96 * float(differences.std(ddof=1)) / np.sqrt(len(differences))
    return {"value": mean, "low": mean - half, "high": mean + half}


def _cpu_seconds(task: Recorded) -> float:
    """CPU seconds of one answer: median of single texts through the encoder, the head included."""
    from milepost.models.catalog import EncoderOptions, open_encoder
    from milepost.workflows.opening import cache_folder

    encoder = open_encoder("embedded", cache_folder(), EncoderOptions(threads=1))
    weights = np.zeros((encoder.dimensions, len(task.labels)), np.float32)
    texts = task.texts[:TIMED]
    encoder.encode(texts[:3])
    taken: list[float] = []
    for text in texts:
        started = time.process_time()
        (encoder.encode([text]) @ weights).argmax()
        taken.append(time.process_time() - started)
    return float(np.mean(taken))
