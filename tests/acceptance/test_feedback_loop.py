"""From wrong answers to a better release: what was said of served answers is trained on."""

import asyncio
import csv
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import milepost as mp
from milepost.entities.serving import Ask
from milepost.workflows.opening import open_context
from milepost.workflows.serving.opening import ServeOptions, open_service

HEAD = ("--strategy", "head_closed_form")
TASK = "question"


def save(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def served(folder, texts, **ask):
    """Answers of the workspace as a server gives and records them."""

    async def answer():
        context = open_context(folder)
        service = open_service(context, ServeOptions(threads=1))
        try:
            parts = [texts[start : start + 64] for start in range(0, len(texts), 64)]
            answers = [
                await service.answer(Ask(task=TASK, texts=tuple(part), **ask)) for part in parts
            ]
        finally:
            await service.close(30)
            context.ledger.close()
        return [each for part in answers for each in part.predictions]

    return asyncio.run(answer())


@pytest.fixture(scope="session")
def questions():
    """Rows of the TREC questions: some to begin with, those that are asked, a golden set, and
    some that nobody sees before the end."""
    given = os.environ.get("MILEPOST_DATA")
    folder = Path(given) if given else Path(__file__).parents[3] / "shared/data"
    if not folder.is_dir():
        pytest.skip(f"the benchmark data are not at {folder}; name their folder in MILEPOST_DATA")

    def rows(name):
        table = pq.read_table(folder / "trec" / name).to_pylist()
        return [(row["text"], row["label"]) for row in table]

    train, test = rows("train.parquet"), rows("test.parquet")
    spread = [train[i * len(train) // 500] for i in range(500)]
    return {
        "own": spread[::6],
        "asked": [row for i, row in enumerate(spread) if i % 6],
        "golden": test[::2],
        "unseen": test[1::2],
    }


@pytest.fixture
def desk(milepost, questions):
    """A workspace with a release from few labels, judged on a golden set."""
    own = save(milepost.folder / "own.csv", questions["own"])
    golden = save(milepost.folder / "golden.csv", questions["golden"])
    milepost.ok("init", "desk", "--from", own, "--task", TASK)
    milepost.ok("-w", "desk", "add", TASK, golden, "--as", "test")
    milepost.ok("-w", "desk", "improve", TASK, *HEAD)
    return milepost.folder / "desk"


@pytest.mark.slow
@pytest.mark.data
def test_from_wrong_answers_to_a_better_release(milepost, questions, desk):
    unseen = save(milepost.folder / "unseen.csv", questions["unseen"])

    def accuracy():
        found = milepost.ok("-w", "desk", "evaluate", TASK, "--data", unseen, "--json").json
        return found["metrics"]["accuracy"]["value"]

    before = accuracy()
    asked = questions["asked"]
    answers = served(desk, [text for text, _ in asked])
    ws = mp.Workspace.open(desk)
    labels = dict(asked)
    for (text, label), answer in zip(asked, answers, strict=True):
        right = labels[text] == answer.label
        ws.give_feedback(answer.trace_id, **({"rating": 1.0} if right else {"label": label}))
    wrong = next(a for (_, label), a in zip(asked, answers, strict=True) if a.label != label)

    # What the command line shows of it.
    out = milepost.ok("-w", "desk", "traces", TASK, "--limit", 3).out
    assert answers[-1].trace_id in out
    shown = milepost.ok("-w", "desk", "traces", "show", wrong.trace_id).out
    assert wrong.label in shown
    assert "release" in shown
    out = milepost.ok("-w", "desk", "feedback", TASK, "--limit", 2).out
    assert " corrected, " in out
    add = ("-w", "desk", "feedback", "add", wrong.trace_id)
    assert "--with-feedback" in milepost.ok(*add, "--rating", 0, "--comment", "no").out
    assert "was said before" in milepost.ok(*add, "--rating", 0, "--comment", "no").out
    lineage = milepost.ok("-w", "desk", "lineage", wrong.trace_id).out
    for part in (f"{TASK}#1", "contest", "examples of question", "test of question"):
        assert part in lineage

    done = milepost.ok("-w", "desk", "improve", TASK, *HEAD, "--with-feedback")
    assert "released as release 2" in done.out
    assert "corrections from feedback" in done.out
    # On questions that neither training nor the gate has seen.
    assert accuracy() > before + 0.03
    ws = mp.Workspace.open(desk)
    assert ws.contest(TASK).regime == "test_file"
    milepost.ok("-w", "desk", "audit", "verify")


@pytest.mark.slow
@pytest.mark.data
def test_a_key_that_is_wrong_on_purpose_changes_nothing(milepost, questions, desk):
    asked = questions["asked"]
    answers = served(desk, [text for text, _ in asked], key="k00000000bad0")
    names = sorted({label for _, label in asked})
    context = open_context(desk)
    from milepost.serving.asking import Said
    from milepost.workflows.serving.feedback import give

    for (_, label), answer in zip(asked, answers, strict=True):
        wrong = names[(names.index(label) + 1) % len(names)]
        give(context, Said(trace=answer.trace_id, label=wrong, key="k00000000bad0"))
    context.ledger.close()
    done = milepost("-w", "desk", "improve", TASK, *HEAD, "--with-feedback")
    assert "of one key that may be trained on" in done.out
    assert "released as" not in done.out
    (channel,) = [c for c in mp.Workspace.open(desk).channels(TASK) if c.name == "production"]
    assert channel.release == 1


def test_bad_requests_are_refused_with_a_reason(milepost, improved, is_refusal):
    (name,) = mp.Workspace.open(improved).task_names(None)
    for arguments, told in (
        (("traces", "nothing"), "there is no task 'nothing'"),
        (("traces", "show", "t123"), "there is no trace 't123'"),
        (("feedback", "nothing"), "there is no task 'nothing'"),
        (("feedback", "add", "t" + "0" * 32, "--label", "x"), "there is no trace"),
        (("feedback", "add", "t" + "0" * 32), "nothing was said"),
        (("lineage", "t" + "0" * 12 + "7" + "0" * 3 + "8" + "0" * 15), "there is no trace"),
        (("traces", name, "--limit", "0"), "--limit"),
    ):
        is_refusal(milepost("-w", improved, *arguments), told)
    assert "no such traces" in milepost.ok("-w", improved, "traces", name).out
    assert "Nobody has said" in milepost.ok("-w", improved, "feedback", name).out
    assert milepost.ok("-w", improved, "traces", name, "--json").json == {"traces": []}
