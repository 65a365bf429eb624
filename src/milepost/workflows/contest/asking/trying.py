"""What a strategy would ask, found by letting it try with somebody who only counts.

For strategies that cannot foresee it themselves. Every question is answered by a refusal, so that
what a strategy asks in the light of an answer, such as a second time, is not in it.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from milepost._base.digest import digest_of
from milepost.contests.asking import asked_logits
from milepost.entities.errors import UpstreamError
from milepost.entities.language import ModelRequest
from milepost.entities.upstream import Upstream
from milepost.models.language.asking import Answered, Speaker
from milepost.predictors.reading import batch_for
from milepost.strategy import Problem, Strategy

MOST_ROWS = 200
"""Examples that are tried; the cost of more is taken to grow with their number."""


class Counting:
    """A ``Speaker`` that refuses every request and keeps it. Used by one thread.

    Args:
        inner: Who would be asked, and says what it would cost.
    """

    def __init__(self, inner: Speaker) -> None:
        self._inner = inner
        self.wanted: dict[str, ModelRequest] = {}

    @property
    def upstream(self) -> Upstream:
        """Where it is and what it costs."""
        return self._inner.upstream

    def ask(self, requests: Sequence[ModelRequest]) -> list[Answered]:
        """A refusal for each."""
        self.wanted.update((digest_of(request), request) for request in requests)
        refused = UpstreamError("cancelled", "nothing is asked yet.", upstream=self.upstream.name)
        return [refused] * len(requests)

    def estimate(self, requests: Sequence[ModelRequest]) -> int:
        """As that of the inner one."""
        return self._inner.estimate(requests)

    def left(self) -> int | None:
        """As that of the inner one."""
        return self._inner.left()

    def cost(self) -> int:
        """Micro-USD of all that was wanted, equal requests once."""
        return self._inner.estimate(list(self.wanted.values()))


def foreseen_by_trying(
    strategy: Strategy, problem: Problem, folds: int, held: Sequence[str]
) -> int:
    """Micro-USD of a contest at about: all fits, and answers to the examples and to what is held.

    Raises:
        UpstreamError: If there is no price.
    """
    (speaker,) = problem.language.values()
    rows = _spread(len(problem.texts), MOST_ROWS)
    counting = Counting(speaker)
    few = replace(problem.take(rows), language={speaker.upstream.name: counting}, evidence=None)
    fold_of = np.arange(len(rows)) % max(folds, 2)
    # Whatever it stumbles over without answers: what it has asked by then is known.
    with suppress(Exception):
        for fold in range(max(folds, 2)):
            predictor = strategy.fit(few.take(np.flatnonzero(fold_of != fold)))
            texts = [few.texts[row] for row in np.flatnonzero(fold_of == fold).tolist()]
            asked_logits(predictor, batch_for(predictor, texts, few.encoder), few.language)
    cost = counting.cost() * len(problem.texts) / len(rows)
    some = [held[int(row)] for row in _spread(len(held), MOST_ROWS)]
    also = Counting(speaker)
    with suppress(Exception):
        predictor = strategy.fit(few)
        batch = batch_for(predictor, some, few.encoder)
        asked_logits(predictor, batch, {speaker.upstream.name: also})
    return round(cost + also.cost() * len(held) / max(len(some), 1))


def _spread(n: int, most: int) -> NDArray[np.int64]:
    """At most so many of ``n`` rows, evenly."""
    few = min(n, most)
    return (np.arange(few) * n // max(few, 1)).astype(np.int64)
