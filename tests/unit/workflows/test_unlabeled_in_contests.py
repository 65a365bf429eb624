"""Unlabelled inputs of a task: what strategies get of them, and what is kept to repeat it."""

import pytest

from milepost._base.clock import Deadline
from milepost.entities.errors import DataError
from milepost.entities.ids import ContestId
from milepost.workflows.contest.datasets import prepare, prepared
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options, work_key
from milepost.workflows.contest.setting import problem_of
from milepost.workflows.tasks.checking import check
from milepost.workflows.tasks.current import current_task

OPTIONS = Options(strategies=("tfidf_linear",))


@pytest.fixture
def with_inbox(context, things):
    """The task with an inbox; writes it and says where."""
    file = context.root / "data" / "inbox.csv"
    task = context.root / "tasks" / f"{things}.yaml"
    said = task.read_text(encoding="utf-8")
    task.write_text(said.replace("data: {", "data: {unlabeled: data/inbox.csv, "), "utf-8")

    def write(*texts):
        file.write_text("text\n" + "".join(f"{text}\n" for text in texts), encoding="utf-8")
        return file

    return write


def test_strategies_get_what_no_labelled_row_says(context, things, rows, with_inbox):
    with_inbox("a new message about nothing", rows[0][1].upper(), "another new one")
    task = current_task(context, things)
    material = prepare(context, task, ContestId("c0"))
    assert set(material.unlabeled) == {"a new message about nothing", "another new one"}
    problem = problem_of(context, task, material, 0, Deadline(), lambda what, share: None)
    assert problem.unlabeled == material.unlabeled
    # What is repeated later is what was stored, whatever became of the file.
    (context.root / "data" / "inbox.csv").unlink()
    assert prepared(context, material.split).unlabeled == material.unlabeled
    found = next(f for f in material.quality.findings if f.check == "unlabeled_inputs")
    assert found.count == 2


def test_another_inbox_is_other_work(context, things, with_inbox):
    def key():
        return work_key(context, current_task(context, things), OPTIONS, [])

    with_inbox("one message")
    first = key()
    assert key() == first
    with_inbox("one message", "two messages")
    assert key() != first


def test_an_inbox_that_is_missing_stops_the_contest_and_the_check(context, things, with_inbox):
    with_inbox("one message").unlink()
    with pytest.raises(DataError, match="does not exist") as caught:
        improve(context, things, OPTIONS)
    assert caught.value.where == "data/inbox.csv"
    (found,) = check(context, things)
    assert [problem.field for problem in found.problems] == ["data.unlabeled"]


def test_candidates_say_what_they_take_on_the_disk(context, things):
    contest = improve(context, things, OPTIONS).contest
    sizes = {each.strategy: each.size_bytes for each in contest.candidates}
    assert 0 < sizes["majority"] < sizes["tfidf_linear"]
