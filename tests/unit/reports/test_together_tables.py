"""What is printed and drawn of tasks that learn from each other."""

import json
import re

import msgspec
import pytest

from milepost.entities.errors import InputError
from milepost.entities.ids import Digest
from milepost.entities.together import Affinity, Effect, Gain, JoinedTask, LeftOut, Together
from milepost.reports.together.affinity import affinity_chart, affinity_page, affinity_table
from milepost.reports.together.gains import gains_json, gains_table, summary, totals
from milepost.workflows.publishing import write_affinity

DIGEST = Digest("0" * 64)
RECORD = Together(
    encoder=DIGEST,
    tasks=(JoinedTask(name="route", examples=DIGEST, folds={"a": 0}, tuned=40),),
    adapters=(DIGEST,),
    whole=DIGEST,
    seed=0,
    tuning={},
    mix={},
    steps=(4, 4),
    seconds=12.0,
    notes=("The time was up after 3 of 4 steps.",),
)


def gain(task, apart, chosen="head_logistic", **more):
    known = apart is not None
    return Gain(
        task=task,
        metric="accuracy",
        solo="head_logistic",
        solo_value=0.8,
        together_value=0.8 + apart if known else None,
        difference=apart,
        low=more.get("low"),
        high=more.get("high"),
        chosen=chosen,
        verdict="released",
        error=None if known else "It failed: ValueError: no.",
    )


GAINS = (
    gain("route", 0.03, "multitask", low=0.01, high=0.05),
    gain("spam", -0.02, low=-0.03, high=-0.01),
    gain("mood", 0.01),
    gain("odd", None),
)


def test_totals_tell_before_and_after_the_choice():
    told = totals(GAINS)
    assert told["mean_points"] == pytest.approx(2 / 3)
    assert told["worst_points"] == pytest.approx(-2.0)
    assert told["negative_transfer_rate"] == pytest.approx(1 / 3)
    assert told["shown_worse"] == 1
    assert told["mean_points_after_choice"] == pytest.approx(3 / 4)
    assert told["worst_points_after_choice"] == 0.0


def test_the_table_says_who_gained_who_lost_and_who_was_left_out():
    left = LeftOut(task="late", why="It is judged on what came later.")
    shown = gains_table(RECORD, GAINS, (left,)).plain(100)
    assert "+3.0 [+1.0, +5.0]" in shown
    assert "odd: It failed" in shown
    assert "late was left out. It is judged on what came later." in shown
    assert "The time was up after 3 of 4 steps." in shown
    assert "worse on 1 of 3 tasks (negative transfer 33 %), shown on 1" in " ".join(shown.split())


def test_nothing_fitted_says_so():
    assert summary([gain("odd", None)]) == ["No task has an answer of what was tuned together."]


def test_the_json_form_is_json():
    told = msgspec.json.encode(gains_json(RECORD, GAINS, ()))
    assert json.loads(told)["totals"]["chosen"] == 1


def effects(names):
    return tuple(
        Effect(
            source=one,
            target=other,
            gain=0.02 if (one, other) == (names[0], names[1]) else -0.001,
            low=-0.01,
            high=0.03,
            verdict="helps" if (one, other) == (names[0], names[1]) else "unclear",
        )
        for one in names
        for other in names
        if one != other
    )


def estimate(count):
    names = tuple(f"task_{i}" for i in range(count))
    return Affinity(
        tasks=names,
        examples=(10,) * len(names),
        effects=effects(names),
        groups=((names[0], names[1]), *((name,) for name in names[2:])),
        encoder="e",
    )


@pytest.fixture
def found():
    return estimate(3)


def test_the_affinity_table_shows_what_is_shown_and_what_to_type(found):
    shown = affinity_table(found).plain(100)
    assert re.search(r"task_0\s+task_1\s+\+2\.0 %", shown)
    assert "milepost improve --together task_0 task_1" in shown
    assert "1 are shown to help and 0 to harm" in " ".join(shown.split())
    everything = affinity_table(found, full=True).plain(100)
    assert everything.count("task_0 ") >= len(found.tasks) - 1


def test_what_is_left_out_is_said_with_the_option_that_shows_it():
    found = estimate(6)
    few = " ".join(affinity_table(found).plain(100).split())
    assert "The 12 strongest stand above; --all shows every pair." in few
    assert "--all" not in affinity_table(found, full=True).plain(100)
    assert "--all" not in affinity_table(estimate(3)).plain(100)


def test_a_group_is_a_suggestion_and_says_where_nothing_in_it_is_shown(found):
    shown = " ".join(affinity_table(found).plain(100).split())
    assert "Suggested group: milepost improve --together task_0 task_1" in shown
    other = msgspec.structs.replace(found, groups=(("task_1", "task_2"), ("task_0",)))
    shown = " ".join(affinity_table(other).plain(100).split())
    assert "Suggested group (no effect shown): milepost improve --together task_1 task_2" in shown


def test_nothing_is_minus_nothing(found):
    tiny = tuple(
        msgspec.structs.replace(each, gain=-1e-5, low=-2e-4, high=-1e-6) for each in found.effects
    )
    flat = msgspec.structs.replace(found, effects=tiny)
    assert "-0.0" not in affinity_table(flat, full=True).plain(100)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", affinity_chart(flat).svg())
    assert texts.count("0.0") == len(tiny)
    assert "-0.0" not in texts


@pytest.mark.parametrize("count", [2, 25])
def test_the_picture_has_a_cell_for_each_pair(count):
    found = estimate(count)
    chart = affinity_chart(found)
    drawn = chart.svg()
    assert drawn.startswith("<svg")
    assert drawn.count('aria-roledescription="rect mark"') >= len(found.effects)
    assert "task_0 helps task_1 by 2.0 %" in chart.description


def test_the_page_stands_alone(found):
    page = affinity_page(found)
    assert "<svg" in page
    assert not re.search(r"(src|href)=", page.replace("xlink:href", ""))


def test_a_name_is_escaped():
    names = ("<b>one</b>", "two")
    odd = Affinity(
        tasks=names, examples=(9, 9), effects=effects(names), groups=(("two",),), encoder="e"
    )
    assert "<b>one" not in affinity_page(odd)


def test_the_ending_of_the_file_decides(found, tmp_path):
    assert write_affinity(found, tmp_path / "a.png").read_bytes()[1:4] == b"PNG"
    assert write_affinity(found, tmp_path / "a.svg").read_text().startswith("<svg")
    with pytest.raises(InputError, match=r"'\.gif' is not known"):
        write_affinity(found, tmp_path / "a.gif")
