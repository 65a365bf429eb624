"""Runs a packaged encoder with onnxruntime and tokenizers, and nothing heavier.

Knows batches, lengths and threads; knows neither where the package came from nor any cache.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import EncoderError
from milepost.models.encoder import Progress
from milepost.models.packaged import Package

PADDED_TOKENS = 512
"""Most tokens of a batch, padding included; a larger one leaves the cache and pads more."""

_CHUNK = 8192
"""Texts that are tokenised and sorted by length together; bounds memory."""

_CHARACTERS_PER_TOKEN = 32
_MAX_CHARACTERS = 1 << 20


class OnnxEncoder:
    """An encoder of fixed weights. Thread safe.

    One session is shared by ``threads`` callers with one thread each: two such callers do more
    than one session with two threads, and an answer does not depend on the number.

    Args:
        package: The verified package; its bytes are not kept.
        threads: Callers of a bulk encode, ≥ 1; ``None`` takes the processors this process may
            use.
    """

    def __init__(self, package: Package, threads: int | None = None) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self._manifest = package.manifest
        self._directory = package.directory
        self._threads = threads or _processors()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                package.model, options, providers=["CPUExecutionProvider"]
            )
            self._tokenizer = Tokenizer.from_str(package.tokenizer)
        except Exception as error:  # neither library has one base for what it raises
            raise EncoderError(
                f"the packaged encoder cannot be loaded: {error}",
                where=str(package.directory),
                advice="Update onnxruntime and tokenizers, or export the encoder again.",
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._manifest.max_tokens)

    @property
    def name(self) -> str:
        """Name for people."""
        return self._manifest.name

    @property
    def digest(self) -> str:
        """SHA-256 over weights, tokenizer, pooling, normalisation and token limit."""
        return self._manifest.digest

    @property
    def variant(self) -> str:
        """Numeric variant that runs."""
        return self._manifest.variant

    @property
    def exporter(self) -> str:
        """Which exporter wrote the graph. Exporters agree within 1e-5, not to the last bit."""
        return self._manifest.exporter

    @property
    def dimensions(self) -> int:
        """Length ``d`` of a vector."""
        return self._manifest.dimensions

    @property
    def max_tokens(self) -> int:
        """Longest input in tokens, special tokens included; the rest of a text is not read."""
        return self._manifest.max_tokens

    @property
    def directory(self) -> Path:
        """Folder of the package that this encoder was loaded from."""
        return self._directory

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
            tokens = self._tokenise(unique[start : start + _CHUNK])
            self._run(tokens, vectors[start : start + _CHUNK], advance)
        if len(unique) == len(texts):
            return vectors
        row = {text: i for i, text in enumerate(unique)}
        return vectors[[row[text] for text in texts]]

    def _tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids per text, at least one and at most ``max_tokens``.

        A tokenizer reads all of a text before it truncates. A long text is therefore cut first,
        and cut later again when the part did not fill all tokens.
        """
        cut = self.max_tokens * _CHARACTERS_PER_TOKEN
        tokens = self._ids([_encodable(text[:cut]) for text in texts])
        for i, text in enumerate(texts):
            size = cut
            while len(tokens[i]) < self.max_tokens and size < min(len(text), _MAX_CHARACTERS):
                size = min(size * 8, _MAX_CHARACTERS)
                tokens[i] = self._ids([_encodable(text[:size])])[0]
        return tokens

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        empty = [self._manifest.pad_id]
        return [encoding.ids or empty for encoding in self._tokenizer.encode_batch_fast(texts)]

    def _run(
        self,
        tokens: Sequence[Sequence[int]],
        out: NDArray[np.float32],
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

    def _forward(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        longest = max(len(ids) for ids in rows)
        ids = np.full((len(rows), longest), self._manifest.pad_id, np.int64)
        mask = np.zeros((len(rows), longest), np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        feeds = {"input_ids": ids, "attention_mask": mask}
        return cast("NDArray[np.float32]", self._session.run(["vectors"], feeds)[0])


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


def _encodable(text: str) -> str:
    """The text with lone surrogates, which no tokenizer takes, replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
