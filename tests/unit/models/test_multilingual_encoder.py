"""A multilingual folder, XLM-RoBERTa with a unigram tokenizer, is opened like any other."""

import numpy as np
import pytest

from milepost.models.catalog import EncoderOptions, open_encoder

TEXTS = ("where is it", "wo ist das", "gdzie to jest", "где это", "这在哪里", "", "это " * 40)


@pytest.mark.slow
def test_vectors_are_those_of_transformers(tmp_path):
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import XLMRobertaConfig, XLMRobertaModel

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    unknown = special[-1]
    trainer = trainers.UnigramTrainer(vocab_size=80, special_tokens=special, unk_token=unknown)
    tokenizer.train_from_iterator(TEXTS * 20, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    torch.manual_seed(0)
    model = XLMRobertaModel(XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=16, intermediate_size=32,
        num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=34, pad_token_id=1,
        bos_token_id=0, eos_token_id=2,
    ), add_pooling_layer=False).eval()  # fmt: skip
    model.save_pretrained(tmp_path / "xlmr")
    tokenizer.save(str(tmp_path / "xlmr" / "tokenizer.json"))
    encoder = open_encoder(str(tmp_path / "xlmr"), tmp_path / "cache", EncoderOptions(threads=1))
    assert encoder.max_tokens == 32
    vectors = encoder.encode(TEXTS)
    tokenizer.enable_truncation(32)
    for text, vector in zip(TEXTS, vectors, strict=True):
        with torch.no_grad():
            ids = torch.tensor([tokenizer.encode(text).ids])
            mean = model(input_ids=ids).last_hidden_state[0].mean(0).numpy()
        assert np.abs(vector - mean / np.linalg.norm(mean)).max() < 1e-4
