"""What of the training data is also in the user's own test file, and is left out of training."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from milepost.data.duplicates import said_elsewhere
from milepost.data.split import Place, Sides
from milepost.data.splitting.columns import group_column, shown, time_column
from milepost.data.wording import SHOWN, number_of, quote, verb
from milepost.entities.errors import DataError
from milepost.entities.example import Examples, Finding
from milepost.entities.task import Task


def against_test(examples: Examples, test: Examples, task: Task | None = None) -> Sides:
    """Sides where the user has a test file: rows that leak into it are not trained on.

    A row leaks when its near-duplicate group or its owner occurs in the test file, or, where the
    task has times, when it is not earlier than the earliest test row. Of what several owners say,
    only the first one's rows are trained on.

    Args:
        examples: Training examples, grouped together with ``test``.
        test: The test examples.
        task: Names the columns of groups and times in what is said.

    Raises:
        DataError: If the task has times and most rows are not earlier than the test file.
    """
    said_again = _rows_by(test.duplicates)
    same_owner = _rows_by(test.owners)
    duplicates = [i for i, group in enumerate(examples.duplicates) if group in said_again]
    taken = set(duplicates)
    owned = [
        i
        for i, owner in enumerate(examples.owners)
        if owner is not None and owner in same_owner and i not in taken
    ]
    taken.update(owned)
    late = [i for i in _late(examples, test) if i not in taken]
    taken.update(late)
    repeated = set(said_elsewhere(examples))
    places: list[Place] = [
        "leak" if i in taken else "quarantined" if i in repeated else "train"
        for i in range(len(examples))
    ]
    findings: list[Finding] = []
    if duplicates:
        findings.append(_duplicates(examples, test, duplicates, said_again))
    if owned:
        column = (task and group_column(task)) or "group"
        findings.append(_owned(examples, test, owned, same_owner, column))
    if late:
        findings.append(_not_earlier(examples, test, late, task))
    return Sides(tuple(places), "test_file", {}, tuple(findings))


def _rows_by(names: Sequence[str | None]) -> dict[str, list[int]]:
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        if name is not None:
            rows[name].append(i)
    return dict(rows)


def _late(examples: Examples, test: Examples) -> list[int]:
    """Rows that are not earlier than every test row."""
    if not examples.times or not test.times:
        return []
    begin = min(test.times)
    return [i for i, time in enumerate(examples.times) if time >= begin]


def _duplicates(
    examples: Examples, test: Examples, leaks: Sequence[int], rows_of: Mapping[str, Sequence[int]]
) -> Finding:
    texts = set(test.texts)
    n, equal = len(leaks), sum(examples.texts[i] in texts for i in leaks)
    concerned = sum(len(rows_of[g]) for g in {examples.duplicates[i] for i in leaks})
    otherwise = sum(_labelled_otherwise(examples, i, test, rows_of) for i in leaks)
    disagree = f" {otherwise:,} of them {verb(otherwise, 'has', 'have')} another label there."
    return Finding(
        check="leaks",
        severity="error",
        count=n,
        summary=f"{number_of(n, 'training row')} {verb(n, 'is', 'are')} also in the test file "
        f"({equal:,} word for word, {n - equal:,} nearly so; {number_of(concerned, 'test row')} "
        f"concerned) and {verb(n, 'was', 'were')} left out of training, so that the test measures "
        f"new messages.{disagree if otherwise else ''}",
        examples=tuple(
            f"{examples.sources[i]} and {test.sources[rows_of[examples.duplicates[i]][0]]}: "
            f"{quote(examples.texts[i])}"
            for i in leaks[:SHOWN]
        ),
    )


def _labelled_otherwise(
    examples: Examples, row: int, test: Examples, rows_of: Mapping[str, Sequence[int]]
) -> bool:
    """Whether the row has a label that none of its group's test rows has."""
    label = examples.labels[row]
    there = {test.labels[i] for i in rows_of[examples.duplicates[row]]} - {None}
    return label is not None and bool(there) and label not in there


def _owned(
    examples: Examples,
    test: Examples,
    leaks: Sequence[int],
    rows_of: Mapping[str, Sequence[int]],
    column: str,
) -> Finding:
    n, of = len(leaks), len({examples.owners[i] for i in leaks})
    return Finding(
        check="group_leaks",
        severity="error",
        count=n,
        summary=f"{number_of(n, 'training row')} {verb(n, 'has', 'have')} the same {column} as a "
        f"row of the test file ({number_of(of, 'value')}) and {verb(n, 'was', 'were')} left out of "
        "training, so that the test measures new ones.",
        examples=tuple(
            f"{examples.sources[i]} and {test.sources[rows_of[examples.owners[i] or ''][0]]}: "
            f"{column} {quote(examples.owners[i] or '', 40)}"
            for i in leaks[:SHOWN]
        ),
    )


def _not_earlier(
    examples: Examples, test: Examples, late: Sequence[int], task: Task | None
) -> Finding:
    n, begin = len(late), shown(min(test.times))
    if 2 * n > len(examples):
        raise DataError(
            f"{n:,} of {len(examples):,} training rows are not earlier than the test file, which "
            f"begins at {begin}.",
            where=test.sources[test.times.index(min(test.times))],
            advice="Give a test file that is later than the examples, or leave data: time: out of "
            "the task file.",
        )
    column = (task and time_column(task)) or "time"
    return Finding(
        check="not_earlier",
        severity="error",
        count=n,
        summary=f"{number_of(n, 'training row')} {verb(n, 'is', 'are')} not earlier than the test "
        f"file, which begins at {begin}, and {verb(n, 'was', 'were')} left out of training, so "
        f"that the test measures what came later ({column}).",
        examples=tuple(
            f"{examples.sources[i]}: {shown(examples.times[i])}, {quote(examples.texts[i])}"
            for i in late[:SHOWN]
        ),
    )
