"""Near-duplicate groups of texts: which texts must never be on two sides of a split.

Two texts are joined when they are equal after normalisation, or when the Jaccard similarity of
their word-pair sets reaches a threshold; groups are the connected components. Candidate pairs come
from a prefix filter (Chaudhuri et al. 2006; Bayardo et al. 2007, "Scaling up all pairs similarity
search"): of two sets with similarity ≥ t, sorted by rarity, the first ``n - ⌈t·n⌉ + 1`` elements
share one. Every candidate is verified exactly, so nothing below the threshold is ever joined.
"""

import hashlib
import math
import re
import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from milepost.data.looks import joined_by_look
from milepost.entities.example import Examples

_APOSTROPHES = "'’‘`´ʼ"
_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"  # Kana, Han
    "\U00020000-\U0003ffff"
)
_TOKEN = re.compile(f"[{_UNSPACED}]|[^\\s{_UNSPACED}]+")
_FEWEST_TOKENS = 6
"""Texts with fewer tokens are grouped only when equal: one word is too much of their meaning."""
_LONGEST_POSTING = 256
_WINDOW = 64
_CHUNK = 1 << 21


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Keys and groups of ``n`` texts.

    Attributes:
        keys: Digest of each text's normalised form; depends on that text alone.
        groups: Key that stands for the whole near-duplicate group: the smallest key in it. It may
            change when a text is added, which is why sides are recorded per key.
    """

    keys: tuple[str, ...]
    groups: tuple[str, ...]


def normalise(texts: Sequence[str]) -> list[str]:
    """Texts reduced to what makes them the same message.

    NFKC, case folded, punctuation to spaces, apostrophes and control characters away, white space
    collapsed. Digits and symbols (currency, emoji) stay: "pay 5" and "pay 50" differ, and so do a
    smile and a frown. A text that consists of punctuation alone is left as it is.
    """
    folded = [unicodedata.normalize("NFKC", text.casefold()).casefold() for text in texts]
    seen: set[str] = set()
    for text in folded:
        seen.update(text)
    table: dict[int, str | None] = {}
    for char in seen:
        category = unicodedata.category(char)
        if char in _APOSTROPHES or (category in {"Cc", "Cf"} and not char.isspace()):
            table[ord(char)] = None
        elif category.startswith("P"):
            table[ord(char)] = " "
    return [" ".join(text.translate(table).split()) or " ".join(text.split()) for text in folded]


def text_keys(texts: Sequence[str]) -> tuple[str, ...]:
    """Key of each text: the first 128 bits of the SHA-256 of its normalised form, in hex."""
    return tuple(_key(text) for text in normalise(texts))


def _key(normalised: str) -> str:
    data = normalised.encode("utf-8", "surrogatepass")
    return hashlib.sha256(data).hexdigest()[:32]


def group_texts(texts: Sequence[str], threshold: float) -> Grouping:
    """Near-duplicate groups of texts.

    The unit compared is the set of pairs of neighbouring words, with the two ends as words of
    their own; in scripts without spaces each character counts as a word. At a threshold of 0.8 one
    changed word joins texts of about twenty words and more. Groups do not depend on the order of
    the texts, but for one bounded case: of word pairs shared by more than 256 distinct texts that
    have hardly a rare word, only texts close to each other in rarity order are compared.

    Args:
        texts: The texts, cleaned.
        threshold: Jaccard similarity from which two texts are joined, in (0, 1]; 1 joins only
            texts that are equal after normalisation.

    Raises:
        ValueError: If the threshold is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be in (0, 1], not {threshold}")
    normal = normalise(texts)
    # Sorted, so that the outcome does not depend on the order of the texts.
    distinct = sorted(set(normal))
    keys = {text: _key(text) for text in distinct}
    stands_for = dict(keys)
    if threshold < 1:
        roots = _components(distinct, threshold)
        smallest: dict[int, str] = {}
        for text, root in zip(distinct, roots, strict=True):
            smallest[root] = min(keys[text], smallest.get(root, keys[text]))
        stands_for = {t: smallest[root] for t, root in zip(distinct, roots, strict=True)}
    return Grouping(tuple(keys[t] for t in normal), tuple(stands_for[t] for t in normal))


def regroup(parts: Sequence[Examples], threshold: float) -> tuple[Examples, ...]:
    """The same examples with ``duplicates`` and ``groups`` drawn over all parts together.

    Args:
        parts: Such as a task's training examples and its test examples.
        threshold: As in :func:`group_texts`.
    """
    texts = [text for part in parts for text in part.texts]
    alike = joined_by_look(texts, group_texts(texts, threshold).groups)
    owners = [owner for part in parts for owner in part.owners or (None,) * len(part)]
    groups = joined(alike, owners)
    done: list[Examples] = []
    start = 0
    for part in parts:
        end = start + len(part)
        done.append(
            Examples(
                ids=part.ids,
                texts=part.texts,
                labels=part.labels,
                groups=groups[start:end],
                sources=part.sources,
                metadata=part.metadata,
                duplicates=alike[start:end],
                owners=part.owners,
                times=part.times,
                originals=part.originals,
            )
        )
        start = end
    return tuple(done)


def joined(groups: Sequence[str], owners: Sequence[str | None]) -> tuple[str, ...]:
    """Groups of rows of one owner, with what rows without an owner say alike.

    What several owners say does not join them: it belongs to the first one, and what the others
    say of it is :func:`said_elsewhere`. A group is named by the smallest near-duplicate group that
    belongs to its owner.

    Args:
        groups: Near-duplicate group of each of ``n`` rows.
        owners: Owner of each row; rows without one are joined by their group alone, and to the
            owner that it belongs to.
    """
    holder = _holders(groups, owners)
    named: dict[str, str] = {}
    for group, owner in holder.items():
        named[owner] = min(group, named.get(owner, group))
    return tuple(
        # Who says nothing of its own still is somebody else.
        named.get(whose) or _key(f"owner {whose}")
        if (whose := owner if owner is not None else holder.get(group)) is not None
        else group
        for group, owner in zip(groups, owners, strict=True)
    )


def said_elsewhere(examples: Examples) -> list[int]:
    """Rows, 0-based, that are near-duplicates of what an earlier row's other owner says.

    They are neither trained on nor judged on: without them no owner shares a message with another,
    so that the owners are independent of each other.
    """
    if not examples.owners:
        return []
    holder = _holders(examples.duplicates, examples.owners)
    return [
        row
        for row, (group, owner) in enumerate(zip(examples.duplicates, examples.owners, strict=True))
        if owner is not None and holder[group] != owner
    ]


def _holders(groups: Sequence[str], owners: Sequence[str | None]) -> dict[str, str]:
    """The first owner of each near-duplicate group that has one."""
    holder: dict[str, str] = {}
    for group, owner in zip(groups, owners, strict=True):
        if owner is not None:
            holder.setdefault(group, owner)
    return holder


@dataclass(frozen=True, slots=True, eq=False)
class _Sets:
    """Shingle sets in compressed rows, without what no other document has.

    Document ``i`` holds ``sizes[i]`` distinct items. Those that occur in at least one other
    document are ``items[starts[i]:starts[i + 1]]``; they are ranks by rarity (0 is the rarest) and
    ascend within a document. The others only count: they come first in the order of rarity.
    """

    documents: NDArray[np.int64]
    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]
    items: NDArray[np.int64]
    vocabulary: int

    @property
    def shared(self) -> NDArray[np.int64]:
        """Items of each document that another document has too."""
        return np.diff(self.starts)


def _components(texts: Sequence[str], threshold: float) -> list[int]:
    """Root of each text's connected component; one text per component is its root."""
    sets = _shingles(texts)
    parent = list(range(len(texts)))
    for left, right in _candidates(sets, threshold):
        similar = _jaccard(sets, left, right) >= threshold
        for a, b in zip(
            sets.documents[left[similar]].tolist(),
            sets.documents[right[similar]].tolist(),
            strict=True,
        ):
            root_a, root_b = _root(parent, a), _root(parent, b)
            parent[max(root_a, root_b)] = min(root_a, root_b)
    return [_root(parent, i) for i in range(len(texts))]


def _root(parent: list[int], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


def _shingles(texts: Sequence[str]) -> _Sets:
    """Distinct word pairs of every text that is long enough to be compared."""
    words: dict[str, int] = {}
    flat = array("q")
    lengths: list[int] = []
    documents: list[int] = []
    for i, text in enumerate(texts):
        tokens = _TOKEN.findall(text)
        if len(tokens) >= _FEWEST_TOKENS:
            documents.append(i)
            lengths.append(len(tokens))
            flat.extend([words.setdefault(token, len(words) + 1) for token in tokens])
    count = np.asarray(lengths, np.int64)
    pairs, owner = _neighbours(np.frombuffer(flat, np.int64), count, len(words) + 1)
    distinct, codes = np.unique(pairs, return_inverse=True)
    del pairs
    vocabulary = max(len(distinct), 1)
    own = np.unique(owner * vocabulary + codes)
    owner, codes = np.divmod(own, vocabulary)
    sizes = np.bincount(owner, minlength=len(count))
    frequency = np.bincount(codes, minlength=vocabulary)
    common = frequency[codes] > 1
    owner, codes = owner[common], codes[common]
    rank = np.empty(vocabulary, np.int64)
    rank[np.argsort(frequency, kind="stable")] = np.arange(vocabulary)
    items = rank[codes]
    order = np.lexsort((items, owner))
    starts = np.zeros(len(count) + 1, np.int64)
    np.cumsum(np.bincount(owner, minlength=len(count)), out=starts[1:])
    return _Sets(np.asarray(documents, np.int64), sizes, starts, items[order], vocabulary)


def _neighbours(
    words: NDArray[np.int64], count: NDArray[np.int64], vocabulary: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Code and document of each pair of neighbouring words; the two ends are word 0."""
    owner = np.repeat(np.arange(len(count)), count + 1)
    ends = np.cumsum(count + 1)
    pairs = np.zeros(len(owner), np.int64)
    inner = np.ones(len(owner), bool)
    inner[ends - count - 1] = False
    pairs[inner] = words * vocabulary
    inner[:] = True
    inner[ends - 1] = False
    pairs[inner] += words
    return pairs, owner


def _candidates(
    sets: _Sets, threshold: float
) -> Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Chunks of distinct pairs of sets that share a prefix item and fit in size."""
    sizes, shared = sets.sizes, sets.shared
    # The small tolerance keeps 0.8 · 5 = 4.000…1 from asking for 5 common items.
    prefix = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
    owner = np.repeat(np.arange(len(sizes)), shared)
    depth = np.arange(len(owner)) - np.repeat(sets.starts[:-1] - (sizes - shared), shared)
    within = depth < prefix[owner]
    owner, items, depth = owner[within], sets.items[within], depth[within]
    # Within a posting smaller sets come first, then those with the same rare items.
    rarest = np.r_[sets.items, 0][sets.starts[:-1]]
    order = np.lexsort((rarest[owner], sizes[owner], items))
    owner, items = owner[order], items[order]
    remaining = sizes[owner] - depth[order]
    new = np.flatnonzero(np.r_[True, items[1:] != items[:-1]]) if len(items) else np.zeros(0, int)
    length = np.diff(np.r_[new, len(items)])
    reach_of = np.where(length > _LONGEST_POSTING, _WINDOW, length)
    reach = np.repeat(new + length, length) - np.arange(len(items)) - 1
    reach = np.minimum(reach, np.repeat(reach_of, length))
    # A set can only match one of at most size / t items.
    largest = np.floor(sizes[owner] / threshold + 1e-9).astype(np.int64)
    share = threshold / (1 + threshold)
    position = np.arange(len(items))
    bounds = _chunks(reach)
    seen_before = np.zeros(0, np.int64)
    for begin, end in bounds:
        left = np.repeat(position[begin:end], reach[begin:end])
        offset = np.arange(len(left)) - np.repeat(
            np.cumsum(reach[begin:end]) - reach[begin:end], reach[begin:end]
        )
        right = left + offset + 1
        fits = sizes[owner[right]] <= largest[left]
        # Positional filter (Xiao et al. 2008, PPJoin): if this is the first item that both share,
        # they can share no more than what follows it in the one that has less left. Pairs that
        # share an earlier item are found there.
        needed = share * (sizes[owner[left]] + sizes[owner[right]]) - 1e-9
        fits &= np.minimum(remaining[left], remaining[right]) >= needed
        a, b = owner[left[fits]], owner[right[fits]]
        pairs = np.unique(np.minimum(a, b) * len(sizes) + np.maximum(a, b))
        pairs = pairs[~np.isin(pairs, seen_before, assume_unique=True)]
        seen_before = pairs
        yield pairs // max(len(sizes), 1), pairs % max(len(sizes), 1)


def _chunks(weights: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ranges of positions whose weights sum to about a chunk each."""
    total = np.cumsum(weights)
    if not len(total) or total[-1] == 0:
        return []
    cuts = np.searchsorted(total, np.arange(_CHUNK, total[-1], _CHUNK)) + 1
    edges = np.unique(np.r_[0, cuts, len(weights)])
    return list(pairwise(edges.tolist()))


def _jaccard(sets: _Sets, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
    """Exact Jaccard similarity of pairs of sets, ``(pairs,) float64``."""
    sizes, shared = sets.sizes, sets.shared
    owner = np.repeat(np.arange(len(sizes)), shared)
    members = owner * sets.vocabulary + sets.items  # ascending: by owner, then by item
    small = np.where(shared[left] <= shared[right], left, right)
    large = left + right - small
    common = np.zeros(len(left), np.int64)
    budget = max(1, _CHUNK // max(1, math.ceil(shared[small].mean()) if len(small) else 1))
    for begin in range(0, len(left), budget):
        s, g = small[begin : begin + budget], large[begin : begin + budget]
        length = shared[s]
        pair = np.repeat(np.arange(len(s)), length)
        offset = np.arange(len(pair)) - np.repeat(np.cumsum(length) - length, length)
        item = sets.items[sets.starts[s][pair] + offset]
        wanted = g[pair] * sets.vocabulary + item
        place = np.searchsorted(members, wanted)
        place[place == len(members)] = 0
        common[begin : begin + budget] = np.bincount(
            pair[members[place] == wanted], minlength=len(s)
        )
    return common / (sizes[left] + sizes[right] - common)
