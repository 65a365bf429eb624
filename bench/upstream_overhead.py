"""What the upstream layer adds to a bare HTTP client, with 64 calls on their way at a time.

The client has one core and the endpoint, which answers at once or after 100 ms, another one. Each
system runs in a process of its own, in turn; LiteLLM in an environment of its own. Between two
calls a caller waits for nothing, so where the endpoint answers at once a latency is the time in
which 64 calls are worked off: 64 times what one costs.
"""

import json
import multiprocessing
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from bench.common import ROOT, ChildFailedError, Options, child, summary
from bench.load.environments import UnavailableError, python, versions

SYSTEMS = ("httpx", "milepost", "milepost, all layers", "litellm")
AT_ONCE = 64
DELAYS_S = (0.1, 0.0)
TARGET_MS = 1.0


def run(options: Options) -> dict[str, Any]:
    repeats, calls = (1, 128) if options.quick else (3, 384)
    chosen = [name for name in SYSTEMS if not options.only or name in options.only]
    notes: dict[str, str] = {}
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for delay in DELAYS_S:
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in chosen}
        with endpoint(delay) as base_url:
            for _ in range(repeats):
                for name in chosen:
                    if name in notes:
                        continue
                    try:
                        runs[name].append(measure(name, base_url, calls))
                    except (UnavailableError, ChildFailedError) as error:
                        notes[name] = str(error)[-500:]
        found[f"{delay:g}"] = {name: each for name, each in runs.items() if each}
    result: dict[str, Any] = {
        "at_once": AT_ONCE,
        "calls": calls,
        "by_delay_s": {
            delay: {
                name: {key: summary([one[key] for one in each]) for key in each[0]}
                for name, each in systems.items()
            }
            for delay, systems in found.items()
        },
        "added_p50_ms": {delay: added(systems) for delay, systems in found.items()},
        "target_ms": TARGET_MS,
        "notes": notes,
    }
    if "litellm" not in notes and "litellm" in chosen:
        result["litellm_environment"] = versions(python("litellm"))
    show(result)
    return result


def added(systems: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Median over the repeats of what each adds to the bare client in the same repeat."""
    return {
        name: summary(
            [
                one["p50_ms"] - bare["p50_ms"]
                for one, bare in zip(each, systems["httpx"], strict=False)
            ]
        )["median"]
        for name, each in systems.items()
        if name != "httpx" and systems.get("httpx")
    }


def show(result: dict[str, Any]) -> None:
    for delay, systems in result["by_delay_s"].items():
        print(f"endpoint answers after {delay} s")
        for name, row in systems.items():
            more = result["added_p50_ms"][delay].get(name, 0.0)
            print(
                f"  {name:<22}p50 {row['p50_ms']['median']:8.2f} ms"
                f"  p99 {row['p99_ms']['median']:8.2f} ms  added {more:+8.2f} ms"
                f"  CPU {row['cpu_us']['median']:7.0f} us a call"
            )


def measure(system: str, base_url: str, calls: int) -> dict[str, float]:
    interpreter = python("litellm") if system == "litellm" else None
    asked = {"system": system, "base_url": base_url, "calls": calls, "at_once": AT_ONCE}
    command = [interpreter or sys.executable, "-m", "bench.upstream_overhead_peers"]
    done = child([*command, json.dumps(asked)], env={"PYTHONPATH": str(ROOT)})
    return json.loads(done.out.strip().splitlines()[-1])


@contextmanager
def endpoint(delay: float) -> Generator[str]:
    """A server in a process of its own, on the last core."""
    from bench.upstream_overhead_peers import serve

    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(delay, there))
    process.start()
    there.close()
    try:
        yield f"http://127.0.0.1:{here.recv()}/v1"
    finally:
        process.terminate()
        process.join()
