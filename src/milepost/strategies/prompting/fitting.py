"""What the strategies share: whom to ask, on which rows, and how answers become a predictor."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import InputError, UpstreamError
from milepost.entities.prompts import AnswerForm, PromptTemplate
from milepost.models.language.asking import Answered, Speaker
from milepost.predictors.asking import Question, drive
from milepost.predictors.prompting.asks import Ask, Examples, Said, in_step
from milepost.predictors.prompting.builtin import builtin_prompt, with_examples
from milepost.predictors.prompting.predictor import (
    Asked,
    PromptedPredictor,
    RetrievingPredictor,
)
from milepost.predictors.prompting.reading import NOTHING, same_to_prompts
from milepost.predictors.prompting.templates import LETTERS, Wording, prepare
from milepost.predictors.prompting.worth import (
    counts_of,
    evidence,
    fit_weights,
    held_out_evidence,
    log_posterior,
    prior_of,
)
from milepost.strategies.problems import encode
from milepost.strategies.tempered import tempered_log_loss
from milepost.strategy import Problem

CONTENT_FREE = ("N/A", "[MASK]", "…")
"""Inputs without content, by whose answers scores are corrected (Zhao et al. 2021)."""

MOST_FAILED = 0.02
"""Largest share of calls that may fail before a fit is given up."""

ALIKE = 0.97
"""Cosine similarity from which an example would give its label away while its worth is counted."""

FEWEST_TO_CHOOSE = 10
"""Fewest solved examples on which a correction of scores is chosen; below, it is taken."""

MOST_LABELS = 500
"""Most labels that a prompt lists; what each answer is worth is a table of labels by labels."""

CHARACTERS_PER_TOKEN = 3.0
"""Cautious, for checks against a model's context."""

Rows = NDArray[np.int64]


def cannot_ask(problem: Problem, *, examples: bool = False) -> str | None:
    """Why no prompt can solve the problem, as a sentence, or ``None``.

    Args:
        problem: What is to be solved.
        examples: Whether solved examples are needed.
    """
    if not problem.language:
        return (
            "No language model may be asked. Add one with `milepost upstreams add`, or name it "
            "under language.upstreams of the task."
        )
    if len(problem.labels) > MOST_LABELS:
        return (
            f"A prompt lists every label, and {len(problem.labels):,} are too many: at most "
            f"{MOST_LABELS} are asked about."
        )
    same = same_to_prompts(problem.labels)
    if same is not None:
        return (
            f"No answer can tell the labels {same[0]!r} and {same[1]!r} apart: they differ in "
            "case, spaces or marks only."
        )
    if examples and not len(problem.y):
        return "It shows solved examples, and there are none."
    try:
        ask = ask_of(problem, asked_of(problem, start(problem)))
    except InputError as error:
        return f"The prompt cannot be used: {error}"
    upstream = speaker_of(problem).upstream
    if upstream.context_tokens is not None:
        characters = sum(len(str(message.content)) for message in ask.request("").messages)
        tokens = characters / CHARACTERS_PER_TOKEN
        if tokens > upstream.context_tokens:
            return (
                f"The prompt alone has about {tokens:,.0f} tokens, more than the "
                f"{upstream.context_tokens:,} that {upstream.name} reads."
            )
    return None


def speaker_of(problem: Problem) -> Speaker:
    """The language model that is asked: the first one."""
    return next(iter(problem.language.values()))


def scores(problem: Problem) -> bool:
    """Whether labels can be scored by the log-probabilities of their letters."""
    told = speaker_of(problem).upstream.capabilities.logprobs is True
    return told and len(problem.labels) <= len(LETTERS)


def form_of(problem: Problem) -> AnswerForm:
    """How to ask where the task has no prompt of its own."""
    return "letter" if scores(problem) else "label"


def start(problem: Problem, shots: int = 0) -> PromptTemplate:
    """The task's own prompt, or the built-in one; with a place for examples where they are shown.

    A prompt that shows examples of its own accord shows none where none are wanted.
    """
    own = problem.prompt
    if own is None:
        return builtin_prompt(form_of(problem), shots=shots, input_name=problem.input_name)
    return with_examples(own, shots)


def asked_of(problem: Problem, template: PromptTemplate, sample: int = 0) -> Asked:
    """The prompt with what the upstream can do."""
    return Asked(
        template=template,
        scored=template.answer == "letter" and scores(problem) and not sample,
        schema=speaker_of(problem).upstream.capabilities.schema is True,
        sample=sample,
    )


def ask_of(problem: Problem, asked: Asked) -> Ask:
    """What asks it.

    Raises:
        InputError: If the prompt cannot be used.
    """
    wording = Wording.of(
        problem.instruction, problem.labels, problem.descriptions, problem.input_name
    )
    return Ask(
        speaker_of(problem).upstream.name,
        prepare(asked.template, wording),
        scored=asked.scored,
        schema=asked.schema,
        max_tokens=asked.max_tokens,
        sample=asked.sample,
    )


def stable_rows(problem: Problem, salt: str = "") -> Rows:
    """All rows in an order that depends on text and seed alone, whatever other rows there are.

    Folds of one problem then begin with the same rows, about which nothing is asked twice.
    """
    keys = [
        hashlib.sha256(f"{problem.seed}{salt}\0{text}".encode("utf-8", "surrogatepass")).digest()
        for text in problem.texts
    ]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)


def directions(problem: Problem, texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors of inputs at unit length, ``(n, d) float32``: those of pairs have another."""
    vectors = encode(problem.encoder, texts)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.float32(1e-12))


class Asker:
    """Asks the problem's language model, and gives up where too many calls fail.

    Used by the thread that fits.
    """

    def __init__(self, problem: Problem) -> None:
        self._speaker = speaker_of(problem)

    def __call__(self, asks: Sequence[tuple[Ask, Sequence[str], Sequence[Examples]]]) -> list[Said]:
        """What is said to each prompt about its texts.

        Raises:
            UpstreamError: If no call can be made any more, or more than ``MOST_FAILED`` fail.
        """
        askings = [ask.asking(texts, examples) for ask, texts, examples in asks]
        return drive(in_step(askings), self._ask)

    def _ask(self, questions: Sequence[Question]) -> Sequence[Answered]:
        answers = self._speaker.ask([question.request for question in questions])
        # Calls that somebody called off are nobody's failure: an estimate makes none at all.
        failed = [a for a in answers if isinstance(a, UpstreamError) and a.outcome != "cancelled"]
        if len(failed) > max(1.0, MOST_FAILED * len(answers)) or len(failed) == len(answers) > 0:
            raise failed[0]
        return answers


@dataclass(frozen=True, slots=True, eq=False)
class Store:
    """The solved examples that prompts may show.

    Attributes:
        rows: ``(e,)`` rows of the problem.
        vectors: ``(e, d) float32`` where the nearest ones are shown; ``None`` where the first.
    """

    rows: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    vectors: NDArray[np.float32] | None = None


def fitted(
    problem: Problem,
    asked: Sequence[Asked],
    rows: Rows,
    store: Store | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> PromptedPredictor:
    """A predictor that asks these prompts, with the worth of their answers counted on ``rows``.

    Args:
        problem: What is solved.
        asked: The prompts.
        rows: Solved examples to count on; those of ``store`` are shown without themselves.
        store: Solved examples that the prompts show.
        progress: Told how much of the asking is done.

    Raises:
        InputError: If a prompt cannot be used.
        UpstreamError: If the language model does not answer.
    """
    store = store or Store()
    k = len(problem.labels)
    prior = prior_of(problem.y, k)
    blank = _blank(problem, asked, prior, store)
    said = _answers(problem, blank, rows, store)
    progress(0.8)
    roomy = tuple(
        msgspec.structs.replace(each, max_tokens=ask.roomier().max_tokens)
        if len(rows) and each_said.cut.mean() > 0.5
        else each
        for each, ask, each_said in zip(asked, blank.asks, said, strict=True)
    )
    bias = np.zeros((len(asked), k))
    for j, (ask, each) in enumerate(zip(blank.asks, said, strict=True)):
        if each.scores is not None:
            bias[j] = _correction(problem, ask, each, rows, blank)
    y = problem.y[rows]
    parts = [
        _scored_part(each, bias[j]) if each.scores is not None
        else held_out_evidence(each.labels, y, prior)
        for j, each in enumerate(said)
    ]  # fmt: skip
    tables = np.stack([_table(each, y, prior) for each in said])
    fit = len(asked) > 1 or any(each.scores is not None for each in said)
    weights = fit_weights(parts, prior, y) if fit else np.ones(1)
    progress(1.0)
    return replace(blank, asked=roomy, tables=tables, bias=bias, weights=weights)


def _blank(
    problem: Problem, asked: Sequence[Asked], prior: NDArray[np.float64], store: Store
) -> PromptedPredictor:
    """A predictor that asks, before its answers are worth anything."""
    upstream, k, m = speaker_of(problem).upstream, len(problem.labels), len(asked)
    parts: dict[str, Any] = {
        "labels": problem.labels,
        "upstream": upstream.name,
        "model": upstream.model,
        "instruction": problem.instruction,
        "descriptions": problem.descriptions,
        "input_name": problem.input_name,
        "asked": tuple(asked),
        "prior": prior,
        "tables": np.zeros((m, k, k)),
        "bias": np.zeros((m, k)),
        "weights": np.full(m, 1.0 / m),
        "examples": tuple(problem.texts[i] for i in store.rows.tolist()),
        "y": problem.y[store.rows].copy(),
    }
    if store.vectors is None:
        return PromptedPredictor(**parts)
    return RetrievingPredictor(**parts, vectors=store.vectors)


def _answers(
    problem: Problem, predictor: PromptedPredictor, rows: Rows, store: Store
) -> list[Said]:
    """What is said about training rows, none of which is shown itself or what is like it."""
    texts = [problem.texts[i] for i in rows.tolist()]
    asker = Asker(problem)
    if isinstance(predictor, RetrievingPredictor) and store.vectors is not None:
        queries = directions(problem, texts)
        barred = queries @ store.vectors.T >= ALIKE
        barred |= rows[:, None] == store.rows[None, :]
        shown = [
            predictor.nearest(queries, ask.prompt.template.shots, barred) for ask in predictor.asks
        ]
    else:
        every = tuple(zip(predictor.examples, predictor.y.tolist(), strict=True))
        shown = [[every[: ask.prompt.template.shots]] * len(rows) for ask in predictor.asks]
    return asker([(a, texts, e) for a, e in zip(predictor.asks, shown, strict=True)])


def _correction(
    problem: Problem, ask: Ask, said: Said, rows: Rows, predictor: PromptedPredictor
) -> NDArray[np.float64]:
    """What scores are lessened by, ``(k,)``: contextual calibration, where it is not harmful.

    Zhao et al. 2021, eq. 2 with a diagonal matrix: the mean probabilities that the prompt gives
    inputs without content.
    """
    every = tuple(zip(predictor.examples, predictor.y.tolist(), strict=True))
    shown = every[: ask.prompt.template.shots]
    empty = Asker(problem)([(ask, CONTENT_FREE, [shown] * len(CONTENT_FREE))])[0]
    k = len(problem.labels)
    told = empty.labels != NOTHING
    if empty.scores is None or not told.any():
        return np.zeros(k)
    exponentials = np.exp(empty.scores[told] - empty.scores[told].max(axis=1, keepdims=True))
    shares = exponentials / exponentials.sum(axis=1, keepdims=True)
    bias = np.log(np.maximum(shares.mean(axis=0), 1e-6))
    spoke = said.labels != NOTHING
    if said.scores is None or spoke.sum() < FEWEST_TO_CHOOSE:
        return bias
    own, y = said.scores[spoke], problem.y[rows][spoke]
    better = tempered_log_loss(own - bias, y)[0] < tempered_log_loss(own, y)[0]
    return bias if better else np.zeros(k)


def _scored_part(said: Said, bias: NDArray[np.float64]) -> NDArray[np.float64]:
    if said.scores is None:
        raise ValueError("These answers hold no scores.")
    part = said.scores - bias
    part -= part.mean(axis=1, keepdims=True)
    return np.where((said.labels != NOTHING)[:, None], part, 0.0)


def _table(said: Said, y: Rows, prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each answer says for each label beyond the prior, ``(k, k)``."""
    k = len(prior)
    posterior = log_posterior(counts_of(said.labels, y, k), prior)
    return evidence(posterior, prior, np.arange(k))
