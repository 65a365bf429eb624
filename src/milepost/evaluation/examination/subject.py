"""What an examination may know of a candidate: its answers, its examples, and how to ask more."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from milepost.entities.example import Examples
from milepost.entities.scorecard import Regime
from milepost.entities.task import Task
from milepost.metrics.inference.intervals import Sampling
from milepost.metrics.scoring.deciding import decided, is_right
from milepost.predictors.scoped import ScopedPredictor

Answering = Callable[[Sequence[str]], NDArray[np.float32]]
"""Calibrated probabilities ``(m, k) float32`` of texts."""

Encoding = Callable[[Sequence[str]], NDArray[np.float32]]
"""Vectors ``(m, d) float32`` of texts; those of the task's examples are held already."""

Refitting = Callable[[NDArray[np.int64]], Answering]
"""Fits the candidate's strategy on some rows of the training examples, and gives what answers."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Subject:
    """A candidate under examination. Sections read it and nothing else, whatever the strategy.

    Attributes:
        task: The task.
        labels: The ``k`` label names, in the order of the columns.
        regime: How ``probabilities`` came about.
        examples: The ``n`` judged examples, metadata and groups included.
        y: ``(n,) int64`` in ``[-1, k)``; -1 for a label that the task does not know.
        probabilities: ``(n, k) float32``; from a predictor that saw nothing of the row's group.
        predict: Asks the released predictor. When cross-fitted it has seen the judged examples, so
            that what it answers to their like is at best as honest as that. Raises
            ``UpstreamError`` where it asks a language model for more than there is to pay it with.
        encode: Asks the encoder.
        train: The ``m`` training examples.
        train_y: ``(m,) int64`` in ``[0, k)``.
        out_of_fold: ``(m, k) float32`` calibrated out-of-fold probabilities of the candidate.
        refit: Fits the same strategy on other rows; may take as long as the fit did. ``None`` where
            it asks language models, or is made of other candidates.
        detector: What tells inputs out of scope; ``None`` where the task has no scope.
        cases: Examples of a file that the task names, such as those of a declared minimum, by
            its name; with the labels as in the file.
        chars: Characters of text that ``predict`` may be asked about in all, about.
        sampling: Confidence, resamples and seed.
    """

    task: Task
    labels: tuple[str, ...]
    regime: Regime
    examples: Examples
    y: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    predict: Answering
    encode: Encoding
    train: Examples
    train_y: NDArray[np.int64]
    out_of_fold: NDArray[np.float32]
    refit: Refitting | None
    detector: ScopedPredictor | None = None
    cases: Mapping[str, Examples] = field(default_factory=dict[str, Examples])
    chars: int = 20_000
    sampling: Sampling = field(default_factory=Sampling)

    @property
    def answers(self) -> NDArray[np.int64]:
        """Most probable label of each judged row, ``(n,) int64``; -1 where nothing is decided."""
        return decided(self.probabilities)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each judged row was answered right, ``(n,)``."""
        return is_right(self.answers, self.y)
