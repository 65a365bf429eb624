"""Budgets on FrugalML's own data: four sentiment APIs, their answers, confidences and prices.

Two families of policies are chosen on one half of the rows and measured on the other, at the same
budgets. FrugalML's (Chen, Zaharia and Zou 2020): one API first; below a threshold of its
confidence, one for each label it may have given, another API's answer is taken instead. Its best
policy is found by going through all of them on a grid of 20 quantiles. The ladder, as milepost's
cascades have it: APIs are asked in turn until one is sure, each rung answers from all that was
heard so far, and one threshold holds for all rungs. Both may mix two policies, as FrugalML does.
"""

from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.common import data_folder
from bench.first_to_last_tasks import paired

Row = dict[str, Any]
Array = NDArray[np.float64]
APIS = ("open_source", "amazon", "google", "baidu")
SETS = ("yelp", "imdb", "shop", "waimai")
QUANTILES = 20
BINS = (8, 16, 32)
"""Bins of a confidence; how many is chosen by cross-validation on the training rows."""
BUDGETS = 40


class Rows:
    """Rows of one set: truth, answers and confidences ``(4, n)``, USD per 10,000 of each API."""

    def __init__(self, name: str) -> None:
        import pandas as pd

        folder = data_folder() / "api_frugalml"
        frame = pd.read_parquet(folder / f"{name}.parquet")
        costs = pd.read_csv(folder / "costs.csv").set_index("api")["cost_per_10k_texts_as_stated"]
        self.y = frame["label"].astype(int).to_numpy()
        self.said = np.stack([frame[f"pred_{a}"].astype(int).to_numpy() for a in APIS])
        self.sure = np.stack([frame[f"conf_{a}"].astype(float).to_numpy() for a in APIS])
        self.price = np.array([float(costs[a]) for a in APIS])
        order = np.random.default_rng(0).permutation(len(self.y))
        self.train, self.test = order[: len(order) // 2], order[len(order) // 2 :]


class Outcomes:
    """What ``p`` policies come to on training rows: cost and accuracy, with how to run each."""

    def __init__(self) -> None:
        self.cost: list[Array] = []
        self.accuracy: list[Array] = []
        self.policies: list[tuple[Any, ...]] = []
        self._kept: list[int] = []

    def hull(self) -> list[int]:
        """Policies on the upper concave hull of accuracy over cost, cheapest first."""
        cost, accuracy = np.concatenate(self.cost), np.concatenate(self.accuracy)
        if self._kept:
            return self._kept
        order = np.lexsort((-accuracy, cost))
        kept = self._kept
        for i in order.tolist():
            if kept and accuracy[i] <= accuracy[kept[-1]]:
                continue
            while len(kept) > 1 and _below(cost, accuracy, kept[-2], kept[-1], i):
                kept.pop()
            kept.append(i)
        return kept


def _below(cost: Array, accuracy: Array, first: int, middle: int, last: int) -> bool:
    """Whether the middle point lies on or under the line between the others."""
    run = (cost[last] - cost[first]) * (accuracy[middle] - accuracy[first])
    return bool(run <= (cost[middle] - cost[first]) * (accuracy[last] - accuracy[first]))


def frugal(rows: Rows) -> Outcomes:
    """Every policy of FrugalML's family on the grid."""
    found = Outcomes()
    at = rows.train
    right = rows.said[:, at] == rows.y[at]
    for base in range(len(APIS)):
        options: list[list[tuple[float, float, int, float]]] = []
        for label in (0, 1):
            here = rows.said[base, at] == label
            sure = rows.sure[base, at]
            cuts = np.unique(np.quantile(sure[here], np.linspace(0, 1, QUANTILES + 1)[1:]))
            plain = float(right[base, here].sum())
            each = [(plain, 0.0, base, -np.inf)]
            for cut in cuts.tolist():
                climbs = here & (sure <= cut)
                kept = float(right[base, here & ~climbs].sum())
                for other in range(len(APIS)):
                    if other != base:
                        taken = float(right[other, climbs].sum())
                        spent = float(climbs.sum() * rows.price[other])
                        each.append((kept + taken, spent, other, cut))
            options.append(each)
        hits = np.add.outer([o[0] for o in options[0]], [o[0] for o in options[1]]) / len(at)
        spent = np.add.outer([o[1] for o in options[0]], [o[1] for o in options[1]]) / len(at)
        found.cost.append((spent + rows.price[base]).ravel())
        found.accuracy.append(hits.ravel())
        found.policies += [(base, a[2:], b[2:]) for a in options[0] for b in options[1]]
    return found


def run_frugal(rows: Rows, policy: tuple[Any, ...], at: NDArray[np.int64]) -> tuple[Array, Array]:
    """Where a policy is right and what each row costs, ``(n,)`` both."""
    base, *second = policy
    answer = rows.said[base, at].copy()
    cost = np.full(len(at), rows.price[base])
    for label, (other, cut) in enumerate(second):
        climbs = (rows.said[base, at] == label) & (rows.sure[base, at] <= cut)
        if other != base:
            answer[climbs] = rows.said[other, at][climbs]
            cost[climbs] += rows.price[other]
    return (answer == rows.y[at]).astype(float), cost


class Combined:
    """Probability of label 1 from what any of the APIs said, one logistic model per set of APIs."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.kept: dict[frozenset[int], Array] = {}
        self.bins = min(BINS, key=self._loss)

    def probability(self, apis: frozenset[int]) -> Array:
        """Of all rows, ``(n,)``; fitted on the training rows."""
        if apis not in self.kept:
            features = self._features(sorted(apis), self.bins)
            model = _model().fit(features[self.rows.train], self.rows.y[self.rows.train])
            self.kept[apis] = model.predict_proba(features)[:, 1]
        return self.kept[apis]

    def _loss(self, bins: int) -> float:
        from sklearn.model_selection import cross_val_score

        features = self._features(list(range(len(APIS))), bins)[self.rows.train]
        truth = self.rows.y[self.rows.train]
        return -float(cross_val_score(_model(), features, truth, scoring="neg_log_loss").mean())

    def _features(self, apis: list[int], bins: int) -> Any:
        from sklearn.preprocessing import OneHotEncoder

        cells: list[NDArray[np.int64]] = []
        coarse: list[NDArray[np.int64]] = []
        for api in apis:
            sure, said = self.rows.sure[api], self.rows.said[api]
            at = np.quantile(sure[self.rows.train], np.linspace(0, 1, bins + 1)[1:-1])
            cell = np.digitize(sure, np.unique(at))
            cells.append(2 * cell + said)
            coarse.append(2 * (3 * cell // bins) + said)
        pairs = [10 * a + b for i, a in enumerate(coarse) for b in coarse[i + 1 :]]
        return OneHotEncoder(handle_unknown="ignore").fit_transform(np.stack([*cells, *pairs], 1))


def _model() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1.0, max_iter=500)


def ladders(rows: Rows, combined: Combined) -> Outcomes:
    """Every order of every choice of APIs, at thresholds along the path of each."""
    from milepost.metrics.risk.cascading import path

    found = Outcomes()
    at = rows.train
    for length in range(1, len(APIS) + 1):
        for order in permutations(range(len(APIS)), length):
            sure = _confidence(combined, order)[:-1, at]
            thresholds = path(sure, 60) if length > 1 else np.zeros(1)
            policies = [(order, float(t)) for t in thresholds]
            outcomes = [run_ladder(rows, combined, policy, at) for policy in policies]
            found.cost.append(np.array([cost.mean() for _, cost in outcomes]))
            found.accuracy.append(np.array([right.mean() for right, _ in outcomes]))
            found.policies += policies
    return found


def _confidence(combined: Combined, order: tuple[int, ...]) -> Array:
    heard = [combined.probability(frozenset(order[: i + 1])) for i in range(len(order))]
    return np.stack([np.maximum(p, 1 - p) for p in heard])


def run_ladder(
    rows: Rows, combined: Combined, policy: tuple[Any, ...], at: NDArray[np.int64]
) -> tuple[Array, Array]:
    """Where a ladder is right and what each row costs, ``(n,)`` both."""
    from milepost.metrics.risk.cascading import rungs

    order, threshold = policy
    sure = _confidence(combined, order)[:-1, at]
    rung = rungs(sure, threshold) if len(sure) else np.zeros(len(at), np.int64)
    heard = np.stack(
        [combined.probability(frozenset(order[: i + 1]))[at] for i in range(len(order))]
    )
    answer = heard[rung, np.arange(len(at))] >= 0.5
    cost = np.cumsum(rows.price[list(order)])[rung]
    return (answer == rows.y[at].astype(bool)).astype(float), cost


def mixed(found: Outcomes, budget: float, run: Any) -> tuple[Array, float]:
    """Accuracy of each row and mean cost at a budget, two policies of the hull mixed."""
    hull = found.hull()
    cost = np.concatenate(found.cost)[hull]
    last = int(np.searchsorted(cost, budget, side="right")) - 1
    if last < 0:
        raise ValueError("no policy is this cheap")
    right, spent = run(found.policies[hull[last]])
    if last + 1 < len(hull):
        share = (budget - cost[last]) / (cost[last + 1] - cost[last])
        right2, spent2 = run(found.policies[hull[last + 1]])
        right, spent = right + share * (right2 - right), spent + share * (spent2 - spent)
    return right, float(spent.mean())


def budgets(name: str) -> Row:
    """Both families on one set."""
    rows = Rows(name)
    combined = Combined(rows)
    families: dict[str, tuple[Outcomes, Any]] = {
        "frugalml": (frugal(rows), lambda policy: run_frugal(rows, policy, rows.test)),
        "ladder": (
            ladders(rows, combined),
            lambda policy: run_ladder(rows, combined, policy, rows.test),
        ),
    }
    single = (rows.said[:, rows.test] == rows.y[rows.test]).mean(axis=1)
    best = int(single.argmax())
    top = float(rows.price[best])
    curve: list[Row] = []
    for budget in np.linspace(top / BUDGETS, top, BUDGETS).tolist():
        point: Row = {"budget": budget}
        found = {f: mixed(outcomes, budget, run) for f, (outcomes, run) in families.items()}
        for family, (right, spent) in found.items():
            point[family] = {"accuracy": float(right.mean()), "spent": spent}
        point["difference"] = paired(found["ladder"][0], found["frugalml"][0])
        curve.append(point)
    enough = {
        family: next((p["budget"] for p in curve if p[family]["accuracy"] >= single[best]), None)
        for family in families
    }
    beaten = [p["difference"] for p in curve]
    return {
        "set": name,
        "rows": {"chosen_on": len(rows.train), "measured_on": len(rows.test)},
        "single": dict(zip(APIS, single.tolist(), strict=True)),
        "best_single": {"api": APIS[best], "accuracy": float(single[best]), "usd_per_10k": top},
        "saved_at_its_accuracy": {
            family: None if cost is None else 1 - cost / top for family, cost in enough.items()
        },
        "points_at_its_cost": {
            family: 100 * (curve[-1][family]["accuracy"] - float(single[best]))
            for family in families
        },
        "budgets": len(curve),
        "better_at": int(sum(d["value"] > 0 for d in beaten)),
        "surely_better_at": int(sum(d["low"] > 0 for d in beaten)),
        "surely_worse_at": int(sum(d["high"] < 0 for d in beaten)),
        "mean_points": 100 * float(np.mean([d["value"] for d in beaten])),
        "most_over_budget": max(p["ladder"]["spent"] / p["budget"] - 1 for p in curve),
        "curve": curve,
    }
