"""One engine that turns texts into vectors, timed in a process of its own; prints JSON."""

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

from bench.common import request

SINGLES = 200


def texts_of(tokens: int, count: int, words: Sequence[str], seed: int) -> list[str]:
    """Texts of exactly ``tokens`` tokens, the two special ones included."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(words, tokens - 2)) for _ in range(count)]


def whole_words(tokenizer) -> list[str]:
    """Words that the tokenizer keeps in one piece."""
    return sorted(w for w in tokenizer.get_vocab() if w.isascii() and w.isalpha() and len(w) > 2)


def milepost_engine(cores: int):
    from milepost.models.catalog import EncoderOptions, open_encoder
    from milepost.workflows.opening import cache_folder

    encoder = open_encoder("embedded", cache_folder(), EncoderOptions(threads=cores))
    return lambda texts, batch: encoder.encode(texts)


def onnxruntime_engine(cores: int):
    """The exported model called as its documentation shows: pad, run, nothing else."""
    import onnxruntime
    from tokenizers import Tokenizer

    from milepost.models.catalog import open_encoder
    from milepost.models.packaged import read_package
    from milepost.workflows.opening import cache_folder

    package = read_package(open_encoder("embedded", cache_folder()).directory)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = cores
    session = onnxruntime.InferenceSession(
        package.model, settings, providers=["CPUExecutionProvider"]
    )
    tokenizer = Tokenizer.from_str(package.tokenizer)
    tokenizer.enable_padding()
    tokenizer.enable_truncation(256)

    def encode(texts: list[str], batch: int):
        parts = []
        for start in range(0, len(texts), batch):
            rows = tokenizer.encode_batch_fast(texts[start : start + batch])
            ids = np.array([row.ids for row in rows], np.int64)
            mask = np.array([row.attention_mask for row in rows], np.int64)
            parts.append(session.run(["vectors"], {"input_ids": ids, "attention_mask": mask})[0])
        return np.concatenate(parts)

    return encode


def sentence_transformers_engine(cores: int):
    import torch

    from bench.by_hand import load_encoder

    torch.set_num_threads(cores)
    encoder = load_encoder()
    return lambda texts, batch: encoder.encode(
        texts, batch_size=batch, normalize_embeddings=True, show_progress_bar=False
    )


ENGINES: dict[str, Callable] = {
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
    words = whole_words(Tokenizer.from_file(str(embedded_path() / "tokenizer.json")))
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
