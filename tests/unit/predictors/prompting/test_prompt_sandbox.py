import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.inputs import MARK
from milepost.entities.prompts import PromptTemplate
from milepost.predictors.prompting.builtin import PHRASINGS, builtin_prompt, with_examples
from milepost.predictors.prompting.sandbox import variable_of
from milepost.predictors.prompting.templates import (
    MOST_OUTPUT,
    ShownExample,
    Wording,
    prepare,
)

WORDING = Wording.of("Which queue?", ("card-lost", "refund"), ("lost or stolen", ""), "message")

ESCAPES = [
    "{{ message.__class__.__mro__ }}",
    "{{ labels[0].__init__.__globals__ }}",
    "{{ (labels | first).__class__ }}",
    "{{ labels | map(attribute='__class__') | list }}",
    "{{ message | attr('__class__') }}",
    "{{ message['__class__'] }}",
    "{{ message.format(message) }}",
    "{{ ''.join(['a']) }}",
    "{{ self.__init__ }}",
    "{{ loop }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ lipsum() }}",
    "{{ range(10 ** 9) }}",
    "{{ message * 1000000000 }}",
    "{{ 2 ** 100000 }}",
    "{{ '%0999999999d' % 1 }}",
    "{% set x = message %}{{ x ~ x }}",
    "{% for c in message %}{{ c }}{% endfor %}",
    "{% for x in labels recursive %}{{ loop(labels) }}{% endfor %}",
    "{% for a in labels %}{% for b in labels %}{% for c in labels %}x{% endfor %}{% endfor %}"
    "{% endfor %}",
    "{% macro f() %}{{ f() }}{% endmacro %}",
    "{% include 'secrets' %}",
    "{% import 'os' as os %}",
    "{% extends 'x' %}",
    "{% block x %}{% endblock %}",
    "{% filter upper %}x{% endfilter %}",
    "{% with x = 1 %}{% endwith %}",
    "{{ " + "(" * 4000 + "1" + ")" * 4000 + " }}",
    "{{ labels }}",
    "{{ labels[7].name }}",
    "{{ message[::-1] }}",
    "x" * 20_001,
]


@pytest.mark.parametrize("text", ESCAPES, ids=range(len(ESCAPES)))
@pytest.mark.parametrize("place", ["system", "user"])
def test_no_template_leaves_its_sandbox(text, place):
    parts = {"user": "{{ message }}", "system": ""}
    parts[place] = f"{text}{{{{ message }}}}"
    with pytest.raises(InputError, match=f"prompt: {place}"):
        prepare(PromptTemplate(**parts), WORDING)


@pytest.mark.parametrize(
    ("text", "kind", "near", "line"),
    [
        ("a\n{{ mesage }}", "variable", "'message'", 2),
        ("{% for l in labels %}\n{{ l.nam }}{% endfor %}", "field", "'name'", 2),
        ("{{ message | uper }}", "filter", "'upper'", 1),
        ("{% fro l in labels %}", "tag", "'for'", 1),
        ("{% if message is defind %}{% endif %}", "test", "'defined'", 1),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_and_the_line(text, kind, near, line):
    with pytest.raises(UnknownNameError) as caught:
        prepare(PromptTemplate(user=text), WORDING)
    assert caught.value.kind == kind
    assert f"Did you mean {near}?" in str(caught.value)
    assert f"line {line}" in str(caught.value)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (PromptTemplate(user="Hello."), "never shows the input"),
        (PromptTemplate(user="{{ message }}", answer="letter"), "shows none"),
        (PromptTemplate(user="{{ message }}", shots=3), "3 examples"),
    ],
)
def test_a_prompt_that_cannot_work_is_refused_before_it_is_asked(template, said):
    with pytest.raises(InputError, match=said):
        prepare(template, WORDING)


def test_too_many_labels_for_letters_are_refused():
    many = Wording.of("", [f"l{i}" for i in range(27)], [""] * 27, "message")
    with pytest.raises(InputError, match="27 labels are too many for letters"):
        prepare(builtin_prompt("letter", input_name="message"), many)


@pytest.mark.parametrize(
    ("phrasing", "answer"),
    list(zip(PHRASINGS, ["label", "letter", "json", "letter"], strict=True)),
)
@settings(max_examples=40)
@given(text=st.text(max_size=80), instruction=st.sampled_from(["", "Which {{ queue }}?"]))
def test_inputs_are_data_whatever_they_hold(phrasing, answer, text, instruction):
    template = builtin_prompt(answer, phrasing=phrasing, shots=1, input_name="message")
    wording = Wording.of(instruction, ("a{{ 1 }}", "b"), ("", "{% raw %}"), "message")
    shown = ShownExample(f"{text}{{{{ 7 * 7 }}}}", "b")
    messages = prepare(template, wording).messages(text, [shown])
    said = "\n".join(str(message.content) for message in messages)
    assert f"{text}{{{{ 7 * 7 }}}}" in said
    assert text.strip() in said
    assert instruction in said
    assert "a{{ 1 }}" in said
    assert "49" not in said.replace(text, "")


def test_output_is_bounded():
    loops = "{% for a in labels %}{% for b in labels %}{{ message }}{% endfor %}{% endfor %}"
    many = Wording.of("", [f"label {i}" for i in range(100)], [""] * 100, "message")
    prompt = prepare(PromptTemplate(user=loops), many)
    with pytest.raises(InputError, match=f"{MOST_OUTPUT:,} characters"):
        prompt.messages("x" * 1000)


@pytest.mark.parametrize(
    ("name", "variable"),
    [("text", "text"), ("e-mail", "e_mail"), ("labels", "labels_"), ("not", "not_")],
)
def test_any_input_name_can_be_a_variable(name, variable):
    assert variable_of(name) == variable
    wording = Wording.of("", ("a", "b"), ("", ""), name)
    prompt = prepare(builtin_prompt("label", input_name=name), wording)
    assert "hello" in str(prompt.messages("hello")[-1].content)


def test_examples_get_a_place_in_a_prompt_without_one():
    template = with_examples(PromptTemplate(user="Read: {{ message }}"), 2)
    prompt = prepare(template, WORDING)
    said = prompt.messages("new", [ShownExample("old", "refund")])[-1].content
    assert said == "Text: old\nLabel: refund\n\nRead: new"


def test_the_sides_of_a_pair_stand_in_lines_of_their_own():
    prompt = prepare(with_examples(PromptTemplate(user="Read: {{ message }}"), 1), WORDING)
    example = ShownExample(f"old {MARK} older", "refund")
    said = prompt.messages(f"new {MARK} newer", [example])[-1].content
    assert said == (
        "Text: \nFirst: old\nSecond: older\nLabel: refund\n\nRead: \nFirst: new\nSecond: newer"
    )
