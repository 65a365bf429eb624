"""``python -m milepost``, and the ``milepost`` command: ready for Ctrl-C before it loads anything.

Knows nothing of commands. Imports only what the interpreter has loaded by itself anyway.
"""

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130


def main() -> None:
    """Entry point of the ``milepost`` command."""
    # Where Ctrl-C is ignored, as under nohup, it stays ignored.
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeded:
        # An exception in the middle of an import comes out as anything; nothing is open yet.
        signal.signal(signal.SIGINT, _leave)
    from milepost.cli.app import run

    if heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # after the command was done, while its last words were written
        code = INTERRUPTED
    sys.exit(code)


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    os.write(2, b"\nInterrupted.\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
