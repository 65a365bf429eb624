"""The predictors that ask a language model: with fixed examples, or with the nearest ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import CorruptError, InputError
from milepost.entities.prompts import PromptTemplate
from milepost.predictors.asking import Asking, drive, nobody
from milepost.predictors.base import Batch, Predictor
from milepost.predictors.parts import (
    ADVICE,
    Expected,
    check_arrays,
    check_parameters,
    corrupt_array,
)
from milepost.predictors.prompting.asks import ROOM, Ask, Examples, Said, in_step
from milepost.predictors.prompting.reading import NOTHING, same_to_prompts
from milepost.predictors.prompting.templates import Wording, prepare

MOST_PROMPTS = 32
"""Most prompts that one predictor asks about each input."""

Array = NDArray[np.float64]


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One prompt of a predictor as it is stored; see ``Ask``."""

    template: PromptTemplate
    scored: bool = False
    schema: bool = False
    max_tokens: int = 0
    sample: int = 0


class _Parameters(msgspec.Struct, frozen=True):
    """JSON-able parameters, named as in ``PromptedPredictor``."""

    upstream: str
    model: str
    instruction: str
    descriptions: tuple[str, ...]
    input_name: str
    asked: tuple[Asked, ...]
    examples: tuple[str, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class PromptedPredictor(Predictor):
    """Asks a language model one or more prompts, and weighs what it says.

    The logits of an input are ``log prior + Σ w_j · e_j``: what prompt ``j`` says for each label
    beyond the prior. Where its labels are scored, ``e_j`` is the labels' log-probabilities less
    ``bias_j``, what the prompt says of an input without content (Zhao et al. 2021); else it is the
    row of ``tables_j`` of the label that it named. An input about which no prompt says anything
    gets logits that are all 0.

    Attributes:
        upstream: Name of the upstream.
        model: The model that stood behind it when the tables were counted.
        instruction: The task's question.
        descriptions: A description per label.
        input_name: What the task calls its input.
        asked: The prompts, m of them.
        prior: ``(k,) float64`` share of each label.
        tables: ``(m, k, k) float64`` what each answer says for each label beyond the prior.
        bias: ``(m, k) float64`` what scores are corrected by.
        weights: ``(m,) float64``.
        examples: Texts of the solved examples that prompts may show.
        y: ``(e,) int64`` index of each example's label.
    """

    kind: ClassVar[str] = "prompted"
    uses: ClassVar[Literal["text", "vectors"]] = "text"

    upstream: str
    model: str
    instruction: str
    descriptions: tuple[str, ...]
    input_name: str
    asked: tuple[Asked, ...]
    prior: Array
    tables: Array
    bias: Array
    weights: Array
    examples: tuple[str, ...] = ()
    y: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    asks: tuple[Ask, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the prompts once.

        Raises:
            InputError: If one cannot be used.
        """
        wording = Wording.of(self.instruction, self.labels, self.descriptions, self.input_name)
        asks = tuple(
            Ask(
                self.upstream,
                prepare(each.template, wording),
                scored=each.scored,
                schema=each.schema,
                max_tokens=each.max_tokens,
                sample=each.sample,
            )
            for each in self.asked
        )
        object.__setattr__(self, "asks", asks)

    @property
    def upstreams(self) -> tuple[str, ...]:
        """The one that it asks."""
        return (self.upstream,)

    @property
    def templates(self) -> tuple[PromptTemplate, ...]:
        """Its prompts, each once."""
        return tuple(dict.fromkeys(each.template for each in self.asked))

    def scoring(self, batch: Batch) -> Asking[Array]:
        """Logits ``(n, k)`` from the answers; an input that is answered by nothing gets zeros."""
        said = yield from in_step(
            [
                ask.asking(batch.texts, self.shown(batch, ask.prompt.template.shots))
                for ask in self.asks
            ]
        )
        return self.weighed(said)

    def shown(self, batch: Batch, shots: int) -> Sequence[Examples]:
        """The solved examples that a prompt shows for each input of a batch."""
        fixed = tuple(zip(self.examples[:shots], self.y[:shots].tolist(), strict=True))
        return [fixed] * len(batch)

    def weighed(self, said: Sequence[Said]) -> Array:
        """Logits ``(n, k)`` from what was said to each prompt."""
        n = len(said[0].labels)
        total = np.zeros((n, len(self.labels)))
        spoke = np.zeros(n, np.bool_)
        for j, each in enumerate(said):
            rows = each.labels != NOTHING
            if each.scores is not None:
                part = each.scores[rows] - self.bias[j]
                part = part - part.mean(axis=1, keepdims=True)
            else:
                part = self.tables[j][each.labels[rows]]
            total[rows] += self.weights[j] * part
            spoke |= rows
        return np.where(spoke[:, None], total + np.log(self.prior), 0.0)

    def logits(self, batch: Batch) -> Array:
        """Never without asking; drive ``scoring``.

        Raises:
            ValueError: If the batch holds an input.
        """
        return drive(self.scoring(batch), nobody)

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """``prior``, ``tables``, ``bias``, ``weights`` and ``y``."""
        return {
            "prior": self.prior,
            "tables": self.tables,
            "bias": self.bias,
            "weights": self.weights,
            "y": self.y,
        }

    def parameters(self) -> dict[str, object]:
        """Upstream, prompts, the task's words and the texts of the examples."""
        return {
            "upstream": self.upstream,
            "model": self.model,
            "instruction": self.instruction,
            "descriptions": list(self.descriptions),
            "input_name": self.input_name,
            "asked": [msgspec.to_builtins(each) for each in self.asked],
            "examples": list(self.examples),
        }

    @classmethod
    def from_parts(
        cls,
        labels: tuple[str, ...],
        temperature: float,
        arrays: Mapping[str, NDArray[np.generic]],
        parameters: Mapping[str, object],
    ) -> Self:
        """See :meth:`Predictor.from_parts`."""
        read = check_parameters(parameters, _Parameters)
        k, m, e = len(labels), len(read.asked), len(read.examples)
        real = np.float64
        check_arrays(
            arrays,
            {
                "prior": Expected(real, (k,)),
                "tables": Expected(real, (m, k, k)),
                "bias": Expected(real, (m, k)),
                "weights": Expected(real, (m,)),
                "y": Expected(np.int64, (e,)),
                **cls._further(e),
            },
        )
        values: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
        if not (values["prior"] > 0).all():
            raise corrupt_array("prior", "holds a share that is not above 0.")
        if e and (values["y"].min() < 0 or values["y"].max() >= k):
            raise corrupt_array("y", "names a label that does not exist.")
        wrong = _wrong(read, labels)
        if wrong is not None:
            raise CorruptError(wrong, where="parameters.json", advice=ADVICE)
        try:
            return cls(
                labels=labels,
                temperature=temperature,
                **{name: getattr(read, name) for name in read.__struct_fields__},
                **values,
            )
        except (InputError, ValueError) as error:
            raise CorruptError(
                f"a prompt of it cannot be used ({error}).", where="parameters.json", advice=ADVICE
            ) from error

    @classmethod
    def _further(cls, examples: int) -> Mapping[str, Expected]:
        """Further arrays of the kind."""
        del examples
        return {}


def _wrong(read: _Parameters, labels: tuple[str, ...]) -> str | None:
    """What does not fit in stored parameters, or ``None``."""
    same = same_to_prompts(labels)
    if same is not None:
        return f"no answer can tell the labels {same[0]!r} and {same[1]!r} apart."
    if not read.upstream or len(read.descriptions) != len(labels):
        return "the upstream is missing, or there is not a description for each label."
    if not 1 <= len(read.asked) <= MOST_PROMPTS:
        return f"it has {len(read.asked)} prompts; 1 to {MOST_PROMPTS} are asked."
    if any(not 0 <= each.max_tokens <= ROOM or each.sample < 0 for each in read.asked):
        return "the room for an answer or the number of a sample is out of range."
    return None


@dataclass(frozen=True, eq=False, kw_only=True)
class RetrievingPredictor(PromptedPredictor):
    """A prompted predictor that shows each input the solved examples nearest to it.

    The nearest one stands last, next to the input (Liu et al. 2022).

    Attributes:
        vectors: ``(e, d) float32`` of the examples, of unit length.
    """

    kind: ClassVar[str] = "prompted_retrieving"
    uses: ClassVar[Literal["text", "vectors"]] = "vectors"

    vectors: NDArray[np.float32]

    def shown(self, batch: Batch, shots: int) -> Sequence[Examples]:
        """The nearest examples of each input."""
        return self.nearest(batch.require_vectors(self.vectors.shape[1]), shots)

    def nearest(
        self,
        queries: NDArray[np.float32],
        shots: int,
        barred: NDArray[np.bool_] | None = None,
    ) -> list[Examples]:
        """The ``shots`` nearest examples of each query, the nearest one last.

        Args:
            queries: ``(n, d)`` vectors; of each its direction alone counts.
            shots: How many.
            barred: ``(n, e) bool`` which examples a query must not be shown; ``None`` for none.
        """
        found: list[Examples] = []
        for row, query in enumerate(queries):
            # A product per row: an answer depends on nothing beside its input.
            near = (self.vectors @ query).astype(np.float64).round(6)
            if barred is not None:
                near[barred[row]] = -np.inf
            order = np.argsort(-near, kind="stable")[:shots]
            chosen = [i for i in order.tolist() if np.isfinite(near[i])]
            found.append(tuple((self.examples[i], int(self.y[i])) for i in reversed(chosen)))
        return found

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """Those of any prompted predictor, and ``vectors``."""
        return {**super().arrays(), "vectors": self.vectors}

    @classmethod
    def _further(cls, examples: int) -> Mapping[str, Expected]:
        return {"vectors": Expected(np.float32, (examples, None))}
