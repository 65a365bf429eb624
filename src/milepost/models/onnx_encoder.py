"""Encodes texts in bulk on a trunk.

Knows batches, lengths and threads; knows neither the graph nor any cache.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milepost._base.digest import digest_of
from milepost.models.adapters import Adapter, require_same
from milepost.models.encoder import Encoder, Progress
from milepost.models.trunk import Trunk
from milepost.models.words import WORDS, ragged

PADDED_TOKENS = 512
"""Most tokens of a batch, padding included; a larger one leaves the cache and pads more."""

_WORD_CHUNK = 512
"""Texts whose states of tokens are in memory together."""

_CHUNK = 8192
"""Texts that are tokenised and sorted by length together; bounds memory."""


class OnnxEncoder:
    """An encoder of fixed weights, for texts in bulk. Thread safe.

    One trunk is shared by ``threads`` callers with one thread each: two such callers do more
    than one session with two threads, and an answer does not depend on the number.

    Args:
        trunk: What runs a batch.
        threads: Callers of a bulk encode, ≥ 1; ``None`` takes the processors this process may
            use.
        adapter: With which every text runs; ``None`` for the encoder alone.

    Raises:
        EncoderError: If the adapter was made for another encoder.
    """

    def __init__(
        self, trunk: Trunk, threads: int | None = None, adapter: Adapter | None = None
    ) -> None:
        if adapter is not None:
            require_same(adapter, trunk.digest)
        self.trunk = trunk
        self._threads = threads or _processors()
        self._adapter = adapter

    def adapted(self, adapter: Adapter) -> "OnnxEncoder":
        """See :meth:`milepost.models.encoder.Adaptable.adapted`; the trunk is shared."""
        return OnnxEncoder(self.trunk, self._threads, adapter)

    def words(self) -> Encoder:
        """See :class:`milepost.models.words.Wording`; the trunk is shared, no adapter runs."""
        return OnnxWords(self.trunk, self._threads)

    @property
    def name(self) -> str:
        """Name for people."""
        return self.trunk.name

    @property
    def digest(self) -> str:
        """SHA-256 over weights, tokenizer, pooling, normalisation, token limit and adapter."""
        return self.trunk.digest if self._adapter is None else self._adapter.adapted_encoder

    @property
    def variant(self) -> str:
        """Numeric variant that runs."""
        return self.trunk.variant

    @property
    def exporter(self) -> str:
        """Which exporter wrote the graph. Exporters agree within 1e-5, not to the last bit."""
        return self.trunk.exporter

    @property
    def dimensions(self) -> int:
        """Length ``d`` of a vector."""
        return self.trunk.dimensions

    @property
    def max_tokens(self) -> int:
        """Longest input in tokens, special tokens included; the rest of a text is not read."""
        return self.trunk.max_tokens

    @property
    def directory(self) -> Path:
        """Folder of the package that this encoder was loaded from."""
        return self.trunk.directory

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Vectors ``(n, d) float32`` of unit length, in the order of ``texts``.

        Equal texts are encoded once. Of a text longer than a million characters only those
        before are read.

        Args:
            texts: Any text, also empty.
            progress: Called after each batch, from this thread.
        """
        unique = list(dict.fromkeys(texts))
        vectors = np.empty((len(unique), self.dimensions), np.float32)
        done = 0

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            if progress is not None:
                # Duplicates are done with their first; the count is in texts of the caller.
                progress(done * len(texts) // len(unique), len(texts))

        for start in range(0, len(unique), _CHUNK):
            tokens = self.trunk.tokenise(unique[start : start + _CHUNK])
            self._run(tokens, vectors[start : start + _CHUNK], advance)
        if len(unique) == len(texts):
            return vectors
        row = {text: i for i, text in enumerate(unique)}
        return vectors[[row[text] for text in texts]]

    def _run(
        self,
        tokens: Sequence[Sequence[int]],
        out: NDArray[Any],
        advance: Callable[[int], None],
    ) -> None:
        batches = _batches([len(ids) for ids in tokens], self._threads)
        if len(batches) == 1 or self._threads == 1:
            for rows in batches:
                out[rows] = self._forward([tokens[i] for i in rows])
                advance(len(rows))
            return
        with ThreadPoolExecutor(min(self._threads, len(batches))) as pool:
            waiting = {
                pool.submit(self._forward, [tokens[i] for i in rows]): rows for rows in batches
            }
            try:
                for future in as_completed(waiting):
                    rows = waiting[future]
                    out[rows] = future.result()
                    advance(len(rows))
            except BaseException:
                # An interrupt must not wait for what has not begun.
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _forward(self, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        adapters = None if self._adapter is None else [self._adapter] * len(tokens)
        return self.trunk.forward(tokens, adapters=adapters).vectors


class OnnxWords(OnnxEncoder):
    """The states of the words of texts in bulk, on the same trunk. Thread safe."""

    @property
    def digest(self) -> str:
        """Over that of the trunk and how states of words are made."""
        return digest_of([self.trunk.digest, WORDS.digest])

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Per text the states of its words ``(words, d) float32``, as objects ``(n,)``."""
        found = np.empty(len(texts), object)
        for start in range(0, len(texts), _WORD_CHUNK):
            part = self.trunk.word_tokens(texts[start : start + _WORD_CHUNK])
            windows = [window for each in part for window in each.windows]
            states = np.empty(len(windows), object)
            self._run(windows, states, lambda rows: None)
            at = 0
            for row, each in enumerate(part, start):
                found[row] = each.pooled(list(states[at : at + len(each.windows)]))
                at += len(each.windows)
            if progress is not None:
                progress(start + len(part), len(texts))
        return found

    def _forward(self, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        return ragged(self.trunk.forward(tokens, states=True).states or ())


def _batches(lengths: Sequence[int], threads: int) -> list[list[int]]:
    """Row numbers of each batch: like lengths together, longest first, within the token budget.

    No batch is larger than an equal share of what is left, so that no caller waits at the end.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    batches: list[list[int]] = []
    at = 0
    while at < len(order):
        share = -(-(len(order) - at) // threads)
        rows = max(1, min(PADDED_TOKENS // lengths[order[at]], share))
        batches.append(order[at : at + rows])
        at += rows
    return batches


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
