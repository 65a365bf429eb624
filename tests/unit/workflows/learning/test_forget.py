"""Forgetting: nothing stored holds the text any more, and answers are those of a refit without."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from milepost._base.clock import Deadline
from milepost.entities.errors import DataError, InputError, UnknownNameError
from milepost.models.cached import CachedEncoder
from milepost.storage.files.vectors import FileVectorStore
from milepost.strategies.head_closed_form import HeadClosedForm
from milepost.workflows.contest.datasets import Split, prepared
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.contest.setting import problem_of
from milepost.workflows.context import Context
from milepost.workflows.learning.forget import forget
from milepost.workflows.learning.heads import open_head
from milepost.workflows.learning.learn import Teacher
from milepost.workflows.release.channels import promote, rollback
from milepost.workflows.release.reproduce import reproduce
from milepost.workflows.upkeep.audit import verify_audit
from milepost.workflows.upkeep.verify import verify

WHERE = "customer = 'c3'"
TEXTS = ("ripe apples and pears of delta", "a hammer and saw from delta")


def problem_now(context: Context):
    contest = context.ledger.contests("things")[-1]
    split = msgspec.json.decode(context.artifacts.get(contest.split or ""), type=Split)
    material = prepared(context, split)
    task = context.ledger.task("things").task
    return problem_of(context, task, material, 0, Deadline(), lambda what, share: None)


def holding(root: Path, text: str) -> list[str]:
    """Files under a folder that hold a text as it is, snapshots unpacked."""
    found: list[str] = []
    for path in (each for each in root.rglob("*") if each.is_file()):
        data = path.read_bytes()
        if data.startswith(b"PAR1"):
            data += repr(pq.read_table(path).to_pydict()).encode()
        if text.encode() in data:
            found.append(str(path))
    return found


def test_nothing_holds_the_text_and_the_head_is_that_of_a_refit(released: Context) -> None:
    cached = CachedEncoder(released.encoder(), FileVectorStore(released.root / ".milepost/vectors"))
    cached.encode(TEXTS)
    before = problem_now(released)
    head = open_head(released, "things", released.ledger.release("things", 1))
    done = forget(released, "things", WHERE, (), reason="they asked")
    assert (done.examples, done.past, done.production) == (2, 0, "updated")
    assert done.releases == (1,)
    assert done.vectors == 2
    assert [each.rows for each in done.files] == [2]
    assert all(each.deleted for each in done.snapshots)
    for text in TEXTS:
        # what quality reports and scorecards of the past quote is said to be left
        left = [each for each in holding(released.root, text) if "ledger" not in each]
        assert not left
    kept = np.flatnonzero([text not in TEXTS for text in before.texts])
    without = replace(before, texts=tuple(before.texts[i] for i in kept), y=before.y[kept])
    statistics = HeadClosedForm().statistics(without)
    refitted = head.solved.of(statistics, head.solved.shrinkage)
    now = open_head(released, "things", released.ledger.release("things", 1))
    for one, other in zip(now.solved.linear(), refitted.linear(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert verify_audit(released, None, None).intact
    assert not verify(released, None, everything=True).faults


def test_the_audit_log_says_what_and_why_and_no_text(released: Context) -> None:
    forget(released, "things", None, ("r3-fruit",), reason="they asked")
    (begun,) = released.ledger.audit(action="examples.forgetting")
    (done,) = released.ledger.audit(action="examples.forgotten")
    for entry in (begun, done):
        assert (entry.subject, entry.reason) == ("things", "they asked")
        assert entry.details["releases"] == [1]
        assert "delta" not in repr(entry)
    (file,) = done.details["files"]  # type: ignore[misc]
    assert file["before"] != file["after"]
    (snapshot,) = done.details["snapshots"]  # type: ignore[misc]
    assert snapshot["before"] != snapshot["after"]


@pytest.mark.slow
def test_the_next_contest_replaces_the_release_and_nobody_brings_it_back(
    released: Context,
) -> None:
    forget(released, "things", WHERE, (), reason="they asked")
    contest = improve(released, "things", Options(strategies=("head_closed_form",))).contest
    assert contest.release == 2, contest.decision.reasons
    assert any("were forgotten since" in reason for reason in contest.decision.reasons)
    trained = problem_now(released)
    assert not set(TEXTS) & set(trained.texts)
    for back in (
        lambda: promote(released, "things", 1, "x"),
        lambda: rollback(released, "things", "x"),
    ):
        with pytest.raises(InputError, match="learned from examples that were forgotten"):
            back()
    with pytest.raises(InputError):
        reproduce(released, "things", 1)


def test_taught_labels_are_forgotten_too(released: Context) -> None:
    path = released.root / "data/things.csv"
    teacher = Teacher(released)
    teacher.learn("things", "a ladder in the shed", "tool", "x")
    teacher.learn("things", "plums in a basket", "fruit", "x")
    with path.open("a") as file:
        file.write("n1,a ladder in the shed,tool,c9\n")
    done = forget(released, "things", None, ("n1",), reason="they asked")
    # the release never saw it, but the head was taught it
    assert (done.feedback, done.production, done.releases) == (1, "updated", ())
    (said,) = released.ledger.feedback("things")
    assert said.text == "plums in a basket"
    assert not holding(released.root / "data", "ladder")
    head = open_head(released, "things", released.ledger.release("things", 1))
    assert sum(not each.source for each in head.known.values()) == 1


def test_a_dry_run_changes_nothing(released: Context) -> None:
    before = (released.root / "data/things.csv").read_bytes()
    entries = released.ledger.audit_head()
    done = forget(released, "things", WHERE, (), reason="they asked", dry_run=True)
    assert done.dry_run
    assert (done.examples, done.releases, done.production) == (2, (1,), "updated")
    assert (released.root / "data/things.csv").read_bytes() == before
    assert released.ledger.audit_head() == entries


def test_run_again_it_finishes_what_was_broken_off(released: Context) -> None:
    path = released.root / "data/things.csv"
    lines = path.read_text().splitlines(keepends=True)
    # As after a kill: the file has lost its rows, the snapshot not yet.
    path.write_text("".join(line for line in lines if not line.endswith("c3\n")))
    done = forget(released, "things", WHERE, (), reason="they asked")
    assert (done.examples, done.past) == (0, 2)
    assert done.releases == (1,)
    with pytest.raises(InputError, match="no example of 'things' fits"):
        forget(released, "things", WHERE, (), reason="they asked")


def test_bad_input_is_refused_and_nothing_is_done(released: Context) -> None:
    entries = released.ledger.audit_head()
    with pytest.raises(InputError, match="nothing says what"):
        forget(released, "things", None, (), reason="x")
    with pytest.raises(InputError, match="no reason"):
        forget(released, "things", WHERE, (), reason=" ")
    with pytest.raises(InputError, match="custmer"):
        forget(released, "things", "custmer = 'c3'", (), reason="x")
    with pytest.raises(UnknownNameError):
        forget(released, "thing", WHERE, (), reason="x")
    with pytest.raises(InputError, match="no example"):
        forget(released, "things", None, ("r99",), reason="x")
    with pytest.raises(DataError, match="too little left"):
        forget(released, "things", "customer <> 'c0'", (), reason="x")
    assert released.ledger.audit_head() == entries


def test_a_file_outside_the_workspace_is_not_rewritten(released: Context) -> None:
    outside = released.root.parent / "more.csv"
    outside.write_text("id,text,label,customer\no1,grapes on a vine,fruit,c77\n")
    task = released.root / "tasks/things.yaml"
    task.write_text(task.read_text().replace("data/things.csv", "[data/things.csv, ../more.csv]"))
    with pytest.raises(InputError, match="outside the workspace"):
        forget(released, "things", "customer = 'c77'", (), reason="x")
    assert "c77" in outside.read_text()


KINDS = {
    "extract": [("Ann went to %d Rome", '[[0, 3, "name"]]'), ("at %d Bob sat", "[]")],
    "score": [("thing %d of many", "{}.5")],
    "multilabel": [("bill %d is late", "late|bill"), ("all is well %d", "[]")],
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_is_counted_as_the_kind_learns(released: Context, kind: str) -> None:
    """Sets, spans and numbers are hardly ever the same twice, and there is enough of them."""
    rows = [(text % at, said.format(at)) for at in range(12) for text, said in KINDS[kind]]
    lines = [json.dumps({"text": text, "label": said}) for text, said in rows]
    (released.root / "data/more.jsonl").write_text("\n".join(lines))
    (released.root / "tasks/more.yaml").write_text(
        f"name: more\nkind: {kind}\ndata: {{examples: data/more.jsonl}}\n"
    )
    done = forget(released, "more", "text like '%7%'", (), reason="x", dry_run=True)
    assert (done.examples, done.production) == (len(KINDS[kind]), "none")
    with pytest.raises(DataError, match="too little left to learn from: there would be none"):
        forget(released, "more", "text <> ''", (), reason="x")
    with pytest.raises(DataError, match=r"too little left to learn from: .* row"):
        forget(released, "more", "not text like '%3%'", (), reason="x")


@pytest.mark.parametrize(
    ("strategy", "becomes"),
    [("head_closed_form", "updated"), ("tfidf_linear", "to be replaced")],
)
def test_a_dry_run_says_what_then_happens(released: Context, strategy: str, becomes: str) -> None:
    file = released.root / "tasks/things.yaml"
    file.with_name("others.yaml").write_text(file.read_text().replace("things\n", "others\n"))
    assert improve(released, "others", Options(strategies=(strategy,))).contest.release == 1
    dry = forget(released, "others", WHERE, (), reason="x", dry_run=True)
    done = forget(released, "others", WHERE, (), reason="x")
    assert dry.production == done.production == becomes
    assert dry.releases == done.releases == (1,)
