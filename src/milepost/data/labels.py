"""Labels that look like misspellings of other labels."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from milepost.data.wording import SHOWN, listing, number_of, shorten, verb
from milepost.entities.example import Finding

_MUCH_MORE_FREQUENT = 5
_SHORTEST_FOR_ONE_EDIT = 4
_SHORTEST_FOR_TWO_EDITS = 8


def label_typos(counts: Mapping[str, int], declared: Sequence[str] = ()) -> list[Finding]:
    """Labels that differ from another one only in writing.

    Two kinds: labels equal but for case, spaces, hyphens and underscores, whatever their counts;
    and labels one edit (from 4 characters) or two edits (from 8) away from one at least five times
    as frequent (optimal string alignment distance). Labels that differ in their digits, and those
    that the task declares, are taken as meant.

    Args:
        counts: Labelled rows per label.
        declared: Labels of the task.
    """
    pairs = _same_letters(counts, declared)
    settled = {typo for typo, _ in pairs}
    pairs += [pair for pair in _few_edits(counts, declared) if pair[0] not in settled]
    if not pairs:
        return []
    rows = sum(counts[typo] for typo, _ in pairs)
    n = len(pairs)
    return [
        Finding(
            check="label_typos",
            severity="warning",
            count=rows,
            summary=f"{number_of(n, 'label')} {verb(n, 'looks', 'look')} like a misspelling of "
            f"another label: {listing([typo for typo, _ in pairs], 3)} "
            f"({number_of(rows, 'row')} in all).",
            examples=tuple(
                f"'{shorten(typo, 40)}' ({number_of(counts[typo], 'row')}) is probably "
                f"'{shorten(right, 40)}' ({number_of(counts.get(right, 0), 'row')})"
                for typo, right in pairs[:SHOWN]
            ),
        )
    ]


def _letters(label: str) -> str:
    return re.sub(r"[\s_-]+", "", label.casefold())


def _same_letters(counts: Mapping[str, int], declared: Sequence[str]) -> list[tuple[str, str]]:
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for label in dict.fromkeys([*declared, *counts]):
        alike[_letters(label)].append(label)
    fixed = set(declared)
    pairs: list[tuple[str, str]] = []
    for labels in alike.values():
        right = min(labels, key=lambda c: (c not in fixed, -counts.get(c, 0), c))
        pairs += [(label, right) for label in labels if label != right and label not in fixed]
    return sorted(pairs, key=lambda pair: (-counts[pair[0]], pair))


def _few_edits(counts: Mapping[str, int], declared: Sequence[str]) -> list[tuple[str, str]]:
    from rapidfuzz.distance import OSA
    from rapidfuzz.process import cdist

    if not counts:
        return []
    fixed = set(declared)
    most = max(counts.values())
    rare = sorted(
        label
        for label, n in counts.items()
        if label not in fixed
        and len(label) >= _SHORTEST_FOR_ONE_EDIT
        and (n * _MUCH_MORE_FREQUENT <= most or fixed)
    )
    targets = sorted(fixed | {c for c, n in counts.items() if n >= _MUCH_MORE_FREQUENT})
    if not rare or not targets:
        return []
    distance = cdist(rare, targets, scorer=OSA.distance, score_cutoff=2, dtype=np.uint8)
    near: defaultdict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for i, j in zip(*np.nonzero(distance <= 2), strict=True):
        typo, right, edits = rare[i], targets[j], int(distance[i, j])
        allowed = 2 if min(len(typo), len(right)) >= _SHORTEST_FOR_TWO_EDITS else 1
        plausible = right in fixed or counts[right] >= _MUCH_MORE_FREQUENT * counts[typo]
        same_digits = re.findall(r"\d+", typo) == re.findall(r"\d+", right)
        if 0 < edits <= allowed and plausible and same_digits:
            near[typo].append((edits, -counts.get(right, 0), right))
    return [(typo, min(found)[2]) for typo, found in sorted(near.items())]
