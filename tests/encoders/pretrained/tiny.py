"""Transformers of every kind, tiny and random, in folders as people have them."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

TEXTS = [
    "He took money from the bank.",
    "They sat on the bank of the river and watched the water.",
    "A naïve façade, and a café.",
    "Short.",
    "The quick brown fox jumps over the lazy dog, and then the dog jumps over the fox, again and again.",
]
_SIZE = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 400
}  # fmt: skip
_IDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}

CONFIGURATIONS = {
    "bert": lambda: transformers.BertConfig(**_SIZE, max_position_embeddings=32, pad_token_id=1),
    "roberta": lambda: transformers.RobertaConfig(**_SIZE, max_position_embeddings=34, pad_token_id=1),
    "mpnet": lambda: transformers.MPNetConfig(**_SIZE, max_position_embeddings=34, pad_token_id=1),
    "modernbert": lambda: transformers.ModernBertConfig(**_SIZE, **_IDS),
    "distilbert": lambda: transformers.DistilBertConfig(
        dim=16, n_layers=3, n_heads=2, hidden_dim=32, vocab_size=400, pad_token_id=1
    ),
    "qwen": lambda: transformers.Qwen2Config(**_SIZE, num_key_value_heads=2, pad_token_id=1, eos_token_id=2),
    "gpt2": lambda: transformers.GPT2Config(
        n_embd=16, n_layer=3, n_head=2, vocab_size=400, bos_token_id=0, eos_token_id=2
    ),
    "albert": lambda: transformers.AlbertConfig(**_SIZE, embedding_size=8, pad_token_id=1),
    "t5": lambda: transformers.T5Config(
        d_model=16, d_kv=8, d_ff=32, num_layers=3, num_heads=2, vocab_size=400, pad_token_id=1
    ),
    "bart": lambda: transformers.BartConfig(
        d_model=16, encoder_layers=3, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, vocab_size=400, **_IDS
    ),
}  # fmt: skip
CAUSAL = ("qwen", "gpt2")


def tokenizer(*, causal: bool) -> transformers.PreTrainedTokenizerFast:
    """Bytes in pairs, as GPT-2 has them, trained on this page; special tokens around a text unless it is causal."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    bytes_in_pairs = Tokenizer(models.BPE())
    bytes_in_pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_in_pairs.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bytes_in_pairs.train_from_iterator(TEXTS * 3, trainer)
    if not causal:
        bytes_in_pairs.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bytes_in_pairs,
        bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>", cls_token="<s>", sep_token="</s>",
        mask_token="<mask>",
        padding_side="left" if causal else "right",
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def make(kind: str, folder: Path, seed: int = 0) -> Path:
    """Write a model of this kind into a folder."""
    torch.manual_seed(seed)
    transformers.utils.logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of transformers, about its own defaults
        transformers.AutoModel.from_config(CONFIGURATIONS[kind]()).eval().save_pretrained(folder)
        tokenizer(causal=kind in CAUSAL).save_pretrained(folder)
    return folder
