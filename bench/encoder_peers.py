"""One engine that turns texts into vectors, timed in a process of its own; prints JSON."""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.common import request

SINGLES = 200
Encode = Callable[[Sequence[str], int], NDArray[np.float32]]
"""Texts and the batch size of a peer to vectors ``(n, d)``."""


def texts_of(tokens: int, count: int, words: Sequence[str], seed: int) -> list[str]:
    """Texts of exactly ``tokens`` tokens, the two special ones included."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(words, tokens - 2)) for _ in range(count)]


def whole_words(tokenizer: Any) -> list[str]:
    """Words that the tokenizer keeps in one piece."""
    return sorted(w for w in tokenizer.get_vocab() if w.isascii() and w.isalpha() and len(w) > 2)


def milepost_engine(cores: int) -> Encode:
    from milepost.models.catalog import EncoderOptions, open_encoder
    from milepost.workflows.opening import cache_folder

    encoder = open_encoder("embedded", cache_folder(), EncoderOptions(threads=cores))

    def encode(texts: Sequence[str], batch: int) -> NDArray[np.float32]:
        del batch  # it forms its own
        return encoder.encode(texts)

    return encode


def onnxruntime_engine(cores: int) -> Encode:
    """A padded export called as the documentation shows: pad, run, nothing else."""
    import onnxruntime
    from tokenizers import Tokenizer

    from milepost.models.embedded import embedded_path

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = cores
    session = onnxruntime.InferenceSession(
        str(_padded_export()), settings, providers=["CPUExecutionProvider"]
    )
    folder = embedded_path()
    assert folder is not None, "the embedded encoder is not installed"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(256)

    def encode(texts: Sequence[str], batch: int) -> NDArray[np.float32]:
        parts: list[NDArray[np.float32]] = []
        for start in range(0, len(texts), batch):
            rows = tokenizer.encode_batch_fast(list(texts[start : start + batch]))
            ids = np.array([row.ids for row in rows], np.int64)
            mask = np.array([row.attention_mask for row in rows], np.int64)
            feeds = {"input_ids": ids, "attention_mask": mask}
            parts.append(np.asarray(session.run(["vectors"], feeds)[0], np.float32))
        return np.concatenate(parts)

    return encode


def _padded_export() -> Path:
    """The encoder exported through torch, once."""
    from milepost.models.embedded import read_embedded
    from milepost.models.graphs import through_torch

    kept = Path(tempfile.gettempdir()) / "milepost-bench-encoders" / "padded.onnx"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        half = kept.with_suffix(f".{os.getpid()}")
        half.write_bytes(through_torch.build(read_embedded()).SerializeToString())
        half.replace(kept)
    return kept


def sentence_transformers_engine(cores: int) -> Encode:
    import torch

    from bench.by_hand import load_encoder

    torch.set_num_threads(cores)
    encoder = load_encoder()

    def encode(texts: Sequence[str], batch: int) -> NDArray[np.float32]:
        return encoder.encode(
            list(texts), batch_size=batch, normalize_embeddings=True, show_progress_bar=False
        )

    return encode


ENGINES: dict[str, Callable[[int], Encode]] = {
    "milepost": milepost_engine,
    "onnxruntime": onnxruntime_engine,
    "sentence_transformers": sentence_transformers_engine,
}


def main() -> None:
    from tokenizers import Tokenizer

    from milepost.models.embedded import embedded_path

    asked = request()
    cores = int(asked["cores"])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    encode = ENGINES[asked["engine"]](cores)
    folder = embedded_path()
    assert folder is not None, "the embedded encoder is not installed"
    words = whole_words(Tokenizer.from_file(str(folder / "tokenizer.json")))
    encode(texts_of(12, 64, words, 1), 64)
    found: dict[str, float] = {}
    for tokens, count in ((int(k), v) for k, v in asked["counts"].items()):
        texts = texts_of(tokens, count, words, tokens)
        started = time.perf_counter()
        encode(texts, asked["batches"][str(tokens)])
        found[f"texts_per_s_{tokens}"] = count / (time.perf_counter() - started)
    singles = []
    for text in texts_of(12, SINGLES, words, 2):
        started = time.perf_counter()
        encode([text], 1)
        singles.append(1000 * (time.perf_counter() - started))
    print(json.dumps({**found, "one_ms": statistics.median(singles)}))


if __name__ == "__main__":
    main()
