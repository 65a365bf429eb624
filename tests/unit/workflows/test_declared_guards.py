"""Guards that could never guard are found before anything is fitted, each at its place."""

import pytest

from milepost.entities.errors import InputError
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.tasks.checking import check
from milepost.workflows.tasks.current import current_task
from milepost.workflows.tasks.guarding import check_guards


@pytest.fixture
def guarded(context, things):
    """Writes the guards of the task ``things`` beside the tasks ``abuse`` and ``spare``."""
    file = context.root / "tasks/things.yaml"
    plain = file.read_text()
    for name in ("abuse", "spare"):
        (context.root / f"tasks/{name}.yaml").write_text(
            f"name: {name}\nlabels: {{fine: '', abusive: ''}}\n"
            "data: {examples: data/things.csv, id: id}\n"
        )

    def declare(guards: str):
        file.write_text(f"{plain}guards: [{guards}]\n")
        return current_task(context, things)

    return declare


@pytest.mark.parametrize(
    ("guards", "said"),
    [
        ("abus", "no task 'abus'.*Did you mean 'abuse'"),
        ("things", "cannot guard itself"),
        ("abuse, abuse", "stands here twice"),
        ("{task: abuse, labels: [abusiv]}", "no label of the task 'abuse' 'abusiv'.*'abusive'"),
        ("{task: abuse, labels: [abusive], action: route}", "nobody says where to"),
        ("{task: abuse, labels: [abusive], to: spare}", "does not route"),
        ("{task: abuse, labels: [abusive], action: route, to: spar}", "no task 'spar'.*'spare'"),
    ],
)
def test_what_cannot_guard_is_refused(context, guarded, guards, said):
    task = guarded(guards)
    with pytest.raises(InputError, match=said):
        check_guards(context, task)
    with pytest.raises(InputError, match=said):
        improve(context, "things", Options(strategies=("head_closed_form",)))
    assert context.ledger.contests("things") == ()
    (checked,) = check(context, "things")
    problem = checked.problems[0]
    assert problem.file == "tasks/things.yaml"
    assert problem.field.startswith("guards.")
    assert problem.line is not None


@pytest.mark.parametrize(
    "guards",
    [
        "abuse",
        "abuse, spare",
        "{task: abuse, labels: [abusive], action: block}",
        "{task: abuse, labels: [abusive], action: route, to: spare}",
    ],
)
def test_what_can_guard_is_taken(context, guarded, guards):
    check_guards(context, guarded(guards))
    (checked,) = check(context, "things")
    assert checked.problems == ()
