"""100,000 rows of CSV: load, group near duplicates, profile, draw sides, snapshot; time and memory.

The rows are written for the run: short support messages with exact duplicates, near duplicates,
empty cells, a few conflicting labels and typos in labels. milepost's steps are timed in a process
of its own. The floor, in the same run, is pandas.read_csv with drop_duplicates, which does a small
part of that work and is what a practitioner does first. `init` is the whole command
`milepost init --from`. Steps are in CPU seconds; `wall_s` and `cpu_s` are of the whole process, its
imports included, and `peak_mib` is its largest resident memory.
"""

import csv
import json
import random
from pathlib import Path

from bench.common import Options, alternate, milepost, peer, scratch

SUBJECTS = ("parcel", "card", "invoice", "refund", "password", "order", "charger", "transfer")
VERBS = ("lost", "missing", "late", "broken", "blocked", "wrong", "delayed", "stolen", "expired")
TAILS = (
    "please help",
    "what now",
    "since monday",
    "for the second time",
    "again",
    "thanks",
    "i am waiting",
    "call me",
    "urgent",
    "can you check",
    "at the branch",
    "in the app",
)


def run(options: Options) -> dict[str, object]:
    """Three alternating repeats of 100,000 rows, one of 5,000 when quick."""
    rows = 5_000 if options.quick else 100_000
    with scratch() as folder:
        path = folder / "messages.csv"
        write_messages(path, rows)
        made: list[Path] = []

        def steps() -> dict[str, float]:
            done = peer("data_peers", {"engine": "milepost", "path": str(path)})
            return {**json.loads(done.out), **done.times}

        def floor() -> dict[str, float]:
            done = peer("data_peers", {"engine": "pandas", "path": str(path)})
            return {**json.loads(done.out), **done.times}

        def init() -> dict[str, float]:
            made.append(folder / f"workspace-{len(made)}")
            command = ("--text", "body", "--label", "queue", "--task", "route")
            return milepost("init", made[-1], "--from", path, *command).times

        parts = {"milepost": steps, "pandas": floor, "init": init}
        measured = alternate(1 if options.quick else 3, parts)
        size = path.stat().st_size
    for name, numbers in measured.items():
        shown = "   ".join(f"{key} {each['median']:.2f}" for key, each in numbers.items())
        print(f"{name:<9}{shown}")
    return {"rows": rows, "bytes": size, "times": measured}


def write_messages(path: Path, rows: int) -> None:
    """The same file every time: 70 % distinct messages, the rest copies, variants and mess."""
    rng = random.Random(0)  # noqa: S311 — not for secrets
    seen: list[tuple[str, str]] = []
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["id", "body", "queue", "lang"])
        for row in range(rows):
            text, label = _message(rng, row)
            kind = rng.random()
            if seen and kind < 0.12:
                text, label = rng.choice(seen)
            elif seen and kind < 0.28:
                text, label = rng.choice(seen)
                text = f"{text} {rng.choice(('!', '??', 'pls'))}"
            elif kind < 0.285:
                text = ""
            elif kind < 0.29:
                label = label.replace("_", "-")
            if text and len(seen) < 50_000:
                seen.append((text, label))
            out.writerow([row, text, label, rng.choice(("en", "de", "fr"))])


def _message(rng: random.Random, row: int) -> tuple[str, str]:
    subject, verb = rng.choice(SUBJECTS), rng.choice(VERBS)
    tails = " ".join(rng.sample(TAILS, rng.randint(1, 5)))
    number = f"{row:x}{rng.randrange(10**6)}"
    text = f"my {subject} number {number} is {verb}, {tails}, my name is {rng.getrandbits(40):x}"
    return text, f"{subject}_{verb.split()[0]}"
