"""Records of what may answer: bundles, releases, channels, audit and looks."""

from datetime import datetime
from typing import Literal

import msgspec

from milepost.entities.ids import CandidateId, ContestId, Digest
from milepost.entities.inputs import Composition
from milepost.entities.kinds import Kind


class BundleFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a bundle: its plain name, digest and size in bytes."""

    name: str
    sha256: Digest
    size: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle is made of; written last, so that its presence means completeness.

    Attributes:
        format: Version of the bundle format.
        kind: Runtime kind of the predictor, a key of the table in ``milepost.predictors``.
        task: Task name.
        task_version: Digest of the task.
        labels: Label names in the order of the probabilities.
        strategy: Name of the strategy that made it.
        parameters: Its parameters.
        encoder: Digest of the encoder whose vectors it reads; ``None`` when it reads text.
        variant: Variant of the encoder that the scorecard was measured with.
        examples: Digest of the training snapshot.
        seed: Seed of the contest.
        code: milepost version that made it.
        metrics: Value of each certified metric.
        abstain_below: Confidence below which no answer is given; left out where every input is
            answered.
        set_thresholds: By what sets of labels promise, such as ``0.9``: largest doubt, 1 minus the
            probability, of a label that is in the set.
        prepare: Steps that prepare an input before it is read; left out where there are none.
        answers: Kind of the task, where it is not ``classify``.
        inputs: How several inputs become the one text that is read; left out where there is one.
        files: The other files of the bundle.
    """

    format: int = 1
    kind: str
    task: str
    task_version: Digest
    labels: tuple[str, ...]
    strategy: str
    parameters: dict[str, object] = {}
    encoder: Digest | None = None
    variant: str | None = None
    examples: Digest | None = None
    seed: int = 0
    code: str = ""
    metrics: dict[str, float] = {}
    # Unset rather than a default: a bundle that answers everything keeps its digest.
    abstain_below: float | msgspec.UnsetType = msgspec.UNSET
    set_thresholds: dict[str, float] | msgspec.UnsetType = msgspec.UNSET
    prepare: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    answers: Kind | msgspec.UnsetType = msgspec.UNSET
    inputs: Composition | msgspec.UnsetType = msgspec.UNSET
    files: tuple[BundleFile, ...] = ()


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable, numbered bundle of a task.

    Attributes:
        task: Task name.
        number: From 1, per task.
        candidate: The candidate that was released.
        contest: The contest that it came from.
        bundle: Digest of the bundle's manifest, and so of every byte of it.
        strategy: Name of the strategy.
        created: When, UTC.
        actor: Who.
        digest: SHA-256 over all of the above; its audit entry repeats it.
    """

    task: str
    number: int
    candidate: CandidateId
    contest: ContestId
    bundle: Digest
    strategy: str
    created: datetime
    actor: str
    digest: Digest = Digest("")


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A name that points at a release of a task.

    Attributes:
        task: Task name.
        name: ``production``, ``canary`` or ``shadow``.
        release: Number it points at.
        previous: Number it pointed at before; ``None`` at first. Rollback goes there.
        version: Grows by one at each move; compare-and-swap is on it.
        share: Share of the traffic that goes this way, 0 to 1; ``None`` for production, which gets
            the rest. A canary or shadow with share 0 is switched off.
    """

    task: str
    name: str
    release: int
    previous: int | None
    version: int
    share: float | None = None


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """One person's yes to a release.

    Attributes:
        task: Task name.
        release: Number of the release.
        actor: Who.
        role: In which role.
        reason: Why, in words.
        at: When, UTC.
    """

    task: str
    release: int
    actor: str
    role: str
    reason: str
    at: datetime


class ApprovalState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a release is with its approvals.

    Attributes:
        release: Number of the release.
        needed: Approvals asked for: by the task when the release was made or as it is now,
            whichever asks for more.
        approvals: Those that it has, oldest first.
    """

    release: int
    needed: int
    approvals: tuple[Approval, ...] = ()

    @property
    def lacking(self) -> int:
        """Approvals that it still needs."""
        return max(0, self.needed - len(self.approvals))


ApprovalOutcome = Literal["waiting", "live", "overtaken"]
"""``waiting``: more approvals are needed. ``live``: the channel points at the release now.
``overtaken``: the release has its approvals, but the channel was moved since it was made, so that
it was measured against something else than what runs; a person decides."""


class Approved(msgspec.Struct, frozen=True, kw_only=True):
    """What an approval came to.

    Attributes:
        task: Task name.
        release: Number of the release.
        given: Approvals that it has now.
        needed: Approvals that it needs.
        outcome: What follows from it.
        channel: The channel that the release was made for, as it is now; ``None`` when it points
            nowhere yet.
        repeated: Whether this person had approved the release before; nothing was added then.
    """

    task: str
    release: int
    given: int
    needed: int
    outcome: ApprovalOutcome
    channel: Channel | None
    repeated: bool = False


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded act.

    Attributes:
        sequence: Position in the log, from 1.
        at: When, UTC.
        actor: Who.
        action: What, such as ``channel.moved``.
        subject: On what, such as ``route@production``.
        reason: Why, in words.
        details: Digests and numbers.
        role: In which role the actor acted.
        hash: SHA-256 over the entry and the hash of the one before it.
    """

    sequence: int
    at: datetime
    actor: str
    action: str
    subject: str
    reason: str
    details: dict[str, object]
    role: str
    hash: Digest


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a holdout: who, when, what for."""

    task: str
    holdout: Digest
    contest: ContestId | None
    purpose: str
    actor: str
    at: datetime
