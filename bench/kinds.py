"""Any number of labels, issue reports and stars: what a contest releases, beside simpler ways.

* ``nlupp-DOMAIN-FOLDS``: NLU++, intents of a bank or a hotel, any number of 62 for one message.
  Trained on one or two of its twenty official folds and measured on all the others, a run for each
  of the first folds: some 80 to 210 examples. Micro and macro F1 in percent.
* ``issues``: bug, feature or question, of five repositories with 300 examples each (NLBSE 2024);
  macro F1 per repository on its official test file, and their mean.
* ``stars-100`` and ``stars-400``: SST-5, sentences of film reviews on a scale of 1 to 5, as scores.
  Trained on so many sentences, a run for each of five parts of the training file drawn at random,
  and measured on the official test file: mean absolute error, and agreement (``qwk``). Beside what
  the contest chose by its mean absolute error stand its candidates; lower errors are better.

Beside scores and issues stands ``tuned_encoder``, which takes part where time is given, fitted
once. Beside all but scores, on the same vectors: logistic regression (scikit-learn's, one per label
where any number holds, answered from one half) as it comes and with balanced weights of the labels,
and the balanced one on TF-IDF of words and pairs of words.

How to read it: ``chosen`` counts what the contests chose. A difference is that of the means over
runs; its interval is 95 %, by Student's t over the paired runs, which share most of their test rows
and, of two folds, some of their training rows: it is too narrow for other messages than these.
Issues: published means are those of the challenge, on the same files but with the whole text where
ours stops at 2,000 characters.
What is measured is kept in ``bench/results/kinds.parts``, a file per run, so that a run that was
broken off goes on. ``--only NAME ...`` takes only these and leaves the others as they were.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.common import RESULTS, Options, data_folder, scratch, stored
from bench.vectors import frozen_vectors

RUNS = 10
STARS = ("very negative", "negative", "neutral", "positive", "very positive")
STARS_RUNS = 5
BESIDE = ("majority", "tfidf_linear", "neighbours", "head_ridge", "head_ordinal")
PARTS = RESULTS / "kinds.parts"
PUBLISHED_ISSUES = {"SetFit": 0.824, "RoBERTa": 0.792, "fastText": 0.718}
"""Mean macro F1 of five repositories, from the challenge's repository."""

REPOSITORIES = (
    "facebook/react", "tensorflow/tensorflow", "microsoft/vscode", "bitcoin/bitcoin",
    "opencv/opencv",
)  # fmt: skip

Rows = Sequence[Mapping[str, Any]]
Scores = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Case:
    """One training set with its test rows.

    Attributes:
        name: Of the group that it is a run of.
        run: Which one.
        train: Rows with ``text`` and ``said``: labels, or a label.
        test: Likewise.
        kind: ``multilabel``, ``classify`` or ``score``.
    """

    name: str
    run: str
    train: Rows
    test: Rows
    kind: str = "classify"

    @property
    def several(self) -> bool:
        """Whether any number of labels may hold."""
        return self.kind == "multilabel"


def run(options: Options) -> dict[str, object]:
    """Every case; one run of one domain when quick."""
    found: dict[str, dict[str, Any]] = {}
    with scratch() as folder:
        for case in _cases(options):
            found.setdefault(case.name, {})[case.run] = _kept(case, folder, options)
    groups = {name: _summed(runs) for name, runs in found.items()}
    if options.only and not options.quick:
        before = stored("kinds")
        groups, found = {**before.get("groups", {}), **groups}, {**before.get("runs", {}), **found}
    for name, each in groups.items():
        print(name, json.dumps(each), flush=True)
    return {"groups": groups, "runs": found, "published": {"issues": PUBLISHED_ISSUES}}


def _cases(options: Options) -> list[Case]:
    cases: list[Case] = []
    for domain in ("banking", "hotels"):
        rows = [row for row in _rows("nlupp/all") if row["domain"] == domain]
        for folds in (1, 2):
            for first in range(RUNS):
                inside = {(first + more) % 20 for more in range(folds)}
                given = [{"text": row["text"], "said": row["labels"]} for row in rows]
                train = [g for g, row in zip(given, rows, strict=True) if row["fold"] in inside]
                test = [g for g, row in zip(given, rows, strict=True) if row["fold"] not in inside]
                cases.append(Case(f"nlupp-{domain}-{folds}", str(first), train, test, "multilabel"))
    train, test = _rows("issue_reports_nlbse24/train"), _rows("issue_reports_nlbse24/test")
    for name in REPOSITORIES:
        sides = [
            [{"text": row["text"], "said": row["label"]} for row in side if row["repo"] == name]
            for side in (train, test)
        ]
        cases.append(Case("issues", name, sides[0], sides[1]))
    cases += _stars()
    wanted = [each for each in cases if not options.only or each.name in options.only]
    return wanted[:1] if options.quick else wanted


def _stars() -> list[Case]:
    train, test = (
        [
            {"text": row["text"], "said": 1 + STARS.index(row["label"])}
            for row in _rows(f"sst5/{side}")
        ]
        for side in ("train", "test")
    )
    order = np.random.default_rng(0).permutation(len(train)).tolist()
    cases: list[Case] = []
    for size in (100, 400):
        for run in range(STARS_RUNS):
            drawn = [train[row] for row in order[400 * run : 400 * run + size]]
            cases.append(Case(f"stars-{size}", str(run), drawn, test, "score"))
    return cases


def _rows(name: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return pq.read_table(data_folder() / f"{name}.parquet").to_pylist()


def _kept(case: Case, folder: Path, options: Options) -> dict[str, Any]:
    """The scores of a case as they were kept, or measured and kept now."""
    part = PARTS / f"{case.name}-{case.run.replace('/', '-')}.json"
    if part.is_file() and not options.quick:
        return json.loads(part.read_text())
    found = _measured(case, folder)
    print(case.name, case.run, json.dumps(found), flush=True)
    if not options.quick:
        PARTS.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(found))
    return found


def _measured(case: Case, folder: Path) -> dict[str, Any]:
    ours, chosen = _released(case, folder)
    beside = {} if case.several else _tuned(case)
    if case.kind != "score":
        beside |= _regressions(case)
    return {
        "train": len(case.train),
        "test": len(case.test),
        "chosen": chosen,
        "scores": {name: _scored(case, each) for name, each in {**ours, **beside}.items()},
    }


def _released(case: Case, folder: Path) -> tuple[dict[str, list[Any]], str]:
    """Answers of what a contest with its defaults chooses, and by which strategy.

    Of scores those of its candidates, too.

    All tasks are of one workspace, which keeps the vectors of texts that they share.
    """
    from milepost import Workspace
    from milepost.entities.task import Task, make_objective

    name = f"{case.name}-{case.run}".lower().replace("/", "-")
    file = folder / f"{name}.jsonl"
    rows = [{"text": row["text"], "label": row["said"]} for row in case.train]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    metric = {"multilabel": "micro_f1", "score": "mae"}.get(case.kind, "macro_f1")
    task = Task(name=name, kind=case.kind, objective=make_objective(metric))
    desk = folder / "desk"
    ws = Workspace.open(desk) if desk.exists() else Workspace.create(desk)
    ws.add(task, examples=file)
    contest = ws.improve(name).contest
    best = next(each for each in contest.candidates if each.chosen)
    ids = {"milepost": best.id}
    if case.kind == "score":
        ids |= {each.strategy: each.id for each in contest.candidates if each.strategy in BESIDE}
    texts = [row["text"] for row in case.test]
    found = {way: ws.predict(name, texts, candidate=each) for way, each in ids.items()}
    return {way: list(each.answers) for way, each in found.items()}, best.strategy


def _tuned(case: Case) -> dict[str, list[Any]]:
    """Answers of one fit of ``tuned_encoder``: scores, or one label each."""
    from milepost.entities.kinds import VALUE
    from milepost.models.catalog import EncoderOptions, open_encoder
    from milepost.models.embedded import read_embedded
    from milepost.predictors.reading import batch_for
    from milepost.strategies.tuned_encoder import TunedEncoder
    from milepost.strategy import Problem
    from milepost.workflows.opening import cache_folder

    said = [row["said"] for row in case.train]
    score = case.kind == "score"
    labels = (VALUE,) if score else tuple(sorted({*said}))
    problem = Problem(
        labels=labels,
        descriptions=("",) * len(labels),
        instruction="",
        texts=tuple(row["text"] for row in case.train),
        y=np.array(said, np.float64) if score else np.array([labels.index(each) for each in said]),
        encoder=open_encoder("embedded", cache_folder(), EncoderOptions()),
        weights=read_embedded,
        kind="score" if score else "classify",
    )
    predictor = TunedEncoder().fit(problem)
    texts = tuple(row["text"] for row in case.test)
    found = predictor.predict(batch_for(predictor, texts, problem.encoder)).probabilities
    if score:
        return {"tuned_encoder": [float(each) for each in found[:, 0]]}
    return {"tuned_encoder": [labels[at] for at in found.argmax(axis=1)]}


def _regressions(case: Case) -> dict[str, list[Any]]:
    """Logistic regression on the encoder's vectors, and on TF-IDF."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [[row["text"] for row in side] for side in (case.train, case.test)]
    every = sorted({text for side in texts for text in side})
    known = dict(zip(every, frozen_vectors(f"kinds-{case.name}", every), strict=True))
    vectors = [np.array([known[text] for text in side]) for side in texts]
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    counts = [words.fit_transform(texts[0]), words.transform(texts[1])]
    return {
        "logistic": _fitted(case, vectors),
        "logistic_balanced": _fitted(case, vectors, "balanced"),
        "tfidf_balanced": _fitted(case, counts, "balanced"),
    }


def _fitted(case: Case, features: Sequence[Any], weights: str | None = None) -> list[Any]:
    from sklearn.linear_model import LogisticRegression

    def model() -> LogisticRegression:
        return LogisticRegression(max_iter=1000, class_weight=weights)

    if not case.several:
        fitted = model().fit(features[0], [row["said"] for row in case.train])
        return fitted.predict(features[1]).tolist()
    answers: list[list[str]] = [[] for _ in case.test]
    for label in _labels(case.train):
        held = np.array([label in row["said"] for row in case.train])
        if held.all():
            told = np.ones(len(case.test), np.bool_)
        else:
            told = model().fit(features[0], held).predict(features[1])
        for row in np.flatnonzero(told).tolist():
            answers[row].append(label)
    return answers


def _labels(rows: Rows) -> list[str]:
    return sorted({label for row in rows for label in row["said"]})


def _scored(case: Case, answers: Sequence[Any]) -> dict[str, float]:
    return _f1(case, answers) if case.kind != "score" else _agreement(case, answers)


def _agreement(case: Case, answers: Sequence[Any]) -> dict[str, float]:
    truth = np.array([row["said"] for row in case.test], np.float64)
    given = np.array([float(each) for each in answers])
    apart = float(((truth - given) ** 2).mean())
    together = 2.0 * float(((truth - truth.mean()) * (given - given.mean())).mean())
    return {"mae": float(np.abs(truth - given).mean()), "qwk": together / (apart + together)}


def _f1(case: Case, answers: Sequence[Any]) -> dict[str, float]:
    from sklearn.metrics import f1_score

    if not case.several:
        truth = [row["said"] for row in case.test]
        given = [each or "" for each in answers]
        labels = sorted({*truth})
        return {
            "macro_f1": 100.0 * float(f1_score(truth, given, labels=labels, average="macro")),
        }
    # Labels that no training row has count as missed; all that the test names are averaged.
    labels = _labels([*case.train, *case.test])
    actual, held = _table([row["said"] for row in case.test], labels), _table(answers, labels)
    seen = actual.any(axis=0)
    scored: Callable[..., Any] = f1_score
    return {
        "micro_f1": 100.0 * float(scored(actual, held, average="micro", zero_division=0)),
        "macro_f1": 100.0
        * float(scored(actual[:, seen], held[:, seen], average="macro", zero_division=0)),
    }


def _table(sets: Sequence[Any], labels: Sequence[str]) -> NDArray[np.int64]:
    return np.array([[label in (each or ()) for label in labels] for each in sets], np.int64)


def _summed(runs: Mapping[str, Any]) -> dict[str, Any]:
    """Means over runs, and differences to the others with their intervals."""
    from scipy.stats import t

    each: dict[str, dict[str, NDArray[np.float64]]] = {}
    for found in runs.values():
        for way, scores in found["scores"].items():
            for metric, value in scores.items():
                values = each.setdefault(metric, {}).setdefault(way, np.zeros(0))
                each[metric][way] = np.append(values, value)
    out: dict[str, Any] = {
        "runs": len(runs),
        "train": float(np.median([found["train"] for found in runs.values()])),
        "chosen": dict(Counter(found["chosen"] for found in runs.values())),
    }
    for metric, ways in each.items():
        said: dict[str, Any] = {}
        for way, values in ways.items():
            said[way] = {
                "mean": float(values.mean()),
                "median": float(np.median(values)),
                "spread": [float(values.min()), float(values.max())],
            }
            apart = ways["milepost"] - values
            if way != "milepost" and len(values) > 1:
                half = float(t.ppf(0.975, len(values) - 1) * apart.std(ddof=1))
                half /= float(np.sqrt(len(values)))
                mean = float(apart.mean())
                said[way]["gain"] = {"mean": mean, "low": mean - half, "high": mean + half}
        out[metric] = said
    return out
