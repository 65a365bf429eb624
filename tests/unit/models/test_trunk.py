"""One pass in either variant: parity with the reference, neighbours, states, adapters."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.entities.errors import EncoderError
from milepost.models.catalog import EncoderOptions, open_trunk
from milepost.models.graphs.calibration import calibration_digest, calibration_texts
from milepost.models.packaged import read_package
from milepost.models.trunk import Trunk
from milepost.testing.tiny import write_tiny

TEXTS = [
    "a b c",
    "",
    "hello world",
    "the quick brown fox jumps over the lazy dog again and again until no token is left",
    "zz",
]
WORDS = st.sampled_from(["card", "stolen", "a", "the", "Köln", "日本", "👍", "incomprehensible"])
TEXT = st.lists(WORDS, max_size=60).map(" ".join)


@pytest.fixture(scope="module", params=["fp32", "int8"])
def trunk(request: pytest.FixtureRequest, embedded_cache: Path) -> Trunk:
    return open_trunk("embedded", embedded_cache, EncoderOptions(variant=request.param))


@settings(max_examples=25)
@given(text=TEXT, others=st.lists(TEXT, max_size=8), at=st.integers(0, 8))
def test_a_text_has_one_vector_whatever_its_neighbours(
    trunk: Trunk, text: str, others: list[str], at: int
) -> None:
    at = min(at, len(others))
    beside = trunk.tokenise([*others[:at], text, *others[at:]])
    alone = trunk.forward(trunk.tokenise([text]), states=True)
    together = trunk.forward(beside, states=True)
    assert np.abs(together.vectors[at] - alone.vectors[0]).max() < 1e-5
    assert alone.states is not None
    assert together.states is not None
    assert np.abs(together.states[at] - alone.states[0]).max() < 1e-4


def test_a_graph_that_cannot_run_is_told_once_and_in_words(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = write_tiny(tmp_path / "tiny")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 512}))
    trunk = open_trunk(str(folder), tmp_path / "exports")
    assert trunk.forward(trunk.tokenise(["a b"])).vectors.shape == (1, 32)
    with pytest.raises(EncoderError, match=r"'tiny' failed on an input of 202: .*bounds"):
        trunk.forward(trunk.tokenise(["a " * 200]))
    assert "onnxruntime" not in "".join(capfd.readouterr())


def test_integers_stay_close_to_the_reference(embedded_cache: Path) -> None:
    texts = ["my card was stolen", "what a dull film", "when is the next train to Graz?"]
    texts += [f"{text} {more}" for text in texts for more in ("", "please", "again " * 30)]
    vectors = []
    for variant in ("fp32", "int8"):
        trunk = open_trunk("embedded", embedded_cache, EncoderOptions(variant=variant))
        assert (trunk.variant, trunk.dimensions) == (variant, 384)
        vectors.append(trunk.forward(trunk.tokenise(texts)).vectors)
    cosines = (vectors[0] * vectors[1]).sum(1)
    assert cosines.mean() >= 0.997
    assert cosines.min() >= 0.985


def test_the_export_is_the_same_bytes_every_time(tiny_bert: Path, tmp_path: Path) -> None:
    options = EncoderOptions(variant="int8")
    first = open_trunk(str(tiny_bert), tmp_path / "a", options)
    second = open_trunk(str(tiny_bert), tmp_path / "b", options)
    one, two = read_package(first.directory), read_package(second.directory)
    assert one.model == two.model
    assert one.manifest == two.manifest
    assert one.manifest.calibration == calibration_digest()
    assert one.manifest.exporter.endswith(calibration_digest()[:12])
    assert len(set(calibration_texts())) == len(calibration_texts()) >= 100


def test_only_bert_has_integers(tiny: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="fp32") as caught:
        open_trunk(str(tiny("mpnet")), tmp_path, EncoderOptions(variant="int8"))
    assert "Serve it in fp32" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_states_match_transformers_on_a_padded_batch(tiny_bert: Path, tmp_path: Path) -> None:
    import torch
    import transformers

    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(tiny_bert)
    model = transformers.AutoModel.from_pretrained(tiny_bert, attn_implementation="eager").eval()
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=40, return_tensors="pt")
    kept = {key: batch[key] for key in ("input_ids", "attention_mask")}
    with torch.no_grad():
        expected = model(**kept)[0].numpy()
    trunk = open_trunk(str(tiny_bert), tmp_path)
    tokens = trunk.tokenise(TEXTS)
    found = trunk.forward(tokens, states=True)
    assert found.states is not None
    for row, states in enumerate(found.states):
        assert states.shape == (len(tokens[row]), 32)
        assert np.abs(states - expected[row, : len(states)]).max() <= 1e-4
    assert np.array_equal(found.vectors, trunk.forward(tokens).vectors)
    assert trunk.forward(tokens).states is None


def test_states_of_an_encoder_that_went_through_torch(
    tiny: Callable[..., Path], tmp_path: Path
) -> None:
    trunk = open_trunk(str(tiny("mpnet")), tmp_path)
    tokens = trunk.tokenise(TEXTS)
    found = trunk.forward(tokens, states=True).states
    assert found is not None
    assert [len(states) for states in found] == [len(row) for row in tokens]
    alone = trunk.forward(tokens[2:3], states=True).states
    assert alone is not None
    assert np.abs(alone[0] - found[2]).max() <= 1e-4


def test_a_process_that_serves_imports_no_exporter(tiny_bert: Path, tmp_path: Path) -> None:
    """Not even the first time: the export is made in a child."""
    code = (
        "import sys; from pathlib import Path\n"
        "from milepost.models.catalog import EncoderOptions, open_trunk\n"
        "told = []\n"
        "options = EncoderOptions(variant='int8', apart=True, notify=told.append)\n"
        "trunk = open_trunk(sys.argv[1], Path(sys.argv[2]), options)\n"
        "trunk.forward(trunk.tokenise(['a b']))\n"
        "print(len(told), [m for m in ('onnx', 'torch', 'transformers') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tiny_bert), str(tmp_path)]
    outputs = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)
    ]
    assert outputs == ["1 []\n", "0 []\n"]


def test_a_refusal_of_the_child_is_told_as_if_made_here(tiny_bert: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.numpy import load_file, save_file

    folder = Path(shutil.copytree(tiny_bert, tmp_path / "model"))
    weights = dict(load_file(folder / "model.safetensors"))
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(EncoderError, match="no tensor") as caught:
        open_trunk(str(folder), tmp_path / "cache", EncoderOptions(apart=True))
    assert caught.value.where == str(folder)


def test_padding_costs_little_in_the_flat_layout(tiny_bert: Path, tmp_path: Path) -> None:
    trunk = open_trunk(str(tiny_bert), tmp_path)
    assert trunk.padded_cost([5, 5]) == 10
    assert 14 <= trunk.padded_cost([5, 9]) < 18
    assert trunk.padded_cost([]) == 0
