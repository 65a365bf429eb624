"""From what somebody sent to what a predictor reads: cleaned, prepared, cut."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import cast

import msgspec

from milepost._base.own_code import load_own, said
from milepost.entities.errors import InputError
from milepost.entities.preparation import OWN, check_step, own_parts
from milepost.models.images.store import Images
from milepost.predictors.preparation.steps import BUILT_IN, Step

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
Steps = Sequence[str] | msgspec.UnsetType
"""Names of steps as a task file or a manifest holds them; unset for none."""


class StepError(InputError):
    """A step that failed on an input.

    Attributes:
        step: The step as the task file names it.
        row: 0-based position of the input among those that were given.
        text: The input.
    """

    def __init__(self, what: str, *, step: str, row: int, text: str) -> None:
        super().__init__(
            f"the step {step} {what}.",
            where=f"input {row}",
            advice="It takes a text and gives a text, whatever the text is.",
        )
        self.step = step
        self.row = row
        self.text = text


class Preparation:
    """The steps of one task or release, ready to be applied. Any thread may call it.

    Args:
        steps: Names, own steps with the digest of their file.
        functions: The function of each step.
        most: Most characters of a prepared text.
        images: Where inputs that are images are read and kept; ``None`` holds those that are asked
            about, and keeps none.
    """

    def __init__(
        self,
        steps: tuple[str, ...],
        functions: Sequence[Step],
        most: int,
        images: Images | None = None,
    ) -> None:
        self.images = Images() if images is None else images
        self.steps = steps
        self._functions = tuple(zip(steps, functions, strict=True))
        self.most = most

    def __call__(self, texts: Iterable[str]) -> list[str]:
        """The prepared texts, one for each; ``""`` where nothing is left.

        NUL is removed and a lone surrogate becomes U+FFFD before the steps and after them; what is
        longer than ``most`` characters then is cut.

        Raises:
            StepError: If an own step fails or gives no text; names the input.
        """
        most = self.most
        return [text[:most] for text in self.whole(texts)]

    def whole(self, texts: Iterable[str]) -> list[str]:
        """The prepared texts before they are cut.

        Raises:
            StepError: If an own step fails or gives no text; names the input.
        """
        if not self._functions:
            return [storable(text) if text.strip() else "" for text in texts]
        return [self._one(row, text) for row, text in enumerate(texts)]

    def _one(self, row: int, text: str) -> str:
        prepared = storable(text)
        for step, function in self._functions:
            if not prepared.strip():
                return ""  # nothing to prepare, and an own step need not know what to do with it
            try:
                prepared = function(prepared)
            except Exception as error:
                raise StepError(
                    f"failed: {said(error)}", step=_bare(step), row=row, text=text
                ) from error
            if not isinstance(prepared, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                kind = type(cast("object", prepared)).__name__
                raise StepError(
                    f"gave {kind}, which is no text", step=_bare(step), row=row, text=text
                )
        prepared = storable(prepared)
        return prepared if prepared.strip() else ""


def require_something(texts: Sequence[str], prepared: Sequence[str]) -> None:
    """Refuse inputs of which nothing is left to answer.

    Args:
        texts: As they were sent.
        prepared: The same, prepared.

    Raises:
        InputError: Naming the first, by its 0-based position.
    """
    if "" not in prepared:
        return
    row = prepared.index("")
    if storable(texts[row]).strip():
        raise InputError(
            f"nothing is left of input {row} once it is prepared.",
            where=f"input {row}",
            advice="The task's `prepare` steps take all of it away.",
        )
    raise InputError(
        f"input {row} is empty.", where=f"input {row}", advice="Leave it out, or give its text."
    )


def preparation(
    steps: Steps, root: Path | None, most: int, where: str = "", images: Images | None = None
) -> Preparation:
    """Steps ready to be applied.

    Args:
        steps: As in a task file, or with digests as in a manifest: then a file of another content
            is refused.
        root: Folder that own files are relative to; ``None`` where there are none.
        most: Most characters of a prepared text, > 0.
        where: What the steps are of, for errors, such as ``tasks/mail.yaml: inputs.text.prepare``.
        images: As of :class:`Preparation`.

    Raises:
        UnknownNameError: If there is no such step; carries the nearest.
        InputError: If an own function cannot be used, or is not the one that was recorded.
    """
    names = () if isinstance(steps, msgspec.UnsetType) else tuple(steps)
    loaded = [_loaded(step, root, where) for step in names]
    return Preparation(
        tuple(name for name, _ in loaded), [function for _, function in loaded], most, images
    )


def pinned(steps: Steps, root: Path) -> tuple[str, ...] | msgspec.UnsetType:
    """Steps with the digest of each own file, as a manifest holds them; unset for none.

    Raises:
        InputError: As :func:`preparation`.
    """
    found = preparation(steps, root, 1).steps
    return found or msgspec.UNSET


def storable(text: str) -> str:
    """``text`` without NUL, with U+FFFD in place of each lone surrogate.

    A pair of surrogates becomes the character it stands for. Everything else stays as it is.
    """
    if text.isascii():
        return text.replace("\x00", "") if "\x00" in text else text
    if not _UNSTORABLE.search(text):
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return joined.replace("\x00", "")


def _loaded(step: str, root: Path | None, where: str) -> tuple[str, Callable[[str], str]]:
    """The step as a manifest names it, and its function."""
    check_step(step)
    if not step.startswith(OWN):
        return step, BUILT_IN[step]
    file, function, sha256 = own_parts(step)
    bare = f"{OWN}{file}:{function}"
    if root is None:
        raise InputError(
            f"the function {bare} prepares the inputs, and its file is not here.",
            where=where or None,
            advice=f"Give the folder that holds {file}, as it was in the workspace: root=….",
        )
    try:
        own = load_own(file, function, root, sha256=sha256)
    except ValueError as error:
        raise InputError(
            str(error),
            where=f"{where} {bare}".strip(),
            advice=f"Put back {file} as it was, or fit anew: milepost improve."
            if sha256
            else "It takes a text and gives a text.",
        ) from error
    return f"{bare}@{own.sha256}", own.call


def _bare(step: str) -> str:
    return step.partition("@")[0]
