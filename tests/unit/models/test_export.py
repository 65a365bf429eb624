"""The two exporters agree with the reference; the cache survives damage and races."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from milepost.entities.errors import EncoderError
from milepost.models.catalog import EncoderOptions, open_encoder
from milepost.models.export import BERT_EXPORTER, TORCH_EXPORTER
from milepost.models.folder import read_folder
from milepost.models.graphs import bert, through_torch
from milepost.models.onnx_encoder import OnnxEncoder

TEXTS = [
    "a b c",
    "",
    "hello world",
    "the quick brown fox jumps over the lazy dog again and again until no token is left",
    "zz",
]


def reference(folder: Path, texts: list[str], pooling: str = "mean") -> NDArray[np.float32]:
    """Unit vectors by transformers, one padded batch, pooled as the definitions say."""
    import torch
    import transformers

    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    batch = tokenizer(texts, padding=True, truncation=True, max_length=40, return_tensors="pt")
    kept = {key: batch[key] for key in ("input_ids", "attention_mask")}
    with torch.no_grad():
        states = model(**kept)[0]
    mask = kept["attention_mask"].unsqueeze(-1)
    pooled = {
        "mean": (states * mask).sum(1) / mask.sum(1),
        "cls": states[:, 0],
        "max": states.masked_fill(mask == 0, float("-inf")).max(1).values,
    }[pooling]
    return torch.nn.functional.normalize(pooled).numpy()


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_a_bert_folder_matches_transformers(tiny_bert: Path, tmp_path: Path, pooling: str) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    modules = [{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "pool"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "pool").mkdir()
    (folder / "pool" / "config.json").write_text(json.dumps({"pooling_mode": pooling}))
    encoder = open_encoder(str(folder), tmp_path / "cache")
    assert encoder.exporter == BERT_EXPORTER
    difference = np.abs(encoder.encode(TEXTS) - reference(folder, TEXTS, pooling)).max()
    assert difference <= 1e-5


@pytest.mark.parametrize(
    "model_type", ["mpnet", pytest.param("xlm-roberta", marks=pytest.mark.slow)]
)
def test_other_architectures_match_transformers(
    tiny: Callable[..., Path], tmp_path: Path, model_type: str
) -> None:
    folder = tiny(model_type)
    encoder = open_encoder(str(folder), tmp_path)
    assert encoder.exporter == TORCH_EXPORTER
    assert np.abs(encoder.encode(TEXTS) - reference(folder, TEXTS)).max() <= 1e-5


def test_a_bert_with_another_activation_goes_through_torch(tiny: Callable[..., Path]) -> None:
    assert not bert.supports(read_folder(tiny("bert", hidden_act="relu")))


def test_weights_saved_with_a_task_head_are_found(tiny_bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    weights = load_file(folder / "model.safetensors")
    save_file({f"bert.{name}": w for name, w in weights.items()}, folder / "model.safetensors")
    found = open_encoder(str(folder), tmp_path / "a").encode(TEXTS)
    assert np.array_equal(found, open_encoder(str(tiny_bert), tmp_path / "b").encode(TEXTS))


@pytest.mark.parametrize(
    ("fault", "message"),
    [("missing", "no tensor"), ("shape", "has shape"), ("nan", "not finite")],
)
def test_bad_weights_are_refused(tiny_bert: Path, tmp_path: Path, fault: str, message: str) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    weights = dict(load_file(folder / "model.safetensors"))
    name = "encoder.layer.1.output.dense.weight"
    if fault == "missing":
        del weights[name]
    elif fault == "shape":
        weights[name] = np.ascontiguousarray(weights[name].T)
    else:
        weights[name] = np.full_like(weights[name], np.nan)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(EncoderError, match=message):
        open_encoder(str(folder), tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*"))


def test_an_unknown_architecture_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "no-such-thing"}))
    with pytest.raises(EncoderError, match="no-such-thing"):
        through_torch.build(read_folder(folder))


def test_the_second_opening_exports_nothing(tiny_bert: Path, tmp_path: Path) -> None:
    told: list[str] = []
    options = EncoderOptions(notify=told.append)
    first = open_encoder(str(tiny_bert), tmp_path, options)
    assert len(told) == 1
    second = open_encoder(str(tiny_bert), tmp_path, options)
    assert len(told) == 1
    assert np.array_equal(first.encode(TEXTS), second.encode(TEXTS))
    assert first.digest == second.digest


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "manifest.json"])
@pytest.mark.parametrize("fault", ["flip", "truncate", "remove"])
def test_a_damaged_cache_is_made_again_and_says_so(
    tiny_bert: Path, tmp_path: Path, name: str, fault: str
) -> None:
    expected = open_encoder(str(tiny_bert), tmp_path).encode(TEXTS)
    (file,) = tmp_path.glob(f"*/{name}")
    data = bytearray(file.read_bytes())
    if fault == "remove":
        file.unlink()
    elif fault == "truncate":
        file.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 2] ^= 0x10
        file.write_bytes(data)
    told: list[str] = []
    again = open_encoder(str(tiny_bert), tmp_path, EncoderOptions(notify=told.append))
    assert np.array_equal(again.encode(TEXTS), expected)
    assert any("damaged" in message for message in told)
    assert len(list(tmp_path.iterdir())) == 1


def test_processes_that_export_at_once_all_succeed(tiny_bert: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from milepost.models.catalog import open_encoder\n"
        "print(open_encoder(sys.argv[1], Path(sys.argv[2])).encode(['a b']).tobytes().hex())"
    )
    command = [sys.executable, "-c", code, str(tiny_bert), str(tmp_path)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)
    ]
    answers = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0] * 4
    assert len(answers) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_the_embedded_encoder_matches_sentence_transformers(embedded: OnnxEncoder) -> None:
    from sentence_transformers import SentenceTransformer

    from milepost.models.embedded import embedded_path

    texts = [
        "my card was stolen",
        "",
        "Grüße aus Köln, ça va?",
        "日本語のテキスト",
        "please help, " * 40,
        "a",
        "word " * 400,
        "UPPER lower 1234 !?",
    ]
    model = SentenceTransformer(str(embedded_path()), device="cpu")
    expected = model.encode(texts, batch_size=len(texts), show_progress_bar=False)
    assert np.abs(embedded.encode(texts) - expected).max() <= 1e-5
