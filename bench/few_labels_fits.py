"""One way to learn a task from few labels, fitted once and kept: which test rows it gets right."""

import json
import tempfile
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.common import RESULTS, ROOT, ChildFailedError, child, data_folder

PARTS = RESULTS / "few_labels.parts"
OUT = "oos"
UNLABELED = "tuned_unlabeled"
"""The tuned encoder with inputs without labels beside the examples."""
REST = 1200
KEEP = 0.95
"""Share of inputs in scope to keep."""


@dataclass(frozen=True, slots=True)
class Case:
    """A set with a number of labels.

    Attributes:
        part: Part of the benchmark.
        set: Folder of the benchmark data.
        shots: Examples per label; ``full`` for all.
        seeds: How many draws or fits.
        ways: What is compared.
    """

    part: str
    set: str
    shots: str
    seeds: int
    ways: tuple[str, ...]

    @property
    def name(self) -> str:
        """As results call it."""
        return f"{self.set}-{self.shots}"


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Examples to learn from and a test file.

    Attributes:
        labels: Names, in order.
        texts: Examples.
        y: ``(n,)`` their labels.
        test: Inputs of the test file.
        test_y: ``(t,)`` their labels; -1 for one that is out of scope.
        rest: Inputs of the training file that are no examples here, at most ``REST``.
    """

    labels: tuple[str, ...]
    texts: list[str]
    y: NDArray[np.int64]
    test: list[str]
    test_y: NDArray[np.int64]
    rest: tuple[str, ...] = ()


def answers_of(case: Case, seed: int, way: str, *, keep: bool) -> dict[str, Any]:
    """Which test rows are right, and what it took; from what was kept where it was."""
    file = PARTS / f"{case.part}-{case.name}-{way}-{seed}.json"
    if keep and file.is_file():
        return json.loads(file.read_text())
    task = task_of(case, seed)
    if way == "setfit":
        found = _setfit(task, seed)
    elif way == "logistic":
        found = _logistic(task)
    elif case.part == "scope":
        found = _scoped(task, way, seed)
    else:
        found = _milepost(task, way, seed)
    if keep and "unavailable" not in found:
        PARTS.mkdir(parents=True, exist_ok=True)
        half = file.with_suffix(".half")
        half.write_text(json.dumps(found))
        half.replace(file)
    return found


def task_of(case: Case, seed: int) -> Task:
    """The examples of a case: a published file, a draw per label, or everything."""
    train, test = (_rows(case.set, _stem(case, side)) for side in ("train", "test"))
    if case.part != "scope":
        train = [row for row in train if row[1] != OUT]
        test = [row for row in test if row[1] != OUT]
    whole = train
    if case.part != "official" and case.shots != "full":
        train = _drawn(train, int(case.shots), seed)
    drawn = {text for text, _ in train}
    rest = [text for text, _ in whole if text not in drawn] if case.part == "unlabeled" else []
    rest = [rest[at] for at in np.random.default_rng(seed).permutation(len(rest))[:REST]]
    labels = tuple(sorted({label for _, label in train}))
    position = {label: at for at, label in enumerate(labels)}
    return Task(
        labels,
        [text for text, _ in train],
        np.array([position[label] for _, label in train]),
        [text for text, _ in test],
        np.array([position.get(label, -1) for _, label in test]),
        tuple(rest),
    )


def _stem(case: Case, side: str) -> str:
    if side == "test":
        return "test"
    if case.part == "official":
        return f"official_train_{case.shots}"
    return "train_pool" if case.set == "ag_news_test_split" else "train"


def _rows(folder: str, stem: str) -> list[tuple[str, str]]:
    import pyarrow.parquet as pq

    table = pq.read_table(data_folder() / folder / f"{stem}.parquet").to_pydict()
    return list(zip(table["text"], table["label"], strict=True))


def _drawn(rows: list[tuple[str, str]], shots: int, seed: int) -> list[tuple[str, str]]:
    rng = np.random.default_rng(seed)
    taken: dict[str, list[tuple[str, str]]] = {}
    for at in rng.permutation(len(rows)).tolist():
        own = taken.setdefault(rows[at][1], [])
        if len(own) < shots:
            own.append(rows[at])
    return [row for label in sorted(taken) for row in taken[label]]


@cache
def _encoder() -> Any:
    from milepost.models.catalog import open_encoder
    from milepost.workflows.opening import cache_folder

    return open_encoder("embedded", cache_folder())


def _problem(task: Task, seed: int) -> Any:
    from milepost.models.embedded import read_embedded
    from milepost.strategy import Problem

    return Problem(
        labels=task.labels,
        descriptions=("",) * len(task.labels),
        instruction="",
        texts=tuple(task.texts),
        y=task.y,
        encoder=_encoder(),
        seed=seed,
        weights=read_embedded,
    )


def _milepost(task: Task, way: str, seed: int) -> dict[str, Any]:
    """A strategy of milepost with its defaults."""
    from milepost.predictors.reading import batch_for
    from milepost.strategies.registry import strategy_named

    problem = _problem(task, seed)
    if way == UNLABELED:
        way, problem = "tuned_encoder", replace(problem, unlabeled=task.rest)
    started = time.perf_counter()
    predictor = strategy_named(way).fit(problem)
    seconds = time.perf_counter() - started
    answers = predictor.logits(batch_for(predictor, task.test, _encoder())).argmax(axis=1)
    size = sum(array.nbytes for array in predictor.arrays().values())
    return _found(answers == task.test_y, fit_s=seconds, kilobytes=size / 1000)


def _logistic(task: Task) -> dict[str, Any]:
    """Logistic regression of scikit-learn, C = 10, on frozen vectors, without label names."""
    from sklearn.linear_model import LogisticRegression

    started = time.perf_counter()
    model = LogisticRegression(C=10, max_iter=1000).fit(_encoder().encode(task.texts), task.y)
    seconds = time.perf_counter() - started
    answers = model.predict(_encoder().encode(task.test))
    return _found(answers == task.test_y, fit_s=seconds)


def _scoped(task: Task, way: str, seed: int) -> dict[str, Any]:
    """A strategy with milepost's detector; right is measured on inputs in scope alone."""
    from milepost.contests.scoped import scoped
    from milepost.entities.expectations import ScopeRule
    from milepost.predictors.reading import batch_for
    from milepost.strategies.registry import strategy_named

    started = time.perf_counter()
    strategy = scoped(strategy_named(way), ScopeRule(label=OUT, keep=KEEP))
    predictor = strategy.fit(_problem(task, seed))
    seconds = time.perf_counter() - started
    answers = predictor.logits(batch_for(predictor, task.test, _encoder())).argmax(axis=1)
    out = task.test_y == task.labels.index(OUT)
    turned = answers == task.labels.index(OUT)
    return _found(
        (answers == task.test_y)[~out],
        fit_s=seconds,
        recall_out=100 * float(turned[out].mean()),
        turned_in=100 * float(turned[~out].mean()),
    )


def _setfit(task: Task, seed: int) -> dict[str, Any]:
    """SetFit in its own environment; see ``bench/few_labels_peers.py``."""
    from bench.load.environments import UnavailableError, python
    from milepost.models.embedded import embedded_path

    try:
        interpreter = python("setfit")
    except UnavailableError as error:
        return {"unavailable": str(error)[-300:]}
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "request.json"
        asked.write_text(
            json.dumps(
                {
                    "model": str(embedded_path()),
                    "texts": task.texts,
                    "y": task.y.tolist(),
                    "labels": task.labels,
                    "test": task.test,
                    "seed": seed,
                }
            )
        )
        command = [interpreter, "-m", "bench.few_labels_peers", asked]
        quiet = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HOME": folder}
        try:
            said = json.loads(child(command, env=quiet).out.splitlines()[-1])
        except ChildFailedError as error:
            return {"unavailable": str(error)[-300:]}
    return _found(np.array(said["answers"]) == task.test_y, fit_s=said["fit_s"])


def _found(right: NDArray[np.bool_], **more: float) -> dict[str, Any]:
    return {"right": right.astype(int).tolist(), "more": more}
