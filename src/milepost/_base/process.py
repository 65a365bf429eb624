"""Which process this is, in words that another process can check: is it still there?

Knows this machine only: whether a process of another machine lives cannot be seen from here.
"""

import os
import socket
from pathlib import Path

import msgspec


class Process(msgspec.Struct, frozen=True, array_like=True):
    """One run of one process.

    Attributes:
        host: Name of the machine or container.
        boot: Id of the machine's current start; empty where the system tells none.
        space: Id of the space in which process numbers are counted, because the containers of one
            machine share its boot id; empty where the system tells none.
        pid: Its number.
        started: When it started, in clock ticks since the boot; tells it from a later process with
            the same number. Empty where the system tells none.
    """

    host: str
    boot: str
    space: str
    pid: int
    started: str


def identity() -> str:
    """This process as text, different for every process that ever ran."""
    pid = os.getpid()
    return msgspec.json.encode(Process(*_here(), pid, _started(pid))).decode()


def gone(holder: str) -> bool:
    """Whether a process is seen to have ended.

    Args:
        holder: What ``identity`` gave in that process.

    Returns:
        ``False`` also where it cannot be seen: on another machine, in another container, before
        the last boot, on a system that tells nothing.
    """
    process = _parsed(holder)
    if process is None or (process.host, process.boot, process.space) != _here():
        return False
    if os.name != "posix":  # there, signal 0 would end the process that it asks about
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return bool(process.started) and _started(process.pid) != process.started


def ended(holder: str) -> bool:
    """Whether a process is known to have ended: ``gone``, or of an earlier boot of this machine."""
    process = _parsed(holder)
    if process is None:
        return False
    host, boot, _ = _here()
    return (process.host == host and bool(boot) and process.boot != boot) or gone(holder)


def described(holder: str) -> str:
    """A holder for people, such as ``process 4242 on host-a``."""
    process = _parsed(holder)
    return holder if process is None else f"process {process.pid} on {process.host}"


def _parsed(holder: str) -> Process | None:
    try:
        return msgspec.json.decode(holder, type=Process)
    except msgspec.DecodeError:
        return None


def _here() -> tuple[str, str, str]:
    boot = _read("/proc/sys/kernel/random/boot_id")
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return socket.gethostname(), boot, space


def _started(pid: int) -> str:
    """Start time of a running process; empty for one that has ended, a zombie included."""
    # The name, in brackets, may hold anything, brackets included (proc(5)).
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in {"Z", "X", "x"} else ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
