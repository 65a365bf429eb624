"""Verifies the audit logs of a ledger: the chain, its checkpoints, and the rows they speak of."""

from collections import defaultdict
from collections.abc import Collection, Iterable

from milepost.entities.audit import (
    AuditFinding,
    AuditReport,
    Checkpoint,
    Expected,
    FaultKind,
    TenantAudit,
)
from milepost.entities.ids import Digest
from milepost.storage.database import Database
from milepost.storage.proof.chain_check import MOST, check_chain
from milepost.storage.proof.checkpoints import (
    Checkpoints,
    Found,
    object_name,
    read_checkpoint,
    sequence_in,
    tenant_folder,
)
from milepost.storage.proof.kept_rows import Recorder
from milepost.storage.proof.ledger_rows import Standing, entry_rows, standing

_SIGNER = "If it is a colleague's or another machine's, add it to `signers` in milepost.toml."
_DAMAGED = "Somebody changed it, or its disk did: look for a copy."


def verify(
    database: Database,
    checkpoints: Checkpoints,
    believed: Collection[str],
    expected: tuple[str, Expected] | None = None,
) -> AuditReport:
    """Verify all tenants' logs as they are at this moment; nothing is written.

    Args:
        database: The ledger.
        checkpoints: Its checkpoints.
        believed: Public keys whose checkpoints count.
        expected: A tenant, and what somebody noted of its log earlier.

    Raises:
        StorageError: If the ledger or the checkpoints cannot be read.
    """
    # In this order: a checkpoint that is listed was committed before the log is looked at.
    found = list(checkpoints.all())
    logs = {each.tenant: each for each in standing(database)}
    points, findings = _judged(found, believed, {tenant_folder(t): t for t in logs})
    tenants: list[TenantAudit] = []
    more = 0
    for tenant in sorted({*logs, *points}):
        log = logs.get(tenant) or Standing(tenant, 0, [])
        wanted = expected[1] if expected and expected[0] == tenant else None
        done, said, further = _log(database, log, points.get(tenant, {}), wanted)
        tenants.append(done)
        findings += said
        more += further
    # Stable: entries of one tenant stay in their order.
    findings.sort(key=lambda finding: finding.severity != "fault")
    kept = findings[:MOST]
    return AuditReport(
        place=checkpoints.place.label,
        tenants=tuple(tenants),
        findings=tuple(kept),
        more=more + len(findings) - len(kept),
    )


def _log(
    database: Database,
    log: Standing,
    points: dict[int, Checkpoint],
    expected: Expected | None,
) -> tuple[TenantAudit, list[AuditFinding], int]:
    """One tenant's log: what it is, what was found, and how many further faults there are."""
    recorder = Recorder()
    rows = entry_rows(database, log.tenant, 0, log.last)
    done = check_chain(log.tenant, recorder.watch(rows), points, expected)
    findings = done.findings
    counts: defaultdict[str, int] = defaultdict(int)
    for each in log.kept:
        counts[each.noun] += 1
    for number, what in recorder.compare(log.kept):
        findings.append(
            AuditFinding(kind="record", tenant=log.tenant, sequence=number, until=number, what=what)
        )
    audit = TenantAudit(
        tenant=log.tenant,
        entries=done.entries,
        head=Digest(done.head),
        first_at=done.first_at,
        last_at=done.last_at,
        checkpoints=len(points),
        covered=done.covered,
        records=dict(counts),
    )
    return audit, findings, done.more


def _judged(
    found: Iterable[Found], believed: Collection[str], tenants: dict[str, str]
) -> tuple[dict[str, dict[int, Checkpoint]], list[AuditFinding]]:
    """The checkpoints that count, by tenant and entry, and what is wrong with the others."""
    points: defaultdict[str, dict[int, Checkpoint]] = defaultdict(dict)
    names: set[str] = set()
    foreign: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    findings: list[AuditFinding] = []
    for name, data in found:
        names.add(name)
        read = read_checkpoint(name, data)
        number = sequence_in(name)
        if isinstance(read, str):
            tenant = tenants.get(name.partition("/")[0], "")
            what = f"the checkpoint of entry {number} does not count: {read}."
            findings.append(_fault("checkpoint", tenant, number, number, what, _DAMAGED))
        elif read.key in believed:
            points[read.tenant][number] = read
        else:
            foreign[read.tenant, read.key].append(number)
    for (tenant, key), numbers in foreign.items():
        what = f"{_count(numbers)} signed with {key}, which is not believed."
        findings.append(_fault("signer", tenant, min(numbers), max(numbers), what, _SIGNER))
    for tenant, by_number in points.items():
        for number, point in by_number.items():
            if point.previous and object_name(tenant, point.previous) not in names:
                gone = point.previous
                what = f"the checkpoint of entry {gone} is missing; that of {number} names it."
                findings.append(_fault("checkpoint", tenant, gone, gone, what, ""))
    return points, findings


def _fault(
    kind: FaultKind, tenant: str, first: int, last: int, what: str, advice: str
) -> AuditFinding:
    return AuditFinding(
        kind=kind, tenant=tenant, sequence=first, until=last, what=what, advice=advice
    )


def _count(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"the checkpoint of entry {numbers[0]} is"
    return f"{len(numbers)} checkpoints of entries {min(numbers)} to {max(numbers)} are"
