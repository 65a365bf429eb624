"""Lineage, OpenLineage events and model cards from the installed command line."""

import json
from xml.etree import ElementTree as ET

import pytest
from huggingface_hub import ModelCard

import milepost as mp


def test_where_production_comes_from(milepost, improved):
    shown = milepost.ok("-w", improved, "lineage", "route@production")
    for word in ("route@production → ★ route#2", "came from", "route.csv", "examples of route",
                 "milepost 0", "route version 1", "encoder all-MiniLM-L6-v2", "moves of",
                 "tester"):  # fmt: skip
        assert word in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80


def test_what_came_of_a_file(milepost, improved):
    shown = milepost.ok("-w", improved, "lineage", "data/route.csv")
    assert "route#1" in shown.out
    assert "★ route#2" in shown.out
    path = improved / "data/route.csv"
    path.write_text(path.read_text() + "one more,refund\n")
    shown = milepost.ok("-w", improved, "lineage", "data/route.csv")
    assert "the file is different now" in shown.out


def test_all_releases_and_one(milepost, improved):
    assert "2 releases, newest first" in milepost.ok("-w", improved, "lineage", "route").out
    one = milepost.ok("-w", improved, "lineage", "route#1").out
    assert "tfidf_linear" in one
    assert "encoder" not in one


def test_json_leads_from_the_file_to_the_channel(milepost, improved):
    found = milepost.ok("-w", improved, "lineage", "route@production", "--json").json
    nodes = {node["id"]: node for node in found["nodes"]}
    sources = {edge["target"]: edge["source"] for edge in found["edges"]}
    place, kinds = next(name for name in nodes if name.startswith("channel:")), []
    while place in sources:
        kinds.append(nodes[place]["kind"])
        place = sources[place]
    assert kinds[:3] == ["channel", "release", "bundle"]
    assert {node["kind"] for node in found["nodes"]} >= {"file", "snapshot", "task", "contest"}
    digest = next(node["digest"] for node in found["nodes"] if node["kind"] == "file")
    again = milepost.ok("-w", improved, "lineage", digest[:8], "--json").json
    assert [nodes[name]["kind"] for name in again["focus"]] == ["file"]


def test_pictures(milepost, improved, tmp_path):
    for name in ("l.svg", "l.png", "l.html"):
        told = milepost.ok("-w", improved, "lineage", "route", "--output", name)
        assert f"Wrote {name}." in told.out
    root = ET.fromstring((tmp_path / "l.svg").read_text())  # noqa: S314 — our own
    assert "★" not in "".join(root.itertext())
    assert "route#2" in "".join(root.itertext())
    assert (tmp_path / "l.png").read_bytes().startswith(b"\x89PNG")
    assert "Lineage of route" in (tmp_path / "l.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("lineage", "rout@production"), ("Did you mean 'route'",)),
        (("lineage", "route@prod"), ("no channel", "production")),
        (("lineage", "route#7"), ("no release", "Known: 2, 1")),
        (("lineage", "deadbeef"), ("begins with 'deadbeef'",)),
        (("lineage", "data/rout.csv"), ("Did you mean 'data/route.csv'",)),
        (("lineage", "route", "--output", "l.gif"), ("l.gif", ".svg, .png or .html")),
        (("lineage", "route", "--openlineage", "ftp://x"), ("cannot be sent",)),
        (("lineage", "route", "--openlineage", "http://127.0.0.1:9"), ("ConnectError",)),
        (("card", "rout"), ("Did you mean 'route'",)),
        (("card", "route@prod"), ("no channel", "production")),
        (("card", "route#9"), ("no release",)),
        (("card", "route#x"), ("no release",)),
        (("card", "route#1", "--release", "2"), ("names a release already",)),
    ],
)
def test_what_is_typed_wrong_is_told(milepost, improved, is_refusal, arguments, words):
    done = milepost("-w", improved, *arguments)
    done = type(done)(done.code, "" if done.code == 2 else done.out, done.err)
    is_refusal(done, *words)


def test_openlineage_on_demand(milepost, improved, tmp_path):
    milepost.ok("-w", improved, "lineage", "route", "--openlineage", "events.jsonl")
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"] * 2
    assert len({event["run"]["runId"] for event in events}) == 2


def test_openlineage_from_the_workspace(milepost, fresh):
    toml = fresh / "milepost.toml"
    lines = [line for line in toml.read_text().splitlines() if "openlineage" not in line]
    toml.write_text("\n".join(['openlineage = "events.jsonl"', *lines]) + "\n")
    done = milepost("-w", fresh, "improve", "route", "--strategy", "tfidf_linear")
    assert done.code in (0, 1), done.err
    events = [json.loads(line) for line in (fresh / "events.jsonl").read_text().splitlines()]
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"]
    # Nobody listens any more: the contest is held all the same, and that is said once.
    toml.write_text("\n".join(['openlineage = "http://127.0.0.1:9"', *lines]) + "\n")
    done = milepost("-w", fresh, "improve", "route", "--seed", "1", "--strategy", "tfidf_linear")
    assert done.code in (0, 1), done.err
    assert done.err.count("OpenLineage") == 1
    assert "Traceback" not in done.err


def test_a_card_of_any_release(milepost, improved, tmp_path):
    text = milepost.ok("-w", improved, "card", "route").out
    assert "# route, release 2" in text
    read = ModelCard(text).data
    assert read.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    old = milepost.ok("-w", improved, "card", "route#1").out
    assert milepost.ok("-w", improved, "card", "route", "--release", "1").out == old
    assert ModelCard(old).data.base_model is None
    card = mp.Workspace.open(improved).contest("route").chosen
    assert card is not None
    assert card.scorecard is not None
    told = {each.metric_name: each.metric_value for each in read.eval_results}
    assert told["accuracy"] == card.scorecard.metrics["accuracy"].value
    milepost.ok("-w", improved, "card", "route@production", "--output", "card.md")
    assert (tmp_path / "card.md").read_text() == text


def test_what_a_person_writes_stays(milepost, improved):
    waits = milepost("-w", improved, "card", "route", "--check")
    assert waits.code == 1
    assert "## Intended use" in waits.out
    assert "cards/route.md" in waits.out
    headings = [line.strip() for line in waits.out.splitlines() if line.startswith("  ## ")]
    (improved / "cards").mkdir()
    person = "---\nlicense: mit\n---\n" + "".join(f"{h}\n\nOf {h[3:]}.\n\n" for h in headings)
    (improved / "cards/route.md").write_text(person)
    assert "is whole" in milepost.ok("-w", improved, "card", "route", "--check").out
    for release in (1, 2):
        text = milepost.ok("-w", improved, "card", "route", "--release", release).out
        assert "To be written by a person" not in text
        assert "Of Intended use." in text
        assert ModelCard(text).data.license == "mit"
    (improved / "cards/route.md").write_text("## Intendet use\n\nx\n")
    wrong = milepost("-w", improved, "card", "route")
    assert wrong.code == 2
    assert "Did you mean 'Intended use'" in wrong.err


def test_an_exported_release_brings_its_card(milepost, improved, tmp_path):
    milepost.ok("-w", improved, "export", "route", "out", "--release", "1")
    text = (tmp_path / "out/README.md").read_text()
    assert "# route, release 1" in text
    assert ModelCard.load(tmp_path / "out/README.md").data.library_name == "milepost"
    assert mp.load_exported(tmp_path / "out").predict(["where is my money?"]).answers
