"""The tree of errors. Each says what was wrong, where, and what to do.

::

    MilepostError
    ├── InputError            what the user gave is not usable (exit code 2)
    │   ├── UnknownNameError  a name that does not exist; carries the nearest ones
    │   ├── FieldError        fields of a record that do not fit each other
    │   ├── TaskFileError     one or more problems in task files; carries all of them
    │   └── DataError         a data file or column
    ├── WorkspaceError        no workspace here, read-only folder, newer version (exit code 2)
    ├── EncoderError          an encoder is missing or its bytes are not the promised ones
    ├── OverloadedError       there is more to do than can be done now; says when to try again
    ├── LateError             the deadline of a request passed before there was an answer
    ├── UpstreamError         a call of a language model failed; says how
    └── StorageError          what was stored is not what is read
        ├── UnreachableError  the database server does not answer just now
        ├── RecordingError    an answer that must be recorded cannot be
        ├── CorruptError      a digest does not match or an array is not finite
        └── ConflictError     somebody else moved it first (compare-and-swap lost)
            ├── HeldError     somebody else is doing it now
            └── LostError     somebody else took it over
"""

import difflib
from collections.abc import Iterable, Sequence

import msgspec


class MilepostError(Exception):
    """Base of all errors that milepost raises on purpose.

    Args:
        what: One sentence: what is wrong.
        where: File, line, field or id, when there is one.
        advice: One sentence: what to do about it.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str | None = None, advice: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.advice = advice

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head} {self.advice}" if self.advice else head


class InputError(MilepostError):
    """What the user gave cannot be used."""


class FieldError(InputError, ValueError):
    """Fields of a record that do not fit each other.

    Also a ``ValueError``, from which msgspec tells which part of a file it was reading.
    """


class UnknownNameError(InputError):
    """A name that does not exist.

    Args:
        kind: What was looked for, such as "strategy".
        name: The name given.
        allowed: All names that exist.
    """

    def __init__(
        self, kind: str, name: str, allowed: Iterable[str], *, where: str | None = None
    ) -> None:
        self.kind = kind
        self.name = name
        self.allowed = tuple(allowed)
        near = nearest(name, self.allowed)
        advice = f"Did you mean {near!r}? " if near else ""
        shown = ", ".join(self.allowed[:20]) + (", …" if len(self.allowed) > 20 else "")
        super().__init__(
            f"there is no {kind} {name!r}.",
            where=where,
            advice=f"{advice}Known: {shown or 'none yet'}.",
        )


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong in a file.

    Attributes:
        file: Path as the user knows it.
        line: 1-based line, or ``None`` when it concerns the whole file.
        field: Dotted path of the field, such as ``objective.metric``; empty for the whole file.
        what: One sentence: what is wrong.
        advice: One sentence: what is allowed or what to do; may be empty.
    """

    file: str
    line: int | None
    field: str
    what: str
    advice: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        field = f" {self.field}:" if self.field else ""
        return f"{place}:{field} {self.what} {self.advice}".rstrip()


class TaskFileError(InputError):
    """One or more problems in task files.

    Args:
        problems: All of them, in the order of their lines.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class DataError(InputError):
    """A data file, a column or its content cannot be used."""


class WorkspaceError(MilepostError):
    """There is no workspace, or it cannot be used as asked."""


class EncoderError(MilepostError):
    """An encoder is missing, or its bytes are not the promised ones."""


class StorageError(MilepostError):
    """What was stored cannot be read, or cannot be stored."""


class UnreachableError(StorageError):
    """The database server does not answer just now; the same again may succeed."""


class CorruptError(StorageError):
    """Bytes are not what their digest says, or an array holds a value that is not finite."""


class ConflictError(StorageError):
    """Somebody else changed it first; read again and decide anew."""


class OverloadedError(MilepostError):
    """There is more to do than can be done now; the same again later may succeed.

    Args:
        what: What is full.
        retry_after: Seconds after which to try again, > 0.
        own: Whether the asker alone has reached a limit of its own (429), not everybody (503).
    """

    def __init__(self, what: str, *, retry_after: float = 1.0, own: bool = False) -> None:
        self.retry_after = retry_after
        self.own = own
        super().__init__(what, advice=f"Try again in {retry_after:g} s.")


class LateError(MilepostError):
    """The deadline of a request passed before there was an answer."""


_OUTSIDE = {
    "timeout": "it did not answer in time.",
    "unreachable": "it cannot be reached.",
    "blocked_address": "its address may not be used.",
}
"""Outcomes whose words may name a host, an address or a port."""


class UpstreamError(MilepostError):
    """A call of a language model failed.

    Args:
        outcome: How, one of ``milepost.entities.model_calls.Outcome`` other than ``ok``.
        what: In words, without anything secret.
        upstream: Name of the upstream.
        retry_after: Seconds after which to try again, where the upstream said so.
        micro_usd: What the failed attempts cost together.
        attempts: How often it was sent; 0 where it never was.
    """

    def __init__(
        self,
        outcome: str,
        what: str,
        *,
        upstream: str = "",
        advice: str | None = None,
        retry_after: float | None = None,
        micro_usd: int = 0,
        attempts: int = 0,
    ) -> None:
        self.outcome = outcome
        self.upstream = upstream
        self.retry_after = retry_after
        self.micro_usd = micro_usd
        self.attempts = attempts
        where = f"upstream {upstream}" if upstream else None
        super().__init__(what, where=where, advice=advice)

    @property
    def outside(self) -> str:
        """What happened, for callers of a server: without where the upstream is."""
        return _OUTSIDE.get(self.outcome, self.what)


class RecordingError(StorageError):
    """An answer that must be recorded cannot be, and is not given."""


class HeldError(ConflictError):
    """Somebody else is doing it now; says who, since when and until when."""


class LostError(ConflictError):
    """Somebody else took it over, or cancelled it: nothing more may be written."""


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name closest to ``name`` (Ratcliff–Obershelp, at least 0.6), or ``None``."""
    found = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return found[0] if found else None
