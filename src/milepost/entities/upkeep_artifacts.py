"""Records of looking after artifacts: what was collected, and what a verification found."""

from datetime import datetime

import msgspec

from milepost.entities.ids import Digest


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be.

    Attributes:
        subject: What it concerns, such as ``route#3``, ``route@production`` or ``artifacts``.
        what: One sentence: what is wrong.
        where: File, digest or address; empty when the subject says it.
        advice: One sentence: what to do.
    """

    subject: str
    what: str
    where: str = ""
    advice: str = ""


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection came to.

    Attributes:
        dry_run: Whether nothing was deleted, only counted.
        before: Artifacts last put after this moment were left, whether needed or not.
        deleted: Artifacts that nothing needs, now gone (with ``dry_run``: that would go).
        deleted_bytes: Their bytes.
        temporaries: Half-written files of commands that were killed, now gone.
        temporary_bytes: Their bytes.
        needed: Artifacts that something needs.
        needed_bytes: Their bytes.
        young: Artifacts that nothing needs yet, too young to delete.
        young_bytes: Their bytes.
        given_up: Candidates whose predictors and predictions ``keep_contests`` gave up this time.
        quota_bytes: The most that artifacts may take; ``None`` without a limit.
        running_since: When the oldest job that is running began, where that is why ``before`` is
            earlier than was asked.
        faults: Candidates, none of them released, whose manifests cannot be read.
    """

    dry_run: bool
    before: datetime
    deleted: int = 0
    deleted_bytes: int = 0
    temporaries: int = 0
    temporary_bytes: int = 0
    needed: int = 0
    needed_bytes: int = 0
    young: int = 0
    young_bytes: int = 0
    given_up: tuple[str, ...] = ()
    quota_bytes: int | None = None
    running_since: datetime | None = None
    faults: tuple[Fault, ...] = ()


class VerifiedRelease(msgspec.Struct, frozen=True, kw_only=True):
    """One release that was verified.

    Attributes:
        task: Task name.
        number: Its number.
        strategy: Name of the strategy.
        bundle: Digest of its manifest.
        channels: Names of the channels that point at it.
        files: Files of the bundle that were read, the manifest included.
        size: Their bytes.
        faults: How many things are wrong with it.
    """

    task: str
    number: int
    strategy: str
    bundle: Digest
    channels: tuple[str, ...]
    files: int
    size: int
    faults: int


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found.

    Attributes:
        releases: Every release that was looked at, by task and number.
        faults: Everything that is wrong; empty when all is well.
        artifacts: Artifacts that were read, each once.
        size: Their bytes.
        orphans: Artifacts that nothing needs; ``None`` when only releases were looked at, or
            when a manifest cannot be read, so that its files are not known.
        orphan_bytes: Their bytes.
        seconds: Wall time.
    """

    releases: tuple[VerifiedRelease, ...]
    faults: tuple[Fault, ...]
    artifacts: int
    size: int
    orphans: int | None = None
    orphan_bytes: int = 0
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults
