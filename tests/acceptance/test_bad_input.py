"""What cannot be used is refused: exit code 2, one paragraph, nothing half-written."""

import json
import os
import sqlite3

import pytest

import milepost as mp

GOOD = "text,label\n" + "".join(f"message {i} about {q},{q}\n" for i in range(4) for q in "ab")

FILES = {
    "empty file": (b"", ["the file is empty"]),
    "only spaces": (b" \n \n", ["the file is empty"]),
    "header only": (b"text,label\n", ["a header but no row"]),
    "one row": (b"text,label\nhi,a\n", ["only one labelled row"]),
    "two rows": (b"text,label\nhi,a\nho,b\n", ["too few"]),
    "one label": (b"text,label\nhi,a\nho,a\nhe,a\n", ["the one label 'a'"]),
    "no labels": (b"text,label\nhi,\nho,\nhe,\n", ["has a label"]),
    "NaN labels": (b'{"text":"hi","label":NaN}\n{"text":"ho","label":NaN}\n', ["has a label"]),
    "no text column": (GOOD.replace("text", "body", 1).encode(), ["no column 'text'", "body"]),
    "no label column": (GOOD.replace("label", "labels", 1).encode(),
                        ["no column 'label'", "Did you mean 'labels'?"]),
    "empty texts": (b"text,label\n,a\n,b\n ,a\n,b\n", ["every text is empty"]),
    "a spreadsheet": (b"PK\x03\x04rest", ["a spreadsheet", "CSV"]),
    "not JSON": (b'{"text": "hi", "label": "a"}\n{"text": \n', [":2:", "not JSON"]),
    "lists as labels": (b'{"text":"hi","label":["a","b"]}\n{"text":"ho","label":["a"]}\n',
                        ["holds lists"]),
    "broken Parquet": (b"PAR1nothing", ["not a readable Parquet file"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_init_from_an_unusable_file(milepost, is_refusal, tree, name):
    content, words = FILES[name]
    file = milepost.folder / "data.file"
    file.write_bytes(content)
    before = tree(milepost.folder)
    is_refusal(milepost("init", "desk", "--from", "data.file"), "data.file", *words)
    with pytest.raises(mp.MilepostError) as refused:
        mp.Workspace.from_file("desk", "data.file", task="task")
    assert all(word in str(refused.value) for word in words)
    assert tree(milepost.folder) == before


def test_init_from_a_missing_file_or_folder(milepost, is_refusal, tree):
    (milepost.folder / "there").mkdir()
    before = tree(milepost.folder)
    is_refusal(milepost("init", "desk", "--from", "nowhere.csv"), "does not exist")
    is_refusal(milepost("init", "desk", "--from", "there"), "this is a folder")
    with pytest.raises(mp.MilepostError, match="does not exist"):
        mp.Workspace.from_file("desk", "nowhere.csv", task="task")
    assert tree(milepost.folder) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--at-least", "1.5"], ["1.5", "between 0 and 1"]),
        (["--at-least", "-1"], ["-1", "between 0 and 1"]),
        (["--at-least", "nan"], ["nan"]),
        (["--at-least", "high"], ["--at-least", "number"]),
        (["--metric", "acuracy"], ["'acuracy'", "Did you mean 'accuracy'?"]),
        (["--task", "Not A Name"], ["lower-case letters"]),
        (["--task", "../up"], ["lower-case letters"]),
        (["--text", "txt"], ["no column 'txt'", "Did you mean 'text'?"]),
        (["--label", "text"], ["cannot be both text and label"]),
        (["--colour", "red"], ["No such option", "milepost init -h"]),
    ],
)
def test_init_with_an_unusable_option(milepost, is_refusal, tree, options, words):
    (milepost.folder / "good.csv").write_text(GOOD)
    before = tree(milepost.folder)
    is_refusal(milepost("init", "desk", "--from", "good.csv", *options), *words)
    assert tree(milepost.folder) == before


def test_objectives_and_names_are_refused_in_python_too(milepost, tree):
    (milepost.folder / "good.csv").write_text(GOOD)
    before = tree(milepost.folder)
    for objective in ({"at_least": 1.5}, {"metric": "acuracy"}):
        with pytest.raises(mp.MilepostError):
            mp.Workspace.from_file("desk", "good.csv", task="task",
                                   objective=mp.Objective(**objective))  # fmt: skip
    with pytest.raises(mp.MilepostError, match="lower-case"):
        mp.Workspace.from_file("desk", "good.csv", task="Not A Name")
    assert tree(milepost.folder) == before


@pytest.mark.parametrize("place", ["file.txt", "full", "file.txt/below", "/proc/nowhere/desk"])
def test_init_where_no_workspace_can_be(milepost, is_refusal, tree, place):
    (milepost.folder / "file.txt").write_text("here already")
    (milepost.folder / "full").mkdir()
    (milepost.folder / "full/notes.md").write_text("here already")
    before = tree(milepost.folder)
    is_refusal(milepost("init", place), place)
    with pytest.raises(mp.MilepostError):
        mp.Workspace.create(place)
    assert tree(milepost.folder) == before


def test_a_read_only_folder(milepost, bound, is_refusal, tree):
    (milepost.folder / "locked").mkdir(mode=0o555)
    before = tree(milepost.folder)
    for place in ("locked", "locked/desk"):
        is_refusal(milepost("init", place, wrapped=bound), place, "cannot write here")
    assert tree(milepost.folder) == before


def test_a_read_only_workspace_answers_but_stays_as_it_is(
    milepost, improved, bound, is_refusal, tree
):
    (milepost.folder / "more.csv").write_text("text,label\nwhere is my box,delivery\n")
    for path in [improved, *improved.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = tree(improved)
    done = milepost("-w", improved, "predict", "route", "where is it", "--release", 1,
                    wrapped=bound)  # fmt: skip
    assert done.code == 0, done.err
    for command in (["add", "route", "more.csv"], ["rollback", "route"],
                    ["improve", "route", "--strategy", "majority"]):  # fmt: skip
        is_refusal(milepost("-w", improved, *command, wrapped=bound))
    assert tree(improved) == before


def test_commands_outside_a_workspace(milepost, is_refusal):
    is_refusal(milepost("tasks"), "no workspace here", "milepost init")
    is_refusal(milepost("-w", "nowhere", "tasks"), "nowhere", "milepost init nowhere")
    with pytest.raises(mp.MilepostError, match="no workspace here"):
        mp.Workspace.open()


def test_a_workspace_of_a_newer_version(milepost, fresh, is_refusal, tree):
    file = fresh / "milepost.toml"
    file.write_text(file.read_text().replace("format = 1", "format = 99"))
    before = tree(fresh)
    is_refusal(milepost("-w", fresh, "tasks"), "format 99", "Upgrade milepost")
    with pytest.raises(mp.MilepostError, match="format 99"):
        mp.Workspace.open(fresh)
    assert tree(fresh) == before


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('encoder = "embedded"', 'encodr = "embedded"', ["milepost.toml", "encodr", "'encoder'"]),
        ('encoder = "embedded"', "encoder = 3", ["milepost.toml", "encoder"]),
        ("[settings]", "[settings]\nfolds = 1", ["milepost.toml", "folds"]),
        ("format = 1", "format = ", ["milepost.toml", "not valid TOML"]),
        ('encoder = "embedded"', 'encoder = "embeded"', ["embeded"]),
    ],
)
def test_a_broken_configuration(milepost, fresh, is_refusal, tree, old, new, words):
    file = fresh / "milepost.toml"
    file.write_text(file.read_text().replace(old, new))
    before = tree(fresh)
    is_refusal(milepost("-w", fresh, "improve", "--strategy", "majority"), *words, lines=2)
    with pytest.raises(mp.MilepostError):
        mp.Workspace.open(fresh).improve("route")
    assert tree(fresh) == before


@pytest.mark.parametrize("damage", ["text", "half", "future"])
def test_a_ledger_that_is_none(milepost, improved, is_refusal, damage):
    file = improved / ".milepost/ledger.db"
    if damage == "text":
        file.write_text("this is not a database, whatever its name says" * 40)
    elif damage == "half":
        data = bytearray(file.read_bytes())
        data[200 : len(data) // 2] = os.urandom(len(data) // 2 - 200)
        file.write_bytes(data)
    else:
        with sqlite3.connect(file) as connection:
            connection.execute("UPDATE milepost_version SET version_num = 'v9999'")
        connection.close()
    before = file.read_bytes()
    is_refusal(milepost("-w", improved, "releases", "route"), "ledger")
    with pytest.raises(mp.MilepostError):
        mp.Workspace.open(improved).releases("route")
    assert file.read_bytes() == before


def test_a_release_whose_bytes_have_changed(milepost, improved, is_refusal):
    for file in (improved / ".milepost/artifacts").rglob("*"):
        if file.is_file():
            file.chmod(0o644)
            file.write_bytes(file.read_bytes()[:-1] + b"?")
    is_refusal(milepost("-w", improved, "predict", "route", "hello"))
    is_refusal(milepost("-w", improved, "promote", "route", "1"))
    assert mp.Workspace.open(improved).channel("route").release == 2


def test_unknown_names_offer_the_nearest(milepost, improved, is_refusal, tree):
    before = tree(improved)
    w = ("-w", improved)
    is_refusal(milepost(*w, "improve", "rout"), "no task 'rout'", "Did you mean 'route'?")
    is_refusal(milepost(*w, "improve", "route", "rout"), "no task 'rout'")
    is_refusal(milepost(*w, "improve", "route", "--strategy", "head_logstic"),
               "Did you mean 'head_logistic'?")  # fmt: skip
    is_refusal(milepost(*w, "predict", "rout", "hi"), "Did you mean 'route'?")
    is_refusal(milepost(*w, "check", "rout"), "Did you mean 'route'?")
    is_refusal(milepost(*w, "report", "rout"), "Did you mean 'route'?")
    is_refusal(milepost(*w, "promote", "route", "3"), "no release '3'", "Known: ")
    is_refusal(milepost(*w, "predict", "route", "hi", "--release", "9"), "no release '9'")
    is_refusal(milepost(*w, "predict", "route", "hi", "--candidate", "c0-x"), "no candidate 'c0-x'")
    is_refusal(milepost(*w, "export", "route", "out", "--release", "9"), "no release '9'")
    is_refusal(milepost(*w, "imprve"), "Did you mean 'improve'")
    assert tree(improved) == before
    assert not (milepost.folder / "out").exists()
    ws = mp.Workspace.open(improved)
    for call in (
        lambda: ws.improve("rout"),
        lambda: ws.improve("route", strategies=["head_logstic"]),
        lambda: ws.predict("rout", ["hi"]),
        lambda: ws.predict("route", ["hi"], release=9),
        lambda: ws.predict("route", ["hi"], candidate="c0-x"),
        lambda: ws.promote("route", 3),
        lambda: ws.report("rout", "r.html"),
        lambda: ws.export("route", "out", release=9),
    ):
        with pytest.raises(mp.MilepostError, match="there is no"):
            call()
    assert tree(improved) == before


@pytest.mark.parametrize("budget", ["soon", "0", "-3s", "nan", "inf", "5y", ""])
def test_a_budget_that_is_no_duration(milepost, fresh, is_refusal, tree, budget):
    before = tree(fresh)
    is_refusal(milepost("-w", fresh, "improve", "--budget", budget), "--budget", "such as 60s")
    assert tree(fresh) == before


@pytest.mark.parametrize("budget", [0, -1, float("nan")])
def test_a_budget_that_is_no_duration_in_python(fresh, budget, tree):
    before = tree(fresh)
    with pytest.raises(mp.MilepostError):
        mp.Workspace.open(fresh).improve("route", budget=budget)
    assert tree(fresh) == before


def test_a_negative_seed(milepost, fresh, is_refusal, tree):
    before = tree(fresh)
    is_refusal(milepost("-w", fresh, "improve", "--seed", "-1"), "seed")
    with pytest.raises(mp.MilepostError, match="seed"):
        mp.Workspace.open(fresh).improve("route", seed=-1)
    assert tree(fresh) == before


def test_what_needs_a_release_says_so_before_the_first(milepost, fresh, is_refusal, tickets, tree):
    before = tree(milepost.folder)
    w, data = ("-w", fresh), tickets / "tickets_test.csv"
    for command in (
        ["predict", "route", "hi"],
        ["evaluate", "route", "--data", data],
        ["export", "route", "out"],
        ["promote", "route", "1"],
        ["rollback", "route"],
        ["candidates", "route"],
    ):
        is_refusal(milepost(*w, *command), "milepost improve route")
    ws = mp.Workspace.open(fresh)
    for call in (
        lambda: ws.predict("route", ["hi"]),
        lambda: ws.evaluate("route", str(data)),
        lambda: ws.rollback("route"),
        lambda: ws.contest("route"),
        lambda: ws.export("route", "out"),
    ):
        with pytest.raises(mp.MilepostError, match="milepost improve route"):
            call()
    assert tree(milepost.folder) == before


def test_predict_options_that_contradict_or_cannot_be_written(
    milepost, improved, is_refusal, tickets, tree
):
    w, data = ("-w", improved), tickets / "tickets_test.csv"
    (milepost.folder / "no_text.csv").write_text("body\nhello\n")
    before = tree(milepost.folder)
    is_refusal(milepost(*w, "predict", "route", "hi", "--input", data), "either texts or --input")
    is_refusal(milepost(*w, "predict", "route"), "either texts or --input")
    is_refusal(milepost(*w, "predict"), "Missing argument")
    for place, words in (("out.xlsx", ".xlsx"), ("out", "without a suffix"),
                         ("/proc/nowhere/out.csv", "cannot write here")):  # fmt: skip
        is_refusal(milepost(*w, "predict", "route", "--input", data, "--output", place), words)
    is_refusal(milepost(*w, "predict", "route", "--input", "nowhere.csv"), "does not exist")
    is_refusal(milepost(*w, "predict", "route", "--input", "no_text.csv"), "no column 'text'")
    is_refusal(milepost(*w, "export", "route", improved), "not empty")
    is_refusal(milepost(*w, "export", "route", "no_text.csv"), "this is a file")
    is_refusal(milepost(*w, "report", "--output", "/proc/nowhere/r.html"), "cannot write here")
    assert tree(milepost.folder) == before
    ws = mp.Workspace.open(improved)
    with pytest.raises(mp.MilepostError, match="not text"):
        ws.predict("route", ["hi", None])
    with pytest.raises(mp.MilepostError, match="not a table"):
        ws.predict_file("route", 3)


ESCAPES = {
    "bad SQL": "length(text >",
    "an unknown column": "chanel = 'chat'",
    "no comparison": "words",
    "a write": "1=1); COPY data TO 'stolen.csv'; --",
    "a copy": "COPY data TO 'stolen.csv'",
    "a file as a table": "text IN (SELECT content FROM read_text('/etc/passwd'))",
    "a csv function": "EXISTS (SELECT * FROM read_csv('/etc/passwd'))",
    "a file by its name": "EXISTS (FROM '/etc/passwd')",
    "an attachment": "ATTACH 'stolen.db'",
    "two statements": "words > 3; DROP TABLE data",
    "a setting": "words > 3; SET enable_external_access = true",
    "an extension": "words > 3; INSTALL httpfs; LOAD httpfs",
    "an aggregate": "count(*) > 3",
    "the environment": "getenv('HOME') = '/root'",
}


def test_a_slice_that_is_not_a_predicate_over_the_row(milepost, fresh, is_refusal, tree):
    task = fresh / "tasks/route.yaml"
    text = task.read_text()

    def slices(named):
        lines = "".join(f"    {name}: {json.dumps(sql)}\n" for name, sql in named.items())
        task.write_text(f"{text}objective:\n  slices:\n{lines}")

    slices({name.replace(" ", "-").lower(): predicate for name, predicate in ESCAPES.items()})
    before = tree(milepost.folder)
    checked = milepost("-w", fresh, "check")
    assert checked.code == 2
    for name in ESCAPES:
        assert f"objective.slices.{name.replace(' ', '-').lower()}:" in checked.out
    is_refusal(milepost("-w", fresh, "improve"), "slice 'bad-sql'", "Columns: text, id, channel")
    assert tree(milepost.folder) == before
    ws = mp.Workspace.open(fresh)
    for predicate in ESCAPES.values():
        slices({"bad": predicate})
        with pytest.raises(mp.MilepostError, match="slice 'bad'"):
            ws.improve("route", strategies=["majority"])
    task.write_text(f"{text}objective:\n  slices:\n    bad-sql: length(text >\n    b: 1 > 0\n")
    assert "tasks/route.yaml" in milepost("-w", fresh, "check").out
    task.write_text(text)
    assert tree(milepost.folder).keys() == before.keys()


def test_a_filter_that_is_not_a_predicate_over_the_row(milepost, improved, is_refusal, tree):
    before = tree(milepost.folder)
    (milepost.folder / "in.csv").write_text("text,words\nhello,1\n")
    done = milepost("-w", improved, "predict", "route", "--input", "in.csv", "--where",
                    "EXISTS (FROM '/etc/passwd')")  # fmt: skip
    is_refusal(done, "filter", "Columns: text, words.")
    ws = mp.Workspace.open(improved)
    for predicate in ESCAPES.values():
        with pytest.raises(mp.MilepostError, match="filter"):
            ws.predict_file("route", "in.csv", where=predicate, release=1)
    (milepost.folder / "in.csv").unlink()
    assert tree(milepost.folder) == before


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        ("metric: 'own:gain.py:loss', at_least: -3", ["at_least", "Use at_most"]),
        ("metric: utility, at_least: 5, costs: {delivery: {payment: 2}}", ["at most 0 with these"]),
        ("metric: hit_rate@99", ["must be below"]),
        ("metric: mae", ["alphabetically", "order: ["]),
    ],
)
def test_an_objective_out_of_reach_is_refused_before_a_fit(milepost, fresh, objective, words):
    (fresh / "gain.py").write_text(
        "def loss(actual, answers, probabilities):\n    return (actual != answers).mean()\n\n\n"
        "loss.lower_is_better = True\n"
    )
    file = fresh / "tasks/route.yaml"
    labels = sorted(mp.Workspace.open(fresh).task("route").labels)
    data = file.read_text().partition("\ndata:")[2]
    listed = "".join(f"  {label}: ''\n" for label in labels)
    file.write_text(f"name: route\nlabels:\n{listed}objective: {{{objective}}}\ndata:{data}")
    for command in ("check", "improve"):
        done = milepost("-w", fresh, command, "route")
        said = " ".join((done.out + done.err).split())
        assert done.code == 2
        assert all(word in said for word in words)
    assert not mp.Workspace.open(fresh).looks("route").taken


def test_a_floor_below_0_is_taken_from_the_command_line(milepost):
    (milepost.folder / "good.csv").write_text(GOOD)
    own = ("--metric", "own:gain.py:gain", "--at-least", "-3.5")
    milepost.ok("init", "desk", "--from", "good.csv", *own)
    (made,) = (milepost.folder / "desk/tasks").iterdir()
    assert "at_least: -3.5" in made.read_text()


def test_a_task_file_shows_all_its_problems_at_once(milepost, fresh, is_refusal, tree):
    (fresh / "tasks/route.yaml").write_text(
        "name: route\nkind: classfy\ninputs: {text: string}\nlabels:\n  a: one\n  a: two\n"
    )
    is_refusal(milepost("-w", fresh, "improve"), "tasks/route.yaml:6: labels.a", lines=2)
    (fresh / "tasks/route.yaml").write_text(
        "name: route\nkind: classfy\nlabels: {a: '', b: ''}\nobjective:\n  metric: acuracy\n"
        "  at_least: 1.5\n  max_p95_ms: -1\ndata: {examples: data/route.csv}\nfallback: large\n"
    )
    before = tree(fresh)
    is_refusal(
        milepost("-w", fresh, "improve"),
        "5 problems were found",
        "tasks/route.yaml:2: kind:",
        "tasks/route.yaml:5: objective.metric:",
        "Did you mean 'accuracy'?",
        "tasks/route.yaml:6: objective.at_least: 1.5 is out of range.",
        "tasks/route.yaml:7: objective.max_p95_ms:",
        "tasks/route.yaml:9: fallback:",
        lines=6,
    )
    with pytest.raises(mp.MilepostError) as refused:
        mp.Workspace.open(fresh).improve("route")
    assert len(refused.value.problems) == 5
    assert tree(fresh) == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name: [", ["not valid YAML"]),
        (b"", ["a mapping"]),
        (b"- a\n- b\n", ["a mapping"]),
        (b"name: other\n", ["not the name of the file"]),
        (b"name: caf\xe9\n", ["not UTF-8"]),
        (b"name: route\nlabels: {a: one}\n", ["at least two labels"]),
        (b"name: route\n", ["names no data", "milepost add route"]),
        (b"name: route\ndata: {examples: data/gone.csv}\n", ["data/gone.csv", "does not exist"]),
        (b"name: route\ndata: {examples: data/route.csv, label: queue}\n", ["no column 'queue'"]),
        (b"name: route\ndata: {examples: data/route.csv, id: label}\n", ["repeat an id"]),
    ],
)
def test_a_task_file_that_cannot_be_used(milepost, fresh, is_refusal, tree, content, words):
    (fresh / "tasks/route.yaml").write_bytes(content)
    before = tree(fresh)
    is_refusal(milepost("-w", fresh, "improve", "route"), *words, lines=2)
    with pytest.raises(mp.MilepostError):
        mp.Workspace.open(fresh).improve("route")
    assert milepost("-w", fresh, "check").code == 2
    assert tree(fresh) == before


ADDED = {
    "label typos": (b"text,label\nwhere is it,delivry\nmy bill,payment\n",
                    ["delivry", "perhaps 'delivery'"]),
    "no such column": (b"body,label\nwhere is it,delivery\n", ["no column 'text'"]),
    "empty": (b"", ["the file is empty"]),
}  # fmt: skip


@pytest.mark.parametrize("name", ADDED)
def test_labels_that_do_not_fit_are_not_added(milepost, fresh, is_refusal, tree, name):
    content, words = ADDED[name]
    (milepost.folder / "more.csv").write_bytes(content)
    before = tree(milepost.folder)
    is_refusal(milepost("-w", fresh, "add", "route", "more.csv"), *words)
    with pytest.raises(mp.MilepostError):
        mp.Workspace.open(fresh).add_file("route", "more.csv")
    assert tree(milepost.folder) == before


def test_add_with_an_unusable_option(milepost, fresh, is_refusal, tree, tickets):
    data = tickets / "tickets_later.csv"
    before = tree(fresh)
    w = ("-w", fresh)
    is_refusal(milepost(*w, "add", "route", data, "--as", "tests"), "Did you mean 'test'?")
    is_refusal(milepost(*w, "add", "other", data, "--as", "test"), "no task 'other'")
    is_refusal(milepost(*w, "add", "../up", data), "lower-case letters")
    is_refusal(milepost(*w, "add", "route", data, "--label", "chanel"), "Did you mean 'channel'?")
    is_refusal(milepost(*w, "add", "route", "nowhere.csv"), "does not exist")
    ws = mp.Workspace.open(fresh)
    with pytest.raises(mp.MilepostError, match="there is a task 'route' already"):
        ws.add(mp.Task(name="route"), examples=str(data))
    with pytest.raises(mp.MilepostError, match="not a valid name"):
        ws.add(mp.Task(name="../up"), examples=str(data))
    with pytest.raises(mp.MilepostError, match="out of range"):
        ws.add(mp.Task(name="other", objective=mp.Objective(at_least=1.5)), examples=str(data))
    with pytest.raises(mp.MilepostError, match="not a table"):
        ws.add(mp.Task(name="other"), examples=7)
    assert tree(fresh) == before


def test_duplicate_ids_are_named(milepost, fresh, is_refusal, tree):
    text = (fresh / "tasks/route.yaml").read_text()
    (fresh / "tasks/route.yaml").write_text(text.replace("data:\n", "data:\n  id: id\n"))
    (milepost.folder / "again.csv").write_text(
        "id,text,label\nt001,where is it,delivery\nt900,my bill,payment\n"
    )
    before = tree(fresh)
    is_refusal(milepost("-w", fresh, "add", "route", "again.csv"), "'t001'", "Ids must be unique")
    with pytest.raises(mp.MilepostError, match="Ids must be unique"):
        mp.Workspace.open(fresh).add_file("route", "again.csv")
    assert tree(fresh) == before


def test_evaluate_on_an_unusable_file(milepost, improved, is_refusal, tree):
    (milepost.folder / "unlabelled.csv").write_text("text,label\nhello,\nhi,\n")
    (milepost.folder / "no_label.csv").write_text("text,queue\nhello,a\n")
    before = tree(improved)
    w = ("-w", improved, "evaluate", "route", "--data")
    is_refusal(milepost(*w, "unlabelled.csv"), "unlabelled.csv", "no row has a label")
    is_refusal(milepost(*w, "no_label.csv"), "no column 'label'")
    is_refusal(milepost(*w, "nowhere.csv"), "does not exist")
    is_refusal(milepost("-w", improved, "evaluate", "route"), "--data")
    with pytest.raises(mp.MilepostError, match="no row has a label"):
        mp.Workspace.open(improved).evaluate("route", [{"text": "hello", "label": None}])
    assert tree(improved) == before
