"""A small BERT from nothing, or one that goes on from a model: masked language modelling."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samespace.errors import InvalidInput
from samespace.training.bases import open_base, quiet
from samespace.training.corpus import split_lines
from samespace.training.loop import Plan, count, fit, rate, require_torch, share, torch_threads
from samespace.training.masking import Masking
from samespace.training.run import Checkpoint, Progress, Report, describe_file, disk, finish, stage, write_file

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["train_bert"]

_FEWEST = 20  # different texts
_MOST_HELD_OUT = 256  # blocks
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_LEARNING_RATE, _GOING_ON = 1e-3, 1e-4  # small models stand, and need, a higher one than BERT's 1e-4


def train_bert(
    corpus: str | os.PathLike[str],
    into: str | os.PathLike[str],
    *,
    from_: str | None = None,
    layers: int = 4,
    hidden: int = 256,
    heads: int = 4,
    vocabulary: int = 8192,
    max_tokens: int = 128,
    dropout: float = 0.1,
    steps: int | None = None,
    epochs: int = 1,
    batch: int = 32,
    learning_rate: float | None = None,
    warmup: float = 0.1,
    whole_words: bool = True,
    held_out: float = 0.02,
    seed: int = 0,
    threads: int | None = None,
    checkpoint_seconds: float = 60.0,
    progress: Progress | None = None,
) -> Report:
    """Train a BERT to guess masked tokens (Devlin et al. 2019).

    15 % of the tokens are hidden: of these 80 % are shown as ``[MASK]``, 10 % as a random token, and 10 % as they
    are. From nothing, it trains a tokenizer of word pieces in lower case on the corpus first. The folder that it ends
    in opens with transformers, masked language model included, and with sentence-transformers, as an encoder with
    mean pooling. That encoder knows which words go together, not yet which texts mean the same; ``train_pairs``
    teaches that. The same call goes on from the checkpoint of an interrupted one, and ends in the same weights as
    if it had not been interrupted (on one machine, with one number of threads).

    Args:
        corpus: a file with one text a line, UTF-8.
        into: the folder for the model; new, empty, or with a checkpoint of the same call.
        from_: a model to go on from: a folder, ``"hf:owner/name@revision"``, or ``"minilm"``. It brings its
            tokenizer and its shape; a model without a head for masked tokens gets a new one.
        layers: of a model from nothing.
        hidden: length of its vectors, a multiple of ``heads``.
        heads: of each layer's attention.
        vocabulary: tokens, at most; a small corpus has fewer.
        max_tokens: in a block, and later in a text.
        dropout: of a model from nothing. 0 learns faster where the corpus is read but once or twice.
        steps: batches; None: what ``epochs`` make.
        epochs: how often the corpus is read, if ``steps`` is None.
        batch: blocks in a batch.
        learning_rate: at its highest; None: 1e-3 from nothing, 1e-4 from a model.
        warmup: part of the steps before the learning rate is at its highest.
        whole_words: mask all pieces of a word together.
        held_out: part of the texts to measure on.
        seed: of everything random.
        threads: of torch; None: as torch chooses.
        checkpoint_seconds: between checkpoints.
        progress: called with each :class:`~samespace.training.run.Step`.

    Returns:
        The report. ``before`` and ``after`` have the ``masked loss`` (nats a masked token), its ``perplexity``
        and the ``masked accuracy`` on held-out texts.

    Raises:
        InvalidInput: a corpus or settings that cannot be used; a checkpoint of other settings; the loss diverged.
        NotFound: there is no such file or model.
        MissingExtra: torch or a library of training is not installed.
        StorageFull: no space left; the last checkpoint is kept.
        KeyboardInterrupt: Ctrl-C; the checkpoint is written.
    """
    require_torch()
    shape = {
        "layers": count("layers", layers),
        "hidden": count("hidden", hidden),
        "heads": count("heads", heads),
        "vocabulary": count("vocabulary", vocabulary, 100),
        "dropout": share("dropout", dropout),
    }
    if hidden % heads:
        raise InvalidInput(f"hidden must be a multiple of heads, got {hidden} and {heads}.")
    settings: dict[str, Any] = {
        "kind": "bert",
        "from": from_,
        **({} if from_ else shape),
        "max_tokens": count("max_tokens", max_tokens, 8),
        "steps": None if steps is None else count("steps", steps),
        "epochs": count("epochs", epochs),
        "batch": count("batch", batch),
        "learning_rate": None if learning_rate is None else rate("learning_rate", learning_rate),
        "warmup": share("warmup", warmup),
        "whole_words": whole_words,
        "held_out": share("held_out", held_out),
        "seed": count("seed", seed, 0),
    }
    data = describe_file(corpus)
    train, held = split_lines(corpus, held_out, _FEWEST)
    with nullcontext() if from_ is None else open_base(from_) as base, torch_threads(threads):
        settings |= {"corpus": data["sha256"], "from_digest": base.digest if base else None}
        checkpoint = Checkpoint(into, settings)
        tell = stage(progress)
        if base is None:
            kept = checkpoint.kept("vocabulary.json")
            if kept is None:
                tell("training the tokenizer")
            words = _vocabulary(train, vocabulary) if kept is None else json.loads(kept)
            model, tokenizer = _new(words, max_tokens, seed, layers, hidden, heads, dropout)
        else:
            words = None
            model, tokenizer = _opened(base.folder, base.name, max_tokens, seed)
        tell("reading the corpus")
        task = Masking.of(tokenizer, whole_words)
        blocks, held_blocks = (task.blocks(texts, max_tokens) for texts in (train, held))
        if not len(blocks) or (held_out and not len(held_blocks)):
            raise InvalidInput(
                f"{corpus} makes {len(blocks):,} blocks of {max_tokens} tokens to train on and {len(held_blocks):,} to "
                "measure on; expected at least one of each. Give more text, or lower max_tokens."
            )
        held_blocks = held_blocks[:_MOST_HELD_OUT]
        total = steps or max(1, epochs * len(blocks) // batch)
        highest = learning_rate or (_GOING_ON if base else _LEARNING_RATE)
        plan = Plan(total, highest, warmup, seed, checkpoint_seconds=checkpoint_seconds)

        kept = checkpoint.kept("before.json")
        if kept is None:
            tell("measuring the model as it is")
        before = task.measure(model, held_blocks, batch, seed) if kept is None else json.loads(kept)

        def loss_of(step: int) -> Tensor:
            model.train()
            rows = _rows(len(blocks), batch, seed, step)
            return task.loss(model, *task.masked(blocks[rows], np.random.default_rng((seed, 1, step))))[0]

        keep = {"before.json": json.dumps(before).encode()}
        if words is not None:
            keep["vocabulary.json"] = json.dumps(words).encode()
        curve, seconds = fit(dict(model.named_parameters()), loss_of, plan, checkpoint, progress, keep)
        after = task.measure(model, held_blocks, batch, seed)
        _write(model, tokenizer, checkpoint.into, max_tokens)
        report = Report(
            checkpoint.into,
            "bert",
            before,
            after,
            curve,
            seconds,
            {**settings, "steps": total, "learning_rate": highest},
            {
                "corpus": data,
                "texts": {"trained_on": len(train), "held_out": len(held)},
                "tokens": {"trained_on": int(blocks.size), "held_out": int(held_blocks.size)},
                "read": f"{total * batch / len(blocks):.2f} times",
                "parameters": sum(each.numel() for each in model.parameters()),
                "vocabulary": len(tokenizer),
            },
            (base.note,) if base else (),
        )
        finish(report, checkpoint)
    return report


def _rows(blocks: int, batch: int, seed: int, step: int) -> NDArray[np.intp]:
    """Which blocks a step reads: each epoch all of them, in an order of its own."""
    places = range(step * batch, (step + 1) * batch)
    return np.array([_order(blocks, seed, place // blocks)[place % blocks] for place in places])


@lru_cache(maxsize=2)
def _order(blocks: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, 0, epoch)).permutation(blocks)


def _vocabulary(texts: Sequence[str], size: int) -> list[str]:
    """Word pieces of a corpus, by number; the same for the same texts."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 (no password)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    seen = Counter[str]()
    for text in texts:
        seen.update(tokenizer.normalizer.normalize_str(text))
    letters = sorted(sorted(set(seen) - {" "}), key=seen.__getitem__, reverse=True)[: size // 4]
    # The trainer numbers what it meets in the order of a hash table, which differs from run to run, and decides
    # between equally frequent pairs by number. So every letter has its number before it begins.
    first = [*_SPECIAL, *(f"##{letter}" for letter in sorted(letters))]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=first,
        show_progress=False,
        initial_alphabet=letters,
        limit_alphabet=len(letters),
    )
    tokenizer.train_from_iterator(texts, trainer)
    numbers = tokenizer.get_vocab()
    return sorted(numbers, key=numbers.__getitem__)


def _new(
    words: Sequence[str],
    max_tokens: int,
    seed: int,
    layers: int,
    hidden: int,
    heads: int,
    dropout: float,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertTokenizer

    torch.manual_seed(seed)
    numbers = {word: number for number, word in enumerate(words)}
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        max_position_embeddings=max_tokens,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        # BERT's .02 belongs to its width of 768; at this one it is as large where it counts, in sums over inputs.
        initializer_range=0.02 * (768 / hidden) ** 0.5,
        pad_token_id=numbers["[PAD]"],
    )
    return BertForMaskedLM(config), BertTokenizer(vocab=numbers, do_lower_case=True, model_max_length=max_tokens)


def _opened(folder: Path, name: str, max_tokens: int, seed: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    torch.manual_seed(seed)  # of a head that is new
    try:
        with quiet():
            model = AutoModelForMaskedLM.from_pretrained(folder, local_files_only=True, use_safetensors=True)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InvalidInput(f"{name} cannot be opened as a masked language model: {error}.") from error
    missing = [token for token in ("cls_token", "sep_token", "mask_token") if getattr(tokenizer, token) is None]
    if missing or not tokenizer.is_fast:
        what = f"it has no {', '.join(missing)}" if missing else "it has no tokenizer.json"
        raise InvalidInput(f"{name} cannot be trained on masked tokens: {what}.")
    most = getattr(model.config, "max_position_embeddings", max_tokens)
    if max_tokens > most:
        raise InvalidInput(f"{name} reads at most {most} tokens, got max_tokens={max_tokens}.")
    return model, tokenizer


def _write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, into: Path, max_tokens: int) -> None:
    """Write the masked language model, and beside it what makes sentence-transformers pool its vectors."""
    modules = "sentence_transformers.models"
    files: dict[str, Any] = {
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": f"{modules}.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{modules}.Pooling"},
        ],
        "sentence_bert_config.json": {"max_seq_length": max_tokens, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": {}, "similarity_fn_name": "cosine"},
        "1_Pooling/config.json": {
            "word_embedding_dimension": int(model.config.hidden_size),
            "pooling_mode_mean_tokens": True,
        },
    }
    with quiet(), disk(f"Cannot write the model into {into}; the checkpoint is kept"):
        model.save_pretrained(into)
        tokenizer.save_pretrained(into)
    for name, content in files.items():
        (into / name).parent.mkdir(exist_ok=True)
        write_file(into / name, json.dumps(content, indent=2).encode())
