import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from milepost._base.digest import sha256_bytes
from milepost.entities.errors import CorruptError, EncoderError, StorageError
from milepost.models.cached import CachedEncoder
from milepost.models.catalog import load_encoder, open_encoder, save_encoder
from milepost.models.external_data import refuse_external_data
from milepost.models.onnx_encoder import OnnxEncoder
from milepost.models.packaged import read_package, write_package
from milepost.storage.files.vectors import MemoryVectorStore
from milepost.testing.encoders import HashedEncoder


@pytest.fixture
def encoder(tiny_bert: Path, tmp_path: Path) -> OnnxEncoder:
    return open_encoder(str(tiny_bert), tmp_path / "cache")


def test_a_saved_encoder_works_far_from_where_it_was_made(
    encoder: OnnxEncoder, tmp_path: Path
) -> None:
    save_encoder(CachedEncoder(encoder, MemoryVectorStore()), tmp_path / "saved")
    expected = encoder.encode(["a b", ""])
    shutil.rmtree(tmp_path / "cache")
    moved = (tmp_path / "saved").rename(tmp_path / "moved")
    loaded = load_encoder(moved)
    assert np.array_equal(loaded.encode(["a b", ""]), expected)
    assert (loaded.digest, loaded.name) == (encoder.digest, encoder.name)


def test_loading_imports_only_the_runtime(encoder: OnnxEncoder, tmp_path: Path) -> None:
    save_encoder(encoder, tmp_path / "saved")
    code = (
        "import sys; from pathlib import Path\n"
        "from milepost.models.catalog import load_encoder\n"
        "load_encoder(Path(sys.argv[1])).encode(['hello'])\n"
        "print(sorted({'torch', 'onnx', 'safetensors', 'transformers', 'scipy', 'sklearn',"
        " 'pandas', 'duckdb', 'huggingface_hub'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "saved")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
@pytest.mark.parametrize("fault", ["flip", "remove", "append"])
def test_a_saved_encoder_with_other_bytes_is_refused(
    encoder: OnnxEncoder, tmp_path: Path, name: str, fault: str
) -> None:
    save_encoder(encoder, tmp_path / "saved")
    file = tmp_path / "saved" / name
    data = bytearray(file.read_bytes())
    data[100] ^= 1 if fault == "flip" else 0
    file.write_bytes(data + b"\x00" if fault == "append" else data)
    if fault == "remove":
        file.unlink()
    with pytest.raises(CorruptError, match=name.replace(".", r"\.")):
        load_encoder(tmp_path / "saved")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 99}'])
def test_a_broken_manifest_is_refused(encoder: OnnxEncoder, tmp_path: Path, content: str) -> None:
    save_encoder(encoder, tmp_path / "saved")
    (tmp_path / "saved" / "manifest.json").write_text(content)
    with pytest.raises(CorruptError, match="manifest"):
        load_encoder(tmp_path / "saved")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptError):
        load_encoder(tmp_path / "nowhere")


def test_saving_twice_is_fine_and_saving_over_another_is_not(
    encoder: OnnxEncoder, tiny_bert: Path, tmp_path: Path
) -> None:
    save_encoder(encoder, tmp_path / "saved")
    save_encoder(encoder, tmp_path / "saved")
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match="cannot be written"):
        save_encoder(encoder, tmp_path / "occupied")
    assert [file.name for file in (tmp_path / "occupied").iterdir()] == ["notes.txt"]
    assert not list(tmp_path.glob(".*"))


def test_an_encoder_without_files_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="hashed"):
        save_encoder(HashedEncoder(), tmp_path / "saved")


def _external(model: onnx.ModelProto, name: str = "weights.bin") -> bytes:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", name
    return model.SerializeToString()


def test_a_model_with_external_data_is_refused(encoder: OnnxEncoder, tmp_path: Path) -> None:
    package = read_package(encoder.directory)
    changed = _external(onnx.load_from_string(package.model), "/etc/passwd")
    assert sha256_bytes(changed) != package.manifest.files["model.onnx"]
    write_package(tmp_path / "evil", package.manifest, changed, package.tokenizer.encode())
    with pytest.raises(EncoderError, match="other files"):
        load_encoder(tmp_path / "evil")


def test_external_data_is_found_in_attributes_and_inner_graphs() -> None:
    helper = onnx.helper
    tensor = onnx.numpy_helper.from_array(np.zeros(2, np.float32), "hidden")
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    inner = helper.make_graph([constant], "inner", [], [])
    branch = helper.make_node("If", ["flag"], ["out"], then_branch=inner, else_branch=inner)
    model = helper.make_model(helper.make_graph([branch], "outer", [], []))
    refuse_external_data(model.SerializeToString(), "x")
    place = model.graph.node[0].attribute[1].g.node[0].attribute[0].t
    place.external_data.add(key="location", value="elsewhere")
    with pytest.raises(EncoderError, match="other files"):
        refuse_external_data(model.SerializeToString(), "x")


@pytest.mark.parametrize("data", [b"\x3a\xff", b"\xff" * 20, b"\x3a\x05ab", b"\x0b"])
def test_bytes_that_are_no_model_are_refused(data: bytes) -> None:
    with pytest.raises(EncoderError, match="not an ONNX model"):
        refuse_external_data(data, "x")
