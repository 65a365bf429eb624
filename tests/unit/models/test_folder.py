import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from milepost.entities.errors import EncoderError
from milepost.models.folder import read_folder


@pytest.fixture
def folder(tiny_bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bert, tmp_path / "encoder"))


def test_a_plain_folder_takes_the_mean_and_the_limit_of_its_tokenizer(folder: Path) -> None:
    found = read_folder(folder)
    assert (found.name, found.model_type, found.pooling) == ("encoder", "bert", "mean")
    assert found.max_tokens == 40


def test_the_limit_never_exceeds_the_positions(folder: Path) -> None:
    assert read_folder(folder, max_tokens=1000).max_tokens == 48
    assert read_folder(folder, max_tokens=12).max_tokens == 12
    with pytest.raises(EncoderError, match="max_tokens"):
        read_folder(folder, max_tokens=0)


def test_positions_that_start_after_the_padding_are_not_counted(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    changed = {**config, "model_type": "xlm-roberta", "pad_token_id": 1}
    (folder / "config.json").write_text(json.dumps(changed))
    assert read_folder(folder, max_tokens=1000).max_tokens == 46


@pytest.mark.parametrize(
    ("settings", "pooling"),
    [
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["max"]}, "max"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"word_embedding_dimension": 32}, "mean"),
    ],
)
def test_pooling_is_read_in_both_spellings(
    folder: Path, settings: dict[str, object], pooling: str
) -> None:
    write_modules(folder, settings)
    assert read_folder(folder).pooling == pooling


@pytest.mark.parametrize(
    "settings",
    [
        {"pooling_mode": "lasttoken"},
        {"pooling_mode": ["cls", "mean"]},
        {"pooling_mode_weightedmean_tokens": True},
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
    ],
)
def test_other_poolings_are_refused(folder: Path, settings: dict[str, object]) -> None:
    write_modules(folder, settings)
    with pytest.raises(EncoderError, match=r"pooling .* cannot be exported"):
        read_folder(folder)


def test_another_module_is_refused(folder: Path) -> None:
    write_modules(folder, {"pooling_mode": "mean"}, extra="Dense")
    with pytest.raises(EncoderError, match="'Dense'"):
        read_folder(folder)


def test_a_module_outside_the_folder_is_refused(folder: Path) -> None:
    modules = [{"type": "x.Transformer", "path": "../elsewhere"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(EncoderError, match="outside"):
        read_folder(folder)


def test_what_decides_a_vector_decides_the_digest(
    folder: Path, tiny_bert: Path, tiny: Callable[..., Path]
) -> None:
    same = read_folder(tiny_bert).digest
    assert read_folder(folder).digest == same
    other_pooling = write_modules(folder, {"pooling_mode": "cls"})
    digests = {
        same,
        read_folder(other_pooling).digest,
        read_folder(tiny_bert, max_tokens=8).digest,
        read_folder(tiny("bert", initializer_range=0.5)).digest,
    }
    assert len(digests) == 4


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(EncoderError, match=name.replace(".", r"\.")):
        read_folder(folder)


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(EncoderError, match="pickle"):
        read_folder(folder)


def test_weights_in_several_files_are_refused_with_advice(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(EncoderError, match="max_shard_size"):
        read_folder(folder)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff\xfe"])
def test_a_broken_config_is_refused(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    with pytest.raises(EncoderError, match=r"config\.json"):
        read_folder(folder)


def write_modules(folder: Path, pooling: dict[str, object], extra: str = "Normalize") -> Path:
    modules = [
        {"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
        {"type": f"sentence_transformers.models.{extra}", "path": "2_Extra"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder
