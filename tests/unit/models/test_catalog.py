from pathlib import Path

import pytest

from milepost.entities.errors import EncoderError, StorageError, UnknownNameError
from milepost.models.catalog import EncoderOptions, open_encoder


def test_a_misspelt_name_gets_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'embedded'"):
        open_encoder("embeded", tmp_path)


@pytest.mark.parametrize("spec", ["./missing/model", "/no/such/folder", "~/no-such-folder-here"])
def test_a_missing_folder_is_named(tmp_path: Path, spec: str) -> None:
    with pytest.raises(EncoderError, match="no such encoder folder"):
        open_encoder(spec, tmp_path)


def test_an_unreachable_hub_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    told: list[str] = []
    with pytest.raises(EncoderError, match="the hub does not give it") as caught:
        open_encoder("no-such-org/no-such-model", tmp_path, EncoderOptions(notify=told.append))
    assert "name the folder" in str(caught.value)
    assert told


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"config\.json and no tokenizer\.json"):
        open_encoder(str(tmp_path), tmp_path / "cache")


def test_a_cache_that_cannot_be_written_is_explained(tiny_bert: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        open_encoder(str(tiny_bert), tmp_path / "file" / "cache")
