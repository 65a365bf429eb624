"""What is unusual but usable is accepted, and what had to be changed is reported."""

import csv
import io
import json

import pytest

import milepost as mp

QUICK = ("--strategy", "tfidf_linear")


def table(rows, delimiter=","):
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    return out.getvalue()


def rows_of(count=8):
    return [(f"{word} {i} of the {word} kind", word) for i in range(count)
            for word in ("apples", "pears")]  # fmt: skip


def init(milepost, name="in.csv", *options):
    return milepost.ok("init", "desk", "--from", name, *options).out


def findings(milepost):
    (checked,) = milepost.ok("-w", "desk", "check", "--json").json
    return {found["check"]: found for found in checked["quality"]["findings"]}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_a_spreadsheets_csv(milepost, encoding):
    rows = [("Nachricht", "Ablage"), *((f"Straße {i}: für {q} – 5 €", q) for i in range(6)
                                       for q in ("Käse", "Öl"))]  # fmt: skip
    (milepost.folder / "in.csv").write_bytes(table(rows, ";").encode(encoding))
    init(milepost, "in.csv", "--text", "Nachricht", "--label", "Ablage")
    assert list(mp.Workspace.open("desk").task("task").labels) == ["Käse", "Öl"]
    milepost("-w", "desk", "improve", *QUICK)
    (milepost.folder / "more.csv").write_bytes(table(rows, ";").encode(encoding))
    candidate = mp.Workspace.open("desk").contest("task").chosen.id
    milepost.ok("-w", "desk", "predict", "task", "--input", "more.csv", "--output", "out.csv",
                "--candidate", candidate)  # fmt: skip
    with (milepost.folder / "out.csv").open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert [(row["Nachricht"], row["Ablage"]) for row in written] == rows[1:]


def test_quoted_line_breaks_and_quotes(milepost):
    rows = [(f'first line {i}\nhe said "{word}", twice', word) for i in range(4)
            for word in ("yes", "no")]  # fmt: skip
    (milepost.folder / "in.csv").write_text(table([("text", "label"), *rows]), newline="")
    assert "8 labelled examples" in init(milepost)


def test_emoji_right_to_left_and_whitespace_in_labels(milepost):
    rows = [*((f"🎉👩‍👩‍👧 {i} היכן החבילה שלי", " 📦 חבילה ") for i in range(4)),
            *((f"هل يمكنني استرداد أموالي {i}", "استرداد  ") for i in range(4))]  # fmt: skip
    (milepost.folder / "in.csv").write_text(table([("text", "label"), *rows]))
    assert "8 labelled examples, 2 labels" in init(milepost)
    assert set(mp.Workspace.open("desk").task("task").labels) == {"📦 חבילה", "استرداد"}
    done = milepost("-w", "desk", "improve", "--strategy", "head_closed_form", "--json")
    assert done.code in (0, 1)
    candidate = done.json["tasks"][0]["candidates"][0]["id"]
    answered = milepost.ok("-w", "desk", "predict", "task", "היכן החבילה שלי 🎉", "--candidate",
                           candidate, "--json").json  # fmt: skip
    assert answered["predictions"][0] == {
        **answered["predictions"][0], "text": "היכן החבילה שלי 🎉", "label": "📦 חבילה"
    }  # fmt: skip


def test_a_text_of_two_megabytes_is_cut_and_reported(milepost):
    long = "word " * 400_000
    rows = [*rows_of(), (f"{long} at the end", "apples")]
    (milepost.folder / "in.csv").write_text(table([("text", "label"), *rows]))
    out = init(milepost)
    assert "cut texts" in out
    assert len(out) < 4000
    found = findings(milepost)["cut_texts"]
    assert found["count"] == 1
    assert "20,000 characters" in found["summary"]
    assert milepost("-w", "desk", "improve", "--strategy", "head_closed_form").code in (0, 1)


def test_nul_and_half_characters_are_repaired_and_reported(milepost):
    records = [{"text": text, "label": label} for text, label in rows_of()]
    records += [{"text": "apples\u0000 with a NUL", "label": "apples"}]
    lines = [json.dumps(record) for record in records]
    lines += ['{"text": "pears \\ud83d cut in half", "label": "pears"}']
    (milepost.folder / "in.jsonl").write_text("\n".join(lines))
    init(milepost, "in.jsonl")
    found = findings(milepost)
    assert found["nul_characters"]["count"] == 1
    assert found["lone_surrogates"]["count"] == 1
    milepost("-w", "desk", "improve", *QUICK)
    ws = mp.Workspace.open("desk")
    candidate = ws.contest("task").chosen.id
    answers = ws.predict("task", ["pears \ud83d\x00 of the pears kind", "1"], candidate=candidate)
    assert len(answers.answers) == 2


def test_rows_without_label_text_or_sense_are_counted(milepost):
    conflict = ("apples 1 of the apples kind", "pears")
    rows = [*rows_of(), ("nobody labelled this", ""), ("  ", "pears"), conflict]
    rows += [("apples again and again", "aples")]
    (milepost.folder / "in.csv").write_text(table([("text", "label"), *rows]))
    out = init(milepost)
    for name in ("unlabelled", "empty texts", "conflicting labels"):
        assert name in out
    assert "18 labelled examples" in out


def test_a_probable_misspelling_of_a_label_is_named(milepost):
    rows = [*rows_of(), ("apples again and again", "aples")]
    (milepost.folder / "in.csv").write_text(table([("text", "label"), *rows]))
    assert "'aples' (1 row) is probably 'apples' (8 rows)" in init(milepost)


@pytest.mark.installed
def test_standard_input(milepost, improved):
    content = table([("text", "label"), *rows_of()]).encode()
    out = milepost.ok("init", "piped", "--from", "-", "--task", "fruit", stdin=content).out
    assert "16 labelled examples" in out
    assert "test" not in mp.Workspace.open("piped").task("fruit").data.example_files[0]
    milepost.ok("-w", "piped", "add", "fruit", "-", stdin=b'{"text":"a pear","label":"pears"}\n')
    w = ("-w", improved)
    lines = b'{"text": "where is my box", "n": 1}\n{"text": "refund please", "n": 2}\n'
    done = milepost.ok(*w, "predict", "route", "--input", "-", stdin=lines)
    answered = list(csv.DictReader(done.out.splitlines()))
    assert [(row["n"], row["label"]) for row in answered] == [("1", "delivery"), ("2", "payment")]
    measured = milepost.ok(*w, "evaluate", "route", "--data", "-", "--json",
                           stdin=b"text,label\nwhere is my box,delivery\n").json  # fmt: skip
    assert measured["n"] == 1


def test_empty_texts_are_named_and_can_be_left_out(milepost, improved):
    (milepost.folder / "in.csv").write_text('text,n\nwhere is my box,1\n   ,2\n"",3\n')
    asked = ("-w", improved, "predict", "route", "--input", "in.csv", "--output", "out.jsonl")
    done = milepost(*asked)
    assert done.code == 2
    assert "in.csv:3: there is no text in 'text'" in " ".join(done.err.split())
    assert not (milepost.folder / "out.jsonl").exists()
    milepost.ok(*asked, "--where", "text != ''")
    rows = [json.loads(line) for line in (milepost.folder / "out.jsonl").read_text().splitlines()]
    assert [row["n"] for row in rows] == ["1"]
    done = milepost("-w", improved, "predict", "route", "")
    assert done.code == 2
    assert "input 0 is empty" in " ".join(done.err.split())


def test_an_empty_file_of_rows_is_answered_with_no_rows(milepost, improved):
    (milepost.folder / "in.csv").write_text("text,n\n")
    done = milepost.ok("-w", improved, "predict", "route", "--input", "in.csv", "--output",
                       "out.csv")  # fmt: skip
    assert "Wrote 0 rows" in done.out
    assert (milepost.folder / "out.csv").read_text() == "text,n,label,confidence,release\n"


def test_five_thousand_labels(milepost):
    rows = [(f"question {i} about subject {n}", f"subject-{n}") for n in range(5000)
            for i in range(2)]  # fmt: skip
    (milepost.folder / "in.csv").write_text(table([("text", "label"), *rows]))
    assert "10,000 labelled examples, 5,000 labels" in init(milepost)
    assert len(mp.Workspace.open("desk").task("task").labels) == 5000
    done = milepost.ok("-w", "desk", "check")
    assert "✔ task" in done.out
    assert len(done.out) < 4000
