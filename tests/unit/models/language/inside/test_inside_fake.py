import asyncio
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.entities.errors import InputError, UnknownNameError, UpstreamError
from milepost.entities.language import Message, ModelRequest, Part, Tokens, Tool
from milepost.models.language.asking import Terms
from milepost.models.language.inside.fake import Fake, fake_upstream
from milepost.models.language.inside.reading import Known, read

LABELS = {
    "card-lost": "The card is lost or stolen",
    "refund": "The customer wants money back",
    "delivery": "Where a parcel is",
}
LISTED = "\n".join(f"- {name}: {said}" for name, said in LABELS.items())
SCHEMA = {
    "type": "object",
    "properties": {"label": {"enum": list(LABELS)}, "sure": {"type": "number"}},
}
TEXTS = [f"message number {i} about my stolen card" for i in range(300)]


def asked(text: str, **more: object) -> ModelRequest:
    user = f"Which queue?\n\nLabels:\n{LISTED}\n\nText: {text}\nLabel:"
    return ModelRequest(messages=(Message(role="user", content=user),), **more)


def fake(options: str = "", **row: object) -> Fake:
    return Fake(fake_upstream(base_url=f"fake:{options}", **row))


def test_it_chooses_the_label_that_shares_the_words_of_the_text() -> None:
    model = fake()
    assert model.say(asked("my card was stolen")).text == "card-lost"
    assert model.say(asked("I want my money back")).text == "refund"
    assert model.say(asked("where is my parcel")).text == "delivery"


def test_an_example_in_the_prompt_teaches_it() -> None:
    user = f"{LISTED}\n\nText: the gizmo broke\nLabel: refund\n\nText: my gizmo broke too\nLabel:"
    turns = (
        Message(role="system", content=f"Choose.\n{LISTED}"),
        Message(role="user", content="the gizmo broke"),
        Message(role="assistant", content="refund"),
        Message(role="user", content="my gizmo broke too"),
    )
    inline = ModelRequest(messages=(Message(role="user", content=user),))
    for request in (inline, ModelRequest(messages=turns)):
        assert read(request).examples == (("the gizmo broke", "refund"),)
        assert read(request).text == "my gizmo broke too"
        assert fake().say(request).text == "refund"


def test_it_answers_in_the_form_that_is_asked_for() -> None:
    letters = (
        "A) refund: money back\nB) card: lost card\nAnswer with the letter.\n\nText: lost card"
    )
    by_letter = ModelRequest(messages=(Message(role="user", content=letters),))
    assert fake().say(by_letter).text == "B"
    by_schema = fake().say(asked("my card was stolen", schema=SCHEMA))
    assert json.loads(by_schema.text) == {"label": "card-lost", "sure": 0.5}
    tool = Tool(name="sort", parameters=SCHEMA)
    called = fake().say(asked("my card was stolen", tools=(tool,)))
    assert called.finish == "tool_calls"
    assert json.loads(called.tool_calls[0].arguments)["label"] == "card-lost"


def test_as_many_answers_follow_the_rule_as_accuracy_says() -> None:
    for accuracy in (0.3, 0.9):
        model = fake(f"?accuracy={accuracy}&seed=5")
        right = sum(model.say(asked(text)).text == "card-lost" for text in TEXTS) / len(TEXTS)
        # Four standard errors: a fixed seed, so that this never changes.
        assert abs(right - accuracy) < 4 * math.sqrt(accuracy * (1 - accuracy) / len(TEXTS))


def test_its_confidence_is_the_share_of_answers_that_are_right(tmp_path) -> None:
    known = [json.dumps({"text": text, "label": "refund"}) for text in TEXTS]
    (tmp_path / "known.jsonl").write_text("\n".join(known))
    row = fake_upstream(base_url="fake:?accuracy=0.8&knows=known.jsonl")
    model = Fake(row, root=tmp_path)
    sure: list[tuple[float, bool]] = []
    for text in TEXTS:
        told = model.say(asked(text, schema=SCHEMA, top_logprobs=5))
        chance = math.exp(sum(choice.logprob for choice in told.logprobs))
        sure.append((chance, "refund" in told.text))
    assert abs(sum(c for c, _ in sure) - sum(right for _, right in sure)) / len(sure) < 0.07
    upper = sorted(sure)[len(sure) // 2 :]
    lower = sorted(sure)[: len(sure) // 2]
    assert sum(r for _, r in upper) > sum(r for _, r in lower) + 0.1 * len(upper)


def test_it_knows_what_it_is_told_to_know(tmp_path) -> None:
    lines = [json.dumps({"text": f"zzz {i}", "label": "refund"}) for i in range(20)]
    (tmp_path / "known.jsonl").write_text("\n".join(lines))
    row = fake_upstream(base_url="fake:?knows=known.jsonl")
    model = Fake(row, root=tmp_path)
    assert {model.say(asked(f"zzz {i}")).text for i in range(20)} == {"refund"}


@settings(max_examples=40)
@given(
    text=st.text(max_size=80),
    seed=st.integers(0, 1000),
    top=st.none() | st.integers(0, 20),
)
def test_the_same_request_gets_the_same_answer_and_logs_are_probabilities(text, seed, top) -> None:
    request = asked(text, top_logprobs=top)
    first, again = (fake(f"?accuracy=0.6&seed={seed}").say(request) for _ in range(2))
    assert first == again
    assert first.text in LABELS
    assert (first.logprobs != ()) == (top is not None)
    for choice in first.logprobs:
        whole = sum(math.exp(each.logprob) for each in choice.alternatives)
        assert choice.logprob <= 0.0
        assert whole <= 1.0 + 1e-9


def test_it_counts_and_prices_tokens_with_cached_and_reasoning_ones() -> None:
    model = fake("?cached=0.5&reasoning=7", price_in=2.0, price_out=10.0)
    told = model.say(asked("my card was stolen"))
    assert told.tokens.reasoning == 7
    assert told.tokens.output == 7 + len(["card", "-", "lost"])
    assert told.tokens.cached_input == told.tokens.input // 2
    assert told.micro_usd == round(told.tokens.input * 2 + told.tokens.output * 10)


def test_pieces_come_to_the_whole_with_tokens_on_the_way() -> None:
    async def pieces() -> list:
        stream = fake().stream(asked("my card was stolen", top_logprobs=2), Terms())
        return [piece async for piece in stream]

    found = asyncio.run(pieces())
    whole = found[-1].whole
    assert "".join(piece.text for piece in found) == whole.text == "card-lost"
    assert [piece.whole is None for piece in found] == [True, True, False]
    assert [piece.tokens.output for piece in found] == [1, 2, 3]
    assert found[-1].tokens == whole.tokens


def test_it_ends_by_the_deadline() -> None:
    async def ask() -> None:
        clock = asyncio.get_running_loop().time
        model = Fake(fake_upstream(base_url="fake:?seconds=60"), clock=clock)
        await model.complete(asked("x"), Terms(deadline=clock() + 0.01))

    with pytest.raises(UpstreamError) as caught:
        asyncio.run(ask())
    assert caught.value.outcome == "timeout"


def test_like_texts_have_like_vectors() -> None:
    texts = ["my stolen card", "a card that was stolen", "where is the parcel"]
    vectors, read_ = asyncio.run(fake().embed(texts, Terms()))

    def alike(a: int, b: int) -> float:
        return sum(x * y for x, y in zip(vectors[a], vectors[b], strict=True))

    assert alike(0, 0) == pytest.approx(1.0)
    assert alike(0, 1) > 0.5 > abs(alike(0, 2))
    assert read_.input > 0
    assert read_.output == 0


def test_slips_name_no_label_or_more_than_a_label() -> None:
    silent = fake("?unsure=1").say(asked("my card was stolen"))
    wordy = fake("?wordy=1").say(asked("my card was stolen"))
    assert not any(label in silent.text for label in LABELS)
    assert "card-lost" in wordy.text
    assert wordy.text not in LABELS


@pytest.mark.parametrize(
    ("options", "what"),
    [("?acuracy=1", "accuracy"), ("?accuracy=2", "accuracy"), ("?fault=bang", "fault")],
)
def test_options_that_cannot_be_are_refused(options: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        fake(options)


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'accuracy'"):
        fake("?acuracy=1")


def test_it_refuses_what_its_row_says_it_cannot() -> None:
    image = Message(role="user", content=(Part(text="what?"), Part(image="aGk=")))
    with pytest.raises(UpstreamError) as caught:
        fake().say(ModelRequest(messages=(image,)))
    assert caught.value.outcome == "unsupported"


def test_the_text_that_ends_last_is_the_one_asked_about() -> None:
    known = Known(["stolen card", "a much longer text that was known before", "hi"])
    message = "Text: hi\nLabel: x\n\nText: stolen card\nLabel:"
    assert known.find(message) == "stolen card"
    assert known.find('Say of "a much longer text that was known before": which?') is not None
    assert known.find("nothing of this") is None


def test_tokens_of_an_answer_never_exceed_what_is_allowed() -> None:
    told = fake().say(asked("my card was stolen", max_tokens=1))
    assert told.finish == "length"
    assert told.text == "card"
    assert told.tokens == Tokens(input=told.tokens.input, output=1)
