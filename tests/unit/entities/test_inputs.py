"""Several inputs as one text."""

from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.inputs import MARK, composition, fields_of, sides

TEXTS = st.text(max_size=40)


def test_fields_stand_where_the_template_names_them():
    how = composition(("subject", "body"), "{subject}: {body} ({subject})", pair=False)
    assert how.text({"subject": "a {body}", "body": "b"}) == "a {body}: b (a {body})"
    assert fields_of("{subject} {body} {subject} {Not}") == ("subject", "body")


def test_without_a_template_there_is_a_line_for_each():
    how = composition(("subject", "body"), None, pair=False)
    assert how.text({"subject": "x", "body": "y"}) == "subject: x\nbody: y"


@given(TEXTS, TEXTS)
def test_the_sides_of_a_pair_are_told_apart_again(first, second):
    text = composition(("left", "right"), None, pair=True).text({"left": first, "right": second})
    assert sides(text) == tuple(each.replace(MARK, " ").strip() for each in (first, second))


def test_a_text_without_a_mark_has_one_side():
    assert sides("only this") == ("only this", "")
