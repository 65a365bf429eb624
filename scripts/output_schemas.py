"""Write what the published JSON Schemas of ``--json`` take from the records of a closer look.

    python scripts/output_schemas.py

writes the whole schema of ``milepost examine --json`` and, in those of ``improve`` and
``evaluate``, the fields that they share with it; the rest of those two is written by hand.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

import milepost.reports
from milepost.entities.examination import Examination
from milepost.entities.scorecard import Spending

FOLDER = Path(milepost.reports.__file__).parent / "schemas"
Shape = dict[str, Any]

LOWER: Shape = {
    "type": "boolean",
    "description": "Whether a lower value of the objective's metric is better.",
}
NUMBERS: Shape = {name: {"type": ["number", "null"]} for name in ("value", "low", "high")}
MEASURED: Shape = {
    "type": "object",
    "required": ["value", "low", "high", "n"],
    "properties": {**NUMBERS, "n": {"type": "integer"}},
}
FORECAST: Shape = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["examples", *MEASURED["required"]],
        "properties": {
            "examples": {"type": "integer", "description": "Training examples."},
            **MEASURED["properties"],
        },
    },
    "description": "What more labels are expected to bring.",
}


def closer_look() -> tuple[Shape, Shape]:
    """The fields that tell of a closer look at a candidate, and the records in them."""
    (found, spent), records = msgspec.json.schema_components(
        (Examination | None, Spending | None), ref_template="#/$defs/{name}"
    )
    fields: Shape = {
        "lower_is_better": LOWER,
        "looks": {
            "type": "integer",
            "minimum": 0,
            "description": "How often its examples have been judged on; 0 where that is not kept.",
        },
        "spent": {
            **spent,
            "description": "What this look cost; null where looks are not paid for.",
        },
        "naive": {
            "anyOf": [{"type": "null"}, MEASURED],
            "description": "The objective's metric had the rows that leak into the test file been "
            "trained on; null where none leaks.",
        },
        "examination": {
            **found,
            "description": "A closer look; null for candidates that were not chosen.",
        },
    }
    return fields, {name: _told(shape) for name, shape in records.items()}


def examine_schema() -> Shape:
    """The schema (draft 2020-12) of ``milepost examine --json``."""
    fields, records = closer_look()
    left_out = {
        "type": "object",
        "required": ["section", "why"],
        "properties": {"section": {"type": "string"}, "why": {"type": "string"}},
    }
    properties: Shape = {
        "task": {"type": "string"},
        "release": {
            "type": ["integer", "null"],
            "description": "Number of its release; null where it was not released.",
        },
        "in_production": {"type": "boolean"},
        "candidate": {"type": "string"},
        "strategy": {"type": "string"},
        "contest": {"type": "string"},
        "regime": {"enum": ["holdout", "test_file", "cross_fitted"]},
        "metric": {"type": "string", "description": "Metric of the objective."},
        "n": {"type": "integer", "description": "Judged examples."},
        "metrics": {"type": "object", "additionalProperties": MEASURED},
        "forecast": FORECAST,
        "not_examined": {"type": "array", "items": left_out},
        **fields,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "milepost examine --json",
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "$defs": records,
    }


def improve_schema(written: Shape) -> Shape:
    """The schema of ``milepost improve --json`` with the closer look at each candidate."""
    fields, records = closer_look()
    by_hand = {name: shape for name, shape in written["$defs"].items() if name.islower()}
    by_hand["candidate"]["properties"].update(fields)
    return {**written, "$defs": by_hand | records}


def evaluate_schema(written: Shape) -> Shape:
    """The schema of ``milepost evaluate --json``: a file from outside gets no closer look."""
    written["properties"]["lower_is_better"] = LOWER
    return written


def _told(shape: Shape) -> Shape:
    """A record without the docstring of its class, which is for people who read code."""
    return {key: value for key, value in shape.items() if key not in ("description", "title")}


def schemas() -> dict[str, Shape]:
    """All three, by name."""
    improve, evaluate = (
        json.loads((FOLDER / f"{name}.json").read_text()) for name in ("improve", "evaluate")
    )
    return {
        "examine": examine_schema(),
        "improve": improve_schema(improve),
        "evaluate": evaluate_schema(evaluate),
    }


if __name__ == "__main__":
    for name, shape in schemas().items():
        (FOLDER / f"{name}.json").write_text(json.dumps(shape, indent=2, ensure_ascii=False) + "\n")
