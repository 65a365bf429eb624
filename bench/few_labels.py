"""Few labels: the tuned encoder beside logistic regression, the frozen heads and SetFit.

All use the same encoder, all-MiniLM-L6-v2, and see the same examples and label names.

* ``official``: 5 and 10 examples per label of banking77, clinc150 and hwu64, as published; the
  seeds differ in the fit alone.
* ``eight``: 8 examples per label of CR, emotion, AG News, SST-2 and SST-5, a draw per seed. SetFit
  runs here, in an environment of its own, with its defaults (one epoch of its contrastive pairs).
* ``unlabeled``: the same draws; ``tuned_unlabeled`` has up to 1,200 other inputs of the training
  file, without their labels, which SetFit has no use for.
* ``shots``: 4 to 64 examples per label and all of them, of hwu64 and snips, beside what AutoIntent
  publishes for the same encoder; its draws are not known, so that only ours have an interval.
* ``full``: every example of banking77, hwu64 and snips; the time of the fit is beside it.
* ``scope``: clinc150 with inputs out of scope; in-domain accuracy, and how many of those out of
  scope are turned away.

How to read it: accuracy in percent on the test file, the mean over seeds; a difference is paired by
test row, and its interval is a 95 % percentile bootstrap that draws seeds and, within each, rows.
``fit_s`` is the wall time of one final fit. SetFit takes minutes a fit and has fewer draws: it is
compared on those that both have. ``--only PART ...`` takes only these parts or sets; the others
stay as they were measured. What is measured is kept in ``bench/results/few_labels.parts``, one file
per set, seed and way, so that a run that was broken off goes on.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.common import Options, stored
from bench.few_labels_fits import UNLABELED, Case, answers_of

SEEDS, FEW_SEEDS, FULL_SEEDS = 3, 3, 1
PEER_SEEDS = 2
RESAMPLES = 2000
EIGHT = ("cr", "emotion", "ag_news_test_split", "sst2", "sst5")
TARGETS = {
    "banking77-5": 83.8, "banking77-10": 88.4, "clinc150-5": 90.3, "clinc150-10": 92.5,
    "hwu64-5": 80.9, "hwu64-10": 85.7, "banking77-full": 93.3, "hwu64-full": 91.2,
    "snips-full": 98.0,
}  # fmt: skip
"""Accuracy that the tuned encoder has to reach."""
AUTOINTENT = {
    "hwu64": {"4": 75.9, "8": 81.5, "16": 84.1, "32": 86.2, "64": 88.0, "full": 88.1},
    "snips": {"4": 81.4, "8": 89.9, "16": 93.9, "32": 94.5, "64": 95.1, "full": 97.4},
}
"""Published accuracy of AutoIntent with the same encoder."""
HEADS = ("logistic", "head_closed_form", "head_logistic", "tuned_encoder")


def cases(options: Options) -> list[Case]:
    """What is measured, cheap parts first; one set of two parts when quick."""
    found = [
        *(Case("eight", name, "8", SEEDS, (*HEADS, "setfit")) for name in EIGHT),
        *(Case("unlabeled", name, "8", SEEDS, ("tuned_encoder", UNLABELED)) for name in EIGHT),
        *(
            Case("official", name, shots, FEW_SEEDS, HEADS)
            for name in ("hwu64", "banking77", "clinc150")
            for shots in ("5", "10")
        ),
        *(
            Case("shots", name, shots, FULL_SEEDS, HEADS)
            for name in AUTOINTENT
            for shots in ("4", "8", "16", "32", "64")
        ),
        *(
            Case("full", name, "full", FULL_SEEDS, HEADS)
            for name in ("snips", "hwu64", "banking77")
        ),
        Case("scope", "clinc150", "full", FULL_SEEDS, ("head_logistic", "tuned_encoder")),
    ]
    if options.only:
        return [each for each in found if {each.part, each.set, each.name} & {*options.only}]
    if options.quick:
        return [Case("eight", "cr", "8", 1, HEADS), Case("official", "hwu64", "5", 1, HEADS)]
    return found


def run(options: Options) -> dict[str, object]:
    """Every case, every seed, every way."""
    results: dict[str, dict[str, Any]] = {}
    if not options.quick and options.only:
        results = dict(stored("few_labels").get("parts", {}))
    for case in cases(options):
        row = _row(case, options)
        results.setdefault(case.part, {})[case.name] = row
        shown = "  ".join(f"{way} {each['accuracy']:.1f}" for way, each in row["ways"].items())
        print(f"{case.part:<9}{case.name:<22}{shown}", flush=True)
        for other, each in row["tuned_minus"].items():
            low, high = each["interval"]
            print(f"{'':<9}  tuned less {other}: {each['points']:+.1f} ({low:+.1f} to {high:+.1f})")
    eight = results.get("eight", {})
    beside = [row for row in eight.values() if "setfit" in row["ways"]]
    over = float(np.mean([_lead(row) for row in beside])) if beside else None
    return {
        "parts": results,
        "targets": TARGETS,
        "over_setfit": {"sets": len(beside), "tuned_encoder": over},
    }


def _lead(row: dict[str, Any]) -> float:
    """Points of accuracy over SetFit, on the draws of both."""
    return row["tuned_minus"]["setfit"]["points"]


def _row(case: Case, options: Options) -> dict[str, Any]:
    """Means of each way, and paired differences to the tuned encoder."""
    right: dict[str, list[NDArray[np.float64]]] = {}
    more: dict[str, list[dict[str, float]]] = {}
    gone: dict[str, str] = {}
    for way in case.ways:
        for seed in range(min(case.seeds, PEER_SEEDS) if way == "setfit" else case.seeds):
            found = answers_of(case, seed, way, keep=not options.quick)
            if "unavailable" in found:
                gone[way] = str(found["unavailable"])
                break
            right.setdefault(way, []).append(np.array(found["right"], np.float64))
            more.setdefault(way, []).append(found["more"])
    tuned = right.get("tuned_encoder", [])
    ways = {
        way: {
            "n": len(each),
            "accuracy": 100 * float(np.mean([one.mean() for one in each])),
            "sd_over_seeds": 100 * float(np.std([one.mean() for one in each])),
            **{key: float(np.median([one[key] for one in more[way]])) for key in more[way][0]},
        }
        for way, each in right.items()
    }
    published = AUTOINTENT.get(case.set, {}).get(case.shots) if case.part != "official" else None
    return {
        "test": len(tuned[0]) if tuned else 0,
        "ways": ways,
        "unavailable": gone,
        "target": TARGETS.get(case.name),
        "autointent_published": published,
        "tuned_minus": {
            way: _difference(tuned, each) for way, each in right.items() if way != "tuned_encoder"
        },
    }


def _difference(
    ours: Sequence[NDArray[np.float64]], theirs: Sequence[NDArray[np.float64]]
) -> dict[str, Any]:
    """Points and their interval, paired by seed and row, over the seeds of both."""
    gaps = [100 * (mine - other) for mine, other in zip(ours, theirs, strict=False)]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        seeds = rng.integers(0, len(gaps), len(gaps))
        drawn.append(np.mean([rng.choice(gaps[s], len(gaps[s])).mean() for s in seeds]))
    return {
        "seeds": len(gaps),
        "points": float(np.mean([gap.mean() for gap in gaps])),
        "interval": [float(each) for each in np.quantile(drawn, (0.025, 0.975))],
    }
