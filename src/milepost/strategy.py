"""The extension point: a strategy fits a predictor to a problem.

A plug-in needs this module and ``milepost.predictors`` and nothing above them. A strategy is a
frozen dataclass of parameters; what it learns is in the predictor that it returns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from milepost._base.clock import Deadline
from milepost.entities.kinds import KINDS, Kind, Link
from milepost.entities.prompts import CascadeRule, PromptTemplate
from milepost.models.adapters import Adapter
from milepost.models.encoder import Encoder
from milepost.models.folder import EncoderFolder
from milepost.models.language.asking import Speaker
from milepost.predictors.base import Predictor


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """Adapters that were tuned over many tasks at once, one for each fold and one for all.

    Attributes:
        tasks: Names of the tasks that they were tuned over.
        fold_of: Fold of each of this task's training inputs, by its text; the folds are drawn over
            all tasks together.
        adapters: Per fold the adapter that saw no row of it, of any task, nor a near-duplicate.
        whole: The adapter that saw every training row.
    """

    tasks: tuple[str, ...]
    fold_of: Mapping[str, int]
    adapters: tuple[Adapter, ...]
    whole: Adapter

    def adapter_for(self, texts: Sequence[str]) -> Adapter | None:
        """The adapter that saw none of this task's rows but these; ``None`` where none is so."""
        given = set(texts)
        missing = {fold for text, fold in self.fold_of.items() if text not in given}
        if not missing:
            return self.whole
        # What an adapter did not see is its own fold: nothing else may be missing.
        return self.adapters[missing.pop()] if len(missing) == 1 else None


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """All that a strategy may know.

    Attributes:
        labels: The ``k`` label names, in the order that the predictor's columns must have.
        descriptions: A description per label, possibly empty, in the same order.
        instruction: The task's question in words; may be empty.
        texts: The ``n`` training inputs.
        y: ``(n,) int64``, index into ``labels``; of other kinds the truths as
            ``milepost.entities.kinds.truths`` gives them. A label may have no example at all.
        encoder: Turns text into vectors; vectors of texts seen before come from a cache.
        seed: Makes the fit deterministic.
        deadline: When to stop; a strategy that cannot stop early may ignore it.
        progress: Called with a share in [0, 1] from time to time.
        note: Called with a sentence that whoever reads the result should know.
        language: Language models that may be asked, by the names of their upstreams; those that
            the task prefers first. Empty where there are none, or no money for any.
        prompt: The task's own prompt to start from; ``None`` for the built-in one.
        input_name: What the task calls its input; a prompt's variable.
        cascade: What a cascade must promise.
        costs: ``(k, k)`` what each answered label (column) costs for each actual one (row);
            ``None`` where the task names no costs.
        evidence: Rows that count as evidence, ascending: one per message, of a group's one;
            ``None`` for all of them.
        unlabeled: Further inputs without a label, none of which is a training input or is judged.
        kind: Kind of the task: what an answer is.
        metric: Name of the measure that the task is judged by; empty where that is not known.
        images: Whether an input is an image: then only its vector can be read.
        weights: Finds the encoder's own weights, for strategies that tune it; ``None`` where only
            its vectors can be had.
        joint: Adapters tuned over this and other tasks at once; ``None`` where none were.
    """

    labels: tuple[str, ...]
    descriptions: tuple[str, ...]
    instruction: str
    texts: tuple[str, ...]
    y: NDArray[Any]
    encoder: Encoder
    seed: int = 0
    deadline: Deadline = field(default_factory=Deadline)
    progress: Callable[[float], None] = field(default=lambda share: None)
    note: Callable[[str], None] = field(default=lambda sentence: None)
    language: Mapping[str, Speaker] = field(default_factory=dict[str, Speaker])
    prompt: PromptTemplate | None = None
    input_name: str = "text"
    cascade: CascadeRule = field(default_factory=CascadeRule)
    costs: NDArray[np.float64] | None = None
    evidence: NDArray[np.int64] | None = None
    unlabeled: tuple[str, ...] = ()
    kind: Kind = "classify"
    metric: str = ""
    images: bool = False
    weights: Callable[[], EncoderFolder] | None = None
    joint: Joint | None = None

    @property
    def link(self) -> Link:
        """From a predictor's numbers to an answer."""
        return KINDS[self.kind].link

    def take(self, rows: NDArray[np.int64]) -> "Problem":
        """The same problem with only the examples at ``rows``."""
        return replace(self, texts=tuple(self.texts[i] for i in rows), y=self.y[rows])


@runtime_checkable
class Strategy(Protocol):
    """A way to solve a task. Implementations are frozen dataclasses of parameters.

    One that solves other kinds than ``classify`` names them in a class variable ``kinds``.
    """

    name: ClassVar[str]

    def supports(self, problem: Problem) -> str | None:
        """Why it cannot solve this problem, as a sentence, or ``None`` when it can."""
        ...

    def fit(self, problem: Problem) -> Predictor:
        """A predictor whose ``labels`` are ``problem.labels``; never changes the problem."""
        ...


def kinds_of(strategy: object) -> tuple[Kind, ...]:
    """The kinds of tasks that a strategy solves."""
    return getattr(strategy, "kinds", ("classify",))


def reads_images(strategy: object) -> bool:
    """Whether a strategy reads nothing of an input but its vector, and so images too.

    It says so in a class variable ``images``.
    """
    return bool(getattr(strategy, "images", False))


@runtime_checkable
class Training(Protocol):
    """Offered by strategies that take time: they enter where time was given, or by name."""

    name: ClassVar[str]

    def seconds(self, problem: Problem) -> float:
        """Wall seconds that one fit is foreseen to take on this machine."""
        ...


@runtime_checkable
class Searchable(Protocol):
    """Offered by strategies some of whose parameters are worth choosing per task.

    They are chosen where time was given; what somebody sets by hand stays as it is.
    """

    name: ClassVar[str]
    space: ClassVar[Mapping[str, Sequence[object]]]
    """Values to choose from, by parameter."""


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
