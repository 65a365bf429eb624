"""Many small tasks on one trunk: what tuning together does to each, and which tasks help which.

What a task's own rows make of the encoder is the same for ``tuned_encoder`` and as a part of
``multitask``, and is tuned once here for both.
``--only PART ...`` takes only these of ``small-0`` to ``small-2`` (draws), ``domains-0`` (the 16
domains of ``fdu_mtl_16domains``), ``variants`` and ``affinity``.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.common import RESULTS, Options, scratch, stored
from bench.multitask_tasks import SmallTask, domain_tasks, small_tasks

SEEDS = 3
QUICK = 40
"""Rows that each of three tasks is measured on in a quick run."""
LEFT_OUT = 8
"""Tasks of which each is left out of a tuning of them all, to hold the estimates against."""
VARIANTS: Mapping[str, Mapping[str, object]] = {
    "uniform": {},
    "uncertainty": {"weighting": "uncertainty"},
    "famo": {"weighting": "famo"},
    "projected": {"conflicts": "project"},
    "in proportion": {"exponent": 1.0},
}
"""Ways to share a tuning, compared on rows that are trained on by nobody."""
PARTS = RESULTS / "multitask.parts"
STRATEGIES = ("head_closed_form", "head_logistic", "tuned_encoder", "multitask")


def run(options: Options) -> dict[str, object]:
    """Each part is kept as it comes, and stays where only others are asked for."""
    draws = [f"small-{seed}" for seed in range(1 if options.quick else SEEDS)]
    names = [*draws, "domains-0", "variants", "affinity"]
    found: dict[str, Any] = {} if options.quick else dict(stored("multitask"))
    for name in names:
        if not options.only or name in options.only:
            which, _, seed = name.partition("-")
            found[name] = (
                _variants(quick=options.quick)
                if which == "variants"
                else _ablation(quick=options.quick)
                if which == "affinity"
                else _together(which, int(seed), quick=options.quick)
            )
    _tell(found)
    return found


def _tasks(which: str, seed: int, *, quick: bool, validate: bool = False) -> list[SmallTask]:
    drawn = small_tasks(seed, validate=validate) if which == "small" else domain_tasks(seed)
    tasks = list(drawn)
    if not quick:
        return tasks
    return [
        replace(task, judged=task.judged[:QUICK], judged_y=task.judged_y[:QUICK])
        for task in tasks[:3]
    ]


def _kept(name: str, compute: Any, *, quick: bool) -> Any:
    """A part of the result as it was kept, or computed and kept now."""
    if quick:
        return compute()
    file = PARTS / f"{name}.json"
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    PARTS.mkdir(parents=True, exist_ok=True)
    value = compute()
    file.write_text(json.dumps(value, indent=1), encoding="utf-8")
    return value


def _together(which: str, seed: int, *, quick: bool) -> Any:
    """The whole way, as a user goes it: a workspace, contests, and the test files at the end."""

    def compute() -> dict[str, object]:
        with scratch() as folder:
            return _improved(_tasks(which, seed, quick=quick), folder / "desk", seed, quick=quick)

    return _kept(f"{which}-{seed}", compute, quick=quick)


def _improved(
    tasks: Sequence[SmallTask], folder: Path, seed: int, *, quick: bool
) -> dict[str, object]:
    import milepost as mp
    from milepost._base.settings import Settings
    from milepost.entities.configuration import Configuration
    from milepost.reports.together.gains import totals

    settings = Settings(folds=2 if quick else 3)
    ws = mp.Workspace.create(folder, Configuration(settings=settings))
    for task in tasks:
        (folder / "data").mkdir(exist_ok=True)
        rows = [
            {"text": t, "label": task.labels[i]}
            for t, i in zip(task.texts, task.y.tolist(), strict=True)
        ]
        file = folder / "data" / f"{task.name}.jsonl"
        file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        labels = dict.fromkeys(task.labels, "")
        lines = json.dumps({
            "name": task.name, "labels": labels, "objective": {"metric": "accuracy"},
            "data": {"examples": f"data/{task.name}.jsonl"},
        })  # fmt: skip
        (folder / "tasks" / f"{task.name}.yaml").write_text(lines, encoding="utf-8")
    knobs = {"tuned_encoder": {"steps": 20}, "multitask": {"steps": 20}} if quick else {}
    began = time.monotonic()
    with _tuned_once():
        done = ws.improve_together(strategies=list(STRATEGIES), seed=seed, parameters=knobs)
    seconds = time.monotonic() - began
    by_name = {task.name: task for task in tasks}
    rows = [_tested(ws, each.contest, by_name[each.contest.task]) for each in done.improvements]
    return {
        "tasks": rows,
        "out_of_fold": totals(done.gains),
        "tested": _summary(rows),
        "seconds": seconds,
        "tuning_seconds": done.record.seconds,
        "left_out": [[each.task, each.why] for each in done.left_out],
    }


@contextmanager
def _tuned_once() -> Iterator[None]:
    """Keep what was tuned on the rows of one task; a tuning depends on these and its seed alone."""
    from milepost.models.adapters import Adapter
    from milepost.strategies.tuning import training

    real, known = training.tune, dict[tuple[Any, ...], Any]()

    def tune(folder: Any, corpora: Any, tuning: Any, *, seed: int, **more: Any) -> Any:
        whole = replace(tuning, strength=1.0)
        if len(corpora) > 1:
            return real(folder, corpora, tuning, seed=seed, **more)
        key = (corpora[0].texts, corpora[0].y.tobytes(), whole, seed)
        if key not in known:
            known[key] = real(folder, corpora, whole, seed=seed, **more)
        found = known[key]
        states = [found.state, *found.kept]
        assert all(isinstance(each, Adapter) for each in states)
        state, *kept = (each.scaled(tuning.strength) for each in states)
        return replace(found, state=state, kept=kept)

    training.tune = tune
    try:
        yield
    finally:
        training.tune = real


def _tested(ws: Any, contest: Any, task: SmallTask) -> dict[str, object]:
    """Accuracy of each candidate on the test file, which no contest has seen."""
    found: dict[str, float] = {}
    for candidate in contest.candidates:
        if candidate.bundle is not None and candidate.strategy != "majority":
            answers = ws.predict(task.name, list(task.judged), candidate=candidate.id).answers
            right = [
                a == task.labels[i] for a, i in zip(answers, task.judged_y.tolist(), strict=True)
            ]
            found[candidate.strategy] = 100 * float(np.mean(right))
    solo = max(
        (c for c in contest.candidates if c.strategy in found and c.strategy != "multitask"),
        key=lambda c: c.selection.value,
    )
    return {
        "task": task.name,
        "n": len(task.texts),
        "judged": len(task.judged),
        "accuracy": found,
        "chosen": contest.chosen.strategy,
        "solo": solo.strategy,
    }


def _summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """Points over the best of each task's own candidates, as ranked out of fold."""
    rows = [row for row in rows if "multitask" in row["accuracy"]]
    joint = np.array([r["accuracy"]["multitask"] - r["accuracy"][r["solo"]] for r in rows])
    kept = np.array([r["accuracy"][r["chosen"]] - r["accuracy"][r["solo"]] for r in rows])
    heads = np.array([r["accuracy"]["multitask"] - r["accuracy"]["head_logistic"] for r in rows])
    return {
        "tasks": len(rows),
        "mean_gain": float(joint.mean()),
        "worst": float(joint.min()),
        "negative_transfer_rate": float((joint < 0).mean()),
        "mean_gain_over_frozen": float(heads.mean()),
        "mean_gain_after_gate": float(kept.mean()),
        "worst_after_gate": float(kept.min()),
        "interval_after_gate": _interval(kept),
    }


def _interval(values: NDArray[np.float64], resamples: int = 2000) -> list[float]:
    """95 % bootstrap interval of the mean over tasks."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(values, (resamples, len(values))).mean(axis=1)
    return [float(each) for each in np.quantile(drawn, [0.025, 0.975])]


class _Bare:
    """Tasks with their texts encoded, for tunings outside of contests."""

    def __init__(self, tasks: Sequence[SmallTask]) -> None:
        from milepost.models.catalog import EncoderOptions, find_encoder, open_encoder
        from milepost.strategies.problems import humanise
        from milepost.strategies.tuning.records import Corpus

        self.tasks = tasks
        cache = Path.home() / ".cache" / "milepost"
        self.encoder = open_encoder("embedded", cache, EncoderOptions())
        self.folder = find_encoder("embedded", EncoderOptions())
        self.corpora = [
            Corpus(name=t.name, labels=tuple(map(humanise, t.labels)), texts=t.texts, y=t.y)
            for t in tasks
        ]

    def accuracies(self, encoder: Any) -> NDArray[np.float64]:
        """Of the logistic head on this encoder's vectors, in percent, per task."""
        from milepost.strategies.head_logistic import HeadLogistic
        from milepost.strategy import Problem

        found: list[float] = []
        for task in self.tasks:
            problem = Problem(
                task.labels, ("",) * len(task.labels), "", task.texts, task.y, encoder
            )
            head = HeadLogistic().fit(problem)
            logits = encoder.encode(task.judged) @ head.weights.T + head.bias
            found.append(100 * float((logits.argmax(axis=1) == task.judged_y).mean()))
        return np.array(found)

    def tuned(self, keep: Sequence[int], knobs: Mapping[str, object], seed: int = 0) -> Any:
        """The encoder tuned on some of the tasks."""
        from milepost.strategies.multitask import Multitask
        from milepost.strategies.registry import strategy_named
        from milepost.strategies.tuning.mixing import Mixture
        from milepost.strategies.tuning.training import tune

        strategy = strategy_named("multitask", knobs)
        assert isinstance(strategy, Multitask)
        corpora = [self.corpora[at] for at in keep]
        tuning = strategy.tuning(sum(len(each.with_labels()[1]) for each in corpora))
        mixing = Mixture(strategy.mix(), corpora, seed)
        adapter = tune(self.folder, corpora, tuning, seed=seed, mixing=mixing).adapter
        return self.encoder.adapted(adapter)


def _variants(*, quick: bool) -> Any:
    """Ways to share a tuning, on training rows that were held out, and not on the test files."""

    def compute() -> dict[str, object]:
        bare = _Bare(_tasks("small", 0, quick=quick, validate=True))
        frozen = bare.accuracies(bare.encoder)
        found: dict[str, object] = {}
        for name, knobs in VARIANTS.items():
            asked = {**knobs, "steps": 10} if quick else knobs
            began = time.monotonic()
            apart = bare.accuracies(bare.tuned(range(len(bare.tasks)), asked)) - frozen
            found[name] = {
                "mean": float(apart.mean()),
                "interval": _interval(apart),
                "worst": float(apart.min()),
                "worse": int((apart < 0).sum()),
                "tasks": len(apart),
                "seconds": time.monotonic() - began,
            }
        return found

    return _kept("variants", compute, quick=quick)


def _ablation(*, quick: bool) -> Any:
    """Leave-one-task-out: what each task's absence does to the others, against the estimates."""

    def compute() -> dict[str, object]:
        wanted = 3 if quick else LEFT_OUT
        tasks = _tasks("small", 1, quick=quick, validate=True)
        rng = np.random.default_rng(0)
        bare = _Bare([tasks[at] for at in np.sort(rng.permutation(len(tasks))[:wanted])])
        knobs: dict[str, object] = {"steps": 10} if quick else {}
        every = range(len(bare.tasks))
        whole = bare.accuracies(bare.tuned(every, knobs))
        truth = np.zeros((wanted, wanted))
        for source in every:
            rest = [at for at in every if at != source]
            truth[source] = whole - bare.accuracies(bare.tuned(rest, knobs))
        apart = ~np.eye(wanted, dtype=np.bool_)
        estimates = _estimates(bare)
        return {
            "tasks": [task.name for task in bare.tasks],
            "helps_by_points": truth.tolist(),
            "pairs": int(apart.sum()),
            "rank_correlation": {
                name: _rank_correlation(each[apart], truth[apart])
                for name, each in estimates.items()
            },
        }

    return _kept("affinity", compute, quick=quick)


def _estimates(bare: _Bare) -> dict[str, NDArray[np.float64]]:
    """The estimate that ``milepost affinity`` gives, and two that are cheaper still."""
    from milepost.metrics.affinity import TaskVectors, effects_between

    rng = np.random.default_rng(0)
    tasks: list[TaskVectors] = []
    for corpus in bare.corpora:
        vectors, labels = (bare.encoder.encode(each) for each in (corpus.texts, corpus.labels))
        half = rng.permutation(len(corpus.y)) % 2 == 1
        tasks.append(TaskVectors(vectors, corpus.y, labels, half))
    means = np.stack([task.vectors.mean(axis=0) for task in tasks])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    spaces = [
        np.linalg.svd(task.labels - task.labels.mean(0), full_matrices=False)[2][:1]
        for task in tasks
    ]
    spans = np.array([[float(np.abs(one @ other.T).max()) for other in spaces] for one in spaces])
    return {
        "lookahead": effects_between(tasks).gain,
        "nearness of inputs": (means @ means.T).astype(np.float64),
        "nearness of labels": spans,
    }


def _rank_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def _tell(found: Mapping[str, Any]) -> None:
    for name, run in found.items():
        if "tested" in run:
            told = run["tested"]
            print(
                f"{name}: {told['tasks']} tasks: {told['mean_gain']:+.2f} points over the best "
                f"alone, worst {told['worst']:+.1f}, negative transfer "
                f"{told['negative_transfer_rate']:.0%}; after each contest's choice "
                f"{told['mean_gain_after_gate']:+.2f}, worst {told['worst_after_gate']:+.1f}; over "
                f"frozen vectors {told['mean_gain_over_frozen']:+.2f}"
            )
    for name, each in found.get("variants", {}).items():
        print(f"{name:<14} {each['mean']:+.2f}, worst {each['worst']:+.1f}, {each['worse']} worse")
    if "affinity" in found:
        told = found["affinity"]["rank_correlation"]
        print("Rank correlation with leaving one task out:", told)
