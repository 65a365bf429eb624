"""The loop: draws examples, takes steps, keeps adapters. One training at a time in a process."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from milepost.models.folder import EncoderFolder
from milepost.strategies.tuning.losses import (
    anchored,
    anchored_sets,
    contrastive,
    contrastive_sets,
    first_biases,
)
from milepost.strategies.tuning.records import Corpus, Drawn, State, Tuned, Tuning
from milepost.strategies.tuning.threads import training_threads
from milepost.strategies.tuning.trunk import TorchTrunk
from milepost.strategies.watching import Watch
from milepost.strategy import DeclinedError

_LOCK = threading.Lock()
_WARM = 0.1
_FEWEST = 4
_QUICK = 20.0
"""Step size of the biases of labels, as a multiple of that of what is tuned."""


class Mixing(Protocol):
    """Decides what a step is made of and how the losses of several corpora become one step."""

    def draw(self, step: int, batch: int, rng: np.random.Generator) -> Sequence[Drawn]:
        """The rows of a step, about ``batch`` in all; each corpus at most once."""
        ...

    def backward(
        self, drawn: Sequence[Drawn], losses: Sequence[Any], parameters: Sequence[Any]
    ) -> None:
        """Leave in ``parameters``' ``grad`` what the step shall follow.

        Args:
            drawn: What ``draw`` gave.
            losses: A scalar tensor for each.
            parameters: Of the shared trunk; the anchors of the corpora are not among them.
        """
        ...


class Proportional:
    """One corpus a step, drawn by weight; its own loss is the step's.

    Args:
        corpora: What is tuned on.
    """

    def __init__(self, corpora: Sequence[Corpus]) -> None:
        weights = np.array([each.weight for each in corpora])
        self._shares = weights / weights.sum()
        self._rows = [Rows(each.with_labels()[1]) for each in corpora]

    def draw(self, step: int, batch: int, rng: np.random.Generator) -> Sequence[Drawn]:
        """See ``Mixing``."""
        del step
        corpus = int(rng.choice(len(self._shares), p=self._shares))
        return [Drawn(corpus, self._rows[corpus].draw(batch, rng))]

    def backward(
        self, drawn: Sequence[Drawn], losses: Sequence[Any], parameters: Sequence[Any]
    ) -> None:
        """See ``Mixing``."""
        import torch

        del drawn, parameters
        torch.stack(list(losses)).sum().backward()


class Rows:
    """Draws the rows of one corpus: every row in turn, each with another of its label.

    Args:
        y: Label of each row.
    """

    def __init__(self, y: Any) -> None:
        self._y = np.asarray(y)
        self._of = {int(label): np.flatnonzero(self._y == label) for label in np.unique(self._y)}
        self._turn = np.zeros(0, np.int64)

    def draw(self, count: int, rng: np.random.Generator) -> Any:
        """``(≤ count,) int64`` distinct rows."""
        wanted = min(len(self._y), max(1, count // 2))
        while len(self._turn) < wanted:
            self._turn = np.concatenate([self._turn, rng.permutation(len(self._y))])
        first, self._turn = self._turn[:wanted], self._turn[wanted:]
        partners = [rng.choice(self._of[int(label)]) for label in self._y[first]]
        return np.unique(np.concatenate([first, partners]))


def tune(
    folder: EncoderFolder,
    corpora: Sequence[Corpus],
    tuning: Tuning,
    *,
    seed: int,
    watch: Watch | None = None,
    mixing: Mixing | None = None,
) -> Tuned:
    """Tune an encoder on one corpus or several.

    Args:
        folder: The encoder's own weights, of the BERT form.
        corpora: At least one, each with two labels or more.
        tuning: How.
        seed: The same seed gives the same adapter on the same machine.
        watch: Deadline, progress and notes.
        mixing: What makes a step; ``None`` for ``Proportional``.

    Raises:
        DeclinedError: If the loss is not finite, or not even four steps fit into the time.
    """
    import torch

    watch = watch or Watch()
    with _LOCK, torch.random.fork_rng(devices=[]), training_threads():
        torch.manual_seed(seed)
        run = _Run(folder, corpora, tuning, seed)
        return run.through(watch, mixing or Proportional(corpora))


class _Run:
    def __init__(
        self, folder: EncoderFolder, corpora: Sequence[Corpus], tuning: Tuning, seed: int
    ) -> None:
        import torch

        self._tuning = tuning
        self._rng = np.random.default_rng(seed)
        self._trunk = TorchTrunk(folder, tuning, seed)
        told = [each.with_labels() for each in corpora]
        self._begins = np.cumsum([0, *(len(texts) for texts, _ in told)])
        self._y = [torch.from_numpy(y) for _, y in told]
        self._trunk.read([text for texts, _ in told for text in texts])
        sets = [each.targets() for each in corpora]
        self._sets = [None if each is None else torch.from_numpy(each) for each in sets]
        first = [self._first(at, len(each.labels)) for at, each in enumerate(corpora)]
        self._anchors = [anchors for anchors, _ in first]
        self._biases = [biases for _, biases in first]
        self._batch = tuning.batch

    def through(self, watch: Watch, mixing: Mixing) -> Tuned:
        import torch

        tuning = self._tuning
        groups: list[dict[str, Any]] = [
            {"params": [*self._trunk.parameters, *self._anchors], "pace": 1.0}
        ]
        biases = [each for each in self._biases if each is not None]
        if biases:
            groups.append({"params": biases, "pace": _QUICK, "weight_decay": 0.0})
        optimiser = torch.optim.AdamW(groups, lr=tuning.rate, weight_decay=tuning.decay)
        keep = {max(1, round(share * tuning.steps)) for share in tuning.keep}
        kept: list[State] = []
        losses: list[float] = []
        for step in range(tuning.steps):
            if watch.deadline.passed:
                break
            for group in optimiser.param_groups:
                group["lr"] = tuning.rate * group["pace"] * _pace(step, tuning.steps)
            loss = self._step(step, optimiser, mixing, watch)
            if not np.isfinite(loss):
                raise self._diverged("Its loss was", step)
            losses.append(loss)
            if step + 1 in keep:
                kept.append(self._state(step))
            watch.progress((step + 1) / tuning.steps)
        if len(losses) < min(_FEWEST, tuning.steps):
            raise DeclinedError("The time was up before it had taken four steps.")
        if len(losses) < tuning.steps:
            watch.late(len(losses), tuning.steps)
        return Tuned(
            state=self._state(len(losses) - 1),
            kept=kept,
            losses=losses,
            steps=len(losses),
        )

    def _state(self, step: int) -> State:
        """What was tuned so far; the loss of a step says nothing yet of what the step led to."""
        import torch

        if not all(bool(torch.isfinite(each).all()) for each in self._trunk.parameters):
            raise self._diverged("What it tuned was", step)
        return self._trunk.state()

    def _diverged(self, what: str, step: int) -> DeclinedError:
        return DeclinedError(
            f"{what} not finite at step {step + 1} of {self._tuning.steps}; a smaller `rate` than "
            f"{self._tuning.rate:g} may help."
        )

    def _step(self, step: int, optimiser: Any, mixing: Mixing, watch: Watch) -> float:
        while True:
            drawn = mixing.draw(step, self._batch, self._rng)
            optimiser.zero_grad()
            try:
                losses = [self._loss(each) for each in drawn]
                mixing.backward(drawn, losses, self._trunk.parameters)
            except RuntimeError as error:
                if self._batch < 4 or not _out_of_memory(error):
                    raise
                self._batch //= 2
                watch.note(f"Memory ran out: steps of {self._batch} examples instead.")
                continue
            optimiser.step()
            return sum(each.item() for each in losses) / len(losses)

    def _loss(self, drawn: Drawn) -> Any:
        tuning = self._tuning
        vectors = self._trunk.vectors(drawn.rows + self._begins[drawn.corpus])
        pulled, drawn_together = self._losses(drawn.corpus, drawn.rows, vectors)
        if tuning.contrast == 0:
            return pulled
        return tuning.contrast * drawn_together() + (1 - tuning.contrast) * pulled

    def _losses(self, at: int, rows: Any, vectors: Any) -> tuple[Any, Callable[[], Any]]:
        """The log loss of a corpus's rows, and how to get that of contrast."""
        temperature, anchors, sets = self._tuning.temperature, self._anchors[at], self._sets[at]
        if sets is None:
            y = self._y[at][rows]
            return (
                anchored(vectors, y, anchors, temperature),
                lambda: contrastive(vectors, y, temperature),
            )
        own = sets[rows]
        return (
            anchored_sets(vectors, own, anchors, self._biases[at], temperature),
            lambda: contrastive_sets(vectors, own, temperature),
        )

    def _first(self, at: int, labels: int) -> tuple[Any, Any]:
        """The mean direction of each label's rows before any step.

        Beside it, where any number of labels may hold, what makes each as frequent as it is.
        """
        import torch

        y, begin, sets = self._y[at], int(self._begins[at]), self._sets[at]
        with torch.no_grad():
            parts = [
                self._trunk.vectors(np.arange(start, min(start + 64, len(y))) + begin)
                for start in range(0, len(y), 64)
            ]
            vectors = torch.cat(parts)
            held = torch.nn.functional.one_hot(y, labels).float() if sets is None else sets
            anchors = torch.nn.functional.normalize(held.T @ vectors, dim=1)
            if sets is None:
                return anchors.requires_grad_(), None
            logits = vectors @ anchors.T / self._tuning.temperature
            biases = first_biases(logits, sets.mean(dim=0).clamp(1e-3, 1 - 1e-3))
        return anchors.requires_grad_(), biases.requires_grad_()


def _pace(step: int, steps: int) -> float:
    """Share of the largest rate: rises linearly over the first tenth, then falls linearly to 0."""
    warm = max(1.0, _WARM * steps)
    return min((step + 1) / warm, (steps - step) / max(1.0, steps - warm), 1.0)


def _out_of_memory(error: RuntimeError) -> bool:
    text = str(error).lower()
    return "alloc" in text or "out of memory" in text
