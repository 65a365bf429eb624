"""The OpenAI formats against a server process that others wrote, with a model built here."""

import asyncio
import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Message, ModelRequest
from milepost.entities.upstream import Endpoint, Upstream, Wire
from milepost.models.language.asking import Terms
from milepost.models.language.http import HttpModel

NEEDED = ("transformers", "torch", "accelerate", "fastapi", "uvicorn", "openai")
BUILD = """
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

torch.manual_seed(0)
pieces = Tokenizer(models.BPE())
pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
pieces.decoder = decoders.ByteLevel()
pieces.train_from_iterator(
    ["which colour is the sky today"],
    trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    ),
)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=pieces, bos_token="<s>", eos_token="</s>", pad_token="</s>"
)
tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }} {% endfor %}"
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
    num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=512, bos_token_id=0,
    eos_token_id=1, pad_token_id=1,
))
model.save_pretrained(sys.argv[1])
tokenizer.save_pretrained(sys.argv[1])
"""
QUESTION = ModelRequest(
    messages=(Message(role="user", content="which colour is the sky"),), max_tokens=12
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Base URL of the server, and the model as it calls it."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"transformers serve needs {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("served")
    model, hub = folder / "model", folder / "hub"
    hub.mkdir()
    environment = {
        **os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(hub), "HF_HUB_CACHE": str(hub),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    subprocess.run([sys.executable, "-c", BUILD, str(model)], check=True, env=environment)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("transformers")), "serve", str(model),
        "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--log-level", "info",
    ]  # fmt: skip
    said: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                said.append(line)
                if "running on" in line:
                    break
            assert process.poll() is None, "".join(said)
            yield f"http://127.0.0.1:{port}/v1", str(model)
        finally:
            process.kill()


def _upstream(wire: Wire, served: tuple[str, str]) -> Upstream:
    base_url, model = served
    endpoint = Endpoint(base_url=base_url, private=True)
    return Upstream(name="tiny", wire=wire, model=model, endpoints=(endpoint,))


@pytest.mark.slow
@pytest.mark.parametrize("wire", ["openai", "openai-responses"])
def test_a_server_of_others_is_understood(wire: Wire, served: tuple[str, str]) -> None:
    upstream = _upstream(wire, served)

    async def calls() -> None:
        model = HttpModel(upstream, upstream.endpoints[0])
        whole = await model.complete(QUESTION, Terms())
        assert whole.text
        assert whole.tokens.input > 5
        assert 0 < whole.tokens.output <= 12
        assert whole.finish in ("stop", "length")
        pieces = [piece async for piece in model.stream(QUESTION, Terms())]
        last = pieces[-1].whole
        assert last is not None
        # The most probable answer is the same however it comes, but that the server
        # leaves out of a stream what is not yet a character at its end.
        assert "".join(piece.text for piece in pieces) == last.text
        assert last.text.rstrip("\ufffd") == whole.text.rstrip("\ufffd")
        request = msgspec.structs.replace(QUESTION, extra={"no_such_field": 1})
        with pytest.raises(UpstreamError) as caught:
            await model.complete(request, Terms())
        assert caught.value.outcome == "bad_request"
        await model.close()

    asyncio.run(calls())
