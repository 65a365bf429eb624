"""Typed identifiers, so that two of them cannot be mixed up."""

from typing import NewType

TaskName = NewType("TaskName", str)
"""Name of a task: lower-case letters, digits, ``-`` and ``_``; starts with a letter."""

Digest = NewType("Digest", str)
"""SHA-256 as 64 lower-case hex digits."""

CandidateId = NewType("CandidateId", str)
"""Id of a candidate: ``<contest id>-<strategy>``; made by milepost, never taken from outside."""

ContestId = NewType("ContestId", str)
"""Id of a contest: ``c`` and 12 hex digits."""

JobId = NewType("JobId", str)
"""Id of a job: ``j`` and 12 hex digits."""
