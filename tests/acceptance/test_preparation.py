"""A declared preparation through the command line: at fit, check, evaluate, predict and export."""

import csv
import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import milepost as mp

COMMAND = Path(sys.executable).with_name("milepost")

OWN = '''"""The part of a mail that a person wrote."""


def body(text):
    head, found, rest = text.partition("BODY:")
    return rest if found else head
'''
STEPS = ["strip_html", "own:prepare/mail.py:body", "collapse_space", "lower_case"]


def as_mail(text: str, at: int) -> str:
    words = text.replace("&", "&amp;")
    return f"<html><p>Ticket {at} of desk {at % 7}</p>BODY:\n<div>  <b>{words.upper()}</b></div>"


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def with_steps(desk, *steps):
    file = desk / "tasks/mail.yaml"
    yaml = YAML()
    task = yaml.load(file)
    task["inputs"] = {"text": {"column": "body", "prepare": list(steps)}}
    yaml.dump(task, file)


@pytest.fixture(scope="module")
def mail_template(tmp_path_factory, environment, tickets):
    """A folder with a workspace whose task ``mail`` prepares its inputs, and a release of it."""
    folder = tmp_path_factory.mktemp("mail")
    rows = read(tickets / "tickets.csv")
    write(folder / "mails.csv", ["body", "label"],
          [[as_mail(r["text"], at), r["label"]] for at, r in enumerate(rows)])  # fmt: skip

    def run(*arguments):
        subprocess.run([COMMAND, *arguments], cwd=folder, env=environment, check=True)

    run("init", "desk", "--from", "mails.csv", "--task", "mail", "--text", "body",
        "--at-least", "0.1")  # fmt: skip
    desk = folder / "desk"
    (desk / "prepare").mkdir()
    (desk / "prepare/mail.py").write_text(OWN)
    with_steps(desk, *STEPS)
    run("-w", desk, "improve", "mail", "--strategy", "tfidf_linear")
    return folder


@pytest.fixture
def desk(mail_template, tmp_path, milepost):
    return shutil.copytree(mail_template / "desk", tmp_path / "desk")


def test_a_mail_and_its_words_get_the_same_answer_everywhere(desk, milepost, tickets):
    words = [row["text"] for row in read(tickets / "tickets_later.csv")]
    mails = [as_mail(text, at) for at, text in enumerate(words)]
    space = mp.Workspace.open(desk)
    bare = space.predict("mail", [" ".join(text.lower().split()) for text in words])
    asked = space.predict("mail", mails)
    assert asked.answers == bare.answers
    assert asked.confidence.tolist() == bare.confidence.tolist()

    rows = zip(mails, bare.answers, strict=True)
    write(milepost.folder / "later.csv", ["body", "label"], rows)
    milepost.ok("-w", desk, "predict", "mail", "--input", "later.csv", "--output", "out.csv")
    assert [row["label"] for row in read(milepost.folder / "out.csv")] == list(bare.answers)
    # Held against the answers to the words, it is always right.
    assert space.evaluate("mail", "later.csv").scorecard.objective.value == 1.0

    milepost.ok("-w", desk, "export", "mail", "folder")
    with pytest.raises(mp.MilepostError, match=r"own:prepare/mail\.py:body.*its file is not here"):
        mp.load_exported("folder")
    exported = mp.load_exported("folder", root=desk).predict(mails)
    assert list(exported.answers) == list(bare.answers)


def test_a_server_prepares_as_the_command_line_does(desk, milepost, environment, tickets):
    mails = [as_mail(r["text"], at) for at, r in enumerate(read(tickets / "tickets_later.csv"))]
    told = mp.Workspace.open(desk).predict("mail", mails)
    command = [COMMAND, "-w", desk, "serve", "--port", "0", "--insecure"]
    server = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert server.stdout is not None
    try:
        said = []
        for line in server.stdout:
            said.append(line)
            if " at http://" in line:
                break
        else:
            pytest.fail("".join(said))
        address = line.partition(" at ")[2].split()[0].rstrip(";")
        body = json.dumps({"inputs": mails}).encode()
        with urllib.request.urlopen(f"{address}/v1/tasks/mail/predict", body) as reply:  # noqa: S310
            answers = json.load(reply)["predictions"]
    finally:
        server.terminate()
        server.communicate()
    assert [each["label"] for each in answers] == list(told.answers)
    assert [each["confidence"] for each in answers] == pytest.approx(
        told.confidence.tolist(), abs=2e-6
    )


def test_a_release_keeps_its_own_steps(desk, milepost, is_refusal):
    mail = as_mail("where is my parcel", 3)
    before = milepost.ok("-w", desk, "predict", "mail", mail, "--json").out
    with_steps(desk, "strip_html")
    assert milepost.ok("-w", desk, "predict", "mail", mail, "--json").out == before
    # A new contest holds its candidates against the old release, each on its own reading.
    milepost.ok("-w", desk, "improve", "mail", "--strategy", "tfidf_linear")
    (desk / "prepare/mail.py").write_text(OWN + "\n# changed\n")
    is_refusal(
        milepost("-w", desk, "predict", "mail", mail, "--release", "1"),
        "prepare/mail.py is not the file that this was made with",
        "Put back prepare/mail.py",
    )


def test_check_says_what_is_wrong_with_a_preparation(desk, milepost):
    def problem():
        done = milepost("-w", desk, "check", "mail", "--json")
        assert done.code != 0
        (found,) = done.json[0]["problems"]
        return found

    with_steps(desk, "strip_htm")
    found = problem()
    assert found["field"] == "inputs.text.prepare"
    assert "did you mean 'strip_html'" in found["what"].lower()
    with_steps(desk, "own:prepare/none.py:body")
    found = problem()
    assert found["field"] == "inputs.text.prepare"
    assert found["line"] is not None
    assert "prepare/none.py cannot be used" in found["what"]
    with_steps(desk, "own:prepare/mail.py:body")
    (desk / "prepare/mail.py").write_text("def body(text):\n    return text[text.index('k 6'):]\n")
    found = problem()
    assert found["file"] == "data/mail.csv:2"
    assert "own:prepare/mail.py:body failed: ValueError" in found["what"]
    (desk / "prepare/mail.py").write_text(
        "import itertools\n\nn = itertools.count()\n\n\n"
        "def body(text):\n    return f'{text} {next(n)}'\n"
    )
    found = problem()
    assert "another text each time" in found["what"]
    assert "data/mail.csv:" in found["what"]


def test_a_row_of_which_nothing_is_left_is_told(desk, milepost):
    with (desk / "data/mail.csv").open("a", encoding="utf-8") as file:
        file.write("<p> </p>,account\n")
    with_steps(desk, "strip_html")
    findings = milepost.ok("-w", desk, "check", "--json").json[0]["quality"]["findings"]
    (found,) = [each for each in findings if each["check"] == "emptied_texts"]
    assert found["count"] == 1
    assert "<p> </p>" in found["examples"][0]
