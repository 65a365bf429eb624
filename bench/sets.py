"""The data sets of the quality benchmark and what is asked of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One training file with its test file.

    Attributes:
        name: As results call it.
        folder: Folder in the benchmark data.
        train: Stem of the training file.
        skip_label: Label that is left out of the test file, or ``None``.
        per_label: Training examples drawn per label, or ``None`` for the whole file.
        seeds: How many draws, each of which is a task of its own.
        floor: Accuracy that the chosen candidate has to reach, or ``None``.
        most_ece: Largest allowed expected calibration error, or ``None``.
        slices: SQL predicates by name, for the task file.
        own_test: Add the test file to the task with ``--as test``, so that leaks are looked for.
    """

    name: str
    folder: str
    train: str = "train"
    skip_label: str | None = None
    per_label: int | None = None
    seeds: int = 1
    floor: float | None = None
    most_ece: float | None = None
    slices: Mapping[str, str] = field(default_factory=dict)
    own_test: bool = False

    def train_file(self, data: Path) -> Path:
        return data / self.folder / f"{self.train}.parquet"

    def test_file(self, data: Path) -> Path:
        return data / self.folder / "test.parquet"


def _intents(folder: str, floors: tuple[float, float], skip: str | None = None) -> list[Split]:
    return [
        Split(
            name=f"{folder}-{shots}",
            folder=folder,
            train=f"official_train_{shots}",
            skip_label=skip,
            floor=floor,
            most_ece=0.03,
        )
        for shots, floor in zip((5, 10), floors, strict=True)
    ]


SPLITS = (
    *_intents("banking77", (0.815, 0.86)),
    *_intents("clinc150", (0.88, 0.903), skip="oos"),
    *_intents("hwu64", (0.785, 0.835)),
    Split(name="sst2-8", folder="sst2", per_label=8, seeds=10),
    Split(name="cr-8", folder="cr", per_label=8, seeds=10),
    Split(name="sms_spam", folder="sms_spam"),
    Split(name="trec", folder="trec"),
    Split(name="tweeteval_hate", folder="tweeteval_hate", own_test=True),
    Split(name="tweeteval_irony", folder="tweeteval_irony"),
    Split(name="subj", folder="subj"),
    Split(name="snips", folder="snips"),
    Split(name="emotion", folder="emotion"),
    Split(
        name="amazon_counterfactual",
        folder="amazon_counterfactual",
        slices={lang: f"lang = '{lang}'" for lang in ("en", "de", "ja")},
    ),
)
