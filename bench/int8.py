"""INT8 encoder against fp32: agreement and accuracy on ten real sets, throughput per variant.

Accuracy: on each set a logistic regression is fitted on fp32 vectors of up to 600 training texts,
and answers up to 400 test texts on fp32 and on INT8 vectors. The scales of the integers come from
texts that ship with milepost, never from these sets. `agreement` is the share of equal labels,
`loss` the points of accuracy lost (below 0: gained), with exact 95 % intervals for the pooled
agreement and a 95 % interval for the pooled loss (paired, normal). `refitted` is the accuracy of
a head that was fitted on INT8 vectors, for information. `neighbours` is the largest change of a
vector when other texts stand beside it.

Throughput: texts per second of the calling thread's processor time on one core, at 12, 32 and 128
tokens in batches of 64, 32 and 16, all variants in turn in one process: milepost fp32 and INT8,
ONNX Runtime's dynamic INT8 quantisation of a padded fp32 graph as its documentation shows, and
torch. Ratios to fp32 carry over between machines with the same instructions: without VNNI (AVX2
alone) the integer products themselves are at most about 1.6 times as fast as fp32, with it about
four times.
"""

import json
import math
from typing import Any

import numpy as np

from bench.common import Options, data_folder, peer, stored

SETS = (
    "sst2", "cr", "subj", "trec", "sms_spam", "emotion", "tweeteval_hate", "tweeteval_offensive",
    "snips", "banking77",
)  # fmt: skip
TRAIN, TEST = 600, 400


def run(options: Options) -> dict[str, object]:
    """Both parts, or those of ``--only accuracy|speed``; the other keeps its last numbers."""
    parts = set(options.only) or {"accuracy", "speed"}
    found: dict[str, object] = {} if options.quick else dict(stored("int8"))
    if "accuracy" in parts:
        found["accuracy"] = _accuracy(SETS[:2] if options.quick else SETS)
    if "speed" in parts:
        asked = {"repeats": 2 if options.quick else 7}
        done = peer("int8_peers", asked, env={"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
        found["speed"] = json.loads(done.out)
        _print_speed(found["speed"])
    return found


def _accuracy(names: tuple[str, ...]) -> dict[str, Any]:
    from milepost.models.catalog import EncoderOptions, open_encoder
    from milepost.workflows.opening import cache_folder

    encoders = {
        variant: open_encoder("embedded", cache_folder(), EncoderOptions(variant=variant))
        for variant in ("fp32", "int8")
    }
    print(f"{'set':<22}{'n':>5}{'agreement':>11}{'fp32':>8}{'int8':>8}{'loss':>7}{'refitted':>10}")
    sets: dict[str, Any] = {}
    for name in names:
        row = sets[name] = _set(name, encoders)
        print(
            f"{name:<22}{row['n']:>5}{row['agreement']:>11.2%}{row['fp32']:>8.2%}{row['int8']:>8.2%}"
            f"{row['loss']:>7.2f}{row['refitted']:>10.2%}",
            flush=True,
        )
    pooled = _pooled(sets)
    pooled["neighbours"] = _neighbours(encoders)
    print(json.dumps(pooled))
    return {"sets": sets, **pooled}


def _set(name: str, encoders: dict[str, Any]) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression

    train, test = (_drawn(name, part, most) for part, most in (("train", TRAIN), ("test", TEST)))
    vectors = {
        variant: (encoder.encode(train[0]), encoder.encode(test[0]))
        for variant, encoder in encoders.items()
    }
    y, truth = np.array(train[1]), np.array(test[1])
    head = LogisticRegression(C=10.0, max_iter=1000).fit(vectors["fp32"][0], y)
    slow, fast = (head.predict(vectors[variant][1]) for variant in ("fp32", "int8"))
    again = LogisticRegression(C=10.0, max_iter=1000).fit(vectors["int8"][0], y)
    cosines = (vectors["fp32"][1] * vectors["int8"][1]).sum(1)
    right, right_fast = slow == truth, fast == truth
    return {
        "n": len(truth),
        "agree": int((slow == fast).sum()),
        "agreement": float((slow == fast).mean()),
        "fp32": float(right.mean()),
        "int8": float(right_fast.mean()),
        "lost": int((right & ~right_fast).sum()),
        "won": int((~right & right_fast).sum()),
        "loss": 100 * float(right.mean() - right_fast.mean()),
        "refitted": float((again.predict(vectors["int8"][1]) == truth).mean()),
        "cosine_mean": float(cosines.mean()),
        "cosine_min": float(cosines.min()),
    }


def _drawn(name: str, part: str, most: int) -> tuple[list[str], list[str]]:
    import pyarrow.parquet as pq

    table = pq.read_table(data_folder() / name / f"{part}.parquet", columns=["text", "label"])
    rows = np.random.default_rng(0).permutation(len(table))[:most]
    texts, labels = table["text"].to_pylist(), table["label"].to_pylist()
    return [str(texts[i]) for i in rows], [str(labels[i]) for i in rows]


def _pooled(sets: dict[str, Any]) -> dict[str, Any]:
    from scipy.stats import binomtest

    rows = sets.values()
    n, agree = sum(row["n"] for row in rows), sum(row["agree"] for row in rows)
    lost, won = sum(row["lost"] for row in rows), sum(row["won"] for row in rows)
    low, high = binomtest(agree, n).proportion_ci(0.95, "exact")
    loss = 100 * (lost - won) / n
    half = 196 * math.sqrt(lost + won - (lost - won) ** 2 / n) / n
    return {
        "n": n,
        "agreement": agree / n,
        "agreement_95": [float(low), float(high)],
        "loss": loss,
        "loss_95": [loss - half, loss + half],
        "cosine_mean": float(np.mean([row["cosine_mean"] for row in rows])),
        "cosine_min": min(row["cosine_min"] for row in rows),
    }


def _neighbours(encoders: dict[str, Any]) -> dict[str, float]:
    """Largest change of any value of a vector, between a text alone and in 200 random batches."""
    texts = _drawn("emotion", "test", 60)[0] + _drawn("sst2", "test", 60)[0]
    rng = np.random.default_rng(0)
    worst: dict[str, float] = {}
    for variant, encoder in encoders.items():
        tokens = encoder.trunk.tokenise(texts)
        alone = np.concatenate([encoder.trunk.forward([row]).vectors for row in tokens])
        worst[variant] = 0.0
        for _ in range(200):
            rows = rng.permutation(len(tokens))[: rng.integers(2, 17)]
            found = encoder.trunk.forward([tokens[i] for i in rows]).vectors
            worst[variant] = max(worst[variant], float(np.abs(found - alone[rows]).max()))
    return worst


def _print_speed(speed: Any) -> None:
    for tokens, rates in speed["texts_per_s"].items():
        base = rates["fp32"]
        print(
            f"{tokens:>4} tokens  "
            + "   ".join(
                f"{name} {rate:,.0f}/s ({rate / base:.2f}x)" for name, rate in rates.items()
            )
        )
