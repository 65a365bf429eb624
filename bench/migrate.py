"""A hundred tasks moved to another encoder with a verdict each: `milepost migrate --encoder X`.

A hundred tasks of a hundred texts each are drawn from public data sets, 10,000 distinct texts in
all (of sets of intents each task has up to eight of them). Each has a release of the closed-form
head on the embedded encoder, made beforehand and not timed. The other encoder is made on the spot:
the same MiniLM without one of its six layers, under another digest, so that it is a real other
encoder and a little worse. Nothing of it is in any cache: the time holds its export to ONNX, every
text encoded, every head refitted, every task judged beside its release on the same examples, what
moves moved in one transaction, and the fast variant checked for what moved.

`each` moves the tasks whose own verdict allows it, `all` all or none by what they lose on average,
on copies of the same workspace. `killed` ends the process with SIGKILL once half of the tasks are
judged and starts the command again: `judged_twice` counts the tasks looked at twice. After
`each` every task is asked once, by a process of its own: `answered_on` counts by encoder.

How to read it: `wall_s` of `each` has a target of 300 s on two cores. With a hundred examples few
tasks can show by themselves that they lose no more than two points; together they can.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from bench.common import RESULTS, Child, Options, child, data_folder

TARGET_S = 300.0
SETS = (
    "trec", "sms_spam", "snips", "emotion", "sst2", "subj", "cr", "mr", "ag_news_test_split",
    "tweeteval_irony", "tweeteval_offensive", "tweeteval_emotion", "banking77", "clinc150",
    "hwu64",
)  # fmt: skip
FILES = {"ag_news_test_split": "train_pool"}
MOST_LABELS = 8
LOSS = 0.02

SHALLOWER = """
import json, shutil, sys
from pathlib import Path
from safetensors.numpy import load_file, save_file
from milepost.models.embedded import embedded_path
target, dropped = Path(sys.argv[1]), int(sys.argv[2])
shutil.copytree(embedded_path(), target)
kept, moved = {}, load_file(target / "model.safetensors")
for name, array in moved.items():
    head, mark, rest = name.partition("encoder.layer.")
    if mark:
        layer, _, part = rest.partition(".")
        if int(layer) == dropped:
            continue
        name = f"{head}{mark}{int(layer) - (int(layer) > dropped)}.{part}"
    kept[name] = array
save_file(kept, target / "model.safetensors")
config = json.loads((target / "config.json").read_text())
config["num_hidden_layers"] -= 1
(target / "config.json").write_text(json.dumps(config))
"""
"""Run apart: writes the embedded encoder without one of its layers."""

ASK = """
import json, sys
import milepost as mp
workspace = mp.Workspace.open(sys.argv[1])
told = {}
for name in workspace.task_names():
    given = workspace.answer(name, ["where is it, and what does it cost?"])
    told[name] = [given.release, given.predictions.answers[0]]
print(json.dumps(told))
"""


def run(options: Options) -> dict[str, object]:
    """A hundred tasks of a hundred texts; three of forty when quick."""
    tasks, texts = (3, 40) if options.quick else (100, 100)
    parts = RESULTS / f"migrate-{tasks}.parts"
    made = _workspace(parts / "made", tasks, texts)
    other = parts / "shallower"
    shutil.rmtree(other, ignore_errors=True)
    child([sys.executable, "-c", SHALLOWER, other, "4"])
    measured = {how: _migrated(made, parts / how, other, how) for how in ("each", "all")}
    results: dict[str, object] = {
        "tasks": tasks,
        "texts": tasks * texts,
        "other_encoder": "all-MiniLM-L6-v2 without its fifth layer",
        "loss": LOSS,
        "target_s": TARGET_S,
        **measured,
        "within_target": measured["each"]["wall_s"] <= TARGET_S,
        "answered_on": _answered(parts / "each", measured["each"]["moved_tasks"]),
        "killed": _killed(made, parts / "killed", other, tasks),
    }
    for how, each in measured.items():
        del each["moved_tasks"]
        print(f"{how:<5} {each}")
    print(f"killed {results['killed']}; answered on {results['answered_on']}")
    shutil.rmtree(parts)
    return results


def _workspace(folder: Path, tasks: int, texts: int) -> Path:
    """A workspace whose tasks all have a release; goes on where an earlier run was stopped."""
    import milepost as mp

    if not (folder / "milepost.toml").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        mp.Workspace.create(folder)
    refused = folder / "refused.txt"
    workspace = mp.Workspace.open(folder)
    for name, frame in _draws(texts):
        known = workspace.task_names()
        if len(known) == tasks and all(workspace.channel(each) for each in known):
            break
        if refused.exists() and name in refused.read_text().split():
            continue
        if name not in known:
            labels = dict.fromkeys(sorted(set(frame["label"])), "")
            workspace.add(mp.Task(name=name, labels=labels), examples=frame)
        if workspace.channel(name) is None:
            workspace.improve(name, strategies=["head_closed_form"])
        if workspace.channel(name) is None:
            # Too hard for so few examples: another draw takes its place.
            (folder / "tasks" / f"{name}.yaml").unlink()
            with refused.open("a") as file:
                file.write(f"{name}\n")
    print(f"{len(workspace.task_names())} tasks have a release")
    return folder


def _draws(texts: int) -> Iterator[tuple[str, Any]]:
    """Name and examples of one task after the other; no text comes twice."""
    import numpy as np
    import pandas as pd

    seen: set[str] = set()
    for number in count():
        folder = SETS[number % len(SETS)]
        path = data_folder() / folder / f"{FILES.get(folder, 'train')}.parquet"
        frame = pd.read_parquet(path, columns=["text", "label"])
        frame = frame[(frame["label"] != "oos") & ~frame["text"].str.lower().isin(seen)]
        frame = frame[~frame["text"].str.lower().duplicated()]
        rng = np.random.default_rng(number)
        labels = sorted(set(frame["label"]))
        if len(labels) > MOST_LABELS:
            chosen = rng.choice(labels, MOST_LABELS, replace=False)
            frame = frame[frame["label"].isin(chosen)]
        frame = frame.sample(min(texts, len(frame)), random_state=number)
        seen |= set(frame["text"].str.lower())
        yield f"{folder}-{number:03}", frame.reset_index(drop=True)


def _migrated(made: Path, folder: Path, other: Path, how: str) -> dict[str, Any]:
    """What the command came to on a copy of the workspace, and what it took."""
    _copied(made, folder)
    cache = folder.parent / f"cache-{how}"
    _warmed(folder, cache)
    done, found = _migrate(folder, other, how, cache)
    standings = Counter(row["standing"] for row in found["tasks"])
    together = found["together"] or {}
    return {
        **done.times,
        "verdicts": len([row for row in found["tasks"] if row["contest"]]),
        "standings": dict(standings),
        "moved": sum(row["moved"] for row in found["tasks"]),
        "mean_difference": together.get("difference"),
        "mean_at_least": together.get("low"),
        "reason": found["reason"],
        "moved_tasks": [row["task"] for row in found["tasks"] if row["moved"]],
    }


def _migrate(folder: Path, other: Path, how: str, cache: Path) -> tuple[Child, dict[str, Any]]:
    done = child(_command(folder, other, how), codes=(0, 1), env=_environment(cache))
    return done, json.loads(done.out)["migration"]


def _command(folder: Path, other: Path, how: str) -> Sequence[str | Path]:
    return [
        Path(sys.executable).with_name("milepost"), "-w", folder, "migrate", "--encoder", other,
        "--move", how, "--loss", str(LOSS), "--json",
    ]  # fmt: skip


def _environment(cache: Path) -> dict[str, str]:
    return {"MILEPOST_CACHE": str(cache)}


def _warmed(folder: Path, cache: Path) -> None:
    """A cache of exports that holds those of the encoder of before, and not of the other one."""
    shutil.rmtree(cache, ignore_errors=True)
    child([sys.executable, "-c", ASK, folder], env=_environment(cache))


def _copied(made: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made, folder)


def _answered(folder: Path, moved: Sequence[str]) -> dict[str, int]:
    """How many tasks were answered on each encoder, by one process."""
    asked = child(
        [sys.executable, "-c", ASK, folder], env=_environment(folder.parent / "cache-each")
    )
    told = json.loads(asked.out)
    there = sum(told[name][0] == 2 for name in moved)
    return {"other": there, "embedded": sum(release == 1 for release, _ in told.values())}


def _killed(made: Path, folder: Path, other: Path, tasks: int) -> dict[str, object]:
    """Seconds of the command that goes on after a SIGKILL in the middle."""
    from milepost.workflows.opening import open_context

    _copied(made, folder)
    context = open_context(folder)
    environment = _environment(folder.parent / "cache-each")
    process = subprocess.Popen(
        [str(word) for word in _command(folder, other, "all")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    begun = time.perf_counter()
    while process.poll() is None and _steps(context) < tasks // 2:
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before, judged = time.perf_counter() - begun, _steps(context)
    done, found = _migrate(folder, other, "all", folder.parent / "cache-each")
    looks = [
        sum(look.contest is not None for look in context.ledger.looks(row["task"]))
        for row in found["tasks"]
    ]
    return {
        "seconds_before": before,
        "judged_before": judged,
        "wall_s": done.wall,
        "verdicts": sum(row["contest"] is not None for row in found["tasks"]),
        "judged_twice": sum(count > 2 for count in looks),
    }


def _steps(context: Any) -> int:
    """Tasks that are judged by now."""
    jobs = [job for job in context.ledger.jobs() if job.kind == "migrate"]
    return jobs[0].steps if jobs else 0
