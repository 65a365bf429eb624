"""Images of a request: decoded once, held while they are answered, and named by their digest."""

from collections.abc import Sequence

from milepost.entities.errors import InputError
from milepost.entities.inputs import MARK, Composition
from milepost.models.images.store import Holding


def with_images(how: Composition, texts: Sequence[str], holding: Holding) -> tuple[str, ...]:
    """The texts with what stands for an image in the place of each.

    Args:
        how: What parts each text has.
        texts: As they came, each image as a data URI.
        holding: Holds the images.

    Raises:
        InputError: If there is no image where one should be; names input and field.
    """
    # Of a pair the sides stand in their order; otherwise the images stand first.
    places = how.names if how.pair else how.pictures
    found: list[str] = []
    for row, text in enumerate(texts):
        parts = [part.strip() for part in text.split(MARK)]
        for at, name in enumerate(places):
            if name not in how.pictures:
                continue
            try:
                parts[at] = holding(parts[at])
            except InputError as error:
                raise InputError(
                    f"the image inputs[{row}].{name} cannot be read: {error.what}",
                    advice=error.advice,
                ) from error
        found.append(f" {MARK} ".join(parts))
    return tuple(found)
