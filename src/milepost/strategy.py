"""The extension point: a strategy fits a predictor to a problem.

A plug-in needs this module and ``milepost.predictors`` and nothing above them. A strategy is a
frozen dataclass of parameters; what it learns is in the predictor that it returns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from milepost._base.clock import Deadline
from milepost.entities.prompts import CascadeRule, PromptTemplate
from milepost.models.encoder import Encoder
from milepost.models.language.asking import Speaker
from milepost.predictors.base import Predictor


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """All that a strategy may know.

    Attributes:
        labels: The ``k`` label names, in the order that the predictor's columns must have.
        descriptions: A description per label, possibly empty, in the same order.
        instruction: The task's question in words; may be empty.
        texts: The ``n`` training inputs.
        y: ``(n,) int64``, index into ``labels``. A label may have no example at all.
        encoder: Turns text into vectors; vectors of texts seen before come from a cache.
        seed: Makes the fit deterministic.
        deadline: When to stop; a strategy that cannot stop early may ignore it.
        progress: Called with a share in [0, 1] from time to time.
        language: Language models that may be asked, by the names of their upstreams; those that
            the task prefers first. Empty where there are none, or no money for any.
        prompt: The task's own prompt to start from; ``None`` for the built-in one.
        input_name: What the task calls its input; a prompt's variable.
        cascade: What a cascade must promise.
        costs: ``(k, k)`` what each answered label (column) costs for each actual one (row);
            ``None`` where the task names no costs.
        evidence: Rows that count as evidence, ascending: one per message, of a group's one;
            ``None`` for all of them.
    """

    labels: tuple[str, ...]
    descriptions: tuple[str, ...]
    instruction: str
    texts: tuple[str, ...]
    y: NDArray[np.int64]
    encoder: Encoder
    seed: int = 0
    deadline: Deadline = field(default_factory=Deadline)
    progress: Callable[[float], None] = field(default=lambda share: None)
    language: Mapping[str, Speaker] = field(default_factory=dict[str, Speaker])
    prompt: PromptTemplate | None = None
    input_name: str = "text"
    cascade: CascadeRule = field(default_factory=CascadeRule)
    costs: NDArray[np.float64] | None = None
    evidence: NDArray[np.int64] | None = None

    def take(self, rows: NDArray[np.int64]) -> "Problem":
        """The same problem with only the examples at ``rows``."""
        return replace(self, texts=tuple(self.texts[i] for i in rows), y=self.y[rows])


@runtime_checkable
class Strategy(Protocol):
    """A way to solve a task. Implementations are frozen dataclasses of parameters."""

    name: ClassVar[str]

    def supports(self, problem: Problem) -> str | None:
        """Why it cannot solve this problem, as a sentence, or ``None`` when it can."""
        ...

    def fit(self, problem: Problem) -> Predictor:
        """A predictor whose ``labels`` are ``problem.labels``; never changes the problem."""
        ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Contender:
    """What another strategy came to in the same contest, for one that is made of others.

    Attributes:
        strategy: Its name.
        predictor: Fitted on all training examples and calibrated.
        out_of_fold: ``(n, k) float32`` calibrated probabilities of the training examples, each row
            from a predictor that saw nothing of the row's near-duplicate group.
        micro_usd_per_1k: What a thousand of its answers cost, in micro-USD: CPU and upstreams.
        p50_ms: Median wall time of one answer, in ms.
        refit: Fits the same on some rows of the problem alone; ``None`` for what asks language
            models, which are not paid twice.
    """

    strategy: str
    predictor: Predictor
    out_of_fold: NDArray[np.float32]
    micro_usd_per_1k: float
    p50_ms: float
    refit: Callable[[NDArray[np.int64]], Predictor] | None = None


class DeclinedError(Exception):
    """A strategy that found out while fitting that it has nothing to offer; says why."""


@runtime_checkable
class Combining(Protocol):
    """Offered by strategies that are made of what others came to; they run last."""

    name: ClassVar[str]

    def combine(
        self, problem: Problem, fold_of: NDArray[np.int64], others: Sequence[Contender]
    ) -> tuple[Predictor, NDArray[np.float32]]:
        """A predictor, and its calibrated out-of-fold probabilities ``(n, k) float32``.

        Args:
            problem: All training examples.
            fold_of: ``(n,) int64`` in which fold each row lies.
            others: Those that were fitted, the floor included.

        Raises:
            DeclinedError: If nothing can be made of them; a row in the table says why.
        """
        ...
