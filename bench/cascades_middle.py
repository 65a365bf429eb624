"""A language model as a middle rung: is the promise kept where it answers without being asked last?

A student, a small and a large language model and people, as the strategy `cascade` makes them on
500 labelled rows of a larger population. What a model's answer is worth is counted on labelled
rows, as `prompted` does it. Two ways to certify with the middle rung: `out_of_fold`, which is what
is done, takes the contest's out-of-fold answers and ships the rung that was counted on all rows;
`refitted` counts on the rows that the rungs are fitted on alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, cast

import numpy as np

from bench.common import data_folder
from milepost.entities.prompts import CascadeRule
from milepost.metrics.scoring.calibration import fit_temperature
from milepost.predictors.base import Batch, Predictor, softmax
from milepost.predictors.prompting.worth import counts_of, log_posterior, prior_of
from milepost.strategies.cascading.cascade import Cascade
from milepost.strategy import Contender, DeclinedError, Problem

EXAMPLES, FOLDS = 500, 5
RISK, DELTA = 0.1, 0.05
RISKS = {"api_frugalml yelp": 0.15}
"""Where no model is right often enough for the usual one."""
ROWS = 5_000


@dataclass(frozen=True, eq=False, kw_only=True)
class Told(Predictor):
    """Answers by what a recorded code of a row, called by its number, says for each label."""

    kind: ClassVar[str] = "told"
    uses: ClassVar[Literal["text", "vectors"]] = "text"

    codes: np.ndarray
    table: np.ndarray

    def logits(self, batch: Batch) -> np.ndarray:
        return self.table[self.codes[[int(text) for text in batch.texts]]]

    def arrays(self) -> Mapping[str, np.ndarray]:
        return {}

    def parameters(self) -> dict[str, object]:
        return {}

    @classmethod
    def from_parts(cls, labels: Any, temperature: Any, arrays: Any, parameters: Any) -> Any:
        raise TypeError("a recording is stored nowhere")


class Asked(Told):
    """The same by a language model."""

    @property
    def upstreams(self) -> tuple[str, ...]:
        return ("recorded",)


@dataclass(frozen=True)
class Population:
    """What each rung says of ``n`` rows; codes of a language model are labels."""

    y: np.ndarray
    labels: int
    student: np.ndarray
    models: tuple[np.ndarray, ...]


def synthetic(labels: int, strength: float, seed: int = 0) -> Population:
    """Rows of which some are hard for everybody, so that rungs err on the same ones."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, labels, ROWS)
    hard = rng.random(ROWS) ** 2
    scores = (
        strength * np.eye(labels)[y] + rng.standard_normal((ROWS, labels)) * (0.6 + hard)[:, None]
    )
    top = np.sort(scores, axis=1)
    sure = np.digitize(top[:, -1] - top[:, -2], [0.4, 0.8, 1.2, 1.6, 2.0, 2.6])
    models = tuple(
        np.where(rng.random(ROWS) < share * (0.4 + 1.8 * hard), rng.integers(0, labels, ROWS), y)
        for share in (0.25, 0.06)
    )
    return Population(y, labels, scores.argmax(1) * 7 + sure, models)


def recorded(name: str) -> Population:
    """Answers of sentiment services; the cheapest one's confidence is the student's."""
    import pyarrow.parquet as pq

    table = pq.read_table(data_folder() / "api_frugalml" / f"{name}.parquet").to_pydict()

    drawn = np.random.default_rng(0).permutation(len(table["label"]))[:ROWS]
    y = np.array(table["label"])[drawn].astype(np.int64)

    def column(stem: str, api: str) -> np.ndarray:
        return np.array(table[f"{stem}_{api}"])[drawn]

    sure = column("conf", "open_source").astype(np.float64)
    bins = np.digitize(sure, np.quantile(sure, np.arange(1, 7) / 7))
    student = column("pred", "open_source").astype(np.int64) * 7 + bins
    models = tuple(column("pred", api).astype(np.int64) for api in ("amazon", "google"))
    return Population(y, 2, student, models)


POPULATIONS: Mapping[str, Callable[[], Population]] = {
    "synthetic, 2 labels": lambda: synthetic(2, 1.8),
    "synthetic, 6 labels": lambda: synthetic(6, 2.6),
    "api_frugalml yelp": lambda: recorded("yelp"),
}


def measured(name: str, repeats: int) -> dict[str, Any]:
    """Both ways on many draws of labelled rows."""
    whole = POPULATIONS[name]()
    found: dict[str, list[tuple[bool, float, float, bool]]] = {"refitted": [], "out_of_fold": []}
    for repeat in range(repeats):
        order = np.random.default_rng([11, repeat]).permutation(len(whole.y))
        ours, rest = order[:EXAMPLES], order[EXAMPLES:]
        problem, contenders = _contest(whole, ours, RISKS.get(name, RISK))
        for way, rows in found.items():
            rows.append(_once(whole, rest, problem, contenders, way))
    return {
        way: {
            "n": len(rows),
            "violations": float(np.mean([row[0] for row in rows])),
            "answered": float(np.mean([row[1] for row in rows])),
            "middle": float(np.mean([row[2] for row in rows])),
            "refused": float(np.mean([row[3] for row in rows])),
        }
        for way, rows in found.items()
    }


def _contest(whole: Population, ours: np.ndarray, risk: float) -> tuple[Problem, list[Contender]]:
    names = tuple(f"l{i}" for i in range(whole.labels))
    rule = CascadeRule(at_most_wrong=risk, confidence=1.0 - DELTA, last="person")
    problem = Problem(
        labels=names,
        descriptions=("",) * len(names),
        instruction="",
        texts=tuple(str(i) for i in ours),
        y=whole.y[ours],
        encoder=cast("Any", None),
        cascade=rule,
    )
    contenders = [_contender("student", Told, whole.student, problem, (100.0, 5.0))]
    for at, codes in enumerate(whole.models):
        price = (1e5 * 10.0**at, 300.0)
        contenders.append(_contender(f"model{at}", Asked, codes, problem, price))
    return problem, contenders


def _once(
    whole: Population,
    rest: np.ndarray,
    problem: Problem,
    contenders: list[Contender],
    way: str,
) -> tuple[bool, float, float, bool]:
    if way == "out_of_fold":
        asking = [replace(each, refit=None) for each in contenders[1:]]
        contenders = [contenders[0], *asking]
    folds = np.arange(EXAMPLES) % FOLDS
    try:
        made, _ = Cascade().combine(problem, folds, contenders)
    except DeclinedError:
        return False, 0.0, 0.0, True
    found = made.predict(Batch(tuple(str(i) for i in rest)))
    given = found.rungs < len(made.rungs)
    wrong = (found.label_ids != whole.y[rest])[given]
    middle = [at for at, rung in enumerate(made.names) if rung.startswith("model")]
    share = float(np.isin(found.rungs, middle).mean())
    return (
        bool(wrong.sum() > problem.cascade.at_most_wrong * given.sum()),
        float(given.mean()),
        share,
        False,
    )


def _contender(
    name: str, kind: type[Told], codes: np.ndarray, problem: Problem, price: tuple[float, float]
) -> Contender:
    own = codes[[int(text) for text in problem.texts]]
    k, m = len(problem.labels), int(codes.max()) + 1

    def fit(rows: np.ndarray) -> Told:
        y = problem.y[rows]
        if kind is Asked:
            table = log_posterior(counts_of(own[rows], y, k), prior_of(y, k))
        else:
            counts = np.zeros((m, k)) + 0.5
            np.add.at(counts, (own[rows], y), 1.0)
            table = np.log(counts / counts.sum(axis=1, keepdims=True))
        return kind(labels=problem.labels, codes=codes, table=table)

    folds = np.arange(EXAMPLES) % FOLDS
    # As the contest makes them: calibrated by the out-of-fold answers to the other folds.
    logits = np.zeros((len(own), k))
    for fold in range(FOLDS):
        inside = folds == fold
        logits[inside] = fit(np.flatnonzero(~inside)).table[own[inside]]
    p = np.zeros(logits.shape, np.float32)
    for fold in range(FOLDS):
        inside = folds == fold
        p[inside] = softmax(logits[inside] / fit_temperature(logits[~inside], problem.y[~inside]))
    final = fit(np.arange(len(own))).calibrated(fit_temperature(logits, problem.y))
    return Contender(
        strategy=name,
        predictor=final,
        out_of_fold=p,
        micro_usd_per_1k=price[0],
        p50_ms=price[1],
        refit=fit,
    )
