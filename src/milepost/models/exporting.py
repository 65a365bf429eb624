"""``python -m milepost.models.exporting``: exports an encoder and ends, for a process that serves.

That process never holds what an export needs. The request is one JSON object on standard input,
a refusal one on standard output.
"""

import sys

import msgspec

from milepost.entities.errors import MilepostError
from milepost.models.catalog import ExportRequest

REFUSED = 3
"""Exit code where the encoder was refused; standard output says why."""


def main() -> int:
    """Exports what standard input asks for."""
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=ExportRequest)
    try:
        asked.make()
    except MilepostError as error:
        refusal = {"what": error.what, "where": error.where, "advice": error.advice}
        sys.stdout.buffer.write(msgspec.json.encode(refusal))
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
