import asyncio
import json

import pytest

from milepost.entities.errors import DataError, UpstreamError
from milepost.entities.language import Message, ModelRequest, Tokens
from milepost.entities.upstream import Endpoint, Price, Upstream
from milepost.models.language.asking import Terms
from milepost.models.language.inside.fake import Fake, fake_upstream
from milepost.models.language.inside.recorded import Recorded, Recording, request_digest


def asked(text: str, **more: object) -> ModelRequest:
    user = f"One of: yes, no\n\nText: {text}\nAnswer:"
    return ModelRequest(messages=(Message(role="user", content=user),), **more)


def row(file: str) -> Upstream:
    since = fake_upstream().prices[0].since
    return Upstream(
        name="old", wire="recorded", model="m", endpoints=(Endpoint(base_url=f"recorded:{file}"),),
        prices=(Price(since=since, input=1_000_000, output=2_000_000),),
    )  # fmt: skip


def written(folder, *lines: object) -> Recorded:
    (folder / "answers.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return Recorded(row("answers.jsonl?speed=0"), root=folder)


def test_what_was_recorded_around_a_model_is_given_again_to_the_letter(tmp_path) -> None:
    path = tmp_path / "answers.jsonl"
    requests = [asked(f"is {i} odd?", top_logprobs=2) for i in range(5)]

    async def record() -> list:
        model = Recording(Fake(fake_upstream(base_url="fake:?accuracy=0.7&reasoning=3")), path)
        found = [await model.complete(request, Terms()) for request in requests]
        await model.close()
        return found

    live = asyncio.run(record())
    again = Recorded(row("answers.jsonl?speed=0"), root=tmp_path)
    for request, was in zip(requests, live, strict=True):
        now = again.say(request)
        assert (now.text, now.tokens, now.micro_usd, now.logprobs) == (
            was.text, was.tokens, was.micro_usd, was.logprobs
        )  # fmt: skip


def test_an_answer_by_the_digest_goes_before_one_by_the_text(tmp_path) -> None:
    request = asked("is it?")
    model = written(
        tmp_path,
        {"input": "is it?", "label": "no", "micro_usd": 5},
        {"request": request_digest(request), "text": "Yes!", "micro_usd": 7},
    )
    assert (model.say(request).text, model.say(request).micro_usd) == ("Yes!", 7)
    other = model.say(asked("is it?", max_tokens=9))
    assert (other.text, other.micro_usd) == ("no", 5)


def test_a_label_is_written_in_the_form_that_is_asked_for(tmp_path) -> None:
    model = written(tmp_path, {"input": "is it?", "label": "no"})
    schema = {"type": "object", "properties": {"a": {"enum": ["yes", "no"]}}}
    assert model.say(asked("is it?", schema=schema)).text == '{"a":"no"}'
    letters = "A) yes\nB) no\nAnswer with a letter.\n\nText: is it?"
    by_letter = ModelRequest(messages=(Message(role="user", content=letters),))
    assert model.say(by_letter).text == "B"


def test_costs_follow_the_price_where_none_was_recorded(tmp_path) -> None:
    model = written(
        tmp_path, {"input": "is it?", "label": "no", "tokens": {"input": 9, "output": 2}}
    )
    told = model.say(asked("is it?"))
    assert told.tokens == Tokens(input=9, output=2)
    assert told.micro_usd == 9 + 4


def test_a_miss_is_a_typed_error(tmp_path) -> None:
    model = written(tmp_path, {"input": "is it?", "label": "no"})
    with pytest.raises(UpstreamError) as caught:
        asyncio.run(model.complete(asked("never asked"), Terms()))
    assert caught.value.outcome == "not_found"
    assert "Record it once" in str(caught.value)


def test_latency_is_that_of_the_recording(tmp_path) -> None:
    (tmp_path / "a.jsonl").write_text('{"input": "is it?", "label": "no", "seconds": 3.0}')
    slow = Recorded(row("a.jsonl?speed=2"), root=tmp_path)
    assert slow.say(asked("is it?")).seconds == 1.5
    assert Recorded(row("a.jsonl?speed=0"), root=tmp_path).say(asked("is it?")).seconds == 0.0


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"input": "x"}', "neither text nor label"),
        ('{"text": "x"}', "neither request nor input"),
        ("{", "is no answer"),
    ],
)
def test_a_line_that_is_no_answer_is_named(tmp_path, line: str, what: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"input": "x", "label": "y"}\n' + line)
    with pytest.raises(DataError, match=what) as caught:
        Recorded(row("a.jsonl"), root=tmp_path)
    assert str(caught.value.where).endswith("a.jsonl:2")


def test_a_file_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        Recorded(row("none.jsonl"), root=tmp_path)
