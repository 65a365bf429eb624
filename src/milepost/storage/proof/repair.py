"""What was done to entries that do not follow from each other: edited, or put elsewhere.

Pure. The log is repaired from its beginning, entry by entry; what makes the hashes fit was so.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

RowHash = Callable[[str, str, int, Any], str]
"""Hash of a row as that entry of that tenant after the entry with that hash."""

_SEARCHED = 256
"""Misfits among which the right place of each is searched; the effort grows with the square."""


class Break(NamedTuple):
    """A row that does not follow from the one before it.

    Attributes:
        number: Where it stands.
        own: The number that it should have by the entries before it.
        previous: Stored hash of the row before it.
        row: The row; its hash comes last.
    """

    number: int
    own: int
    previous: str
    row: Any


class Fault(NamedTuple):
    """What was done: to which entries, and in words."""

    kind: Literal["edited", "reordered"]
    first: int
    last: int
    what: str


def explain(
    tenant: str,
    breaks: Mapping[int, Break],
    row_hash: RowHash,
    confirmed: Callable[[int], bool],
) -> list[Fault]:
    """Which misfits were edited, which were moved, and which only stand after one that was.

    Args:
        tenant: Whose log.
        breaks: All misfits by where they stand.
        row_hash: How rows are hashed.
        confirmed: Whether a checkpoint confirms the hash of an entry.
    """
    repair = _Repair(tenant, breaks, row_hash)
    for number in sorted(breaks):
        repair.entry(breaks[number])
    return _edits(repair, breaks, confirmed) + _moves(repair.moved, breaks)


class _Repair:
    """The true hash of each misfit, as far as it can be known."""

    def __init__(self, tenant: str, breaks: Mapping[int, Break], row_hash: RowHash) -> None:
        self.tenant = tenant
        self.breaks = breaks
        self.row_hash = row_hash
        self.true: dict[int, str] = {}
        self.moved: dict[int, int] = {}
        self.edited: dict[int, bool] = {}

    def hash(self, previous: str, own: int, row: Any) -> str | None:
        """Hash of a row at a place; ``None`` for one that holds something else than text."""
        try:
            "".join(row[1:])
            return self.row_hash(previous, self.tenant, own, row)
        except TypeError:
            return None

    def entry(self, broken: Break) -> None:
        """Decide on one misfit; those before it are decided on."""
        number, stored = broken.number, broken.row[-1]
        previous = self.true.get(number - 1, broken.previous)
        computed = self.hash(previous, broken.own, broken.row)
        if computed == stored:
            self.true[number] = stored
            return
        source = self._source(broken, previous)
        if source is not None:
            return
        after = self.breaks.get(number + 1)
        only_hash = (
            after is not None
            and computed is not None
            and self.hash(computed, after.own, after.row) == after.row[-1]
        )
        self.true[number] = computed if only_hash and computed else stored
        self.edited[number] = only_hash

    def _source(self, broken: Break, previous: str) -> int | None:
        """Where the content of this entry stands now, if among the misfits."""
        if len(self.breaks) > _SEARCHED:
            return None
        for other in self.breaks.values():
            if other.number == broken.number:
                continue
            digest = self.hash(previous, broken.own, other.row)
            if digest is not None and digest in {other.row[-1], broken.row[-1]}:
                self.true[broken.number] = digest
                self.moved[broken.number] = other.number
                return other.number
        return None


def _edits(
    repair: _Repair, breaks: Mapping[int, Break], confirmed: Callable[[int], bool]
) -> list[Fault]:
    faults: list[Fault] = []
    for number, only_hash in repair.edited.items():
        own = breaks[number].own
        if only_hash:
            what = f"the hash of entry {own} was edited; its content fits."
        else:
            what = f"entry {own} was edited: its content does not give its hash."
            if own > 1 and not confirmed(own - 1) and number - 1 not in repair.true:
                what += f" Or entry {own - 1} was, together with its hash."
        faults.append(Fault("edited", own, own, what))
    return faults


def _moves(moved: Mapping[int, int], breaks: Mapping[int, Break]) -> list[Fault]:
    faults: list[Fault] = []
    for number, source in moved.items():
        first, last = breaks[number].own, breaks[source].own
        if moved.get(source) != number:
            what = f"what was entry {first} stands in the place of entry {last}."
            faults.append(Fault("reordered", first, first, what))
        elif number < source:
            faults.append(
                Fault("reordered", first, last, f"entries {first} and {last} were swapped.")
            )
    return faults
