from milepost.entities.errors import (
    MilepostError,
    Problem,
    TaskFileError,
    UnknownNameError,
    nearest,
)


def test_an_error_says_where_what_and_what_to_do():
    error = MilepostError("it is broken.", where="a.csv:3", advice="Mend it.")
    assert str(error) == "a.csv:3: it is broken. Mend it."
    assert str(MilepostError("it is broken.")) == "it is broken."
    assert error.exit_code == 2


def test_an_unknown_name_offers_the_nearest():
    error = UnknownNameError("strategy", "head_logistics", ["majority", "head_logistic"])
    assert "Did you mean 'head_logistic'?" in str(error)
    assert "majority" in str(error)
    assert "none yet" in str(UnknownNameError("task", "route", []))


def test_nearest_gives_nothing_far_away():
    assert nearest("zzz", ["abc"]) is None


def test_a_task_file_error_lists_all_problems():
    rows = [Problem(file="t.yaml", line=n, field="a", what="wrong.", advice="") for n in (1, 2)]
    assert str(TaskFileError(rows)) == "t.yaml:1: a: wrong.\nt.yaml:2: a: wrong."
