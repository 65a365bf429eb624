import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.entities.errors import InputError
from milepost.entities.example import Examples
from milepost.evaluation.slices import slice_masks, where_mask


def examples(texts, **metadata):
    n = len(texts)
    ids = tuple(str(i) for i in range(n))
    return Examples(
        ids=ids,
        texts=tuple(texts),
        labels=(None,) * n,
        groups=ids,
        sources=ids,
        metadata={name: tuple(values) for name, values in metadata.items()},
    )


ROWS = examples(
    ["hi", "länger Text 😀", "x" * 50, ""],
    lang=["de", None, "en", "de"],
    n=[1, 2.5, None, 3],
    mixed=[1, "a", True, None],
    Body=["q"] * 4,
    body=["r"] * 4,
    big=[2**70, 1, 2, None],
    nothing=[None] * 4,
)


@pytest.mark.parametrize(
    ("predicate", "rows"),
    [
        ("length(body_text) > 5", [1, 2]),
        ("lang = 'de'", [0, 3]),
        ("NOT (lang = 'de')", [2]),
        ("n > 1 -- a comment", [1, 3]),
        ("mixed = 'True'", [2]),
        ("lang in ('en') or regexp_matches(body_text, '^x+$')", [2]),
        ("nothing is null", [0, 1, 2, 3]),
        ("case when n is null then true else n between 2 and 2.6 end", [1, 2]),
        ("body = 'q'", [0, 1, 2, 3]),
        ("cast(big as varchar) like '11805%'", [0]),
        ("body_text ilike '%TEXT%'", [1]),
        ("null", []),
    ],
)
def test_predicates_select_rows_and_null_is_outside(predicate, rows):
    if predicate == "null":
        predicate = "cast(null as boolean)"
    assert np.flatnonzero(where_mask(ROWS, "body_text", predicate)).tolist() == rows


def test_several_slices_at_once():
    found = slice_masks(ROWS, "text", {"german": "lang = 'de'", "long": "length(text) > 20"})
    assert found["german"].tolist() == [True, False, False, True]
    assert found["long"].tolist() == [False, False, True, False]
    assert slice_masks(ROWS, "text", {}) == {}
    assert slice_masks(ROWS.take([]), "text", {"a": "text = ''"})["a"].shape == (0,)


@pytest.mark.parametrize(
    "predicate",
    [
        "lang='de'); DROP TABLE data; SELECT (1",
        "exists(select * from read_csv('/etc/passwd'))",
        "(select count(*) from read_text('/etc/passwd')) > 0",
        "lang in (select 'de')",
        "true) from data union all select (true",
        "true) from data where (true",
        "true) from data limit (1",
        "true) from read_csv('/etc/passwd') t(x) where (true",
        "a) AS x, (b",
        "true, true",
        "count(*) > 1",
        "max(n) > 1",
        "row_number() over () > 3",
        "random() > 0.5",
        "$1",
        "?",
        "*",
        "length(text)",
        "text",
        "unnest([true, false])",
        "len(range(100000000000)) > 1",
        "COPY data TO 'out.csv'",
        "ATTACH 'other.db'",
        "PRAGMA database_list",
        "INSTALL httpfs",
        "SET memory_limit = '1TB'",
        "read_text('/etc/passwd') is null",
        "getenv('HOME') is not null",
        "cast(text as int) > 2",
        "length(text",
        "text = 'a' /* ",
        "",
        "  ",
        "text = '\x00'",
        "text = '\ud800'",
        "(" * 3000 + "true" + ")" * 3000,
        "true" + " or true" * 3000,
    ],
)
def test_anything_but_one_boolean_expression_is_refused(predicate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="Columns: text"):
        where_mask(ROWS, "text", predicate)
    assert list(tmp_path.iterdir()) == []


def test_the_error_names_slice_sql_columns_and_the_nearest_name():
    with pytest.raises(InputError) as caught:
        slice_masks(ROWS, "text", {"german": "langg = 'de'"})
    said = str(caught.value)
    for part in ("slice 'german'", "langg = 'de'", "Did you mean 'lang'?", "text, lang, n"):
        assert part in said


@pytest.mark.parametrize("predicate", ["row_ = 2", "milepost = 1", "data.x = 1"])
def test_the_error_names_only_columns_of_the_user(predicate):
    with pytest.raises(InputError) as caught:
        slice_masks(ROWS, "text", {"a": predicate})
    assert "Columns: text" in str(caught.value)
    assert "__milepost" not in str(caught.value)


def test_files_cannot_be_read_even_by_name(tmp_path):
    file = tmp_path / "secret.csv"
    file.write_text("a\n1\n")
    for predicate in (f"exists(from '{file}')", f"'{file}'.a = 1", f'"{file}".a = 1'):
        with pytest.raises(InputError):
            where_mask(ROWS, "text", predicate)


@given(st.text(max_size=40))
@settings(max_examples=80)
def test_any_text_gives_a_mask_or_an_input_error(predicate):
    try:
        mask = where_mask(ROWS, "text", predicate)
    except InputError:
        return
    assert mask.dtype == np.bool_
    assert mask.shape == (4,)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=10))
@settings(max_examples=40)
def test_lengths_are_those_of_python(texts):
    found = where_mask(examples(texts), "text", "length(text) > 5")
    assert found.tolist() == [len(text) > 5 for text in texts]


def test_a_language_is_found_where_the_data_do_not_say_it():
    told = examples(["wo ist mein Paket und die Rechnung", "where is my parcel and the bill", "?"])
    masks = slice_masks(told, "text", {"german": "language = 'German'", "none": "language IS NULL"})
    assert {name: mask.tolist() for name, mask in masks.items()} == {
        "german": [True, False, False],
        "none": [False, False, True],
    }
    own = examples(["wo ist mein Paket und die Rechnung"], Language=["mine"])
    assert where_mask(own, "text", "language = 'mine'").tolist() == [True]
