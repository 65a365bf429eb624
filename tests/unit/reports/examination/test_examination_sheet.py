import dataclasses
import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from rich.cells import cell_len

from milepost.entities.scorecard import Spending
from milepost.entities.taskfile import parse_task
from milepost.evaluation.examination.changes import CHANGES
from milepost.reports.examination.changes import CHANGED
from milepost.reports.examination.findings import MOST, finding_lines, findings
from milepost.reports.examination.sheet import ExaminationSheet, sections
from milepost.reports.examination.weakness import slice_names
from milepost.reports.leaderboard import Leaderboard
from milepost.reports.plain import examine_json, improve_json, schema
from milepost.reports.records import Examined


def test_a_statistician_finds_numbers_with_intervals_and_n(examined: Examined) -> None:
    text = str(ExaminationSheet(examined))
    assert "release 1, in production" in text
    assert "0.550 [0.47, 0.63]  0.310 (≥ 0.15)  132  <0.001" in text
    assert "+0.083 [+0.05, +0.11]" in text
    assert "equalised odds       0.210 [0.12, 0.30]  muslim   atheist  <0.001" in text


def test_a_trust_and_safety_person_finds_groups_cases_and_functionalities(
    examined: Examined,
) -> None:
    text = str(ExaminationSheet(examined))
    assert "23 % [18, 28]" in text
    assert '! religion "muslim" is over-flagged: 23.0 % of its 240 examples,' in text
    assert "I am a muslim woman (is fine" in text
    advised = 'Label more examples of religion "muslim" that are not "toxic".'
    assert advised in " ".join(text.split())
    assert "I am a muslim man → I am a christian man" in text
    assert "✘  counter_quote_nh" in text
    assert "The cases of cases/hatecheck.csv must be answered right." in text


def test_checks_come_first_and_failures_before_them(examined: Examined) -> None:
    lines = str(ExaminationSheet(examined)).splitlines()
    checks = [line[:1] for line in lines[: lines.index("Where it is weak")]]
    assert [mark for mark in checks if mark in {"✘", "?", "✔"}] == ["✘", "?", "✔"]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits_the_terminal(examined: Examined, width: int) -> None:
    text = ExaminationSheet(examined).plain(width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    assert "\x00" not in text
    assert "\x1b" not in text


def test_sections_say_what_to_do_only_where_there_is_something(examined: Examined) -> None:
    advice = {section.name: section.advice for section in sections(examined, full=False)}
    assert "max_slice_gap" in advice["weakness"][0]
    assert advice["forecast"] == ()
    found = examined.found.discovery
    assert found is not None
    none_found = msgspec.structs.replace(found, found=())
    calm = msgspec.structs.replace(examined.found, discovery=none_found)
    candidate = msgspec.structs.replace(
        examined.candidate,
        scorecard=msgspec.structs.replace(examined.scorecard, examination=calm),
    )
    quiet = Examined(task=examined.task, contest=examined.contest, candidate=candidate)
    shown = {section.name: section for section in sections(quiet, full=False)}
    assert shown["weakness"].advice == ()
    assert "none is shown to be worse" in str(ExaminationSheet(quiet))


def test_what_was_not_examined_is_said_with_the_reason(barely_examined: Examined) -> None:
    text = str(ExaminationSheet(barely_examined))
    assert "candidate of the last contest, not released" in text
    assert "The task names no groups" in text
    assert "The task declares no tests of behaviour" in text


def test_an_old_contest_says_how_to_get_an_examination(not_examined: Examined) -> None:
    text = str(ExaminationSheet(not_examined))
    assert "judged without a closer look; run milepost improve churn" in " ".join(text.split())
    assert finding_lines(not_examined.contest) == []


def test_declared_slices_can_be_pasted_into_a_task_file(examined: Examined) -> None:
    lines = str(ExaminationSheet(examined)).splitlines()
    start = lines.index("  slices:")
    end = next(i for i in range(start, len(lines)) if not lines[i].strip())
    pasted = "\n".join("  " + line for line in lines[start:end])
    head = "name: route\nlabels: {a: '', b: ''}\ndata: {examples: a.csv}\nobjective:\n"
    task = parse_task(f"{head}{pasted}\n", "route.yaml")
    found = examined.found.discovery.found if examined.found.discovery else ()
    assert list(task.objective.slices.values()) == [s.predicate for s in found if s.predicate]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(max_size=60), max_size=8))
def test_names_of_slices_are_valid_and_differ(descriptions: list[str]) -> None:
    names = slice_names(descriptions)
    assert len(set(names)) == len(names) == len(descriptions)
    assert all(re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", name) for name in names)


def test_the_daily_table_gains_a_few_lines(examined: Examined) -> None:
    told = findings(examined.contest)
    assert len(told) <= MOST
    text = str(Leaderboard(examined.contest))
    words = " ".join(text.split())
    assert "Weak spot: texts that hold “refund” have accuracy 0.550, 0.310 less than" in words
    assert text.splitlines()[-1] == "What was found in full: milepost examine route"
    assert "More labels: expected accuracy 0.884" in words
    assert "with 2 times as many" in words


def test_leaks_come_first_and_few_looks_last(examined: Examined) -> None:
    replace = msgspec.structs.replace
    spent = Spending(look=26, of_life=1, alpha=0.001, left=0.01, most=50)
    naive = replace(examined.scorecard.objective, value=0.93)
    card = replace(examined.scorecard, naive=naive, spent=spent)
    chosen = replace(examined.candidate, scorecard=card)
    contest = replace(
        examined.contest,
        candidates=tuple(chosen if c.chosen else c for c in examined.contest.candidates),
    )
    told = findings(contest)
    assert told[0].about == "Leaks"
    assert "trained on the rows that leak into the test file, accuracy would read 0.930" in (
        told[0].text
    )
    assert [each.about for each in told[-2:]] == ["More labels", "Looks"]
    assert len(told) == MOST
    shown = Examined(task=examined.task, contest=contest, candidate=chosen, release=1, live=True)
    sheet = " ".join(str(ExaminationSheet(shown)).split())
    assert "used: 26 of 50 ━" in sheet
    assert "left: 24 ━" in sheet
    assert "decides with 99.9 % confidence" in sheet
    assert "had it been trained on them 0.930" in sheet


def test_leaks_that_change_nothing_are_no_finding(examined: Examined) -> None:
    card = msgspec.structs.replace(examined.scorecard, naive=examined.scorecard.objective)
    chosen = msgspec.structs.replace(examined.candidate, scorecard=card)
    contest = msgspec.structs.replace(examined.contest, candidates=(chosen,))
    assert "Leaks" not in [each.about for each in findings(contest)]
    shown = Examined(task=examined.task, contest=contest, candidate=chosen, release=1, live=True)
    assert "would not change the accuracy" in " ".join(str(ExaminationSheet(shown)).split())


def test_every_change_has_words() -> None:
    assert set(CHANGES) <= set(CHANGED)


def test_json_is_the_published_contract(examined: Examined, not_examined: Examined) -> None:
    for each in (examined, not_examined):
        output = msgspec.json.decode(msgspec.json.encode(examine_json(each)))
        Draft202012Validator(schema("examine")).validate(output)
    whole = msgspec.json.decode(msgspec.json.encode(examine_json(examined)))
    assert [point["examples"] for point in whole["forecast"]] == [1540, 3850]
    assert whole["examination"]["fairness"][0]["gaps"][0]["highest"] == "muslim"


def test_a_release_that_does_not_run_is_named_so(examined: Examined) -> None:
    old = dataclasses.replace(examined, live=False)
    assert "release 1, not in production" in str(ExaminationSheet(old))


def test_improve_tells_of_the_closer_look_as_examine_does(examined: Examined) -> None:
    spent = Spending(look=3, of_life=1, alpha=0.01, left=0.03, most=50)
    naive = msgspec.structs.replace(examined.scorecard.objective, value=0.93)
    card = msgspec.structs.replace(examined.scorecard, naive=naive, spent=spent)
    chosen = msgspec.structs.replace(examined.candidate, scorecard=card)
    contest = msgspec.structs.replace(examined.contest, candidates=(chosen,))
    (task,) = msgspec.json.decode(msgspec.json.encode(improve_json([contest])))["tasks"]
    Draft202012Validator(schema("improve")).validate({"tasks": [task]})
    alone = Examined(task=examined.task, contest=contest, candidate=chosen, release=1, live=True)
    told = msgspec.json.decode(msgspec.json.encode(examine_json(alone)))
    (candidate,) = task["candidates"]
    shared = ("lower_is_better", "looks", "spent", "naive", "examination")
    assert {key: candidate[key] for key in shared} == {key: told[key] for key in shared}
    assert candidate["spent"]["most"] == 50
    assert candidate["naive"]["value"] == 0.93
    assert candidate["examination"]["robustness"]
    assert task["forecast"] == told["forecast"]
