"""What `milepost gc` and `milepost verify` print."""

from collections.abc import Sequence

from milepost.entities.upkeep_artifacts import Collection, Fault, Verification
from milepost.reports import words
from milepost.reports.document import (
    BLANK,
    Cell,
    Column,
    Document,
    Grid,
    Line,
    Part,
    Row,
    sentence,
)

_SHOWN = 30


def size_words(size: int) -> str:
    """Bytes in the largest unit that gives at least 1, with three digits at most (1 kB = 1000)."""
    value, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        del units[0]
    whole = units[0] == "B" or value >= 100
    return f"{value:.0f} {units[0]}" if whole else f"{value:.3g} {units[0]}"


def collection_table(collection: Collection) -> Document:
    """What was deleted, what stays and why."""
    done = "would be deleted" if collection.dry_run else "deleted"
    rows = [
        (done, "nothing needs it", collection.deleted, collection.deleted_bytes),
        (
            done,
            "left half-written by a killed command",
            collection.temporaries,
            collection.temporary_bytes,
        ),
        ("kept", "something needs it", collection.needed, collection.needed_bytes),
        ("kept", "too young to tell", collection.young, collection.young_bytes),
    ]
    columns = (
        Column("", width=16),
        Column("why"),
        Column("artifacts", "right"),
        Column("size", "right"),
    )
    shown = [
        Row(
            (Cell(did, "strong"), Cell(why), Cell(words.count(count)), Cell(size_words(size))),
            "" if count else "dim",
        )
        for did, why, count, size in rows
    ]
    parts: list[Part] = [Grid(columns, tuple(shown))]
    said: list[str] = []
    if collection.given_up:
        verb = "would give up" if collection.dry_run else "gave up"
        many = words.count(len(collection.given_up), "unreleased candidate")
        said.append(f"keep_contests {verb} the predictors and predictions of {many}.")
    if collection.running_since is not None:
        said.append(
            f"A job runs since {collection.running_since:%Y-%m-%d %H:%M} UTC: what was put since "
            "then stays."
        )
    if collection.quota_bytes is not None:
        left = collection.needed_bytes + collection.young_bytes
        share = words.percent(left / collection.quota_bytes)
        said.append(f"{share} of the {size_words(collection.quota_bytes)} allowed are in use.")
    if collection.dry_run:
        said.append("Nothing was deleted: this was a dry run.")
    if said:
        parts += [BLANK, *(sentence(each) for each in said)]
    if collection.faults:
        parts += [BLANK, *_faults(collection.faults)]
    return Document(tuple(parts))


def verification_table(verification: Verification) -> Document:
    """Every release that was read, and everything that is wrong."""
    parts: list[Part] = []
    if verification.releases:
        columns = (
            Column("", width=1),
            Column("release", wraps=True),
            Column("channels", wraps=True),
            Column("strategy", wraps=True),
            Column("bundle"),
            Column("files", "right"),
            Column("size", "right"),
        )
        # The newest are what matters when there are too many to show.
        faulty = [row for row in verification.releases if row.faults]
        whole = [row for row in verification.releases if not row.faults]
        shown = [*faulty, *whole[::-1]][:_SHOWN]
        shown.sort(key=lambda row: (row.task, row.number))
        rows = [
            Row(
                (
                    Cell("✘", "bad") if row.faults else Cell("✔", "good"),
                    Cell(f"{row.task}#{row.number}", "strong"),
                    Cell(", ".join(row.channels)),
                    Cell(row.strategy),
                    Cell(words.digest(row.bundle)),
                    Cell(words.count(row.files)),
                    Cell(size_words(row.size)),
                )
            )
            for row in shown
        ]
        parts += [Grid(columns, tuple(rows)), BLANK]
        left_out = len(verification.releases) - len(shown)
        if left_out:
            said = f"{words.count(left_out, 'older release')} read too; see all with --json."
            parts += [sentence(said, "dim"), BLANK]
    parts += _faults(verification.faults)
    parts.append(_summary(verification))
    if verification.orphans:
        said = (
            f"Nothing needs {words.count(verification.orphans, 'artifact')} "
            f"({size_words(verification.orphan_bytes)}); `milepost gc` deletes what is old enough."
        )
        parts.append(Line(((said, ""),), mark=("·", "dim")))
    return Document(tuple(parts))


def _faults(faults: Sequence[Fault]) -> list[Part]:
    parts = [part for fault in faults[:_SHOWN] for part in _fault(fault)]
    if len(faults) > _SHOWN:
        more = words.count(len(faults) - _SHOWN, "more fault")
        parts.append(sentence(f"{more}; see all with --json.", "dim"))
    return parts


def _fault(fault: Fault) -> list[Part]:
    what = fault.what[:1].lower() + fault.what[1:]
    pieces: list[Part] = [Line(((f"{fault.subject}: ", "strong"), (what, "")), mark=("✘", "bad"))]
    if fault.where:
        pieces.append(sentence(f"where: {fault.where}", "dim", indent=2))
    if fault.advice:
        pieces.append(sentence(fault.advice, "", indent=2))
    return [*pieces, BLANK]


def _summary(verification: Verification) -> Line:
    read = (
        f"{words.count(verification.artifacts, 'artifact')}, {size_words(verification.size)}, "
        f"in {words.duration(verification.seconds)}"
    )
    releases = words.count(len(verification.releases), "release")
    if verification.sound:
        return Line(((f"{releases}: every byte is what it was ({read}).", ""),), mark=("✔", "good"))
    wrong = words.count(len(verification.faults), "thing is wrong", "things are wrong")
    return Line(((f"{releases}: {wrong} ({read}).", ""),), mark=("✘", "bad"))
