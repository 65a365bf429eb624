"""``warm_client.py PLACE ARGUMENTS``: has the warm command at a place run a command line."""

import json
import os
import socket
import sys

if __name__ == "__main__":
    place, *arguments = sys.argv[1:]
    folder = os.getcwd()  # noqa: PTH109 — pathlib takes longer to load than all the rest
    asked = {"arguments": arguments, "folder": folder, "variables": dict(os.environ)}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        line.connect(place)
        socket.send_fds(line, [json.dumps(asked).encode()], [0, 1, 2])
        code = int(line.recv(16))
    sys.exit(code if code >= 0 else 128 - code)
