"""Requests for texts, and what their answers are read as: labels, or a probability per label.

Knows nothing of what an answer is worth; see ``worth``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.language import Completion, Message, ModelRequest, TokenChoice
from milepost.models.language.asking import Answered
from milepost.predictors.asking import Asking, Question
from milepost.predictors.prompting.reading import NOTHING, Reader
from milepost.predictors.prompting.templates import LETTERS, Prompt, ShownExample

MOST_INPUT = 20_000
"""Characters of an input that a prompt shows; what stands behind them is not paid for."""

MOST_EXAMPLE = 2_000
"""Characters of a solved example that a prompt shows."""

ALTERNATIVES = 20
"""Alternatives of the first token that are asked for: the most that providers give."""

LEAST_MASS = 0.01
"""Least probability that the letters of labels must have together to say anything."""

ROOM = 4096
"""Tokens that a model gets on being asked again, where it ran out of room: some think first."""

T = TypeVar("T")

_QUOTED = 400
_SPARE = 16
_WARM = 0.7


Examples = Sequence[tuple[str, int]]
"""Solved examples: text and position of the label of each."""


@dataclass(frozen=True, slots=True)
class Said:
    """What came of asking one prompt about ``n`` texts.

    Attributes:
        labels: ``(n,) int64`` label that each answer names; ``NOTHING`` where it names none.
        scores: ``(n, k) float64`` log-probabilities of the labels, where they were asked for;
            all equal in rows without any. ``None`` where only labels are read.
        failed: ``(n,) bool`` whether nobody answered at all.
        cut: ``(n,) bool`` whether the model ran out of room at first.
        first: ``(n,) bool`` whether the first answer could be read.
    """

    labels: NDArray[np.int64]
    scores: NDArray[np.float64] | None
    failed: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    first: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt to one upstream.

    Attributes:
        upstream: Its name.
        prompt: What is asked.
        scored: Whether labels are scored by the log-probabilities of their letters.
        schema: Whether the endpoint takes a JSON Schema.
        max_tokens: Most tokens of an answer; 0 for what the labels need.
        sample: Which sample this is: 0 is the most probable answer, others are drawn.
    """

    upstream: str
    prompt: Prompt
    scored: bool = False
    schema: bool = False
    max_tokens: int = 0
    sample: int = 0

    def __post_init__(self) -> None:
        if self.scored and self.prompt.template.answer != "letter":
            raise ValueError("Labels are scored by their letters.")

    @property
    def names(self) -> tuple[str, ...]:
        """Labels of the task."""
        return tuple(label.name for label in self.prompt.wording.labels)

    def request(self, text: str, examples: Examples = ()) -> ModelRequest:
        """The request about a text.

        Args:
            text: The input.
            examples: Text and label of each solved example to show.

        Raises:
            InputError: If the prompt comes to too much.
        """
        shown = [ShownExample(_cut(t, MOST_EXAMPLE), self.written(y)) for t, y in examples]
        return ModelRequest(
            messages=self.prompt.messages(_cut(text, MOST_INPUT), shown),
            max_tokens=1 if self.scored else self._room(),
            temperature=0.0 if self.sample == 0 else _WARM,
            seed=None if self.sample == 0 else self.sample,
            schema=self._json_schema(),
            top_logprobs=ALTERNATIVES if self.scored else None,
        )

    def written(self, label: int) -> str:
        """A label as the model should write it."""
        shown = self.prompt.wording.labels[label]
        if self.prompt.template.answer == "letter":
            return shown.letter
        if self.prompt.template.answer == "json":
            return '{"label": ' + _json_text(shown.name) + "}"
        return shown.name

    def asking(
        self, texts: Sequence[str], examples: Sequence[Examples] | None = None
    ) -> Asking[Said]:
        """Ask about texts; what cannot be read is asked once more, and then says nothing.

        Args:
            texts: The inputs.
            examples: Solved examples for each; ``None`` for none.
        """
        shown = examples if examples is not None else [()] * len(texts)
        requests = [self.request(t, e) for t, e in zip(texts, shown, strict=True)]
        answers = (yield [Question(self.upstream, each) for each in requests]) if requests else ()
        reader = Reader.of(self.prompt.template.answer, self.names)
        k = len(self.names)
        labels = np.full(len(texts), NOTHING, np.int64)
        scores = np.zeros((len(texts), k)) if self.scored else None
        failed = np.zeros(len(texts), np.bool_)
        cut = np.zeros(len(texts), np.bool_)
        again: list[int] = []
        for row, answer in enumerate(answers):
            if not isinstance(answer, Completion):
                failed[row] = True
                continue
            if scores is not None:
                found = letter_scores(answer.logprobs, k)
                if found is not None:
                    scores[row], labels[row] = found, int(found.argmax())
                    continue
            elif (read := _read(reader, answer)) != NOTHING:
                labels[row] = read
                continue
            again.append(row)
            cut[row] = answer.finish == "length" or answer.tokens.reasoning > 0
        first = labels != NOTHING
        if again:
            # Answered in words, from here on: what did not come as one letter will not the
            # second time either.
            repairs = [self._repair(requests[row], answers[row]) for row in again]
            second = yield [Question(self.upstream, each) for each in repairs]
            for row, answer in zip(again, second, strict=True):
                if isinstance(answer, Completion):
                    labels[row] = _read(reader, answer)
        if scores is not None:
            _as_scores(scores, labels, again)
        return Said(labels, scores, failed, cut, first)

    def roomier(self) -> "Ask":
        """The same with room to think before it answers."""
        return replace(self, max_tokens=ROOM)

    def _room(self) -> int:
        if self.max_tokens:
            return self.max_tokens
        if self.prompt.template.answer == "letter":
            return _SPARE
        # A token of an odd script may be a byte of UTF-8; three of them are a cautious mean.
        return _SPARE + max(len(name.encode()) for name in self.names) // 2

    def _json_schema(self) -> dict[str, object] | None:
        if self.prompt.template.answer != "json" or not self.schema:
            return None
        return {
            "type": "object",
            "properties": {"label": {"type": "string", "enum": list(self.names)}},
            "required": ["label"],
            "additionalProperties": False,
        }

    def _repair(self, request: ModelRequest, answer: Answered) -> ModelRequest:
        """What is asked after an answer that cannot be read.

        A model that ran out of room gets more of it; any other is told what an answer looks like.
        """
        completion = answer if isinstance(answer, Completion) else Completion(text="")
        plain = {"top_logprobs": None, "max_tokens": max(self._room(), request.max_tokens)}
        if completion.finish == "length" and not self.scored:
            plain["max_tokens"] = max(ROOM, request.max_tokens)
            return _changed(request, plain)
        if self.scored:
            plain["max_tokens"] = ROOM if completion.tokens.reasoning else self._room()
            return _changed(request, plain)
        told = (
            Message(role="assistant", content=_cut(completion.text.strip(), _QUOTED) or "…"),
            Message(role="user", content=self._said_again()),
        )
        return _changed(request, {**plain, "messages": (*request.messages, *told)})

    def _said_again(self) -> str:
        form = self.prompt.template.answer
        if form == "letter":
            letters = ", ".join(LETTERS[: len(self.names)])
            return f"That is not one of the letters. Answer with one of them alone: {letters}."
        if form == "json":
            return (
                "That is not what was asked for. Answer with a JSON object whose only field "
                '"label" holds one label of the list, copied as it is written there.'
            )
        return (
            "That is not one of the labels. Answer with one label of the list alone, copied as "
            "it is written there."
        )


def in_step(askings: Sequence[Asking[T]]) -> Asking[list[T]]:
    """Several askings at once: what each wants to know next is asked together."""
    found: dict[int, T] = {}
    going = dict(enumerate(askings))
    wanted: dict[int, Sequence[Question]] = {}
    got: dict[int, Sequence[Answered]] = {}
    while True:
        for at, each in list(going.items()):
            try:
                wanted[at] = each.send(got[at]) if at in got else next(each)
            except StopIteration as end:
                found[at] = end.value
                del going[at]
        if not going:
            return [found[at] for at in range(len(askings))]
        answers = yield [question for at in going for question in wanted[at]]
        start = 0
        for at in going:
            got[at] = answers[start : start + len(wanted[at])]
            start += len(wanted[at])


def letter_scores(choices: Sequence[TokenChoice], labels: int) -> NDArray[np.float64] | None:
    """Log-probability of each label's letter as the first token of an answer.

    Spellings of a letter, with or without a space before it, count together. A letter that is not
    among the alternatives gets the least log-probability of these, which bounds its own.

    Args:
        choices: Tokens of the answer with their alternatives.
        labels: How many labels ``k`` there are; theirs are the first letters.

    Returns:
        ``(k,)``; ``None`` where the letters have hardly any probability together.
    """
    if not choices:
        return None
    first = choices[0]
    told = {each.token: each.logprob for each in first.alternatives}
    told.setdefault(first.token, first.logprob)
    mass = np.zeros(labels)
    for token, logprob in told.items():
        at = LETTERS.find(token.strip(" \n\t(*\"'.▁Ġ").upper())
        if 0 <= at < labels and len(token.strip(" \n\t(*\"'.▁Ġ")) == 1:
            mass[at] += math.exp(min(0.0, logprob))
    if mass.sum() < LEAST_MASS:
        return None
    least = math.exp(min([*told.values(), 0.0]))
    floor = max(min(least, float(mass[mass > 0].min())), 1e-12)
    return np.log(np.where(mass > 0, mass, floor))


def _as_scores(scores: NDArray[np.float64], labels: NDArray[np.int64], rows: Sequence[int]) -> None:
    """Rows that were answered in words get a score that says no more than their label."""
    k = scores.shape[1]
    for row in rows:
        if labels[row] != NOTHING:
            scores[row] = math.log(0.1 / max(1, k - 1))
            scores[row, labels[row]] = math.log(0.9)


def _read(reader: Reader, answer: Completion) -> int:
    """The label; of an answer that was cut off nothing counts: it may be the start of another."""
    return NOTHING if answer.finish == "length" else reader(answer.text)


def _changed(request: ModelRequest, fields: Mapping[str, object]) -> ModelRequest:
    return msgspec.structs.replace(request, **fields)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _json_text(text: str) -> str:
    return msgspec.json.encode(text).decode()
