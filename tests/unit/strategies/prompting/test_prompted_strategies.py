import re
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from milepost._base.digest import digest_of
from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, TokenAlternative, TokenChoice
from milepost.entities.prompts import PromptTemplate
from milepost.entities.upstream import Capabilities
from milepost.models.language.inside.fake import fake_upstream
from milepost.predictors.base import Batch
from milepost.predictors.prompting.builtin import builtin_prompt
from milepost.predictors.prompting.templates import Wording, prepare
from milepost.strategies.prompting.edits import as_template, with_instruction
from milepost.strategies.prompting.prompt_ensemble import PromptEnsemble
from milepost.strategies.prompting.prompt_search import PromptSearch
from milepost.strategies.prompting.prompted import Prompted
from milepost.strategies.prompting.prompted_examples import PromptedExamples, diverse
from milepost.strategy import Problem
from milepost.testing.encoders import HashedEncoder
from milepost.testing.speakers import Scripted, Told, answers

LABELS = ("odd", "even")
ALL = (Prompted(), PromptedExamples(), PromptEnsemble(), PromptSearch())


def plain_upstream(**capabilities):
    row = fake_upstream("big")
    return msgspec.structs.replace(row, capabilities=Capabilities(**capabilities))


def problem_of(script, n=80, *, budget=None, **more):
    """Numbers in words are odd or even; the script is who is asked."""
    upstream = more.pop("upstream", plain_upstream())
    speaker = Told(Scripted(upstream, script), budget)
    problem = Problem(
        labels=LABELS,
        descriptions=("not divisible by two", "divisible by two"),
        instruction="Is the number odd or even?",
        texts=tuple(f"number {i * 7} is written here" for i in range(n)),
        y=np.array([(i * 7 + 1) % 2 for i in range(n)], np.int64),
        encoder=HashedEncoder(),
        language={"big": speaker},
        **more,
    )
    return problem, speaker


def number_in(request):
    asked = str(request.messages[1].content)
    return int(re.findall(r"number (\d+) is", asked)[-1])


def right(request):
    return LABELS[(number_in(request) + 1) % 2]


def accuracy(predictor, problem):
    speaker = next(iter(problem.language.values()))
    batch = Batch(problem.texts, problem.encoder.encode(problem.texts))
    found = answers(predictor, batch, speaker).probabilities
    return float((found.argmax(axis=1) == problem.y).mean())


def test_zero_shot_fits_of_all_folds_ask_about_each_example_once():
    problem, speaker = problem_of(right)
    for fold in range(5):
        rows = np.flatnonzero(np.arange(80) % 5 != fold)
        Prompted().fit(problem.take(rows))
    predictor = Prompted().fit(problem)
    assert accuracy(predictor, problem) == 1.0
    assert len(speaker.calls) == 80


def test_a_model_that_takes_labels_for_each_other_is_understood():
    swapped, _ = problem_of(lambda request: LABELS[number_in(request) % 2])
    assert accuracy(Prompted().fit(swapped), swapped) == 1.0
    unsure = answers(
        Prompted(counted_on=0).fit(swapped), Batch(swapped.texts[:1]), swapped.language["big"]
    )
    assert np.allclose(unsure.probabilities.max(), 0.8, atol=1e-6)


def test_examples_never_show_what_is_asked_about_while_their_worth_is_counted():
    def peeping(request):
        *examples, asked = re.findall(r"number (\d+) is", str(request.messages[1].content))
        assert asked not in examples
        return right(request)

    problem, speaker = problem_of(peeping)
    for choose in ("nearest", "fixed"):
        predictor = PromptedExamples(shots=4, choose=choose).fit(problem)
        shown = [str(call.messages[1].content).count("Text:") for call in speaker.calls]
        assert set(shown) == {5}
        new = Batch(("number 1001 is written here",), problem.encoder.encode(["number 1001"]))
        assert answers(predictor, new, speaker).probabilities[0].argmax() == 0


def test_a_pair_is_shown_the_pairs_of_its_direction_however_long_their_vectors_are():
    vectors = {"asked": (1.0, 0.0), "same way": (0.3, 0.03), "long": (30.0, 20.0)}

    class Lengths(HashedEncoder):
        def encode(self, texts, progress=None):
            return np.array([vectors[text] for text in texts], np.float32)

    speaker = Told(Scripted(plain_upstream(), lambda request: "odd"), None)
    problem = Problem(
        LABELS,
        ("", ""),
        "",
        ("same way", "long"),
        np.array([0, 1]),
        Lengths(dimensions=2),
        language={"big": speaker},
        kind="match",
    )
    predictor = PromptedExamples(shots=1, counted_on=0).fit(problem)
    answers(predictor, Batch(("asked",), problem.encoder.encode(["asked"])), speaker)
    asked = str(speaker.calls[-1].messages[1].content)
    assert "same way" in asked
    assert "long" not in asked


def test_fixed_examples_take_the_labels_in_turn():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 8)).astype(np.float32)
    y = np.array([0] * 30 + [1] * 8 + [2] * 2)
    rows = diverse(vectors, y, rng.permutation(40), 8)
    assert sorted(y[rows].tolist()) == [0, 0, 0, 1, 1, 1, 2, 2]
    assert len(set(rows.tolist())) == 8


def test_an_ensemble_follows_the_phrasing_that_is_right():
    def script(request):
        system = str(request.messages[0].content)
        return right(request) if system.startswith("Read the text") else "odd"

    problem, _ = problem_of(script)
    predictor = PromptEnsemble().fit(problem)
    assert len(predictor.templates) == 3
    assert accuracy(predictor, problem) == 1.0


def scored(request, tilt):
    """Says the right letter, with the one of the first label made more probable by ``tilt``."""
    found = re.findall(r"number (\d+) is", str(request.messages[1].content))
    logit = 0.0 if not found else (1.0 if (int(found[-1]) + 1) % 2 == 0 else -1.0)
    share = 1 / (1 + np.exp(-(logit + tilt)))
    pair = tuple(
        TokenAlternative(token=token, logprob=float(np.log(p)))
        for token, p in (("A", share), ("B", 1 - share))
    )
    first = TokenChoice(token=pair[0].token, logprob=pair[0].logprob, alternatives=pair)
    return Completion(text="A", finish="length", logprobs=(first,))


def test_contextual_calibration_takes_a_tilt_away():
    tilted, speaker = problem_of(
        lambda request: scored(request, 3.0), upstream=plain_upstream(logprobs=True)
    )
    few = tilted.take(np.arange(4))
    for problem in (few, tilted):  # taken on trust with four examples, chosen with eighty
        predictor = Prompted().fit(problem)
        assert predictor.asked[0].scored
        assert np.allclose(predictor.bias[0][0] - predictor.bias[0][1], 3.0, atol=1e-5)
        assert accuracy(predictor, tilted) == 1.0
    assert {call.top_logprobs for call in speaker.calls} == {20}


def planted(word):
    """Answers right where the prompt says the word, else always the same."""

    def script(request):
        if "instructions" in str(request.messages[1].content):
            return '{"instructions": ["Look at the last digit of the number.", "short", 7]}'
        return right(request) if word in str(request.messages[0].content) else "odd"

    return script


@pytest.mark.parametrize("word", ["last digit", "Read the text", "most specific"])
def test_a_search_finds_the_prompt_that_works(word):
    problem, _ = problem_of(planted(word))
    predictor = PromptSearch(first=8, most=32).fit(problem)
    wording = Wording.of(problem.instruction, LABELS, problem.descriptions, "text")
    said = prepare(predictor.templates[0], wording).messages("x")[0].content
    assert word in str(said)
    assert accuracy(predictor, problem) == 1.0


def test_a_search_never_sees_rows_that_it_was_not_given():
    seen = set()

    def script(request):
        seen.update(re.findall(r"number (\d+) is", str(request.messages[-1].content)))
        return right(request)

    problem, _ = problem_of(script)
    PromptSearch(first=8).fit(problem.take(np.arange(40)))
    assert seen <= {str(i * 7) for i in range(40)}


def test_a_search_stops_where_a_round_would_take_more_than_half_of_the_money():
    problem, speaker = problem_of(planted("nothing"), budget=10_000)
    plain = Prompted().fit(problem)
    assert len(speaker.calls) == 80
    predictor = PromptSearch(first=24, proposed=0).fit(problem)
    assert predictor.templates == plain.templates  # the start: no round could be paid
    assert len(speaker.calls) == 80


class Dry:
    """Who counts requests and answers none."""

    def __init__(self):
        self.upstream = plain_upstream()
        self.seen = set()

    def ask(self, requests):
        self.seen |= {digest_of(request) for request in requests}
        return [UpstreamError("cancelled", "dry run", upstream="big") for _ in requests]

    def estimate(self, requests):
        return len(requests)

    def left(self):
        return None


@pytest.mark.parametrize("strategy", ALL, ids=lambda s: s.name)
def test_a_dry_run_ends_and_asks_no_more_than_in_earnest(strategy):
    problem, speaker = problem_of(right)
    dry = Dry()
    predictor = strategy.fit(replace(problem, language={"big": dry}))
    assert predictor.templates[0] in (
        builtin_prompt("label"),
        builtin_prompt("label", shots=8),
    )
    strategy.fit(problem)
    assert len(dry.seen) <= 1.1 * len({digest_of(call) for call in speaker.calls})


@pytest.mark.parametrize("strategy", ALL, ids=lambda s: s.name)
def test_a_model_that_is_down_ends_the_fit(strategy):
    def down(request):
        raise UpstreamError("timeout", "it did not answer", upstream="big")

    problem, _ = problem_of(down)
    with pytest.raises(UpstreamError, match="did not answer"):
        strategy.fit(problem)


@pytest.mark.parametrize("strategy", ALL, ids=lambda s: s.name)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"language": {}}, "milepost upstreams add"),
        ({"labels": ("Even", "even ")}, "apart"),
        ({"prompt": PromptTemplate(user="{{ txt }}")}, "Did you mean 'text'"),
        ({"labels": tuple(f"l{i}" for i in range(501))}, "at most 500"),
    ],
)
def test_what_no_prompt_can_solve_is_said_in_a_sentence(strategy, change, said):
    problem, speaker = problem_of(right)
    reason = strategy.supports(replace(problem, **change))
    assert said in reason
    assert reason.endswith(".")
    assert strategy.supports(problem) is None
    assert not speaker.calls


def test_a_context_that_is_too_small_is_seen_before_it_is_paid():
    row = msgspec.structs.replace(plain_upstream(), context_tokens=20)
    problem, _ = problem_of(right, upstream=row)
    assert "more than the 20 that big reads" in Prompted().supports(problem)


@pytest.mark.parametrize(
    "words", ["Look at {{ text }}.", "{% if x %}", 'Say "a\\b" or {# not #}', "plain — words"]
)
def test_a_proposed_instruction_is_words_and_nothing_else(words):
    template = with_instruction(builtin_prompt("label"), words)
    wording = Wording.of("", LABELS, ("", ""), "text")
    assert words in str(prepare(template, wording).messages("x")[0].content)
    assert as_template("plain") == "plain"
    assert with_instruction(PromptTemplate(user="{{ text }}"), words) is None
