"""Inputs without a label: what is kept of them, and what is said of the rest."""

import msgspec
import pytest

from milepost._base.settings import Settings
from milepost.data.splitting import unlabeled
from milepost.data.splitting.unlabeled import read_unlabeled
from milepost.entities.errors import DataError, UnknownNameError
from milepost.entities.example import Examples
from milepost.entities.task import Task

LABELLED = ("my card was stolen in town", "where is the parcel that I ordered on monday last week")


def task_of(*files, **inputs):
    return msgspec.convert(
        {"name": "route", "data": {"examples": "a.csv", "unlabeled": files}, **inputs}, Task
    )


def read(tmp_path, text, task=None, **more):
    (tmp_path / "inbox.csv").write_text(text, encoding="utf-8")
    return read_unlabeled(task or task_of("inbox.csv"), LABELLED, Settings(), root=tmp_path, **more)


def test_what_a_labelled_text_says_is_left_out(tmp_path):
    found = read(
        tmp_path,
        "text,sent\nMY CARD WAS STOLEN IN TOWN!,1\nis it open,2\n,3\nIs it open?,4\n"
        "refund please,5\n",
    )
    assert set(found.examples.texts) == {"is it open", "refund please"}
    assert set(found.examples.labels) == {None}
    assert found.rows == 4
    assert found.sources[0].path == "inbox.csv"
    assert found.finding is not None
    assert found.finding.count == 2
    assert "1 says what a labelled one says; 1 says what another one says" in found.finding.summary
    assert found.finding.examples[0].startswith("inbox.csv:2")


def test_rows_that_came_with_the_examples_count_too(tmp_path):
    among = Examples(
        ids=("x", "y"),
        texts=("hello there", LABELLED[0]),
        labels=(None, None),
        groups=("", ""),
        sources=("a.csv:3", "a.csv:4"),
    )
    found = read_unlabeled(task_of(), LABELLED, Settings(), among=among, root=tmp_path)
    assert found.examples.texts == ("hello there",)
    assert found.examples.sources == ("a.csv:3",)


def test_a_task_without_any_has_none(tmp_path):
    found = read_unlabeled(task_of(), LABELLED, Settings(), root=tmp_path)
    assert (len(found.examples), found.finding, found.rows) == (0, None, 0)


def test_inputs_are_prepared_as_examples_are(tmp_path):
    task = task_of("inbox.csv", inputs={"body": {"column": "mail", "prepare": ["strip_html"]}})
    found = read(tmp_path, "mail\n<p>is it <b>open</b></p>\n", task)
    assert [text.split() for text in found.examples.texts] == [["is", "it", "open"]]
    assert found.examples.originals == ("<p>is it <b>open</b></p>",)


def test_of_too_many_the_same_are_kept_whatever_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(unlabeled, "MOST", 5)
    lines = [f"message number {i} of some day" for i in range(20)]
    first = read(tmp_path, "text\n" + "\n".join(lines) + "\n")
    second = read(tmp_path, "text\n" + "\n".join(reversed(lines)) + "\n")
    assert len(first.examples) == 5
    assert set(first.examples.texts) == set(second.examples.texts)
    assert first.finding is not None
    assert "15 are more than 5" in first.finding.summary


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        ("texts,b\nhello,1\n", UnknownNameError, "text"),
        ("text,b\n,1\n,2\n", DataError, "no row of it has a text"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, content, error, said):
    with pytest.raises(error, match=said) as caught:
        read(tmp_path, content)
    assert "inbox.csv" in str(caught.value.where)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_unlabeled(task_of("gone.csv"), LABELLED, Settings(), root=tmp_path)


def test_several_inputs_are_composed(tmp_path):
    task = task_of(
        "inbox.csv",
        inputs={"left": "string", "right": {"type": "string", "column": "other"}},
        kind="match",
    )
    found = read(tmp_path, "other,left\nb,a\n,\nd,c\n", task)
    assert set(found.examples.texts) == {"a ␞ b", "c ␞ d"}
    with pytest.raises(UnknownNameError, match="other"):
        read(tmp_path, "left,right\na,b\n", task)
