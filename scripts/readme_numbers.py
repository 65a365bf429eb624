"""Writes the block of measured numbers in README.md from bench/results/*.json.

``python scripts/readme_numbers.py`` rewrites it, ``--check`` only says whether it is current. A
result that is missing, or that lacks what a row needs, has no row; nothing is made up.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
SETS = {
    "banking77-5": "banking77, 77 intents, 5 examples each",
    "banking77-10": "banking77, 77 intents, 10 examples each",
    "clinc150-5": "clinc150 (in-domain), 150 intents, 5 examples each",
    "clinc150-10": "clinc150 (in-domain), 150 intents, 10 examples each",
    "hwu64-5": "hwu64, 64 intents, 5 examples each",
    "hwu64-10": "hwu64, 64 intents, 10 examples each",
    "sst2-8": "sst2, 8 examples per class, mean of {draws} draws",
    "cr-8": "cr, 8 examples per class, mean of {draws} draws",
}
Result = Mapping[str, Any]


def render(folder: Path) -> str:
    """Markdown of all results in ``folder``; empty where there are none."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    parts = [
        quality(found),
        trained(found),
        last_mile(found),
        speed(found),
        served(found),
        statistics(found),
        judge(found),
        provenance(found),
    ]
    return "\n\n".join(part for part in parts if part)


def results(found: Mapping[str, Result], name: str) -> Result:
    """What a benchmark measured; older files hold it at the top."""
    whole = found.get(name, {})
    inner = whole.get("results", whole)
    return inner if isinstance(inner, Mapping) else {}


def rows_of(makers: Mapping[str, Callable[[], str]]) -> Iterator[tuple[str, str]]:
    """Rows whose numbers are there."""
    for what, make in makers.items():
        try:
            yield what, make()
        except (KeyError, TypeError, ValueError):
            continue


def quality(found: Mapping[str, Result]) -> str:
    """Accuracy of the chosen candidate on test files that the contest did not see."""
    splits = results(found, "quality").get("splits", {})
    lines = []
    for name, split in splits.items():
        try:
            numbers = [split[key] for key in ("accuracy", "by_hand_minilm", "by_hand_tfidf")]
            shown = " | ".join(f"{100 * number:.1f}" for number in numbers)
            row = f"| {SETS.get(name, name).format_map(split)} | {shown} | {split['ece']:.3f} |"
        except (KeyError, TypeError):
            continue
        lines.append(row)
    if not lines:
        return ""
    head = (
        "Test accuracy in per cent of what `improve` chose, beside logistic regression written by "
        "hand on the same encoder's vectors and on TF-IDF; the last column is its calibration "
        "error (ECE).\n\n"
        "| data | milepost | by hand | TF-IDF by hand | ECE |\n|---|---|---|---|---|"
    )
    return "\n".join([head, *lines])


def trained(found: Mapping[str, Result]) -> str:
    """Accuracy of the tuned encoder on test files, beside heads on the frozen one and SetFit."""
    ways = ("tuned_encoder", "head_logistic", "logistic", "setfit")
    lines = []
    for part in results(found, "few_labels").get("parts", {}).values():
        for name, row in part.items():
            told = row.get("ways", {})
            if "tuned_encoder" not in told:
                continue
            shown = [f"{told[way]['accuracy']:.1f}" if way in told else "–" for way in ways]
            draws = f"{told['tuned_encoder']['n']}"
            if "setfit" in told:
                draws += f", SetFit {told['setfit']['n']}"
            seconds = told["tuned_encoder"]["fit_s"]
            lines.append(f"| {name} | {' | '.join(shown)} | {draws} | {seconds:.0f} s |")
    if not lines:
        return ""
    head = (
        "The encoder tuned on a task's few labels, test accuracy in per cent, mean over fits or "
        "draws; the number behind a set is that of examples per label. Beside it heads on the "
        "frozen encoder and SetFit, run with the same encoder on the same examples; the time is "
        "that of one fit.\n\n"
        "| data | tuned encoder | frozen, with label names | frozen, by hand | SetFit | n | fit |\n"
        "|---|---|---|---|---|---|---|"
    )
    return "\n".join([head, *lines])


def last_mile(found: Mapping[str, Result]) -> str:
    """What many tasks, students and migrations came to."""

    def draws() -> list[Any]:
        told = results(found, "multitask")
        return [each["tested"] for name, each in told.items() if name.startswith("small-")]

    def together() -> str:
        runs = draws()
        gain = fmean(run["mean_gain_after_gate"] for run in runs)
        worst = min(run["worst_after_gate"] for run in runs)
        many = "1 draw" if len(runs) == 1 else f"{len(runs)} draws"
        tasks = f"{runs[0]['tasks']} tasks, {many}"
        return f"{gain:+.1f} points on average, worst {worst:+.1f}: {tasks}"

    def over_choice() -> str:
        runs = [run["over_own_choice"] for run in draws()]
        gain, worst = fmean(run["mean"] for run in runs), min(run["worst"] for run in runs)
        return f"{gain:+.1f} points on average, worst {worst:+.1f}"

    def domains() -> str:
        told = results(found, "multitask")["domains-0"]["compared"]
        shown = (
            f"{told[way]['mean']:+.1f} over {name}, worst {told[way]['worst']:+.1f}"
            for way, name in (
                ("head_logistic", "the frozen encoder"),
                ("tuned_encoder", "one tuned for each"),
            )
        )
        return "; ".join(shown)

    def student() -> str:
        told = results(found, "students")["reached"]["student"]
        return (
            f"{told['within_3_points']} of {told['sets']} sets within 3 points, "
            f"{told['mean_loss']:.1f} lost on average, {told['median_times_int8']:.0f} times the "
            "texts per second of the INT8 encoder"
        )

    def migrated() -> str:
        told = results(found, "migrate")
        each = told["each"]
        return f"{each['wall_s']:.0f} s, {each['verdicts']} verdicts, {each['moved']} moved"

    def learned() -> str:
        told = results(found, "incremental")["end_to_end"]["learn_and_predict_ms"]
        return f"{told['median']:.0f} ms, median of {told['n']}"

    makers = {
        "small tasks tuned together, against the best alone out of fold": together,
        "the same, against what each contest would choose without it": over_choice,
        "reviews of 16 domains tuned together": domains,
        "static students of a head, in 1 thread": student,
        "100 tasks to another encoder, `milepost migrate`": migrated,
        "one label to a changed answer, in Python": learned,
    }
    rows = [f"| {what} | {number} |" for what, number in rows_of(makers)]
    return "\n".join(["| training | measured |", "|---|---|", *rows]) if rows else ""


def speed(found: Mapping[str, Result]) -> str:
    """Time and memory."""
    improve = results(found, "improve_speed")
    start = results(found, "start")
    data = results(found, "data")
    many = results(found, "many_tasks")

    def median(source: Result, part: str, key: str) -> float:
        return float(source["times"][part][key]["median"])

    def improved(part: str) -> str:
        wall, cpu = median(improve, part, "wall_s"), median(improve, part, "cpu_s")
        return f"{wall:.1f} s ({cpu:.1f} CPU s, {median(improve, part, 'peak_mib'):,.0f} MiB)"

    # A figure without its number of shots would not say what was measured.
    task = f"banking77, {improve.get('shots', '?')} examples per intent"
    makers = {
        f"`improve` on {task}, no vector cached": lambda: improved("improve_cold"),
        "the same, vectors cached": lambda: improved("improve_warm"),
        "by hand: sentence-transformers, two classifiers, five folds": lambda: improved("by_hand"),
        "`init --from` on {:,} rows of CSV".format(data.get("rows", 0)): lambda: (
            f"{median(data, 'init', 'wall_s'):.1f} s, {median(data, 'init', 'peak_mib'):,.0f} MiB"
        ),
        "first of {tasks} tasks over the same {texts:,} texts, encoder included".format_map(
            {"tasks": 0, "texts": 0, **many}
        ): lambda: f"{many['first_total_s']:.1f} s",
        "each later one: look up vectors, fit the closed-form head": lambda: (
            f"{many['lookup_s']['median'] + many['fit_s']['median']:.2f} s"
        ),
        "`import milepost`": lambda: (
            f"{1000 * median(start, 'import milepost', 'cpu_s'):.0f} ms of CPU"
        ),
    }
    rows = [f"| {what} | {number} |" for what, number in rows_of(makers)]
    return "\n".join(["| time | median |", "|---|---|", *rows]) if rows else ""


def served(found: Mapping[str, Result]) -> str:
    """Servers side by side."""
    measured = results(found, "serving")
    systems = measured.get("systems", {})
    names = {
        "milepost": "`milepost serve`, 100 tasks, INT8, every answer recorded",
        "milepost_fp32": "the same on fp32",
        "ray_throughput": "Ray Serve, HAProxy and throughput mode, dynamic INT8",
        "infinity_int8": "Infinity, dynamic INT8, vectors only",
        "mlflow": "MLflow's model server, 1 task",
        "fastapi": "FastAPI + sentence-transformers, 1 task",
    }

    def row(name: str) -> str:
        one, many = systems[name]["closed_1"], systems[name]["closed_64"]
        rates = f"{one['rps']['median']:,.0f} | {many['rps']['median']:,.0f}"
        p99, cpu = many["p99_ms"]["median"], many["cpu_ms"]["median"]
        return f"{rates} | {p99:,.0f} ms | {cpu:.1f} ms | {systems[name]['pss_mib']['median']:,.0f}"

    rows = [
        f"| {what} | {numbers} |"
        for what, numbers in rows_of({v: lambda k=k: row(k) for k, v in names.items()})
    ]
    if not rows:
        return ""
    head = (
        "Requests per second on two cores that the load generator shares, one text of 12 tokens "
        "each, none sent twice:\n\n"
        "| server | 1 client | 64 clients | p99 of 64 | CPU per request | memory, MiB |\n"
        "|---|---|---|---|---|---|"
    )
    return "\n".join([head, *rows])


def statistics(found: Mapping[str, Result]) -> str:
    """Simulated coverage and false releases."""
    simulated = results(found, "statistics")

    def over(study: str, key: str) -> list[float]:
        return [float(row[key]) for row in simulated[study]]

    def spread(study: str, key: str, worst: Callable[[list[float]], float]) -> str:
        values = over(study, key)
        mean = f"mean {100 * fmean(values):.1f} %, worst {100 * worst(values):.1f} %"
        return f"{mean} of {len(values)} situations"

    makers = {
        "a 95 % interval holds the true value": lambda: spread("intervals", "coverage", min),
        "released on a holdout though quality is only at the floor": lambda: spread(
            "intervals", "false_release", max
        ),
        "the same, cross-fitted, best of six": lambda: spread("selection", "false_release", max),
        "the same without the correction for choosing": lambda: spread(
            "selection", "false_release_uncorrected", max
        ),
    }
    rows = [f"| {what} | {number} |" for what, number in rows_of(makers)]
    return "\n".join(["| simulated | how often |", "|---|---|", *rows]) if rows else ""


def judge(found: Mapping[str, Result]) -> str:
    """What benchmarks that try to break the judgement found, on real sets or by simulation."""

    def looks() -> str:
        told = results(found, "peeking")
        rows = [row for row in told["peeking"] if not row["what"].startswith("hill-climbing")]
        paid, free = (100 * max(row[key] for row in rows) for key in ("spending", "naive"))
        return f"{paid:.1f} % of runs at most; {free:.0f} % where looks cost nothing"

    def slices() -> str:
        told = results(found, "slice_discovery")["summary"]
        share, false = (100 * told[key] for key in ("found_in_top_10", "empty_runs_with_a_finding"))
        return f"{share:.1f} % in the first ten; {false:.1f} % of searches find one where none is"

    def sets() -> str:
        told = results(found, "knowing")
        worst = 100 * told["worst"]["sure_violations"]
        return (
            f"{worst:.1f} % of {told['repeats']:,} draws on the worst of {len(told['sets'])} sets"
        )

    def scope() -> str:
        told = results(found, "out_of_scope")["sets"]["clinc150"]["threshold from validation"]
        recall, right = (100 * told["at_threshold"][key]["value"] for key in ("recall", "in_scope"))
        return f"{recall:.1f} % turned away, {right:.1f} % of those in scope answered right"

    def noise() -> str:
        told = []
        for part in ("chosen_on", "fresh"):
            means = results(found, "label_noise")["means"][part]["uniform"]
            peer = max(value for key, value in means.items() if key != "milepost")
            told.append(f"{means['milepost']:.3f} (cleanlab's best {peer:.3f})")
        return f"average precision {told[0]} on nine sets, {told[1]} on two fresh ones"

    def regret() -> str:
        told = results(found, "regret")
        mean = told["metrics"]["accuracy"]["rules"]["milepost"]["all"]["regret"]["mean"]
        return f"{mean:.2f} points of accuracy, {told['contests']} contests on {told['sets']} sets"

    def scorecard() -> str:
        told = results(found, "scorecard_speed")
        times = [each["wall_s"]["median"] for each in told["milepost"].values()]
        return f"{min(times):.2f} to {max(times):.2f} s by metric"

    makers = {
        "any false release in 50 looks at the same holdout": looks,
        "planted failing slices that are found": slices,
        "sets of labels that cover less than promised": sets,
        "clinc150, messages out of scope": scope,
        "a tenth of the labels replaced at random": noise,
        "chosen candidate below the best in hindsight": regret,
        "scorecard of 10,000 answers with 50 slices": scorecard,
    }
    rows = [f"| {what} | {number} |" for what, number in rows_of(makers)]
    return "\n".join(["| the judge | measured |", "|---|---|", *rows]) if rows else ""


def provenance(found: Mapping[str, Result]) -> str:
    """On what machine the numbers were measured."""
    machines = {
        f"{m['cpu']}, {m['cores']} cores, {m['memory_gib']:g} GiB"
        for m in (result.get("machine") for result in found.values())
        if isinstance(m, Mapping) and {"cpu", "cores", "memory_gib"} <= set(m)
    }
    disturbed = sorted(name for name, result in found.items() if result.get("disturbed"))
    said = [f"Measured on: {'; '.join(sorted(machines))}."] if machines else []
    if disturbed:
        said.append(f"The machine was shared while measuring: {', '.join(disturbed)}.")
    said += (
        [
            "`make bench` repeats the times, `python -m bench NAME` any of the rest; "
            "all numbers are in `bench/results`."
        ]
        if found
        else []
    )
    return " ".join(said)


def with_block(readme: str, block: str) -> str:
    """README with the block between the marks replaced.

    Raises:
        ValueError: If the marks are not there exactly once, in order.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise ValueError(f"README.md needs {BEGIN} and {END} once each, in this order.")
    inner = f"\n{block}\n" if block else "\n"
    return f"{before}{BEGIN}{inner}{END}{after}"


def main(arguments: list[str]) -> int:
    """Rewrite or check; 1 when the check fails."""
    path = ROOT / "README.md"
    now = path.read_text()
    wanted = with_block(now, render(ROOT / "bench" / "results"))
    if now == wanted:
        return 0
    if "--check" in arguments:
        print("README.md is not current: run python scripts/readme_numbers.py")
        return 1
    path.write_text(wanted)
    print("README.md: measured numbers rewritten.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
