"""Labels learned at once and examples forgotten: how long it takes, how exact, what it is worth.

**Update**: one example into a solved head of 100 classes and back to weights, and the largest
difference from a refit after hundreds of changes. **End to end**: `ws.learn` on banking77 with 10
examples per intent, each with a label that was not known, and the changed answer asked for again
with `ws.predict`; the first label of a process, which reads back what the release learned from, is
reported apart. **Forget**: `ws.forget` of one customer of ninety, and the head that answers then
against one fitted without. **Worth**: test accuracy of a 5-shot head after labels learned at once
(shrinkage and temperature as they were), beside a contest's refit on the same rows.

How to read it: targets are 5 ms for an update and 50 ms from a label to the changed answer;
differences have to stay below 1e-6.
"""

import csv
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.common import Options, data_folder, scratch, summary

TARGET_UPDATE_MS, TARGET_ANSWER_MS, TARGET_DIFFERENCE = 5.0, 50.0, 1e-6
CLASSES, DIMENSIONS = 100, 384


def run(options: Options) -> dict[str, object]:
    """All four parts; a tenth of the repeats, and one small set, when quick."""
    parts = {
        "update": _update,
        "end_to_end": _end_to_end,
        "worth": _worth,
    }
    chosen = [name for name in parts if not options.only or name in options.only]
    return {
        "targets": {
            "update_ms": TARGET_UPDATE_MS,
            "answer_ms": TARGET_ANSWER_MS,
            "difference": TARGET_DIFFERENCE,
        },
        **{name: parts[name](options) for name in chosen},
    }


def _update(options: Options) -> dict[str, object]:
    """Updates of a head of 100 classes, one at a time, on vectors of unit length."""
    from milepost.strategies.discriminant import ClassStatistics, Discriminant
    from milepost.strategies.incremental import SolvedDiscriminant

    repeats, rng = (30 if options.quick else 500), np.random.default_rng(0)
    vectors = rng.normal(size=(10 * CLASSES + repeats, DIMENSIONS))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    y = np.resize(np.arange(CLASSES), len(vectors))
    start = 10 * CLASSES
    everything = ClassStatistics.of(vectors[:start], y[:start], CLASSES)
    solved = SolvedDiscriminant.of(everything, 0.5)
    learning: list[float] = []
    forgetting: list[float] = []
    for row in range(start, start + repeats):
        began = time.perf_counter()
        solved = solved.with_example(vectors[row], int(y[row]))
        solved.linear()
        learning.append(1e3 * (time.perf_counter() - began))
    added = everything.add(vectors[start:], y[start:])
    after_learning = _apart(solved, Discriminant(added).linear(0.5))
    for row in range(repeats):
        began = time.perf_counter()
        solved = solved.without_example(vectors[row], int(y[row]))
        solved.linear()
        forgetting.append(1e3 * (time.perf_counter() - began))
    refitted = added.remove(vectors[:repeats], y[:repeats])
    after_forgetting = _apart(solved, Discriminant(refitted).linear(0.5))
    began = time.perf_counter()
    SolvedDiscriminant.of(refitted, 0.5)
    whole = 1e3 * (time.perf_counter() - began)
    found = {
        "classes": CLASSES,
        "dimensions": DIMENSIONS,
        "learn_one_ms": summary(learning),
        "forget_one_ms": summary(forgetting),
        "solve_anew_ms": whole,
        "difference_after_learning": after_learning,
        "difference_after_forgetting": after_forgetting,
    }
    print(
        f"  update: {found['learn_one_ms']['median']:.2f} ms, difference from a refit "  # type: ignore[index]
        f"{max(after_learning, after_forgetting):.1e}"
    )
    return found


def _end_to_end(options: Options) -> dict[str, object]:
    """Labels taught through the Python API, each with its changed answer; then a customer goes."""
    import milepost as mp

    with scratch() as folder:
        texts, labels = _rows("official_train_10", 120 if options.quick else None)
        _write(folder / "bank.csv", texts, labels)
        ws, _, _ = mp.Workspace.from_file(folder / "bank", folder / "bank.csv", task="route")
        ws.improve("route", strategies=["head_closed_form"])
        more, right = _rows("test", None)
        known = set(labels)
        new = [
            pair for pair in zip(more, right, strict=True)
            if pair[1] in known and pair[0] not in set(texts)
        ]  # fmt: skip
        rows = [new[i] for i in np.random.default_rng(0).permutation(len(new))]
        rows = rows[: 8 if options.quick else 100]
        began = time.perf_counter()
        ws.learn("route", *rows[0])
        first = time.perf_counter() - began
        learned: list[float] = []
        answered: list[float] = []
        used: list[float] = []
        changed = followed = 0
        for text, label in rows[1:]:
            began, cpu = time.perf_counter(), time.process_time()
            came = ws.learn("route", text, label)
            used.append(1e3 * (time.process_time() - cpu))
            learned.append(1e3 * (time.perf_counter() - began))
            answer = ws.predict("route", [text]).answers[0]
            answered.append(1e3 * (time.perf_counter() - began))
            followed += came.at_once
            changed += came.before is not None and came.before.label != answer
        print(
            f"  end to end: {np.median(learned):.0f} ms to learn, {np.median(answered):.0f} with "
            f"the answer asked again; first label {first:.2f} s"
        )
        return {
            "examples": len(texts),
            "labels": len(known),
            "first_label_s": first,
            "learn_ms": summary(learned),
            "learn_cpu_ms": summary(used),
            "learn_and_predict_ms": summary(answered),
            "p95_learn_ms": float(np.quantile(learned, 0.95)),
            "followed_at_once": followed,
            "changed_answers": changed,
            "forget": _forget(ws),
        }


def _forget(ws: object) -> dict[str, object]:
    """One customer of ninety: how long, and the head against a refit without."""
    from milepost.strategies.head_closed_form import HeadClosedForm
    from milepost.workflows.learning.heads import learned_from, open_head
    from milepost.workspace import Workspace

    assert isinstance(ws, Workspace)
    context = ws._context
    began = time.perf_counter()
    done = ws.forget("route", where="customer = 'c7'", reason="benchmark")
    seconds = time.perf_counter() - began
    release = context.ledger.release("route", 1)
    head = open_head(context, "route", release)
    _, problem = learned_from(context, release)
    statistics = HeadClosedForm().statistics(problem)
    taught = [each for each in head.known.values() if not each.source]
    statistics = statistics.add(
        np.array([each.vector for each in taught]), np.array([each.truth for each in taught])
    )
    apart = _apart(head.solved, head.solved.of(statistics, head.solved.shrinkage).linear())
    return {"examples": done.examples, "seconds": seconds, "difference_from_refit": apart}


def _worth(options: Options) -> list[dict[str, object]]:
    """Test accuracy after labels learned at once, beside a refit with everything chosen anew."""
    from bench.vectors import load
    from milepost.strategies.discriminant import ClassStatistics, Discriminant
    from milepost.strategies.head_closed_form import HeadClosedForm
    from milepost.strategies.incremental import SolvedDiscriminant

    found: list[dict[str, object]] = []
    head = HeadClosedForm()
    for name in ("trec",) if options.quick else ("banking77", "clinc150", "hwu64", "trec", "sst2"):
        data = load(name)
        k, draws = len(data.labels), (1 if options.quick else 10)
        prior = ClassStatistics.of(data.label_vectors, np.arange(k), k, np.full(k, 2.0))
        for more in (10, 100, 500):
            scores: dict[str, list[float]] = {"before": [], "at_once": [], "refitted": []}
            for seed in range(draws):
                rows = np.random.default_rng(seed).permutation(len(data.y))
                few = np.concatenate([rows[data.y[rows] == label][:5] for label in range(k)])
                taught = np.setdiff1d(rows, few, assume_unique=True)[:more]
                base = prior.add(data.vectors[few], data.y[few])
                shrinkage, _ = head._choose(
                    Discriminant(base), data.vectors[few], data.y[few], seed
                )
                solved = SolvedDiscriminant.of(base, shrinkage)
                scores["before"].append(_accuracy(solved, data.test_vectors, data.test_y))
                for row in taught.tolist():
                    solved = solved.with_example(data.vectors[row], int(data.y[row]))
                scores["at_once"].append(_accuracy(solved, data.test_vectors, data.test_y))
                both = np.concatenate([few, taught])
                anew, _ = head._choose(
                    Discriminant(solved.statistics), data.vectors[both], data.y[both], seed
                )
                refitted = SolvedDiscriminant.of(solved.statistics, anew)
                scores["refitted"].append(_accuracy(refitted, data.test_vectors, data.test_y))
            row = {name: summary(each) for name, each in scores.items()}
            found.append({"set": name, "taught": more, "accuracy": row})
            print(f"  {name} +{more}: " + ", ".join(
                f"{which} {100 * float(each['median']):.1f}" for which, each in row.items()
            ))  # fmt: skip
    return found


def _accuracy(solved: object, vectors: NDArray[np.float32], y: NDArray[np.int64]) -> float:
    from milepost.strategies.incremental import SolvedDiscriminant

    assert isinstance(solved, SolvedDiscriminant)
    coefficients, bias = solved.linear()
    return float(((vectors @ coefficients.T + bias).argmax(axis=1) == y).mean())


def _apart(solved: object, other: Sequence[NDArray[np.float64]]) -> float:
    """Largest difference of weights or biases."""
    from milepost.strategies.incremental import SolvedDiscriminant

    assert isinstance(solved, SolvedDiscriminant)
    pairs = zip(solved.linear(), other, strict=True)
    return max(float(np.abs(one - each).max()) for one, each in pairs)


def _rows(part: str, most: int | None) -> tuple[list[str], list[str]]:
    import pyarrow.parquet as pq

    table = pq.read_table(data_folder() / "banking77" / f"{part}.parquet").to_pydict()
    texts, labels = table["text"], table["label"]
    if most is not None:
        kept = sorted(set(labels))[: most // 10]
        rows = [i for i, label in enumerate(labels) if label in kept]
        texts, labels = [texts[i] for i in rows], [labels[i] for i in rows]
    return texts, labels


def _write(path: Path, texts: Sequence[str], labels: Sequence[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["text", "label", "customer"])
        rows = zip(texts, labels, strict=True)
        out.writerows([text, label, f"c{i % 90}"] for i, (text, label) in enumerate(rows))
