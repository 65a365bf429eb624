"""Students beside their teacher and the INT8 encoder on real sets: accuracy, speed and size.

On each set a logistic head on the fp32 encoder is fitted on up to 1,000 labelled texts of the
training file and teaches the others on these and on up to 5,000 further texts of that file whose
labels nobody sees. All answer up to 1,000 test texts. ``loss`` is the points of accuracy that a
student loses against its teacher (below 0: gains), with a 95 % interval of paired resamples of the
test texts. ``rate`` is texts per second of one thread's processor time, tokenising included, in
batches of 64 of the set's own test texts, median of rounds in which all take turns; ``times_int8``
is it over that of the INT8 encoder with its head. ``mb`` is what must be on the disk to answer
(10^6 bytes): of the teacher and of INT8 the whole encoder.

Each set's numbers are kept in ``bench/results/students.parts``, so that a run that was broken off
goes on; ``--only SET ...`` takes only these sets. The picture beside the result shows per set who
is not both slower and worse than another one.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import ROOT, Options, data_folder, summary

SETS = (
    "trec", "sst2", "cr", "mr", "subj", "emotion", "sms_spam", "ag_news_test_split", "snips",
    "banking77", "hwu64", "clinc150", "tweeteval_offensive", "tweeteval_irony",
)  # fmt: skip
WITH_ENCODER = ("sst2", "trec", "cr", "subj")
"""Sets on which a shallower encoder is taught, too, which takes minutes."""
WITH_VARIANTS = ("trec", "cr")
"""Of these those on which other sizes of it are measured."""
LABELLED, UNLABELLED, TEST = 1000, 5000, 1000
QUICK = (150, 150, 150)
RESAMPLES = 2000
BATCH, ROUNDS = 64, 5
PARTS = ROOT / "bench" / "results" / "students.parts"
MOST_LOSS, LEAST_TIMES = 3.0, 20.0

Answer = Callable[[Sequence[str]], Any]


def run(options: Options) -> dict[str, object]:
    """All sets; two small ones when quick."""
    names = options.only or (("trec", "cr") if options.quick else SETS)
    found: dict[str, Any] = {}
    for name in names:
        part = PARTS / f"{name}.json"
        if part.exists() and not options.quick:
            found[name] = json.loads(part.read_text(encoding="utf-8"))
        else:
            found[name] = _set(name, QUICK if options.quick else (LABELLED, UNLABELLED, TEST))
            if not options.quick:
                PARTS.mkdir(parents=True, exist_ok=True)
                part.write_text(json.dumps(found[name], indent=1), encoding="utf-8")
        _print(name, found[name])
    if not options.quick:
        from bench.students_chart import draw

        draw(found, ROOT / "bench" / "results" / "students.svg")
    return {"sets": found, "reached": _reached(found)}


def _set(name: str, sizes: tuple[int, int, int]) -> dict[str, Any]:
    from milepost.models.catalog import EncoderOptions, open_encoder
    from milepost.strategies.head_logistic import HeadLogistic
    from milepost.strategies.student import Student
    from milepost.strategies.student_encoder import StudentEncoder
    from milepost.workflows.opening import cache_folder

    slow, fast = (
        open_encoder("embedded", cache_folder(), EncoderOptions(variant=variant, threads=1))
        for variant in ("fp32", "int8")
    )
    problem, test, truth = _problem(name, sizes, slow)
    teacher, seconds = _timed(lambda: HeadLogistic().fit(problem))
    taught, telling = _timed(lambda: _taught(problem, teacher))
    systems: dict[str, tuple[Answer, float, float]] = {
        "teacher": (_reading(teacher, slow), _megabytes(slow.directory, teacher), seconds),
        "int8": (_reading(teacher, fast), _megabytes(fast.directory, teacher), seconds),
    }
    students: dict[str, Any] = {"student": Student()}
    if name in WITH_ENCODER:
        students["student_encoder"] = StudentEncoder()
    if name in WITH_VARIANTS:
        students["student_encoder fp32"] = StudentEncoder(numbers="fp32")
        students["student_encoder 2 layers"] = StudentEncoder(layers=2)
    for label, strategy in students.items():
        made, took = _timed(lambda strategy=strategy: strategy.learned(problem, taught))
        systems[label] = (_reading(made, None), _megabytes(None, made), took + telling)
    rates = _rates({label: each[0] for label, each in systems.items()}, test)
    right = {label: each[0](test).argmax(axis=1) == truth for label, each in systems.items()}
    return {
        "labels": len(problem.labels),
        "labelled": len(problem.texts),
        "unlabelled": len(problem.unlabeled),
        "test": len(test),
        "tokens": float(np.mean([len(ids) for ids in slow.trunk.tokenise(test)])),
        "systems": {
            label: {
                "accuracy": float(right[label].mean()),
                **_loss(right["teacher"], right[label]),
                "rate": rates[label],
                "times_int8": rates[label]["median"] / rates["int8"]["median"],
                "mb": megabytes,
                "seconds": took,
            }
            for label, (_, megabytes, took) in systems.items()
        },
    }


def _problem(name: str, sizes: tuple[int, int, int], encoder: Any) -> tuple[Any, list[str], Any]:
    """The labelled and further texts as a problem, and the test texts with their labels."""
    import pyarrow.parquet as pq

    from milepost.models.embedded import read_embedded
    from milepost.strategy import Problem

    folder = data_folder() / name
    stem = "train" if (folder / "train.parquet").exists() else "train_pool"
    rng = np.random.default_rng(0)

    def read(part: str) -> list[tuple[str, str]]:
        table = pq.read_table(folder / f"{part}.parquet", columns=["text", "label"])
        rows = list(zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True))
        return [rows[i] for i in rng.permutation(len(rows)).tolist()]

    test = read("test")
    said = {text for text, _ in test}
    train = [row for row in dict.fromkeys(read(stem)) if row[0] not in said]
    labelled, more = train[: sizes[0]], train[sizes[0] : sizes[0] + sizes[1]]
    labels = tuple(sorted({label for _, label in labelled}))
    test = [row for row in test if row[1] in labels][: sizes[2]]
    problem = Problem(
        labels=labels,
        descriptions=("",) * len(labels),
        instruction="",
        texts=tuple(text for text, _ in labelled),
        y=np.array([labels.index(label) for _, label in labelled], np.int64),
        encoder=_Kept(encoder),
        unlabeled=tuple(text for text, _ in more),
        weights=read_embedded,
    )
    return problem, [text for text, _ in test], np.array([labels.index(y) for _, y in test])


class _Kept:
    """An encoder that keeps what it encoded in memory, as the workspace's does on the disk."""

    def __init__(self, inner: Any) -> None:
        self.inner, self._found = inner, dict[str, Any]()
        self.name, self.digest, self.variant = inner.name, inner.digest, inner.variant
        self.dimensions = inner.dimensions

    def encode(self, texts: Sequence[str], progress: object = None) -> Any:
        new = [text for text in dict.fromkeys(texts) if text not in self._found]
        self._found.update(zip(new, self.inner.encode(new), strict=True) if new else ())
        return np.stack([self._found[text] for text in texts])


def _taught(problem: Any, teacher: Any) -> Any:
    from milepost.strategies.distilling.teaching import Lessons, inputs_of, told_by
    from milepost.strategy import Contender

    even = np.full((len(problem.texts), len(problem.labels)), 1 / len(problem.labels), np.float32)
    contender = Contender(
        strategy="head_logistic",
        predictor=teacher,
        out_of_fold=even,
        micro_usd_per_1k=0.0,
        p50_ms=0.0,
    )
    lessons = Lessons()
    rows = np.arange(len(problem.texts))
    return told_by(
        problem, contender, teacher, rows, inputs_of(problem, contender, lessons), lessons
    )


def _reading(predictor: Any, encoder: Any) -> Answer:
    from milepost.predictors.base import Batch

    def answer(texts: Sequence[str]) -> Any:
        vectors = None if encoder is None else encoder.encode(texts)
        return predictor.logits(Batch(tuple(texts), vectors))

    return answer


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def _megabytes(directory: Path | None, predictor: Any) -> float:
    own = sum(array.nbytes for array in predictor.arrays().values())
    own += len(json.dumps(predictor.parameters()).encode())
    files = [] if directory is None else [file for file in directory.iterdir() if file.is_file()]
    return (own + sum(file.stat().st_size for file in files)) / 1e6


def _rates(systems: Mapping[str, Answer], texts: list[str]) -> dict[str, Any]:
    """Texts per second of processor time; all take turns, fast ones do a turn more often."""
    took: dict[str, list[float]] = {label: [] for label in systems}
    batches = [texts[i : i + BATCH] for i in range(0, min(len(texts), 4 * BATCH), BATCH)]
    for answer in systems.values():
        answer(batches[0])
    for _ in range(ROUNDS):
        for label, answer in systems.items():
            times = 20 if label == "student" else 1
            started = time.thread_time()
            for _ in range(times):
                for batch in batches:
                    answer(batch)
            done = times * sum(map(len, batches))
            took[label].append(done / (time.thread_time() - started))
    return {label: summary(each) for label, each in took.items()}


def _loss(teacher: Any, student: Any) -> dict[str, float]:
    differences = 100.0 * (teacher.astype(float) - student.astype(float))
    rng = np.random.default_rng(0)
    n = len(differences)
    means = [differences[rng.integers(0, n, n)].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return {"loss": float(differences.mean()), "low": float(low), "high": float(high)}


def _reached(found: Mapping[str, Any]) -> dict[str, Any]:
    """On how many sets each student is within the aim, of those that it was measured on."""
    of_label: dict[str, list[Mapping[str, Any]]] = {}
    for each in found.values():
        for label, system in each["systems"].items():
            if label != "teacher":
                of_label.setdefault(label, []).append(system)
    return {
        label: {
            "sets": len(every),
            "within_3_points": sum(each["loss"] <= MOST_LOSS for each in every),
            "20_times_int8": sum(each["times_int8"] >= LEAST_TIMES for each in every),
            "mean_loss": float(np.mean([each["loss"] for each in every])),
            "median_times_int8": float(np.median([each["times_int8"] for each in every])),
        }
        for label, every in of_label.items()
    }


def _print(name: str, found: Mapping[str, Any]) -> None:
    print(
        f"\n{name}: {found['labelled']} labelled, {found['unlabelled']} not, {found['test']} test"
    )
    for label, each in found["systems"].items():
        print(
            f"  {label:<26}{100 * each['accuracy']:>6.1f}  loss {each['loss']:>5.1f} "
            f"[{each['low']:.1f}, {each['high']:.1f}]  {each['rate']['median']:>8,.0f}/s  "
            f"{each['times_int8']:>5.1f}x  {each['mb']:>6.1f} MB  {each['seconds']:>5.0f} s",
            flush=True,
        )
