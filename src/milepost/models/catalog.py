"""Opens an encoder by what a user writes: ``embedded``, a folder, or a hub id; saves and loads it.

Knows where encoders come from; leaves the reading, exporting and running to the modules beside.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from milepost.entities.errors import EncoderError, UnknownNameError
from milepost.entities.task import InputType
from milepost.models.adapters import Adapter
from milepost.models.cached import CachedEncoder
from milepost.models.embedded import EMBEDDED_NAME, read_embedded
from milepost.models.encoder import Encoder
from milepost.models.export import Notify, Variant, Wanted, exported, place_of
from milepost.models.folder import EncoderFolder, read_folder
from milepost.models.images.folder import ImageFolder, read_image_folder, reads_images
from milepost.models.images.store import Images
from milepost.models.images.towers import open_towers, places_of
from milepost.models.images.trunk import ImageTrunk
from milepost.models.onnx_encoder import OnnxEncoder
from milepost.models.packaged import Package, read_package, write_package
from milepost.models.trunk import Trunk

EMBEDDED = "embedded"

BESIDE = " + "
"""Between an encoder of images and one of texts that a task reads side by side."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_HUB_FILES = ("*.json", "model.safetensors", "*/config.json")


def _silent(message: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """How an encoder is opened.

    Attributes:
        max_tokens: Longest input in tokens, ≥ 1; ``None`` takes the encoder's own limit. Part of
            the encoder's digest.
        variant: ``fp32``, the reference, or ``int8``, which is faster.
        threads: Threads of a bulk encode, ≥ 1; ``None`` takes the processors of this process.
        apart: Whether an export that is needed is made in a process of its own, so that this one
            loads neither onnx nor torch.
        notify: Told in one sentence what takes long or was repaired.
        images: Gives the bytes of images; ``None`` where only what is held here can be read.
    """

    max_tokens: int | None = None
    variant: Variant = "fp32"
    threads: int | None = None
    apart: bool = False
    notify: Notify = _silent
    images: Images | None = None


class ExportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a process that exports and ends is asked for; as ``EncoderOptions`` and ``Wanted``."""

    spec: str
    cache_dir: str
    variant: Variant
    adapts: tuple[str, ...]
    max_tokens: int | None

    def make(self) -> None:
        """Export, unless the graph is there.

        Raises:
            EncoderError: See `open_encoder`.
        """
        options = EncoderOptions(max_tokens=self.max_tokens)
        seen = image_folder(self.spec, options)
        if seen is not None:
            open_towers(seen, Path(self.cache_dir), Images(), _silent)
            return
        folder = find_encoder(self.spec, options)
        exported(folder, Path(self.cache_dir), _silent, Wanted(self.variant, self.adapts))


class _Refusal(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    where: str | None = None
    advice: str | None = None


def open_encoder(spec: str, cache_dir: Path, options: EncoderOptions | None = None) -> OnnxEncoder:
    """Opens an encoder, exporting it to ONNX the first time.

    Args:
        spec: ``embedded`` (or its name, ``all-MiniLM-L6-v2``), the path of a Hugging Face or
            sentence-transformers folder, or a hub id ``org/name``.
        cache_dir: Folder for exports; created when missing.
        options: ``None`` takes the defaults.

    Raises:
        EncoderError: If it is not installed, not reachable, not the promised bytes, or cannot be
            exported; says what to do.
        UnknownNameError: If ``spec`` is none of the three.
        StorageError: If the cache cannot be written.
    """
    chosen = options or EncoderOptions()
    return OnnxEncoder(open_trunk(spec, cache_dir, chosen), chosen.threads)


def open_trunk(spec: str, cache_dir: Path, options: EncoderOptions | None = None) -> Trunk:
    """Opens an encoder for a server, which forms batches itself; otherwise as `open_encoder`.

    Imports neither torch nor onnx where the export is there already, or is made apart. The graph
    that takes adapters is exported in the same way when the first one comes.
    """
    chosen = options or EncoderOptions()
    seen, beside, texts = spec.partition(BESIDE)
    pictures = image_folder(seen, chosen)
    if pictures is not None:
        trunk = _open_images(seen, pictures, cache_dir, chosen)
        return trunk if not beside else trunk.beside(open_trunk(texts, cache_dir, chosen))
    if beside:
        raise _no_images(seen)
    folder = find_encoder(spec, chosen)

    def package(adapts: tuple[str, ...]) -> Package:
        graph = Wanted(chosen.variant, adapts)
        if chosen.apart and not place_of(folder, cache_dir, graph).exists():
            _export_apart(spec, cache_dir, chosen, adapts)
        return exported(folder, cache_dir, chosen.notify, graph)

    return Trunk(package(()), package)


def _open_images(
    spec: str, folder: ImageFolder, cache_dir: Path, options: EncoderOptions
) -> ImageTrunk:
    """An encoder of images, which runs in fp32 alone.

    Raises:
        EncoderError: If another variant is asked for, or it cannot be exported.
    """
    if options.variant != "fp32":
        raise EncoderError(
            f"an encoder of type {folder.model_type!r} runs in fp32 only.", where=str(folder.path)
        )
    there = all(place.exists() for place in places_of(folder, cache_dir).values())
    if options.apart and not there:
        _export_apart(spec, cache_dir, options, ())
    return open_towers(folder, cache_dir, options.images or Images(), options.notify)


def image_folder(spec: str, options: EncoderOptions) -> ImageFolder | None:
    """The folder of an encoder of images; ``None`` where ``spec`` names another encoder.

    Raises:
        EncoderError: If it is one and cannot be read.
    """
    path = Path(spec).expanduser()
    if not path.is_dir() and _HUB_ID.fullmatch(spec):
        path = _fetch(spec, options.notify)
    name = spec if _HUB_ID.fullmatch(spec) and not Path(spec).is_dir() else None
    return read_image_folder(path, name) if reads_images(path) else None


def inputs_read(spec: str, options: EncoderOptions | None = None) -> tuple[InputType, ...]:
    """What an encoder reads, as its files say; nothing is exported.

    Args:
        spec: As for `open_encoder`.
        options: ``None`` takes the defaults.

    Raises:
        EncoderError: If it is not there, or cannot be read.
        UnknownNameError: If ``spec`` names none.
    """
    chosen = options or EncoderOptions()
    seen, beside, texts = spec.partition(BESIDE)
    pictures = image_folder(seen, chosen)
    if pictures is None and beside:
        raise _no_images(seen)
    if pictures is None or beside:
        named = texts if beside else spec
        if named not in {EMBEDDED, EMBEDDED_NAME}:  # its bytes are looked at when it is opened
            find_encoder(named, chosen)
    if pictures is None:
        return ("string",)
    return ("image", "string") if beside or pictures.towers else ("image",)


def _no_images(spec: str) -> EncoderError:
    return EncoderError(
        f"{spec!r} is no encoder of images.",
        where="encoder",
        advice="Name the one of images first: its folder has a preprocessor_config.json.",
    )


def _export_apart(
    spec: str, cache_dir: Path, options: EncoderOptions, adapts: tuple[str, ...]
) -> None:
    """Exports in a process of its own, so that this one never holds what an export needs.

    Raises:
        EncoderError: As an export here would.
    """
    with_adapters = " with inputs for adapters" if adapts else ""
    options.notify(f"Exporting {spec} to ONNX as {options.variant}{with_adapters}, once.")
    request = ExportRequest(
        spec=spec,
        cache_dir=str(cache_dir),
        variant=options.variant,
        adapts=adapts,
        max_tokens=options.max_tokens,
    )
    done = subprocess.run(
        [sys.executable, "-m", "milepost.models.exporting"],
        input=msgspec.json.encode(request),
        capture_output=True,
        check=False,
    )
    if done.returncode == 0:
        return
    try:
        refusal = msgspec.json.decode(done.stdout, type=_Refusal)
    except msgspec.DecodeError:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no output"]
        refusal = _Refusal(what=f"the export of {spec} ended with {lines[-1]}")
    raise EncoderError(refusal.what, where=refusal.where, advice=refusal.advice)


def save_encoder(encoder: Encoder, directory: Path, adapters: Sequence[Adapter] = ()) -> None:
    """Writes a self-contained folder that ``load_encoder`` reads anywhere.

    Args:
        encoder: One that was opened or loaded here, with or without a cache of vectors.
        directory: Must not exist, or be empty.
        adapters: With which it must be able to run; they themselves are not written.

    Raises:
        EncoderError: If the encoder is of a kind that has no files.
        CorruptError: If its own files have changed or gone since it was opened.
        StorageError: If the folder cannot be written, or holds another encoder.
    """
    inner = encoder.inner if isinstance(encoder, CachedEncoder) else encoder
    if not isinstance(inner, OnnxEncoder):
        raise EncoderError(
            f"the encoder {encoder.name!r} has no files that could be saved.",
            advice="Open it with `open_encoder`.",
        )
    package = inner.trunk.package_for(adapters)
    if package.manifest.digest != inner.digest and not adapters:
        raise EncoderError(
            f"the encoder {encoder.name!r} is made of two, which are not written together yet.",
            advice="Serve the release from its workspace.",
        )
    write_package(directory, package.manifest, package.model, package.tokenizer.encode())
    if read_package(directory).manifest.digest != inner.digest:
        raise EncoderError(
            "the folder holds another encoder already.",
            where=str(directory),
            advice="Give a folder that is empty or new.",
        )


def load_encoder(directory: Path, threads: int | None = None) -> OnnxEncoder:
    """Loads a saved encoder after verifying every byte; needs no network and no torch.

    Args:
        directory: A folder that ``save_encoder`` wrote.
        threads: Threads of a bulk encode; ``None`` takes the processors of this process.

    Raises:
        CorruptError: If a byte is not what the manifest says.
        EncoderError: If the model refers to other files, or cannot be loaded.
    """
    package = read_package(directory)
    if package.manifest.layout == "pixels":
        return OnnxEncoder(ImageTrunk(package, None, Images(), one_space=False), threads)
    return OnnxEncoder(Trunk(package), threads)


def find_encoder(spec: str, options: EncoderOptions) -> EncoderFolder:
    """The folder of an encoder, its weights not yet read.

    Raises:
        EncoderError: If it is not installed, not reachable, or not the promised bytes.
        UnknownNameError: If ``spec`` names none.
    """
    if spec in {EMBEDDED, EMBEDDED_NAME}:
        return read_embedded(options.max_tokens)
    path = Path(spec).expanduser()
    if path.is_dir():
        return read_folder(path, max_tokens=options.max_tokens)
    if _HUB_ID.fullmatch(spec):
        fetched = _fetch(spec, options.notify)
        return read_folder(fetched, name=spec, max_tokens=options.max_tokens)
    if os.sep in spec or spec.startswith((".", "~")):
        return read_folder(path, max_tokens=options.max_tokens)
    raise UnknownNameError("encoder", spec, (EMBEDDED, EMBEDDED_NAME), where="encoder")


def _fetch(hub_id: str, notify: Notify) -> Path:
    """Folder of a hub model, fetched without any file that could run code."""
    advice = "Fetch it on a machine that reaches the hub and name the folder, or use `embedded`."
    try:
        import huggingface_hub
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise EncoderError(
            f"no folder is called {hub_id!r}, and huggingface_hub, which would fetch it from "
            "the hub, is not installed.",
            where="encoder",
            advice=f"Run `pip install huggingface_hub`. {advice}",
        ) from error
    notify(f"Fetching {hub_id} from the hub, unless it is there already.")
    try:
        return Path(huggingface_hub.snapshot_download(hub_id, allow_patterns=list(_HUB_FILES)))
    except (OSError, ValueError, RuntimeError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise EncoderError(
            f"no folder is called {hub_id!r}, and the hub does not give it: "
            f"{str(error).strip().splitlines()[0] if str(error).strip() else error!r}",
            where="encoder",
            advice=advice,
        ) from error
