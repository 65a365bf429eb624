"""Variants of one encoder in turn on one core, by the calling thread's processor time; JSON."""

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench.common import request

BATCHES = {12: 64, 32: 32, 128: 16}
Pass = Callable[[Sequence[Sequence[int]]], Any]


def trunk(variant: str) -> Pass:
    from milepost.models.catalog import EncoderOptions, open_trunk
    from milepost.workflows.opening import cache_folder

    opened = open_trunk("embedded", cache_folder(), EncoderOptions(variant=variant))
    return lambda rows: opened.forward(rows).vectors


def torch_fp32(model: Any) -> Pass:
    import torch

    def run(rows: Sequence[Sequence[int]]) -> Any:
        ids = torch.tensor([list(row) for row in rows])
        with torch.inference_mode():
            states = model(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
            return torch.nn.functional.normalize(states.mean(1)).numpy()

    return run


def dynamic_int8(model: Any, folder: Path) -> Pass:
    """``quantize_dynamic`` per channel over torch's own export, padded."""
    import onnxruntime
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask)[0]

    ids = torch.ones((2, 7), dtype=torch.int64)
    size = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    torch.onnx.export(
        States().eval(), (ids, torch.ones_like(ids)), folder / "fp32.onnx", dynamo=True,
        input_names=["input_ids", "attention_mask"], output_names=["states"],
        dynamic_shapes=(size, size), opset_version=18, verbose=False, external_data=False,
    )  # fmt: skip
    quantize_dynamic(
        folder / "fp32.onnx", folder / "int8.onnx", per_channel=True, weight_type=QuantType.QInt8
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "int8.onnx"), options)

    def run(rows: Sequence[Sequence[int]]) -> Any:
        found = np.array(rows, np.int64)
        feeds = {"input_ids": found, "attention_mask": np.ones_like(found)}
        pooled = np.asarray(session.run(None, feeds)[0]).mean(1)
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    return run


def main() -> None:
    import torch
    import transformers

    from milepost.models.embedded import embedded_path

    asked = request()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    torch.set_num_threads(1)
    folder = embedded_path()
    assert folder is not None, "the embedded encoder is not installed"
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    with TemporaryDirectory() as scratch:
        engines = {
            "fp32": trunk("fp32"),
            "int8": trunk("int8"),
            "dynamic_int8": dynamic_int8(model, Path(scratch)),
            "torch_fp32": torch_fp32(model),
        }
        rng = np.random.default_rng(0)
        rates: dict[int, dict[str, float]] = {}
        cosines: dict[str, list[float]] = {}
        for tokens, batch in BATCHES.items():
            inner = rng.integers(1000, 28000, (batch, tokens - 2))
            rows = [[101, *map(int, row), 102] for row in inner]
            expected = engines["torch_fp32"](rows)
            times: dict[str, list[float]] = {name: [] for name in engines}
            for name, engine in engines.items():  # the first pass of each is not timed
                cosines.setdefault(name, []).extend((engine(rows) * expected).sum(1).tolist())
            for _ in range(int(asked["repeats"])):
                for name, engine in engines.items():
                    started = time.thread_time()
                    engine(rows)
                    times[name].append(time.thread_time() - started)
            rates[tokens] = {n: batch / statistics.median(each) for n, each in times.items()}
    found = {name: [float(np.mean(c)), float(np.min(c))] for name, c in cosines.items()}
    print(json.dumps({"texts_per_s": rates, "batches": BATCHES, "cosine_mean_min": found}))


if __name__ == "__main__":
    main()
