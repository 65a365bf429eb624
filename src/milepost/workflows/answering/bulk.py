"""Texts in bulk through the engine that serves: parts in order, two at a time, bounded memory."""

import queue
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from milepost.contests.asking import Language, asked_predictions
from milepost.entities.errors import EncoderError
from milepost.entities.prediction import Predictions
from milepost.models.cached import CachedEncoder
from milepost.models.encoder import Encoder
from milepost.models.pairs import reads
from milepost.predictors.base import Batch, Predictor
from milepost.predictors.reading import batch_for
from milepost.serving.driving import is_driven
from milepost.serving.engine.engine import Engine
from milepost.serving.engine.work import Encoding, Outcome, Stack, TrunkKey, Work
from milepost.workflows.answering.speaking import language_of
from milepost.workflows.context import Context
from milepost.workflows.encoders import require_encoder
from milepost.workflows.release.bundles import Answerer

PART_TEXTS = 1024
"""Texts that are handed to the engine together; two such parts are under way at a time."""

KEPT_TEXTS = 8192
"""Most texts of a call whose vectors are kept in the workspace. Of more, such as a large file, none
is: writing a vector costs more disk than it saves time, and such a file is rarely read twice."""

_CACHE_BYTES = 16 * 2**20
_LOOKED_AT = 2
_WORTH_LOOKING = 0.05

_Label = TypeVar("_Label")


@dataclass(frozen=True, slots=True, eq=False)
class _Head:
    """A predictor as the engine takes it."""

    bundle: str
    predictor: Predictor
    trunk: TrunkKey | None


class Bulk:
    """Answers texts of one predictor; used by one thread.

    Args:
        predictor: What answers.
        encoder: Behind the vector cache of the workspace; ``None`` where the predictor reads text.
        keep: Whether new vectors are kept there.
    """

    def __init__(self, predictor: Predictor, encoder: Encoder | None, *, keep: bool) -> None:
        self._predictor = predictor
        self._encoder = encoder
        self._keep = keep
        cached = encoder if isinstance(encoder, CachedEncoder) else None
        # The workspace keeps vectors of the encoder alone.
        self._cached = cached if predictor.spaces == (None,) else None
        self._looks: list[float] = []
        inner = cached.inner if cached is not None else encoder
        # An encoder of another kind has no trunk, and encodes for itself.
        trunk = cast("Encoding | None", getattr(inner, "trunk", None))
        self._engine = None
        if encoder is None or trunk is not None:
            key = (trunk.digest, trunk.variant) if trunk is not None else None
            # Equal names stand for equal answers; this predictor is here under no other one.
            self._stack = Stack((_Head(f"bulk {id(predictor)}", predictor, key),))
            trunks = {key: trunk} if key is not None and trunk is not None else {}
            self._engine = Engine(
                trunks, queue_texts=4 * PART_TEXTS, queue_tokens=1 << 62, cache=_CACHE_BYTES
            )

    def close(self) -> None:
        """Let the threads go."""
        if self._engine is not None:
            self._engine.close()

    def answers(
        self, parts: Iterable[tuple[_Label, Sequence[str]]]
    ) -> Iterator[tuple[_Label, Predictions]]:
        """Answers to each part's texts, in order.

        Args:
            parts: Each with a label of the caller's own, which comes back with it.
        """
        begun: deque[tuple[_Label, _Pending]] = deque()
        for label, texts in parts:
            begun.append((label, self._begin(texts)))
            if len(begun) > 1:
                first, pending = begun.popleft()
                yield first, self._made(self._finish(pending))
        for label, pending in begun:
            yield label, self._made(self._finish(pending))

    def _made(self, found: NDArray[np.float32]) -> Predictions:
        return self._predictor.meaning(found)

    def _begin(self, texts: Sequence[str]) -> "_Pending":
        pending = _Pending(texts, self._predictor.width)
        if self._engine is None:
            batch = _batch(self._predictor, texts, self._encoder)
            pending.found[:] = self._predictor.predict(batch).probabilities
            return pending
        missing = self._look_up(pending)
        if missing:
            works = [Work(texts[row], self._stack) for row in missing]
            pending.rows = missing
            self._engine.submit(works, pending.arrived.put)
        return pending

    def _look_up(self, pending: "_Pending") -> list[int]:
        """Answer what the workspace has vectors of; rows of the rest.

        A file of which it has next to nothing is not looked up to its end.
        """
        everything = list(range(len(pending.texts)))
        seen = self._looks
        if self._cached is None or not everything:
            return everything
        if len(seen) >= _LOOKED_AT and sum(seen) / len(seen) < _WORTH_LOOKING:
            return everything
        known, vectors = self._cached.known(pending.texts)
        seen.append(float(known.mean()))
        if known.any():
            texts = tuple(pending.texts[row] for row in np.flatnonzero(known).tolist())
            answered = self._predictor.predict(Batch(texts, vectors[known]))
            pending.found[known] = answered.probabilities
        return np.flatnonzero(~known).tolist()

    def _finish(self, pending: "_Pending") -> NDArray[np.float32]:
        if not pending.rows:
            return pending.found
        outcomes = pending.arrived.get()
        for row, outcome in zip(pending.rows, outcomes, strict=True):
            pending.found[row] = _probabilities(outcome)
        if self._keep and self._cached is not None:
            fresh = {
                pending.texts[row]: outcome.vector
                for row, outcome in zip(pending.rows, outcomes, strict=True)
                if outcome.vector is not None
            }
            self._cached.keep(list(fresh), np.array(list(fresh.values()), np.float32))
        return pending.found


class _Pending:
    """A part under way: its texts, what is found, and the rows that the engine answers."""

    def __init__(self, texts: Sequence[str], width: int) -> None:
        self.texts = texts
        self.found = np.empty((len(texts), width), np.float32)
        self.rows: list[int] = []
        self.arrived: queue.SimpleQueue[list[Outcome]] = queue.SimpleQueue()


def _batch(predictor: Predictor, texts: Sequence[str], encoder: Encoder | None) -> Batch:
    return Batch(tuple(texts)) if encoder is None else batch_for(predictor, texts, encoder)


def _probabilities(outcome: Outcome) -> NDArray[np.float32]:
    error = outcome.error or (outcome.failures or {}).get(0)
    if error is not None:
        raise error
    (found,) = outcome.probabilities
    if found is None:
        raise EncoderError("there is no answer to a text.")
    return found


class _Driven:
    """Answers texts of a predictor that asks, or tells which rung answered; used by one thread.

    Each part is asked as a whole: that many calls are on their way as the upstreams allow.
    """

    def __init__(self, predictor: Predictor, encoder: Encoder | None, language: Language) -> None:
        self._predictor = predictor
        self._encoder = encoder
        self._language = language

    def answers(
        self, parts: Iterable[tuple[_Label, Sequence[str]]]
    ) -> Iterator[tuple[_Label, Predictions]]:
        """As ``Bulk.answers``, with the rungs of a cascade.

        Raises:
            UpstreamError: If no further call can be made at all.
        """
        for label, texts in parts:
            batch = _batch(self._predictor, texts, self._encoder)
            if self._predictor.upstreams:
                yield label, asked_predictions(self._predictor, batch, self._language)[0]
            else:
                yield label, self._predictor.predict(batch)


@contextmanager
def opened(context: Context, answerer: Answerer, *, keep: bool) -> Generator[Bulk | _Driven]:
    """What answers texts of a release or candidate.

    Raises:
        InputError: If the workspace's encoder is another one, or a language model that is asked is
            not registered.
    """
    encoder = None
    if answerer.predictor.uses == "vectors":
        own = context.reading(answerer.manifest.encoder).encoder()
        encoder = reads(answerer.manifest.inputs, own)
        check_encoder(answerer, encoder.digest)
    if answerer.predictor.upstreams:
        task = answerer.manifest.task
        with language_of(context, task, answerer.predictor, "serve") as language:
            yield _Driven(answerer.predictor, encoder, language)
        return
    if is_driven(answerer.predictor):
        yield _Driven(answerer.predictor, encoder, {})
        return
    bulk = Bulk(answerer.predictor, encoder, keep=keep)
    try:
        yield bulk
    finally:
        bulk.close()


def in_parts(texts: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Texts in memory as parts, each with the number of texts up to its end."""
    at, rest = 0, iter(texts)
    while part := list(islice(rest, PART_TEXTS)):
        at += len(part)
        yield at, part


def check_encoder(answerer: Answerer, digest: str) -> None:
    """Refuse another encoder than the one that the predictor was measured with.

    Raises:
        InputError: If it is another.
    """
    require_encoder(answerer.manifest.encoder, digest)
