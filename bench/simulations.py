"""Simulated coverage of intervals, false releases of the gate, and the price of choosing.

Runs ``bench.simulate_statistics`` in a process of its own; what each study measures is said there.
Targets: nominal 95 % intervals cover at least 93 %; at a true quality equal to the floor the gate
releases at most 5 % of the time.
"""

import json
import sys

from bench.common import RESULTS, ROOT, Options, child, scratch


def run(options: Options) -> dict[str, object]:
    """All studies, a hundredth of the runs when quick."""
    with scratch() as folder:
        out = folder / "statistics.json"
        command = [sys.executable, "-m", "bench.simulate_statistics", "--output", out]
        quick = ["--quick"] if options.quick else []
        if options.only:
            # Some measures or studies anew; the rest stays as it was measured.
            before = json.loads((RESULTS / "statistics.json").read_text())["results"]
            out.write_text(json.dumps({key: before[key] for key in before if key != "summary"}))
            quick += ["--only", *options.only]
        done = child([*command, *quick], env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
        print(done.out)
        return {"summary": done.out.splitlines(), **json.loads(out.read_text())}
