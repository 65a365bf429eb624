"""Adapters at run time: parity with merged weights and with peft, many in one pass, bad ones."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from milepost.entities.errors import EncoderError, UnknownNameError
from milepost.models.adapters import Adapter, AdapterStacks
from milepost.models.cached import CachedEncoder
from milepost.models.catalog import EncoderOptions, open_encoder, open_trunk
from milepost.models.graphs.bert import _NAMES, ADAPTABLE
from milepost.models.trunk import Trunk
from milepost.storage.files.vectors import MemoryVectorStore
from milepost.testing.encoders import check_encoder

TEXTS = [
    "a b c",
    "",
    "hello world",
    "the quick brown fox jumps over the lazy dog again and again until no token is left",
    "zz",
]
RANK = 4


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
    copy = Path(shutil.copytree(folder, into))
    weights = dict(load_file(copy / "model.safetensors"))
    for name, down in change.down.items():
        layer, part = name.split(".")
        key = f"encoder.layer.{layer}.{_NAMES[part]}.weight"
        weights[key] = weights[key] + (down @ change.up[name]).T
    save_file(weights, copy / "model.safetensors")
    return copy


@given(
    shares=st.tuples(st.floats(-2, 2, width=32), st.floats(-2, 2, width=32)),
    ranks=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    layers=st.tuples(
        *[st.sets(st.sampled_from(["0.query", "0.value", "1.query"]), min_size=1)] * 2
    ),
)
def test_added_adapters_change_each_weight_by_the_sum_of_their_shares(shares, ranks, layers):
    rng = np.random.default_rng(0)
    given_ones = [
        Adapter(
            "a" * 64,
            {name: rng.normal(size=(5, rank)).astype(np.float32) for name in sorted(names)},
            {name: rng.normal(size=(rank, 3)).astype(np.float32) for name in sorted(names)},
        )
        for rank, names in zip(ranks, layers, strict=True)
    ]
    scaled = [each.scaled(share) for each, share in zip(given_ones, shares, strict=True)]
    both = scaled[0].plus(scaled[1])
    assert both.rank == sum(ranks)
    assert set(both.down) == layers[0] | layers[1]
    for name, down in both.down.items():
        expected = sum(
            share * each.down[name] @ each.up[name]
            for each, share in zip(given_ones, shares, strict=True)
            if name in each.down
        )
        assert np.allclose(down @ both.up[name], expected, atol=1e-5)


def test_an_adapter_of_another_encoder_is_not_added() -> None:
    one, other = (
        Adapter(
            letter * 64,
            {"0.query": np.ones((2, 1), np.float32)},
            {"0.query": np.ones((1, 2), np.float32)},
        )
        for letter in "ab"
    )
    with pytest.raises(EncoderError, match="made for the encoder b"):
        one.plus(other)


@pytest.mark.parametrize("parts", [("query", "value"), ADAPTABLE])
def test_adapters_in_one_batch_equal_merged_weights(
    tiny_bert: Path, tmp_path: Path, parts: tuple[str, ...]
) -> None:
    trunk = open_trunk(str(tiny_bert), tmp_path / "cache")
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
    trunk = open_trunk(str(tiny_bert), tmp_path, EncoderOptions(variant="int8"))
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
    assert len(list(tmp_path.iterdir())) == 1  # nothing was exported for adapters


def test_a_package_of_a_graph_with_adapters_runs_plain_rows_too(
    tiny_bert: Path, tmp_path: Path
) -> None:
    """What an exported release with an adapter brings along."""
    trunk = open_trunk(str(tiny_bert), tmp_path)
    change, other = adapter(trunk, ("query",), 0), adapter(trunk, ("outer",), 0)
    saved = Trunk(trunk.package_for([change]))
    tokens = trunk.tokenise(TEXTS)
    plain = trunk.forward(tokens).vectors
    assert np.abs(saved.forward(tokens).vectors - plain).max() < 1e-5
    both = [change, None, None, change, None]
    found = saved.forward(tokens, adapters=both).vectors
    assert np.abs(found - trunk.forward(tokens, adapters=both).vectors).max() < 1e-5
    with pytest.raises(EncoderError, match=r"takes no adapters of 0\.outer, 1\.outer"):
        saved.forward(tokens, adapters=[other] * len(tokens))


def test_an_adapter_of_further_layers_opens_a_larger_graph(tiny_bert: Path, tmp_path: Path) -> None:
    """Those that came before still run, also in the same pass."""
    trunk = open_trunk(str(tiny_bert), tmp_path)
    first, second = adapter(trunk, ("query",), 0), adapter(trunk, ("value", "outer"), 1)
    tokens = trunk.tokenise(TEXTS)
    alone = [
        trunk.forward(tokens, adapters=[each] * len(tokens)).vectors for each in (first, second)
    ]
    mixed = [first, second, first, second, None]
    together = trunk.forward(tokens, adapters=mixed).vectors
    for row, each in enumerate(mixed[:4]):
        assert np.abs(together[row] - alone[each is second][row]).max() < 1e-5


def test_an_adapted_encoder_keeps_the_promises_of_an_encoder(
    tiny_bert: Path, tmp_path: Path
) -> None:
    encoder = open_encoder(str(tiny_bert), tmp_path, EncoderOptions(threads=2))
    change = adapter(encoder.trunk, ("query", "value"), 0)
    tuned = encoder.adapted(change)
    check_encoder(tuned)
    assert tuned.digest != encoder.digest
    assert tuned.digest == encoder.adapted(change).digest
    assert np.abs(tuned.encode(TEXTS) - encoder.encode(TEXTS)).max() > 1e-2
    cached = CachedEncoder(encoder, MemoryVectorStore())
    assert np.array_equal(cached.adapted(change).encode(TEXTS), tuned.encode(TEXTS))
    with pytest.raises(EncoderError, match="made for the encoder"):
        encoder.adapted(Adapter("0" * 64, change.down, change.up))


def test_bad_adapters_are_refused(tiny_bert: Path, tmp_path: Path) -> None:
    trunk = open_trunk(str(tiny_bert), tmp_path)
    tokens = trunk.tokenise(["a b"])
    good = adapter(trunk, ("query",), 0)
    for typo in ("7.query", "0.querry"):
        halves = {typo: good.down["0.query"]}, {typo: good.up["0.query"]}
        with pytest.raises(UnknownNameError):
            trunk.forward(tokens, adapters=[Adapter(trunk.digest, *halves)])
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_vectors_are_those_of_peft(tiny_bert: Path, tmp_path: Path) -> None:
    """The same adapter in torch, beside the weights and merged into them."""
    import peft
    import torch
    import transformers

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModel.from_pretrained(tiny_bert).eval()
        config = peft.LoraConfig(
            r=RANK, lora_alpha=8, target_modules=["query", "value"], init_lora_weights=False
        )
        tuned: Any = peft.get_peft_model(model, config).eval()
    down, up = {}, {}
    for name, weight in tuned.named_parameters():
        if "lora_" in name:
            layer, part = name.split("layer.")[1].split(".")[0], name.split(".lora_")[0][-5:]
            half = down if "lora_A" in name else up
            half[f"{layer}.{part}"] = weight.detach().numpy().T * (1 if half is down else 8 / RANK)
    encoder = open_encoder(str(tiny_bert), tmp_path)
    change = Adapter(
        encoder.digest,
        {n: np.ascontiguousarray(a, np.float32) for n, a in down.items()},
        {n: np.ascontiguousarray(a, np.float32) for n, a in up.items()},
    )
    found = encoder.adapted(change).encode(TEXTS)
    assert np.abs(found - encoder.encode(TEXTS)).max() > 1e-2
    tokens = encoder.trunk.tokenise(TEXTS)
    for torch_model in (tuned, tuned.merge_and_unload()):
        for row, ids in enumerate(tokens):
            with torch.no_grad():
                states = torch_model(input_ids=torch.tensor([ids]))[0][0].numpy()
            mean = states.mean(axis=0)
            assert np.abs(found[row] - mean / np.linalg.norm(mean)).max() < 1e-5
