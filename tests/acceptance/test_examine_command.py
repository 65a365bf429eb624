"""``milepost examine`` as a user runs it."""

import json
from pathlib import Path

from jsonschema import Draft202012Validator

import milepost as mp
from milepost.reports.plain import schema


def test_it_shows_the_release_in_production_and_any_other(milepost, improved):
    shown = milepost.ok("-w", improved, "examine", "route").out
    assert "route  release 2, in production" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert (
        "release 1, not in production"
        in milepost.ok("-w", improved, "examine", "route", "--release", "1").out
    )


def test_json_follows_its_schema_and_a_page_is_written(milepost, improved):
    done = milepost.ok("-w", improved, "examine", "route", "--json", "--output", "page.html")
    output = json.loads(done.out)
    Draft202012Validator(schema("examine")).validate(output)
    assert output["release"] == 2
    assert output["in_production"] is True
    assert "Wrote page.html." in done.err
    assert "<script" not in Path("page.html").read_text()
    other = milepost.ok("-w", improved, "examine", "route", "--candidate", output["candidate"])
    assert output["candidate"] in other.out


def test_bad_names_are_refused(milepost, improved, is_refusal):
    is_refusal(milepost("-w", improved, "examine", "route", "--release", "9"), "9")
    is_refusal(milepost("-w", improved, "examine", "rout"), "route")
    is_refusal(milepost("-w", improved, "examine", "route", "--candidate", "nobody"), "nobody")
    is_refusal(
        milepost("-w", improved, "examine", "route", "--release", "1", "--candidate", "x"),
        "either",
    )


def test_before_the_first_contest_it_says_what_to_run(milepost, fresh, is_refusal):
    is_refusal(milepost("-w", fresh, "examine", "route"), "milepost improve route")


def test_python_gives_the_same(improved):
    sheet = mp.Workspace.open(improved).examine("route")
    assert sheet.examined.release == 2
    assert "release 2, in production" in str(sheet)
