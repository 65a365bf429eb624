"""An encoder of images as a server runs it, with a second tower for texts where there is one."""

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost._base.digest import digest_of
from milepost.entities.errors import EncoderError
from milepost.entities.images import BLANK, is_image
from milepost.models.adapters import Adapter
from milepost.models.encoder import Encoder, WrappedEncoder
from milepost.models.images.picture import decoded
from milepost.models.images.steps import Steps
from milepost.models.images.store import Images
from milepost.models.packaged import Package, read_package
from milepost.models.trunk import Passed, Trunk, open_session, ran

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_GREY = (128, 128, 128)


class Picture(list[int]):
    """An image in the place of tokens: as many as it is read in parts.

    Args:
        text: Stands for the image.
        parts: How many.
    """

    def __init__(self, text: str, parts: int) -> None:
        super().__init__([0] * parts)
        self.text = text


class ImageTrunk(Trunk):
    """An encoder of images, asked as any trunk is. Thread safe.

    What stands for an image goes to the tower that reads images, any other text to the one that
    reads texts. Where the towers give vectors of other lengths, the shorter ones end in zeros.

    Args:
        package: Of the tower that reads images.
        texts: Reads texts; ``None`` where none can be read.
        images: Gives the bytes of images.
        one_space: Whether vectors of images and of texts can be compared.
    """

    def __init__(
        self, package: Package, texts: Trunk | None, images: Images, *, one_space: bool
    ) -> None:
        self._tower = package.manifest
        self.directory: Path = package.directory
        self.texts = texts
        self.one_space = texts is not None and one_space
        self._images = images
        self._pixels: InferenceSession = open_session(package)
        self._input = self._pixels.get_inputs()[0].name
        try:
            self._steps = msgspec.json.decode(package.tokenizer, type=Steps)
        except msgspec.DecodeError as error:
            raise EncoderError(
                f"the steps of the packaged encoder cannot be read: {error}",
                where=str(package.directory),
                advice="Export the encoder again.",
            ) from error

    def finding(self, images: Images) -> "ImageTrunk":
        """The same with the bytes of images found elsewhere."""
        found = copy(self)
        found._images = images
        return found

    def beside(self, texts: Trunk) -> "ImageTrunk":
        """The same with texts read by another encoder, in another space."""
        found = copy(self)
        found.texts, found.one_space = texts, False
        return found

    @property
    def name(self) -> str:
        """Name for people; of two folders both."""
        own = self._tower.name
        return own if self.texts is None or self.one_space else f"{own} + {self.texts.name}"

    @property
    def digest(self) -> str:
        """SHA-256 over the files that decide what a vector is; of two folders over both."""
        if self.texts is None or self.one_space:
            return self._tower.digest
        return digest_of([self._tower.digest, self.texts.digest])

    @property
    def variant(self) -> str:
        """``fp32``."""
        return self._tower.variant

    @property
    def exporter(self) -> str:
        """Which exporter wrote the graph."""
        return self._tower.exporter

    @property
    def dimensions(self) -> int:
        """Length ``d`` of a vector."""
        texts = 0 if self.texts is None else self.texts.dimensions
        return max(self._tower.dimensions, texts)

    @property
    def max_tokens(self) -> int:
        """Longest input in tokens; an image has as many as it is read in parts."""
        return max(self._tower.max_tokens, 0 if self.texts is None else self.texts.max_tokens)

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of texts, and of images what names them; any thread may call.

        Raises:
            EncoderError: If one is no image and no texts can be read.
        """
        words = [text for text in texts if not is_image(text)]
        if words and self.texts is None:
            raise self._no_texts()
        read = iter(self.texts.tokenise(words) if self.texts is not None and words else ())
        return [
            Picture(text, self._tower.max_tokens) if is_image(text) else next(read)
            for text in texts
        ]

    def package_for(self, adapters: Sequence[Adapter]) -> Package:
        """The package of the tower that reads images, verified.

        Raises:
            EncoderError: For adapters, which it takes none of.
        """
        self.get_ready(adapters)
        return read_package(self.directory)

    def get_ready(self, adapters: Sequence[Adapter]) -> None:
        """Nothing is to be done.

        Raises:
            EncoderError: For adapters, which it takes none of.
        """
        if adapters:
            raise EncoderError(f"the encoder {self.name!r} takes no adapters.")

    def forward(
        self,
        tokens: Sequence[Sequence[int]],
        *,
        states: bool = False,
        adapters: Sequence[Adapter | None] | None = None,
    ) -> Passed:
        """A pass of the images and one of the texts, on the calling thread.

        Raises:
            EncoderError: If states or adapters are wanted, which it has none of.
            InputError: If an image is gone.
        """
        self.get_ready([each for each in adapters or () if each is not None])
        if states:
            raise EncoderError(f"the encoder {self.name!r} gives no states of tokens.")
        out = np.zeros((len(tokens), self.dimensions), np.float32)
        seen = [at for at, row in enumerate(tokens) if isinstance(row, Picture)]
        read = [at for at, row in enumerate(tokens) if not isinstance(row, Picture)]
        if seen:
            pixels = np.stack([self._of(cast("Picture", tokens[at]).text) for at in seen])
            found = ran(self._pixels, None, {self._input: pixels}, self._tower.name)[0]
            out[seen, : found.shape[1]] = found
        if read:
            if self.texts is None:
                raise self._no_texts()
            found = self.texts.forward([tokens[at] for at in read]).vectors
            out[read, : found.shape[1]] = found
        return Passed(out)

    def padded_cost(self, lengths: Sequence[int]) -> int:
        """Tokens that a pass works on; an image is never padded."""
        return sum(lengths)

    def _of(self, text: str) -> NDArray[np.float32]:
        """What the tower reads of an image."""
        if text == BLANK:
            from PIL.Image import new

            height, width = self._steps.out
            return self._steps.pixels(new("RGB", (width, height), _GREY))
        return self._steps.pixels(decoded(self._images.bytes_of(text), text[:40]))

    def _no_texts(self) -> EncoderError:
        return EncoderError(
            f"the encoder {self.name!r} reads images, and this is a text.",
            where="encoder",
            advice='Name one for texts beside it, such as encoder: "models/vit + embedded", or one '
            "that reads both, such as a CLIP.",
        )


def in_one_space(encoder: Encoder) -> bool:
    """Whether vectors of images and of texts can be compared; so can those of texts alone."""
    while isinstance(encoder, WrappedEncoder):
        encoder = encoder.inner
    trunk = getattr(encoder, "trunk", None)
    return trunk.one_space if isinstance(trunk, ImageTrunk) else True


def reads_texts(encoder: Encoder) -> bool:
    """Whether it reads texts, and not images alone."""
    while isinstance(encoder, WrappedEncoder):
        encoder = encoder.inner
    trunk = getattr(encoder, "trunk", None)
    return not isinstance(trunk, ImageTrunk) or trunk.texts is not None
