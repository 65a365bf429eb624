"""``milepost behave`` as a user and a pipeline run it."""

import milepost as mp

TESTS = """
behaviour:
  - {name: polite, kind: invariance, prefix: "Hello, ", at_least: 0.1}
  - {name: must-hold, kind: minimum, file: must.csv, at_least: 0.5, by: kind}
"""


def _declare(workspace, tests: str = TESTS) -> str:
    """Declare tests with a case that is right and one that is wrong."""
    first = mp.Workspace.open(workspace).predict("route", ["my card was stolen"], release=1)
    right = first.answers[0]
    wrong = next(label for label in first.labels if label != right)
    (workspace / "must.csv").write_text(
        f"text,label,kind\nmy card was stolen,{right},easy\nmy card was stolen,{wrong},odd\n"
    )
    task = workspace / "tasks" / "route.yaml"
    task.write_text(task.read_text() + tests)
    return right


def test_a_failed_test_is_exit_code_one_with_its_input(milepost, improved):
    _declare(improved)
    done = milepost("-w", improved, "behave", "route", "--release", "1")
    assert done.code == 1, done.err
    assert "2 tests: 1 passed, 1 failed" in done.out
    assert "my card was stolen" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_what_passes_is_exit_code_zero_and_json(milepost, improved, is_valid):
    right = _declare(improved, TESTS.replace("0.5, by: kind", "0.5"))
    found = milepost.ok("-w", improved, "behave", "route", "--release", "1", "--json").json
    assert [test["outcome"] for test in found["behaviour"]] == ["passed", "passed"]
    assert found["behaviour"][1]["cases"][0]["answer"] == right
    assert found["release"] == 1
    is_valid(found, "behave")


def test_what_cannot_be_run_is_refused(milepost, improved, is_refusal):
    is_refusal(milepost("-w", improved, "behave", "route"), "declares no tests")
    is_refusal(milepost("-w", improved, "behave", "route", "--file", "none.csv"), "none.csv")
    _declare(improved, TESTS.replace('prefix: "Hello, "', "change: typoes"))
    is_refusal(milepost("-w", improved, "behave", "route"), "typos")
    is_refusal(milepost("-w", improved, "improve", "route"), "typos")
