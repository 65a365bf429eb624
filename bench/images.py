"""Images: a small CLIP trained on the spot, and what tasks make of its vectors with few labels.

A CLIP of two layers is trained on one half of the digits' training images with the names of the
digits as texts. A task over the other half is then improved with 0 (zero-shot from the names
alone), 5, 20 and all labels per digit, and its release measured on the official test images;
beside it logistic regression on the pixels, with the same labels.

How to read it: the encoder saw half of the training images with their names, so zero-shot is no
wonder; what counts is that labels add to it, and that image and name are read in one space.
"""

import csv
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.common import Options, data_folder, scratch

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIDE = 16
_SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")


def run(options: Options) -> dict[str, object]:
    """Test accuracy by labels per digit, of the release and of logistic regression on pixels."""
    import pandas as pd

    folder = data_folder() / "image_digits"
    sets = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("train", "test")}
    pixels = {
        name: table.drop(columns="label").to_numpy(np.float32).reshape(-1, 8, 8) / 16
        for name, table in sets.items()
    }
    labels = {name: table["label"].astype(int).to_numpy() for name, table in sets.items()}
    half = np.random.default_rng(0).permutation(len(labels["train"]))
    seen, ours = np.array_split(half, 2)
    with scratch() as place:
        train_clip(place / "clip", pixels["train"][seen], labels["train"][seen],
                   epochs=2 if options.quick else 20)  # fmt: skip
        test = _write(place, "test", pixels["test"], labels["test"])
        found: dict[str, object] = {}
        for shots in (5,) if options.quick else (5, 20, None):
            rows = _drawn(labels["train"][ours], shots)
            x, y = pixels["train"][ours[rows]], labels["train"][ours[rows]]
            measured = _measured(place, _write(place, f"{shots}", x, y), test, f"w{shots}")
            measured["logistic regression on pixels"] = _by_hand(x, y, pixels["test"],
                                                                 labels["test"])  # fmt: skip
            found[str(shots or "all")] = {"labels": len(rows), **measured}
        return {"encoder_trained_on": len(seen), "test": len(labels["test"]), "shots": found}


def train_clip(folder: Path, x: NDArray[np.float32], y: NDArray[np.int64], epochs: int) -> None:
    """Trains a tiny CLIP on images ``(n, 8, 8)`` in [0, 1] and the names of their digits."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    torch.manual_seed(0)
    torch.set_num_threads(1)
    words = [*_SPECIAL, *NAMES]
    tokenizer = Tokenizer(
        models.WordLevel({w: i for i, w in enumerate(words)}, unk_token=_SPECIAL[1])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    size = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2,
            "num_attention_heads": 4, "projection_dim": 32}  # fmt: skip
    text = {**size, "vocab_size": len(words), "max_position_embeddings": 16, "pad_token_id": 0,
            "bos_token_id": 2, "eos_token_id": 3}  # fmt: skip
    vision = {**size, "image_size": SIDE, "patch_size": 4}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=32))
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    images = processor([_picture(each) for each in x], return_tensors="pt")["pixel_values"]
    ids = torch.tensor([tokenizer.encode(name).ids for name in NAMES])
    target = torch.tensor(y)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64):
            logits = model(input_ids=ids, pixel_values=images[batch]).logits_per_image
            loss = torch.nn.functional.cross_entropy(logits, target[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


def _measured(place: Path, examples: Path, test: Path, name: str) -> dict[str, object]:
    """Test accuracy of zero-shot and of what ``improve`` chose."""
    import milepost as mp

    ws, _, _ = mp.Workspace.from_file(
        place / name, examples, task="digit", image="image", encoder=str(place / "clip")
    )
    contest = ws.improve("digit").contest
    found: dict[str, object] = {}
    for each in contest.candidates:
        if each.strategy == "zero_shot" or each.chosen:
            card = ws.evaluate("digit", test, candidate=each.id).scorecard
            name = "zero_shot" if each.strategy == "zero_shot" else "milepost"
            found[name] = card.metrics["accuracy"].value
            if each.chosen:
                found |= {"milepost": card.metrics["accuracy"].value, "chosen": each.strategy}
    return found


def _by_hand(x: NDArray[np.float32], y: NDArray[np.int64], x_test: NDArray[np.float32],
             y_test: NDArray[np.int64]) -> float:  # fmt: skip
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=2000).fit(x.reshape(len(x), -1), y)
    return float(model.score(x_test.reshape(len(x_test), -1), y_test))


def _drawn(y: NDArray[np.int64], shots: int | None) -> NDArray[np.int64]:
    if shots is None:
        return np.arange(len(y))
    rng = np.random.default_rng(1)
    return np.concatenate(
        [rng.choice(np.flatnonzero(y == c), shots, replace=False) for c in range(10)]
    )


def _picture(values: NDArray[np.float32]):
    from PIL.Image import Resampling, fromarray

    return (
        fromarray((values * 255).astype(np.uint8))
        .resize((32, 32), Resampling.BILINEAR)
        .convert("RGB")
    )


def _write(place: Path, name: str, x: NDArray[np.float32], y: NDArray[np.int64]) -> Path:
    """Images as PNG files beside a CSV that names them."""
    (place / name).mkdir()
    file = place / f"{name}.csv"
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(("image", "label"))
        for at, (values, digit) in enumerate(zip(x, y, strict=True)):
            out = io.BytesIO()
            _picture(values).save(out, "PNG")
            (place / name / f"{at}.png").write_bytes(out.getvalue())
            writer.writerow((f"{name}/{at}.png", NAMES[digit]))
    return file
