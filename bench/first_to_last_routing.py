"""Routing between a cheap and a dear language model by the question alone, and its regret.

RouteLLM's recordings say of each question whether Mixtral 8x7B and GPT-4-1106 were right. The
router is a task like any other: of four labels (both right, only the dear one, only the cheap one,
none) a contest learns from one half of the questions; the other half is routed by the difference of
two of its probabilities. Regret is what an oracle that knows who is right would gain at the same
share of dear calls.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.common import data_folder
from bench.first_to_last_tasks import held, specialist

Row = dict[str, Any]
LABELS = ("both", "none", "only_cheap", "only_dear")
MOST = 6_000
SHARES = tuple(np.linspace(0, 1, 41).tolist())
USD_PER_MILLION = {"cheap": 0.24, "dear": 24.7}
"""Mean price of a million tokens, read and written, as Ong et al. (2024) estimate it."""


def routed(name: str, most: int = MOST) -> Row:
    """One set: the curve of accuracy over dear calls, and what follows from it."""
    import pandas as pd

    frame = pd.read_parquet(data_folder() / "llm_routellm" / f"{name}.parquet")
    frame = frame.drop_duplicates("text").sample(frac=1.0, random_state=0)[:most]
    texts = [text.strip() for text in frame["text"]]
    cheap = frame["mixtral_8x7b_correct"].to_numpy(bool)
    dear = frame["gpt4_1106_correct"].to_numpy(bool)
    y = np.select([cheap & dear, ~cheap & ~dear, cheap & ~dear], [0, 1, 2], 3).astype(np.int64)
    half = len(texts) // 2
    strategy, _, chances = specialist(
        LABELS, texts[:half], y[:half], texts[half:], held([*texts, *LABELS])
    )
    gain = chances[:, 3] - chances[:, 2]
    return {
        "set": name,
        "learnt_from": half,
        "measured_on": len(texts) - half,
        "strategy": strategy,
        **_judged(gain.astype(np.float64), cheap[half:], dear[half:]),
    }


def _judged(gain: NDArray[np.float64], cheap: NDArray[np.bool_], dear: NDArray[np.bool_]) -> Row:
    router = _curve(gain, cheap, dear)
    oracle = _curve(dear.astype(float) - cheap.astype(float), cheap, dear)
    low, high = float(cheap.mean()), float(dear.mean())
    random = np.array([low + share * (high - low) for share in SHARES])
    recovered = float(np.mean((router - low) / (high - low)))
    wanted = 0.95 * high
    share = next((s for s, a in zip(SHARES, router, strict=True) if a >= wanted), 1.0)
    by_chance = max(0.0, (wanted - low) / (high - low))
    return {
        "cheap_accuracy": low,
        "dear_accuracy": high,
        "gap_recovered": recovered,
        "gap_recovered_by_chance": 0.5,
        "dear_calls_for_half_the_gap": _needed(router, low + 0.5 * (high - low)),
        "dear_calls_for_80_percent_of_the_gap": _needed(router, low + 0.8 * (high - low)),
        "at_95_percent_of_the_dear_one": {
            "dear_calls": share,
            "dear_calls_by_chance": by_chance,
            "cheaper": 1 - _price(share),
            "cheaper_by_chance": 1 - _price(by_chance),
        },
        "regret_points": {
            "to_the_oracle": 100 * float(np.mean(oracle - router)),
            "of_chance_to_the_oracle": 100 * float(np.mean(oracle - random)),
        },
        "curve": [
            {"dear_calls": s, "router": float(r), "oracle": float(o), "chance": float(c)}
            for s, r, o, c in zip(SHARES, router, oracle, random, strict=True)
        ],
    }


def _price(share: float) -> float:
    """Cost of routing this share of calls to the dear model, as a share of all going there."""
    cheap, dear = USD_PER_MILLION["cheap"], USD_PER_MILLION["dear"]
    return float((share * dear + (1 - share) * cheap) / dear)


def _needed(curve: NDArray[np.float64], accuracy: float) -> float:
    return next((s for s, a in zip(SHARES, curve, strict=True) if a >= accuracy), 1.0)


def _curve(
    gain: NDArray[np.float64], cheap: NDArray[np.bool_], dear: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Accuracy where the given share of questions, those of largest gain, goes to the dear one."""
    order = np.argsort(-gain, kind="stable")
    found: list[float] = []
    for share in SHARES:
        sent = np.zeros(len(gain), np.bool_)
        sent[order[: round(share * len(gain))]] = True
        found.append(float(np.where(sent, dear, cheap).mean()))
    return np.array(found)
