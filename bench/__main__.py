"""``python -m bench [NAME ...]``: run benchmarks and write ``bench/results/<name>.json``."""

import sys
from importlib import import_module

from bench.common import ROOT, Load, Options, parse, record, write

BENCHMARKS = {
    "start": True,
    "encoder": True,
    "data": True,
    "improve_speed": True,
    "many_tasks": True,
    "ledger": True,
    "quality": False,
    "regret": False,
    "search_prior": False,
    "first_to_last": False,
    "statistics": False,
    "scorecard_speed": True,
    "peeking": False,
    "sequential": False,
    "rollback": True,
    "leaks": False,
    "slice_discovery": False,
    "functional": False,
    "out_of_scope": False,
    "knowing": False,
    "cascades": False,
    "forecast": False,
    "label_noise": False,
    "prompt_worth": False,
    "membership": False,
    "incremental": False,
    "int8": True,
    "adapters": True,
    "students": False,
    "engine": True,
    "serving": False,
    "recording": False,
    "faults": False,
    "billing": False,
    "upstream_faults": False,
    "upstream_overhead": False,
    "pass_through": False,
    "answer_cache": False,
    "multitask": False,
    "migrate": False,
    "few_labels": False,
    "kinds": False,
    "spans": False,
    "ranking": False,
    "pairs": False,
    "images": False,
}
"""Name of each benchmark, and whether it belongs to the quarter of an hour that runs unasked."""

MODULES = {"statistics": "simulations"}
"""Where the module has another name: one called statistics would hide that of the library."""


def main() -> int:
    """Run what was asked for; a benchmark that fails ends the run with its error."""
    chosen = parse(sys.argv[1:], list(BENCHMARKS))
    names = chosen.names or [name for name, unasked in BENCHMARKS.items() if unasked]
    options = Options(quick=chosen.quick, only=tuple(chosen.only))
    for name in BENCHMARKS if chosen.list else names:
        module = import_module(f"bench.{MODULES.get(name, name)}")
        what = str(module.__doc__).strip().splitlines()[0]
        if chosen.list:
            print(f"{name:<15}{what}")
            continue
        print(f"\n{name}: {what}")
        load = Load()
        result = record(name, what, module.run(options), load)
        if result["disturbed"]:
            print(f"Disturbed: others used {result['other_cpu_share']:.0%} of the processors.")
        if not options.quick:
            print(f"Wrote {write(result).relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
