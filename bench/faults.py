"""What breaks while a server answers: killed workers, storage that goes away, clients that harm.

Each scenario drives a real server process with good clients beside what goes wrong, in
``tests/acceptance/serving``; here they run one after the other and what they measured is kept.
`good_share` is the share of the good clients' requests that were answered, `memory_mib` how much
the server's processes grew, `seconds_to_follow` the longest time from a move of a channel to the
first answer by the release that it names.
"""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from bench.common import ROOT, Options, scratch

SCENARIOS = "tests/acceptance/serving"
FILES = (
    "test_hostile_clients.py",
    "test_killed_workers.py",
    "test_storage_faults.py",
    "test_two_machines.py",
)
SECONDS = 1800


def run(options: Options) -> dict[str, Any]:
    """Figures of every scenario by its name; a scenario that did not hold says why."""
    with scratch() as folder:
        report = folder / "faults.xml"
        chosen = ["-m", "not slow"] if options.quick else []
        subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *chosen,
             *(f"{SCENARIOS}/{name}" for name in FILES), f"--junitxml={report}"],
            cwd=ROOT, timeout=SECONDS, check=False,
        )  # fmt: skip
        found = scenarios(report)
    for name, row in found.items():
        figures = ", ".join(f"{key} {value}" for key, value in row.items() if key != "why")
        print(f"  {name}: {figures}")
    return {"scenarios": found, "held": sum(row["held"] for row in found.values())}


def scenarios(report: Path) -> dict[str, dict[str, Any]]:
    """What each scenario measured, from pytest's report."""
    found: dict[str, dict[str, Any]] = {}
    root = ET.parse(report).getroot()  # noqa: S314 - our own report
    for case in root.iter("testcase"):
        name = case.attrib["name"].removeprefix("test_")
        if case.find("skipped") is not None:
            continue
        failures = [*case.findall("failure"), *case.findall("error")]
        row: dict[str, Any] = {"held": not failures}
        for each in case.iter("property"):
            row[each.attrib["name"]] = round(float(each.attrib["value"]), 4)
        if failures:
            row["why"] = failures[0].attrib.get("message", "")[:300]
        found[name] = row
    return found
