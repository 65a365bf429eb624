"""Holds the ledger's rows against the audit entries that recorded them. Pure: rows in, faults out.

The newest entry about a thing counts. What an entry does not speak of is not compared.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from milepost.storage.proof.chain_check import RawRow

_decode = msgspec.json.Decoder(dict[str, object]).decode


@dataclass(frozen=True, slots=True)
class Kept:
    """A row of the ledger that audit entries speak of.

    Attributes:
        noun: What it is: ``release``, ``channel`` and so on.
        name: Its name, as the entry's subject has it.
        facts: What an entry about it says, by the names of its details.
        must: Whether there has to be an entry: rows of the first version of the tables have none.
        broken: Whether its own digest does not fit it.
    """

    noun: str
    name: str
    facts: Mapping[str, object]
    must: bool = False
    broken: bool = False


class Mismatch(NamedTuple):
    """A row and an entry that do not fit; ``sequence`` is 0 when there is no entry."""

    sequence: int
    what: str


def _details(row: RawRow) -> dict[str, object]:
    """What an entry says; empty where that cannot be read, which the chain tells."""
    try:
        return _decode(row[7])
    except (msgspec.DecodeError, TypeError):
        return {}


def _subject(row: RawRow) -> str:
    return row[5]


def _approver(row: RawRow) -> str:
    return f"{row[5]} by {row[2]}"


def _proposal(row: RawRow) -> str | None:
    return row[5] if "approvals" in _details(row) else None


def _version(row: RawRow) -> str:
    return f"{row[5]} {_details(row).get('after')}"


def _look(row: RawRow) -> str | None:
    said = _details(row)
    if "look" not in said:
        return None
    return look_name(row[5].removesuffix("/holdout"), said.get("holdout"), said.get("look"))


def look_name(task: str, holdout: object, number: object) -> str:
    """Name of a look: the task, which one it was, and at which holdout."""
    return f"{task} {number} at {holdout}"


def _numbered(row: RawRow) -> str:
    return numbered(row[5], _details(row).get("version"))


def numbered(name: str, number: object) -> str:
    """Name of one of the versions that something has."""
    return f"{name} version {number}"


_TASK = (("task", _subject), ("task version", _version))
_UPSTREAM = (("upstream", _numbered),)

_ACTIONS: dict[str, tuple[tuple[str, Callable[[RawRow], str | None]], ...]] = {
    "release.made": (("release", _subject), ("proposal", _proposal)),
    "channel.moved": (("channel", _subject),),
    "release.approved": (("approval", _approver),),
    "task.added": _TASK,
    "task.changed": _TASK,
    "gate.decided": (("contest", _subject),),
    "candidate.certified": (("candidate", _subject),),
    "dataset.recorded": (("dataset", _subject),),
    "holdout.looked": (("look", _look),),
    "key.created": (("key", _subject),),
    "key.revoked": (("key", _subject),),
    "split.drawn": (("split", _subject),),
    "upstream.added": _UPSTREAM,
    "upstream.changed": _UPSTREAM,
    "upstream.removed": _UPSTREAM,
    "prompt.added": (("prompt", _subject),),
    "prompt.promoted": (("prompt alias", _subject),),
    "budget.set": (("budget", _subject),),
}
"""What an act is about, and the name of each; ``None`` where this one is not about it."""

_ENDS = {"budget.removed": "budget"}
"""Acts after which there is no such thing any more, nor a row of it."""

SETTING = "setting.changed"
"""Each of these has a row of its own: the n-th entry and the n-th row belong together."""


class Recorder:
    """Remembers the newest entry about each thing while the log goes by."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], RawRow] = {}
        self._counts: Counter[str] = Counter()

    def watch(self, rows: Iterable[RawRow]) -> Generator[RawRow]:
        """The same rows, each looked at."""
        newest = self._newest
        for row in rows:
            known = _ACTIONS.get(row[4])
            if known is not None:
                for noun, name_of in known:
                    name = name_of(row)
                    if name is not None:
                        newest[noun, name] = row
            elif row[4] in _ENDS:
                newest.pop((_ENDS[row[4]], _subject(row)), None)
            elif row[4] == SETTING:
                self._counts[SETTING] += 1
                newest["setting", str(self._counts[SETTING])] = row
            yield row

    def compare(self, kept: Iterable[Kept]) -> Generator[Mismatch]:
        """What does not fit between the rows and the entries that went by."""
        left = dict(self._newest)
        # Of rows with one name, such as the versions of a dataset, the last is the newest.
        for each in {(row.noun, row.name): row for row in kept}.values():
            entry = left.pop((each.noun, each.name), None)
            number = entry[0] if entry else 0
            title = f"{each.noun} {each.name}"
            if each.broken:
                yield Mismatch(number, f"the row of {title} was edited: its digest does not fit.")
            elif entry is None:
                if each.must:
                    yield Mismatch(0, f"no entry recorded {title}, which is in the ledger.")
            elif differ := _differences(each, entry):
                what = f"{title} is not what entry {number} recorded: {', '.join(differ)} differ."
                yield Mismatch(number, what)
        for (noun, name), entry in left.items():
            what = f"entry {entry[0]} recorded {noun} {name}, which is not in the ledger."
            yield Mismatch(entry[0], what)


def _differences(kept: Kept, entry: RawRow) -> list[str]:
    """Names of what the row and the entry say differently."""
    details = _details(entry)
    if not details:
        return ["all details"]
    # An entry that speaks of no share recorded that there is none.
    said = {"share": None, **details, "actor": entry[2], "role": entry[3], "reason": entry[6]}
    return [name for name, value in kept.facts.items() if name in said and said[name] != value]
