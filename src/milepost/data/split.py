"""Sides of a split and folds: by near-duplicate group, stratified, stable when data is added.

Pure functions of keys, groups and labels; the record of sides is kept by whoever calls.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from milepost._base.settings import Settings
from milepost.data.duplicates import text_keys
from milepost.data.wording import SHOWN, number_of, quote, verb
from milepost.entities.errors import DataError
from milepost.entities.example import Examples, Finding
from milepost.entities.scorecard import Regime

Side = Literal["train", "holdout"]
"""What is recorded for the key of a text."""

Place = Literal["train", "holdout", "quarantined", "leak"]
"""Where a row goes. ``quarantined``: it links texts recorded on both sides, so it goes to neither.
``leak``: its group also occurs in the test file, so it is not trained on."""


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """Where each of ``n`` rows goes.

    Attributes:
        places: Per row.
        regime: How numbers are certified with these sides.
        new: Sides of keys seen for the first time, to be recorded by the caller.
        findings: Quarantined rows and leaks.
    """

    places: tuple[Place, ...]
    regime: Regime
    new: Mapping[str, Side]
    findings: tuple[Finding, ...] = ()

    def rows(self, place: Place) -> list[int]:
        """0-based rows at ``place``."""
        return [i for i, there in enumerate(self.places) if there == place]


def assign_sides(
    examples: Examples, known: Mapping[str, str], settings: Settings, *, seed: int = 0
) -> Sides:
    """Draw a side for each group not seen before; never change a recorded one.

    A row whose key is recorded keeps its side. A new row takes the side of its group; if the group
    has both sides, the row is quarantined. New groups without a label go to ``train`` and are not
    recorded, so that they can still be drawn once they have one. New groups with labels are drawn
    when there are enough labels (``n · holdout_share ≥ holdout_min``, and at least
    ``holdout_min_per_label`` examples per label remain for training), so that each label's holdout
    approaches ``holdout_share``; at most half of a label's new groups go there. Otherwise they go
    to ``train``.

    The regime is ``holdout`` once the holdout has ``holdout_min`` labelled rows and no label is
    missing from it or far below its share, else ``cross_fitted``: a holdout that grows with each
    addition waits, untouched, until it is large and mixed enough.

    The draw depends on seed, group and label counts, not on the order of the rows.

    Args:
        examples: All examples of the task, with their groups.
        known: Recorded side by key of :func:`milepost.data.duplicates.text_keys`.
        settings: The ``holdout_*`` settings are used.
        seed: Makes the draw.
    """
    keys = text_keys(examples.texts)
    groups, labels = examples.groups, examples.labels
    sides_of: defaultdict[str, set[str]] = defaultdict(set)
    for key, group in zip(keys, groups, strict=True):
        if key in known:
            sides_of[group].add(known[key])
    drawn = _draw(examples, sides_of, settings, seed)
    places: list[Place] = []
    new: dict[str, Side] = {}
    labelled = {g for g, label in zip(groups, labels, strict=True) if label is not None}
    for key, group in zip(keys, groups, strict=True):
        recorded = sides_of.get(group, set())
        if key in known:
            places.append("holdout" if known[key] == "holdout" else "train")
        elif len(recorded) > 1:
            places.append("quarantined")
        else:
            side: Side = "holdout" if "holdout" in recorded or group in drawn else "train"
            places.append(side)
            if group in labelled:
                new[key] = side
    regime: Regime = "holdout" if _fit_to_certify(places, labels, settings) else "cross_fitted"
    return Sides(tuple(places), regime, new, _bridges(examples, places))


def _fit_to_certify(
    places: Sequence[Place], labels: Sequence[str | None], settings: Settings
) -> bool:
    """Whether the holdout is large enough and holds every label in about its share.

    A label counts as missing below half its share; labels too rare for two expected rows do not
    count.
    """
    totals = Counter(label for label in labels if label is not None)
    held = Counter(
        label
        for place, label in zip(places, labels, strict=True)
        if place == "holdout" and label is not None
    )
    if held.total() < max(1, settings.holdout_min):
        return False
    share = held.total() / totals.total()
    return all(held[c] >= share * n / 2 for c, n in totals.items() if share * n >= 2)


def against_test(examples: Examples, test: Examples) -> Sides:
    """Sides where the user has a test file: rows whose group occurs in it are leaks.

    Args:
        examples: Training examples, grouped together with ``test``.
        test: The test examples.
    """
    rows_of: defaultdict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(test.groups):
        rows_of[group].append(i)
    leaks = [i for i, group in enumerate(examples.groups) if group in rows_of]
    leaking = set(leaks)
    places: list[Place] = ["leak" if i in leaking else "train" for i in range(len(examples))]
    if not leaks:
        return Sides(tuple(places), "test_file", {})
    texts = set(test.texts)
    n, equal = len(leaks), sum(examples.texts[i] in texts for i in leaks)
    concerned = sum(len(rows_of[g]) for g in {examples.groups[i] for i in leaks})
    otherwise = sum(_labelled_otherwise(examples, i, test, rows_of) for i in leaks)
    disagree = f" {otherwise:,} of them {verb(otherwise, 'has', 'have')} another label there."
    finding = Finding(
        check="leaks",
        severity="error",
        count=n,
        summary=f"{number_of(n, 'training row')} {verb(n, 'is', 'are')} also in the test file "
        f"({equal:,} word for word, {n - equal:,} nearly so; {number_of(concerned, 'test row')} "
        f"concerned) and {verb(n, 'was', 'were')} left out of training, so that the test measures "
        f"new messages.{disagree if otherwise else ''}",
        examples=tuple(
            f"{examples.sources[i]} and {test.sources[rows_of[examples.groups[i]][0]]}: "
            f"{quote(examples.texts[i])}"
            for i in leaks[:SHOWN]
        ),
    )
    return Sides(tuple(places), "test_file", {}, (finding,))


def _labelled_otherwise(
    examples: Examples, row: int, test: Examples, rows_of: Mapping[str, Sequence[int]]
) -> bool:
    """Whether the row has a label that none of its group's test rows has."""
    label = examples.labels[row]
    there = {test.labels[i] for i in rows_of[examples.groups[row]]} - {None}
    return label is not None and bool(there) and label not in there


def folds(groups: Sequence[str], y: NDArray[np.int64], k: int, seed: int = 0) -> NDArray[np.int64]:
    """Fold of each row: stratified, and no group in two folds.

    Greedy: groups from the largest to the smallest, in an order drawn by ``seed``, each to the
    fold that has least of its labels (then to the one with fewest rows). Depends on the groups and
    labels, not on the order of the rows. With fewer groups than ``k`` there are as many folds as
    groups.

    Args:
        groups: Group of each of ``n`` rows.
        y: ``(n,) int64``, label of each row, 0 or more.
        k: Folds wanted, at least 2.
        seed: Makes the draw.

    Returns:
        ``(n,) int64`` in ``[0, min(k, number of groups))``; every fold has at least one row.

    Raises:
        ValueError: If ``k`` is below 2 or the lengths differ.
        DataError: If there are fewer than two groups.
    """
    if k < 2 or len(groups) != len(y):
        raise ValueError(f"{k} folds of {len(groups)} groups and {len(y)} labels")
    members: defaultdict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    if len(members) < 2:
        raise DataError(
            "all examples are near-duplicates of each other.",
            advice="At least two different messages are needed to measure anything.",
        )
    k = min(k, len(members))
    labels = y.tolist()
    counts = {group: Counter(labels[i] for i in rows) for group, rows in members.items()}
    order = sorted(members, key=lambda g: (-len(members[g]), _draw_number(seed, g)))
    of_label: defaultdict[int, list[int]] = defaultdict(lambda: [0] * k)
    sizes = [0] * k
    fold = np.empty(len(labels), np.int64)
    empty = k
    for position, group in enumerate(order):
        own = counts[group]
        # The last groups go to folds that are still empty, so that none stays so.
        open_folds = [f for f in range(k) if not sizes[f]] if len(order) - position <= empty else (
            range(k)
        )  # fmt: skip
        best = min(
            open_folds, key=lambda f: (sum(n * of_label[c][f] for c, n in own.items()), sizes[f], f)
        )
        empty -= not sizes[best]
        for label, n in own.items():
            of_label[label][best] += n
        sizes[best] += len(members[group])
        fold[members[group]] = best
    return fold


def _draw_number(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogatepass")).digest()


def _draw(
    examples: Examples, sides_of: Mapping[str, set[str]], settings: Settings, seed: int
) -> set[str]:
    """New groups that go to the holdout."""
    label_counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for group, label in zip(examples.groups, examples.labels, strict=True):
        if label is not None:
            label_counts[group][label] += 1
    totals: Counter[str] = Counter()
    held: Counter[str] = Counter()
    fresh: defaultdict[str, list[str]] = defaultdict(list)
    for group, counts in label_counts.items():
        recorded = sides_of.get(group, set())
        if len(recorded) > 1:
            continue
        label = min(counts, key=lambda c: (-counts[c], c))
        totals[label] += counts.total()
        if "holdout" in recorded:
            held[label] += counts.total()
        elif not recorded:
            fresh[label].append(group)
    if not _enough(totals, settings):
        return set()
    sizes = {group: label_counts[group].total() for groups in fresh.values() for group in groups}
    for groups in fresh.values():
        groups.sort(key=lambda group: _draw_number(seed, group))
    return _fill(fresh, sizes, totals, held, settings)


def _fill(
    fresh: Mapping[str, Sequence[str]],
    sizes: Mapping[str, int],
    totals: Counter[str],
    held: Counter[str],
    settings: Settings,
) -> set[str]:
    """Take new groups, in their drawn order, until each label's holdout has its share."""
    wanted = max(settings.holdout_share * totals.total(), float(settings.holdout_min))
    drawn: set[str] = set()
    left: list[str] = []
    total = held.total()
    for label in sorted(fresh):
        target = wanted * totals[label] / totals.total()
        have = held[label]
        for group in fresh[label][: len(fresh[label]) // 2]:
            if have + sizes[group] / 2 <= target:
                drawn.add(group)
                have += sizes[group]
            else:
                left.append(group)
        total += have - held[label]
    # Rounding per label may fall short of the smallest holdout by a row per label, never by more:
    # a label must not fill the place of another.
    for group in left[: len(totals)]:
        if total >= settings.holdout_min:
            break
        drawn.add(group)
        total += sizes[group]
    return drawn


def _enough(totals: Counter[str], settings: Settings) -> bool:
    n = totals.total()
    share = settings.holdout_share
    left_per_label = n * (1 - share) / max(1, len(totals))
    return n * share >= settings.holdout_min and left_per_label >= settings.holdout_min_per_label


def _bridges(examples: Examples, places: Sequence[Place]) -> tuple[Finding, ...]:
    lost = [i for i, place in enumerate(places) if place == "quarantined"]
    if not lost:
        return ()
    return (
        Finding(
            check="bridging_rows",
            severity="error",
            count=len(lost),
            summary=f"{number_of(len(lost), 'new row')} {verb(len(lost), 'resembles', 'resemble')} "
            "both messages that are trained on and messages that are set aside for the final "
            f"measurement; {verb(len(lost), 'it was', 'they were')} left out of both.",
            examples=tuple(
                f"{examples.sources[i]}: {quote(examples.texts[i])}" for i in lost[:SHOWN]
            ),
        ),
    )
