"""Records of what changed between two contests: labels learned at once, and examples forgotten."""

from typing import Literal

import msgspec

from milepost.entities.ids import CandidateId, Digest

LEARNED = "learned"
"""Channel of feedback that answers follow at once, until the next contest."""

UPDATED = "updated"
"""Name of what the manifest of an updated bundle says besides the parameters of the strategy."""

WAITING = "waiting"
"""Channel of feedback of the same kind that only the next contest follows."""


class HeadUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """A release's head as it answers between two contests; see ``release.updated`` in the audit.

    Attributes:
        task: Task name.
        release: Number of the release that it is an update of.
        bundle: Digest of the stored bundle that answers instead of the release's own.
        learned: Labels that it has learned since.
        forgotten: Examples of the release that it has forgotten since.
    """

    task: str
    release: int
    bundle: Digest
    learned: int = 0
    forgotten: int = 0


class TopLabel(msgspec.Struct, frozen=True, kw_only=True):
    """An answer: the label, labels or score as a truth is written, and how probable it is.

    A score states no probability.
    """

    label: str
    confidence: float | None


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """What one label came to.

    Attributes:
        task: Task name.
        feedback: Id of the kept label; ``None`` where it was known before.
        label: The label, labels or score, as the truth of an example is written.
        release: Number of the release in production; ``None`` where there is none.
        at_once: Whether answers follow it from now on.
        before: The answer before; ``None`` where nothing in production could be asked.
        after: The answer now.
        learned: Labels that answers follow since the release's contest.
        why: Why answers do not follow it, as a sentence; empty where they do.
    """

    task: str
    feedback: str | None
    label: str
    release: int | None
    at_once: bool
    before: TopLabel | None = None
    after: TopLabel | None = None
    learned: int = 0
    why: str = ""


class ErasedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A data file that rows were taken out of.

    Attributes:
        path: As the task file names it.
        rows: Rows that are gone.
        before: SHA-256 of the file's bytes as they were.
        after: As they are now.
        shared_with: Other tasks that read the file, and lose the rows too.
    """

    path: str
    rows: int
    before: Digest
    after: Digest
    shared_with: tuple[str, ...] = ()


class ErasedSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A stored snapshot in which rows were blanked: their text, metadata and owner are gone.

    Attributes:
        digest: Content digest that contests know it by; it is that of the whole snapshot.
        role: ``examples``, ``test`` or ``cases``.
        rows: Blanked rows.
        before: Digest of the stored bytes as they were.
        after: As they are now.
        deleted: Whether the bytes as they were are deleted; not where another task has the same.
    """

    digest: Digest
    role: str
    rows: int
    before: Digest
    after: Digest
    deleted: bool


Production = Literal["untouched", "updated", "to be replaced", "none"]
"""``untouched``: it learned from none of them. ``updated``: its head has forgotten them already.
``to be replaced``: it still answers as it learned, until a contest replaces it. A dry run says what
it would be."""


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """What forgetting examples came to.

    Attributes:
        task: Task name.
        examples: Rows of the task's present data that are forgotten.
        past: Further rows that only snapshots of earlier contests held.
        dry_run: Whether nothing was done.
        files: Data files that were rewritten.
        snapshots: Snapshots that were blanked.
        feedback: Pieces of feedback on the same inputs that were deleted.
        vectors: Cached vectors of the inputs that were deleted.
        releases: Numbers of the releases that learned from them.
        candidates: Unreleased candidates whose predictors learned from them.
        joined: Releases of other tasks, such as ``spam#2``, whose adapter was tuned on examples of
            this task as well, these among them.
        production: What became of the release in production.
        release: Its number; ``None`` where there is none.
        left: What is known to be left elsewhere, and what ends it.
    """

    task: str
    examples: int
    past: int
    dry_run: bool
    files: tuple[ErasedFile, ...] = ()
    snapshots: tuple[ErasedSnapshot, ...] = ()
    feedback: int = 0
    vectors: int = 0
    releases: tuple[int, ...] = ()
    candidates: tuple[CandidateId, ...] = ()
    joined: tuple[str, ...] = ()
    production: Production = "none"
    release: int | None = None
    left: tuple[str, ...] = ()
