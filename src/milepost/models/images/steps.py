"""From an image to the numbers that an encoder reads: resized, cropped, scaled as its folder says.

Follows the processors of Hugging Face that are written with Pillow; a folder that asks for a step
which is not one of these is refused, because its vectors would be others.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import EncoderError

if TYPE_CHECKING:
    from PIL.Image import Image

Size = tuple[int, int]
"""Height and width in pixels."""

_KNOWN = frozenset({"do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"})
_DEFAULT_PIXELS = 1 / 255
_BILINEAR, _BICUBIC = 2, 3
_ROUND_SHARPLY = 384
"""Side from which ConvNeXt's processor resizes without a crop."""


class Steps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done to an image, in this order.

    Attributes:
        resize: ``exact`` to ``size``; ``shortest`` until the shorter side is ``size``'s first
            number; ``none``.
        size: See ``resize``.
        resample: Pillow's number of the filter.
        crop: Size of the part that is cut out of the middle, black where the image ends; ``None``
            for none.
        scale: What each value from 0 to 255 is multiplied by.
        mean: Then taken off, by colour.
        spread: Then divided by, by colour.
    """

    resize: Literal["exact", "shortest", "none"]
    size: Size
    resample: int
    crop: Size | None
    scale: float
    mean: tuple[float, float, float]
    spread: tuple[float, float, float]

    @property
    def out(self) -> Size:
        """Height and width of what comes out."""
        return self.crop or self.size

    def pixels(self, image: "Image") -> NDArray[np.float32]:
        """What the encoder reads of an RGB image, ``(3, height, width) float32``."""
        from PIL.Image import Resampling

        wanted = _scaled(self, (image.height, image.width))
        if wanted != (image.height, image.width):
            image = image.resize((wanted[1], wanted[0]), Resampling(self.resample))
        values = np.asarray(image, np.uint8)
        if self.crop is not None:
            values = _middle(values, self.crop)
        scaled = values.astype(np.float32) * np.float32(self.scale)
        normal = (scaled - np.array(self.mean, np.float32)) / np.array(self.spread, np.float32)
        return np.ascontiguousarray(normal.transpose(2, 0, 1), np.float32)


def read_steps(config: Mapping[str, object], where: str) -> Steps:
    """The steps that ``preprocessor_config.json`` names.

    Raises:
        EncoderError: If it names one that is not known here, or its sizes cannot be read.
    """
    inner = config.get("image_processor")
    said: dict[str, Any] = dict(cast("Any", inner) if isinstance(inner, dict) else config)
    unknown = sorted(k for k, v in said.items() if k.startswith("do_") and v and k not in _KNOWN)
    if unknown:
        raise EncoderError(
            f"its images are prepared by {', '.join(unknown)}, which is not done here.",
            where=where,
            advice="Use an encoder whose images are resized, cropped, scaled and normalised alone.",
        )
    try:
        return _steps(said)
    except (KeyError, TypeError, ValueError) as error:
        raise EncoderError(
            f"it does not say how images are prepared ({type(error).__name__}: {error}).",
            where=where,
            advice="Save the image processor again with `save_pretrained`.",
        ) from error


def _steps(said: Mapping[str, Any]) -> Steps:
    crops = bool(said.get("do_center_crop"))
    crop = _pair(said["crop_size"]) if crops else None
    resize, size = "none", crop or (0, 0)
    if said.get("do_resize", True):
        given: Any = said["size"]
        shortest: Any = given if crops else None
        if isinstance(given, dict):
            shortest = cast("dict[str, Any]", given).get("shortest_edge")
        resize, size = (
            ("shortest", (int(shortest), int(shortest))) if shortest else ("exact", _pair(given))
        )
        if said.get("crop_pct") is not None:
            resize, size, crop = _cut_share(int(shortest or size[0]), float(said["crop_pct"]))
    if not (crop or size)[0] or (resize == "shortest" and crop is None):
        raise ValueError("images come out in sizes that differ")
    normal = said.get("do_normalize", True)
    return Steps(
        resize=cast("Any", resize),
        size=size,
        resample=int(said.get("resample", _BICUBIC if crops else _BILINEAR)),
        crop=crop,
        scale=float(said.get("rescale_factor", _DEFAULT_PIXELS))
        if said.get("do_rescale", True)
        else 1.0,
        mean=_three(said["image_mean"]) if normal else (0.0, 0.0, 0.0),
        spread=_three(said["image_std"]) if normal else (1.0, 1.0, 1.0),
    )


def _cut_share(side: int, share: float) -> tuple[str, Size, Size | None]:
    """ConvNeXt's way: a small image is resized to more than is read, and cut."""
    if side >= _ROUND_SHARPLY:
        return "exact", (side, side), None
    larger = int(side / share)
    return "shortest", (larger, larger), (side, side)


def _pair(given: Any) -> Size:
    if isinstance(given, dict):
        size = cast("dict[str, Any]", given)
        return int(size["height"]), int(size["width"])
    return int(given), int(given)


def _three(given: Any) -> tuple[float, float, float]:
    values = [float(each) for each in given] if isinstance(given, list) else [float(given)] * 3
    return values[0], values[1], values[2]


def _scaled(steps: Steps, size: Size) -> Size:
    """Height and width after resizing."""
    if steps.resize == "none":
        return size
    if steps.resize == "exact":
        return steps.size
    height, width = size
    edge = steps.size[0]
    if height <= width:
        return edge, max(1, int(edge * width / height))
    return max(1, int(edge * height / width)), edge


def _middle(values: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """The middle ``size`` of ``(h, w, 3)``; zeros where the image ends before."""
    height, width = values.shape[:2]
    if height >= size[0] and width >= size[1]:
        top, left = (height - size[0]) // 2, (width - size[1]) // 2
        return values[top : top + size[0], left : left + size[1]]
    tall, wide = max(size[0], height), max(size[1], width)
    larger = np.zeros((tall, wide, 3), np.uint8)
    top, left = -(-(tall - height) // 2), -(-(wide - width) // 2)
    larger[top : top + height, left : left + width] = values
    return _middle(larger, size)
