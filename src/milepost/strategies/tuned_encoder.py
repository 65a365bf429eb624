"""The encoder tuned on the task's own examples by contrast, and a head on what it gives then."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from milepost.entities.kinds import Kind, strata
from milepost.entities.prediction import linked
from milepost.metrics.scoring.links import fit_scale, loss_rows
from milepost.models.adapters import Adapter
from milepost.models.encoder import Adaptable
from milepost.models.folder import EncoderFolder
from milepost.models.graphs import bert
from milepost.models.pairs import PairEncoder
from milepost.predictors.base import Predictor
from milepost.strategies.problems import too_little
from milepost.strategies.tempered import tempered_log_loss
from milepost.strategies.tuning.examples import corpus_of
from milepost.strategies.tuning.foreseen import seconds_of, steps_for
from milepost.strategies.tuning.heads import Head, Space, space_of
from milepost.strategies.tuning.pseudo import Told, told_by_itself
from milepost.strategies.tuning.recent import RECENT
from milepost.strategies.tuning.records import State, Tuned, Tuning
from milepost.strategies.tuning.splitting import held_out
from milepost.strategies.watching import Watch
from milepost.strategy import DeclinedError, Problem

_NEEDED = ("torch", "transformers", "peft")
_TUNED = 0.85
"""Share of a fit's time that goes into tuning; what is left encodes and fits the head."""
LABEL_WEIGHTS = (0.5, 1.0, 2.0, 4.0, 16.0)
"""What a label's name and description may be worth, in examples."""
FEWEST = 8
"""Examples without which tuning is not begun."""
_STRENGTH = 0.75
"""Share of the change that is used where nothing is held out, unless it is set."""
KEPT = (1 / 3, 2 / 3)
"""Shares of the steps after which tuning may have been long enough."""


@dataclass(frozen=True, slots=True)
class TunedEncoder:
    """Contrastive few-shot tuning with label names and descriptions as examples.

    The upper layers of the encoder get a low-rank adapter (Hu et al. 2022) of some 150 kB, so
    that tasks go on sharing the encoder itself. It is tuned by a supervised contrastive loss
    (Khosla et al. 2020) beside the log loss of one anchor per label. With enough examples a part
    is held out, and the adapter is kept from where its log loss was lowest; where no adapter beats
    none, there is none, and this is the head alone. Where any number of labels may hold, partners
    count by the share of their labels that they have in common, and each label has a loss of its
    own. Scores are drawn together by the tenth in which they lie, and the head is ``head_ridge``.

    Attributes:
        layers: How many upper layers are tuned, ≥ 1.
        rank: Width of the adapter, ≥ 1.
        rate: Largest step size, > 0.
        temperature: Of similarities in the loss, > 0.
        contrast: Share of the contrastive loss in [0, 1].
        steps: Steps of tuning, ≥ 1; ``None`` takes them from the number of examples.
        batch: Examples in a step, ≥ 2.
        held: Share of the examples held out to stop early, in [0, 0.5]; the head learns from all.
        fewest: They are held out where that gives so many of them, and two of each label on
            average; ≥ 1. Fewer cannot tell when to stop.
        unlabeled: Most unlabeled inputs that are looked at, ≥ 0. The encoder is tuned without them
            first, its head gives them labels, and it is tuned anew with those that this is surest
            of; not where held-out folds say that nothing was learned yet.
        believed: Share of these that is believed, in [0, 1].
        c: Inverse strength of the head's L2 penalty, > 0.
        label_weight: How many examples a label's name and description count for together, ≥ 0;
            ``None`` chooses it by held-out folds where examples are few.
        whole: Whether all weights of these layers are tuned instead of an adapter. The predictor
            then carries an encoder of its own: some 45 MB, and a pass that it shares with no task.
        cutoff: Share of the tokens of each text that a step leaves out, in [0, 1).
        strength: Share of the change that is used, in (0, 1]: a point between the encoder's own
            weights and the tuned ones answers new texts better where examples are few (Wortsman et
            al. 2022, on weights of full models). ``None`` takes all of it where examples are held
            out, and three quarters else.
    """

    name: ClassVar[str] = "tuned_encoder"
    kinds: ClassVar[tuple[Kind, ...]] = ("classify", "multilabel", "score")

    layers: int = 3
    rank: int = 8
    rate: float = 3e-3
    temperature: float = 0.05
    contrast: float = 0.5
    steps: int | None = None
    batch: int = 64
    held: float = 0.1
    fewest: int = 100
    unlabeled: int = 2000
    believed: float = 0.5
    c: float = 10.0
    label_weight: float | None = None
    whole: bool = False
    cutoff: float = 0.2
    strength: float | None = None

    def __post_init__(self) -> None:
        self.tuning(2)  # checks what it takes over
        if not 0 <= self.held <= 0.5 or not 0 <= self.believed <= 1:
            raise ValueError("held must lie in [0, 0.5], believed in [0, 1]")
        if min(self.fewest, self.c) <= 0 or min(self.unlabeled, self.label_weight or 0) < 0:
            raise ValueError("fewest and c must be above 0, unlabeled and label_weight at least 0")

    def tuning(self, rows: int) -> Tuning:
        """How the encoder is tuned on so many examples, label names included."""
        return Tuning(
            layers=self.layers,
            rank=self.rank,
            rate=self.rate,
            temperature=self.temperature,
            contrast=self.contrast,
            steps=steps_for(rows, self.batch) if self.steps is None else self.steps,
            batch=self.batch,
            whole=self.whole,
            cutoff=self.cutoff,
            strength=_STRENGTH if self.strength is None else self.strength,
        )

    def supports(self, problem: Problem) -> str | None:
        """It needs torch, an encoder of the BERT form with its weights, and two labels."""
        if any(importlib.util.find_spec(name) is None for name in _NEEDED):
            return "It needs milepost[train]: pip install 'milepost[train]'."
        if problem.weights is None:
            return f"It needs the weights of the encoder {problem.encoder.name}."
        folder = problem.weights()
        if not bert.supports(folder):
            return f"It tunes encoders of type bert alone; this one is {folder.model_type or '?'}."
        if isinstance(problem.encoder, PairEncoder):
            return "It reads one text, and these are pairs."
        if not self.whole and not isinstance(problem.encoder, Adaptable):
            return f"The encoder {problem.encoder.name} runs without adapters."
        if len(problem.texts) < FEWEST:
            return f"It needs {FEWEST} examples to tune on, and has {len(problem.texts)}."
        return too_little(problem)

    def seconds(self, problem: Problem) -> float:
        """From the work of the steps and what this machine does in a moment now."""
        rows = len(problem.texts) + len(problem.labels)
        config = {} if problem.weights is None else problem.weights().config
        found = seconds_of(self.tuning(rows), problem.texts, config)
        looked_at = min(len(problem.unlabeled), self.unlabeled)
        if looked_at and self.believed:
            more = rows + round(self.believed * looked_at)
            found += seconds_of(self.tuning(more), problem.texts, config)
        return found

    def fit(self, problem: Problem) -> Predictor:
        """Tune, choose where to stop, and fit the head.

        Raises:
            DeclinedError: If the loss is not finite, or there is no time for a few steps.
        """
        if problem.weights is None:
            raise DeclinedError("There are no weights to tune.")
        folder = problem.weights()
        given = self.label_weight
        tried = Head(problem, self.c, 0.0).tried(LABEL_WEIGHTS if given is None else (given,))
        head = Head(problem, self.c, tried.label_weight)
        inside, outside = self._sides(problem)
        told, tuned = Told(), self._tuned(problem, folder, inside, Told())
        if tried.learns and self.unlabeled and self.believed and problem.unlabeled:
            space = space_of(problem.encoder, folder, tuned.state)
            told = told_by_itself(head, space, self.unlabeled, self.believed)
            if told.texts:
                tuned = self._tuned(problem, folder, inside, told)
        states: Sequence[State | None] = [tuned.state]
        if len(outside):
            states = [None, *tuned.kept, tuned.state]
        spaces = [space_of(problem.encoder, folder, state) for state in states]
        chosen = spaces[-1]
        if len(outside):
            losses = [_loss(problem, head, space, inside, outside) for space in spaces]
            chosen = spaces[int(np.argmin(losses))]
        problem.progress(_TUNED + 0.5 * (1 - _TUNED))
        rows = np.arange(len(problem.texts))
        predictor = head.predictor(chosen, rows, told.texts, told.y)
        problem.progress(1.0)
        return predictor

    def adapter(self, problem: Problem) -> Adapter:
        """What all examples make of the encoder, nothing held out and nothing unlabeled read.

        Raises:
            DeclinedError: As ``fit``; and where all weights are tuned, which are no adapter.
        """
        if problem.weights is None:
            raise DeclinedError("There are no weights to tune.")
        every = np.arange(len(problem.texts))
        state = self._tuned(problem, problem.weights(), every, Told()).state
        if not isinstance(state, Adapter):
            raise DeclinedError("All weights were tuned, which are no adapter.")
        return state

    def _sides(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        """Rows to tune on, and rows to stop early on; none where labels are few."""
        y = strata(problem.kind, problem.y)
        if self.held * len(y) < max(self.fewest, 2 * len(np.unique(y))):
            return np.arange(len(y)), np.zeros(0, np.int64)
        return held_out(problem.texts, y, self.held, problem.seed)

    def _tuned(
        self, problem: Problem, folder: EncoderFolder, inside: np.ndarray, told: Told
    ) -> Tuned:
        held = len(inside) < len(problem.y)
        # Examples are drawn at least an eighth as often as what was only believed.
        inside = np.tile(inside, max(1, len(told.y) // (8 * len(inside))))
        corpus = corpus_of(problem, inside, told)
        tuning = self.tuning(len(corpus.texts) + len(problem.labels))
        if held:
            tuning = replace(tuning, keep=KEPT, strength=self.strength or 1.0)
        watch = Watch.of(problem, _TUNED)
        return RECENT.tuned(folder, corpus, tuning, seed=problem.seed, watch=watch)


def _loss(
    problem: Problem, head: Head, space: Space, inside: np.ndarray, outside: np.ndarray
) -> float:
    """What the rows outside lose by the head fitted on those inside.

    Log loss at its best temperature; of scores the squared error.
    """
    weights, bias = head.fit(space, inside)
    vectors = space.vectors([problem.texts[row] for row in outside.tolist()])
    logits, y = vectors @ weights.T + bias, problem.y[outside]
    if problem.link == "softmax":
        return tempered_log_loss(logits, y)[0]
    scaled = logits.astype(np.float64) / fit_scale(problem.link, logits.astype(np.float64), y)
    return float(loss_rows(problem.link, y, linked(problem.link, scaled)).mean())
