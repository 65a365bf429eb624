"""The test server as a process: prints where it listens, serves until it is ended."""

import argparse
import sys
import threading
from pathlib import Path

import msgspec

from milepost.models.language.inside.fake import fake_upstream
from milepost.models.language.inside.faults import Fault
from milepost.models.language.inside.opening import open_inside
from milepost.testing.upstreams.server import UpstreamServer


def main() -> None:
    """Serves a model inside of this process on an address of this machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", default="fake:", help="who answers: fake:… or recorded:…")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", help="the key that callers must bring")
    parser.add_argument("--fault", help='a fault as JSON, such as {"kind": "storm"}')
    given = parser.parse_args()
    row = fake_upstream(base_url=given.base_url)
    if given.base_url.startswith("recorded:"):
        row = msgspec.structs.replace(row, wire="recorded")
    fault = msgspec.json.decode(given.fault, type=Fault) if given.fault else None
    server = UpstreamServer(open_inside(row, root=Path.cwd()), fault=fault, key=given.key)
    started = threading.Event()
    thread = threading.Thread(target=server.run, args=(given.port, started), daemon=True)
    thread.start()
    started.wait()
    sys.stdout.write(f"{server.base_url}\n")
    sys.stdout.flush()
    try:
        thread.join()
    except KeyboardInterrupt:
        server.close()
        thread.join(5.0)


if __name__ == "__main__":
    main()
