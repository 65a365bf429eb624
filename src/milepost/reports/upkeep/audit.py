"""The audit log as a table, and what its verification found, in words."""

from collections.abc import Sequence

from milepost.entities.audit import AuditFinding, AuditReport, TenantAudit
from milepost.entities.release import AuditEntry
from milepost.reports import words
from milepost.reports.document import (
    BLANK,
    Cell,
    Column,
    Document,
    Grid,
    Line,
    Part,
    Role,
    Row,
    sentence,
)

SHOWN = 20
"""Findings that are shown; the others are counted."""

_MARKS: dict[str, tuple[str, Role]] = {"fault": ("✘", "bad"), "warning": ("!", "warn")}


_NOUNS = {
    **{noun: noun for noun in ("release", "channel", "approval", "key", "prompt", "budget")},
    "upstream": "upstream version",
    "split": "split",
    "setting": "setting",
}
"""What of the rows that were compared is counted for people."""


def audit_table(entries: Sequence[AuditEntry]) -> Document:
    """What was done, in the order given: when, by whom, what, on what, and why."""
    if not entries:
        return Document((sentence("Nothing was recorded."),))
    columns = (
        Column("", "right"),
        Column("when (UTC)"),
        Column("who", wraps=True),
        Column("what, and on what", wraps=True),
        Column("why", wraps=True),
    )
    return Document((Grid(columns, tuple(_entry(entry) for entry in entries)),))


def _entry(entry: AuditEntry) -> Row:
    who = entry.actor if entry.role in {"", "owner"} else f"{entry.actor} ({entry.role})"
    return Row(
        (
            Cell(str(entry.sequence), "dim"),
            Cell(f"{entry.at:%Y-%m-%d %H:%M}", "dim"),
            Cell(words.shorten(who, 40)),
            Cell(f"{entry.action} {words.middle(entry.subject, 40)}", "strong"),
            Cell(words.first_sentence(entry.reason, 90)),
        )
    )


def verification_document(report: AuditReport) -> Document:
    """What was verified, and each thing that was found."""
    parts: list[Part] = []
    if not report.tenants:
        parts.append(sentence("There is no audit log yet: nothing was done."))
    several = len(report.tenants) > 1
    for tenant in report.tenants:
        parts += _tenant(tenant, report, several=several)
    shown = report.findings[:SHOWN]
    if shown:
        parts.append(BLANK)
    for finding in shown:
        parts += _finding(finding, several=several)
    more = len(report.findings) - len(shown) + report.more
    if more:
        parts.append(sentence(f"and {words.count(more, 'more finding')}.", "bad", 2))
    return Document(tuple(parts))


def _tenant(tenant: TenantAudit, report: AuditReport, *, several: bool) -> list[Part]:
    own = [f for f in report.findings if f.tenant == tenant.tenant and f.severity == "fault"]
    kinds = {finding.kind for finding in own}
    log = kinds & {"edited", "deleted", "reordered", "inserted"}
    parts: list[Part] = [sentence(f"Tenant {tenant.tenant}", "strong")] if several else []
    days = sorted({_day(tenant.first_at), _day(tenant.last_at)})
    span = f", {' to '.join(days)}" if tenant.entries else ""
    follow = "do not all follow from one another" if log else "follow from one another"
    entries = words.count(tenant.entries, "entry", "entries")
    parts.append(_line(f"{entries}{span}: they {follow}.", good=not log))
    if tenant.checkpoints:
        points = words.count(tenant.checkpoints, "signed checkpoint")
        good = not kinds & {"checkpoint", "signer", "rewritten", "truncated"}
        reach = "all entries" if good and tenant.covered >= tenant.entries else None
        reach = reach or (f"entries 1 to {tenant.covered}" if tenant.covered else "no entry")
        text = f"{points} in {report.place}: {reach} confirmed."
        parts.append(_line(text, good=good))
    rows = [
        words.count(number, _NOUNS[noun])
        for noun, number in tenant.records.items()
        if noun in _NOUNS
    ]
    if rows:
        as_recorded = "not as recorded" if "record" in kinds else "as recorded"
        text = f"{', '.join(rows)}: {as_recorded}."
        parts.append(_line(text, good="record" not in kinds))
    if not own and tenant.entries:
        parts.append(sentence("Note the head elsewhere, to check against it later:", "dim", 2))
        parts.append(sentence(f"--expect {tenant.entries}:{tenant.head}", "dim", 2))
    return parts


def _line(text: str, *, good: bool) -> Line:
    return Line(((text, ""),), mark=("✔", "good") if good else ("✘", "bad"))


def _finding(finding: AuditFinding, *, several: bool) -> list[Part]:
    whose = f" of tenant {finding.tenant}" if several and finding.tenant else ""
    name = f"{finding.kind.replace('_', ' ')}{whose}"
    text = finding.what[:1].upper() + finding.what[1:]
    head = Line(((name, "strong"), (f"  {text}", "")), mark=_MARKS[finding.severity])
    return [head, sentence(finding.advice, "dim", 2)] if finding.advice else [head]


def _day(at: str | None) -> str:
    return (at or "")[:10]
