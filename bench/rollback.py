"""How long until a running server answers with what a rollback, or a new release, put there.

A workspace with many tasks is served in this process; the ledger is looked at every second, as by
default. Measured from the moment at which the command has returned until the first answer of the
other release, with requests going on all the time.
"""

import asyncio
import statistics
import time
from pathlib import Path

from bench.common import Options, scratch

TASKS = 100
SWAPS = 20
LABELS = ("card", "refund", "other")


def run(options: Options) -> dict[str, object]:
    """Opening, then swaps there and back."""
    tasks, swaps = (5, 4) if options.quick else (TASKS, SWAPS)
    with scratch() as folder:
        found = measured(folder / "desk", tasks, swaps)
    for name, value in found.items():
        print(f"{name}: {value}")
    return found


def measured(root: Path, tasks: int, swaps: int) -> dict[str, object]:
    """Seconds to open, and from each swap to the first answer that shows it."""
    from milepost.entities.configuration import Configuration
    from milepost.entities.task import Task
    from milepost.testing.releases import add_task, release, some_linear
    from milepost.workflows.opening import create
    from milepost.workflows.serving.opening import ServeOptions, open_service

    context = create(root, Configuration())
    for number in range(tasks):
        add_task(context, Task(name=f"task{number}", labels=dict.fromkeys(LABELS, "")))
        release(context, f"task{number}", some_linear(context, LABELS, number))
    release(context, "task0", some_linear(context, LABELS, 1_000_000))
    begun = time.perf_counter()
    service = open_service(context, ServeOptions(variant="fp32", record=False))
    opened = time.perf_counter() - begun
    seconds, answers = asyncio.run(swapped(context, service, swaps))
    context.ledger.close()
    return {
        "tasks": tasks,
        "open_seconds": round(opened, 2),
        "swaps": swaps,
        "answers_meanwhile": answers,
        "median_seconds": round(statistics.median(seconds), 3),
        "largest_seconds": round(max(seconds), 3),
    }


async def swapped(context, service, swaps: int) -> tuple[list[float], int]:
    """Move production there and back while somebody asks without a pause; nothing may fail."""
    from milepost.entities.serving import Ask
    from milepost.workflows.release.channels import promote, rollback

    seconds: list[float] = []
    answers = 0
    for number in range(swaps):
        wanted = 1 if number % 2 == 0 else 2
        if wanted == 1:
            move = asyncio.to_thread(rollback, context, "task0", "measured")
        else:
            move = asyncio.to_thread(promote, context, "task0", 2, "measured")
        moving = asyncio.ensure_future(move)
        done: float | None = None
        while True:
            if done is None and moving.done():
                moving.result()
                done = time.perf_counter()
            answers += 1
            text = f"text {answers}"
            if (await service.answer(Ask(task="task0", texts=(text,)))).release == wanted:
                break
        await moving
        seconds.append(time.perf_counter() - done if done is not None else 0.0)
    await service.close(5.0)
    return seconds, answers
