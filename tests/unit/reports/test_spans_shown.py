"""Answers with spans for people, and as tables that others read."""

import csv
import io
import json

import numpy as np
import pyarrow.parquet as pq

from milepost.entities.prediction import Spans, linked
from milepost.entities.spans import packed_row
from milepost.reports.document import Grid
from milepost.reports.tables import predictions_table
from milepost.workflows.answering.answered import Answered

TEXTS = ("Ann met Rio", "nobody")
FOUND = Spans(
    ("name", "place"),
    linked("spans", np.array([packed_row([(0, 3, 0, 2.0), (8, 11, 1, 0.0)]), packed_row([])])),
)
ROW = [
    {"start": 0, "end": 3, "label": "name", "probability": 0.880797, "text": "Ann"},
    {"start": 8, "end": 11, "label": "place", "probability": 0.5, "text": "Rio"},
]


def test_each_span_has_a_row_under_its_text():
    (grid,) = predictions_table(TEXTS, FOUND).parts
    assert isinstance(grid, Grid)
    shown = [[cell.text for cell in row.cells] for row in grid.rows]
    assert shown == [
        ["Ann met Rio", "Ann", "name", "0.88"],
        ["", "Rio", "place", "0.50"],
        ["nobody", "none", "", ""],
    ]


def test_files_hold_the_same_as_json(tmp_path):
    answered = Answered(
        task="t", release=1, candidate="c", texts=TEXTS, predictions=FOUND, columns={"text": TEXTS}
    )
    rows = list(csv.DictReader(io.StringIO(answered.csv())))
    assert [json.loads(row["spans"]) for row in rows] == [ROW, []]
    assert list(rows[0]) == ["text", "spans", "release"]
    answered.write(tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["spans"].to_pylist() == [ROW, []]
    answered.write(tmp_path / "out.jsonl")
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["spans"] for line in lines] == [ROW, []]
