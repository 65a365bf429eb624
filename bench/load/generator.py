"""The load generator: ``python -m bench.load.generator PLAN`` prints what it measured as JSON.

It runs on the cores of the server, as a client on the same machine does, and its own CPU is told
apart from the server's and from that of others.
"""

import json
import random
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from bench.load.account import Account, memory
from bench.load.client import Client, Tally
from bench.load.texts import texts, words


class Plan(msgspec.Struct, kw_only=True, frozen=True):
    """One run.

    Attributes:
        port: Of the server, on the loopback address.
        paths: Paths to ask, in turn.
        body: JSON body; ``"$TEXT"`` in it stands for a text, ``$TASK`` for a number in turn.
        headers: Further lines of the request's head.
        tokenizer: ``tokenizer.json`` that counts the tokens.
        tokens: Tokens of each text.
        pool: Different texts; the first is asked again after the last.
        seed: Two runs with different seeds share no text.
        connections: Of a closed loop; 0 for an open one.
        rate: Requests a second on average of an open loop (a Poisson process).
        warm: Seconds before anything counts.
        seconds: Seconds that count.
        roots: Processes of the server.
    """

    port: int
    paths: tuple[str, ...]
    body: str
    headers: tuple[str, ...] = ()
    tokenizer: str
    tokens: int = 12
    pool: int = 50_000
    seed: int = 0
    connections: int = 0
    rate: float = 0.0
    warm: float = 1.0
    seconds: float = 5.0
    roots: tuple[int, ...] = ()


def main() -> int:
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    client = Client(("127.0.0.1", plan.port), rendered(plan))
    due = arrivals(plan) if plan.rate else []
    account = Account(plan.roots)
    if plan.rate:
        tally = client.opened(due, plan.warm)
    else:
        tally = client.closed(plan.connections, plan.warm, plan.seconds)
    used = account.stop()
    if not tally.latencies:
        print(f"no good answer in {plan.seconds} s; errors: {tally.errors}", file=sys.stderr)
        return 1
    print(json.dumps(found(plan, tally, used)))
    return 0


def rendered(plan: Plan) -> list[bytes]:
    """Whole requests as bytes, so that nothing is left to do while measuring."""
    before, _, after = plan.body.partition('"$TEXT"')
    head = "".join(f"{line}\r\n" for line in ("Content-Type: application/json", *plan.headers))
    made: list[bytes] = []
    for i, text in enumerate(texts(plan.pool, plan.tokens, words(Path(plan.tokenizer)), plan.seed)):
        path = plan.paths[i % len(plan.paths)]
        body = f'{before}"{text}"{after}'
        made.append(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{plan.port}\r\n{head}"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
    return made


def arrivals(plan: Plan) -> list[float]:
    """When requests of a Poisson process are due, in seconds from the start."""
    rng, at, end = random.Random(plan.seed), 0.0, plan.warm + plan.seconds  # noqa: S311
    due: list[float] = []
    while (at := at + rng.expovariate(plan.rate)) < end:
        due.append(at)
    return due


def found(plan: Plan, tally: Tally, used: dict[str, float]) -> dict[str, object]:
    """All numbers of a run; milliseconds for times of a request."""
    errors = sum(tally.errors.values())
    asked = max(1, tally.answered + errors)
    return {
        "rps": len(tally.latencies) / tally.seconds,
        "answers": len(tally.latencies),
        "errors": errors,
        "errors_by_status": {str(status): n for status, n in tally.errors.items()},
        "repeated": tally.sent > plan.pool,
        **quantiles(tally.latencies),
        "histogram": histogram(tally.latencies),
        "cpu_ms": 1000 * used["cpu_s"] / asked,
        "generator_cpu_ms": 1000 * used["own_cpu_s"] / asked,
        "foreign": used["foreign"],
        "seconds": tally.seconds,
        **memory(plan.roots),
        "example": tally.example.decode(errors="replace")[:400],
    }


def quantiles(latencies: Sequence[float]) -> dict[str, float]:
    times = 1000 * np.asarray(latencies)
    p50, p90, p99, p999 = np.quantile(times, (0.5, 0.9, 0.99, 0.999))
    return {
        "mean_ms": float(times.mean()),
        "p50_ms": float(p50),
        "p90_ms": float(p90),
        "p99_ms": float(p99),
        "p999_ms": float(p999),
        "max_ms": float(times.max()),
    }


def histogram(latencies: "array[float]") -> dict[str, int]:
    """Answers by upper end of the bucket in ms; ten buckets to each factor of ten."""
    buckets = np.ceil(10 * np.log10(1000 * np.maximum(np.asarray(latencies), 1e-6)))
    ends, counts = np.unique(buckets, return_counts=True)
    return {f"{10 ** (end / 10):.4g}": int(n) for end, n in zip(ends, counts, strict=True)}


if __name__ == "__main__":
    sys.exit(main())
