"""CPU and memory of a tree of processes, and what everybody else took of the machine meanwhile."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil


class Account:
    """What the processes below ``roots`` used since this was made, and what others used.

    Time that the kernel spends in interrupts is nobody's: most of it is the loopback traffic of the
    very run. The tree may grow; what ended and was waited for is counted with its parent.
    """

    def __init__(self, roots: Iterable[int]) -> None:
        """Start to account for ``roots``, their children, and this process."""
        self._roots = tuple(roots)
        self._started = time.perf_counter()
        self._tree = tree_cpu(self._roots)
        self._own = time.process_time()
        self._busy = _busy()

    def stop(self) -> dict[str, float]:
        """``cpu_s`` of the tree, ``own_cpu_s`` of this process, ``foreign`` share of the machine.

        ``foreign`` is what all other processes used, 0 to 1 of all cores.
        """
        busy = _busy() - self._busy
        wall = time.perf_counter() - self._started
        own = time.process_time() - self._own
        tree = tree_cpu(self._roots) - self._tree
        others = max(0.0, busy - own - tree)
        return {
            "cpu_s": tree,
            "own_cpu_s": own,
            "foreign": others / (wall * (os.cpu_count() or 1)),
        }


def tree(roots: Iterable[int]) -> list[psutil.Process]:
    """The processes and all below them that live."""
    found: dict[int, psutil.Process] = {}
    for root in roots:
        with suppress(psutil.NoSuchProcess):
            top = psutil.Process(root)
            for process in (top, *top.children(recursive=True)):
                found[process.pid] = process
    return list(found.values())


def tree_cpu(roots: Iterable[int]) -> float:
    """CPU seconds of a tree since it began, in user and kernel."""
    total = 0.0
    for process in tree(roots):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def memory(roots: Iterable[int]) -> dict[str, float]:
    """MiB of a tree: ``rss`` counts shared pages in every process, ``pss`` counts them once."""
    rss = pss = 0
    for process in tree(roots):
        with suppress(psutil.NoSuchProcess):
            info = process.memory_full_info()
            rss += info.rss
            pss += info.pss
    return {"rss_mib": rss / 2**20, "pss_mib": pss / 2**20}


def _busy() -> float:
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.steal
