import pytest

from milepost._base.settings import Settings
from milepost.data.read import read_examples
from milepost.entities.errors import DataError, UnknownNameError
from milepost.entities.task import DataFiles, InputField, Task

SETTINGS = Settings()


def task(**changes):
    return Task(**{"name": "route", **changes})


def table(*rows, **columns):
    return {
        "text": [text for text, _ in rows],
        "label": [label for _, label in rows],
        **columns,
    }


GOOD = (
    ("lost my card", "card"),
    ("card is gone", "card"),
    ("money back", "refund"),
    ("I want a refund", "refund"),
)


def read(source, the_task=None, **options):
    return read_examples([source], the_task or task(), SETTINGS, **options)


def found(reading):
    return {finding.check: finding for finding in reading.quality.findings}


def test_columns_become_examples():
    reading = read(table(*GOOD, lang=["en", "en", "de", None]))
    assert reading.examples.texts[0] == "lost my card"
    assert reading.examples.labels == ("card", "card", "refund", "refund")
    assert reading.examples.sources[3] == "dataframe:4"
    assert reading.examples.metadata == {"lang": ("en", "en", "de", None)}
    assert reading.quality.rows == reading.quality.used == reading.quality.labelled == 4
    assert reading.sources[0].rows == 4


def test_metadata_of_a_csv_gets_types_only_where_every_cell_fits(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "text,label,n,share,ok,zip,mixed,none\n"
        "a b,x,1,0.5,true,01234,1,\nc d,x,2,1,false,99999,NA,\n"
        "e f,y,,2e3,,1,3,\ng h,y,4,1,true,1,4,\n"
    )
    data = read_examples([path.name], task(), SETTINGS, root=tmp_path).examples.metadata
    assert data["n"] == (1, 2, None, 4)
    assert data["share"] == (0.5, 1.0, 2000.0, 1.0)
    assert data["ok"] == (True, False, None, True)
    assert data["zip"] == ("01234", "99999", "1", "1")
    assert data["mixed"] == ("1", "NA", "3", "4")
    assert data["none"] == (None,) * 4


def test_unclean_texts_are_mended_left_out_and_reported():
    unclean = ["nul\x00 here", "half \ud800", " \n", None, "x" * 30_000, "\ud83d\ude00 pair"]
    reading = read(table(*GOOD, *((text, "card") for text in unclean)))
    assert reading.examples.texts[4:6] == ("nul here", "half \ufffd")
    assert len(reading.examples.texts[6]) == SETTINGS.max_text_chars
    assert reading.examples.texts[7] == "😀 pair"
    checks = found(reading)
    assert checks["empty_texts"].count == 2
    assert checks["empty_texts"].severity == "error"
    assert checks["nul_characters"].count == 1
    assert checks["cut_texts"].count == 1
    assert checks["lone_surrogates"].count == 2
    assert reading.quality.rows == 10
    assert reading.quality.used == 8


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([1.0, 0.0, 1.0, 0.0], ("1", "0", "1", "0")),
        ([True, False, True, False], ("true", "false", "true", "false")),
        (["1.0", "0.0", "1.0", "0.0"], ("1", "0", "1", "0")),
        ([" NA", "None ", "NA", "None"], ("NA", "None", "NA", "None")),
        ([1, 2, 1, 2], ("1", "2", "1", "2")),
        (["1.0", "2.5", "1.0", "2.5"], ("1.0", "2.5", "1.0", "2.5")),
    ],
)
def test_labels_become_sensible_names(labels, expected):
    assert read({"text": ["a", "b", "c", "d"], "label": labels}).examples.labels == expected


def test_missing_labels_are_unlabelled_rows():
    reading = read(table(*GOOD, ("a", None), ("b", float("nan")), ("c", " ")))
    assert reading.examples.labels[4:] == (None, None, None)
    assert found(reading)["unlabelled"].count == 3


def test_ids_from_content_survive_additions_and_corrected_labels():
    before = read(table(*GOOD, GOOD[0])).examples.ids
    changed = [(GOOD[0][0], "refund"), *GOOD[1:], GOOD[0], ("more", "card"), GOOD[0]]
    after = read(table(*changed)).examples.ids
    assert after[:5] == before
    assert len(set(after)) == len(after)
    assert after[4] == f"{after[0]}-2"


def test_id_column_is_kept_and_duplicates_are_refused():
    with_ids = task(data=DataFiles(id="key"))
    assert read(table(*GOOD, key=[1, 2, 3, 4]), with_ids).examples.ids == ("1", "2", "3", "4")
    with pytest.raises(DataError, match=r"repeats an id.*'2' at dataframe:2 and dataframe:4"):
        read(table(*GOOD, key=[1, 2, 3, 2]), with_ids)
    with pytest.raises(DataError, match="no id"):
        read(table(*GOOD, key=[1, 2, 3, None]), with_ids)


def test_missing_columns_name_the_nearest():
    with pytest.raises(UnknownNameError, match=r"'text'.*Did you mean 'texts'"):
        read({"texts": ["a"], "label": ["b"]})
    other = task(inputs={"text": InputField(column="body")}, data=DataFiles(label="queue"))
    with pytest.raises(UnknownNameError, match="'queue'"):
        read({"body": ["a"], "label": ["b"]}, other)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ((("a", "x"), ("b", "x"), ("c", "x")), "one label 'x'"),
        ((("a", "x"), ("b", "y")), "2 labelled rows with 2 labels"),
        ((("a", "x"),), "only one labelled row"),
        ((("a", None), ("b", None)), "none of the 2 rows has a label"),
        (((" ", "x"), (None, "y")), "every text is empty"),
        ((), "no row of data"),
    ],
)
def test_too_little_to_learn_from_says_what_is_the_least(rows, says):
    with pytest.raises(DataError, match=says) as error:
        read(table(*rows))
    assert "two labels with two examples each" in str(error.value)


def test_unknown_labels_are_listed_with_count_row_and_nearest():
    given = task(labels={"card": "", "refund": ""})
    rows = table(*GOOD, ("q", "refnud"), ("r", "refnud"), ("s", "zebra"))
    with pytest.raises(DataError) as error:
        read(rows, given)
    message = str(error.value)
    assert "\"refnud\" (2 rows, first at dataframe:5, perhaps 'refund')" in message
    assert '"zebra" (1 row, first at dataframe:7)' in message
    kept = read(rows, given, unknown_labels="keep")
    assert found(kept)["unknown_labels"].count == 3
    assert len(kept.examples) == 7


def test_several_files_are_joined(tmp_path):
    (tmp_path / "a.csv").write_text("text;label;lang\na;x;de\nb;y;de\n")
    (tmp_path / "b.jsonl").write_text('{"text": "c", "label": "x"}\n{"text": "d", "label": "y"}\n')
    reading = read_examples(["a.csv", "b.jsonl"], task(), SETTINGS, root=tmp_path)
    assert reading.examples.sources == ("a.csv:2", "a.csv:3", "b.jsonl:1", "b.jsonl:2")
    assert reading.examples.metadata["lang"] == ("de", "de", None, None)
    assert [s.path for s in reading.sources] == ["a.csv", "b.jsonl"]


def test_the_same_content_in_two_formats_is_the_same_examples(tmp_path):
    (tmp_path / "a.csv").write_text("text,label,n\na,x,1\nb,y,2\nc,x,3\nd,y,\n")
    frame = {"text": list("abcd"), "label": list("xyxy"), "n": [1, 2, 3, None]}
    first = read_examples(["a.csv"], task(), SETTINGS, root=tmp_path).examples
    second = read(frame).examples
    assert (first.ids, first.labels, first.metadata) == (second.ids, second.labels, second.metadata)


def test_lists_as_labels_are_refused():
    with pytest.raises(DataError, match="one label per text"):
        read({"text": ["a", "b"], "label": [["x", "y"], ["x"]]})


def test_no_file_is_an_error():
    with pytest.raises(DataError, match="names no data file"):
        read_examples([], task(), SETTINGS)


def test_a_text_of_two_megabytes_is_cut_and_reported(tmp_path):
    (tmp_path / "a.csv").write_text(
        "text,label\n" + '"' + "word, " * 350_000 + '",x\n' + "מה קורה,x\nمرحبا,y\n😀,y\n"
    )
    reading = read_examples(["a.csv"], task(), SETTINGS, root=tmp_path)
    assert len(reading.examples.texts[0]) == SETTINGS.max_text_chars
    assert reading.examples.texts[1:] == ("מה קורה", "مرحبا", "😀")
    assert "2,100,000 characters" in found(reading)["cut_texts"].examples[0]


def test_five_thousand_labels():
    reading = read(table(*((f"text {i}", f"label {i % 5000} name") for i in range(10_000))))
    assert len(reading.quality.label_counts) == 5000
    assert "label_typos" not in found(reading)
