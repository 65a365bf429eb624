"""The moment at which the holdout begins, where a task has times: drawn once, and kept.

What is judged on is later than everything that is trained on. So rows from the cut on go to the
holdout, now and whenever more come, unless their group was there before the cut: such rows are on
neither side, because the model has seen their like. Nothing moves from one side to the other.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from milepost._base.settings import Settings
from milepost.entities.example import Examples
from milepost.entities.scorecard import FEW_GROUPS


def draw_cut(
    examples: Examples, recorded: Mapping[str, set[str]], settings: Settings
) -> float | None:
    """The latest moment that leaves a large enough holdout after it and half of the labels before.

    With owners, large enough is also ``FEW_GROUPS`` groups: intervals rest on them.

    Args:
        examples: All examples of the task, with groups and times.
        recorded: Recorded sides by group; groups that have one are not drawn again.
        settings: ``holdout_share`` and ``holdout_min`` are used.

    Returns:
        Seconds since 1970; ``None`` while there is no such moment.
    """
    rows = examples.labelled_rows
    size = Counter(examples.groups[row] for row in rows)
    wanted = max(settings.holdout_share * len(rows), float(settings.holdout_min))
    fresh: defaultdict[float, int] = defaultdict(int)
    first = {g: t for g, t in _first(examples, rows).items() if not recorded.get(g)}
    for group, time in first.items():
        fresh[time] += size[group]
    held = 0
    begun = Counter(first.values())
    groups = 0
    for time in sorted(fresh, reverse=True):
        held += fresh[time]
        groups += begun[time]
        if held >= wanted and (groups >= FEW_GROUPS or not examples.owners):
            before = sum(examples.times[row] < time for row in rows)
            return time if 2 * before >= len(rows) else None
    return None


def later_groups(examples: Examples, cut: float) -> set[str]:
    """Groups whose labelled rows, or all rows where none has a label, are at the cut or later."""
    first = _first(examples, range(len(examples)))
    first.update(_first(examples, examples.labelled_rows))
    return {group for group, time in first.items() if time >= cut}


def _first(examples: Examples, rows: Iterable[int]) -> dict[str, float]:
    """Earliest time of each group among the rows."""
    first: dict[str, float] = {}
    for row in rows:
        group, time = examples.groups[row], examples.times[row]
        first[group] = min(time, first.get(group, time))
    return first
