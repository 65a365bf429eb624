"""Records of proof: signed checkpoints of the audit log, and what its verification found."""

from typing import Literal

import msgspec

from milepost.entities.ids import Digest

CHECKPOINT = "milepost audit checkpoint"
"""Says what is signed, so that a signature of something else can never pass for one of these."""

FaultKind = Literal[
    "edited",
    "deleted",
    "reordered",
    "inserted",
    "truncated",
    "rewritten",
    "expected",
    "checkpoint",
    "signer",
    "record",
    "unsigned",
    "uncovered",
]
"""What can be wrong. The last is a warning: it limits what could be seen, and proves nothing.

- ``edited``, ``deleted``, ``reordered``, ``inserted``: entries that do not follow from each other.
- ``truncated``: a checkpoint stands beyond the end of the log.
- ``rewritten``: the log is consistent, and a checkpoint has another hash for one of its entries.
- ``expected``: it is not the log that was expected.
- ``checkpoint``: a checkpoint is missing, damaged, or does not bear its own signature.
- ``signer``: a checkpoint is signed with a key that is not believed.
- ``record``: a release, channel, approval or other row is not what its entry recorded.
- ``unsigned``: there are entries, and no checkpoint that can be believed.
"""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signed statement: at that time the log of a tenant had this hash at this entry.

    Attributes:
        kind: ``CHECKPOINT``.
        format: Version of this record.
        tenant: Whose log.
        sequence: Number of the entry, from 1; all entries up to it are covered.
        hash: Its hash.
        at: When this was signed: UTC, ISO 8601 with microseconds.
        previous: Sequence of the newest checkpoint that the signer saw; 0 for none.
        key: Public key of the signer, ``ed25519:`` and 64 hex digits.
        signature: 128 hex digits over the canonical JSON of all of the above (RFC 8032).
    """

    kind: str = CHECKPOINT
    format: int = 1
    tenant: str
    sequence: int
    hash: Digest
    at: str
    previous: int
    key: str
    signature: str = ""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody noted earlier: the hash of an entry."""

    sequence: int
    hash: Digest


class AuditFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that verification found.

    Attributes:
        kind: What is wrong.
        severity: ``fault``: something was changed. ``warning``: a change could not be seen.
        tenant: Whose log.
        sequence: The entry, or the first of several; 0 when it concerns none.
        until: The last of several, else the same.
        what: One or two sentences.
        advice: What to do; may be empty.
    """

    kind: FaultKind
    severity: Literal["fault", "warning"] = "fault"
    tenant: str
    sequence: int
    until: int
    what: str
    advice: str = ""


class TenantAudit(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant's log as it was verified.

    Attributes:
        tenant: Whose.
        entries: How many there are.
        head: Hash of the last one; 64 zeros when there is none.
        first_at: Time of the first entry, ISO 8601, UTC; ``None`` when there is none.
        last_at: Time of the last one.
        checkpoints: How many believed checkpoints there are.
        covered: Sequence of the last one that agrees; 0 for none.
        records: How many releases, channels and other rows were held against the entries, by name.
    """

    tenant: str
    entries: int
    head: Digest
    first_at: str | None = None
    last_at: str | None = None
    checkpoints: int = 0
    covered: int = 0
    records: dict[str, int] = {}


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification of the whole audit log came to.

    Attributes:
        place: Where checkpoints were looked for, without credentials.
        tenants: Each log that there is.
        findings: What was found: faults first, in the order of the entries.
        more: How many further faults were not listed.
    """

    place: str
    tenants: tuple[TenantAudit, ...]
    findings: tuple[AuditFinding, ...] = ()
    more: int = 0

    @property
    def intact(self) -> bool:
        """Whether nothing was found that is not a mere warning."""
        return not self.more and all(f.severity == "warning" for f in self.findings)
