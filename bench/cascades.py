"""Cascades with a promise: how often it is broken, and how much climbs, beside LOTUS 1.2.

How to read it. `grid`: pools of 2,000 items with a proxy of some strength and a base rate, about a
tenth of them labelled. `filter` asks for a recall and precision of 0.9 each with 95 % confidence,
which is what LOTUS promises; `lotus` is its shipped code in an environment of its own, on the same
pools. `violations` is the share of pools on which either fell short, `calls` the mean number of
items that somebody was asked about, labels included; `ratio` compares calls where LOTUS keeps its
promise (no more violations than 5 % by chance, exact binomial). `answers` promises instead that at
most a tenth of what the proxy answers by itself is wrong.

`sets`: real data. The strategy `cascade`, as a contest runs it, on 500 labelled examples, people as
the last rung: `violations` is the share of draws on which more than `at_most_wrong` of what it
answers among the remaining 2,000 and more is wrong, `answered` the mean share of those, `refused`
the share of draws in which nothing was promised. A hundred fits with ten draws of certifying
examples each. `bets`: a tenth wrong, counted exactly and by betting, and a promised mean cost.
`middle`: a language model as a middle rung (`bench/cascades_middle.py`). `stratified`: labels drawn
by strata (`bench/cascades_stratified.py`). `cross_fitted`, on four sets, is what is not done:
thresholds from answers out of fold to all 500 examples, and rungs fitted on all of them.
"""

import json
import tempfile
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.cascades_grid import DELTA, LABELLED, RATES, STRENGTHS, TARGET, pool
from bench.cascades_middle import POPULATIONS, measured
from bench.cascades_stratified import compared
from bench.common import ROOT, ChildFailedError, Options, child, data_folder

SETS = (
    "banking77", "hwu64", "snips", "trec", "sst2", "cr", "subj", "emotion", "sms_spam",
    "tweeteval_irony", "mr", "ag_news_test_split",
)  # fmt: skip
CROSSED = ("subj", "snips", "sst2", "sms_spam")
RISKS = (0.05, 0.1)
BETS = ("sms_spam", "subj")
COSTS = np.array([[0.0, 1.0], [4.0, 0.0]])
"""Of promises about costs: to take the second label for the first is four times as bad."""

REPEATS = 1000
LOTUS_REPEATS = 100
"""Its thresholds take a tenth of a second each."""

ROWS, EXAMPLES, LONGEST = 3000, 500, 400
DRAWS_PER_FIT = 10
CROSSED_REPEATS = 200
FOLDS = 5
PARTS = Path(tempfile.gettempdir()) / "milepost-bench-cascades"
"""What a run that was broken off has of each part; the next one goes on from there."""


def run(options: Options) -> dict[str, object]:
    """Grid and sets; two of either with few repeats when quick."""
    PARTS.mkdir(exist_ok=True)
    strengths = dict(list(STRENGTHS.items())[2:3]) if options.quick else STRENGTHS
    rates = RATES[3:] if options.quick else RATES
    grid = {
        f"{name} {rate:g}": _cell(name, rate, options)
        for name in strengths
        for rate in rates
        if not options.only or "grid" in options.only
    }
    names = [name for name in SETS if not options.only or name in options.only]
    sets = {name: _set(name, options) for name in (names[6:8] if options.quick else names)}
    few = 20 if options.quick else REPEATS
    bets = {
        name: _kept(f"bets-{name}", options, partial(_bets, name, few))
        for name in (BETS[:1] if options.quick else BETS)
        if not options.only or "bets" in options.only
    }
    middle = {
        name: _kept(f"middle-{name}", options, partial(measured, name, few))
        for name in (list(POPULATIONS)[:1] if options.quick else POPULATIONS)
        if not options.only or "middle" in options.only
    }
    return {
        "repeats": REPEATS,
        "delta": DELTA,
        "grid": grid,
        "sets": sets,
        "bets": bets,
        "middle": middle,
        "stratified": _kept("stratified", options, lambda: compared(quick=options.quick)),
        "worst": _worst(grid, sets),
    }


def _kept(name: str, options: Options, make: Any) -> Any:
    """What was measured before, or is now."""
    part = PARTS / f"{name}.json"
    if part.exists() and not options.quick:
        return json.loads(part.read_text())
    made = make()
    if not options.quick:
        part.write_text(json.dumps(made))
    return made


def _cell(name: str, rate: float, options: Options) -> dict[str, Any]:
    strength, repeats = STRENGTHS[name], 20 if options.quick else REPEATS
    own = _kept(f"own-{rate}-{name}", options, lambda: _own(rate, strength, repeats))
    found: dict[str, Any] = dict(own)
    asked = {"rate": rate, "strength": strength, "repeats": 5 if options.quick else LOTUS_REPEATS}
    lotus = _kept(f"lotus-{rate:g}-{strength:g}", options, lambda: _lotus(asked))
    if lotus:
        found["lotus"] = _summary([(r < TARGET or p < TARGET, c) for r, p, c in lotus])
        if _valid(found["lotus"]):
            found["ratio"] = found["filter"]["calls"] / found["lotus"]["calls"]
    print(f"{name} {rate:g}: {json.dumps(found)}", flush=True)
    return found


def _own(rate: float, strength: float, repeats: int) -> dict[str, Any]:
    from milepost.metrics.risk.pools import answer_pool, filter_pool

    ways: dict[str, list[tuple[bool, int]]] = {"filter": [], "answers": []}
    for repeat in range(repeats):
        chance, actual = pool(rate, strength, repeat)
        labels = int(LABELLED * len(actual))

        def ask(rows: Any, actual: Any = actual) -> Any:
            return actual[rows]

        done = filter_pool(chance, ask, labels, (TARGET, TARGET), DELTA, repeat)
        right = int((done.answers & actual).sum())
        short = right < TARGET * actual.sum() or right < TARGET * done.answers.sum()
        ways["filter"].append((bool(short), done.calls))
        done = answer_pool(chance, ask, labels, 1.0 - TARGET, DELTA, repeat)
        left = ~done.asked
        wrong = int((done.answers != actual)[left].sum())
        ways["answers"].append((wrong > (1.0 - TARGET) * left.sum(), done.calls))
    return {way: _summary(rows) for way, rows in ways.items()}


def _lotus(asked: dict[str, Any]) -> list[Any]:
    """Empty where its environment cannot be made."""
    from bench.load.environments import UnavailableError, python

    try:
        command = [python("lotus"), "-m", "bench.cascades_peers", json.dumps(asked)]
        done = child(command, env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    except (UnavailableError, ChildFailedError) as error:
        print(f"without LOTUS: {error}")
        return []
    return json.loads(done.out)


def _summary(rows: list[tuple[bool, int]]) -> dict[str, Any]:
    return {
        "n": len(rows),
        "violations": float(np.mean([short for short, _ in rows])),
        "calls": float(np.mean([calls for _, calls in rows])),
    }


def _valid(found: dict[str, Any]) -> bool:
    return _by_chance(found["violations"], found["n"]) > 0.05


def _by_chance(violations: float, n: int) -> float:
    """Chance of so many violations or more where one in twenty is allowed."""
    from scipy.special import bdtrc

    count = round(violations * n)
    return 1.0 if count == 0 else float(bdtrc(count - 1, n, DELTA))


class _Held:
    """An encoder that knows the vectors of a set's texts, which are called by their numbers."""

    dimensions = 384
    digest = name = variant = "held"

    def __init__(self, vectors: Any) -> None:
        self._vectors = vectors

    def encode(self, texts: Any, progress: Any = None) -> Any:
        return self._vectors[[int(text) for text in texts]]


def _vectors(name: str) -> tuple[Any, Any, Any]:
    """Vectors and labels of at most ``ROWS`` different texts; encoded once."""
    part = PARTS / f"vectors-{name}.npz"
    if not part.exists():
        import pyarrow.parquet as pq

        from milepost.models.catalog import open_encoder
        from milepost.workflows.opening import cache_folder

        files = [data_folder() / name / f"{stem}.parquet" for stem in ("train", "train_pool")]
        table = pq.read_table(next(f for f in files if f.exists())).to_pydict()
        once = dict(zip(table["text"], table["label"], strict=True))
        rows = [(text, str(label)) for text, label in once.items() if text and label is not None]
        order = np.random.default_rng(0).permutation(len(rows))[:ROWS]
        texts, names = zip(*(rows[i] for i in order.tolist()), strict=True)
        labels, y = np.unique(names, return_inverse=True)
        vectors = open_encoder("embedded", cache_folder()).encode([t[:LONGEST] for t in texts])
        np.savez(part, v=vectors, y=y, labels=labels)
    held = np.load(part, allow_pickle=True)
    return held["v"].astype(np.float32), held["y"].astype(np.int64), held["labels"]


def _set(name: str, options: Options) -> dict[str, Any]:
    found = _kept(f"set-{name}", options, lambda: _measured(name, 20 if options.quick else REPEATS))
    if name in CROSSED:
        repeats = 5 if options.quick else CROSSED_REPEATS
        found["cross_fitted"] = _kept(f"crossed-{name}", options, lambda: _crossed(name, repeats))
    print(f"{name}: {json.dumps(found)}", flush=True)
    return found


def _problem(name: str) -> tuple[Any, Any]:
    """The set as a problem whose texts are numbers, with the cheapest head that is worth it."""
    from milepost.strategies.head_closed_form import HeadClosedForm
    from milepost.strategy import Problem

    vectors, y, labels = _vectors(name)
    texts = tuple(str(i) for i in range(len(y)))
    # Names of labels play no part: they are numbers too, of a vector that says nothing.
    names = tuple(f"{i:05d}" for i in range(len(y), len(y) + len(labels)))
    nothing = np.full((len(labels), vectors.shape[1]), vectors.mean(), np.float32)
    held = _Held(np.concatenate([vectors, nothing]))
    head = HeadClosedForm(shrinkages=(2.0,), left_out=100, label_weight=0.01)
    empty = ("",) * len(names)
    return head, Problem(names, empty, "", texts, y, held)


def _measured(name: str, repeats: int, rules: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The strategy on many draws; a fit is used for several draws of what certifies."""
    from dataclasses import replace

    from milepost.entities.prompts import CascadeRule
    from milepost.metrics.risk.costs import Costs
    from milepost.predictors.base import Batch, softmax
    from milepost.strategies.cascading.cascade import Cascade
    from milepost.strategies.cascading.rungs import CERTIFIED_BY
    from milepost.strategy import Contender, DeclinedError

    head, whole = _problem(name)
    everything = Batch(whole.texts, whole.encoder.encode(whole.texts))
    fitting = round(EXAMPLES * (1.0 - CERTIFIED_BY))
    fold_of = np.concatenate(
        [np.arange(fitting) % 3, 3 + np.arange(EXAMPLES - fitting) % 2]
    ).astype(np.int64)
    if rules is None:
        rules = {f"{risk:g}": CascadeRule(at_most_wrong=risk, last="person") for risk in RISKS}
    whole = replace(whole, costs=COSTS if len(whole.labels) == len(COSTS) else None)
    rows: dict[str, list[tuple[bool, float, bool]]] = {key: [] for key in rules}
    for fit in range(max(repeats // DRAWS_PER_FIT, 1)):
        rng = np.random.default_rng([7, fit])
        order = rng.permutation(len(whole.y))
        ours, others = order[:fitting], order[fitting:]
        trained = whole.take(ours)

        @cache
        def fitted(key: bytes, trained: Any = trained) -> Any:
            return head.fit(trained.take(np.frombuffer(key, np.int64)))

        probabilities: dict[float, Any] = {}
        for _ in range(DRAWS_PER_FIT):
            others = rng.permutation(others)
            certifying, rest = others[: EXAMPLES - fitting], others[EXAMPLES - fitting :]
            drawn = whole.take(np.concatenate([ours, certifying]))
            contender = Contender(
                strategy="head",
                predictor=fitted(np.arange(fitting).tobytes()),
                out_of_fold=np.zeros((EXAMPLES, len(whole.labels)), np.float32),
                micro_usd_per_1k=120.0,
                p50_ms=10.0,
                refit=lambda rows, fitted=fitted: fitted(rows.tobytes()),
            )
            for key, rule in rules.items():
                try:
                    made, _ = Cascade().combine(replace(drawn, cascade=rule), fold_of, [contender])
                except DeclinedError:
                    rows[key].append((False, 0.0, True))
                    continue
                rung = made.rungs[0]
                if rung.temperature not in probabilities:
                    logits = rung.logits(everything) / rung.temperature
                    probabilities[rung.temperature] = softmax(logits)
                p = probabilities[rung.temperature][rest]
                given = p.max(axis=1).astype(np.float64) >= made.threshold
                actual, said = whole.y[rest][given], p.argmax(axis=1)[given]
                lost, limit = (said != actual).astype(np.float64), rule.at_most_wrong
                if rule.at_most_cost is not None:
                    lost, limit = Costs(COSTS).of(actual, said), rule.at_most_cost
                rows[key].append((bool(lost.sum() > limit * given.sum()), given.mean(), False))
    return {
        key: {
            "n": len(each),
            "violations": float(np.mean([broken for broken, _, _ in each])),
            "answered": float(np.mean([share for _, share, _ in each])),
            "refused": float(np.mean([refused for _, _, refused in each])),
        }
        for key, each in rows.items()
    }


def _bets(name: str, repeats: int) -> dict[str, Any]:
    """The same promise by betting and by counting, and a promised mean cost, on two labels."""
    from milepost.entities.prompts import CascadeRule

    rules = {
        "counted": CascadeRule(at_most_wrong=0.1, last="person"),
        "bet": CascadeRule(at_most_wrong=0.1, bound="betting", last="person"),
        "cost": CascadeRule(at_most_cost=0.3, last="person"),
    }
    return _measured(name, repeats, rules)


def _crossed(name: str, repeats: int) -> dict[str, Any]:
    """Thresholds on out-of-fold answers, rungs fitted on everything: what is not done."""
    from milepost.metrics.risk.cascading import Ladder, Limit, certified, path, start, tally
    from milepost.metrics.scoring.calibration import fit_temperature
    from milepost.predictors.base import Batch, softmax

    head, whole = _problem(name)
    rows: dict[float, list[tuple[bool, float]]] = {risk: [] for risk in RISKS}
    for repeat in range(repeats):
        order = np.random.default_rng([8, repeat]).permutation(len(whole.y))
        ours, rest = order[:EXAMPLES], order[EXAMPLES:]
        drawn, folds = whole.take(ours), np.arange(EXAMPLES) % FOLDS
        logits = np.zeros((EXAMPLES, len(whole.labels)))
        for fold, each in enumerate(head.fit_folds(drawn, folds)):
            inside = np.flatnonzero(folds == fold)
            texts = tuple(drawn.texts[i] for i in inside)
            logits[inside] = each.logits(Batch(texts, whole.encoder.encode(texts)))
        temperature = fit_temperature(logits, drawn.y)
        p = softmax(logits / temperature)
        ladder = Ladder(p.max(axis=1)[None].astype(np.float64), (p.argmax(axis=1) == drawn.y)[None])
        thresholds = path(ladder.confidence)
        found = tally(ladder, thresholds)
        texts = tuple(whole.texts[i] for i in rest)
        final = head.fit(drawn).logits(Batch(texts, whole.encoder.encode(texts)))
        p = softmax(final / temperature)
        for risk in RISKS:
            limit = Limit(risk)
            at = certified(found, limit, DELTA, start(found, limit, EXAMPLES))
            if at is None:
                rows[risk].append((False, 0.0))
                continue
            given = p.max(axis=1) >= thresholds[at]
            wrong = (p.argmax(axis=1) != whole.y[rest])[given]
            rows[risk].append((bool(wrong.sum() > risk * given.sum()), float(given.mean())))
    return {
        f"{risk:g}": {
            "n": len(each),
            "violations": float(np.mean([broken for broken, _ in each])),
            "answered": float(np.mean([share for _, share in each])),
        }
        for risk, each in rows.items()
    }


def _worst(grid: dict[str, Any], sets: dict[str, Any]) -> dict[str, Any]:
    """The most violations, and how many shares are beyond chance (exact binomial, Holm)."""
    from milepost.metrics.inference.multiplicity import holm

    ours = [cell[way] for cell in grid.values() for way in ("filter", "answers")]
    real = [row[f"{risk:g}"] for row in sets.values() for risk in RISKS]
    p_values = np.array([_by_chance(each["violations"], each["n"]) for each in (*ours, *real)])
    lotus = [cell["lotus"] for cell in grid.values() if "lotus" in cell]
    ratios = [cell["ratio"] for cell in grid.values() if "ratio" in cell]
    return {
        "grid_violations": max((each["violations"] for each in ours), default=None),
        "set_violations": max((each["violations"] for each in real), default=None),
        "shares": len(p_values),
        "beyond_chance": int((np.asarray(holm(p_values)) <= 0.05).sum()) if len(p_values) else 0,
        "lotus_violations": max((each["violations"] for each in lotus), default=None),
        "lotus_misses": sum(not _valid(each) for each in lotus),
        "lotus_cells": len(lotus),
        "largest_ratio": max(ratios, default=None),
        "ratios": len(ratios),
    }
