import dataclasses
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from rich.cells import cell_len

from milepost.entities.examination import Check
from milepost.entities.scorecard import Scorecard, Spending
from milepost.entities.task import Task
from milepost.entities.taskfile import parse_task
from milepost.evaluation.examination.changes import CHANGES
from milepost.reports.examination.changes import CHANGED
from milepost.reports.examination.findings import MOST, finding_lines, findings
from milepost.reports.examination.outlook import forecast
from milepost.reports.examination.sheet import ExaminationSheet, sections
from milepost.reports.examination.weakness import slice_names
from milepost.reports.leaderboard import Leaderboard
from milepost.reports.plain import examine_json, improve_json, schema
from milepost.reports.records import Examined
from milepost.reports.words import error_left


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


@pytest.mark.parametrize(
    ("asked", "tasks"),
    [
        ({"kind": "score"}, "tasks of the kind score"),
        ({"kind": "multilabel"}, "tasks of the kind multilabel"),
        ({"kind": "extract"}, "tasks of the kind extract"),
        ({"inputs": {"photo": "image"}}, "tasks that read images"),
    ],
)
def test_nothing_is_advised_that_the_task_would_refuse(
    examined: Examined, asked: dict[str, Any], tasks: str
) -> None:
    found = msgspec.structs.replace(
        examined.found, behaviour=(), fairness=(),
        knowing=msgspec.structs.replace(examined.found.knowing, scope=None, abstention=None),
    )  # fmt: skip
    card = msgspec.structs.replace(examined.scorecard, examination=found)
    candidate = msgspec.structs.replace(examined.candidate, scorecard=card)

    def told(task: Task) -> str:
        subject = Examined(task=task, contest=examined.contest, candidate=candidate)
        return " ".join(str(ExaminationSheet(subject)).split())

    anything = told(Task(name="plain"))
    for field in ("behaviour", "fairness", "out_of_scope", "abstain"):
        assert f"`{field}" in anything
    some = told(msgspec.convert({"name": "other", **asked}, Task))
    assert f"Tests of behaviour are not for {tasks}." in some
    assert f"Groups are not compared in {tasks}." in some
    for field in ("behaviour", "fairness", "out_of_scope"):
        assert f"`{field}`" not in some
    assert ("`abstain" in some) == (asked.get("kind") is None)


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


@settings(max_examples=40)
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
    now = examined.contest.curve[-1].estimate.value
    assert f"cross-fitted on the training examples: {now:.3f} now)." in words


def replace_of(examined: Examined, card: Scorecard) -> Examined:
    """The same with another scorecard."""
    chosen = msgspec.structs.replace(examined.candidate, scorecard=card)
    others = tuple(chosen if c.chosen else c for c in examined.contest.candidates)
    contest = msgspec.structs.replace(examined.contest, candidates=others)
    return dataclasses.replace(examined, candidate=chosen, contest=contest)


def test_the_forecast_says_that_it_is_not_of_what_the_scorecard_is_of(examined: Examined) -> None:
    replace = msgspec.structs.replace
    for regime, said in (
        ("cross_fitted", "training examples."),
        ("test_file", "examples, not measured on the test file as the scorecard is."),
        ("holdout", "examples, not measured on the holdout as the scorecard is."),
    ):
        card = replace(examined.scorecard, regime=regime)
        part = forecast(replace_of(examined, card), full=False)
        text = "".join(piece for piece, _ in part.parts[0].pieces)
        assert text.endswith(said)


def test_no_label_is_asked_for_where_the_scorecard_reaches_the_floor(examined: Examined) -> None:
    replace = msgspec.structs.replace
    now = examined.contest.curve[-1].estimate.value
    expected = examined.contest.forecast[0].estimate.value
    floor = round((now + expected) / 2, 4)
    assert now < floor < expected
    task = replace(examined.task, objective=replace(examined.task.objective, at_least=floor))
    for value, asked in ((floor - 0.01, True), (floor + 0.01, False)):
        estimate = replace(examined.scorecard.objective, value=value)
        metrics = {**examined.scorecard.metrics, examined.scorecard.metric: estimate}
        card = replace(examined.scorecard, metrics=metrics)
        part = forecast(dataclasses.replace(replace_of(examined, card), task=task), full=False)
        assert any("expected to be reached" in each for each in part.advice) == asked


def test_few_groups_are_told_in_the_daily_table(examined: Examined) -> None:
    for groups, told in ((0, False), (4, True), (10, False)):
        card = msgspec.structs.replace(examined.scorecard, groups=groups)
        found = findings(replace_of(examined, card).contest)
        few = [each.text for each in found if each.about == "Few groups"]
        assert bool(few) == told
        if told:
            assert few[0].startswith("every interval rests on 4 groups")


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


def sheet_of(examined: Examined, **parts: object) -> str:
    """The sheet in one line, with parts of the examination exchanged."""
    replace = msgspec.structs.replace
    found = replace(examined.found, **parts)
    card = replace(examined.scorecard, examination=found)
    chosen = replace(examined.candidate, scorecard=card)
    return " ".join(str(ExaminationSheet(dataclasses.replace(examined, candidate=chosen))).split())


def test_the_headline_of_groups_follows_every_gap_that_is_shown(examined: Examined) -> None:
    replace = msgspec.structs.replace
    score = replace(examined.found.fairness[0], findings=())
    only = "1 gap between groups is shown: equalised odds by religion, answer"
    assert f'! {only} "toxic" 0.210 (muslim and atheist).' in sheet_of(examined)
    assert f"! {only}" in sheet_of(examined, fairness=(score,))
    wide = replace(score, gaps=score.gaps[1:])
    assert "? No group is shown to be treated worse than the rest, but these examples cannot" in (
        sheet_of(examined, fairness=(wide,))
    )
    narrow = replace(score, gaps=(replace(score.gaps[1], value=0.01, low=-0.01, high=0.03),))
    assert "✔ No group is shown to be treated worse than the rest, and every gap is shown" in (
        sheet_of(examined, fairness=(narrow,))
    )


def test_a_tick_for_changes_needs_intervals_that_rule_a_loss_out(examined: Examined) -> None:
    replace = msgspec.structs.replace
    fine = replace(examined.found.robustness[0], drop=0.0, drop_low=-0.02, drop_high=0.03)
    tick = "✔ None of 1 kind of change is shown to make it worse; each costs at most 0.05"
    assert tick in sheet_of(examined, robustness=(fine,))
    unsure = replace(fine, change="typos", drop=0.08, drop_low=-0.19, drop_high=0.35)
    shown = sheet_of(examined, robustness=(fine, unsure))
    assert "? None of 2 kinds of changes is shown to make it worse, but so few inputs" in shown
    assert "that 1 of them cost more than 0.05 of accuracy" in shown


def test_a_limit_that_is_not_shown_to_hold_has_no_tick(examined: Examined) -> None:
    checks = (
        Check(name="a", outcome="passed", sentence="Shown."),
        Check(name="b", outcome="passed", sentence="Not proven.", proven=False),
    )
    shown = sheet_of(examined, checks=checks)
    assert "? Not proven. ✔ Shown." in shown


def test_a_test_that_passed_on_few_cases_says_on_how_many(examined: Examined) -> None:
    few = msgspec.structs.replace(examined.found.behaviour[0], name="must", n=4, failed=0)
    assert "few cases: must on 4 cases." in sheet_of(examined, behaviour=(few,))


def test_few_members_are_no_proof_of_privacy(examined: Examined) -> None:
    found = examined.found.privacy
    assert found is not None
    replace = msgspec.structs.replace
    rate = replace(found.tpr_at_1_fpr, value=0.02, low=0.0, high=0.2)
    shown = sheet_of(examined, privacy=replace(found, tpr_at_1_fpr=rate))
    assert "? An attacker who accuses" in shown
    assert "cannot rule out more than 5.0 %" in shown


def test_only_slices_with_sql_are_to_be_declared(examined: Examined) -> None:
    found = examined.found.discovery
    assert found is not None
    replace = msgspec.structs.replace
    shown = sheet_of(examined, discovery=found)
    assert "or declare the slice" in shown
    assert "have no SQL and cannot be declared)" in shown or "has no SQL and cannot be" in shown
    bare = replace(found, found=(replace(found.found[0], predicate=None),))
    assert "or declare the slice" not in sheet_of(examined, discovery=bare)
    none = replace(found, found=())
    assert "● 412 slices were tried; none is shown" in sheet_of(examined, discovery=none)


def test_error_left_is_told_as_looks_tells_it(examined: Examined) -> None:
    replace = msgspec.structs.replace
    spent = Spending(look=1, of_life=1, alpha=0.0304, left=0.0196, most=50)
    card = replace(examined.scorecard, spent=spent)
    chosen = replace(examined.candidate, scorecard=card)
    for verdict, left in (("released", 0.05), ("kept", 0.0196)):
        contest = replace(
            examined.contest, decision=replace(examined.contest.decision, verdict=verdict)
        )
        sheet = ExaminationSheet(dataclasses.replace(examined, candidate=chosen, contest=contest))
        assert error_left(left) in " ".join(str(sheet).split())
    assert error_left(0.0196) == "1.96 % of error is left for later looks"


def test_a_long_weak_spot_keeps_both_ends(examined: Examined) -> None:
    found = examined.found.discovery
    assert found is not None
    replace = msgspec.structs.replace
    name = "texts with at least 5 words that no other training example has"
    worst = replace(found.found[0], description=name)
    examination = replace(examined.found, discovery=replace(found, found=(worst,)))
    card = replace(examined.scorecard, examination=examination)
    chosen = replace(examined.candidate, scorecard=card)
    told = findings(replace(examined.contest, candidates=(chosen,)))
    assert any(each.text.startswith(name) for each in told)


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
