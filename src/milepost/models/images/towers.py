"""Finds the exported towers of an encoder of images, or exports them once."""

from collections.abc import Callable
from pathlib import Path

from milepost._base.digest import digest_of
from milepost.entities.errors import CorruptError, EncoderError
from milepost.models.images.folder import EXPORTER, ImageFolder
from milepost.models.images.store import Images
from milepost.models.images.trunk import ImageTrunk
from milepost.models.packaged import Manifest, Package, read_package, remove_package, write_package
from milepost.models.trunk import Trunk

_IMAGE, _TEXT = "image", "text"


def places_of(folder: ImageFolder, cache_dir: Path) -> dict[str, Path]:
    """Where the packages of a folder's towers lie or will lie."""
    towers = (_IMAGE, _TEXT) if folder.towers else (_IMAGE,)
    return {each: cache_dir / digest_of([folder.digest, EXPORTER, each]) for each in towers}


def open_towers(
    folder: ImageFolder, cache_dir: Path, images: Images, notify: Callable[[str], None]
) -> ImageTrunk:
    """The towers of a folder, exported the first time.

    Raises:
        EncoderError: If they cannot be exported.
        StorageError: If the cache cannot be written.
    """
    found = {
        tower: _package(folder, tower, place, notify)
        for tower, place in places_of(folder, cache_dir).items()
    }
    texts = Trunk(found[_TEXT]) if _TEXT in found else None
    return ImageTrunk(found[_IMAGE], texts, images, one_space=True)


def _package(
    folder: ImageFolder, tower: str, place: Path, notify: Callable[[str], None]
) -> Package:
    if place.exists():
        try:
            return _cached(place, folder)
        except (CorruptError, EncoderError) as error:
            notify(f"The cached export of {folder.name} is damaged and is made again: {error}")
            remove_package(place)
    notify(f"Exporting the {tower} tower of {folder.name} to ONNX, once.")
    from milepost.models.images.exporting import image_tower, text_tower

    made: tuple[Manifest, bytes, bytes] = (image_tower if tower == _IMAGE else text_tower)(folder)
    write_package(place, *made)
    return _cached(place, folder)


def _cached(place: Path, folder: ImageFolder) -> Package:
    package = read_package(place)
    if package.manifest.digest != folder.digest:
        raise CorruptError("the package is that of another encoder.", where=str(place))
    return package
