"""Lineage through language models: prompts, upstreams and the rungs of a cascade, both ways."""

import csv
import json
from dataclasses import replace

import pytest
from msgspec.structs import replace as changed

from milepost.entities.configuration import Configuration
from milepost.entities.errors import UnknownNameError
from milepost.entities.lineage import RunNews
from milepost.integrations.openlineage import run_event
from milepost.models.language.inside.fake import fake_upstream
from milepost.reports.lineage.picture import lineage_svg
from milepost.reports.lineage.tree import lineage_document
from milepost.testing.encoders import HashedEncoder
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.opening import create
from milepost.workflows.release.cards import card
from milepost.workflows.release.lineage import lineage

OPTIONS = Options(strategies=("tfidf_linear", "prompted", "cascade"), budget_usd=0.5)
TASK = """name: things
labels: {fruit: '', tool: ''}
data: {examples: data/things.csv}
cascade: {at_most_wrong: 0.45, confidence: 0.8}
"""


def add(context, price, name="big"):
    row = fake_upstream(name, "fake:?accuracy=1&seconds=0", price_in=price, price_out=10)
    context.ledger.add_upstream(row, reason="a test", actor="ann", replace=True)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A contest of a prompt and a cascade, both released, and a change of the price since."""
    wired = create(tmp_path_factory.mktemp("asked") / "desk", Configuration())
    encoder = HashedEncoder()
    context = replace(wired, encoder=lambda: encoder, bare_encoder=lambda: encoder)
    with (context.root / "data/things.csv").open("w", newline="", encoding="utf-8") as file:
        said = (("ripe apples and pears of", "fruit"), ("a hammer and saw from", "tool"))
        rows = [(f"{text} {i} word{i}", label) for i in range(60) for text, label in said]
        csv.writer(file).writerows([("text", "label"), *rows])
    (context.root / "tasks/things.yaml").write_text(TASK)
    add(context, 2.5)
    contest = improve(context, "things", OPTIONS).contest
    by_name = {each.strategy: each for each in contest.candidates}
    releases = {each.candidate: each.number for each in context.ledger.releases("things")}
    for strategy in ("prompted", "cascade"):
        one = by_name[strategy]
        assert one.error is None
        if one.id not in releases:
            made = context.ledger.make_release(
                one.id, expected_version=len(releases), reason="by hand", actor="ann"
            )
            releases[one.id] = made.number
    add(context, 3.0)
    return context, {name: releases.get(each.id) for name, each in by_name.items()}, contest


def test_a_release_leads_back_to_the_prompt_and_the_upstream_as_they_were(asked):
    context, releases, contest = asked
    found = lineage(context, f"things#{releases['prompted']}")
    (prompt,), (upstream,) = found.of_kind("prompt"), found.of_kind("upstream")
    kept = context.ledger.prompt("things", 1)
    assert (prompt.name, prompt.digest) == ("prompt 1 of things", kept.digest)
    first, second = context.ledger.upstream_versions("big")
    assert (upstream.name, upstream.digest) == ("big version 1", first.digest)
    assert first.digest != second.digest
    kept = {each.version for candidate in contest.candidates for each in candidate.asked}
    assert kept == {first.digest}
    assert "$2.50 in and $10.00 out" in upstream.words
    assert upstream.warning == "it was changed since, and is version 2 now"
    relations = {(edge.source, edge.relation) for edge in found.edges}
    assert {(prompt.id, "filled in by"), (upstream.id, "asked by")} <= relations
    assert "upstream big version 1" in lineage_document(found).plain()
    drawn = lineage_svg(found)
    assert ">upstream big version 1<" in drawn
    assert ">prompt 1 of things<" in drawn


def test_a_prompt_and_an_upstream_lead_to_the_releases_made_with_them(asked):
    context, releases, _ = asked
    prompt = context.ledger.prompt("things", 1).digest[:10]
    upstream = str(context.ledger.upstream_versions("big")[0].digest)[:10]
    both = {f"release {releases[name]}" for name in ("prompted", "cascade")}
    for name in ("things/prompt/1", prompt, "upstream/big", "big", "upstream/big/1", upstream):
        found = lineage(context, name)
        assert {node.name for node in found.of_kind("release")} == both, name
        assert found.focus[0] in ("prompt:things/1", "upstream:big/1")


def test_what_nobody_asked_yet_stands_alone(asked):
    context, _, _ = asked
    assert [node.id for node in lineage(context, "upstream/big/2").nodes] == ["upstream:big/2"]
    add(context, 1.0, "small")
    assert lineage(context, "small").nodes[0].warning == ""
    context.ledger.remove_upstream("small", reason="gone")
    assert lineage(context, "small").nodes[0].warning == "it was removed since"
    for name, near in (
        ("things/prompt/7", "1"),
        ("things/prompt/trial", "1"),
        ("upstream/big/3", "1, 2"),
        ("upstream/bik", "things"),
    ):
        with pytest.raises(UnknownNameError) as error:
            lineage(context, name)
        assert near in str(error.value)


def test_a_cascade_shows_each_rung(asked):
    context, releases, contest = asked
    cascade = next(each for each in contest.candidates if each.strategy == "cascade")
    found = lineage(context, cascade.id)
    rungs = found.of_kind("rung")
    assert [rung.name for rung in rungs] == ["rung 1 of 2: tfidf_linear", "rung 2 of 2: prompted"]
    assert "certifying examples" in rungs[0].words
    assert [rung.facts["threshold"] is None for rung in rungs] == [False, True]
    edges = {(edge.source, edge.target): edge.relation for edge in found.edges}
    assert edges["upstream:big/1", rungs[1].id] == "asked by"
    assert edges["prompt:things/1", rungs[1].id] == "filled in by"
    assert all(edges[rung.id, f"candidate:{cascade.id}"] == "rung of" for rung in rungs)
    assert ("upstream:big/1", rungs[0].id) not in edges
    assert ">1. tfidf_linear<" in lineage_svg(found)
    text = card(context, f"things#{releases['cascade']}").text
    assert "1. tfidf\\_linear, which asks no language model" in text
    assert "2. prompted\n   - upstream big, version 1" in text


def test_the_card_names_them_and_no_energy_that_nobody_stated(asked):
    context, releases, _ = asked
    name = f"things#{releases['prompted']}"
    text = card(context, name).text
    first = context.ledger.upstream_versions("big")[0]
    assert f"- upstream big, version 1: `{first.digest}`" in text
    assert f"- prompt 1 of things: `{context.ledger.prompt('things', 1).digest}`" in text
    assert "| energy and CO₂ | not measured |" in text
    assert "| energy of the language models that it asks | not known |" in text
    before = context.configuration
    after = changed(before, settings=changed(before.settings, cpu_watts=36.0))
    stated = card(replace(context, configuration=after), name).text
    assert "estimated from CPU seconds at 36 W a busy core" in stated
    assert "| CO₂ | not measured |" in stated


def test_events_tell_of_prompts_upstreams_and_rungs(asked):
    context, releases, contest = asked
    found = lineage(context, f"things#{releases['cascade']}")
    news = RunNews(
        state="COMPLETE", at=contest.started, workspace="/desk", task="things", contest=contest.id,
        started=contest.started, lineage=found,
    )  # fmt: skip
    event = json.loads(json.dumps(run_event(news)))
    told = {dataset["name"]: dataset["facets"] for dataset in event["inputs"]}
    assert told["desk.upstream.big"]["milepost_upstream"]["number"] == 1
    kept = context.ledger.prompt("things", 1)
    assert told["desk.things.prompt"]["version"]["datasetVersion"] == kept.digest
    rungs = event["outputs"][-1]["facets"]["milepost_release"]["rungs"]
    assert [rung["name"] for rung in rungs] == ["tfidf_linear", "prompted"]
