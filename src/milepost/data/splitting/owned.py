"""What a task's own groups, such as customers, allow to be measured: few say little, however long.

Rows of one group are alike, so that an interval rests on the groups and not on their rows.
"""

from collections import Counter
from collections.abc import Sequence

from milepost.data.duplicates import said_elsewhere
from milepost.data.wording import SHOWN, number_of, quote, verb
from milepost.entities.errors import DataError
from milepost.entities.example import Examples, Finding
from milepost.entities.scorecard import FEW_GROUPS

REFUSED_BELOW = 4
"""Groups without which nothing can be measured."""


def about_owners(examples: Examples, column: str) -> tuple[Finding, ...]:
    """Rows that are left out because another group says the same, and too few groups.

    Args:
        examples: Examples to split, with their owners; without them nothing is found.
        column: The task's group column.
    """
    if not examples.owners:
        return ()
    repeated = said_elsewhere(examples)
    findings = [_repeated(examples, repeated, column)] if repeated else []
    rows = sorted(set(examples.labelled_rows) - set(repeated))
    groups = len({examples.groups[i] for i in rows})
    if groups < FEW_GROUPS:
        findings.append(
            Finding(
                check="few_groups",
                severity="warning",
                count=groups,
                summary=f"The labelled rows are of {number_of(groups, 'group')} ({column}), and "
                f"every interval rests on them. Label rows of more groups (at least "
                f"{FEW_GROUPS}); more rows of the same ones would hardly help.",
            )
        )
    return tuple(findings)


def check_owners(examples: Examples, rows: Sequence[int], column: str, where: str) -> None:
    """Refuse to judge on rows of which hardly any two are independent.

    Args:
        examples: With owners where the task names a column of groups.
        rows: Those that are judged on.
        column: The task's group column.
        where: The task file.

    Raises:
        DataError: With fewer than ``REFUSED_BELOW`` groups, or one with more than half of the rows.
    """
    if not examples.owners or not rows:
        return
    sizes = Counter(examples.groups[i] for i in rows)
    largest, n = sizes.most_common(1)[0]
    advice = (
        f"Label rows of other groups (at least {FEW_GROUPS} in all), or leave data: group: out "
        "of the task file if new groups need not be answered."
    )
    if len(sizes) < REFUSED_BELOW:
        raise DataError(
            f"the {number_of(len(rows), 'row')} to judge on {verb(len(rows), 'is', 'are')} of "
            f"{number_of(len(sizes), 'group')} by {column!r}; at least {REFUSED_BELOW} are needed "
            "to measure how well others are answered.",
            where=where,
            advice=advice,
        )
    if 2 * n > len(rows):
        row = next(i for i in rows if examples.groups[i] == largest)
        raise DataError(
            f"{n:,} of the {number_of(len(rows), 'row')} to judge on are of one group, {column} "
            f"{quote(examples.owners[row] or '', 40)}: what is measured would be measured on it.",
            where=where,
            advice=advice,
        )


def _repeated(examples: Examples, repeated: Sequence[int], column: str) -> Finding:
    n = len(repeated)
    first: dict[str, int] = {}
    for i, (said, owner) in enumerate(zip(examples.duplicates, examples.owners, strict=True)):
        if owner is not None:
            first.setdefault(said, i)
    return Finding(
        check="said_by_other_groups",
        severity="error",
        count=n,
        summary=f"{number_of(n, 'row')} {verb(n, 'says', 'say')} nearly the same as an earlier row "
        f"of another group ({column}) and {verb(n, 'was', 'were')} left out, so that no message is "
        "on both sides of a split.",
        examples=tuple(
            f"{examples.sources[i]} and {examples.sources[first[examples.duplicates[i]]]}: "
            f"{quote(examples.texts[i])}"
            for i in repeated[:SHOWN]
        ),
    )
