"""Queries and candidates from files: groups, drawn negatives, what may answer."""

import pytest

from milepost._base.settings import Settings
from milepost.data.load import load_table
from milepost.data.ranking import DRAWN, at_home, candidates_of
from milepost.data.read import read_examples
from milepost.entities.errors import DataError, UnknownNameError
from milepost.entities.inputs import sides
from milepost.entities.kinds import read_grade
from milepost.entities.task import DataFiles, Task

LONG = "a long answer with many words that says nearly the same every time it is given, number "


def task(**data):
    return Task(name="faq", kind="rank", inputs={"query": "string", "candidate": "string"},
                data=DataFiles(**data))  # fmt: skip


def table(columns):
    import pandas as pd

    return load_table(pd.DataFrame(columns))


@pytest.fixture
def answered():
    queries = [f"how do I mend the {thing}" for thing in ("lamp", "chair", "kettle", "clock")]
    return table({"query": queries, "candidate": [LONG + str(at) for at in range(4)]})


def test_only_right_answers_get_drawn_ones_beside_them(answered):
    reading = read_examples([answered], task(), Settings())
    examples = reading.examples
    grades = [read_grade(label) for label in examples.labels]
    assert sum(relevance > 0 for relevance, _ in grades) == 4
    drawn = [text for text, (relevance, _) in zip(examples.texts, grades, strict=True)
             if relevance == 0]  # fmt: skip
    assert len(drawn) == 4 * min(DRAWN, 3)
    right = {sides(text) for text, (relevance, _) in zip(examples.texts, grades, strict=True)
             if relevance > 0}  # fmt: skip
    assert not right & {sides(text) for text in drawn}
    assert any(each.check == "drawn_candidates" for each in reading.quality.findings)
    again = read_examples([answered], task(), Settings()).examples
    assert again.texts == examples.texts
    assert len(set(examples.ids)) == len(examples)


def test_a_query_is_a_group_however_alike_its_candidates_are(answered):
    examples = read_examples([answered], task(), Settings()).examples
    by_query = {}
    for text, group, (_, query) in zip(
        examples.texts, examples.groups, map(read_grade, examples.labels), strict=True
    ):
        by_query.setdefault(sides(text)[0], set()).add((group, query))
    assert len(by_query) == 4
    assert all(len(each) == 1 for each in by_query.values())
    assert len({next(iter(each)) for each in by_query.values()}) == 4


def test_judged_candidates_are_taken_as_they_are():
    given = table({"query": ["a", "a", "b", "b"], "candidate": ["x", "y", "x", "z"],
                    "label": ["2", "0", "0", "1"]})  # fmt: skip
    examples = read_examples([given], task(), Settings()).examples
    assert [read_grade(label)[0] for label in examples.labels] == [2.0, 0.0, 0.0, 1.0]
    assert examples.texts[0] == "a ␞ x"


def test_what_may_answer_is_said_by_files_of_candidates(tmp_path):
    (tmp_path / "answers.csv").write_text("text,more\nx,1\ny,2\nx,3\n ,4\n")
    named = task(candidates="answers.csv")
    assert candidates_of(named, (), tmp_path) == ("x", "y")
    (tmp_path / "answers.csv").write_text("other\nx\n")
    with pytest.raises(UnknownNameError):
        candidates_of(named, (), tmp_path)
    (tmp_path / "answers.csv").write_text('candidate,more\n"",1\n')
    with pytest.raises(DataError, match="no candidate"):
        candidates_of(named, (), tmp_path)


def test_a_label_column_that_is_misspelt_is_named(answered):
    with pytest.raises(UnknownNameError):
        read_examples([answered], task(label="relevanse"), Settings())


def test_a_collection_is_drawn_from_by_chance_and_the_same_each_time(tmp_path):
    (tmp_path / "answers.csv").write_text("text\n" + "".join(f"answer {at}\n" for at in range(90)))
    given = table({"query": ["a", "b"], "candidate": ["answer 1", "Answer 2!"]})
    named = at_home(task(candidates="answers.csv"), tmp_path)
    first, more = (
        {sides(text) for text in read_examples([each], named, Settings()).examples.texts}
        for each in (given, table({"query": ["a", "c"], "candidate": ["answer 1", "answer 3"]}))
    )
    assert len(first) == 2 * (DRAWN + 1)
    assert {pair for pair in first if pair[0] == "a"} == {pair for pair in more if pair[0] == "a"}
    assert ("b", "answer 2") not in first
