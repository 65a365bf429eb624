"""Pairs: records, entailment, groundedness and similarity, beside TF-IDF likenesses by hand.

`er_*`: F1 of `match`, fitted on train and valid, measured on test, as published. `nli_*` and
`groundedness_*`: macro F1 and accuracy. `sts_semeval`: Spearman on 2015 and 2016, fitted on the
years before. **milepost** is what a contest of `head_logistic`, `head_ridge` or `head_trees` would
choose by its own rule on five folds; each is listed too. **By hand** is logistic regression on the
cosines of word and letter TF-IDF, shared words and lengths (linear regression for the score); its
`gain` has a 95 % interval of the paired bootstrap over test pairs.

How to read it: `published` is gpt-4o without examples on the whole test set, from
`reference_results/published_numbers.csv`, not measured here. The encoder is all-MiniLM-L6-v2 (22 M
parameters): it reads each side by itself, so that what has to be read together, as in
`groundedness_*` and `nli_rte`, stays near the floor. `cascade` is worked out, not measured, where
the published number is better: what F1 is to be expected where the pairs that milepost is least
sure of are asked of a model that is right about any pair as often as published (precision and
recall both that F1), and what 1,000 pairs cost then, at gpt-4o's list price, four characters a
token, 60 tokens of instruction and 3 of an answer. `enough` is the smallest share that comes within
a point. That a model is no worse on pairs that are hard for the encoder is the hope of every
cascade; a contest with `cascade` measures it.
"""

import csv
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.common import Options, data_folder, stored
from bench.vectors import frozen_vectors

RECORDS = ("er_beer", "er_fodors_zagats", "er_itunes_amazon", "er_itunes_amazon_dirty",
           "er_amazon_google", "er_abt_buy", "er_dblp_acm")  # fmt: skip
FILES = {
    "nli_sick": (("train", "valid"), "test"),
    "nli_rte": (("train",), "test"),
    "nli_cb": (("train",), "test"),
    "groundedness_wice_oracle": (("valid",), "test"),
    "groundedness_begin": (("valid",), "test_wow"),
    "sts_semeval": (("all",), "all"),
}
FOLDS, SEED, RESAMPLES, LATE = 5, 0, 2000, "2015"
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
USD_IN, USD_OUT, INSTRUCTION, SAID, CHARACTERS = 2.5e-6, 1e-5, 60, 3, 4.0
"""List price of gpt-4o per token (OpenAI, 2025), tokens around a pair, characters of a token."""
Rows = list[dict[str, Any]]


def run(options: Options) -> dict[str, object]:
    """Every set; the smallest when quick."""
    names = ["er_beer"] if options.quick else [*RECORDS, *FILES]
    done: dict[str, object] = {} if options.quick else dict(stored("pairs").get("sets", {}))
    for name in names:
        if not options.only or name in options.only:
            done[name] = measured(name)
    return {"folds": FOLDS, "published": published(), "sets": done}


def published() -> dict[str, float]:
    """F1 of gpt-4o without examples, by set."""
    path = data_folder() / "reference_results" / "published_numbers.csv"
    with path.open() as file:
        rows = list(csv.reader(file))
    return {row[0]: float(row[4]) for row in rows if row[1] == "gpt-4o zero-shot, schema inline"}


def rows_of(name: str) -> tuple[Rows, Rows]:
    """Pairs to fit and to measure on."""
    import pyarrow.parquet as pq

    def read(part: str) -> Rows:
        return pq.read_table(data_folder() / name / f"{part}.parquet").to_pylist()

    if name == "sts_semeval":
        rows = read("all")
        late = [str(row["year"]) >= LATE for row in rows]
        return ([row for row, is_late in zip(rows, late, strict=True) if not is_late],
                [row for row, is_late in zip(rows, late, strict=True) if is_late])  # fmt: skip
    train, test = FILES.get(name, (("train", "valid"), "test"))
    return [row for part in train for row in read(part)], read(test)


class Sides:
    """An encoder that knows the sides of one set and nothing else."""

    name, digest, variant = "held", "0" * 64, "fp32"

    def __init__(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        self._vectors = dict(zip((_side(text) for text in texts), vectors, strict=True))
        self.dimensions = vectors.shape[1]

    def encode(self, texts, progress=None) -> NDArray[np.float32]:
        del progress
        return np.stack([self._vectors[text] for text in texts])


def measured(name: str) -> dict[str, object]:
    """All methods on one set."""
    from milepost.models.pairs import PairEncoder

    train, test = rows_of(name)
    sides = list(dict.fromkeys(str(row[c]) for row in (*train, *test)
                               for c in ("text_a", "text_b")))  # fmt: skip
    encoder = PairEncoder(Sides(sides, frozen_vectors(f"sides_{name}", sides)))
    score = name == "sts_semeval"
    problem, y = _problem(train, encoder, score=score)
    truth = _truth(test, problem.labels, score=score)
    found, chosen = _by_contest(problem, y, _texts(test), name)
    found["by hand"] = by_hand(train, test, problem.labels, score=score)
    values: dict[str, Any] = {each: _measured(name, problem.labels, truth, given)
                              for each, given in found.items()}  # fmt: skip
    gain = _gain(name, problem.labels, truth, (found[chosen], found["by hand"]))
    if 100 * values[chosen]["main"] < published().get(name, 0.0):
        match = list(problem.labels).index("match")
        values["cascade"] = cascade(test, truth == match, found[chosen][:, match],
                                    published()[name] / 100)  # fmt: skip
    print(f"  {name}: {chosen} {values[chosen]['main']:.3f}, by hand "
          f"{values['by hand']['main']:.3f}, gain {gain['value']:+.3f}", flush=True)  # fmt: skip
    return {"train": len(train), "test": len(test), "chosen": chosen, **values, "gain": gain}


def cascade(
    rows: Rows, actual: NDArray[np.bool_], likely: NDArray[np.float32], right: float
) -> dict[str, Any]:
    """Expected F1 and dollars per 1,000 pairs, by the share of pairs that a model is asked about.

    Args:
        rows: The test pairs.
        actual: Which of them match.
        likely: Probability of a match that milepost gives.
        right: Precision and recall of the model.
    """
    unsure = np.argsort(np.abs(likely - 0.5), kind="stable")
    said = (likely > 0.5).astype(np.float64)
    wrongly = right * actual.sum() * (1.0 / right - 1.0) / max(1, int((~actual).sum()))
    told = np.where(actual, right, wrongly)
    tokens = [INSTRUCTION + len(str(row["text_a"]) + str(row["text_b"])) / CHARACTERS
              for row in rows]  # fmt: skip
    dollars = 1000 * (USD_IN * np.array(tokens) + USD_OUT * SAID)
    found: list[dict[str, float]] = []
    for share in SHARES:
        asked = unsure[: round(share * len(rows))]
        answers = said.copy()
        answers[asked] = told[asked]
        f1 = 2.0 * float(answers[actual].sum()) / float(actual.sum() + answers.sum())
        cost = float(dollars[asked].sum()) / len(rows)
        found.append({"share": share, "f1": f1, "usd_per_1000": cost})
    enough = next(each for each in found if each["f1"] >= right - 0.01)
    return {"shares": found, "enough": enough}


def _side(text: str) -> str:
    from milepost.entities.inputs import MARK

    return text.replace(MARK, " ").strip()


def _texts(rows: Rows) -> list[str]:
    from milepost.entities.inputs import MARK

    return [f"{_side(str(row['text_a']))} {MARK} {_side(str(row['text_b']))}" for row in rows]


def _truth(rows: Rows, labels: Sequence[str], *, score: bool) -> NDArray[Any]:
    if score:
        return np.array([float(row["score"]) for row in rows])
    place = {label: at for at, label in enumerate(labels)}
    return np.array([place[row["label"]] for row in rows], np.int64)


def _problem(rows: Rows, encoder, *, score: bool):
    from milepost.entities.kinds import VALUE
    from milepost.strategy import Problem

    labels = (VALUE,) if score else tuple(sorted({row["label"] for row in rows}))
    y = _truth(rows, labels, score=score)
    problem = Problem(
        labels=labels,
        descriptions=("",) * len(labels),
        instruction="",
        kind="score" if score else "match",
        texts=tuple(_texts(rows)),
        y=y,
        encoder=encoder,
        seed=SEED,
    )
    return problem, y


def _by_contest(problem, y: NDArray[Any], texts: list[str], name: str):
    """Answers of each strategy to the test pairs, and whom a contest would choose."""
    from milepost.contests.runner import predict, run
    from milepost.data.duplicates import group_texts
    from milepost.data.splitting.folding import fold_groups
    from milepost.entities.kinds import strata
    from milepost.entities.task import Objective
    from milepost.evaluation.measuring import measure_of
    from milepost.metrics.inference.intervals import Sampling
    from milepost.metrics.inference.selection import Ties, best_by, best_of
    from milepost.metrics.scoring.deciding import decided
    from milepost.metrics.scoring.links import loss_rows
    from milepost.metrics.scoring.measures import Sample
    from milepost.strategies.registry import strategy_named, trust_of

    score = problem.kind == "score"
    names = ["head_ridge"] if score else ["head_logistic", "head_trees"]
    groups = group_texts(problem.texts, 0.8).groups
    folding = fold_groups(groups, strata(problem.kind, y), FOLDS, SEED)
    entries = run(problem, folding, [strategy_named(each) for each in names])
    fitted = {each.strategy: each.fitted for each in entries if each.fitted is not None}
    found = {each: predict(one.predictor, texts, problem.encoder) for each, one in fitted.items()}
    metric = "spearman" if score else "f1:match" if name in RECORDS else "macro_f1"
    out = np.stack([one.out_of_fold for one in fitted.values()])
    ties = Ties(
        losses=np.stack([loss_rows(problem.link, y, each) for each in out]),
        trust=np.array(trust_of(list(fitted)), np.int64),
    )
    measure = measure_of(Objective(metric=metric), problem.labels, data_folder(), kind=problem.kind)
    if measure.read is not None:
        picked = best_by(measure, [Sample(y, each) for each in out], Sampling(seed=SEED), ties)
    else:
        k = len(problem.labels)
        picked = best_of(metric, y, decided(out), k, Sampling(seed=SEED), ties)
    return found, list(fitted)[picked.chosen]


def by_hand(train: Rows, test: Rows, labels: Sequence[str], *, score: bool) -> NDArray[np.float32]:
    """Probabilities, or scores, of logistic (linear) regression on likenesses by TF-IDF."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    said = [str(row[side]) for row in train for side in ("text_a", "text_b")]
    ways = [TfidfVectorizer(ngram_range=(1, 2)), TfidfVectorizer(analyzer="char_wb",
                                                                 ngram_range=(3, 5))]  # fmt: skip
    for way in ways:
        way.fit(said)

    def features(rows: Rows) -> NDArray[np.float64]:
        first, second = ([str(row[side]) for row in rows] for side in ("text_a", "text_b"))
        cosines = [np.asarray(way.transform(first).multiply(way.transform(second)).sum(axis=1))
                   for way in ways]  # fmt: skip
        words = [(set(a.lower().split()), set(b.lower().split()))
                 for a, b in zip(first, second, strict=True)]  # fmt: skip
        shared = [[len(a & b) / max(len(a | b), 1), len(a & b) / max(min(len(a), len(b)), 1),
                   min(len(a), len(b)) / max(len(a), len(b), 1)] for a, b in words]  # fmt: skip
        return np.concatenate([*cosines, np.array(shared)], axis=1)

    y = _truth(train, labels, score=score)
    if score:
        model = make_pipeline(StandardScaler(), LinearRegression()).fit(features(train), y)
        return model.predict(features(test)).astype(np.float32)[:, None]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return model.fit(features(train), y).predict_proba(features(test)).astype(np.float32)


def _measured(
    name: str, labels: Sequence[str], truth: NDArray[Any], given: NDArray[np.float32]
) -> dict[str, float]:
    """The measure that a set is read by, and one more."""
    if name == "sts_semeval":
        from scipy.stats import pearsonr, spearmanr

        return {"main": float(spearmanr(truth, given[:, 0])[0]),
                "pearson": float(pearsonr(truth, given[:, 0])[0])}  # fmt: skip
    answers = given.argmax(axis=1)
    f1 = [_f1(truth == at, answers == at) for at in range(len(labels))]
    main = f1[list(labels).index("match")] if name in RECORDS else float(np.mean(f1))
    return {"main": main, "accuracy": float((truth == answers).mean())}


def _f1(actual: NDArray[np.bool_], said: NDArray[np.bool_]) -> float:
    both = int(actual.sum() + said.sum())
    return 2.0 * int((actual & said).sum()) / both if both else 0.0


def _gain(
    name: str,
    labels: Sequence[str],
    truth: NDArray[Any],
    both: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> dict[str, float]:
    """First less second in the main measure."""
    draws = np.random.default_rng(SEED).integers(0, len(truth), (RESAMPLES, len(truth)))

    def apart(rows: NDArray[np.int64] | slice) -> float:
        one, other = (_measured(name, labels, truth[rows], each[rows])["main"] for each in both)
        return one - other

    low, high = np.quantile([apart(rows) for rows in draws], [0.025, 0.975])
    return {"value": apart(slice(None)), "low": float(low), "high": float(high)}
