"""What every benchmark shares: options, child processes, load, summaries, the result file.

Import nothing heavy here. The peak memory that Linux reports for a child starts at that of the
process that forked it, so this process has to stay small.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
PACKAGES = (
    "milepost", "numpy", "onnxruntime", "tokenizers", "scikit-learn", "pandas",
    "sentence-transformers", "torch",
)  # fmt: skip
DISTURBED = 0.05
"""Share of the CPU used by others from which a timing is not to be trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run a benchmark.

    Attributes:
        quick: Smallest sizes and fewest repeats: shows that it runs; its numbers are not kept.
        only: Parts of the benchmark to run, such as data sets; empty for all.
    """

    quick: bool = False
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A child process that has ended.

    Attributes:
        out: Its standard output.
        code: Its exit code.
        wall: Seconds from start to end.
        cpu: CPU seconds of it and of those of its own children that it waited for.
        peak_mib: Largest resident memory in MiB.
    """

    out: str
    code: int
    wall: float
    cpu: float
    peak_mib: float

    @property
    def times(self) -> dict[str, float]:
        return {"wall_s": self.wall, "cpu_s": self.cpu, "peak_mib": self.peak_mib}


class ChildFailedError(RuntimeError):
    """A child ended with an exit code that was not expected; holds its standard error."""


def child(
    command: Sequence[str | Path],
    *,
    codes: Sequence[int] = (0,),
    env: Mapping[str, str] | None = None,
) -> Child:
    """Run a command to its end and account for it.

    Raises:
        ChildFailedError: If its exit code is not among ``codes``.
    """
    words = [str(word) for word in command]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        process = subprocess.Popen(words, stdout=out, stderr=err, env={**os.environ, **(env or {})})
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        code = process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read().decode()
        if code not in codes:
            err.seek(0)
            said = err.read().decode()[-2000:]
            raise ChildFailedError(f"{' '.join(words)} ended with {code}:\n{said}\n{text[-500:]}")
    return Child(
        out=text,
        code=code,
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss / 1024,
    )


def milepost(*arguments: str | Path, codes: Sequence[int] = (0,)) -> Child:
    """Run the installed command line, as a user would."""
    return child([Path(sys.executable).with_name("milepost"), *arguments], codes=codes)


def peer(module: str, request: Mapping[str, object], env: Mapping[str, str] | None = None) -> Child:
    """Run ``python -m bench.<module> REQUEST``; it prints one JSON document."""
    command = [sys.executable, "-m", f"bench.{module}", json.dumps(request)]
    return child(command, env={"PYTHONPATH": str(ROOT), **(env or {})})


def request() -> dict[str, Any]:
    """In a peer: what it was asked."""
    return json.loads(sys.argv[1])


def data_folder() -> Path:
    """The benchmark data: ``MILEPOST_DATA``, else ``../shared/data`` beside the repository.

    Raises:
        FileNotFoundError: If it is not there.
    """
    folder = Path(os.environ.get("MILEPOST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        raise FileNotFoundError(f"No benchmark data at {folder}: set MILEPOST_DATA to its folder.")
    return folder.resolve()


@contextmanager
def scratch() -> Generator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="milepost-bench-") as folder:
        yield Path(folder)


def summary(values: Sequence[float]) -> dict[str, float | int]:
    """Number, median, smallest and largest of repeated measurements."""
    return {
        "n": len(values),
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
    }


def summaries(runs: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float | int]]:
    """``summary`` of every quantity that all runs measured."""
    return {key: summary([run[key] for run in runs]) for key in runs[0]}


def alternate(
    repeats: int, parts: Mapping[str, Callable[[], Mapping[str, float]]]
) -> dict[str, dict[str, dict[str, float | int]]]:
    """Measure all parts in turn, ``repeats`` times, so that load from outside hits all alike."""
    runs: dict[str, list[Mapping[str, float]]] = {name: [] for name in parts}
    for _ in range(repeats):
        for name, part in parts.items():
            runs[name].append(part())
    return {name: summaries(each) for name, each in runs.items()}


class Load:
    """Share of all cores that other processes used since this was made, 0 to 1."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._busy = _busy_seconds()
        self._own = _own_seconds()

    @property
    def share(self) -> float:
        wall = time.perf_counter() - self._started
        others = (_busy_seconds() - self._busy) - (_own_seconds() - self._own)
        return max(0.0, others / (wall * (os.cpu_count() or 1)))


def _busy_seconds() -> float:
    import psutil

    times = psutil.cpu_times()
    waiting = times.idle + getattr(times, "iowait", 0.0)
    return sum(times[:8]) - waiting  # the fields after steal are counted in user already


def _own_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def machine() -> dict[str, object]:
    """Processor, cores and memory; nothing that names the machine."""
    import psutil

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = (line.partition(":") for line in info.read_text().splitlines())
        model = next((value.strip() for key, _, value in lines if "model name" in key), model)
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.system(),
    }


def versions() -> dict[str, str | None]:
    """Versions of what is measured and of what it is measured against."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def record(name: str, what: str, results: Mapping[str, object], load: Load) -> dict[str, object]:
    """A result with all that is needed to read it later."""
    share = load.share
    return {
        "name": name,
        "what": what,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "other_cpu_share": round(share, 4),
        "disturbed": share > DISTURBED,
        "results": results,
    }


def write(result: Mapping[str, object]) -> Path:
    """Write ``bench/results/<name>.json`` whole or not at all."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{result['name']}.json"
    half = path.with_suffix(".part")
    half.write_text(json.dumps(_rounded(result), indent=1) + "\n")
    half.replace(path)
    return path


def stored(name: str) -> dict[str, Any]:
    """Results of the last run, for a benchmark of which one part is run again; empty without."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text())["results"] if path.is_file() else {}


def _rounded(value: object) -> object:
    """Six significant digits: more would only make differences between files."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value


def parse(arguments: Sequence[str], names: Sequence[str]) -> argparse.Namespace:
    """The command line of ``python -m bench``."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Run benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--list", action="store_true", help="say what each one measures")
    parser.add_argument("--quick", action="store_true", help="small and fast; writes nothing")
    parser.add_argument("--only", nargs="*", default=[], metavar="PART", help="parts to run")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.names if name not in names]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(names)}")
    return chosen
