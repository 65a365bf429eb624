"""Lineage of a real workspace: two contests, two files, one change of mind."""

from dataclasses import replace

import pytest

from milepost.entities.errors import InputError, UnknownNameError
from milepost.reports.lineage.picture import lineage_svg
from milepost.reports.lineage.tree import lineage_document
from milepost.workflows.contest.improve import Options, improve
from milepost.workflows.release.cards import card
from milepost.workflows.release.channels import promote, rollback
from milepost.workflows.release.lineage import lineage
from milepost.workflows.tasks.current import current_task


@pytest.fixture
def worked(context, things):
    """Two releases of ``things``; the second one was withdrawn and put back by somebody else."""
    improve(context, things, Options(strategies=["tfidf_linear"]))
    contest = improve(context, things, Options(strategies=["head_closed_form"])).contest
    if contest.release is None:
        chosen = contest.chosen
        assert chosen is not None
        context.ledger.make_release(chosen.id, expected_version=1, reason="by hand", actor="ann")
    rollback(context, things, "complaints")
    promote(replace(context, actor="bob"), things, 2, "they were about something else")
    return context


def kinds(found):
    return {node.kind for node in found.nodes}


def test_a_channel_leads_back_to_the_raw_file(worked):
    found = lineage(worked, "things@production")
    assert found.focus == ("release:things#2",)
    assert kinds(found) == {
        "file", "snapshot", "task", "code", "encoder", "contest", "candidate", "bundle",
        "release", "channel",
    }  # fmt: skip
    (file,) = found.of_kind("file")
    assert (file.name, file.words, file.warning) == ("data/things.csv", "20 rows", "")
    assert [(m.before, m.after, m.actor, m.reason) for m in found.moves][-2:] == [
        (2, 1, worked.actor, "complaints"),
        (1, 2, "bob", "they were about something else"),
    ]
    assert [look.contest for look in found.looks]


def test_the_graph_is_whole_and_flows_one_way(worked):
    for asked in ("things", "things#1", "things@production", "data/things.csv"):
        found = lineage(worked, asked)
        place = {node.id: i for i, node in enumerate(found.nodes)}
        assert len(place) == len(found.nodes)
        assert found.focus
        assert set(found.focus) <= set(place)
        for edge in found.edges:
            assert place[edge.source] < place[edge.target], edge
        assert {node.id for node in found.nodes} == set(found.focus) | {
            end for edge in found.edges for end in (edge.source, edge.target)
        }


def test_a_file_leads_to_every_release_that_came_of_it(worked):
    found = lineage(worked, "data/things.csv")
    assert [node.name for node in found.of_kind("release")] == ["release 1", "release 2"]
    assert found.of_kind("task") == ()
    digest = found.of_kind("file")[0].digest
    assert digest is not None
    assert lineage(worked, digest).nodes == found.nodes
    assert lineage(worked, digest[:6]).nodes == found.nodes
    assert lineage(worked, str(worked.root / "data/things.csv")).nodes == found.nodes


def test_a_file_that_changed_or_went_is_told(worked):
    path = worked.root / "data/things.csv"
    path.write_text(path.read_text() + "new,one more apple,fruit\n")
    (file,) = lineage(worked, "things@production").of_kind("file")
    assert file.warning == "the file is different now"
    path.unlink()
    (file,) = lineage(worked, "data/things.csv").of_kind("file")
    assert file.warning == "the file is not there now"


def test_a_changed_file_that_was_read_again_is_two_nodes(worked):
    path = worked.root / "data/things.csv"
    path.write_text(path.read_text() + "new,one more apple of kilo,fruit\n")
    improve(worked, "things", Options(strategies=["tfidf_linear"]))
    found = lineage(worked, "data/things.csv")
    assert sorted(node.warning for node in found.of_kind("file")) == [
        "",
        "the file is different now",
    ]
    assert len(found.of_kind("snapshot")) == 2
    # Asked by its present bytes, only what came of those is shown.
    now = next(node for node in found.of_kind("file") if not node.warning)
    assert len(lineage(worked, str(now.digest)).of_kind("snapshot")) == 1


def test_every_digest_and_id_in_a_lineage_can_be_asked_for(worked):
    whole = lineage(worked, "things")
    asked = {node.digest: node.kind for node in whole.nodes if node.digest}
    asked |= {
        str(node.facts["id"]): node.kind
        for node in whole.nodes
        if node.kind in ("contest", "candidate")
    }
    for digest, kind in asked.items():
        found = lineage(worked, digest)
        about = {node.kind for node in found.nodes if node.id in found.focus}
        assert about == {kind}, digest
    predictions = lineage(worked, "data/things.csv").of_kind("predictions")
    assert lineage(worked, str(predictions[0].digest)).focus == (predictions[0].id,)
    manifest = whole.of_kind("bundle")[0].facts["files"]
    assert manifest


def test_a_candidate_that_lost_can_be_asked_for(worked):
    contest = worked.ledger.latest_contest("things")
    loser = next(each for each in contest.candidates if not each.chosen)
    found = lineage(worked, loser.id)
    assert found.focus == (f"candidate:{loser.id}",)


def test_snapshots_of_a_file_before_any_contest(context, things):
    found = improve(context, things, Options(strategies=["tfidf_linear"]))
    assert found.contest.release == 1
    assert lineage(context, found.contest.examples).of_kind("snapshot")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("thinsg", "Did you mean 'things'"),
        ("thinsg@production", "no task 'thinsg'.*Did you mean 'things'"),
        ("things@productoin", "Did you mean 'production'"),
        ("things#9", "no release of 'things' '9'.*Known: 2, 1"),
        ("things#x", "no release of 'things' 'x'"),
        ("data/thing.csv", "Did you mean 'data/things.csv'"),
        ("../../etc/passwd", "there is no task, release"),
        ("", "there is no task, release"),
    ],
)
def test_what_is_not_there_offers_the_nearest(worked, asked, says):
    with pytest.raises(UnknownNameError, match=says):
        lineage(worked, asked)


def test_an_unknown_digest_says_so(worked):
    with pytest.raises(InputError, match="begins with 'ffffffff'"):
        lineage(worked, "ffffffff")


def test_a_beginning_that_fits_several_names_them(worked):
    contest = worked.ledger.latest_contest("things")
    with pytest.raises(InputError, match=r"fits \d+ things.*Give more digits: candidate c"):
        lineage(worked, contest.id[:-1])


def test_a_task_without_a_release_says_what_to_do(context, things):
    current_task(context, things)
    with pytest.raises(InputError, match="milepost improve things"):
        lineage(context, things)
    with pytest.raises(InputError, match="milepost improve things"):
        lineage(context, f"{things}@production")


def test_a_bundle_that_is_gone_is_told_and_the_rest_is_there(worked):
    before = lineage(worked, "things@production")
    bundle = before.of_kind("bundle")[0]
    for path in worked.root.rglob(f"*{str(bundle.digest)[8:]}*"):
        path.unlink()
    after = lineage(worked, "things@production")
    assert after.of_kind("bundle")[0].warning
    assert after.of_kind("file") == before.of_kind("file")


def test_who_approved_is_part_of_it(context, things):
    path = context.root / "tasks/things.yaml"
    path.write_text(path.read_text() + "release: {approvals: 1}\n")
    improve(context, things, Options(strategies=["tfidf_linear"]))
    waiting = lineage(context, "things@production")
    assert waiting.focus == ("release:things#1",)
    assert not waiting.of_kind("channel")
    context.ledger.approve(things, 1, reason="I read the mistakes", actor="second person")
    found = lineage(context, "things@production")
    (approval,) = found.of_kind("approval")
    assert (approval.actor, approval.words) == ("second person", "I read the mistakes")
    assert any(e.source == approval.id and e.relation == "approved" for e in found.edges)
    assert found.of_kind("channel")
    assert "approved by second person" in lineage_svg(found)
    assert "second person: I read the mistakes" in lineage_document(found).plain()
    assert "1 of 1 needed." in card(context, things).text
