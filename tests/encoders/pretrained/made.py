"""Sentence-transformers models of every kind, tiny and random, in folders as that library saves them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from tokenizers import Tokenizer

from encoders.pretrained.tiny import TEXTS, make

# Shorter and longer than the models read, of other letters than they were made with.
PARITY_TEXTS = [
    *TEXTS,
    "A dog.",
    "Где находится библиотека?",
    "She counted   the money\tthat the bank had returned. " * 5,
    "The river\nrose.",
]


def write(
    folder: Path,
    kind: str = "bert",
    pooling: str | tuple[str, ...] = "mean",
    *,
    after: Callable[[int], list[Any]] = lambda _size: [],
    include_prompt: bool = True,
    max_tokens: int | None = None,
    **settings: Any,
) -> Path:
    """Write a model: a transformer of this kind, the pooling, and the modules that ``after`` makes of its size."""
    modules = [*transformer(folder, kind, pooling, include_prompt=include_prompt), *after(16)]
    if kind in ("roberta", "mpnet"):  # their positions begin behind the id that pads
        max_tokens = max_tokens or 30
    if max_tokens:
        modules[0].max_seq_length = max_tokens
    return save(modules, folder, **settings)


def transformer(folder: Path, kind: str, pooling: Any, *, include_prompt: bool = True, seed: int = 0) -> list[Any]:
    """A transformer and its pooling."""
    source = strong(kind, folder.with_name(f"{folder.name}-{kind}"), seed)
    first = Transformer(str(source), modality_config=TEXT, module_output_name="token_embeddings")
    return [first, Pooling(16, pooling, include_prompt=include_prompt)]


TEXT = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}


def strong(kind: str, folder: Path, seed: int = 0) -> Path:
    """A transformer whose layers do something: as libraries begin them, they hardly change what goes through."""
    make(kind, folder, seed)
    tensors = load_file(folder / "model.safetensors")
    layers = {name: tensor for name, tensor in tensors.items() if tensor.ndim == 2 and "emb" not in name}
    for name in layers.keys() - {"wte.weight", "wpe.weight", "shared.weight"}:
        tensors[name] = 10 * tensors[name]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def table(folder: Path, kind: str = "bert") -> StaticEmbedding:
    """A static model with the vocabulary of a transformer."""
    source = make(kind, folder.with_name(f"{folder.name}-{kind}"))
    torch.manual_seed(5)
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    return StaticEmbedding(tokenizer, embedding_weights=torch.randn(400, 16))


def save(modules: list[Any], folder: Path, **settings: Any) -> Path:
    """Save modules as a model; ``settings`` are prompts, default_prompt_name, similarity_fn_name, truncate_dim."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SentenceTransformer(modules=modules, device="cpu", **settings)
        model.save(str(folder), create_model_card=False)
    return folder


def dense(outputs: int = 12, activation: Any = None, seed: int = 3) -> Callable[[int], list[Any]]:
    """A Dense module behind the pooling."""

    def after(size: int) -> list[Any]:
        torch.manual_seed(seed)
        return [Dense(size, outputs, activation_function=activation or torch.nn.Tanh())]

    return after


def normalize(_size: int) -> list[Any]:
    """A Normalize module behind the pooling."""
    return [Normalize()]


def router(folder: Path) -> Path:
    """A static table for queries, a transformer for documents."""
    document = transformer(folder, "bert", "mean")
    return save([Router.for_query_document([table(folder)], document), Normalize()], folder)


def reference(folder: Path) -> SentenceTransformer:
    """The model as sentence-transformers opens it, in float32."""
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True, model_kwargs={"dtype": torch.float32})
