"""Images to vectors as the encoder's own processor and model make them."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from milepost.entities.errors import EncoderError, InputError, UnknownNameError
from milepost.entities.images import BLANK
from milepost.entities.inputs import MARK, composition
from milepost.models.catalog import EncoderOptions, inputs_read, open_encoder
from milepost.models.images.beside import BesideEncoder
from milepost.models.images.steps import read_steps
from milepost.models.images.store import Images
from milepost.models.images.trunk import in_one_space
from milepost.models.pairs import reads
from milepost.testing.colours import picture, write_colours

SIZES = ((33, 57), (16, 16), (5, 80), (90, 41), (7, 9))


@pytest.fixture
def images():
    return Images()


@pytest.fixture
def colours(tmp_path, images):
    folder = write_colours(tmp_path / "colours", tmp_path / "cache")
    return open_encoder(str(folder), tmp_path / "cache", EncoderOptions(threads=1, images=images))


def test_images_and_their_names_lie_in_one_space(colours, images):
    names = ["red", "green", "blue"]
    held = [images.hold(picture(name, 1)) for name in names]
    cosines = colours.encode([each.text for each in held]) @ colours.encode(names).T
    assert cosines.argmax(axis=1).tolist() == [0, 1, 2]
    assert in_one_space(colours)
    assert np.allclose(np.linalg.norm(colours.encode([held[0].text, "red", BLANK]), axis=1), 1)


def test_an_encoder_of_images_alone_refuses_a_text(tmp_path, images):
    folder = write_colours(tmp_path / "mute", tmp_path / "cache", words=False)
    options = EncoderOptions(threads=1, images=images)
    mute = open_encoder(str(folder), tmp_path / "cache", options)
    assert not in_one_space(mute)
    with pytest.raises(EncoderError, match="reads images, and this is a text"):
        mute.encode(["red"])
    with pytest.raises(EncoderError, match="fp32 only"):
        open_encoder(str(folder), tmp_path / "cache", EncoderOptions(variant="int8"))


def test_two_encoders_are_read_side_by_side(tmp_path, images):
    cache = tmp_path / "cache"
    mute = write_colours(tmp_path / "mute", cache, words=False)
    both = write_colours(tmp_path / "colours", cache)
    with pytest.raises(EncoderError, match="no encoder of images"):
        open_encoder(f"embedded + {mute}", cache)
    how = composition(("photo", "note"), None, pair=False, images=("photo",))
    held = images.hold(picture("green"))
    text = how.text({"photo": held.text, "note": f"blue {MARK} thing"})
    encoder = open_encoder(str(both), cache, EncoderOptions(threads=1, images=images))
    read = reads(how, encoder)
    assert isinstance(read, BesideEncoder)
    vector = read.encode([text])[0]
    assert vector.shape == (read.dimensions,) == (6,)
    assert vector[:3].argmax() == 1
    assert vector[3:].argmax() == 2
    assert read.encode(["red"])[0].reshape(2, 3).argmax(axis=1).tolist() == [0, 0]


def test_what_an_encoder_reads_is_known_before_it_is_exported(tmp_path):
    both = write_colours(tmp_path / "colours", tmp_path / "cache")
    mute = write_colours(tmp_path / "mute", tmp_path / "cache", words=False)
    assert inputs_read(str(both)) == ("image", "string")
    assert inputs_read(str(mute)) == ("image",)
    assert inputs_read(f"{mute} + embedded") == ("image", "string")
    assert inputs_read("embedded") == ("string",)
    with pytest.raises(EncoderError, match="no such encoder folder"):
        inputs_read(f"{mute} + ./none")
    with pytest.raises(EncoderError, match="no encoder of images"):
        inputs_read(f"embedded + {mute}")
    with pytest.raises(UnknownNameError, match="'embedded'"):
        inputs_read("embeded")


def test_an_image_that_nobody_holds_any_more_is_named(colours, images):
    text = images.hold(picture("red")).text
    with pytest.raises(InputError, match="not kept here"):
        colours.encode([text])


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ({"do_pad": True, "size": 8}, "do_pad"),
        ({"do_normalize": False}, "does not say how"),
        ({"do_normalize": False, "size": {"shortest_edge": 8}}, "sizes that differ"),
    ],
)
def test_steps_that_are_not_known_are_refused(steps, said):
    with pytest.raises(EncoderError, match=said):
        read_steps(steps, "here")


def processors():
    from transformers import BitImageProcessorPil, CLIPImageProcessorPil, ViTImageProcessorPil

    crop = {"height": 12, "width": 12}
    return {
        "vit": ViTImageProcessorPil(size={"height": 16, "width": 12}),
        "clip": CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=crop),
        "small": CLIPImageProcessorPil(size={"shortest_edge": 9}, crop_size=crop),
        "dinov2": BitImageProcessorPil(size={"shortest_edge": 14}, crop_size=crop, resample=3),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit", "clip", "small", "dinov2"])
def test_pixels_are_those_of_the_folders_own_processor(name, tmp_path):
    processor = processors()[name]
    processor.save_pretrained(tmp_path)
    steps = read_steps(json.loads((tmp_path / "preprocessor_config.json").read_text()), name)
    rng = np.random.default_rng(0)
    for size in SIZES:
        image = Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8))
        theirs = processor(image, return_tensors="np")["pixel_values"][0]
        assert np.abs(steps.pixels(image) - theirs).max() < 1e-5


@pytest.mark.slow
def test_vectors_are_those_of_transformers(tmp_path, images):
    """A tiny CLIP of random weights: both towers, images of many sizes, texts of many lengths."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "projection_dim": 8}  # fmt: skip
    model = CLIPModel(CLIPConfig(
        text_config={**size, "vocab_size": 5, "max_position_embeddings": 8, "pad_token_id": 0,
                     "bos_token_id": 1, "eos_token_id": 4},
        vision_config={**size, "image_size": 16, "patch_size": 8}, projection_dim=8,
    )).eval()  # fmt: skip
    folder = write_colours(tmp_path / "clip", tmp_path / "elsewhere")
    model.save_pretrained(folder)
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    )
    processor.save_pretrained(folder)
    options = EncoderOptions(threads=1, images=images)
    encoder = open_encoder(str(folder), tmp_path / "cache", options)
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (*s, 3)).astype(np.uint8)) for s in SIZES]
    held = [images.hold(png(each)) for each in pictures]
    pixels = processor(pictures, return_tensors="pt")["pixel_values"]
    texts = {"red green blue": [2, 3, 4], "blue": [4], "green red red red blue": [3, 2, 2, 2, 4]}
    with torch.no_grad():
        seen = unit(model.get_image_features(pixel_values=pixels).pooler_output)
        told = [unit(model.get_text_features(input_ids=torch.tensor([ids])).pooler_output)[0]
                for ids in texts.values()]  # fmt: skip
    assert np.abs(encoder.encode([each.text for each in held]) - seen).max() < 1e-4
    assert np.abs(encoder.encode(list(texts)) - np.array(told)).max() < 1e-4


def png(image):
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def unit(vectors):
    found = vectors.numpy()
    return found / np.linalg.norm(found, axis=1, keepdims=True)
