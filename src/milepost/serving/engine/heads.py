"""All heads of a batch at once: one product per block of heads, one softmax for all.

A batch may hold texts of a thousand tasks. Rows are grouped by block, so that five guards on all
traffic are one product a batch, whatever the number of tasks. The logits of all heads lie in one
flat array, and a softmax over its segments takes the same few array operations for one head as
for a thousand.
"""

from collections.abc import Iterable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from milepost.models.words import ragged
from milepost.predictors.base import Batch, Predictor
from milepost.predictors.linear import LinearPredictor
from milepost.predictors.reading import space_name
from milepost.serving.driving import is_driven

if TYPE_CHECKING:
    from milepost.serving.engine.work import Head, Stack, Vectors

Probabilities = NDArray[np.float32]


class Block:
    """Heads that are asked together: linear ones as one matrix, any other kind alone.

    Never changes, shared by all threads and by all stacks that ask the same heads.

    Args:
        predictors: What answers, at least one; all linear on the same space and linked by a
            softmax, or a single one.
    """

    __slots__ = (
        "__weakref__", "bias", "linear", "link", "predictors", "spaces", "spans", "temperature",
        "transposed", "weights", "width", "widths",
    )  # fmt: skip

    def __init__(self, predictors: Sequence[Predictor]) -> None:
        self.predictors = tuple(predictors)
        self.link = self.predictors[0].link
        self.linear = all(type(each) is LinearPredictor for each in self.predictors)
        self.spaces = tuple(space_name(each) for each in self.predictors[0].spaces)
        widths = [each.width for each in self.predictors]
        ends = np.cumsum(widths).tolist()
        self.width: int = ends[-1]
        self.widths = np.array(widths, np.int64)
        self.spans = tuple(zip([0, *ends[:-1]], ends, strict=True))
        self.temperature = np.repeat([each.temperature for each in self.predictors], widths)
        self.weights = np.zeros((0, 0), np.float32)
        self.bias = np.zeros(self.width, np.float32)
        heads = [each for each in self.predictors if isinstance(each, LinearPredictor)]
        if self.linear:
            # A single head shares the predictor's arrays; several are copied into one, once.
            single = len(heads) == 1
            self.weights = (
                heads[0].weights if single else np.concatenate([h.weights for h in heads])
            )
            self.bias = np.concatenate([each.bias for each in heads])
        self.transposed = self.weights.T


_blocks: WeakValueDictionary[tuple[str, ...], Block] = WeakValueDictionary()
_making = Lock()


def blocks_of(heads: "Sequence[Head]", own: int) -> tuple[tuple[Block, tuple[int, ...]], ...]:
    """The blocks of a stack, each with the places of its heads.

    Stacks that share heads share blocks, so that a guard of a thousand tasks is in memory once.

    Args:
        heads: All heads.
        own: How many of the first no other stack has: each of these is a block of its own.

    Heads that are driven stand in no block: the engine only gets them their vectors.
    """
    asked = [at for at, head in enumerate(heads) if not is_driven(head.predictor)]
    together = [
        at
        for at in asked
        if type(heads[at].predictor) is LinearPredictor and heads[at].predictor.link == "softmax"
    ]
    shared: dict[tuple[str | None, ...], list[int]] = {}
    for at in together:
        if at >= own:
            spaces = tuple(space_name(each) for each in heads[at].predictor.spaces)
            shared.setdefault(spaces, []).append(at)
    alone = [[at] for at in asked if at < own or at not in together]
    return tuple(
        (_block([heads[at] for at in places]), tuple(places))
        for places in (*alone, *shared.values())
    )


def _block(heads: "Sequence[Head]") -> Block:
    key = tuple(head.bundle for head in heads)
    with _making:
        found = _blocks.get(key)
        if found is None:
            found = _blocks[key] = Block([head.predictor for head in heads])
        return found


class _Group:
    """The rows of a batch that one block answers."""

    __slots__ = ("block", "places", "rows")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.rows: list[int] = []
        self.places: list[tuple[int, tuple[int, ...]]] = []  # which answer, and where in it


class _Read:
    """The vectors of a batch: of each text one per space.

    Args:
        known: Per text its vectors by the name of the space.
    """

    def __init__(self, known: "Sequence[Vectors]") -> None:
        self._at = {
            key: at
            for at, key in enumerate((row, name) for row, own in enumerate(known) for name in own)
        }
        vectors = [vector for own in known for vector in own.values()]
        # States of words are a matrix of each text, and stand beside vectors of the same pass.
        alike = len({each.shape for each in vectors}) < 2 and all(e.ndim == 1 for e in vectors)
        self._matrix = (np.array(vectors) if alike else ragged(vectors)) if vectors else None
        self._all = list(range(len(vectors)))

    def finite(self) -> "_Read":
        """These, or none where one of them is not finite."""
        parts = () if self._matrix is None else self._matrix
        whole = isinstance(parts, np.ndarray) and parts.dtype != np.object_
        fine = np.isfinite(parts).all() if whole else all(np.isfinite(each).all() for each in parts)
        return self if fine else _Read(())

    def of(self, rows: Sequence[int], spaces: Sequence[str | None]) -> NDArray[np.float32] | None:
        """Vectors of texts ``(n, d) float32``, spaces side by side; ``None`` if one lacks."""
        if self._matrix is None or not spaces:
            return None
        parts: list[NDArray[np.float32]] = []
        for space in spaces:
            at = [self._at.get((row, space), -1) for row in rows]
            if -1 in at:
                return None
            if len(at) == 1:
                parts.append(self._matrix[at[0] : at[0] + 1])
            else:
                parts.append(self._matrix if at == self._all else self._matrix[at])
        if parts[0].dtype == np.object_ and parts[0][0].ndim == 1:
            parts = [np.stack(list(each)) for each in parts]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


class Answers:
    """What the heads said of one row.

    Args:
        size: Number of heads.

    Attributes:
        probabilities: Per head ``(k,) float32``; ``None`` where it failed.
        failures: Why, by the head's place; ``None`` where none failed.
    """

    __slots__ = ("failures", "probabilities")

    def __init__(self, size: int) -> None:
        self.probabilities: list[Probabilities | None] = [None] * size
        self.failures: dict[int, Exception] | None = None

    def fail(self, places: Iterable[int], error: Exception) -> None:
        """Note why these heads have no answer."""
        if self.failures is None:
            self.failures = {}
        self.failures.update(dict.fromkeys(places, error))


def answer_rows(
    texts: Sequence[str],
    known: "Sequence[Vectors]",
    asked: "Sequence[tuple[int, Stack]]",
) -> list[Answers]:
    """What all heads say.

    A predictor that fails is asked again row by row, so that it fails only for its own rows.

    Args:
        texts: ``n`` prepared texts.
        known: Of each its vectors by space; empty where no encoder ran.
        asked: Row and stack of each answer.

    Returns:
        One per ``asked``. The arrays are copies: they keep nothing else alive.
    """
    answers = [Answers(len(stack.heads)) for _, stack in asked]
    groups: dict[Block, _Group] = {}
    for at, (row, stack) in enumerate(asked):
        for block, places in stack.blocks:
            group = groups.get(block)
            if group is None:
                group = groups[block] = _Group(block)
            group.rows.append(row)
            group.places.append((at, places))
    read = _Read(known)
    try:
        finite = read.finite()
        _answer([g for g in groups.values() if g.block.link == "softmax"], texts, finite, answers)
        for group in groups.values():
            if group.block.link != "softmax":
                _answer_linked(group, texts, finite, answers)
    except Exception:  # noqa: BLE001 - which row is to blame shows when each is asked alone
        for group in groups.values():
            for row, place in zip(group.rows, group.places, strict=True):
                _answer_alone(group.block, row, place, (texts, read), answers)
    return answers


def _answer_alone(
    block: Block,
    row: int,
    place: tuple[int, tuple[int, ...]],
    batch: tuple[Sequence[str], _Read],
    answers: list[Answers],
) -> None:
    """One row, head by head, so that each fails alone."""
    at, places = place
    texts, read = batch
    vectors = read.of([row], block.spaces)
    for head, where in zip(block.predictors, places, strict=True):
        try:
            found = head.predict(Batch((texts[row],), vectors)).probabilities
            _check_shape(head, found, 1)
            answers[at].probabilities[where] = found[0]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this head's alone
            answers[at].fail((where,), error)


def _answer(
    groups: Sequence[_Group],
    texts: Sequence[str],
    read: _Read,
    answers: list[Answers],
) -> None:
    """Fill in the answers of all groups.

    Raises:
        Exception: Whatever a predictor raises; nothing is filled in then.
    """
    if not groups:
        return
    sizes = [len(group.rows) * group.block.width for group in groups]
    products = np.zeros(sum(sizes), np.float32)
    others: list[tuple[int, int, NDArray[np.float64]]] = []
    at = 0
    for group, size in zip(groups, sizes, strict=True):
        block, rows = group.block, group.rows
        vectors = read.of(rows, block.spaces)
        if block.linear and vectors is not None:
            out = products[at : at + size]
            if len(rows) == 1:
                block.weights.dot(vectors[0], out=out)
            else:
                vectors.dot(block.transposed, out=out.reshape(len(rows), -1))
        else:
            batch = Batch(tuple(texts[row] for row in rows), vectors)
            others.append((at, at + size, _logits(block, batch)))
        at += size
    # The same in the same order as in the predictor: bias in float32, temperature in float64.
    products += _joined(groups, "bias")
    logits = products.astype(np.float64)
    for begin, end, found in others:
        logits[begin:end] = found
    logits /= _joined(groups, "temperature")
    _spread(groups, _softmax(logits, _joined(groups, "widths")), answers)


def _answer_linked(
    group: _Group, texts: Sequence[str], read: _Read, answers: list[Answers]
) -> None:
    """Fill in the answers of a predictor that is not linked by a softmax."""
    (predictor,) = group.block.predictors
    vectors = read.of(group.rows, group.block.spaces)
    found = predictor.predict(Batch(tuple(texts[row] for row in group.rows), vectors)).probabilities
    _check_shape(predictor, found, len(group.rows))
    _spread([group], found.ravel(), answers)


def _logits(block: Block, batch: Batch) -> NDArray[np.float64]:
    """Logits ``(rows * k,)`` of a predictor that is no plain product."""
    (predictor,) = block.predictors
    logits = predictor.logits(batch)
    _check_shape(predictor, logits, len(batch))
    return logits.ravel()


def _check_shape(predictor: Predictor, found: NDArray[Any], rows: int) -> None:
    """Refuse an answer that is not one number per row and label.

    Raises:
        ValueError: If it has another shape.
    """
    expected = (rows, predictor.width)
    if found.shape != expected:
        raise ValueError(f"{predictor.kind} gave an answer {found.shape}; expected {expected}.")


def _joined(groups: Sequence[_Group], name: str) -> NDArray[Any]:
    """An array of each block, once per row, one after the other."""
    if len(groups) == 1 and len(groups[0].rows) == 1:
        return getattr(groups[0].block, name)
    parts: list[NDArray[Any]] = []
    for group in groups:
        part = getattr(group.block, name)
        parts.extend([part] * len(group.rows))
    return np.concatenate(parts)


def _softmax(logits: NDArray[np.float64], lengths: NDArray[np.int64]) -> Probabilities:
    """Softmax of each segment of ``logits (m,)``; ``lengths`` are those of the segments."""
    starts = lengths.cumsum() - lengths
    logits -= np.maximum.reduceat(logits, starts).repeat(lengths)
    np.exp(logits, out=logits)
    logits /= np.add.reduceat(logits, starts).repeat(lengths)
    return logits.astype(np.float32)


def _spread(groups: Sequence[_Group], found: Probabilities, answers: list[Answers]) -> None:
    """Each row's probabilities to its answers."""
    at = 0
    for group in groups:
        width = group.block.width
        spans = group.block.spans
        for index, places in group.places:
            own = found[at : at + width].copy()
            at += width
            probabilities = answers[index].probabilities
            if len(places) == 1:
                probabilities[places[0]] = own
            else:
                for place, (begin, end) in zip(places, spans, strict=True):
                    probabilities[place] = own[begin:end]
