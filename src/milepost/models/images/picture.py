"""From the bytes of an image to its pixels, with limits; knows no encoder.

Bytes come from outside: what is too large, of another format, cut off or not an image at all is
refused before or while it is decoded.
"""

import base64
import hashlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from milepost.entities.errors import EncoderError, InputError
from milepost.entities.images import LOOK_BITS

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""Formats that are read; of one that moves, the first picture."""

MOST_BYTES = 20 * 2**20
"""Most bytes of an image."""

MOST_PIXELS = 40_000_000
"""Most pixels of an image: 120 MB once it is decoded."""

_SMALL = 96
"""Most pixels of a side of a thumbnail."""

_SIDE = 9
_MARGIN = 3
"""Grey levels, of 255, from which two neighbours differ: less is noise of the compression."""


def sha256_of(data: bytes) -> str:
    """Digest of an image's bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def decoded(data: bytes, where: str | None = None) -> "Image":
    """The pixels of an image as RGB, upright as its camera says.

    Transparency is left out, as the processors of encoders do.

    Args:
        data: PNG, JPEG, WebP, GIF or BMP.
        where: Where it came from, for errors.

    Raises:
        InputError: If it is no such image, is damaged, or too large.
        EncoderError: If Pillow is not installed.
    """
    if len(data) > MOST_BYTES:
        raise InputError(
            f"the image has {len(data):,} bytes; {MOST_BYTES:,} are read at most.",
            where=where,
            advice="Make it smaller: encoders look at some hundred pixels a side.",
        )
    image_module, operations = _pillow()
    try:
        image = image_module.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
    except Exception as error:  # its decoders raise whatever they meet
        raise _no_image(data, where) from error
    if width * height > MOST_PIXELS or not width * height:
        raise InputError(
            f"the image has {width:,} x {height:,} pixels; {MOST_PIXELS:,} are read at most.",
            where=where,
            advice="Make it smaller: encoders look at some hundred pixels a side.",
        )
    try:
        upright = operations.exif_transpose(image)
        if upright.mode.startswith("I"):
            upright = _eight_bits(upright)
        return upright.convert("RGB")
    except Exception as error:
        raise InputError(
            f"the image is damaged or cut off ({str(error)[:100] or type(error).__name__}).",
            where=where,
            advice="Save or send it again.",
        ) from error


def look_of(image: "Image") -> str:
    """How an image looks: 128 bits in hex that stay about the same when it is saved anew or scaled.

    Whether each of 8 x 8 places is darker than its right and its lower neighbour (a difference
    hash in both directions; Krawetz 2013).
    """
    from PIL.Image import Resampling

    small = image.convert("L").resize((_SIDE, _SIDE), Resampling.BOX)
    grey = np.asarray(small, np.int16)
    right = grey[:-1, 1:] - grey[:-1, :-1] >= _MARGIN
    below = grey[1:, :-1] - grey[:-1, :-1] >= _MARGIN
    bits = np.packbits(np.concatenate([right.ravel(), below.ravel()]))
    assert len(bits) * 8 == LOOK_BITS  # noqa: S101 - two times 8 x 8
    return bits.tobytes().hex()


def thumbnail(data: bytes) -> str:
    """A small picture of an image as a ``data:`` URI of some kB at most.

    Args:
        data: The image's bytes.

    Raises:
        InputError: As :func:`decoded`.
        EncoderError: If Pillow is not installed.
    """
    small = decoded(data)
    small.thumbnail((_SMALL, _SMALL))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=75)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def _eight_bits(image: "Image") -> "Image":
    """An image of 16 bits a pixel in 8, which a plain conversion would cut off at 255."""
    from PIL.Image import fromarray

    values = np.asarray(image, np.float64)
    top = 65535.0 if values.max(initial=0) > 255 else 255.0
    return fromarray(np.clip(values * (255.0 / top), 0, 255).astype(np.uint8))


def _no_image(data: bytes, where: str | None) -> InputError:
    begins = "it is empty" if not data else f"it begins with {data[:12]!r}"
    return InputError(
        f"this is not an image ({begins}).",
        where=where,
        advice=f"Give one of {', '.join(FORMATS)}.",
    )


def _pillow() -> tuple[Any, Any]:
    """Pillow's modules for images and for operations on them.

    Raises:
        EncoderError: If it is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise EncoderError(
            "images are read with Pillow, and it is not installed.",
            advice="Run `pip install 'milepost[images]'`.",
        ) from error
    return Image, ImageOps
