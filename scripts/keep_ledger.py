"""Keep a ledger of today's version of the tables, before they change: rows for migration tests.

    python scripts/keep_ledger.py

writes ``tests/unit/storage/ledgers/VERSION.json``. Run it last thing before a new migration is
written; the tests of migrations then find the file by themselves. A file that is there is left.
"""

import json
import sys
import tempfile
from pathlib import Path

from milepost.testing.ledgers import dump_ledger, fill_ledger

FOLDER = Path(__file__).parents[1] / "tests" / "unit" / "storage" / "ledgers"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/ledger.db"
        fill_ledger(url)
        kept = dump_ledger(url)
    path = FOLDER / f"{kept['version']}.json"
    if path.exists():
        print(f"{path} is there already.", file=sys.stderr)
        return 1
    path.write_text(json.dumps(kept, indent=0, ensure_ascii=False) + "\n")
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
