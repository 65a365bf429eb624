"""The built-in steps: what each does, that it repeats, and that no text makes it slow or fail."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.preparation import STEPS, check_step
from milepost.predictors.preparation import Preparation, pinned, preparation
from milepost.predictors.preparation.preparing import StepError
from milepost.predictors.preparation.steps import BUILT_IN, NOT_IDEMPOTENT

MAIL = """Hello,

my parcel is late.

--\x20
Ann
"""
REPLY = """Still nothing.

> Is it there?
On Monday, 3 May, Ann Example <ann@example.org>
wrote:
> It left our house.
"""


@pytest.mark.parametrize(
    ("step", "text", "prepared"),
    [
        ("collapse_space", "  a \n\t b\u00a0c ", "a b c"),
        ("lower_case", "Straße ÉCOLE", "straße école"),
        ("mask_emails", "to ann.b+c@mail.example.org!", "to EMAIL!"),
        ("mask_numbers", "card 4111 1111, 5.20", "card 0 0, 0.0"),
        ("strip_accents", "déjà vu, naïve, Ångström", "deja vu, naive, Angstrom"),
        ("strip_accents", "हिन्दी بِسْمِ", "हिन्दी بِسْمِ"),
        ("strip_html", "<p>a<b>b</b></p><br/>1 &lt; 2 &amp; 3", "\nab\n\n1 < 2 & 3"),
        ("strip_html", "a < b and c > d", "a < b and c > d"),
        ("strip_html", "x<!-- <b> no -->y<script>if (a<b) {}</script>z", "xyz"),
        ("strip_html", "<a title='x > y' href=z>link</a> end", "link end"),
        ("strip_html", "<td>1</td><td>2</td>", " 1  2 "),
        ("strip_html", "<HEAD><title>t</title></HEAD>İ body", "İ body"),
        ("strip_html", "<p title='never closed>a<b>b", "\nab"),
        ("strip_quotes", REPLY, "Still nothing.\n"),
        ("strip_quotes", "> only\n> quotes", "> only\n> quotes"),
        ("strip_quotes", "Ja.\nAm 3. Mai schrieb Ann:\nNein?", "Ja."),
        ("strip_quotes", "Am Freitag kam nichts an:\nschade", "Am Freitag kam nichts an:\nschade"),
        ("strip_quotes", "Yes\n-----Original Message-----\nNo", "Yes"),
        ("strip_quotes", "Yes\nFrom: Ann\nSent: today\n\nNo", "Yes"),
        ("strip_signature", MAIL, "Hello,\n\nmy parcel is late.\n"),
        ("strip_urls", "see https://a.example/b?c or www.d.example now", "see  or  now"),
        ("unicode_nfkc", "ﬁne １２ Ａ", "fine 12 A"),
    ],
)
def test_each_step_does_what_it_says(step, text, prepared):
    found = preparation((step,), None, 1000).whole([text])
    assert found == [prepared if prepared.strip() else ""]


def test_the_documented_steps_are_those_that_there_are():
    assert list(STEPS) == sorted(BUILT_IN)
    assert set(BUILT_IN) >= NOT_IDEMPOTENT


TEXTS = st.one_of(
    st.text(max_size=60),
    st.text("<>/!-'\"= abpscriptd&;#lt3@.w:\n\u0301\u0327\u0344\uff9eΣİ", max_size=80),
    st.lists(
        st.sampled_from(
            (
                "> a",
                "On Monday",
                "wrote:",
                "From: x",
                "Sent: y",
                "--",
                "-- ",
                "",
                "a@b.c",
                "@e.f",
                "Am 3. schrieb x:",
                "www.x",
                "http://",
                "<p>",
                "</p>",
                "&amp;lt;",
                "\u0301" * 40,
            )
        ),
        max_size=8,
    ).map("\n".join),
)


@pytest.mark.parametrize("step", sorted(set(BUILT_IN) - NOT_IDEMPOTENT))
@given(TEXTS)
def test_a_second_time_changes_nothing(step, text):
    once = BUILT_IN[step](text)
    assert BUILT_IN[step](once) == once


@given(TEXTS, st.lists(st.sampled_from(sorted(BUILT_IN)), max_size=4))
def test_whatever_comes_becomes_a_text_that_can_be_stored(text, steps):
    (prepared,) = preparation(steps, None, 50)([text + "\ud800\x00"])
    prepared.encode()
    assert "\x00" not in prepared
    assert len(prepared) <= 50
    assert prepared == "" or prepared.strip()


@given(TEXTS)
def test_no_tag_is_left_of_what_is_html(text):
    inner = text.replace("<", "").replace(">", "").replace("&", "")
    assert "<" not in BUILT_IN["strip_html"](f"<div class='{'x'}'>{inner}</div><p>{inner}")


HOSTILE = [
    "<a " * 60_000,
    "<" * 200_000,
    '<a "x>" ' * 30_000 + "'",
    "<!--" * 50_000,
    "<script>" * 25_000,
    "a@" * 100_000,
    "a." * 100_000,
    "w" * 200_000,
    "> " * 100_000,
    "On \n" * 50_000,
    "a" + "\u0301\u0327" * 100_000,
    "\u0344" * 100_000,
    "\uff9e" * 200_000,
    "&" * 200_000,
    "&#" + "9" * 4000 + " &#x110000;",
]


@pytest.mark.parametrize("step", sorted(BUILT_IN))
def test_a_hostile_text_keeps_no_step_busy(step):
    """A step that looked back at each character would take minutes here."""
    for text in HOSTILE:
        assert len(BUILT_IN[step](text)) <= 2 * len(text), text[:20]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("strip_htm", "Did you mean 'strip_html'"),
        ("own:mail.py", "own:FILE.py:FUNCTION"),
        ("own:mail.txt:body", "own:FILE.py:FUNCTION"),
        ("", "no step ''"),
    ],
)
def test_what_is_no_step_is_refused(step, said):
    with pytest.raises(InputError, match=said):
        check_step(step)
    with pytest.raises(InputError, match=said):
        preparation([step], None, 10)


@pytest.fixture
def own(tmp_path):
    """Writes a file with own steps and gives its folder."""

    def written(source: str):
        (tmp_path / "mail.py").write_text(source)
        return tmp_path

    return written


def test_an_own_function_is_pinned_by_the_digest_of_its_file(own):
    root = own("def body(text):\n    return text.partition('|')[2]\n")
    steps = pinned(("own:mail.py:body", "lower_case"), root)
    assert steps[0].startswith("own:mail.py:body@")
    assert steps[1] == "lower_case"
    prepare = preparation(steps, root, 100)
    assert prepare(["head|BODY", "no bar"]) == ["body", ""]
    assert prepare.steps == steps
    own("def body(text):\n    return text\n")
    with pytest.raises(InputError, match=r"mail\.py is not the file that this was made with"):
        preparation(steps, root, 100)
    # Loaded before, it stays what it was.
    assert prepare(["head|BODY"]) == ["body"]
    with pytest.raises(InputError, match=r"its file is not here.*root="):
        preparation(steps, None, 100)


def test_a_file_of_another_content_is_never_executed(own, tmp_path):
    root = own("def body(text):\n    return text\n")
    steps = pinned(("own:mail.py:body",), root)
    own(f"open({str(tmp_path / 'done')!r}, 'w').close()\ndef body(text):\n    return text\n")
    with pytest.raises(InputError, match="is not the file"):
        preparation(steps, root, 100)
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def bodies(text):\n    return text\n", "no function 'body'. Did you mean 'bodies'"),
        ("def body(", "SyntaxError"),
        ("raise RuntimeError('no')", "RuntimeError: no"),
        ("body = 3", "no function 'body'"),
    ],
)
def test_an_own_file_that_cannot_be_used_is_refused(own, source, said):
    with pytest.raises(InputError, match=said):
        preparation(("own:mail.py:body",), own(source), 100)


@pytest.mark.parametrize("file", ["../mail.py", "/etc/mail.py", "none.py"])
def test_nothing_outside_the_workspace_is_executed(own, file, tmp_path):
    own("def body(text):\n    return text\n")
    root = tmp_path / "desk"
    root.mkdir()
    with pytest.raises(InputError, match=r"outside the workspace|cannot be used"):
        preparation((f"own:{file}:body",), root, 100)


@pytest.mark.parametrize(
    ("result", "said"),
    [("text.index('x')", "failed: ValueError"), ("3", "gave int"), ("None", "gave NoneType")],
)
def test_a_step_that_fails_names_the_input(own, result, said):
    prepare = preparation(
        ("own:mail.py:body",), own(f"def body(text):\n    return {result}\n"), 100
    )
    texts = ["x", "b"] if "index" in result else ["b"]
    if "index" in result:
        prepare = preparation(
            ("own:mail.py:body",),
            own("def body(text):\n    text.index('x')\n    return text\n"),
            100,
        )
    with pytest.raises(StepError, match=said) as caught:
        prepare(texts)
    assert caught.value.row == len(texts) - 1
    assert caught.value.where == f"input {caught.value.row}"


def test_without_steps_a_text_is_only_cleaned_and_cut():
    prepare = Preparation((), (), 3)
    assert prepare(["abcd", " \n", "\x00a\ud83d\ude00"]) == ["abc", "", "a\U0001f600"]
    assert prepare.whole(["abcd"]) == ["abcd"]


def test_an_unknown_name_carries_all_steps():
    with pytest.raises(UnknownNameError) as caught:
        check_step("nfkc")
    assert set(BUILT_IN) < set(caught.value.allowed)


def test_marks_that_would_be_sorted_slowly_are_all_known():
    """Every character with a combining class is among those that are counted."""
    from milepost.predictors.preparation.steps import _MARKS

    for point in range(sys.maxunicode + 1):
        each = chr(point)
        apart = unicodedata.normalize("NFKD", each) if not 0xD800 <= point < 0xE000 else ""
        if apart and all(map(unicodedata.combining, apart)):
            assert _MARKS.fullmatch(each * 20), hex(point)
