"""What the address of an upstream inside of this process says: ``fake:?accuracy=0.9&seed=3``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl

import msgspec

from milepost._base.untrusted import read_plain
from milepost.entities.errors import DataError, InputError, UnknownNameError
from milepost.models.language.inside.faults import Kind

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=3600.0)]
MOST_BYTES = 256 * 1024 * 1024
"""Largest file of known or recorded answers."""


class Faulted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Faults that may be asked of both.

    Attributes:
        fault: A kind of fault; empty for none.
        fault_share: Share of calls that have it.
        fault_first: Only this many calls at the beginning have it; ``None`` for no end.
        retry_after: Seconds that a storm of 429 asks to wait.
    """

    fault: Kind | None = None
    fault_share: Share = 1.0
    fault_first: int | None = None
    retry_after: Seconds = 1.0


class Rule(Faulted, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a fake answers.

    Attributes:
        accuracy: Share of answers that follow its rule.
        seed: Of everything that is drawn.
        seconds: How long an answer takes.
        spread: Standard deviation of the logarithm of that time.
        knows: File of labelled texts (JSON Lines with ``text`` and ``label``) whose label is its
            rule for them; empty for none.
        wordy: Share of answers in a sentence around the label instead of the label alone.
        unsure: Share of answers that name no label.
        cached: Share of its input that it says it had in a prompt cache of its own.
        reasoning: Tokens that it says it thought for each answer.
        says: What it answers whatever is asked, without reading it; empty for its rule.
    """

    accuracy: Share = 1.0
    seed: int = 0
    seconds: Seconds = 0.0
    spread: Share = 0.0
    knows: str = ""
    wordy: Share = 0.0
    unsure: Share = 0.0
    cached: Share = 0.0
    reasoning: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    says: str = ""


class Replay(Faulted, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a recorded upstream answers.

    Attributes:
        speed: How many times faster than recorded; 0 answers at once.
    """

    speed: Annotated[float, msgspec.Meta(ge=0.0)] = 1.0


T = TypeVar("T", bound=Faulted)


def place(base_url: str) -> str:
    """What stands between the scheme and the options: the file of a recorded upstream."""
    return base_url.partition(":")[2].partition("?")[0].removeprefix("//")


def options(base_url: str, kind: type[T]) -> T:
    """The options of an address.

    Raises:
        InputError: If one is unknown, or its value is not allowed.
    """
    pairs = dict(parse_qsl(base_url.partition("?")[2], keep_blank_values=True))
    known = kind.__struct_fields__
    for name in pairs:
        if name not in known:
            raise UnknownNameError("option", name, known, where=base_url)
    try:
        return msgspec.convert(pairs, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(f"an option cannot be used: {error}.", where=base_url) from None


def lines_of(path: str, root: Path | None) -> tuple[Path, list[bytes]]:
    """Lines of a file that are not empty, with the path that was read.

    Raises:
        DataError: If it cannot be read.
    """
    file = Path(path) if root is None else root / path
    try:
        return file, [line for line in read_plain(file, MOST_BYTES).splitlines() if line.strip()]
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror or error}.", where=str(file),
            advice="Give the path of a file of JSON Lines.",
        ) from None  # fmt: skip


class _Labelled(msgspec.Struct):
    text: str
    label: str


def known_labels(path: str, root: Path | None) -> Mapping[str, str]:
    """Label of each text of a file of JSON Lines; the last one where a text stands twice.

    Raises:
        DataError: If it cannot be read.
    """
    file, lines = lines_of(path, root)
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        try:
            row = msgspec.json.decode(line, type=_Labelled)
        except msgspec.DecodeError as error:
            raise DataError(
                f"is no labelled text: {error}.", where=f"{file}:{number}",
                advice='Write {"text": "…", "label": "…"} on each line.',
            ) from None  # fmt: skip
        found[row.text.strip()] = row.label
    return found
