"""What every format gives: its parts as often as they are asked for, and what was found in it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from milepost.data.clean import Plain
from milepost.entities.example import Finding

PART_CHARACTERS = 1 << 22
"""Most characters of a part: few rows of very long texts make one."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some rows that follow each other.

    Attributes:
        columns: Values by column name, all of the same length.
        rows: Where each row is, from 1: its line, or its number in a file without lines.
    """

    columns: Mapping[str, Sequence[Plain]]
    rows: Sequence[int]


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """A file that can be read in parts.

    Attributes:
        typed: Whether it has types.
        parts: Gives the parts from the beginning; at least one.
        findings: What was assumed or left out, once all parts were read.
        total: Data rows, once all parts were read.
    """

    typed: bool
    parts: Callable[[], Iterator[Part]]
    findings: Callable[[], tuple[Finding, ...]]
    total: Callable[[], int]
