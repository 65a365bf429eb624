"""Every configuration of every strategy with a space, fitted on small draws of real sets, and kept.

A draw is split into folds; each configuration answers each fold from a fit without it, and a test
part from a fit on everything. What is kept are losses, not answers.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bench import regret_fits
from bench.common import RESULTS

SHOTS = (*map(str, regret_fits.SHOTS), "total")
SEEDS = 2
PARTS = RESULTS / "search.parts"
SETS = tuple(sorted(regret_fits.SETS))

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Tries:
    """What ``m`` configurations of each strategy came to on one draw of ``n`` examples.

    Attributes:
        set: Name of the set.
        shots: Examples per label, as text; ``total`` for the draw that keeps the labels' shares.
        seed: Of the draw and of the fits.
        regime: As ``regime_of`` of the search.
        fold_of: ``(n,)`` in which fold each row lies.
        losses: By strategy, ``(m, n) float32``: log loss of each row out of fold.
        right: By strategy, ``(m, n) bool``: whether each row is right out of fold.
        test_loss: By strategy, ``(m,)``: mean log loss on the test part.
        test_accuracy: By strategy, ``(m,)``.
        seconds: By strategy, ``(m,)``: of one fit.
    """

    set: str
    shots: str
    seed: int
    regime: Array
    fold_of: NDArray[np.int64]
    losses: Mapping[str, NDArray[np.float32]]
    right: Mapping[str, NDArray[np.bool_]]
    test_loss: Mapping[str, Array]
    test_accuracy: Mapping[str, Array]
    seconds: Mapping[str, Array]


def configurations() -> dict[str, list[dict[str, object]]]:
    """Of each strategy that offers a space, the default first."""
    from dataclasses import asdict

    from milepost.contests.searching.prior import configurations_of
    from milepost.strategies.registry import STRATEGIES, strategy_named

    return {
        name: configurations_of(kind.space, asdict(cast("Any", strategy_named(name))))
        for name, kind in STRATEGIES.items()
        if hasattr(kind, "space") and not hasattr(kind, "seconds")
    }


def tries_of(name: str, seeds: int, *, keep: bool) -> Iterator[Tries]:
    """The set's draws, every configuration fitted once."""
    material: Any = None
    for seed in range(seeds):
        for shots in SHOTS:
            path = PARTS / f"{name}-{shots}-{seed}.npz"
            if keep and path.exists():
                yield _load(path, name, shots, seed)
                continue
            material = material or regret_fits.DrawnSet.read(name, seeds)
            rows = material.draw(shots, seed)
            if rows is None:
                continue
            found = tried(material, rows, shots, seed)
            if keep:
                _save(path, found)
            yield found


def tried(material: Any, rows: NDArray[np.int64], shots: str, seed: int) -> Tries:
    """Every configuration on one draw of a ``regret_fits.DrawnSet``."""
    from milepost._base.settings import Settings
    from milepost.contests.searching.prior import regime_of
    from milepost.data.duplicates import group_texts
    from milepost.data.splitting.folding import fold_groups
    from milepost.strategies.registry import strategy_named
    from milepost.strategy import Problem

    settings = Settings()
    problem = Problem(
        labels=material.labels,
        descriptions=("",) * len(material.labels),
        instruction="",
        texts=tuple(material.pool[i] for i in rows),
        y=material.pool_y[rows],
        encoder=material.encoder,
        seed=seed,
    )
    groups = group_texts(problem.texts, settings.near_duplicate).groups
    folding = fold_groups(groups, problem.y, settings.folds, seed)
    parts: dict[str, dict[str, Any]] = {
        kind: {} for kind in ("losses", "right", "test_loss", "test_accuracy", "seconds")
    }
    for name, known in configurations().items():
        m, n = len(known), len(problem.texts)
        losses, right = np.zeros((m, n), np.float32), np.zeros((m, n), np.bool_)
        test_loss, accuracy, seconds = np.zeros(m), np.zeros(m), np.zeros(m)
        for at, each in enumerate(known):
            strategy = strategy_named(name, each)
            for fold in range(folding.count):
                inside = folding.inside(fold)
                fitted = strategy.fit(problem.take(folding.fitted_on(fold)))
                texts = tuple(problem.texts[i] for i in inside)
                logits = _logits(fitted, texts, material.encoder)
                losses[at, inside] = row_losses(logits, problem.y[inside])
                right[at, inside] = logits.argmax(axis=1) == problem.y[inside]
            started = time.perf_counter()
            fitted = strategy.fit(problem)
            seconds[at] = time.perf_counter() - started
            logits = _logits(fitted, material.test, material.encoder)
            test_loss[at] = row_losses(logits, material.test_y).mean()
            accuracy[at] = (logits.argmax(axis=1) == material.test_y).mean()
        found = (losses, right, test_loss, accuracy, seconds)
        for kind, value in zip(parts, found, strict=True):
            parts[kind][name] = value
    return Tries(
        set=material.name,
        shots=shots,
        seed=seed,
        regime=regime_of(problem),
        fold_of=folding.fold_of,
        **parts,
    )


def row_losses(logits: Array, y: NDArray[np.int64]) -> Array:
    """Log loss of each row at the temperature that suits all of them best."""
    from milepost.contests.searching.searched import row_losses as losses

    return losses(logits, y)


def _logits(predictor: Any, texts: tuple[str, ...], encoder: Any) -> Array:
    from milepost.predictors.reading import batch_for

    return predictor.logits(batch_for(predictor, texts, encoder))


def _save(path: Path, found: Tries) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {"regime": found.regime, "fold_of": found.fold_of}
    for kind in ("losses", "right", "test_loss", "test_accuracy", "seconds"):
        arrays |= {f"{kind} {name}": each for name, each in getattr(found, kind).items()}
    half = path.with_suffix(".part")
    with half.open("wb") as file:
        np.savez_compressed(file, **arrays)
    half.replace(path)


def _load(path: Path, name: str, shots: str, seed: int) -> Tries:
    with np.load(path) as kept:
        parts = {
            kind: {n.partition(" ")[2]: kept[n] for n in kept.files if n.startswith(f"{kind} ")}
            for kind in ("losses", "right", "test_loss", "test_accuracy", "seconds")
        }
        return Tries(
            set=name,
            shots=shots,
            seed=seed,
            regime=kept["regime"],
            fold_of=kept["fold_of"],
            **cast("Any", parts),
        )
