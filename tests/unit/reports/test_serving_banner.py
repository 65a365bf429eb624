"""What a server says of itself when it has started, and keys as a table."""

from datetime import UTC, datetime, timedelta

import msgspec

from milepost.entities.server import News, Served
from milepost.reports.keys import keys_table
from milepost.reports.serving import MOST_SHOWN, started
from milepost.testing.records import some_key

NEWS = News(
    address="http://127.0.0.1:8400",
    tasks=(
        Served(
            name="route", release=2, variant="int8", canary=3, share=0.1, shadow=4, kept_days=30
        ),
        Served(name="words", release=1),
    ),
)


def test_it_tells_where_what_and_how():
    said = str(started(NEWS, "-w desk"))
    assert "http://127.0.0.1:8400 with 1 worker." in said
    assert "canary 3 at 10 %, shadow 4" in said
    assert "KEY=$(milepost -w desk keys create --task route)" in said
    assert '-H "Authorization: Bearer $KEY"' in said
    assert max(map(len, said.splitlines())) <= 80
    assert "Inputs of route are kept in clear text for 30 days" in " ".join(said.split())


def test_what_is_asked_first_has_the_inputs_of_the_task():
    assert """$KEY" -d '{"inputs":["my card was stolen"]}'""" in str(started(NEWS, ""))
    pair = Served(name="same", release=1, fields=("left", "right"))
    said = str(started(msgspec.structs.replace(NEWS, tasks=(pair,)), ""))
    assert """$KEY" -d '{"inputs":[{"left":"…","right":"…"}]}'""" in said


def test_without_keys_it_warns_and_asks_for_none():
    said = str(started(msgspec.structs.replace(NEWS, insecure=True), ""))
    assert "--insecure" in said
    assert "keys create" not in said


def test_without_a_release_it_says_how_to_get_one():
    assert "milepost -w desk improve" in str(started(News(address="http://h:1"), "-w desk"))


def test_it_says_why_a_task_is_on_the_reference():
    slow = tuple(Served(name=f"t{n}", release=1, variant="fp32", why="3 differ") for n in range(9))
    said = str(started(msgspec.structs.replace(NEWS, tasks=(*NEWS.tasks, *slow)), ""))
    assert "t0 on fp32: 3 differ." in said
    assert "and 4 more tasks on fp32" in said
    assert "route on" not in said


def test_many_tasks_are_counted_and_not_all_listed():
    tasks = tuple(Served(name=f"t{n}", release=1) for n in range(1000))
    said = str(started(msgspec.structs.replace(NEWS, tasks=tasks), ""))
    assert f"and {1000 - MOST_SHOWN} more tasks" in said
    assert "t999" not in said


def test_keys_show_what_they_may_and_whether_they_work():
    now = datetime(2026, 6, 1, tzinfo=UTC)
    key = some_key(1)
    keys = [
        key,
        msgspec.structs.replace(key, expires=now + timedelta(days=1)),
        msgspec.structs.replace(key, expires=now),
        msgspec.structs.replace(key, revoked=now),
    ]
    said = str(keys_table(keys, now))
    for word in ("works", "until 2026-06-02", "expired", "revoked", "100.5", "route"):
        assert word in said
    assert "There are no keys yet" in str(keys_table([], now))
