"""Many small tasks on one trunk: what tuning together does to each, and which tasks help which.

``--only PART ...`` takes only these of ``small-0`` to ``small-2`` (draws; the whole way, with a
contest of each task), ``domains-0`` (the 16 domains of ``fdu_mtl_16domains``, single-task against
multi-task, each fitted once), ``variants``, and ``affinity-0`` and ``affinity-1`` (draws of eight
tasks).
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
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
    names = [*draws, "domains-0", "variants", "affinity-0", "affinity-1"]
    found: dict[str, Any] = {} if options.quick else dict(stored("multitask"))
    for name in names:
        if not options.only or name in options.only:
            which, _, seed = name.partition("-")
            found[name] = (
                _variants(quick=options.quick)
                if which == "variants"
                else _ablation(int(seed), quick=options.quick)
                if which == "affinity"
                else _domains(quick=options.quick)
                if which == "domains"
                else _together(int(seed), quick=options.quick)
            )
    _tell(found)
    return found


def _tasks(drawn: Iterable[SmallTask], *, quick: bool) -> list[SmallTask]:
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


def _together(seed: int, *, quick: bool) -> Any:
    """The whole way, as a user goes it: a workspace, contests, and the test files at the end."""

    def compute() -> dict[str, object]:
        with scratch() as folder:
            tasks = _tasks(small_tasks(seed), quick=quick)
            return _improved(tasks, folder / "desk", seed, quick=quick)

    return _kept(f"small-{seed}", compute, quick=quick)


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
    competing = [c for c in contest.candidates if c.strategy in found]
    alone = [c for c in competing if c.strategy != "multitask"]
    return {
        "task": task.name,
        "n": len(task.texts),
        "judged": len(task.judged),
        "accuracy": found,
        "chosen": contest.chosen.strategy,
        "solo": solo.strategy,
        "chosen_again": _choice(ws, contest, competing),
        "own": _choice(ws, contest, alone),
    }


def _choice(ws: Any, contest: Any, candidates: Sequence[Any]) -> str:
    """The strategy that a contest of these candidates alone would choose."""
    from milepost.metrics.inference.intervals import Sampling
    from milepost.metrics.inference.selection import Ties, best_of
    from milepost.metrics.scoring.deciding import decided
    from milepost.metrics.scoring.links import loss_rows
    from milepost.strategies.registry import trust_of
    from milepost.workflows.contest.datasets import load
    from milepost.workflows.contest.stored_predictions import load_predictions
    from milepost.workflows.opening import open_context
    from milepost.workflows.tasks.current import current_task

    context = open_context(ws.root)
    given: list[NDArray[np.float32]] = []
    ids: Sequence[str] = ()
    labels: Sequence[str] = ()
    for candidate in candidates:
        ids, labels, probabilities = load_predictions(context, candidate.predictions)
        given.append(probabilities)
    known = load(context, current_task(context, contest.task)).examples.examples
    said = dict(zip(known.ids, known.labels, strict=True))
    y = np.array([labels.index(said[each]) for each in ids])
    ties = Ties(
        losses=np.stack([loss_rows("softmax", y, each) for each in given]),
        trust=np.array(trust_of([each.strategy for each in candidates]), np.int64),
    )
    settings = context.configuration.settings
    sampling = Sampling(
        confidence=settings.confidence, resamples=settings.bootstrap, seed=contest.seed
    )
    chosen = best_of("accuracy", y, decided(np.stack(given)), len(labels), sampling, ties).chosen
    return candidates[chosen].strategy


def _summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """Points over each task's own candidates: the best as ranked out of fold, and the choice."""
    rows = [row for row in rows if "multitask" in row["accuracy"]]
    joint = np.array([r["accuracy"]["multitask"] - r["accuracy"][r["solo"]] for r in rows])
    kept = np.array([r["accuracy"][r["chosen"]] - r["accuracy"][r["solo"]] for r in rows])
    over = np.array([r["accuracy"][r["chosen"]] - r["accuracy"][r["own"]] for r in rows])
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
        "over_own_choice": {
            "mean": float(over.mean()),
            "interval": _interval(over),
            "worst": float(over.min()),
        },
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

    def tuned(self, keep: Sequence[int], knobs: Mapping[str, object]) -> Any:
        """The encoder tuned on some of the tasks."""
        return self.encoder.adapted(self.adapter(keep, knobs))

    def adapter(self, keep: Sequence[int], knobs: Mapping[str, object], seed: int = 0) -> Any:
        """What tuning on some of the tasks makes of the encoder."""
        from milepost.strategies.multitask import Multitask
        from milepost.strategies.registry import strategy_named
        from milepost.strategies.tuning.mixing import Mixture
        from milepost.strategies.tuning.training import tune

        strategy = strategy_named("multitask", knobs)
        assert isinstance(strategy, Multitask)
        corpora = [self.corpora[at] for at in keep]
        tuning = strategy.tuning(sum(len(each.with_labels()[1]) for each in corpora))
        mixing = Mixture(strategy.mix(), corpora, seed)
        return tune(self.folder, corpora, tuning, seed=seed, mixing=mixing).adapter


def _domains(*, quick: bool) -> Any:
    """Each domain by itself and all together: one fit of each, measured on the test files."""

    def compute() -> dict[str, object]:
        from milepost.predictors.reading import batch_for
        from milepost.strategies.head_logistic import HeadLogistic
        from milepost.strategies.multitask import Multitask
        from milepost.strategies.tuned_encoder import TunedEncoder
        from milepost.strategy import Joint, Problem

        bare = _Bare(_tasks(domain_tasks(0), quick=quick))
        steps = 10 if quick else None
        began = time.monotonic()
        adapter = bare.adapter(range(len(bare.tasks)), {"steps": steps} if quick else {})
        joint = Joint(tuple(task.name for task in bare.tasks), {}, (), adapter)
        tuning_seconds = time.monotonic() - began
        ways = (HeadLogistic(), TunedEncoder(steps=steps), Multitask())
        rows: list[dict[str, Any]] = []
        for task in bare.tasks:
            problem = Problem(
                task.labels, ("",) * len(task.labels), "", task.texts, task.y, bare.encoder,
                weights=lambda: bare.folder, joint=joint,
            )  # fmt: skip
            accuracy: dict[str, float] = {}
            seconds: dict[str, float] = {}
            for way in ways:
                began = time.monotonic()
                predictor = way.fit(problem)
                seconds[way.name] = time.monotonic() - began
                found = predictor.predict(batch_for(predictor, task.judged, bare.encoder))
                right = found.probabilities.argmax(axis=1) == task.judged_y
                accuracy[way.name] = 100 * float(right.mean())
            rows.append({
                "task": task.name, "n": len(task.texts), "judged": len(task.judged),
                "accuracy": accuracy, "seconds": seconds,
            })  # fmt: skip
            print(json.dumps(rows[-1]), flush=True)
        return {"domains": rows, "compared": _compared(rows), "tuning_seconds": tuning_seconds}

    return _kept("domains-0", compute, quick=quick)


def _compared(rows: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """Points of the encoder tuned on all tasks and their own rows over the other ways."""
    found: dict[str, object] = {}
    for other in ("head_logistic", "tuned_encoder"):
        apart = np.array([r["accuracy"]["multitask"] - r["accuracy"][other] for r in rows])
        found[other] = {
            "mean": float(apart.mean()),
            "interval": _interval(apart),
            "worst": float(apart.min()),
            "worse": int((apart < 0).sum()),
        }
    return found


def _variants(*, quick: bool) -> Any:
    """Ways to share a tuning, on training rows that were held out, and not on the test files."""

    def compute() -> dict[str, object]:
        bare = _Bare(_tasks(small_tasks(0, validate=True), quick=quick))
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


def _ablation(seed: int, *, quick: bool) -> Any:
    """Leave-one-task-out: what each task's absence does to the others, against the estimates."""

    def compute() -> dict[str, object]:
        wanted = 3 if quick else LEFT_OUT
        tasks = _tasks(small_tasks(1 + seed, validate=True), quick=quick)
        rng = np.random.default_rng(seed)
        bare = _Bare([tasks[at] for at in np.sort(rng.permutation(len(tasks))[:wanted])])
        knobs: dict[str, object] = {"steps": 10} if quick else {}
        every = range(len(bare.tasks))
        whole = bare.accuracies(bare.tuned(every, knobs))
        truth = np.zeros((wanted, wanted))
        for source in every:
            rest = [at for at in every if at != source]
            truth[source] = whole - bare.accuracies(bare.tuned(rest, knobs))
        return _agreement([task.name for task in bare.tasks], truth, _estimates(bare))

    return _kept(f"affinity-{seed}", compute, quick=quick)


def _agreement(
    names: Sequence[str], truth: NDArray[np.float64], estimates: Mapping[str, NDArray[np.float64]]
) -> dict[str, object]:
    """Rank correlations of estimates with the truth: of all pairs, and within each target.

    What is measured with all tasks is part of a target's every pair, so that its chance moves them
    together; within a target it does not count.
    """
    apart = ~np.eye(len(names), dtype=np.bool_)
    targets = range(len(names))
    return {
        "tasks": list(names),
        "helps_by_points": truth.tolist(),
        "pairs": int(apart.sum()),
        "spread_of_points": float(truth[apart].std()),
        "rank_correlation": {
            name: _rank_correlation(each[apart], truth[apart]) for name, each in estimates.items()
        },
        "within_target": {
            name: float(
                np.mean(
                    [
                        _rank_correlation(each[apart[:, at], at], truth[apart[:, at], at])
                        for at in targets
                    ]
                )
            )
            for name, each in estimates.items()
        },
    }


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
    for other, each in found.get("domains-0", {}).get("compared", {}).items():
        low, high = each["interval"]
        print(
            f"16 domains: {each['mean']:+.2f} points ({low:+.2f} to {high:+.2f}) over {other}, "
            f"worst {each['worst']:+.1f}"
        )
    for name, each in found.get("variants", {}).items():
        print(f"{name:<14} {each['mean']:+.2f}, worst {each['worst']:+.1f}, {each['worse']} worse")
    for name, each in found.items():
        if name.startswith("affinity-"):
            told = {key: round(value, 2) for key, value in each["rank_correlation"].items()}
            inside = {key: round(value, 2) for key, value in each["within_target"].items()}
            print(f"{name}: rank correlation with leaving one task out {told}; {inside}")
