"""Sides of a split: by group, stratified or by time, stable when data is added.

Pure functions of keys, groups, times and labels; the record of sides is kept by whoever calls.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from milepost._base.settings import Settings
from milepost.data.duplicates import said_elsewhere, text_keys
from milepost.data.splitting.columns import shown
from milepost.data.splitting.cut import draw_cut, later_groups
from milepost.data.splitting.folding import draw_number
from milepost.data.wording import SHOWN, number_of, quote, verb
from milepost.entities.example import Examples, Finding
from milepost.entities.scorecard import FEW_GROUPS, Regime

CUT = "cut"
"""Key under which the moment is recorded at which the holdout begins, in seconds since 1970."""

Side = Literal["train", "holdout"]
"""What is recorded for the key of a text, and for that of an owner."""

Place = Literal["train", "holdout", "quarantined", "leak"]
"""Where a row goes. ``quarantined``: it belongs to both sides, so it goes to neither. ``leak``: the
test file holds its like, so it is not trained on."""


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """Where each of ``n`` rows goes.

    Attributes:
        places: Per row.
        regime: How numbers are certified with these sides.
        new: Sides of keys seen for the first time, and the cut, to be recorded by the caller.
        findings: Quarantined rows and leaks.
    """

    places: tuple[Place, ...]
    regime: Regime
    new: Mapping[str, str]
    findings: tuple[Finding, ...] = ()

    def rows(self, place: Place) -> list[int]:
        """0-based rows at ``place``."""
        return [i for i, there in enumerate(self.places) if there == place]


def assign_sides(
    examples: Examples, known: Mapping[str, str], settings: Settings, *, seed: int = 0
) -> Sides:
    """Draw a side for each group not seen before; never change a recorded one.

    A new row takes the side of its group. Where the group has both sides, rows whose text and
    owner were recorded on one side stay there, and the others are quarantined. New groups without
    a label go to ``train`` and are not recorded, so that they can still be drawn once they have
    one. New groups with labels are drawn when there are enough labels (``n · holdout_share ≥
    holdout_min``, and at least ``holdout_min_per_label`` examples per label remain for training),
    so that each label's holdout approaches ``holdout_share``; at most half of a label's new groups
    go there. Otherwise they go to ``train``.

    Where the examples have times the holdout is what came last instead: a moment is drawn once,
    the cut, and new groups that begin at it or later go to the holdout from then on. Rows on the
    wrong side of the cut for their group, late ones of groups that are trained on above all, are
    quarantined.

    The regime is ``holdout`` once the holdout has ``holdout_min`` labelled rows and, without
    times, no label is missing from it or far below its share; else ``cross_fitted``: a holdout
    that grows with each addition waits, untouched, until it is large and mixed enough.

    With owners, the holdout is drawn only where it gets ``FEW_GROUPS`` groups or so: its
    intervals rest on them. Rows that repeat what another owner says are quarantined.

    The draw depends on seed, group and label counts, not on the order of the rows, but for which
    of several owners who say the same comes first.

    Args:
        examples: All examples of the task, with their groups.
        known: What is recorded: the side by key of :func:`milepost.data.duplicates.text_keys` and
            of :func:`owner_key`, and the cut under ``CUT``.
        settings: The ``holdout_*`` settings are used.
        seed: Makes the draw.
    """
    repeated = set(said_elsewhere(examples))
    if not repeated:
        return _assigned(examples, known, settings, seed)
    kept = [i for i in range(len(examples)) if i not in repeated]
    sides = _assigned(examples.take(kept), known, settings, seed)
    places: list[Place] = ["quarantined"] * len(examples)
    for i, place in zip(kept, sides.places, strict=True):
        places[i] = place
    return Sides(tuple(places), sides.regime, sides.new, sides.findings)


def _assigned(examples: Examples, known: Mapping[str, str], settings: Settings, seed: int) -> Sides:
    """Sides of rows of which no two owners say the same."""
    keys = row_keys(examples)
    sides_of: defaultdict[str, set[str]] = defaultdict(set)
    for row, group in zip(keys, examples.groups, strict=True):
        sides_of[group].update(known[key] for key in row if key in known)
    cut = _cut(examples, known, sides_of, settings)
    if cut is not None:
        drawn = later_groups(examples, cut)
    else:
        drawn = set[str]() if examples.times else _draw(examples, sides_of, settings, seed)
    places: list[Place] = []
    new: dict[str, str] = {} if cut is None else {CUT: repr(cut)}
    labelled = {examples.groups[i] for i in examples.labelled_rows}
    for i, (row, group) in enumerate(zip(keys, examples.groups, strict=True)):
        place = _place(row, known, sides_of[group], drawn=group in drawn)
        late = cut is not None and examples.times[i] >= cut
        if cut is not None and place != "quarantined" and late != (place == "holdout"):
            place = "quarantined"
        places.append(place)
        if place != "quarantined" and group in labelled:
            new.update((key, place) for key in row)
    new = {key: side for key, side in new.items() if key not in known}
    enough = _fit_to_certify(places, examples.labels, settings, mixed=cut is None)
    regime: Regime = "holdout" if enough else "cross_fitted"
    return Sides(tuple(places), regime, new, _left_out(examples, places, sides_of, cut))


def owner_key(owner: str) -> str:
    """Key under which the side of an owner is recorded; no text has such a key."""
    return f"owner:{hashlib.sha256(owner.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def row_keys(examples: Examples) -> list[tuple[str, ...]]:
    """Keys of each row by which its side is recorded: its text's, and its owner's if it has one."""
    texts = text_keys(examples.texts)
    owners = examples.owners or (None,) * len(texts)
    return [
        (text,) if owner is None else (text, owner_key(owner))
        for text, owner in zip(texts, owners, strict=True)
    ]


def _place(
    row: Sequence[str], known: Mapping[str, str], recorded: set[str], *, drawn: bool
) -> Place:
    """Where a row goes, times aside."""
    if len(recorded) > 1:
        own = {known.get(key) for key in row}
        if len(own) > 1 or None in own:
            return "quarantined"
        recorded = {side for side in own if side is not None}
    return "holdout" if "holdout" in recorded or (drawn and not recorded) else "train"


def _cut(
    examples: Examples,
    known: Mapping[str, str],
    sides_of: Mapping[str, set[str]],
    settings: Settings,
) -> float | None:
    """The recorded cut, or one drawn now; ``None`` without times or with too few labels."""
    if not examples.times:
        return None
    if CUT in known:
        return float(known[CUT])
    counts = Counter(label for label in examples.labels if label is not None)
    return draw_cut(examples, sides_of, settings) if _enough(counts, settings) else None


def _fit_to_certify(
    places: Sequence[Place], labels: Sequence[str | None], settings: Settings, *, mixed: bool
) -> bool:
    """Whether the holdout is large enough and, if ``mixed``, holds every label in about its share.

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
    if not mixed:
        return len(held) > 1
    share = held.total() / totals.total()
    return all(held[c] >= share * n / 2 for c, n in totals.items() if share * n >= 2)


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
    if not _enough(totals, settings) or (
        examples.owners and settings.holdout_share * len(label_counts) < FEW_GROUPS
    ):
        return set()
    sizes = {group: label_counts[group].total() for groups in fresh.values() for group in groups}
    for groups in fresh.values():
        groups.sort(key=lambda group: draw_number(seed, group))
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


def _left_out(
    examples: Examples,
    places: Sequence[Place],
    sides_of: Mapping[str, set[str]],
    cut: float | None,
) -> tuple[Finding, ...]:
    """What was quarantined, and a holdout that has outgrown the rest."""
    lost = [i for i, place in enumerate(places) if place == "quarantined"]
    bridges = [i for i in lost if len(sides_of[examples.groups[i]]) > 1]
    findings: list[Finding] = []
    if bridges:
        n = len(bridges)
        one, many = ("belongs to", "belong to") if examples.owners else ("resembles", "resemble")
        findings.append(
            _finding(
                "bridging_rows",
                bridges,
                f"{number_of(n, 'new row')} {verb(n, one, many)} "
                "both messages that are trained on and messages that are set aside for the final "
                f"measurement; {verb(n, 'it was', 'they were')} left out of both.",
                examples,
            )
        )
    if cut is None:
        return tuple(findings)
    crossing = sorted(set(lost) - set(bridges))
    if crossing:
        n = len(crossing)
        findings.append(
            _finding(
                "across_the_cut",
                crossing,
                f"The holdout begins at {shown(cut)}. {number_of(n, 'row')} "
                f"{verb(n, 'is', 'are')} of groups that occur before and after it, on the side "
                f"that the group is not on; {verb(n, 'it was', 'they were')} left out of both.",
                examples,
            )
        )
    held = sum(places[i] == "holdout" for i in examples.labelled_rows)
    if 2 * held > len(examples.labelled_rows):
        findings.append(
            Finding(
                check="old_training",
                severity="warning",
                count=held,
                summary=f"The holdout has grown to {held:,} of {len(examples.labelled_rows):,} "
                f"labelled rows: nothing from {shown(cut)} on is trained on. Name the latest rows "
                "as a test file of your own (data: test:) to train on all others.",
            )
        )
    return tuple(findings)


def _finding(check: str, rows: Sequence[int], summary: str, examples: Examples) -> Finding:
    return Finding(
        check=check,
        severity="error",
        count=len(rows),
        summary=summary,
        examples=tuple(f"{examples.sources[i]}: {quote(examples.texts[i])}" for i in rows[:SHOWN]),
    )
