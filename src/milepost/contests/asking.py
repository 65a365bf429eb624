"""How a contest asks language models: everything at once, row by row, and all of it counted.

A predictor that asks is driven with one generator a row, in step: what all rows want to know next
is asked together, and what each row cost and how long it took is known.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost._base.digest import digest_of, sha256_bytes
from milepost.entities.asked import Answering, Asked
from milepost.entities.errors import InputError
from milepost.entities.language import Completion, ModelRequest, Tokens
from milepost.entities.prediction import Predictions
from milepost.entities.upstream import Price, Upstream
from milepost.models.language.asking import Answered, Speaker
from milepost.predictors.asking import Asking, Question
from milepost.predictors.base import Batch, Predictor

T = TypeVar("T")

Language = Mapping[str, Speaker]
"""Language models by the names of their upstreams."""


class UnaskedError(InputError):
    """A predictor asks a language model that nobody may ask here."""


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """What each of ``n`` answers took.

    Attributes:
        seconds: ``(n,)`` wall time: own work and, of each round, the slowest call.
        micro_usd: ``(n,)`` price of its calls; of those that a cache answered too.
        answered: ``(n,)`` whether all its calls were answered, so that the time means something.
        cpu_seconds: Processor time of all of them together.
    """

    seconds: NDArray[np.float64]
    micro_usd: NDArray[np.float64]
    answered: NDArray[np.bool_]
    cpu_seconds: float

    def summary(self) -> Answering:
        """The record; times are those of answers that were not cut short, where there are any."""
        n = len(self.seconds)
        whole = self.seconds[self.answered] if self.answered.any() else self.seconds
        p50, p95 = np.quantile(whole, [0.5, 0.95]) * 1000.0 if len(whole) else (0.0, 0.0)
        return Answering(
            n=len(whole),
            p50_ms=float(p50),
            p95_ms=float(p95),
            cpu_seconds_per_1k=1000.0 * self.cpu_seconds / max(n, 1),
            micro_usd_per_1k=1000.0 * float(self.micro_usd.sum()) / max(n, 1),
        )


def joined(parts: Sequence[Costs]) -> Costs:
    """Costs of several lots of answers as one."""
    return Costs(
        seconds=np.concatenate([each.seconds for each in parts]),
        micro_usd=np.concatenate([each.micro_usd for each in parts]),
        answered=np.concatenate([each.answered for each in parts]),
        cpu_seconds=sum(each.cpu_seconds for each in parts),
    )


def worth(answer: Answered, price: Price | None) -> int:
    """Micro-USD of an answer; what a cache of ours gave counts as it would be billed."""
    if isinstance(answer, Completion) and answer.cached and price is not None:
        return price.cost(answer.tokens)
    return answer.micro_usd


def price_now(upstream: Upstream) -> Price | None:
    """What its tokens cost today."""
    return upstream.price(datetime.now(UTC).date())


def by_row(askings: Sequence[Asking[T]], language: Language) -> tuple[list[T], Costs]:
    """What each of ``n`` generators comes to, and what it took; their questions go together.

    Raises:
        UnaskedError: If one asks an upstream that is not there.
        UpstreamError: If no further call can be made at all.
    """
    found: dict[int, T] = {}
    going = dict(enumerate(askings))
    got: dict[int, Sequence[Answered]] = {}
    seconds, micro = np.zeros(len(askings)), np.zeros(len(askings))
    answered = np.ones(len(askings), np.bool_)
    cpu = 0.0
    while going:
        wanted: dict[int, Sequence[Question]] = {}
        cpu_started = time.process_time()
        for row, asking in list(going.items()):
            started = time.perf_counter()
            try:
                wanted[row] = asking.send(got[row]) if row in got else next(asking)
            except StopIteration as end:
                found[row] = end.value
                del going[row]
            seconds[row] += time.perf_counter() - started
        cpu += time.process_time() - cpu_started
        questions = [question for each in wanted.values() for question in each]
        answers = _ask(questions, language)
        prices = {name: price_now(speaker.upstream) for name, speaker in language.items()}
        start = 0
        for row, mine in wanted.items():
            got[row] = answers[start : start + len(mine)]
            start += len(mine)
            for question, answer in zip(mine, got[row], strict=True):
                micro[row] += worth(answer, prices[question.upstream])
                answered[row] &= isinstance(answer, Completion)
            whole = [each.seconds for each in got[row] if isinstance(each, Completion)]
            seconds[row] += max(whole, default=0.0)
    return [found[row] for row in range(len(askings))], Costs(seconds, micro, answered, cpu)


def _ask(questions: Sequence[Question], language: Language) -> list[Answered]:
    """The answers in the order of the questions; each upstream is asked once for all of its own."""
    answers: dict[int, Answered] = {}
    for name in dict.fromkeys(question.upstream for question in questions):
        speaker = language.get(name)
        if speaker is None:
            raise UnaskedError(
                f"it asks the language model {name!r}, which cannot be asked here.",
                where="language models",
                advice="`milepost upstreams list` shows those that are registered; a contest asks "
                "only with --budget-usd.",
            )
        rows = [row for row, question in enumerate(questions) if question.upstream == name]
        said = speaker.ask([questions[row].request for row in rows])
        answers.update(zip(rows, said, strict=True))
    return [answers[row] for row in range(len(questions))]


def asked_logits(
    predictor: Predictor, batch: Batch, language: Language
) -> tuple[NDArray[np.float64], Costs]:
    """Logits ``(n, k)`` of a predictor that asks, and what each row took."""
    found, costs = by_row([predictor.scoring(each) for each in _rows(batch)], language)
    return np.concatenate([np.zeros((0, len(predictor.labels))), *found]), costs


def asked_predictions(
    predictor: Predictor, batch: Batch, language: Language
) -> tuple[Predictions, Costs]:
    """Answers of a predictor that asks, with their rungs where it has any, and what each took."""
    found, costs = by_row([predictor.answering(each) for each in _rows(batch)], language)
    empty = np.zeros((0, len(predictor.labels)), np.float32)
    rungs = [each.rungs for each in found if each.rungs is not None]
    predictions = Predictions(
        predictor.labels,
        np.concatenate([empty, *(each.probabilities for each in found)]),
        rungs=np.concatenate(rungs) if found and len(rungs) == len(found) else None,
        rung_names=found[0].rung_names if found else (),
    )
    return predictions, costs


def _rows(batch: Batch) -> list[Batch]:
    vectors = batch.vectors
    return [
        Batch((text,), None if vectors is None else vectors[row : row + 1])
        for row, text in enumerate(batch.texts)
    ]


class Noted:
    """A ``Speaker`` that counts what one candidate asks. Thread safe.

    Args:
        inner: Who is asked.
    """

    def __init__(self, inner: Speaker) -> None:
        self._inner = inner
        self._price = price_now(inner.upstream)
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self._failed: set[str] = set()
        self._tokens = Tokens()
        self._micro_usd = 0

    @property
    def upstream(self) -> Upstream:
        """Where it is and what it costs."""
        return self._inner.upstream

    def ask(self, requests: Sequence[ModelRequest]) -> list[Answered]:
        """As that of the inner one."""
        answers = self._inner.ask(requests)
        with self._lock:
            for request, answer in zip(requests, answers, strict=True):
                self._count(digest_of(request), answer)
        return answers

    def estimate(self, requests: Sequence[ModelRequest]) -> int:
        """As that of the inner one."""
        return self._inner.estimate(requests)

    def left(self) -> int | None:
        """As that of the inner one."""
        return self._inner.left()

    def asked(self) -> Asked | None:
        """The record; ``None`` where nothing was asked."""
        with self._lock:
            upstream = self.upstream
            if not self._seen and not self._failed:
                return None
            return Asked(
                upstream=upstream.name,
                model=upstream.model,
                price=self._price,
                licence=upstream.licence,
                terms=upstream.terms,
                requests=len(self._seen) + len(self._failed),
                failed=len(self._failed),
                tokens=self._tokens,
                micro_usd=self._micro_usd,
                version=sha256_bytes(msgspec.json.encode(upstream)),
            )

    def _count(self, digest: str, answer: Answered) -> None:
        if digest in self._seen:
            return
        self._micro_usd += worth(answer, self._price)
        if isinstance(answer, Completion):
            self._tokens += answer.tokens
            self._failed.discard(digest)
            self._seen.add(digest)
        else:
            self._failed.add(digest)
