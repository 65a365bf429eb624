from dataclasses import replace

import numpy as np
import pytest

from milepost.entities.errors import CorruptError, UpstreamError
from milepost.entities.language import (
    Completion,
    TokenAlternative,
    TokenChoice,
    Tokens,
)
from milepost.entities.prediction import undecided
from milepost.entities.prompts import PromptTemplate
from milepost.metrics.scoring.deciding import decided
from milepost.models.language.inside.fake import fake_upstream
from milepost.predictors.base import Batch
from milepost.predictors.prompting.asks import ROOM, letter_scores
from milepost.predictors.prompting.builtin import PHRASINGS, builtin_prompt
from milepost.predictors.prompting.predictor import (
    Asked,
    PromptedPredictor,
    RetrievingPredictor,
)
from milepost.predictors.prompting.worth import (
    counts_of,
    evidence,
    fit_weights,
    held_out_evidence,
    log_posterior,
    prior_of,
)
from milepost.testing.speakers import Scripted, Told, answers

LABELS = ("bug", "question", "praise")


def predictor_of(*asked, kind=PromptedPredictor, **more):
    k, m = len(LABELS), len(asked)
    prior = np.full(k, 1 / k)
    table = evidence(log_posterior(np.zeros((k, k)), prior), prior, np.arange(k))
    return kind(
        labels=LABELS,
        upstream="big",
        model="m",
        instruction="What is it?",
        descriptions=("", "", ""),
        input_name="text",
        asked=asked,
        prior=prior,
        tables=np.stack([table] * m),
        bias=np.zeros((m, k)),
        weights=np.full(m, 1 / m),
        **more,
    )


def plain(**more):
    return Asked(template=builtin_prompt("label"), **more)


def told(script):
    return Told(Scripted(fake_upstream("big"), script))


def labels_of(predictions):
    return decided(predictions.probabilities).tolist()


def asked_about(request):
    return request.messages[-1].content.rpartition("Text: ")[2].partition("\n")[0]


def test_an_answer_that_cannot_be_read_is_asked_once_more_and_then_decides_nothing():
    def script(request):
        text = str(request.messages[1].content)
        if "clear" in text:
            return "praise"
        repaired = len(request.messages) == 4
        return "question" if repaired and "late" in text else "Well, it depends."

    speaker = told(script)
    batch = Batch(("clear", "late", "never"))
    found = answers(predictor_of(plain()), batch, speaker)
    assert labels_of(found) == [2, 1, -1]
    assert np.ptp(found.probabilities[2]) == 0
    assert undecided(found.probabilities).tolist() == [False, False, True]
    assert len(speaker.calls) == 5  # three, and two once more


def test_a_model_that_ran_out_of_room_gets_more_of_it_and_a_cut_answer_counts_for_nothing():
    def script(request):
        if request.max_tokens < ROOM:
            return Completion(text="bug", finish="length")
        return "question"

    speaker = told(script)
    assert labels_of(answers(predictor_of(plain()), Batch(("x",)), speaker)) == [1]
    assert [call.max_tokens for call in speaker.calls][1:] == [ROOM]
    assert speaker.calls[0].messages == speaker.calls[1].messages


def test_a_call_that_fails_gives_a_row_that_decides_nothing_and_never_raises():
    def script(request):
        if asked_about(request) == "down":
            raise UpstreamError("timeout", "it was late", upstream="big")
        return "bug"

    found = answers(predictor_of(plain()), Batch(("up", "down")), told(script))
    assert labels_of(found) == [0, -1]


def test_without_anybody_to_ask_it_says_so():
    with pytest.raises(ValueError, match="big"):
        predictor_of(plain()).predict(Batch(("x",)))
    assert predictor_of(plain()).predict(Batch(())).probabilities.shape == (0, 3)


def test_all_prompts_are_asked_in_one_round_and_outvote_one():
    asked = [Asked(template=builtin_prompt("label", phrasing=phrasing)) for phrasing in PHRASINGS]
    predictor = predictor_of(*asked)
    rounds = []
    asking = predictor.scoring(Batch(("x", "y")))
    questions = next(asking)
    rounds.append(len(questions))
    said = ["bug", "bug", "praise", "praise", "bug", "praise", "question", "praise"]
    with pytest.raises(StopIteration) as end:
        asking.send([Completion(text=text) for text in said])
    assert rounds == [8]
    assert end.value.value.argmax(axis=1).tolist() == [0, 2]


def choice(**shares):
    told = tuple(TokenAlternative(token=t, logprob=float(np.log(p))) for t, p in shares.items())
    return (TokenChoice(token=told[0].token, logprob=told[0].logprob, alternatives=told),)


def test_letters_are_scored_by_all_their_spellings():
    scores = letter_scores(choice(A=0.4, **{" A": 0.2, "B": 0.3, "The": 0.1}), 3)
    assert np.allclose(np.exp(scores), [0.6, 0.3, 0.1])
    assert letter_scores(choice(The=0.999, A=0.001), 3) is None
    assert letter_scores((), 3) is None


def test_scores_are_lessened_by_what_the_prompt_says_of_nothing():
    asked = Asked(template=builtin_prompt("letter"), scored=True)
    predictor = predictor_of(asked)
    shares = choice(A=0.5, B=0.4, C=0.1)

    def script(request):
        assert request.max_tokens == 1
        assert request.top_logprobs == 20
        return Completion(text="A", finish="length", logprobs=shares)

    batch = Batch(("x",))
    before = answers(predictor, batch, told(script)).probabilities[0]
    assert np.allclose(before, [0.5, 0.4, 0.1], atol=1e-6)
    bias = np.log([[0.7, 0.2, 0.1]])
    after = answers(replace(predictor, bias=bias), batch, told(script))
    assert labels_of(after) == [1]


def test_a_scored_model_that_thinks_first_is_asked_in_words():
    asked = Asked(template=builtin_prompt("letter"), scored=True)

    def script(request):
        if request.top_logprobs is not None:
            return Completion(text="<think>", finish="length", tokens=Tokens(reasoning=1, output=1))
        assert request.max_tokens == ROOM
        return "<think>it praises</think>C"

    assert labels_of(answers(predictor_of(asked), Batch(("x",)), told(script))) == [2]


def test_the_nearest_examples_are_shown_the_nearest_last():
    vectors = np.eye(4, dtype=np.float32)[:3]
    predictor = predictor_of(
        Asked(template=builtin_prompt("label", shots=2)),
        kind=RetrievingPredictor,
        examples=("far", "near", "nearer"),
        y=np.array([0, 1, 2]),
        vectors=vectors,
    )
    query = np.array([[0.1, 0.5, 0.86, 0.0]], np.float32)
    speaker = told(lambda request: "bug")
    answers(predictor, Batch(("new",), query), speaker)
    said = speaker.calls[0].messages[-1].content
    assert said == "Text: near\nLabel: question\n\nText: nearer\nLabel: praise\n\nText: new\nLabel:"
    barred = np.array([[False, False, True]])
    assert predictor.nearest(query, 2, barred) == [(("far", 0), ("near", 1))]


def parts_of(predictor):
    return dict(predictor.arrays()), dict(predictor.parameters())


@pytest.mark.parametrize(
    "fault",
    [
        lambda arrays, parameters: arrays.update(prior=np.zeros(3)),
        lambda arrays, parameters: arrays.update(tables=np.full((1, 3, 3), np.nan)),
        lambda arrays, parameters: (
            arrays.update(y=np.array([3])) or parameters.update(examples="x")
        ),
        lambda arrays, parameters: parameters.update(upstream=""),
        lambda arrays, parameters: parameters.update(asked=[]),
        lambda arrays, parameters: parameters.update(key="secret"),
        lambda arrays, parameters: parameters["asked"][0].update(max_tokens=10**9),
        lambda arrays, parameters: parameters["asked"][0].update(scored=True),
        lambda arrays, parameters: parameters["asked"][0]["template"].update(user="{{ x() }}"),
        lambda arrays, parameters: parameters["asked"][0]["template"].update(
            user="{{ text.__class__ }}"
        ),
    ],
)
def test_parts_that_are_not_a_predictor_are_refused(fault):
    arrays, parameters = parts_of(predictor_of(plain()))
    PromptedPredictor.from_parts(LABELS, 1.0, arrays, parameters)
    fault(arrays, parameters)
    with pytest.raises(CorruptError):
        PromptedPredictor.from_parts(LABELS, 1.0, arrays, parameters)


def test_labels_that_no_answer_tells_apart_are_refused_in_a_bundle():
    arrays, parameters = parts_of(predictor_of(plain()))
    with pytest.raises(CorruptError, match="apart"):
        PromptedPredictor.from_parts(("bug", "BUG", "praise"), 1.0, arrays, parameters)


def test_templates_are_told_each_once():
    twice = predictor_of(
        plain(), plain(sample=1), Asked(template=PromptTemplate(user="{{ text }}"))
    )
    assert len(twice.templates) == 2
    assert twice.upstreams == ("big",)


def test_what_an_answer_is_worth_is_counted_and_held_out_of_its_own_count():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 400)
    # Where it says 2 the truth is mostly 0: a model that takes one label for another.
    said = np.where((y == 0) & (rng.random(400) < 0.8), 2, y)
    prior = prior_of(y, 3)
    posterior = np.exp(log_posterior(counts_of(said, y, 3), prior))
    assert np.allclose(posterior.sum(axis=1), 1)
    assert posterior.argmax(axis=1)[1] == 1
    share = (y[said == 2] == 0).mean()
    assert abs(posterior[2, 0] - share) < 0.05
    row = int(np.flatnonzero((said == 2) & (y == 0))[0])
    others = np.arange(400) != row
    table = log_posterior(counts_of(said[others], y[others], 3), prior)
    held = held_out_evidence(said, y, prior)
    assert np.allclose(held[row], table[2] - np.log(prior))
    assert (held_out_evidence(np.full(5, -1), y[:5], prior) == 0).all()


def test_without_any_example_an_answer_is_believed_four_times_in_five():
    prior = prior_of(np.zeros(0, np.int64), 5)
    assert np.allclose(np.exp(log_posterior(np.zeros((5, 5)), prior)).diagonal(), 0.8)


def test_phrasings_that_say_the_same_are_not_counted_twice():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 300)
    said = np.where(rng.random(300) < 0.8, y, 1 - y)
    other = np.where(rng.random(300) < 0.8, y, 1 - y)
    prior = prior_of(y, 2)
    parts = [held_out_evidence(each, y, prior) for each in (said, said, other)]
    weights = fit_weights(parts, prior, y)
    assert np.allclose(weights[0], weights[1], atol=1e-3)
    assert 0.7 < weights[0] + weights[1] < 1.3
    assert 0.7 < weights[2] < 1.3
