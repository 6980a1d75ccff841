"""The built-in model as weights that can be trained: its int8 numbers multiplied out, in Hugging Face's layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.catalogue import model
from samespace.encoders.minilm import weights
from samespace.training.run import write_file

__all__ = ["write_minilm"]

# As in the checkpoint of sentence-transformers/all-MiniLM-L6-v2, which the int8 file was made of.
_CONFIG = {
    "architectures": ["BertModel"],
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 384,
    "initializer_range": 0.02,
    "intermediate_size": 1536,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 6,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 30_522,
}
_MODULES = "sentence_transformers.models"
_FILES = {
    "config.json": _CONFIG,
    "modules.json": [
        {"idx": 0, "name": "0", "path": "", "type": f"{_MODULES}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{_MODULES}.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{_MODULES}.Normalize"},
    ],
    "sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": False},
    "config_sentence_transformers.json": {"prompts": {}, "similarity_fn_name": "cosine"},
    "1_Pooling/config.json": {"word_embedding_dimension": 384, "pooling_mode_mean_tokens": True},
    "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512},
}


def write_minilm(folder: Path) -> None:
    """Write the encoder ``minilm`` into a folder that sentence-transformers opens, in float32 and with mean pooling.

    The weights are those of the int8 file times their scales, so each differs from the original by at most half
    a step of its row. The pooler, which mean pooling does not use, is not in that file and is left out.

    Raises:
        StorageError: the file of weights is not there, or is not what the catalogue says.
    """
    from safetensors.numpy import save

    row = model("minilm")
    tensors = weights(row.weights.read())
    whole: dict[str, NDArray[np.float32]] = {
        name: np.ascontiguousarray(tensor * tensors.get(f"{name}.scale", 1), np.float32)
        for name, tensor in tensors.items()
        if not name.endswith(".scale")
    }
    for name, content in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_file(folder / name, json.dumps(content, indent=2).encode())
    write_file(folder / "vocab.txt", row.tokenizer.read())
    write_file(folder / "model.safetensors", save(whole, {"format": "pt"}))
