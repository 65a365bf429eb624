"""What is guaranteed, as a table whose numbers are read from ``bench/results``.

Adds the directive ``guarantees``. A claim whose benchmark has no result says so; no number is
written by hand.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from from_code import FromCode, table
from sphinx.application import Sphinx

RESULTS = Path(__file__).resolve().parents[2] / "bench" / "results"
Result = Mapping[str, Any]


@dataclass(frozen=True)
class Claim:
    """One thing that milepost prints.

    Attributes:
        printed: Where a reader meets it.
        promise: What is guaranteed.
        if_: What that rests on.
        page: Page that explains it, from this folder.
        bench: Benchmark that shows it; empty where tests do.
        shown: What the benchmark found, in words.
    """

    printed: str
    promise: str
    if_: str
    page: str
    bench: str = ""
    shown: Callable[[Result], str] = lambda _: "a test of the code"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _intervals(found: Result) -> str:
    rows = found.get("coverage") or found["intervals"]
    covered = [float(row["coverage"]) for row in rows]
    return (
        f"held in {_percent(fmean(covered))} of the runs on average, {_percent(min(covered))} in "
        f"the worst of {len(rows)} situations"
    )


def _floor(found: Result) -> str:
    rows = found.get("coverage") or found["intervals"]
    return f"at most {_percent(max(float(row['false_release']) for row in rows))} in any of them"


def _selection(found: Result) -> str:
    worst = max(float(row["false_release"]) for row in found["selection"])
    naive = max(float(row["false_release_uncorrected"]) for row in found["selection"])
    return f"at most {_percent(worst)}; without the correction up to {_percent(naive)}"


def _looks(found: Result) -> str:
    climbs = [row for row in found["peeking"] if row["what"].startswith("hill-climbing")]
    others = [row for row in found["peeking"] if row not in climbs]
    ours, naive = (max(float(row[key]) for row in others) for key in ("spending", "naive"))
    worst = max(float(row["spending"]) for row in climbs)
    return (
        f"{found['looks']} looks: a false release in at most {_percent(ours)} of the runs, up to "
        f"{_percent(naive)} where looks cost nothing; up to {_percent(worst)} for somebody who "
        "climbs on the printed score"
    )


def _leaks(found: Result) -> str:
    rows = [row for row in found["sets"] if row["leaks"]]
    most = max(row["accuracy"]["naive"]["value"] - row["accuracy"]["corrected"]["value"]
               for row in rows)  # fmt: skip
    return (
        f"leaks in {len(rows)} of {len(found['sets'])} published sets; at most "
        f"{100 * most:.1f} points of accuracy came from them"
    )


def _slices(found: Result) -> str:
    told = found["summary"]
    low, high = told["empty_runs_interval"]
    return (
        f"{_percent(told['found_in_top_10'])} of planted slices are in the first ten; of searches "
        f"with nothing to find {_percent(told['empty_runs_with_a_finding'])} "
        f"[{100 * low:.1f}, {100 * high:.1f}] find something"
    )


def _withheld(found: Result) -> str:
    worst, most = found["worst"], _percent(found["delta"])
    return (
        f"bound broken in at most {_percent(worst['risk_violations'])} of {found['repeats']:,} "
        f"draws on any of {len(found['sets'])} sets (allowed: {most})"
    )


def _sets(found: Result) -> str:
    return (
        f"promise broken in at most {_percent(found['worst']['sure_violations'])} of "
        f"{found['repeats']:,} draws on any of {len(found['sets'])} sets"
    )


def _scope(found: Result) -> str:
    here = next(
        value["at_threshold"]
        for key, value in found["sets"]["clinc150"].items()
        if key.startswith("milepost") and value["at_threshold"]["in_scope"]["value"] >= 0.95
    )
    return (
        f"clinc150: {_percent(here['recall']['value'])} of what is out of scope turned away at "
        f"{_percent(here['in_scope']['value'])} accuracy in scope"
    )


def _noise(found: Result) -> str:
    told = []
    for kind, words in (("uniform", "random"), ("similar", "to similar labels")):
        for part, which in (("chosen_on", "nine sets"), ("fresh", "fresh sets")):
            means = found["means"][part][kind]
            peer = max(v for key, v in means.items() if key != "milepost")
            told.append(f"{words}, {which}, {means['milepost']:.3f} against {peer:.3f}")
    return f"average precision, wrong labels {'; '.join(told)} of the best of cleanlab's rankings"


def _privacy(found: Result) -> str:
    least, mean, most = found["nulls_min_mean_max"]["unseen"]["value"]
    return (
        f"with nothing to tell it tells {_percent(mean)} on average ({_percent(least)} to "
        f"{_percent(most)})"
    )


def _forecast(found: Result) -> str:
    rows = {key: row for key, row in found["table"].items() if key.startswith("validation")}
    covered = [float(row["covered_95"]) for row in rows.values()]
    return (
        f"on {len(found['sets']['validation'])} sets not used to set the width, 95 % intervals "
        f"held {_percent(min(covered))} to {_percent(max(covered))}"
    )


def _regret(found: Result) -> str:
    told = found["metrics"]["accuracy"]["rules"]["milepost"]["all"]["regret"]
    return (
        f"{told['mean']:.2f} points of accuracy [{told['low']:.2f}, {told['high']:.2f}] below the "
        f"best in hindsight, {found['contests']} contests on {found['sets']} sets"
    )


CLAIMS = (
    Claim("`accuracy 0.912 [0.88, 0.94]`, on any measure, label or slice",
          "the interval holds the true value in 95 of 100 cases",
          "examples are independent draws of what will come", "intervals", "statistics",
          _intervals),
    Claim("✔ released, on a holdout or a test file",
          "a candidate exactly at the floor is released at most 5 times in 100",
          "the same", "verdict", "statistics", _floor),
    Claim("✔ released, cross-fitted", "the same, though the best of several was chosen on the same "
          "examples", "the same", "verdict", "statistics", _selection),
    Claim("`look 3 of 50`", "at most 5 % for any false release over all looks together",
          "what is tried next was not picked by the printed score",
          "holdout", "peeking", _looks),
    Claim("`Leaks`", "training rows that are also in a test file are left out, and what they would "
          "have made of the number stands beside it",
          "they are near-duplicates by text", "../how-to/splits",
          "leaks", _leaks),
    Claim("`Weak spot`", "at most 5 % for any false one among all slices that were tried",
          "examples are independent draws", "slices",
          "slice_discovery", _slices),
    Claim("`Groups`", "gaps hold for all groups and rates together in 95 of 100 cases",
          "groups are named rightly", "../how-to/fairness"),
    Claim("`Fragile`", "what changes cost holds for all changes together in 95 of 100 cases",
          "inputs change as the built-in changes do", "robustness"),
    Claim("a failed test of behaviour", "each failure is listed with the input; an open test is "
          "never passed silently", "the cases say what you want",
          "../how-to/behaviour"),
    Claim("`abstain`", "of the answers given at most the share you name is wrong, with 95 % "
          "confidence", "inputs like the examples", "knowing", "knowing", _withheld),
    Claim("sets of labels", "a set holds the right label at least as often as it promises",
          "inputs like the examples", "knowing",
          "knowing", _sets),
    Claim("`out_of_scope`", "the share of inputs in scope that you name is kept",
          "inputs in scope like the examples", "knowing",
          "out_of_scope", _scope),
    Claim("`milepost suspects`", "none: a ranking of labels to look at, with what removing them "
          "would do", "", "../how-to/wrong-labels", "label_noise", _noise),
    Claim("`Privacy`", "a lower bound: this attack finds so much, another may find more",
          "the attacker has texts like yours", "privacy",
          "membership", _privacy),
    Claim("`More labels`", "the interval holds the later number in 95 of 100 cases",
          "new labels are like the old ones", "forecast",
          "forecast", _forecast),
    Claim("★, the chosen candidate", "none: it may not be the best", "", "choosing", "regret",
          _regret),
    Claim("`milepost compare`", "a difference is named only where it is shown, over all labels and "
          "slices together", "examples that neither was trained on",
          "../how-to/compare"),
    Claim("`milepost verify TASK N`", "every number of a release comes out the same from its "
          "digests, or is named", "the artifacts are there",
          "../how-to/reproduce"),
)  # fmt: skip


def results_of(folder: Path, name: str) -> Result:
    """What a benchmark measured; older files hold it at the top."""
    path = folder / f"{name}.json"
    if not path.exists():
        return {}
    whole = json.loads(path.read_text())
    return whole.get("results", whole)


def evidence(claim: Claim, folder: Path) -> str:
    """How a claim is shown: in numbers, or that they are still to be measured."""
    if not claim.bench:
        return "tests of the code"
    try:
        return f"{claim.shown(results_of(folder, claim.bench))} (`{claim.bench}`)"
    except (KeyError, TypeError, ValueError, StopIteration):
        return f"not measured yet (`{claim.bench}`)"


def guarantees(folder: Path = RESULTS) -> str:
    """Every claim with its guarantee, its assumption, its page and what the benchmark found."""
    rows = [
        (c.printed, c.promise, c.if_ or "–", f"[]({c.page}.md)", evidence(c, folder))
        for c in CLAIMS
    ]
    head = ("What is printed", "What it promises", "If", "Explained in", "Shown by `bench`")
    return table(head, rows)


class FromBench(FromCode):
    """Parses the Markdown that ``guarantees`` makes."""

    makers = {"guarantees": guarantees}  # noqa: RUF012 — as in the class above
    optional_arguments = 0


def setup(app: Sphinx) -> dict[str, object]:
    """Register the directive."""
    app.add_directive("guarantees", FromBench)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
