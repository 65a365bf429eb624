"""Slices by metadata: values, ranges of numbers, months and weekdays, and pairs of them."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from milepost.entities.example import Examples
from milepost.evaluation.slicing.condition import Condition, literal, quoted, ranges

MOST_VALUES = 40
"""Values of one column that are tried, the most frequent ones."""

MOST_COLUMNS = 30
"""Columns that are looked at, the first ones."""

MOST_PAIRS = 400
"""Pairs of conditions that are tried, those with the most examples."""

_FEW = 12
_LONGEST = 100
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ID = re.compile(r"(^|_)(id|ids|uuid|guid|key|index|row)$", re.IGNORECASE)


def by_metadata(examples: Examples, input_name: str, least: int) -> list[Condition]:
    """Conditions on every metadata column but those that name rows, such as ``case_id``.

    Args:
        examples: ``n`` of them.
        input_name: Name of the input; a column of that name cannot be said in SQL.
        least: Fewest rows of a slice.
    """
    found: list[Condition] = []
    taken = {input_name.lower()}
    for name, values in list(examples.metadata.items())[:MOST_COLUMNS]:
        if name.lower() in taken:
            continue
        taken.add(name.lower())
        found += _column(name, values, least)
    return found


def pairs(conditions: Sequence[Condition], least: int) -> list[Condition]:
    """Both of two conditions that are about different things, the most frequent pairs."""
    if len(conditions) < 2:
        return []
    masks = np.stack([condition.mask for condition in conditions]).astype(np.float32)
    joint = np.rint(masks @ masks.T).astype(np.int64)
    alone = np.diag(joint)
    first, second = np.nonzero(np.triu(np.ones(joint.shape, np.bool_), 1))
    counts = joint[first, second]
    # A pair that is nearly one of its parts says no more than that part.
    smaller = counts <= 0.95 * np.minimum(alone[first], alone[second])
    apart = np.array(
        [
            conditions[i].about != conditions[j].about
            for i, j in zip(first.tolist(), second.tolist(), strict=True)
        ]
    )
    kept = np.flatnonzero((counts >= least) & smaller & apart)
    kept = kept[np.argsort(-counts[kept], kind="stable")][:MOST_PAIRS]
    return [_both(conditions[int(first[at])], conditions[int(second[at])]) for at in kept]


def _both(one: Condition, other: Condition) -> Condition:
    said = one.predicate is not None and other.predicate is not None
    return Condition(
        description=f"{one.description} and {other.description}",
        kind="conjunction",
        mask=one.mask & other.mask,
        predicate=f"({one.predicate}) AND ({other.predicate})" if said else None,
    )


def _column(name: str, values: Sequence[object], least: int) -> list[Condition]:
    known = [value for value in values if value is not None]
    if not known:
        return []
    found: list[Condition] = []
    missing = np.array([value is None for value in values])
    if missing.any():
        found.append(_condition(f"{name} is missing", missing, f"{quoted(name)} IS NULL", name))
    distinct = len(set(map(str, known)))
    if distinct > _FEW and _ID.search(name):
        return found
    numbers = _numbers(values)
    if numbers is not None and distinct > _FEW:
        return found + _number_ranges(name, values, numbers, least)
    moments = _moments(values) if numbers is None and distinct > _FEW else None
    if moments is not None:
        return found + _months_and_days(name, moments)
    return found + _values(name, values, least)


def _values(name: str, values: Sequence[object], least: int) -> list[Condition]:
    """One condition a frequent value; texts that are as good as free are left out."""
    counts = Counter(str(value) for value in values if value is not None)
    kinds = {type(value) for value in values if value is not None}
    texts = np.array([None if value is None else str(value) for value in values], dtype=object)
    found: list[Condition] = []
    for value, count in counts.most_common(MOST_VALUES):
        if count < least or len(value) > _LONGEST:
            continue
        plain = kinds in ({bool}, {int})
        said = value.lower() if plain else literal(value)
        shown = value if plain else f'"{value}"'
        found.append(
            _condition(f"{name} is {shown}", texts == value, f"{quoted(name)} = {said}", name)
        )
    return found


def _number_ranges(
    name: str, values: Sequence[object], numbers: NDArray[np.float64], least: int
) -> list[Condition]:
    written = any(isinstance(value, str) for value in values)
    column = f"TRY_CAST({quoted(name)} AS DOUBLE)" if written else quoted(name)
    return [
        _condition(
            f"{name} from {_shown(low)} to {_shown(high)}"
            if low < high
            else f"{name} is {_shown(low)}",
            (numbers >= low) & (numbers <= high),
            f"{column} BETWEEN {low!r} AND {high!r}",
            name,
        )
        for low, high in ranges(numbers, least)
    ]


def _shown(value: float) -> str:
    """A number for people: no powers of ten for counts of followers or cents."""
    return f"{value:,.0f}" if value.is_integer() and abs(value) >= 1e5 else f"{value:g}"


def _months_and_days(name: str, moments: Sequence[datetime | None]) -> list[Condition]:
    column = f"TRY_CAST({quoted(name)} AS TIMESTAMP)"
    months = [moment and f"{moment.year:04d}-{moment.month:02d}" for moment in moments]
    days = [moment.isoweekday() if moment else 0 for moment in moments]
    counts = Counter(month for month in months if month)
    found = [
        _condition(
            f"{name} in {month}",
            np.array([each == month for each in months]),
            f"strftime({column}, '%Y-%m') = '{month}'",
            f"{name} month",
        )
        for month, _ in counts.most_common(MOST_VALUES)
    ]
    return found + [
        _condition(
            f"{name} on a {_DAYS[day - 1]}",
            np.array([each == day for each in days]),
            f"isodow({column}) = {day}",
            f"{name} weekday",
        )
        for day in range(1, 8)
    ]


def _condition(description: str, mask: NDArray[np.bool_], predicate: str, about: str) -> Condition:
    return Condition(
        description=description, kind="metadata", mask=mask, predicate=predicate, about=about
    )


def _numbers(values: Sequence[object]) -> NDArray[np.float64] | None:
    """Values as numbers, NaN for none; ``None`` where any is something else."""
    found = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if value is None:
            continue
        if isinstance(value, bool):
            return None
        try:
            found[row] = float(str(value))
        except ValueError:
            return None
    return found if np.isfinite(found[~np.isnan(found)]).all() else None


def _moments(values: Sequence[object]) -> list[datetime | None] | None:
    """Values as points in time, UTC; ``None`` where any is something else."""
    found: list[datetime | None] = []
    for value in values:
        if value is None:
            found.append(None)
            continue
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            return None
        found.append(moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment)
    return found
