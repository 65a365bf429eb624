"""What it costs to start: import milepost, and the commands that only look, beside bare floors.

Every line is a process of its own, run in turn. `cpu_s` is user and system time together and is
the number to trust on a busy machine. Floors: an empty Python, and the import of numpy and of
scikit-learn, which every tool of this kind needs sooner or later. Target: `import milepost` below
0.3 CPU seconds.
"""

import sys

from bench.common import Options, alternate, child, milepost, scratch

IMPORT_TARGET = 0.3


def run(options: Options) -> dict[str, object]:
    """Fifteen alternating repeats, three when quick."""

    def python(code: str):
        return lambda: child([sys.executable, "-c", code]).times

    with scratch() as folder:
        demo = folder / "demo"
        milepost("init", demo)
        parts = {
            "python -c pass": python("pass"),
            "import numpy": python("import numpy"),
            "import sklearn": python("import sklearn.linear_model"),
            "import milepost": python("import milepost"),
            "milepost --version": lambda: milepost("--version").times,
            "milepost --help": lambda: milepost("--help").times,
            "milepost tasks": lambda: milepost("-w", demo, "tasks").times,
        }
        measured = alternate(3 if options.quick else 15, parts)
    for name, times in measured.items():
        print(
            f"{name:<20} cpu {1000 * times['cpu_s']['median']:6.0f} ms   "
            f"wall {1000 * times['wall_s']['median']:6.0f} ms   "
            f"peak {times['peak_mib']['median']:5.0f} MiB"
        )
    cost = measured["import milepost"]["cpu_s"]["median"]
    return {
        "times": measured,
        "import_target_cpu_s": IMPORT_TARGET,
        "within_target": cost < IMPORT_TARGET,
    }
