"""Encodes texts in bulk on a trunk.

Knows batches, lengths and threads; knows neither the graph nor any cache.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from milepost.models.encoder import Progress
from milepost.models.trunk import Trunk

PADDED_TOKENS = 512
"""Most tokens of a batch, padding included; a larger one leaves the cache and pads more."""

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
    """

    def __init__(self, trunk: Trunk, threads: int | None = None) -> None:
        self.trunk = trunk
        self._threads = threads or _processors()

    @property
    def name(self) -> str:
        """Name for people."""
        return self.trunk.name

    @property
    def digest(self) -> str:
        """SHA-256 over weights, tokenizer, pooling, normalisation and token limit."""
        return self.trunk.digest

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
        out: NDArray[np.float32],
        advance: Callable[[int], None],
    ) -> None:
        batches = _batches([len(ids) for ids in tokens], self._threads)
        if len(batches) == 1 or self._threads == 1:
            for rows in batches:
                out[rows] = self.trunk.forward([tokens[i] for i in rows]).vectors
                advance(len(rows))
            return
        with ThreadPoolExecutor(min(self._threads, len(batches))) as pool:
            waiting = {
                pool.submit(self.trunk.forward, [tokens[i] for i in rows]): rows for rows in batches
            }
            try:
                for future in as_completed(waiting):
                    rows = waiting[future]
                    out[rows] = future.result().vectors
                    advance(len(rows))
            except BaseException:
                # An interrupt must not wait for what has not begun.
                pool.shutdown(wait=False, cancel_futures=True)
                raise


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
