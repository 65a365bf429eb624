import json
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.errors import TaskFileError
from milepost.entities.kinds import KINDS
from milepost.entities.task import DataFiles, InputField, Objective, Task
from milepost.entities.taskfile import add_to_list, dump_task, parse_task, task_schema
from milepost.workflows.tasks.current import version_of

WHOLE = """\
name: route
kind: classify
instruction: Which queue?
inputs: {text: {type: string, column: body}}
labels:
  no: not this one
  yes:
  1: one
objective:
  metric: macro_f1
  at_least: 0.9
  max_p95_ms: 25
  slices: {long: "length(text) > 200"}
  max_slice_gap: 0.05
data: {examples: [data/a.csv, data/b.csv], test: data/t.csv, label: queue, id: ticket}
"""


def problems(text):
    with pytest.raises(TaskFileError) as caught:
        parse_task(text, "tasks/route.yaml")
    return [(p.line, p.field, f"{p.what} {p.advice}") for p in caught.value.problems]


def test_reads_every_field():
    assert parse_task(WHOLE, "tasks/route.yaml") == Task(
        name="route",
        instruction="Which queue?",
        inputs={"text": InputField(column="body")},
        labels={"no": "not this one", "yes": "", "1": "one"},
        objective=Objective(
            metric="macro_f1",
            at_least=0.9,
            max_p95_ms=25.0,
            slices={"long": "length(text) > 200"},
            max_slice_gap=0.05,
        ),
        data=DataFiles(
            examples=("data/a.csv", "data/b.csv"), test="data/t.csv", label="queue", id="ticket"
        ),
    )


def test_every_problem_is_found_at_once_with_its_line_and_the_nearest_name():
    found = problems(
        "name: Route\n"
        "kind: clasify\n"
        "objective:\n"
        "  metric: f1_macro\n"
        "  at_least: 1.5\n"
        "labells: {a: b}\n"
        "inputs: {text: strng}\n"
        "data: {exampels: x, examples: [1]}\n"
    )
    assert [(line, field) for line, field, _ in found] == [
        (1, "name"),
        (2, "kind"),
        (4, "objective.metric"),
        (5, "objective.at_least"),
        (6, "labells"),
        (7, "inputs.text"),
        (8, "data.exampels"),
        (8, "data.examples.0"),
    ]
    sentences = [sentence for _, _, sentence in found]
    assert "Did you mean 'classify'?" in sentences[1]
    assert "Did you mean 'macro_f1'?" in sentences[2]
    assert "at most 1" in sentences[3]
    assert "Did you mean 'labels'?" in sentences[4]
    assert "Did you mean 'examples'?" in sentences[6]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "mapping"),
        ("- a", 1, "mapping"),
        ("name: [", 1, "not valid YAML"),
        ("name: a\nname: b", 2, "second time"),
        ("labels: {a: b, c: d}", 1, "'name' is missing"),
        ("name: r\nlabels: {a: x}", 2, "at least two labels"),
        ("name: r\nkind: match\ninputs: {a: string}", 3, "exactly two inputs"),
        ("name: r\ninputs: {a: string, text: string}", 2, "call it otherwise"),
        ("name: r\ninputs: {a: string, b: string}\ncompose: '{a}'", 3, "each input in braces"),
        ("name: r\ncompose: '{text}'", 2, "several inputs"),
        ("name: r\nkind: score\nlabels: {a: x, b: y}", 3, "has none"),
        ("name: r\nkind: score\nobjective: {metric: macro_f1}", 3, "does not fit the kind"),
        ("name: r\nalerts: [toxicity]", 2, "no such field"),
        ("name: r\n? [a]\n: b", 2, "plain name"),
        ("name: r\nobjective: {at_least: .nan}", 2, "a number"),
        ("name: r\nobjective:\n  metric: log_loss\n  at_least: 0.3", 4, "use at_most"),
        ("name: r\nobjective:\n  metric: ece\n  at_most: 3", 4, "out of range"),
        ("name: r\nobjective:\n  metric: utility", 2, "are needed"),
        (
            "name: r\nlabels: {a: x, b: y}\nobjective:\n  metric: utility\n  costs: {c: {a: 1}}",
            5,
            "no label 'c'",
        ),
    ],
)
def test_says_what_is_wrong_and_where(text, line, words):
    ((found_line, _, sentence),) = problems(text)
    assert found_line == line
    assert words in sentence
    assert "$" not in sentence  # where it is stands before it, as a line and a field


@pytest.mark.parametrize("floor", [-3, 1.5, 1e6])
@pytest.mark.parametrize("metric", ["own:metrics/value.py:profit", "utility"])
def test_a_floor_may_lie_wherever_its_metric_can(metric, floor):
    costs = ", costs: {a: {b: 1}}" if metric == "utility" else ""
    text = f"name: r\nobjective: {{metric: '{metric}', at_least: {floor}{costs}}}"
    assert parse_task(text, "t.yaml").objective.at_least == floor
    ((_, _, sentence),) = problems("name: r\nobjective: {metric: 'f1:metrics', at_least: 1.5}")
    assert "at most 1" in sentence


@pytest.mark.parametrize("kind", ["score", "multilabel", "extract", "rank"])
def test_a_metric_of_labels_is_refused_where_the_kind_has_none(kind):
    inputs = "inputs: {query: string, candidate: string}\n" if kind == "rank" else ""
    given = f"name: r\nkind: {kind}\n{inputs}"
    assert parse_task(given, "t.yaml").objective.metric == KINDS[kind].metric
    (problem,) = problems(f"{given}objective:\n  metric: accuracy\n")
    assert problem[:2] == (given.count("\n") + 2, "objective.metric")
    assert problem[2].startswith(f"accuracy does not fit the kind {kind}; use ")


def test_aliases_cannot_blow_up():
    bomb = "name: r\n" + "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))
    ((_, _, sentence),) = problems(bomb)
    assert "too large" in sentence


names = st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True)
words = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\x85\u2028\u2029\ufeff"),
    max_size=40,
)
shares = st.none() | st.floats(0, 1)


@given(
    st.builds(
        Task,
        name=names,
        instruction=words,
        labels=st.dictionaries(words.filter(bool), words, min_size=2, max_size=5),
        objective=st.builds(
            Objective,
            metric=st.sampled_from(["accuracy", "macro_f1", "balanced_accuracy", "mcc"]),
            at_least=shares,
            slices=st.dictionaries(names, words.filter(bool), max_size=3),
            max_slice_gap=shares,
        ),
        data=st.builds(
            DataFiles,
            examples=words.filter(bool) | st.lists(words.filter(bool), max_size=3).map(tuple),
            label=words.filter(bool),
        ),
    )
)
def test_what_is_written_is_read_back(task):
    assert parse_task(dump_task(task), "t.yaml") == task


def test_adding_a_file_keeps_comments_and_order():
    text = "# mine\nname: r # the name\ndata:\n  label: queue # column\n  examples: data/a.csv\n"
    once = add_to_list(text, "data", "examples", "data/b.csv")
    assert parse_task(once, "t.yaml").data.example_files == ("data/a.csv", "data/b.csv")
    assert "# mine" in once
    assert "# the name" in once
    assert "# column" in once
    assert add_to_list(once, "data", "examples", "data/b.csv") == once


def test_adding_a_file_makes_what_is_missing():
    text = add_to_list("name: r\n", "data", "test", "data/t.csv")
    assert parse_task(text, "t.yaml").data.test_files == ("data/t.csv",)


def test_the_published_schema_is_the_one_in_force():
    published = json.loads((files("milepost.entities") / "task.schema.json").read_text())
    assert published == task_schema()


def test_a_task_without_a_rule_keeps_the_digest_that_it_always_had():
    """A version of the task that an earlier milepost stored is still the version of its file."""
    kept = Path(__file__).parents[1] / "storage" / "ledgers" / "0001.json"
    rows = json.loads(kept.read_text())["tables"]["task_versions"]
    assert rows
    for row in rows:
        assert version_of(msgspec.json.decode(row["record"], type=Task)) == row["digest"]


def test_a_rule_for_releases_is_read_written_and_checked():
    text = "name: route\nlabels: {a: '', b: ''}\nrelease: {approvals: 2}\n"
    task = parse_task(text, "route.yaml")
    assert task.approvals == 2
    assert parse_task(dump_task(task), "route.yaml") == task
    plain = parse_task("name: route\nlabels: {a: '', b: ''}\n", "route.yaml")
    assert plain.approvals == 0
    assert "release" not in dump_task(plain)
    assert version_of(plain) != version_of(task)
    for wrong in ("{approvals: -1}", "{approvals: 21}", "{approvals: one}", "{approval: 1}"):
        with pytest.raises(TaskFileError) as caught:
            parse_task(text.replace("{approvals: 2}", wrong), "route.yaml")
        assert caught.value.problems[0].line == 3
        assert caught.value.problems[0].field.startswith("release")
