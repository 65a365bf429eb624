"""Answers to similar questions: how often the certified share is kept, and what it saves.

Each repeat draws the questions that a bank is made and certified from, and counts wrong hits among
all others of the population. On real texts the answers are labels of people, or what a language
model was recorded to answer; vectors are those of the shared encoder.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.common import Options, data_folder
from milepost.workflows.language.similar import Promised, certificate

CONFIDENCE = 0.95
LEVELS = (0.02, 0.05, 0.1)
DRAWN = 1200
"""Questions to certify from; half of the population where it is small."""

JUDGED = 1500
"""Most of the other questions that wrong hits are counted among, drawn anew for each bank."""

LABELLED = ("banking77", "clinc150", "sms_spam")
ANSWERED = ("emotion", "discourse", "flute", "wiki_corpus")
MODEL = "pred_chatgpt"


def run(options: Options) -> dict[str, Any]:
    repeats = 20 if options.quick else 1000
    rows: list[dict[str, Any]] = []
    for name, vectors, answers in populations(options):
        for row in tried(vectors, answers, repeats):
            rows.append({"set": name, **row})
            print(
                f"{name:<20}at most {row['at_most']:<5} banks {row['banks']:>5}/{repeats}  "
                f"too many wrong {row['violated']:.3f} of runs  hits {row['hit_share']:.3f}  "
                f"wrong {row['wrong_share']:.4f}",
                flush=True,
            )
    return {"confidence": CONFIDENCE, "drawn": DRAWN, "repeats": repeats, "rows": rows}


def populations(options: Options) -> Any:
    """Name, vectors of length 1, and number of the answer, of each population."""
    for spread in (0.1, 0.2):
        name = f"synthetic-{spread}"
        if not options.only or name in options.only:
            yield (name, *synthetic(spread))
    chosen = LABELLED[:1] if options.quick else LABELLED
    for name in options.only or chosen:
        if name in LABELLED:
            from bench.vectors import load

            found = load(name)
            yield (
                name,
                unit(np.concatenate([found.vectors, found.test_vectors])),
                np.concatenate([found.y, found.test_y]),
            )
    for name in options.only or (() if options.quick else ANSWERED):
        if name in ANSWERED:
            yield (f"chatgpt-{name}", *answered(name))


def synthetic(spread: float, size: int = 6000, width: int = 16) -> Any:
    """40 intents around centres, 1 % of the answers drawn at random."""
    rng = np.random.default_rng(0)
    centres = unit(rng.normal(size=(40, width)))
    intents = rng.choice(40, size, p=rng.dirichlet(np.ones(40)))
    vectors = unit(centres[intents] + spread * rng.normal(size=(size, width)))
    answers = np.where(rng.random(size) < 0.01, rng.integers(0, 40, size), intents)
    return vectors, answers


def answered(name: str) -> Any:
    """Texts of ``llm_css_answers`` and what ChatGPT answered in 2023."""
    import pyarrow.parquet as pq

    from bench.vectors import frozen_vectors

    table = pq.read_table(data_folder() / "llm_css_answers" / f"{name}.parquet")
    texts = table.column("text").to_pylist()
    said = table.column(MODEL).to_pylist()
    return unit(frozen_vectors(f"css-{name}", texts)), np.unique(said, return_inverse=True)[1]


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def tried(
    vectors: NDArray[np.float32], answers: NDArray[np.int64], repeats: int
) -> list[dict[str, Any]]:
    """Certify on a draw, count on the rest; the same draws at each level."""
    size = len(vectors)
    drawn = min(DRAWN, size // 2)
    counts = {level: Counts() for level in LEVELS}
    for repeat in range(repeats):
        order = np.random.default_rng(repeat).permutation(size)
        held, others = order[: drawn // 2], order[drawn // 2 : drawn + JUDGED]
        near = vectors[others] @ vectors[held].T
        right = answers[held[near.argmax(axis=1)]] == answers[others]
        highest = near.max(axis=1)
        cut = drawn - len(held)
        for level, count in counts.items():
            promised = Promised(at_most_wrong=level, confidence=CONFIDENCE)
            found = certificate(highest[:cut], right[:cut], promised)
            if found is not None:
                hit = highest[cut:] >= found.threshold
                count.hits.append(float(hit.mean()))
                count.wrong.append(float((hit & ~right[cut:]).sum() / max(1, hit.sum())))
    return [
        {
            "at_most": level,
            "size": size,
            "drawn": drawn,
            "repeats": repeats,
            "banks": len(count.hits),
            "violated": sum(share > level for share in count.wrong) / repeats,
            "hit_share": float(np.mean(count.hits)) if count.hits else 0.0,
            "wrong_share": float(np.mean(count.wrong)) if count.wrong else 0.0,
        }
        for level, count in counts.items()
    ]


@dataclass
class Counts:
    """Of each bank: share of the rest that it answers, and how much of that wrongly."""

    hits: list[float] = field(default_factory=list)
    wrong: list[float] = field(default_factory=list)
