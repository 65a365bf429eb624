"""Whether a log's entries follow from each other and fit its checkpoints; if not, what was done.

Pure: rows in, findings out, in one pass and constant memory. What was done to a log is inferred
by repairing it: a hypothesis counts only when hashes then fit, which chance cannot do.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice

import msgspec

from milepost.entities.audit import AuditFinding, Checkpoint, Expected, FaultKind
from milepost.storage.chain import FORMAT, GENESIS
from milepost.storage.proof.repair import Break, explain

RawRow = tuple[int, str, str, str, str, str, str, str, str]
"""Sequence, time (ISO 8601, UTC, microseconds), actor, role, action, subject, reason, details as
stored, hash."""

MOST = 1000
"""Faults that are told apart; further ones are counted."""

_REACH = 64
"""Entries that may be inserted or deleted in one place and still be recognised as such."""

_encode = msgspec.json.Encoder().encode


def row_hash(previous: str, tenant: str, sequence: int, row: RawRow) -> str:
    """The hash that ``row`` has as entry ``sequence`` after the entry with hash ``previous``."""
    return sha256(_encode((FORMAT, previous, tenant, sequence, *row[1:8]))).hexdigest()


@dataclass(slots=True)
class Checked:
    """What a pass over one tenant's log came to.

    Attributes:
        entries: How many rows there were.
        head: Hash of the last one.
        last: Its number.
        first_at: Time of the first one.
        last_at: Time of the last one.
        covered: Last entry whose hash a checkpoint, or the expected one, confirms; 0 for none.
        findings: What was found, in the order of the entries.
        more: Further faults.
    """

    entries: int = 0
    head: str = GENESIS
    last: int = 0
    first_at: str | None = None
    last_at: str | None = None
    covered: int = 0
    findings: list[AuditFinding] = field(default_factory=list[AuditFinding])
    more: int = 0


def check_chain(
    tenant: str,
    rows: Iterable[RawRow],
    checkpoints: Mapping[int, Checkpoint],
    expected: Expected | None = None,
) -> Checked:
    """Recompute a log and hold it against its checkpoints.

    Args:
        tenant: Whose log.
        rows: All entries, in the order of their numbers.
        checkpoints: Believed ones, by the entry that they cover.
        expected: What somebody noted earlier.
    """
    check = _Check(tenant, checkpoints, expected)
    check.walk(iter(rows))
    return check.conclude()


@dataclass(slots=True)
class _Run:
    """Checkpoints in a row that disagree: after which agreeing one, the first and the last."""

    after: int
    first: int
    last: int


class _Check:
    """One pass. ``offset`` is what entries were renumbered by: their own number less the stored."""

    def __init__(
        self, tenant: str, checkpoints: Mapping[int, Checkpoint], expected: Expected | None
    ) -> None:
        self.tenant = tenant
        self.checkpoints = checkpoints
        self.expected = expected
        self.anchors: dict[int, str] = {s: c.hash for s, c in checkpoints.items()}
        self.sequences = {digest: sequence for sequence, digest in self.anchors.items()}
        self.done = Checked()
        self.offset = 0
        self.breaks: dict[int, Break] = {}
        self.recent: deque[tuple[int, str]] = deque([(0, GENESIS)], _REACH)
        self.runs: list[_Run] = []
        self.strays: set[int] = set()
        self.unmet = expected
        self.found: list[AuditFinding] = []

    def walk(self, rows: Iterator[RawRow]) -> None:
        """Go through all rows; where one does not fit, look at the one after it too."""
        tenant, anchors, recent, done = self.tenant, self.anchors, self.recent, self.done
        ahead: list[RawRow] = []
        previous: str | None = GENESIS
        wanted = self.expected.sequence if self.expected else 0
        while True:
            row = ahead.pop() if ahead else next(rows, None)
            if row is None:
                return
            number, stored = row[0], row[8]
            done.entries += 1
            if number != done.last + 1:
                if type(number) is not int or number <= done.last:
                    self._add("inserted", done.last, done.last, _STRAY.format(done.last))
                    continue
                previous = self._gap(number)
            own = number + self.offset
            try:
                "".join(row[1:])  # bytes would be hashed as the text that encodes them
                fits = previous is None or stored == row_hash(previous, tenant, own, row)
            except TypeError:
                fits = False
            if not fits:
                ahead = ahead or list(islice(rows, 1))
                self._misfit(Break(number, own, str(previous), row), ahead)
                own = number + self.offset
            if own in anchors or own == wanted:
                self._compare(own, stored)
            recent.append((own, stored))
            if done.first_at is None:
                done.first_at = row[1]
            done.last, done.last_at, done.head = number, row[1], stored
            previous = stored

    def _gap(self, number: int) -> str | None:
        """Note missing entries; the hash before ``number``, if a checkpoint knows it."""
        first, last = self.done.last + 1 + self.offset, number - 1 + self.offset
        self._add("deleted", first, last, f"{_entries(first, last)} missing.")
        return self.anchors.get(last)

    def _misfit(self, broken: Break, ahead: list[RawRow]) -> None:
        if len(self.breaks) >= MOST:
            self.done.more += 1
        elif not (self._deleted(broken, ahead) or self._inserted(broken, ahead)):
            self.breaks[broken.number] = broken

    def _deleted(self, broken: Break, ahead: list[RawRow]) -> bool:
        """Whether it follows its neighbour under a higher number: entries before both are gone."""
        for more in range(1, _REACH + 1):
            if _follows(broken.row, broken.previous, self.tenant, broken.own + more):
                # The neighbour was the first after those that are gone, and could not fit.
                self.breaks.pop(broken.number - 1, None)
                self._renumbered(broken.own - 1, more)
                return True
        known = self.sequences.get(broken.row[8], 0)
        if known > broken.own and (
            not ahead or _follows(ahead[0], broken.row[8], self.tenant, known + 1)
        ):
            self._renumbered(broken.own, known - broken.own)
            return True
        return False

    def _renumbered(self, first: int, count: int) -> None:
        last = first + count - 1
        said = f"{_entries(first, last)} missing, and later ones were renumbered."
        self._add("deleted", first, last, said)
        self.offset += count

    def _inserted(self, broken: Break, ahead: list[RawRow]) -> bool:
        """Whether it follows an entry further back: those in between do not belong there."""
        for own, digest in reversed(self.recent):
            if own + 1 < broken.own and _follows(broken.row, digest, self.tenant, own + 1):
                break
        else:
            return False
        stored = broken.row[8]
        if ahead and not _follows(ahead[0], stored, self.tenant, own + 2):
            return False
        if not ahead and self._belongs_here(broken):
            return False
        first, last = own + 1 - self.offset, broken.number - 1
        for number in range(first, last + 1):
            self.breaks.pop(number, None)
        said = "was" if first == last else "were"
        names = f"entry {first}" if first == last else f"entries {first} to {last}"
        self._add("inserted", first, last, f"{names} {said} inserted; later ones were renumbered.")
        self.strays.update(range(own + 1, broken.own))
        self.offset += own + 1 - broken.own
        return True

    def _belongs_here(self, broken: Break) -> bool:
        """Whether an earlier misfit belongs at the end of the log: it was moved, not inserted."""
        for other in islice(reversed(self.breaks.values()), _REACH):
            before = broken.row[8] if other.number == broken.number - 1 else broken.previous
            if _follows(other.row, before, self.tenant, broken.own):
                return True
        return False

    def _compare(self, own: int, stored: str) -> None:
        if self.expected and own == self.expected.sequence:
            self.unmet = None
            if stored == self.expected.hash:
                self.done.covered = own
            else:
                self._add("expected", own, own, f"entry {own} has another hash than expected.")
        wanted = self.anchors.get(own)
        if wanted is None:
            return
        if stored == wanted:
            self.done.covered = own
        elif self.runs and self.runs[-1].after == self.done.covered:
            self.runs[-1].last = own
        else:
            self.runs.append(_Run(self.done.covered, own, own))

    def conclude(self) -> Checked:
        """Put what was noted into words."""
        last = self.done.last + self.offset
        for cause in explain(self.tenant, self.breaks, row_hash, self._confirmed):
            self._add(cause.kind, cause.first, cause.last, cause.what)
        # Where the log itself shows what was done, its checkpoint need not be named as well.
        named = self.strays
        for fault in self.found:
            if fault.kind in {"edited", "reordered"}:
                named.update((fault.sequence, fault.until))
        for run in self.runs:
            if not named.issuperset(range(run.first, run.last + 1)):
                self._rewritten(run)
        newest = max(self.anchors, default=0)
        if newest > last:
            self._truncated(last, self.checkpoints[newest])
        if self.unmet:
            said = f"the log ends at entry {last}; entry {self.unmet.sequence} was expected."
            self._add("expected", last + 1, self.unmet.sequence, said)
        self._limits(last, max(newest, self.done.covered))
        self.done.head, self.done.last = str(self.done.head), last
        self.done.findings = sorted(
            self.found, key=lambda f: (f.severity != "fault", f.sequence, f.until)
        )
        return self.done

    def _confirmed(self, number: int) -> bool:
        """Whether a checkpoint has the same hash for the entry as the log."""
        wanted = self.anchors.get(number)
        return wanted is not None and not any(r.first <= number <= r.last for r in self.runs)

    def _rewritten(self, run: _Run) -> None:
        start = run.after + 1
        where = (
            f"the first change is at entry {start}"
            if start == run.first
            else f"the first change lies between entries {start} and {run.first}"
        )
        at = self.checkpoints[run.first].at
        what = (
            f"history up to entry {run.last} was rewritten; {where}. The checkpoint of entry "
            f"{run.first}, signed {_moment(at)}, has another hash."
        )
        self._add("rewritten", start, run.last, what)

    def _truncated(self, last: int, newest: Checkpoint) -> None:
        what = (
            f"the log ends at entry {last}, but a checkpoint signed {_moment(newest.at)} covers "
            f"entry {newest.sequence}: {_entries(last + 1, newest.sequence)} missing."
        )
        self._add("truncated", last + 1, newest.sequence, what)

    def _limits(self, last: int, newest: int) -> None:
        if not last:
            return
        if not newest:
            self._add("unsigned", 1, last, _UNSIGNED)
        elif newest < last:
            first = newest + 1
            what = (
                f"entry {first} is not covered by a checkpoint yet."
                if first == last
                else f"entries {first} to {last} are not covered by a checkpoint yet."
            )
            self._add("uncovered", first, last, what)

    def _add(self, kind: FaultKind, first: int, last: int, what: str) -> None:
        if len(self.found) >= MOST:
            self.done.more += 1
            return
        limit = kind == "uncovered"
        self.found.append(
            AuditFinding(
                kind=kind,
                severity="warning" if limit else "fault",
                tenant=self.tenant,
                sequence=first,
                until=last,
                what=what,
                advice=_ADVICE.get(kind, ""),
            )
        )


_UNSIGNED = (
    "there is no checkpoint that can be believed, though every change signs one: they were "
    "deleted, and all entries may have been rewritten. Or their place was moved or could not be "
    "written, or the log is from a version before checkpoints and nothing was changed since."
)
_STRAY = "an entry after entry {} has a number that is taken or is none."

_ADVICE: dict[FaultKind, str] = {
    "unsigned": "Look where they should be with `milepost audit verify --checkpoints PLACE`, or "
    "hold the log against a head that you noted with `--expect`. If all is well, the next change "
    "to the workspace signs the log as it is now.",
    "uncovered": "The next change to the workspace writes one that covers them.",
    "truncated": "If a backup was restored, keep these checkpoints apart and name a new place.",
}


def _follows(row: RawRow, previous: str, tenant: str, sequence: int) -> bool:
    try:
        return row[8] == row_hash(previous, tenant, sequence, row)
    except TypeError:
        return False


def _entries(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


def _moment(at: str) -> str:
    return at[:16].replace("T", " ")
