"""From a first prompt to a last mile: specialists and cascades beside recorded language models.

Recorded answers stand for the prompt: twelve tasks of social science that up to 13 models answered
(Ziems et al. 2023), gold headlines with FrugalGPT's published results, four sets of sentiment APIs
(FrugalML) and questions that Mixtral and GPT-4 answered (RouteLLM). Against each stands what
milepost learns from labelled rows: alone, and as the first rung of a cascade whose last rung is the
large model. How the numbers come about is said in ``first_to_last_tasks`` (tasks),
``first_to_last_apis`` (budgets) and ``first_to_last_routing`` (routing).

How to read it: ``fewer_large_calls`` is the share of inputs that never reach the large model, with
a threshold that was set on other rows so that nothing is lost; ``cascade_minus_large`` says with a
95 % interval what was lost or won. ``arrives`` says whether a task gets from first mile to last: at
least 15 times fewer errors than the prompt, or at least 100 times cheaper while no worse on the
rows. Prices are assumptions, each with date and source; a specialist costs its CPU seconds at
0.04 USD an hour, and its labels are not in it: ``milepost advise`` counts those.
"""

import json
from typing import Any

import numpy as np

from bench.common import RESULTS, Load, Options, data_folder
from bench.first_to_last_apis import SETS, budgets
from bench.first_to_last_data import PRICES, headlines, names, recorded
from bench.first_to_last_routing import USD_PER_MILLION, routed
from bench.first_to_last_tasks import CPU_USD_PER_HOUR, first_to_last, held, specialist

Row = dict[str, Any]
PARTS = RESULTS / "first_to_last.parts"
GPT_4_TURBO = {"accuracy": 0.8558, "usd_per_1k": 16.652775 / 5}
FRUGAL_GPT = {"accuracy": 0.8780, "usd_per_1k": 0.365}
"""Test part of 5,000 headlines: the authors' summary of 2024, ``published_summaries.csv``."""


def run(options: Options) -> dict[str, object]:
    """Every part; what a run that was broken off had measured is not measured again."""
    tasks = [n for n in names() if not options.only or n in options.only]
    apis, routes = list(SETS), ["mmlu", "gsm8k"]
    if options.quick:
        tasks, apis, routes = ["flute"], ["waimai"], ["gsm8k"]
    elif options.only:
        apis = [n for n in apis if n in options.only]
        routes = [n for n in routes if n in options.only]
    found: dict[str, dict[str, Row]] = {"tasks": {}, "apis": {}, "routing": {}}
    for kind, wanted, measure in (
        ("tasks", tasks, lambda name: _arrival(first_to_last(recorded(name)))),
        ("apis", apis, budgets),
        ("routing", routes, routed),
    ):
        for name in wanted:
            found[kind][name] = _kept(kind, name, measure, keep=not options.quick)
            print(_line(kind, found[kind][name]), flush=True)
    if not options.quick and (not options.only or "headlines" in options.only):
        found["tasks"]["headlines"] = _kept("tasks", "headlines", lambda _: _headlines(), keep=True)
        print(_line("tasks", found["tasks"]["headlines"]), flush=True)
    left_out = [n for n in names() if n not in found["tasks"]]
    result = {
        "assumed_prices": _prices(), **found, **_overall(found), "not_measured": left_out,
    }  # fmt: skip
    if not options.quick and not options.only:
        from bench.first_to_last_charts import draw

        draw(result, RESULTS / "first_to_last.svg")
    return result


def _kept(kind: str, name: str, measure: Any, *, keep: bool) -> Row:
    path = PARTS / f"{kind}-{name}.json"
    if keep and path.exists():
        return json.loads(path.read_text())
    load = Load()
    row = {**measure(name), "other_cpu_share": load.share}
    if keep:
        PARTS.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(row, default=float))
    return row


def _headlines() -> Row:
    """Gold headlines: 5,000 to learn from, 5,000 to measure on, results of others as published."""
    import time

    train, labels, test, truth = headlines(data_folder() / "frugalgpt_headlines")
    names_ = tuple(sorted(set(labels)))
    y = np.array([names_.index(label) for label in labels], np.int64)
    wanted = np.array([names_.index(label) for label in truth], np.int64)
    encoder = held([*train, *test, *names_])
    strategy, _, chances = specialist(names_, train, y, test, encoder)
    right = chances.argmax(axis=1) == wanted
    from milepost.models.catalog import EncoderOptions, open_encoder
    from milepost.workflows.opening import cache_folder

    bare = open_encoder("embedded", cache_folder(), EncoderOptions(threads=1))
    started = time.process_time()
    for text in test[:100]:
        bare.encode([text])
    cpu = (time.process_time() - started) / 100
    cheap = 1000 * cpu / 3600 * CPU_USD_PER_HOUR
    accuracy = float(right.mean())
    half = 1.96 * float(right.std(ddof=1)) / np.sqrt(len(right))
    low, high = accuracy - half, accuracy + half
    other = GPT_4_TURBO["accuracy"]
    # The published answers are not known row by row: the intervals of both are added up.
    wide = 1.96 * float(np.sqrt(right.var(ddof=1) / len(right) + other * (1 - other) / len(right)))
    return _arrival(
        {
            "task": "headlines",
            "rows": len(test),
            "labels": len(names_),
            "majority": float(np.bincount(wanted).max() / len(wanted)),
            "taught_on": len(train),
            "specialist": strategy,
            "large": "gpt-4-turbo (published)",
            "large_accuracy": other,
            "best_recorded": {"model": "FrugalGPT (published)", **FRUGAL_GPT},
            "specialist_accuracy": accuracy,
            "specialist_interval": [low, high],
            "specialist_minus_large": {
                "value": accuracy - other, "low": accuracy - other - wide,
                "high": accuracy - other + wide,
            },
            "cascade_accuracy": accuracy,
            "cascade_minus_large": {
                "value": accuracy - other, "low": accuracy - other - wide,
                "high": accuracy - other + wide,
            },
            "fewer_large_calls": 1.0,
            "fewer_errors": (1 - other) / (1 - accuracy),
            "large_usd_per_1k": GPT_4_TURBO["usd_per_1k"],
            "specialist_cpu_seconds_per_1k": 1000 * cpu,
            "specialist_usd_per_1k": cheap,
            "cheaper": GPT_4_TURBO["usd_per_1k"] / cheap,
            "reason": "",
        }
    )  # fmt: skip


def _arrival(row: Row) -> Row:
    """Whether a task gets from first mile to last, how, and why not."""
    won = row["specialist_minus_large"]
    ways: list[str] = []
    if row["fewer_errors"] >= 15:
        ways.append("15 times fewer errors")
    if row["cheaper"] >= 100 and won["value"] >= 0:
        ways.append("100 times cheaper at no worse accuracy")
    calls = row["fewer_large_calls"] >= 0.8 and row["cascade_minus_large"]["value"] >= 0
    reason = row["reason"]
    if not ways and not reason:
        reason = (
            f"{row['taught_on']} labelled rows are too few: the specialist is right in "
            f"{row['specialist_accuracy']:.0%}, the prompt in {row['large_accuracy']:.0%}."
        )
    return {
        **row,
        "arrives": ways,
        "surely_no_worse": bool(won["low"] >= 0),
        "eighty_percent_fewer_calls": bool(calls),
        "learnable": bool(won["value"] >= 0),
        "reason": "" if ways else reason,
    }


def _overall(found: dict[str, dict[str, Row]]) -> Row:
    tasks = found["tasks"].values()
    learnable = [row for row in tasks if row["learnable"]]
    return {
        "arrived": [row["task"] for row in tasks if row["arrives"]],
        "surely_no_worse": [
            row["task"] for row in tasks if row["arrives"] and row["surely_no_worse"]
        ],
        "eighty_percent_fewer_calls": {
            "of_learnable": len(learnable),
            "tasks": [row["task"] for row in learnable if row["eighty_percent_fewer_calls"]],
        },
        "cannot": {
            **{row["task"]: row["reason"] for row in tasks if not row["arrives"]},
            "mmlu, gsm8k": (
                "Knowledge and arithmetic that no classifier of the question holds: only the "
                "choice of the model can be learnt, see routing."
            ),
            "yelp, imdb, shop, waimai": (
                "The recordings hold no texts, so that nothing can be taught: only whom to ask "
                "can be learnt, see apis."
            ),
        },
    }


def _prices() -> Row:
    models = {
        model: {"usd_per_million_read": p.read, "usd_per_million_written": p.written,
                "source": p.source}
        for model, p in PRICES.items()
    }  # fmt: skip
    return {
        "models": models,
        "tokens": "characters / 4 of prompt and text, 3 written",
        "cpu_usd_per_hour": CPU_USD_PER_HOUR,
        "routing_usd_per_million": {
            **USD_PER_MILLION,
            "source": "Ong et al., RouteLLM, arXiv 2406.18665 (2024)",
        },
        "apis": "USD per 10,000 texts as FrugalML's meta files state them (2020)",
        "headlines": "FrugalGPT's summary tables of 2024, test cost over 5,000 headlines",
    }


def _line(kind: str, row: Row) -> str:
    if kind == "tasks":
        return (
            f"{row['task']:<24}{row['large']:<24}{row['large_accuracy']:.3f} -> "
            f"{row['specialist_accuracy']:.3f}; cascade {row['cascade_accuracy']:.3f} with "
            f"{row['fewer_large_calls']:.0%} fewer calls; {row['cheaper']:,.0f}x cheaper"
        )
    if kind == "apis":
        saved = row["saved_at_its_accuracy"]
        return (
            f"{row['set']:<24}saved at the best API's accuracy: FrugalML {saved['frugalml']:.0%}, "
            f"ladder {saved['ladder']:.0%}; {row['mean_points']:+.2f} points on average"
        )
    at = row["at_95_percent_of_the_dear_one"]
    return (
        f"{row['set']:<24}95 % of the dear model with {at['dear_calls']:.0%} dear calls (by chance "
        f"{at['dear_calls_by_chance']:.0%}); regret {row['regret_points']['to_the_oracle']:.1f}"
    )
