"""Export MiniLM to ONNX and quantise it dynamically to INT8, as optimum's own command does.

``python int8_model.py MODEL FOLDER``: run in Infinity's environment, whose transformers exports it
rightly; Ray Serve's application reads the same file. The INT8 file is held against the fp32 one.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import AutoModel, AutoTokenizer

SAID = ["my card was stolen", "what is the exchange rate of the dollar today, and tomorrow?"]


def main(model: Path, folder: Path) -> None:
    shutil.copytree(model, folder, dirs_exist_ok=True)
    onnx = folder / "onnx"
    onnx.mkdir(exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    net = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    rows = tokenizer(SAID, padding=True, return_tensors="pt")
    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {0: "batch", 1: "tokens"}
    full = folder / "model.fp32.onnx.tmp"
    torch.onnx.export(
        net,
        tuple(rows[name] for name in names),
        str(full),
        input_names=names,
        output_names=["last_hidden_state"],
        dynamic_axes=dict.fromkeys([*names, "last_hidden_state"], axes),
        opset_version=14,
        dynamo=False,
    )
    quantised = onnx / "model_quantized.onnx"
    quantize_dynamic(full, quantised, per_channel=True, weight_type=QuantType.QInt8)
    with torch.no_grad():
        wanted = net(**rows).last_hidden_state.numpy()
    feeds = {name: rows[name].numpy() for name in names}
    mask = feeds["attention_mask"].astype(bool)
    for path, least in ((full, 0.99999), (quantised, 0.95)):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        given = np.asarray(session.run(None, feeds)[0])
        a, b = wanted[mask].ravel(), given[mask].ravel()
        alike = float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        assert alike > least, f"{path.name} is not the model: cosine {alike}"
    full.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
