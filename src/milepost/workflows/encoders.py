"""The encoders of a workspace: the one for new contests, and those whose vectors releases read.

``milepost.toml`` says by digest where each lies. Knows no release and no contest.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from milepost.entities.configuration import Configuration, parse_configuration
from milepost.entities.errors import EncoderError, InputError
from milepost.entities.task import InputType, Task
from milepost.models.encoder import Encoder
from milepost.models.export import Variant
from milepost.models.folder import EncoderFolder
from milepost.models.trunk import Trunk


def texts_alone() -> tuple[InputType, ...]:
    """What an encoder reads of which nothing else is said."""
    return ("string",)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Opened:
    """One encoder as everything needs it; each part is opened at the first call, and only once.

    Attributes:
        encoder: Behind the vector cache of the workspace.
        bare_encoder: The same without the cache, for timing.
        trunk: The same for serving, in a variant.
        weights: Its own weights, for what tunes it.
        inputs_read: What it reads, as its files say.
    """

    encoder: Callable[[], Encoder]
    bare_encoder: Callable[[], Encoder]
    trunk: Callable[[Variant], Trunk]
    weights: Callable[[], EncoderFolder]
    inputs_read: Callable[[], tuple[InputType, ...]] = texts_alone


class Encoders:
    """The encoders of a workspace, by name and by digest. Thread safe.

    ``milepost.toml`` is read again when it has changed, so that a server meets an encoder that
    came after it started.

    Args:
        file: ``milepost.toml``.
        configuration: What it said when the workspace was opened.
        open_: Gives an encoder by what the file calls it; called once for each.
    """

    def __init__(
        self, file: Path, configuration: Configuration, open_: Callable[[str], Opened]
    ) -> None:
        self._file = file
        self._open = open_
        self._lock = threading.Lock()
        self._read: tuple[int, int] | None = None
        self._places = places(configuration)
        self._noted: dict[str, str] = {}
        self._opened: dict[str, Opened] = {}

    def open(self, spec: str) -> Opened:
        """An encoder by what the file calls it: ``embedded``, a folder or a hub id."""
        with self._lock:
            if spec not in self._opened:
                self._opened[spec] = self._open(spec)
            return self._opened[spec]

    def find(self, digest: str) -> Opened | None:
        """The encoder with this digest; ``None`` where nothing says where it lies."""
        with self._lock:
            spec = self._noted.get(digest) or self._places.get(digest) or self._again().get(digest)
        return None if spec is None else self.open(spec)

    def note(self, digest: str, spec: str) -> None:
        """Say where an encoder lies, for this process alone."""
        with self._lock:
            self._noted[digest] = spec

    def _again(self) -> Mapping[str, str]:
        """The places as the file says now; those of before where it cannot be read."""
        try:
            seen = self._file.stat()
            now = (seen.st_mtime_ns, seen.st_size)
            if now != self._read:
                text = self._file.read_text(encoding="utf-8-sig")
                self._places = places(parse_configuration(text, self._file.name))
                self._read = now
        except (OSError, InputError):
            pass  # whoever opens the workspace next is told
        return self._places


def places(configuration: Configuration) -> Mapping[str, str]:
    """Where the encoders that releases read lie, by digest."""
    known = configuration.encoders
    return {} if isinstance(known, msgspec.UnsetType) else known


def require_encoder(wanted: str | None, found: str, what: str = "predictor") -> None:
    """Refuse another encoder than the one whose vectors something was measured on.

    Args:
        wanted: Digest of that one.
        found: Digest of the one that is there.
        what: What was measured, as one word or two.

    Raises:
        InputError: If they differ.
    """
    if wanted == found:
        return
    raise InputError(
        f"the workspace's encoder is not the one that this {what} was measured with, and "
        "`encoders` in milepost.toml does not say where that one lies.",
        where="milepost.toml: encoder",
        advice=f'Name it: encoders = {{ {str(wanted)[:64]} = "…" }}; or set the encoder back, and '
        "let `milepost migrate --encoder` change it.",
    )


def require_readable(task: Task, read: tuple[InputType, ...]) -> None:
    """Refuse an encoder that cannot read the inputs of a task.

    Without this one of texts would encode the name that stands for an image.

    Args:
        task: The task.
        read: What the encoder reads.

    Raises:
        EncoderError: If an input is of another type.
    """
    lacking = ("image" not in read and bool(task.images), "string" not in read and task.words)
    if not any(lacking):
        return
    name = task.own_encoder
    whose = f"the encoder {name!r}" if name is not None else "the workspace's encoder"
    what, advice = (
        (
            "images",
            'Name a folder whose model does: `--encoder models/vit`, or encoder: "models/vit" in '
            "the task file.",
        )
        if lacking[0]
        else (
            "texts",
            'Name one for texts beside it, such as encoder: "models/vit + embedded", or one that '
            "reads both, such as a CLIP.",
        )
    )
    raise EncoderError(
        f"{whose} does not read {what}.", where=f"tasks/{task.name}.yaml: encoder", advice=advice
    )
