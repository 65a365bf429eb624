"""A function of the user's own: its file is read once, and known by its digest."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from milepost._base.digest import sha256_bytes
from milepost._base.untrusted import read_plain

MAX_SOURCE = 1_000_000
"""Largest file of own code that is read, in bytes."""


@dataclass(frozen=True, slots=True)
class OwnFunction:
    """A loaded function.

    Attributes:
        call: The function itself.
        sha256: Digest of the bytes of its file, which are those that were executed.
    """

    call: Callable[..., Any]
    sha256: str


def own_path(file: str, root: Path) -> Path | None:
    """Where a file of own code is; ``None`` if its name leads out of ``root``."""
    path, base = (root / file).resolve(), root.resolve()
    return path if path.is_relative_to(base) else None


def load_own(file: str, function: str, root: Path, *, sha256: str | None = None) -> OwnFunction:
    """Execute a file of own code and take one function from it.

    Args:
        file: Path relative to ``root``, as the task file names it.
        function: Its name.
        root: Folder of the workspace; nothing outside it is executed.
        sha256: Digest that the file must have; ``None`` takes it as it is. A file of another
            content is not executed.

    Raises:
        ValueError: One sentence that says what cannot be used.
    """
    path = own_path(file, root)
    if path is None:
        raise ValueError(f"{file} lies outside the workspace.")
    try:
        source = read_plain(path, MAX_SOURCE)
    except OSError as error:
        raise ValueError(f"{file} cannot be used: {said(error)}.") from error
    found = sha256_bytes(source)
    if sha256 is not None and found != sha256:
        raise ValueError(
            f"{file} is not the file that this was made with: "
            f"its SHA-256 begins with {found[:12]}, not {sha256[:12]}."
        )
    module = ModuleType("own_code")
    try:
        exec(compile(source.decode(), file, "exec"), module.__dict__)  # noqa: S102
    except Exception as error:
        raise ValueError(f"{file} cannot be used: {said(error)}.") from error
    call: Any = getattr(module, function, None)
    if not callable(call):
        known = [key for key in vars(module) if not key.startswith("_")]
        near = get_close_matches(function, known, n=1, cutoff=0.6)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{file} has no function {function!r}.{guess}")
    return OwnFunction(call, found)


def said(error: Exception) -> str:
    """An error of own code on one line."""
    detail = getattr(error, "strerror", None) or str(error)
    return f"{type(error).__name__}: {detail}".splitlines()[0].rstrip(".")
