import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.errors import InputError, TaskFileError, UnknownNameError, WorkspaceError
from milepost.entities.task import DataFiles, Task
from milepost.workflows.tasks.files import (
    append_data_file,
    read_task,
    task_names,
    task_path,
    write_task,
    write_whole,
)

TASK = Task(name="route", labels={"a": "first", "b": ""}, data=DataFiles(examples="data/r.csv"))


def test_a_written_task_is_read_back(tmp_path):
    path = write_task(tmp_path, TASK)
    assert path == tmp_path / "tasks/route.yaml"
    assert task_names(tmp_path) == ["route"]
    assert read_task(tmp_path, "route") == TASK
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_an_existing_task_is_never_overwritten(tmp_path):
    path = write_task(tmp_path, TASK)
    before = path.read_bytes()
    with pytest.raises(InputError, match="milepost add route FILE"):
        write_task(tmp_path, Task(name="route"))
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["../route", "/etc/passwd", "tasks/route", "", "rout\0e", "rout"])
def test_a_name_becomes_a_path_only_if_it_is_among_the_files(tmp_path, name):
    write_task(tmp_path, TASK)
    (tmp_path / "route.yaml").write_text("name: route\n")
    with pytest.raises(UnknownNameError):
        task_path(tmp_path, name)


def test_a_file_whose_name_is_not_the_tasks_is_refused(tmp_path):
    write_task(tmp_path, TASK).rename(tmp_path / "tasks/other.yaml")
    with pytest.raises(TaskFileError, match=r"tasks/other\.yaml:1: name: 'route' is not the name"):
        read_task(tmp_path, "other")


def test_a_byte_order_mark_is_no_problem_and_other_encodings_are_named(tmp_path):
    path = write_task(tmp_path, TASK)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_task(tmp_path, "route") == TASK
    path.write_bytes("name: route # caf\xe9\n".encode("latin-1"))
    with pytest.raises(TaskFileError, match="not UTF-8 text"):
        read_task(tmp_path, "route")


def test_more_files_are_appended_and_comments_stay(tmp_path):
    path = tmp_path / "tasks/route.yaml"
    path.parent.mkdir()
    path.write_text(
        "# Our queues.\nname: route\nlabels:\n  a: first  # the best\n  b: second\n"
        "data:\n  examples: data/one.csv\n"
    )
    append_data_file(tmp_path, "route", "examples", "data/two.csv")
    append_data_file(tmp_path, "route", "examples", "data/two.csv")
    append_data_file(tmp_path, "route", "test", "data/test.csv")
    text = path.read_text()
    assert "# Our queues." in text
    assert "# the best" in text
    data = read_task(tmp_path, "route").data
    assert data.example_files == ("data/one.csv", "data/two.csv")
    assert data.test_files == ("data/test.csv",)


@given(content=st.binary(max_size=200), before=st.none() | st.binary(max_size=20))
def test_a_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path_factory, content, before):
    folder = tmp_path_factory.mktemp("whole")
    path = folder / "below/file.bin"
    if before is not None:
        path.parent.mkdir()
        path.write_bytes(before)
    write_whole(path, content)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named_and_left_alone(tmp_path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(WorkspaceError, match="cannot write here"):
        write_whole(tmp_path / "file/below.txt", b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(WorkspaceError, match="cannot write here"):
        write_whole(tmp_path / "folder", b"x")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]
