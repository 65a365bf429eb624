"""A student with an encoder of its own: fewer layers, fewer words, integers; for one task alone."""

import importlib.util
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from milepost.models.folder import EncoderFolder
from milepost.models.graphs import bert
from milepost.models.graphs.calibration import ranges_over
from milepost.predictors.base import Predictor
from milepost.predictors.carried.encoder import OwnEncoder
from milepost.predictors.own_encoder import OwnEncoderPredictor
from milepost.predictors.static import read_tokenizer
from milepost.strategies.distilling.shallow import Example, Imitating, imitate, shallower
from milepost.strategies.distilling.teaching import Lessons, Taught, taught_folds
from milepost.strategies.distilling.vocabulary import pruned
from milepost.strategies.problems import encode, too_few_labels
from milepost.strategies.tuning.foreseen import seconds_of
from milepost.strategies.tuning.records import Tuning
from milepost.strategies.watching import Watch
from milepost.strategy import Contender, DeclinedError, Problem

_NEEDED = ("torch", "transformers", "peft")
_CALIBRATING = 256


@dataclass(frozen=True, slots=True)
class StudentEncoder:
    """A shallower encoder and a head, taught by the best of the others.

    Attributes:
        layers: Layers that it has, ≥ 1.
        common: Tokens kept although no text used them, the most frequent first, ≥ 0.
        epochs: Times that each text is learned from, ≥ 1; more often where there are few.
        rate: Largest step size, > 0.
        likeness: Weight of the distance to the encoder's own vectors, ≥ 0.
        gold: Share of the target that is the label itself, where there is one, 0 to 1.
        unlabeled: Most unlabelled inputs that are learned from, ≥ 0.
        asked: Most of them that a language model is asked about, where it is the best teacher.
        numbers: ``int8`` keeps the weights as integers and multiplies integers; ``fp32`` keeps
            half precision and multiplies in single precision.
    """

    name: ClassVar[str] = "student_encoder"

    layers: int = 3
    common: int = 4000
    epochs: int = 3
    rate: float = 5e-4
    likeness: float = 5.0
    gold: float = 0.5
    unlabeled: int = 5000
    asked: int = 500
    numbers: Literal["int8", "fp32"] = "int8"

    def __post_init__(self) -> None:
        if self.layers < 1 or self.epochs < 1 or self.rate <= 0:
            raise ValueError("layers and epochs must be 1 or more, rate above 0")
        if min(self.common, self.unlabeled, self.asked, self.likeness) < 0:
            raise ValueError("common, unlabeled, asked and likeness must not be negative")
        if not 0 <= self.gold <= 1:
            raise ValueError("gold must be between 0 and 1")

    def supports(self, problem: Problem) -> str | None:
        """It needs torch, an encoder of the BERT form with its weights, and two labels."""
        if any(importlib.util.find_spec(name) is None for name in _NEEDED):
            return "It needs milepost[train]: pip install 'milepost[train]'."
        if problem.weights is None:
            return f"It needs the weights of the encoder {problem.encoder.name}."
        folder = problem.weights()
        if not bert.supports(folder):
            return f"It is made of encoders of type bert alone; this one is {folder.model_type}."
        return too_few_labels(problem)

    def seconds(self, problem: Problem) -> float:
        """See :class:`milepost.strategy.Training`."""
        texts = (*problem.texts, *problem.unlabeled[: self.unlabeled])
        batch = self._how.batch
        steps = max(1, self._how.passes(len(texts)) * len(texts) // batch)
        config = {} if problem.weights is None else problem.weights().config
        tuning = Tuning(layers=self.layers, steps=steps, batch=batch, whole=True)
        return seconds_of(tuning, texts, config)

    def fit(self, problem: Problem) -> Predictor:
        """Not without others.

        Raises:
            DeclinedError: Always; ``combine`` is what makes one.
        """
        del problem
        raise DeclinedError("A student is taught by what other strategies came to.")

    def combine(
        self, problem: Problem, fold_of: NDArray[np.int64], others: Sequence[Contender]
    ) -> tuple[Predictor, NDArray[np.float32]]:
        """See :class:`milepost.strategy.Combining`."""
        lessons = Lessons(gold=self.gold, most=self.unlabeled, asked=self.asked)
        return taught_folds(problem, fold_of, others, lessons, self.learned)

    @property
    def _how(self) -> Imitating:
        return Imitating(
            layers=self.layers, epochs=self.epochs, rate=self.rate, likeness=self.likeness
        )

    def learned(self, problem: Problem, taught: Taught) -> OwnEncoderPredictor:
        """The student of what it is taught, uncalibrated.

        Raises:
            DeclinedError: If it diverges, or the encoder's files cannot be had.
        """
        if problem.weights is None:
            raise DeclinedError(f"It needs the weights of the encoder {problem.encoder.name}.")
        folder = problem.weights()
        whole = (folder.path / "tokenizer.json").read_text(encoding="utf-8")
        found = read_tokenizer(whole).encode_batch_fast(list(taught.texts))
        tokenizer, rows = pruned(whole, sorted({i for e in found for i in e.ids}), self.common)
        vectors = encode(problem.encoder, taught.texts)
        with tempfile.TemporaryDirectory() as directory:
            small = shallower(folder, self.layers, tokenizer, rows, Path(directory))
            learned = imitate(
                small,
                Example(taught.texts, taught.targets, vectors),
                self._how,
                seed=problem.seed,
                watch=Watch.of(problem),
            )
            stored = "int8" if self.numbers == "int8" else "fp16"
            encoder = OwnEncoder.of_folder(
                small, learned.tensors, stored=stored, tokenizer=tokenizer
            )
            if self.numbers == "int8":
                encoder = _in_integers(encoder, small, taught.texts)
        return OwnEncoderPredictor(
            labels=problem.labels, encoder=encoder, weights=learned.weights, bias=learned.bias
        )


def _in_integers(encoder: OwnEncoder, folder: EncoderFolder, texts: Sequence[str]) -> OwnEncoder:
    """The encoder with the ranges that its layers' inputs have on some of the texts."""
    model = bert.build(folder, bert.Plan(watched=True), encoder.floats())
    some = texts[:: max(1, len(texts) // _CALIBRATING)][:_CALIBRATING]
    tokens = sorted(encoder.tokens(some), key=len)
    return replace(encoder, ranges=ranges_over(model, tokens))
