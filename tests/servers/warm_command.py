"""The command line with its imports done: each command runs in a fork, a second of CPU sooner.

A command is what the installed one is, from ``main()`` on: a process of its own with its own
folder, variables, standard streams and exit code. What happens before ``main()`` is the business of
the tests that start the installed command.
"""

import atexit
import json
import os
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path

MOST_SAID = 1 << 20
"""Bytes of one request: arguments, folder and variables."""


def serve(place: str) -> None:
    """Fork a command for every connection, until this process is ended."""
    from milepost.cli.app import assembled

    assembled()
    # A lock held by another thread would stay held in every fork (onnxruntime starts one).
    assert len(list(Path("/proc/self/task").iterdir())) == 1
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(place)
        listening.listen(16)
        os.write(1, b"ready\n")
        while True:
            line, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _answer(line)
            line.close()


def _answer(line: socket.socket) -> None:
    """Be the command that the connection asks for, and say with which code it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    said, streams, _, _ = socket.recv_fds(line, MOST_SAID, 3)
    asked = json.loads(said)
    command = os.fork()
    if command:
        _, status = os.waitpid(command, 0)
        line.sendall(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    line.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # What a stream can do was found out for the descriptors that this process began with.
    sys.stdin = open(0, encoding=sys.stdin.encoding, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding=sys.stdout.encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, sys.stderr.encoding, closefd=False)  # noqa: SIM115
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["variables"])
    sys.argv = ["milepost", *asked["arguments"]]
    os._exit(_code())


def _code() -> int:
    from milepost.__main__ import main

    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 — as the interpreter does at its end
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()
    return code


if __name__ == "__main__":
    serve(sys.argv[1])
