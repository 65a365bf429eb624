"""Inputs as somebody gives them in Python, as the one text that a predictor reads of each.

Knows no files and no dataframes: those have columns, and are read elsewhere.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from milepost.entities.errors import InputError
from milepost.entities.inputs import Composition
from milepost.models.images.store import Holding

Part = str | bytes | Path
"""A text; of an image a path, a data URI, or its bytes."""

Given = Part | Mapping[str, Part]
"""An input; of several a mapping from the name of each."""


def texts_given(inputs: Sequence[object], how: Composition | None, holding: Holding) -> list[str]:
    """The text of each input.

    Args:
        inputs: ``n`` of ``Given``.
        how: How several inputs, or an image, become one text; ``None`` where there is one text.
        holding: Holds the images; paths start from the current folder.

    Raises:
        InputError: If the inputs are one text, or one of them is not what is read; says which.
    """
    if isinstance(inputs, str | bytes | Mapping):
        raise InputError("the inputs are one input.", advice="Give a list, such as [text].")
    return [text_given(each, how, holding, f"input {at}") for at, each in enumerate(inputs)]


def text_given(given: object, how: Composition | None, holding: Holding, called: str) -> str:
    """The text of one input.

    Args:
        given: A ``Given``.
        how: As for ``texts_given``.
        holding: Likewise.
        called: What an error calls the input.

    Raises:
        InputError: If it is not what is read.
    """
    if how is None:
        if isinstance(given, str):
            return given
        raise InputError(f"{called} is {type(given).__name__}, not text.", advice="Give strings.")
    named = ", ".join(how.names)
    if len(how.names) == 1 and not isinstance(given, Mapping):
        given = {how.names[0]: given}  # a lone image needs no name
    if not isinstance(given, Mapping):
        raise InputError(
            f"{called} is {type(given).__name__}, and this task has the inputs {named}.",
            advice=f"Give a mapping with {named} for each.",
        )
    fields = dict(cast("Mapping[object, object]", given))
    for name in how.pictures:
        fields[name] = _image(fields.get(name), holding, f"{called}, {name}")
    missing = [name for name in how.names if not isinstance(fields.get(name), str)]
    if missing:
        what = "image" if missing[0] in how.pictures else "text"
        raise InputError(
            f"{called} has no {what} {missing[0]!r}.",
            advice=f"It needs {named}{', each a text' if not how.pictures else ''}.",
        )
    return how.text({name: str(fields[name]) for name in how.names})


def _image(given: object, holding: Holding, called: str) -> str | None:
    """What stands for an image; ``None`` where there is none."""
    if isinstance(given, Path):
        given = str(given)
    if not isinstance(given, str | bytes) or not given:
        return None
    try:
        return holding(given, Path())
    except InputError as error:
        raise InputError(
            error.what, where=f"{called}: {error.where or ''}".rstrip(": "), advice=error.advice
        ) from error
