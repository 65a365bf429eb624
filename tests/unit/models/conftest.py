"""Small random encoders in the folder layout of transformers, and the embedded one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from milepost.models.catalog import EncoderOptions, open_encoder
from milepost.models.embedded import embedded_path
from milepost.models.onnx_encoder import OnnxEncoder

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{c}" for c in LETTERS)]
SIZES = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 48,
    "pad_token_id": 0,
}


def write_tokenizer(folder: Path) -> None:
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    specials = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
    }
    ids = {word: i for i, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=specials["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=40,
        **specials,
    ).save_pretrained(folder)


def write_tiny(folder: Path, model_type: str = "bert", **changes: object) -> Path:
    import torch
    import transformers

    kinds = {
        "bert": transformers.BertConfig,
        "mpnet": transformers.MPNetConfig,
        "xlm-roberta": transformers.XLMRobertaConfig,
    }
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(kinds[model_type](**{**SIZES, **changes})).eval()
    for weight in model.parameters():
        weight.data.normal_(0, 0.3) if weight.ndim > 1 else weight.data.uniform_(0.8, 1.2)
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a tiny random model; ``tiny("mpnet", max_position_embeddings=64)``."""

    def write(model_type: str = "bert", **changes: object) -> Path:
        return write_tiny(tmp_path_factory.mktemp(model_type) / "model", model_type, **changes)

    return write


@pytest.fixture(scope="session")
def tiny_bert(tiny: Callable[..., Path]) -> Path:
    """One tiny BERT that no test changes."""
    return tiny("bert")


@pytest.fixture(scope="session")
def embedded_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if embedded_path() is None:
        pytest.skip("the embedded encoder's package is not installed")
    return tmp_path_factory.mktemp("encoders")


@pytest.fixture(scope="session")
def embedded(embedded_cache: Path) -> OnnxEncoder:
    return open_encoder("embedded", embedded_cache, EncoderOptions(threads=2))
