"""Examples in columns, and the record of the immutable snapshot that they came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from milepost.entities.ids import Digest


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Examples of one task, column by column; all columns have the same length ``n``.

    Attributes:
        ids: Unique id of each example.
        texts: The input after cleaning.
        labels: Label name, or ``None`` where there is none.
        groups: What must stay on one side of every split: the rows of one owner, or else the
            near-duplicates of each other, named by a text key in it. A group may change when data
            is added; sides are therefore recorded per text key and owner.
        sources: Where each example came from, as ``file:line``, or ``file:row`` without lines.
        metadata: Further columns of the file, by name; values are str, int, float, bool or None.
        duplicates: Near-duplicate group of each text, named by the smallest text key in it: rows
            that say the same. Left empty it is ``groups``.
        owners: Value of the task's group column, such as a customer; ``None`` where a row has
            none. Empty where the task names no such column.
        times: Moment of each row in seconds since 1970-01-01 UTC. Empty where the task names no
            time column.
        originals: Each input before its preparation. Empty where the task prepares nothing, and
            ``texts`` are what was asked.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    labels: tuple[str | None, ...]
    groups: tuple[str, ...]
    sources: tuple[str, ...]
    metadata: Mapping[str, tuple[object, ...]] = field(
        default_factory=dict[str, tuple[object, ...]]
    )
    duplicates: tuple[str, ...] = ()
    owners: tuple[str | None, ...] = ()
    times: tuple[float, ...] = ()
    originals: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Where nothing else joins rows, a group is a near-duplicate group."""
        if not self.duplicates:
            object.__setattr__(self, "duplicates", self.groups)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int]) -> "Examples":
        """The examples at ``rows`` (0-based), in that order."""
        return Examples(
            ids=tuple(self.ids[i] for i in rows),
            texts=tuple(self.texts[i] for i in rows),
            labels=tuple(self.labels[i] for i in rows),
            groups=tuple(self.groups[i] for i in rows),
            sources=tuple(self.sources[i] for i in rows),
            metadata={k: tuple(v[i] for i in rows) for k, v in self.metadata.items()},
            duplicates=tuple(self.duplicates[i] for i in rows),
            owners=tuple(self.owners[i] for i in rows) if self.owners else (),
            times=tuple(self.times[i] for i in rows) if self.times else (),
            originals=tuple(self.originals[i] for i in rows) if self.originals else (),
        )

    @property
    def asked(self) -> tuple[str, ...]:
        """Each input as somebody would ask it, before any preparation."""
        return self.originals or self.texts

    @property
    def clusters(self) -> tuple[str, ...] | None:
        """Rows that an interval takes for one independent unit share a name here.

        The groups, where the task names a group column; else ``None``, and each row is a unit.
        """
        return self.groups if self.owners else None

    @property
    def labelled_rows(self) -> list[int]:
        """0-based rows that have a label."""
        return [i for i, label in enumerate(self.labels) if label is not None]


class SourceFile(msgspec.Struct, frozen=True, kw_only=True):
    """A raw file that a dataset was read from.

    Attributes:
        path: Path as the task file names it.
        sha256: Digest of its bytes.
        rows: Data rows in it.
    """

    path: str
    sha256: Digest
    rows: int


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of thing that the quality report found.

    Attributes:
        check: Short stable name, such as ``conflicting_labels``.
        severity: ``error`` (rows were left out), ``warning`` or ``note``.
        count: How many rows, pairs or labels are concerned.
        summary: One sentence with the number in it.
        examples: Up to five places with what was seen there.
    """

    check: str
    severity: str
    count: int
    summary: str
    examples: tuple[str, ...] = ()


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """The truths of a task that gives a number.

    Attributes:
        low: The lowest.
        high: The highest.
        mean: Their mean.
        spread: Their standard deviation.
        levels: How many are different.
    """

    low: float
    high: float
    mean: float
    spread: float
    levels: int


class QualityReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a person should know about a dataset before trusting a model trained on it.

    Attributes:
        rows: Rows read.
        used: Rows kept.
        labelled: Kept rows that have a label.
        label_counts: Labelled rows per label.
        findings: What was found, worst first.
        scores: The truths, where they are scores; absent otherwise.
    """

    rows: int
    used: int
    labelled: int
    label_counts: dict[str, int]
    findings: tuple[Finding, ...] = ()
    scores: Scores | msgspec.UnsetType = msgspec.UNSET


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """The record of an immutable, content-addressed snapshot of examples.

    Attributes:
        digest: SHA-256 over the canonical rows; equal content has an equal digest.
        artifact: SHA-256 of the stored snapshot file.
        task: Task it belongs to.
        role: ``examples``, ``test``, ``cases`` or ``unlabeled``.
        rows: Rows kept.
        sources: The raw files.
        quality: What was found in them.
    """

    digest: Digest
    artifact: Digest
    task: str
    role: str
    rows: int
    sources: tuple[SourceFile, ...]
    quality: QualityReport
