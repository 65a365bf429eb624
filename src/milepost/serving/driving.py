"""Predictors that ask language models on their way to an answer, driven on the event loop.

The engine gives them their vectors and never calls them: they would wait where others compute.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import UnknownNameError, UpstreamError
from milepost.entities.language import CacheKind, Completion
from milepost.models.language.asking import Answered, Terms
from milepost.predictors.asking import Question, drive_soon
from milepost.predictors.base import Batch, Predictor
from milepost.serving.language import Languages


def is_driven(predictor: Predictor) -> bool:
    """Whether a predictor is driven: it asks language models, or tells which rung answered."""
    return bool(predictor.upstreams) or type(predictor).answering is not Predictor.answering


@dataclass(frozen=True, slots=True, eq=False)
class Driven:
    """What a driven predictor says of one text.

    Attributes:
        row: Calibrated probabilities ``(k,) float32``.
        rung: Name of the rung that answered; ``None`` where there is no cascade.
        micro_usd: What its questions cost.
        calls: Questions that were put to language models.
        cached: ``similar`` where a cache answered one of these as a similar one was, ``exact``
            where one answered all of them; empty otherwise.
        failure: Why one of them was not answered; ``None`` where all were.
        error: What the predictor itself raised; then ``row`` means nothing.
    """

    row: NDArray[np.float32]
    rung: str | None = None
    micro_usd: int = 0
    calls: int = 0
    cached: CacheKind = ""
    failure: UpstreamError | None = None
    error: Exception | None = None


class Driver:
    """Drives predictors; used on one event loop.

    Args:
        languages: Whom they ask.
    """

    def __init__(self, languages: Languages) -> None:
        self._languages = languages

    async def drive(
        self,
        predictor: Predictor,
        texts: Sequence[str],
        vectors: Sequence[NDArray[np.float32] | None],
        terms: Terms,
    ) -> list[Driven]:
        """What it says of each text; all are on their way at once.

        Each text is driven alone, so that it fails alone and its own cost is known.

        Args:
            predictor: What answers.
            texts: Prepared as it was fitted.
            vectors: ``(d,) float32`` of each; ``None`` where it reads text.
            terms: Under what language models are asked.
        """
        going = (
            self._one(predictor, text, vector, terms)
            for text, vector in zip(texts, vectors, strict=True)
        )
        return [await next(going)] if len(texts) == 1 else await asyncio.gather(*going)

    async def _one(
        self, predictor: Predictor, text: str, vector: NDArray[np.float32] | None, terms: Terms
    ) -> Driven:
        asked: list[Answered] = []
        terms = replace(terms, about=text)

        async def ask(questions: Sequence[Question]) -> Sequence[Answered]:
            answers = await asyncio.gather(*(self._ask(each, terms) for each in questions))
            asked.extend(answers)
            return answers

        reads = predictor.uses == "vectors" and vector is not None
        batch = Batch((text,), vector[np.newaxis] if reads and vector is not None else None)
        spent = 0
        try:
            said = await drive_soon(predictor.answering(batch), ask)
            row = said.probabilities[0]
            if row.shape != (len(predictor.labels),):
                _wrong_shape(predictor, row)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this head's alone
            return Driven(np.zeros(0, np.float32), error=error, calls=len(asked))
        for each in asked:
            spent += each.micro_usd
        return Driven(
            row,
            None if said.rungs is None else said.rung_names[int(said.rungs[0])],
            spent,
            len(asked),
            cached_of(asked),
            next((each for each in asked if isinstance(each, UpstreamError)), None),
        )

    async def _ask(self, question: Question, terms: Terms) -> Answered:
        try:
            model = self._languages.get(question.upstream)
            return await model.complete(question.request, terms)
        except UpstreamError as error:
            return error
        except UnknownNameError as error:
            return UpstreamError(
                "not_found",
                f"the upstream {question.upstream!r} is not registered any more.",
                upstream=question.upstream,
                advice=error.advice,
            )


def cached_of(asked: Sequence[Answered]) -> CacheKind:
    """Which cache answered questions, see ``Driven.cached``."""
    kinds = {each.cached if isinstance(each, Completion) else "" for each in asked}
    return "similar" if "similar" in kinds else "exact" if kinds == {"exact"} else ""


def _wrong_shape(predictor: Predictor, row: NDArray[np.float32]) -> NoReturn:
    raise ValueError(
        f"{predictor.kind} gave an answer {row.shape}; expected ({len(predictor.labels)},)."
    )
