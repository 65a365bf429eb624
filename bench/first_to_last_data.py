"""Recorded answers of language models with their tasks, and what was paid for such answers.

Prices are assumptions with a date and a source, in USD per million tokens; the recordings hold
neither tokens nor prices. Tokens are characters divided by four, and three for the answer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.common import data_folder

Answers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Priced:
    """USD per million tokens read and written, and where that stands."""

    read: float
    written: float
    source: str


DAVINCI = Priced(20.0, 20.0, "OpenAI's price list from 2022-09-01: $0.02 per 1,000 tokens")
TURBO = Priced(2.0, 2.0, "OpenAI, gpt-3.5-turbo at its release on 2023-03-01: $0.002 per 1,000")
PRICES: Mapping[str, Priced] = {
    "chatgpt": TURBO,
    "text-davinci-003": DAVINCI,
    "text-davinci-002": DAVINCI,
    "text-davinci-001": DAVINCI,
}
"""Models that were sold; the others of the recordings ran on the authors' own machines."""

CANNOT: Mapping[str, str] = {
    "conv_go_awry": (
        "Whether a conversation will derail cannot be seen in it: the best of 13 recorded models "
        "is right in 57 % of two balanced labels."
    ),
    "persuasion": (
        "Whether a long argument changed a reader's mind: 57 % for the best of 13 recorded models."
    ),
}
"""Why a specialist cannot win, where it does not: said beforehand by looking at the task alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """A task whose rows were answered by language models.

    Attributes:
        name: Of the task.
        labels: Label names; the prompt's options.
        texts: ``n`` inputs.
        y: ``(n,) int64`` truth.
        answers: ``(n,) int64`` of each model, -1 where nothing could be read.
        prompt_chars: Characters of the prompt around the text.
        train: Further labelled examples of the same task that no row is among; empty for none.
    """

    name: str
    labels: tuple[str, ...]
    texts: tuple[str, ...]
    y: Answers
    answers: Mapping[str, Answers]
    prompt_chars: int
    train: tuple[tuple[str, int], ...] = field(default=())

    def right(self, model: str) -> NDArray[np.bool_]:
        """Where a model is right, ``(n,)``."""
        return self.answers[model] == self.y

    def cost_per_1k(self, model: str) -> float:
        """USD of a thousand answers at about, as ``PRICES`` has it."""
        price = PRICES[model]
        read = np.mean([len(text) + self.prompt_chars for text in self.texts]) / 4.0
        return float(1000 * (read * price.read + 3 * price.written) / 1e6)


def recorded(name: str) -> Recorded:
    """A task of ``llm_css_answers``."""
    import pandas as pd

    folder = data_folder() / "llm_css_answers"
    frame = pd.read_parquet(folder / f"{name}.parquet")
    frame = frame[frame["text"].str.strip() != ""].drop_duplicates("text")
    labels = tuple(sorted(frame["label"].unique()))
    place = {label: i for i, label in enumerate(labels)}
    models = [c.removeprefix("pred_") for c in frame.columns if c.startswith("pred_")]
    prompt = json.loads((folder / "prompts.json").read_text()).get(name) or ""
    texts = tuple(frame["text"].str.strip())
    return Recorded(
        name=name,
        labels=labels,
        texts=texts,
        y=np.array([place[label] for label in frame["label"]], np.int64),
        answers={
            m: np.array([place.get(a, -1) for a in frame[f"pred_{m}"]], np.int64) for m in models
        },
        prompt_chars=len(prompt),
        train=_further(name, labels, texts),
    )


def names() -> tuple[str, ...]:
    """All tasks of ``llm_css_answers``."""
    return tuple(sorted(p.stem for p in (data_folder() / "llm_css_answers").glob("*.parquet")))


FURTHER = {"emotion": ("emotion", ("train", "valid", "test"))}
"""Where the same task has public training examples beyond the rows that were answered."""


def _further(
    name: str, labels: tuple[str, ...], texts: tuple[str, ...]
) -> tuple[tuple[str, int], ...]:
    """Examples of the same public set that are not among the rows, nor near-duplicates of them."""
    if name not in FURTHER:
        return ()
    import pandas as pd

    from milepost.data.duplicates import text_keys

    folder, stems = FURTHER[name]
    place = {label.casefold(): i for i, label in enumerate(labels)}
    frames = [pd.read_parquet(data_folder() / folder / f"{stem}.parquet") for stem in stems]
    frame = pd.concat(frames)
    seen = set(text_keys(texts))
    found: dict[str, tuple[str, int]] = {}
    pairs = zip(frame["text"], frame["label"], strict=True)
    for (text, label), key in zip(pairs, text_keys(list(frame["text"])), strict=True):
        if key not in seen and str(label).casefold() in place:
            found.setdefault(key, (text, place[str(label).casefold()]))
    pairs_kept = list(found.values())
    order = np.random.default_rng(0).permutation(len(found))[:MOST_TRAIN]
    return tuple(pairs_kept[i] for i in order)


MOST_TRAIN = 6_000


def headlines(folder: Path) -> tuple[list[str], list[str], list[str], list[str]]:
    """Texts and labels of training and test part of ``frugalgpt_headlines``."""
    import pandas as pd

    train, test = (pd.read_parquet(folder / f"{stem}.parquet") for stem in ("train", "test"))
    return list(train["text"]), list(train["label"]), list(test["text"]), list(test["label"])
