"""A task's own groups: what they share does not join them, and few of them are told or refused."""

import csv

import pytest

from milepost.entities.errors import DataError
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.tasks.checking import check

ONLY = Options(strategies=("tfidf_linear",))


@pytest.fixture
def of_groups(context, rows):
    """A task whose rows are of this many groups, each of which also says the same thing."""

    def written(groups: int) -> str:
        owned = [(*row, f"g{i % groups}") for i, row in enumerate(rows)]
        owned = [(f"{i}-{key}", f"{text} {group}", label, group)
                 for i, (key, text, label, group) in enumerate(owned)]  # fmt: skip
        owned += [(f"s{g}", "pears as ever", "fruit", f"g{g}") for g in range(groups)]
        with (context.root / "data/things.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("id", "text", "label", "who"), *owned])
        (context.root / "tasks/things.yaml").write_text(
            "name: things\nlabels: {fruit: '', tool: ''}\nobjective: {at_least: 0.9}\n"
            "data: {examples: data/things.csv, id: id, group: who}\n"
        )
        return "things"

    return written


@pytest.mark.parametrize(("groups", "few"), [(4, True), (12, False)])
def test_groups_stay_apart_whatever_they_share(context, of_groups, groups, few):
    name = of_groups(groups)
    (checked,) = check(context, name)
    assert checked.problems == ()
    found = {each.check: each.count for each in checked.quality.findings}
    assert found["said_by_other_groups"] == groups - 1
    assert found.get("few_groups") == (groups if few else None)
    contest = improve(context, name, ONLY).contest
    card = contest.chosen.scorecard
    assert card.groups == groups
    assert card.objective.n == 21
    assert f"cross-fitted examples of {groups} groups" in " ".join(contest.decision.reasons)


def test_too_few_groups_are_refused_before_anything_is_fitted_or_looked_at(context, of_groups):
    name = of_groups(3)
    (checked,) = check(context, name)
    (problem,) = checked.problems
    assert (problem.field, problem.line) == ("data.group", 4)
    with pytest.raises(DataError, match="of 3 groups by 'who'"):
        improve(context, name, ONLY)
    assert context.ledger.looks(name) == ()
    assert context.ledger.sides(name) == {}
