"""One pass in either variant: parity with the reference, neighbours, states, adapters."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.entities.errors import EncoderError, UnknownNameError
from milepost.models.adapters import Adapter, AdapterStacks
from milepost.models.catalog import EncoderOptions, open_trunk
from milepost.models.graphs.bert import ADAPTABLE
from milepost.models.graphs.calibration import calibration_digest, calibration_texts
from milepost.models.packaged import read_package
from milepost.models.trunk import Trunk

TEXTS = [
    "a b c",
    "",
    "hello world",
    "the quick brown fox jumps over the lazy dog again and again until no token is left",
    "zz",
]
WORDS = st.sampled_from(["card", "stolen", "a", "the", "Köln", "日本", "👍", "incomprehensible"])
TEXT = st.lists(WORDS, max_size=60).map(" ".join)
RANK = 4


@pytest.fixture(scope="module", params=["fp32", "int8"])
def trunk(request: pytest.FixtureRequest, embedded_cache: Path) -> Trunk:
    return open_trunk("embedded", embedded_cache, EncoderOptions(variant=request.param))


@settings(max_examples=25, deadline=None)
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


def adapter(trunk: Trunk, parts: tuple[str, ...], seed: int, rank: int = RANK) -> Adapter:
    """A random adapter of a tiny BERT that changes its vectors visibly."""
    rng = np.random.default_rng(seed)
    sizes_in, sizes_out = {"outer": 64}, {"inner": 64}
    down = {
        f"{layer}.{part}": rng.normal(0, 0.3, (sizes_in.get(part, 32), rank)).astype(np.float32)
        for layer in range(2)
        for part in parts
    }
    up = {
        name: rng.normal(0, 0.3, (rank, sizes_out.get(name[2:], 32))).astype(np.float32)
        for name in down
    }
    return Adapter(trunk.digest, down, up)


def merged(folder: Path, into: Path, change: Adapter) -> Path:
    """A copy of the encoder with the adapter added to its weights."""
    import shutil

    from safetensors.numpy import load_file, save_file

    from milepost.models.graphs.bert import _NAMES

    copy = Path(shutil.copytree(folder, into))
    weights = dict(load_file(copy / "model.safetensors"))
    for name, down in change.down.items():
        layer, part = name.split(".")
        key = f"encoder.layer.{layer}.{_NAMES[part]}.weight"
        weights[key] = weights[key] + (down @ change.up[name]).T
    save_file(weights, copy / "model.safetensors")
    return copy


@pytest.mark.parametrize("parts", [("query", "value"), ADAPTABLE])
def test_adapters_in_one_batch_equal_merged_weights(
    tiny_bert: Path, tmp_path: Path, parts: tuple[str, ...]
) -> None:
    trunk = open_trunk(str(tiny_bert), tmp_path / "cache", EncoderOptions(adapts=parts))
    adapters = [adapter(trunk, parts, seed, rank=RANK + seed) for seed in range(2)]
    tokens = trunk.tokenise(TEXTS)
    chosen = [adapters[0], None, adapters[1], adapters[0], adapters[1]]
    together = trunk.forward(tokens, states=True, adapters=chosen)
    plain = trunk.forward(tokens)
    assert together.states is not None
    assert np.abs(together.vectors[1] - plain.vectors[1]).max() < 1e-5
    for i, each in enumerate(adapters):
        folder = merged(tiny_bert, tmp_path / f"merged{i}", each)
        expected = open_trunk(str(folder), tmp_path / "cache").forward(tokens, states=True)
        assert expected.states is not None
        rows = [row for row, own in enumerate(chosen) if own is each]
        for row in rows:
            assert np.abs(together.vectors[row] - expected.vectors[row]).max() < 1e-4
            assert np.abs(together.states[row] - expected.states[row]).max() < 1e-3
            assert np.abs(together.vectors[row] - plain.vectors[row]).max() > 1e-2


def test_adapters_run_on_integers_too(tiny_bert: Path, tmp_path: Path) -> None:
    parts = ("query", "value")
    options = EncoderOptions(variant="int8", adapts=parts)
    trunk = open_trunk(str(tiny_bert), tmp_path, options)
    change = adapter(trunk, parts, 0)
    tokens = trunk.tokenise(TEXTS)
    alone = [trunk.forward([row], adapters=[change]).vectors[0] for row in tokens]
    together = trunk.forward(tokens, adapters=[change] * len(tokens)).vectors
    assert np.abs(together - alone).max() < 1e-5
    folder = merged(tiny_bert, tmp_path / "merged", change)
    expected = open_trunk(str(folder), tmp_path / "cache").forward(tokens).vectors
    assert (together * expected).sum(1).min() > 0.98


def test_no_adapter_runs_the_plain_graph(tiny_bert: Path, tmp_path: Path) -> None:
    trunk = open_trunk(str(tiny_bert), tmp_path)
    tokens = trunk.tokenise(TEXTS)
    found = trunk.forward(tokens, adapters=[None] * len(tokens)).vectors
    assert np.array_equal(found, trunk.forward(tokens).vectors)
    with pytest.raises(EncoderError, match="without inputs for adapters"):
        trunk.forward(tokens, adapters=[adapter(trunk, ("query",), 0)] * len(tokens))


def test_bad_adapters_are_refused(tiny_bert: Path, tmp_path: Path) -> None:
    options = EncoderOptions(adapts=("query",))
    trunk = open_trunk(str(tiny_bert), tmp_path, options)
    tokens = trunk.tokenise(["a b"])
    good = adapter(trunk, ("query",), 0)
    with pytest.raises(EncoderError, match="no input for"):
        trunk.forward(tokens, adapters=[adapter(trunk, ("key",), 0)])
    with pytest.raises(EncoderError, match="made for the encoder"):
        trunk.forward(tokens, adapters=[Adapter("0" * 64, good.down, good.up)])
    narrow = {name: array[:, :8] for name, array in good.up.items()}
    with pytest.raises(EncoderError, match="maps 32 to 8"):
        trunk.forward(tokens, adapters=[Adapter(trunk.digest, good.down, narrow)])
    with pytest.raises(EncoderError, match="not finite"):
        Adapter(trunk.digest, good.down, {n: a * np.nan for n, a in good.up.items()})
    with pytest.raises(EncoderError, match="product of rank"):
        Adapter(trunk.digest, good.down, {n: a[:2] for n, a in good.up.items()})
    with pytest.raises(EncoderError, match="same layers"):
        Adapter(trunk.digest, good.down, {})
    with pytest.raises(UnknownNameError):
        open_trunk(str(tiny_bert), tmp_path, EncoderOptions(adapts=("querry",)))


def test_the_least_recently_used_adapter_makes_room() -> None:
    def one(seed: int) -> Adapter:
        array = np.full((4, 1), float(seed), np.float32)
        return Adapter("e", {"0.query": array}, {"0.query": array.T.copy()})

    stacks = AdapterStacks("e", {"0.query": (4, 4)}, most=2)
    first, second, third = one(1), one(2), one(3)

    def kept(*adapters: Adapter) -> set[float]:
        stack = stacks.feeds([1] * len(adapters), adapters)["adapter.0.query.down"]
        return {float(value) for value in stack[:, 0, 0]}

    assert kept(first, second) == {0.0, 1.0, 2.0}
    assert kept(first) == {0.0, 1.0, 2.0}
    assert kept(third) == {0.0, 1.0, 3.0}
    assert kept(first, second, third) == {0.0, 1.0, 2.0, 3.0}


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
