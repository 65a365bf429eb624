"""Write the records in the published JSON Schemas of ``--json`` anew, from the code.

    python scripts/output_schemas.py

What a schema says at its top is written by hand. The records that it refers to, whose names begin
with a capital, are taken from the classes and their docstrings.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

from from_code import attributes  # noqa: E402 — found by the line above

from milepost.entities import (  # noqa: E402
    decision,
    difference,
    estimate,
    examination,
    migration,
    reproduction,
    scorecard,
    spans,
)

FOLDER = ROOT / "src" / "milepost" / "reports" / "schemas"
Shape = dict[str, Any]
RECORDS: dict[str, type[msgspec.Struct]] = {
    kind.__name__: kind
    for module in (
        decision,
        difference,
        estimate,
        examination,
        migration,
        reproduction,
        scorecard,
        spans,
    )
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
}


def renewed(schema: Shape) -> Shape:
    """A schema with its records as they are in the code now."""
    by_hand = {name: shape for name, shape in schema.get("$defs", {}).items() if name.islower()}
    top = {**schema, "$defs": by_hand}
    named = sorted(set(re.findall(r"#/\$defs/([A-Z]\w*)", json.dumps(top))))
    made = {**by_hand, **_records(named)}
    return {**top, "$defs": made} if made else {k: v for k, v in schema.items() if k != "$defs"}


def _records(names: list[str]) -> Shape:
    """The named records and all that are in them, by name."""
    _, shapes = msgspec.json.schema_components(
        [RECORDS[name] for name in names], ref_template="#/$defs/{name}"
    )
    return {name: _record(name, shape) for name, shape in sorted(shapes.items())}


def _record(name: str, shape: Shape) -> Shape:
    told = attributes(RECORDS[name].__doc__ or "")
    fields = {
        field: _described(inner, told.get(field)) for field, inner in shape["properties"].items()
    }
    return {"type": "object", "required": list(fields), "properties": fields}


def _described(shape: Shape, told: str | None) -> Shape:
    """A field as it is printed: no default, since every field is there."""
    kept = {key: value for key, value in shape.items() if key != "default"}
    simple = [part.get("type") for part in kept.get("anyOf", ()) if set(part) == {"type"}]
    if simple and len(simple) == len(kept["anyOf"]):
        kept = {"type": simple}
    return kept if told is None else {**kept, "description": told.replace("`None`", "null")}


def main() -> None:
    """Rewrite every schema."""
    for path in sorted(FOLDER.glob("*.json")):
        whole = renewed(json.loads(path.read_text()))
        path.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
