"""Time and memory of `milepost improve` on banking77 10-shot, beside the same done by hand.

Each repeat runs, one after the other: the one-time export of the encoder into an empty cache; the
command `milepost improve` in a fresh workspace (cold: no text has a vector); the same command
again (warm); and the script that a practitioner would write instead (sentence-transformers,
logistic regression and TF-IDF over five folds, one final fit). All are processes of their own:
`wall_s` and `cpu_s` include start and imports, `peak_mib` is the largest resident memory.

How to read it: targets are 45 s cold, 10 s warm and 1,536 MiB. Note what the command does beyond
the script: grouping, a quality report, six strategies, scorecards with intervals, timing of every
candidate, the gate, a release. Absolute times depend on the machine: compare ratios.
"""

import sys
from pathlib import Path

from bench.common import Options, alternate, child, data_folder, milepost, peer, scratch

TARGETS = {"cold_wall_s": 45.0, "warm_wall_s": 10.0, "peak_mib": 1536.0}
EXPORT = """
import sys
from pathlib import Path
from milepost.models.catalog import open_encoder
open_encoder("embedded", Path(sys.argv[1]))
"""


def run(options: Options) -> dict[str, object]:
    """Three alternating repeats, one when quick."""
    shots = 5 if options.quick else 10
    train = data_folder() / "banking77" / f"official_train_{shots}.parquet"
    with scratch() as folder:
        made: list[Path] = []

        def export() -> dict[str, float]:
            empty = folder / f"cache-{len(made)}"
            return child([sys.executable, "-c", EXPORT, empty]).times

        def init() -> dict[str, float]:
            made.append(folder / f"workspace-{len(made)}")
            return milepost("init", made[-1], "--from", train, "--task", "route").times

        def improve() -> dict[str, float]:
            return milepost("-w", made[-1], "improve", "route", "--json", codes=(0, 1)).times

        def by_hand() -> dict[str, float]:
            return peer("by_hand", {"what": "improve", "train": str(train)}).times

        _ensure_export(train, folder)
        parts = {
            "export_once": export,
            "init": init,
            "improve_cold": improve,
            "improve_warm": improve,
            "by_hand": by_hand,
        }
        measured = alternate(1 if options.quick else 3, parts)
    for name, times in measured.items():
        print(
            f"{name:<14} wall {times['wall_s']['median']:6.2f} s   "
            f"cpu {times['cpu_s']['median']:6.2f} s   "
            f"peak {times['peak_mib']['median']:6.0f} MiB"
        )
    return {"shots": shots, "targets": TARGETS, "times": measured, **_verdict(measured)}


def _ensure_export(train: Path, folder: Path) -> None:
    """Export the encoder into the user's cache if it is not there, so that no repeat pays it."""
    other = folder / "first"
    milepost("init", other, "--from", train, "--task", "route")
    milepost("-w", other, "improve", "route", "--strategy", "zero_shot", codes=(0, 1))


def _verdict(measured: dict[str, dict[str, dict[str, float | int]]]) -> dict[str, object]:
    cold, warm, hand = (measured[k] for k in ("improve_cold", "improve_warm", "by_hand"))
    peak = max(cold["peak_mib"]["max"], warm["peak_mib"]["max"])
    return {
        "within_targets": {
            "cold": cold["wall_s"]["median"] <= TARGETS["cold_wall_s"],
            "warm": warm["wall_s"]["median"] <= TARGETS["warm_wall_s"],
            "memory": peak < TARGETS["peak_mib"],
        },
        "by_hand_over_cold": {
            key: hand[key]["median"] / cold[key]["median"] for key in ("wall_s", "cpu_s")
        },
        "by_hand_over_warm": {
            key: hand[key]["median"] / warm[key]["median"] for key in ("wall_s", "cpu_s")
        },
    }
