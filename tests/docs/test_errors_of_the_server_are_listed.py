"""Every error that the server can answer stands in the table of errors, with its status."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from milepost.gateway.errors import UPSTREAM

MADE_OTHERWISE = {
    ("404", "unknown_task"), ("404", "unknown_release"), ("422", "unknown_label"),
    ("404", "unknown_trace"), ("429", "rate_limited"), ("503", "overloaded"), ("500", "internal"),
    ("503", "not_recorded"), ("503", "ledger_unreachable"),
}  # fmt: skip


def _codes(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            given = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            if node.func.id in ("RefusedError", "_plain") and len(given) >= 2:
                yield str(given[0]), str(given[1])


def test_every_code_stands_in_the_table(root: Path) -> None:
    page = (root / "docs/reference/errors.md").read_text()
    listed = set(re.findall(r"^\| (\d{3}) \| `(\w+)` \| \S.+ \| \S.+ \|$", page, re.MULTILINE))
    raised = {
        pair
        for path in (root / "src/milepost/gateway").rglob("*.py")
        for pair in _codes(ast.parse(path.read_text()))
    }
    assert len(raised) > 20
    failed = {(str(status), code) for status, code in UPSTREAM.values()}
    missing = (raised | failed | MADE_OTHERWISE) - listed
    assert not missing, f"not in the table: {sorted(missing)}"
