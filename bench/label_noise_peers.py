"""Peer: cleanlab's scores of given labels, higher for worse; prints JSON."""

import json
import sys
import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from bench.common import request

METHODS = ("self_confidence", "normalized_margin")


def cleanlab_scores(y: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, object]:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    scores = {m: -get_label_quality_scores(y, probabilities, method=m) for m in METHODS}
    # what find_label_issues returns first, and the rest by self-confidence
    issues = find_label_issues(
        y, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1
    )
    flagged = scores["self_confidence"].copy()
    flagged[issues] += 2.0
    return {**{m: s.tolist() for m, s in scores.items()}, "find_label_issues": flagged.tolist()}


def logistic(x: NDArray[np.float32], y: NDArray[np.int64]) -> NDArray[np.float64]:
    head = LogisticRegression(max_iter=200)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return cross_val_predict(head, x, y, cv=folds, method="predict_proba")


def main() -> None:
    asked = request()
    sys.path.append(asked["peer"])
    warnings.simplefilter("ignore")
    case = np.load(asked["path"])
    # labels without a row are left out: cleanlab wants them numbered without a gap
    seen, y = np.unique(case["y"], return_inverse=True)
    same = case["probabilities"][:, seen]
    same /= same.sum(axis=1, keepdims=True)
    found = {f"same_{m}": s for m, s in cleanlab_scores(y, same).items()}
    own = cleanlab_scores(y, logistic(case["vectors"], y))
    print(json.dumps({**found, **{f"logistic_{m}": s for m, s in own.items()}}))


if __name__ == "__main__":
    main()
