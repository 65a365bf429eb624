"""Write the published JSON Schema of ``milepost examine --json`` from the records that it holds."""

import json
from pathlib import Path
from typing import Any

import msgspec

import milepost.reports
from milepost.entities.examination import Examination

PLACE = Path(milepost.reports.__file__).parent / "schemas" / "examine.json"
ESTIMATE: dict[str, object] = {"$ref": "#/$defs/Estimate"}


def examine_schema() -> dict[str, Any]:
    """The schema (draft 2020-12): what the command adds, and the records of an examination."""
    (found,), defs = msgspec.json.schema_components(
        (Examination | None,), ref_template="#/$defs/{name}"
    )
    point = {
        "type": "object",
        "required": ["examples", "value", "low", "high", "n"],
        "properties": {
            "examples": {"type": "integer", "description": "Training examples."},
            **{name: {"type": "number"} for name in ("value", "low", "high")},
            "n": {"type": "integer"},
        },
    }
    measured = {
        "type": "object",
        "required": ["value", "low", "high", "n"],
        "properties": {
            **{name: {"type": ["number", "null"]} for name in ("value", "low", "high")},
            "n": {"type": "integer"},
        },
    }
    left_out = {
        "type": "object",
        "required": ["section", "why"],
        "properties": {"section": {"type": "string"}, "why": {"type": "string"}},
    }
    properties: dict[str, Any] = {
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
        "metrics": {"type": "object", "additionalProperties": measured},
        "looks": {"type": "integer"},
        "forecast": {
            "type": "array",
            "items": point,
            "description": "What more labels are expected to bring.",
        },
        "not_examined": {"type": "array", "items": left_out},
        "examination": {**found, "description": "null for contests that made none."},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "milepost examine --json",
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "$defs": {name: _told(shape) for name, shape in defs.items()},
    }


def _told(shape: dict[str, Any]) -> dict[str, Any]:
    """A record without the docstring of its class, which is for people who read code."""
    return {key: value for key, value in shape.items() if key not in ("description", "title")}


if __name__ == "__main__":
    PLACE.write_text(json.dumps(examine_schema(), indent=2, ensure_ascii=False) + "\n")
