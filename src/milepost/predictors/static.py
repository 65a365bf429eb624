"""The predictor that looks words up instead of running an encoder: a table and a linear head.

Static embeddings as in model2vec (Tulkens & van Dongen 2024): each token of the vocabulary is sent
through an encoder once, and a text is the mean of its tokens' rows. Pairs of neighbouring tokens
can have rows of their own, which is all that it knows of their order. Needs numpy and tokenizers.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast
from weakref import WeakValueDictionary

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import CorruptError
from milepost.predictors.base import Batch, Predictor
from milepost.predictors.parts import (
    ADVICE,
    Expected,
    check_arrays,
    check_parameters,
    corrupt_array,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_TOKENS = 512
"""Most tokens of a text that are read, unless said otherwise."""

_CHARACTERS_PER_TOKEN = 32
_CHUNK_TEXTS = 1024
_CHUNK_TOKENS = 1 << 14
_ZIPF = 1e-3
_MODELS = frozenset({"WordPiece", "Unigram", "BPE", "WordLevel"})
_STEPS = frozenset(
    {
        "BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents", "Strip",
        "BertPreTokenizer", "Whitespace", "WhitespaceSplit", "Metaspace", "Punctuation", "Digits",
    }
)  # fmt: skip
"""Steps of a tokenizer that take time in proportion to the text, whatever their settings: those
with a pattern of their own can be made to take for ever."""

_tables: WeakValueDictionary[str, NDArray[np.generic]] = WeakValueDictionary()


class _Parameters(msgspec.Struct, frozen=True):
    """JSON-able parameters, named as in ``StaticPredictor``."""

    tokenizer: str
    max_tokens: int


@dataclass(frozen=True, eq=False, kw_only=True)
class StaticPredictor(Predictor):
    """Logits that are linear in the mean of the rows of a text's tokens, scaled to unit length.

    Predictors that are read from bundles share tokenizer and table where these are the same.

    Attributes:
        tokenizer: A tokenizer as JSON of the ``tokenizers`` library.
        table: ``(v, d) float16`` or ``float32``, a row per token.
        weights: ``(k, d) float32``.
        bias: ``(k,) float32``.
        max_tokens: Most tokens of a text that are read, ≥ 1.
        pairs: ``(p,) int64`` pairs of neighbouring tokens, ascending, each as ``first * 2**32 +
            second``: the last ``p`` rows of the table are theirs. ``None`` for no such rows.
    """

    kind: ClassVar[str] = "static"
    uses: ClassVar[Literal["text", "vectors"]] = "text"

    tokenizer: str
    table: NDArray[np.float16] | NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    max_tokens: int = MAX_TOKENS
    pairs: NDArray[np.int64] | None = None
    _tokenizer: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Read the tokenizer once.

        Raises:
            CorruptError: If it is none, or one with parts that are not allowed.
        """
        object.__setattr__(self, "_tokenizer", read_tokenizer(self.tokenizer))

    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """``vectors(texts) @ weights.T + bias``, ``(n, k) float64``."""
        result = np.empty((len(batch), len(self.labels)), np.float64)
        for start in range(0, len(batch), _CHUNK_TEXTS):
            vectors = self.vectors(batch.texts[start : start + _CHUNK_TEXTS])
            result[start : start + _CHUNK_TEXTS] = vectors @ self.weights.T + self.bias
        return result

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors ``(n, d) float32`` of unit length; zeros for a text without a known token."""
        most = self.max_tokens
        cut = most * _CHARACTERS_PER_TOKEN
        parts = [_encodable(text[:cut]) for text in texts]
        found = self._tokenizer.encode_batch_fast(parts, add_special_tokens=False)
        return pooled(self.table, [encoding.ids[:most] for encoding in found], self.pairs)

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """``table``, ``weights``, ``bias`` and, where there are any, ``pairs``."""
        more = {} if self.pairs is None else {"pairs": self.pairs}
        return {"table": self.table, "weights": self.weights, "bias": self.bias, **more}

    def parameters(self) -> dict[str, object]:
        """``tokenizer`` and ``max_tokens``."""
        return {"tokenizer": self.tokenizer, "max_tokens": self.max_tokens}

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
        if read.max_tokens < 1:
            raise _corrupt(f"max_tokens is {read.max_tokens}.")
        given = arrays.get("table")
        kind = np.float32 if given is not None and given.dtype == np.float32 else np.float16
        d = given.shape[1] if given is not None and given.ndim == 2 else None
        pairs = arrays.get("pairs")
        expected = {
            "table": Expected(kind, (None, d)),
            "weights": Expected(np.float32, (len(labels), d)),
            "bias": Expected(np.float32, (len(labels),)),
        }
        if pairs is not None:
            expected["pairs"] = Expected(np.int64, (None,))
        check_arrays(arrays, expected)
        if pairs is not None and not (np.diff(pairs.astype(np.int64)) > 0).all():
            raise corrupt_array("pairs", "is not in ascending order.")
        # Bytes that cannot be text come as lone surrogates, which no tokenizer takes.
        if _encodable(read.tokenizer) != read.tokenizer:
            raise _corrupt("the tokenizer is not Unicode text.")
        vocabulary = read_tokenizer(read.tokenizer).get_vocab(with_added_tokens=True)
        own = len(arrays["table"]) - (0 if pairs is None else len(pairs))
        if own <= max(vocabulary.values(), default=0):
            raise corrupt_array("table", "has fewer rows than the tokenizer has tokens.")
        return cls(
            labels=labels,
            temperature=temperature,
            tokenizer=read.tokenizer,
            table=cast("NDArray[np.float16]", _shared(arrays["table"])),
            weights=np.asarray(arrays["weights"], np.float32),
            bias=np.asarray(arrays["bias"], np.float32),
            max_tokens=read.max_tokens,
            pairs=None if pairs is None else pairs.astype(np.int64),
        )


def pooled(
    table: NDArray[np.float16] | NDArray[np.float32],
    ids: Sequence[Sequence[int]],
    pairs: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Mean of the rows of each text's tokens, of unit length: ``(n, d) float32``.

    Args:
        table: ``(v, d)``; the last rows are those of the pairs.
        ids: Tokens per text; none give zeros.
        pairs: See ``StaticPredictor``.
    """
    vectors = np.zeros((len(ids), table.shape[1]), np.float32)
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    ends = np.cumsum(lengths)
    start = 0
    while start < len(ids):
        before = int(ends[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + _CHUNK_TOKENS, "right")))
        rows, owners = rows_of(ids[start:end], len(table), pairs)
        if len(rows):
            firsts = np.flatnonzero(np.diff(owners, prepend=-1))
            # Each text's rows one after the other: its sum depends on nothing beside it.
            sums = np.add.reduceat(table.take(rows, axis=0).astype(np.float32), firsts)
            vectors[start + owners[firsts]] = sums
        start = end
    sizes = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    return vectors / np.maximum(sizes, np.float32(1e-12))[:, None]


def rows_of(
    ids: Sequence[Sequence[int]], size: int, pairs: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of a table that texts are made of, and of which text each is; texts ascend.

    Args:
        ids: Tokens per text.
        size: Rows of the table, those of the pairs included.
        pairs: See ``StaticPredictor``.
    """
    tokens = np.fromiter(chain.from_iterable(ids), np.int64)
    owners = np.repeat(np.arange(len(ids)), np.fromiter(map(len, ids), np.int64, len(ids)))
    if pairs is None or not len(pairs) or len(tokens) < 2:
        return tokens, owners
    keys = pair_keys(tokens)
    at = np.minimum(np.searchsorted(pairs, keys), len(pairs) - 1)
    hits = np.flatnonzero((pairs[at] == keys) & (owners[:-1] == owners[1:]))
    rows = np.concatenate([tokens, size - len(pairs) + at[hits]])
    whose = np.concatenate([owners, owners[hits]])
    order = np.argsort(whose, kind="stable")
    return rows[order], whose[order]


def pair_keys(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """The name of each pair of neighbours, ``(t - 1,) int64``."""
    return (tokens[:-1] << 32) + tokens[1:]


@lru_cache(maxsize=8)
def read_tokenizer(content: str) -> "Tokenizer":
    """A tokenizer from its JSON, without padding and truncation; the same one for equal JSON.

    Raises:
        CorruptError: If it is not one, or has a step that is not among the allowed ones.
    """
    from tokenizers import Tokenizer

    try:
        parts = msgspec.json.decode(content, type=dict[str, Any])
        for name in ("normalizer", "pre_tokenizer"):
            _check_step(parts.get(name), name)
        model = parts.get("model")
        if not isinstance(model, dict) or model.get("type") not in _MODELS:
            raise _corrupt(f"the model of the tokenizer is none of {sorted(_MODELS)}.")
        tokenizer = Tokenizer.from_str(content)
    except CorruptError:
        raise
    except BaseException as error:  # what the library raises has no base but this
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise _corrupt(f"the tokenizer cannot be read ({error}).") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _check_step(step: object, name: str, depth: int = 0) -> None:
    if step is None:
        return
    if not isinstance(step, dict) or depth > 4:
        raise _corrupt(f"the {name} of the tokenizer is not one.")
    known = cast("dict[str, object]", step)
    if known.get("type") == "Sequence":
        inner = known.get("normalizers", known.get("pretokenizers"))
        for each in cast("list[object]", inner) if isinstance(inner, list) else []:
            _check_step(each, name, depth + 1)
    elif known.get("type") not in _STEPS:
        raise _corrupt(f"the {name} {known.get('type')!r} of the tokenizer is not allowed.")


def distil_table(
    encode: Callable[[Sequence[str]], NDArray[np.float32]],
    tokenizer: str,
    dimensions: int = 256,
) -> NDArray[np.float16]:
    """A table for ``StaticPredictor`` from an encoder: each token's vector, reduced and weighted.

    Principal components of the tokens' vectors, then weights a / (a + p) with the frequency p of
    a token taken from its rank (Arora et al. 2017; Zipf's law), as model2vec does.

    Args:
        encode: Vectors ``(n, m) float32`` of texts.
        tokenizer: Its JSON; tokens are in the order of their frequency.
        dimensions: Length of a row, at most ``m`` and the number of tokens.
    """
    vocabulary = read_tokenizer(tokenizer).get_vocab(with_added_tokens=True)
    tokens = [""] * (max(vocabulary.values()) + 1)
    for token, i in vocabulary.items():
        tokens[i] = token.removeprefix("##").removeprefix("▁")
    vectors = encode(tokens).astype(np.float64)
    vectors -= vectors.mean(axis=0)
    _, axes = np.linalg.eigh(vectors.T @ vectors)
    reduced = vectors @ axes[:, ::-1][:, :dimensions]
    p = 1.0 / np.arange(2, len(tokens) + 2)
    weight = _ZIPF / (_ZIPF + p / p.sum())
    return (reduced * weight[:, None]).astype(np.float16)


def _shared(table: NDArray[np.generic]) -> NDArray[np.generic]:
    """The table, or an equal one that is in memory already."""
    content = np.ascontiguousarray(table)
    sha256 = hashlib.sha256(f"{content.dtype} {content.shape}".encode())
    sha256.update(content.view(np.uint8).data)
    return _tables.setdefault(sha256.hexdigest(), content)


def _encodable(text: str) -> str:
    """The text with lone surrogates, which no tokenizer takes, replaced by U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _corrupt(what: str) -> CorruptError:
    return CorruptError(what, where="parameters.json", advice=ADVICE)
