"""A ``Speaker`` for tests: any model that answers without waiting, such as the fake one.

::

    speaker = Told(Fake(fake_upstream("big")))
    problem = replace(problem, language={"big": speaker})
    probabilities = answers(predictor, batch, speaker).probabilities
"""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from milepost._base.digest import digest_of
from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, ModelRequest
from milepost.entities.prediction import Predictions
from milepost.entities.upstream import Upstream
from milepost.models.language.asking import Answered, Speaker
from milepost.models.language.lengths import Lengths
from milepost.predictors.asking import Question, drive
from milepost.predictors.base import Batch, Predictor


class Saying(Protocol):
    """A language model that answers at once."""

    @property
    def upstream(self) -> Upstream:
        """Its row."""
        ...

    def say(self, request: ModelRequest) -> Completion:
        """The answer.

        Raises:
            UpstreamError: If there is none.
        """
        ...


class Scripted:
    """A model that answers by a function. Thread safe where the function is.

    Args:
        upstream: Its row.
        script: Answers a request, with its text or a whole completion.
    """

    def __init__(
        self, upstream: Upstream, script: Callable[[ModelRequest], str | Completion]
    ) -> None:
        self._upstream = upstream
        self._script = script

    @property
    def upstream(self) -> Upstream:
        """Its row."""
        return self._upstream

    def say(self, request: ModelRequest) -> Completion:
        """What the function says."""
        said = self._script(request)
        return Completion(text=said) if isinstance(said, str) else said


class Told:
    """A ``Speaker`` over a model that answers at once; remembers what it asked. Thread safe.

    Args:
        model: Who answers.
        micro_usd: What may be spent; ``None`` for no budget.

    Attributes:
        calls: Requests that were paid for, each once, in order.
        spent: Micro-USD that they cost.
    """

    def __init__(self, model: Saying, micro_usd: int | None = None) -> None:
        self._model = model
        self._budget = micro_usd
        self._answers: dict[str, Answered] = {}
        self._lengths = Lengths()
        self._lock = threading.Lock()
        self.calls: list[ModelRequest] = []
        self.spent = 0

    @property
    def upstream(self) -> Upstream:
        """That of the model."""
        return self._model.upstream

    def ask(self, requests: Sequence[ModelRequest]) -> list[Answered]:
        """What comes of each; what was asked before costs nothing.

        Raises:
            UpstreamError: If the budget is used up.
        """
        with self._lock:
            return [self._ask(request) for request in requests]

    def estimate(self, requests: Sequence[ModelRequest]) -> int:
        """Micro-USD at about.

        Raises:
            UpstreamError: If the upstream has no price.
        """
        price = self.upstream.price(datetime.now(UTC).date())
        if price is None:
            raise UpstreamError("no_price", "it has no price.", upstream=self.upstream.name)
        new = {digest_of(request): request for request in requests}
        return sum(
            price.cost(self._lengths.about(request))
            for digest, request in new.items()
            if digest not in self._answers
        )

    def left(self) -> int | None:
        """Micro-USD that are left; ``None`` without a budget."""
        return None if self._budget is None else max(0, self._budget - self.spent)

    def _ask(self, request: ModelRequest) -> Answered:
        digest = digest_of(request)
        if digest in self._answers:
            return self._answers[digest]
        if self._budget is not None and self.spent >= self._budget:
            raise UpstreamError("over_budget", "nothing is left.", upstream=self.upstream.name)
        self.calls.append(request)
        try:
            answer = self._model.say(request)
        except UpstreamError as error:
            return error
        self.spent += answer.micro_usd
        self._answers[digest] = answer
        return answer


def answers(predictor: Predictor, batch: Batch, *speakers: Speaker) -> Predictions:
    """What a predictor answers, with language models to ask by the names of their upstreams."""
    by_name = {speaker.upstream.name: speaker for speaker in speakers}

    def ask(questions: Sequence[Question]) -> Sequence[Answered]:
        return [by_name[each.upstream].ask([each.request])[0] for each in questions]

    return drive(predictor.answering(batch), ask)
