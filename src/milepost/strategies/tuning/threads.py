"""How many threads a training takes, in the one place that knows."""

import os
from collections.abc import Generator
from contextlib import contextmanager


def usable() -> int:
    """As many as this process has processors, or as ``OMP_NUM_THREADS`` allows."""
    allowed = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    processors = len(os.sched_getaffinity(0))
    return min(processors, int(allowed)) if allowed.isdecimal() and int(allowed) else processors


@contextmanager
def training_threads() -> Generator[None]:
    """Let torch take the usable threads, and afterwards as many as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(usable())
    try:
        yield
    finally:
        torch.set_num_threads(before)
