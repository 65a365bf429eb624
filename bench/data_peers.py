"""Reading and checking a large CSV, timed step by step in a process of its own; prints JSON."""

import json
import time

from bench.common import request


class Steps:
    """CPU seconds, of all threads, between one call and the next."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._at = time.process_time()

    def done(self, name: str) -> None:
        now = time.process_time()
        self.seconds[name] = now - self._at
        self._at = now


def milepost_steps(path: str) -> dict[str, float]:
    from milepost._base.settings import Settings
    from milepost.data.duplicates import regroup
    from milepost.data.examples import gather_examples
    from milepost.data.load import load_table
    from milepost.data.quality import profile
    from milepost.data.snapshot import snapshot_digest, write_snapshot
    from milepost.data.split import assign_sides
    from milepost.entities.task import Objective
    from milepost.workflows.tasks.ingest import Columns, make_task, with_labels

    settings = Settings()
    steps = Steps()
    table = load_table(path)
    steps.done("load_cpu_s")
    columns = Columns(text="body", label="queue")
    task = with_labels(make_task(table, "route", columns, Objective()), [table], settings)
    steps.done("find_labels_cpu_s")
    gathered = gather_examples([table], task, settings)
    steps.done("gather_cpu_s")
    (examples,) = regroup([gathered.examples], settings.near_duplicate)
    steps.done("group_cpu_s")
    profile(examples, rows=gathered.rows, findings=gathered.findings, declared=tuple(task.labels))
    steps.done("profile_cpu_s")
    assign_sides(examples, {}, settings, seed=0)
    steps.done("sides_cpu_s")
    write_snapshot(examples)
    snapshot_digest(examples)
    steps.done("snapshot_cpu_s")
    return steps.seconds


def pandas_steps(path: str) -> dict[str, float]:
    import pandas as pd

    steps = Steps()
    frame = pd.read_csv(path)
    steps.done("load_cpu_s")
    frame.drop_duplicates(subset="body")
    steps.done("drop_duplicates_cpu_s")
    return steps.seconds


def main() -> None:
    asked = request()
    engines = {"milepost": milepost_steps, "pandas": pandas_steps}
    seconds = engines[asked["engine"]](asked["path"])
    print(json.dumps({**seconds, "steps_cpu_s": sum(seconds.values())}))


if __name__ == "__main__":
    main()
