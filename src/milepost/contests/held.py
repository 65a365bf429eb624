"""The vectors of a contest's texts, encoded once somebody asks for them."""

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from milepost._base.clock import Deadline
from milepost.models.adapters import Adapter
from milepost.models.cached import CachedEncoder
from milepost.models.encoder import Encoder, Progress, WrappedEncoder, adapted
from milepost.models.words import ragged, word_states
from milepost.storage.files.vectors import MemoryVectorStore

ENCODED_AT_ONCE = 256
"""Texts encoded between two looks at the deadline; some seconds' work at most."""


ADAPTED_AT_ONCE = 8
"""Adapters whose vectors are held at a time: of five folds, the final fit and the incumbent."""


HELD_WORDS_BYTES = 1 << 30
"""Bytes of states of words that are held; what is beyond is encoded again when it is asked for."""


class OutOfTimeError(Exception):
    """The deadline passed in the middle of something that can be left."""


class HeldVectors(WrappedEncoder):
    """An encoder that holds the vectors of a contest's texts once somebody asks. Thread safe.

    Nothing is encoded before the first call, so that a contest of strategies that read text costs
    no encoder work.

    Args:
        inner: Encodes the texts, and what is not held.
        texts: Texts of the contest; equal ones are encoded once.
        progress: Told while the texts are encoded.
        deadline: When to stop encoding; what was encoded stays in the inner encoder's cache.
    """

    def __init__(
        self,
        inner: Encoder,
        texts: Sequence[str],
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        super().__init__(inner)
        self._texts = list(dict.fromkeys(texts))
        self._rows = {text: row for row, text in enumerate(self._texts)}
        self._progress = progress
        self._deadline = deadline or Deadline()
        self._lock = threading.Lock()
        self._vectors: NDArray[np.float32] | None = None
        self._adapted: dict[str, Encoder] = {}
        self._words: Encoder | None = None

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Vectors ``(n, d) float32``; only texts that are not held reach the inner encoder.

        Raises:
            OutOfTimeError: If the deadline passes while the contest's texts are encoded.
        """
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        vectors = self._held()
        known = np.asarray([self._rows.get(text, -1) for text in texts], np.int64)
        missing = np.flatnonzero(known < 0)
        if len(missing) == len(texts):
            return self.inner.encode(texts, progress)
        out = vectors[known]
        if len(missing):
            out[missing] = self.inner.encode([texts[i] for i in missing.tolist()], progress)
        return out

    def adapted(self, adapter: Adapter) -> Encoder:
        """The encoder with the adapter; its vectors are held in memory alone.

        A contest meets an adapter per fold, each asked for the same texts by fitting, judging and
        examining; those of the last few are kept.

        Raises:
            EncoderError: If the adapter was made for another encoder, or the inner one takes none.
        """
        with self._lock:
            found = self._adapted.pop(adapter.digest, None)
            if found is None:
                found = CachedEncoder(adapted(self.inner, adapter), MemoryVectorStore())
            self._adapted[adapter.digest] = found
            while len(self._adapted) > ADAPTED_AT_ONCE:
                del self._adapted[next(iter(self._adapted))]
            return found

    def words(self) -> Encoder:
        """The states of words; those of the contest's texts are held in memory, up to a limit.

        Raises:
            EncoderError: If the inner encoder gives none.
        """
        with self._lock:
            if self._words is None:
                self._words = HeldWords(word_states(self.inner))
            return self._words

    def lift_deadline(self) -> None:
        """Encode whatever is asked from now on: a budget is for candidates, not for judging."""
        self._deadline = Deadline()

    def _held(self) -> NDArray[np.float32]:
        with self._lock:
            if self._vectors is None:
                self._vectors = self._encode_all()
            return self._vectors

    def _encode_all(self) -> NDArray[np.float32]:
        total = len(self._texts)
        if self._deadline.at is None:
            return self.inner.encode(self._texts, self._progress)
        parts: list[NDArray[np.float32]] = []
        for start in range(0, total, ENCODED_AT_ONCE):
            if self._deadline.passed:
                raise OutOfTimeError
            parts.append(self.inner.encode(self._texts[start : start + ENCODED_AT_ONCE]))
            if self._progress is not None:
                self._progress(min(total, start + ENCODED_AT_ONCE), total)
        return np.concatenate(parts)


class HeldWords(WrappedEncoder):
    """The states of words of texts that were asked for before, held in memory. Thread safe.

    Args:
        inner: Gives the states of words.
        most: Bytes that are held; later texts are not.
    """

    def __init__(self, inner: Encoder, most: int = HELD_WORDS_BYTES) -> None:
        super().__init__(inner)
        self._left = most
        self._lock = threading.Lock()
        self._states: dict[str, NDArray[np.float32]] = {}

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """States ``(words, d) float32`` of each text, as objects ``(n,)``."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._states]
        fresh: dict[str, NDArray[np.float32]] = {}
        if missing:
            fresh = dict(zip(missing, self.inner.encode(missing, progress), strict=True))
        with self._lock:
            for text, states in fresh.items():
                if states.nbytes <= self._left and text not in self._states:
                    self._left -= states.nbytes
                    self._states[text] = states
        return ragged([fresh[text] if text in fresh else self._states[text] for text in texts])
