"""Contrastive fine-tuning: an anchor's vector comes nearer to its positive's than to all others of the batch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from samespace.errors import InvalidInput
from samespace.evaluation.pairs import Pairs, read_pairs
from samespace.evaluation.retrieval import Retrieval, bootstrap, retrieval_task, summary
from samespace.training.bases import embed, open_base, prompt_of, write_model
from samespace.training.batches import distinct, epoch_batches, hold_out, mine
from samespace.training.loop import Plan, count, fit, rate, require_torch, share, torch_threads
from samespace.training.run import Checkpoint, Progress, Report, describe_file, digest_texts, finish, stage

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor
    from torch.nn import Parameter

__all__ = ["train_pairs"]

_FEWEST = 10
_MOST_HELD_OUT = 1_000
_DISTRACTORS = 2_000
_LEARNING_RATE, _LORA_LEARNING_RATE, _STATIC_LEARNING_RATE = 2e-5, 2e-4, 2e-2


def train_pairs(
    pairs: str | os.PathLike[str] | Pairs,
    into: str | os.PathLike[str],
    *,
    from_: str = "minilm",
    epochs: int = 1,
    batch: int = 64,
    learning_rate: float | None = None,
    warmup: float = 0.1,
    hard_negatives: int = 0,
    matryoshka: Sequence[int] | None = None,
    lora: int | None = None,
    chunk: int | None = None,
    held_out: float = 0.1,
    seed: int = 0,
    threads: int | None = None,
    checkpoint_seconds: float = 60.0,
    progress: Progress | None = None,
) -> Report:
    """Fine-tune an encoder on pairs of texts that belong together (van den Oord et al. 2018, InfoNCE).

    In a batch every other row's positive is a negative, so larger batches teach more. Rows that share a text
    never meet in one batch. Queries and documents carry the prompts of the model while it is trained, as they
    do when it is used. The same call goes on from the checkpoint of an interrupted one, and ends in the same
    weights as if it had not been interrupted (on one machine, with one number of threads).

    Args:
        pairs: a file for :func:`~samespace.evaluation.pairs.read_pairs`, or Pairs without scores.
        into: the folder for the model; new, empty, or with a checkpoint of the same call.
        from_: ``"minilm"``, a folder, or ``"hf:owner/name@revision"``.
        epochs: how often each pair is seen.
        batch: pairs in a batch.
        learning_rate: at its highest; None: 2e-5, with ``lora`` 2e-4, for a static model 2e-2.
        warmup: part of the steps before the learning rate is at its highest.
        hard_negatives: texts for each pair that are near to its anchor and not its positive, found by exact
            search with the model as it was. Pairs that have negatives of their own keep those.
        matryoshka: shorter dimensions that the vectors shall work at too (Kusupati et al. 2022).
        lora: rank of low-rank adapters that are trained in place of the weights (Hu et al. 2021), and merged
            into them at the end; for models too large to train whole.
        chunk: encode this many texts at a time, whatever the batch (Gao et al. 2021, GradCache): large batches
            in little memory, for about a half more of time.
        held_out: part of the anchors, at most 1,000, to measure on; no text of theirs is trained on.
        seed: of the split, the batches and dropout.
        threads: of torch; None: as torch chooses.
        checkpoint_seconds: between checkpoints.
        progress: called with each :class:`~samespace.training.run.Step`.

    Returns:
        The report. ``before`` and ``after`` are nDCG@10 with its interval, MRR@10 and recall of the held-out
        anchors among their positives and up to 2,000 other documents. ``ndcg@10 gained`` is the 95 % interval of
        the difference, query by query: above 0, the model got better.

    Raises:
        InvalidInput: pairs or settings that cannot be used; a checkpoint of other settings; the loss diverged.
        NotFound: there is no such file or model.
        MissingExtra: torch or a library of training is not installed.
        StorageFull: no space left; the last checkpoint is kept.
        KeyboardInterrupt: Ctrl-C; the checkpoint is written.
    """
    require_torch(*(["peft"] if lora else []))
    given = read_pairs(pairs) if not isinstance(pairs, Pairs) else pairs
    data = describe_file(pairs) if not isinstance(pairs, Pairs) else digest_texts([*given.first, *given.second])
    train, held = _split(given, share("held_out", held_out), count("seed", seed, 0))
    with open_base(from_) as base, torch_threads(threads):
        settings = {
            "kind": "pairs",
            "pairs": data["sha256"],
            "from": from_,
            "from_digest": base.digest,
            "epochs": count("epochs", epochs),
            "batch": count("batch", batch, 2),
            "learning_rate": None if learning_rate is None else rate("learning_rate", learning_rate),
            "warmup": share("warmup", warmup),
            "hard_negatives": count("hard_negatives", hard_negatives, 0),
            "matryoshka": None if matryoshka is None else sorted({count("matryoshka", each) for each in matryoshka}),
            "lora": None if lora is None else count("lora", lora),
            "chunk": None if chunk is None else count("chunk", chunk),
            "held_out": held_out,
            "seed": seed,
        }
        model = base.load()
        _check_dimensions(model, settings["matryoshka"])
        checkpoint = Checkpoint(into, settings)
        merge = _adapters(model, lora, seed)
        task = retrieval_task(held, train.second[:_DISTRACTORS])
        kept = checkpoint.kept("found.json")
        if kept is not None:
            found = json.loads(kept)
        else:
            tell = stage(progress)
            tell("measuring the model as it is")
            before, each = _measure(model, task, settings["matryoshka"])
            found = {"before": before, "each": each, "negatives": list(train.negatives)}
            if hard_negatives and not train.negatives:
                tell("mining hard negatives")
                anchors, positives = embed(model, train.first, "query"), embed(model, train.second, "document")
                found["negatives"] = mine(train, anchors, positives, hard_negatives)
        train = replace(train, negatives=found["negatives"])
        batches = [rows for epoch in range(epochs) for rows in epoch_batches(train, batch, seed, epoch)]
        if not batches:
            raise InvalidInput(
                "No two pairs can stand in one batch: all of them share a text. More anchors are needed."
            )
        highest = learning_rate or _rate_for(model, lora)
        plan = Plan(len(batches), highest, warmup, seed, checkpoint_seconds=checkpoint_seconds)
        loss = _loss(model, settings["matryoshka"], chunk)

        def loss_of(step: int) -> Tensor:
            model.train()
            return loss(train, batches[step])

        curve, seconds = fit(
            _trainable(model), loss_of, plan, checkpoint, progress, {"found.json": json.dumps(found).encode()}
        )
        merge()
        after, each = _measure(model, task, settings["matryoshka"])
        if each:
            low, high = bootstrap(np.subtract(each, found["each"]))
            after |= {"ndcg@10 gained.low": low, "ndcg@10 gained.high": high}
        write_model(model, checkpoint.into)
        report = Report(
            checkpoint.into,
            "pairs",
            found["before"],
            after,
            curve,
            seconds,
            {**settings, "learning_rate": highest, "steps": plan.steps},
            {
                "pairs": data,
                "trained_on": len(train),
                "held_out": len(held),
                "left_out": len(given) - len(train) - len(held),
                "searched_documents": len(task.documents),
            },
            (base.note,),
        )
        finish(report, checkpoint)
    return report


def _split(given: Pairs, part: float, seed: int) -> tuple[Pairs, Pairs]:
    if given.scores is not None:
        raise InvalidInput(
            "Training needs pairs of anchor and positive; these have scores. Keep the pairs with high scores, as "
            "anchor and positive."
        )
    pairs = distinct(given)
    anchors = len(set(pairs.first))
    if anchors < _FEWEST:
        raise InvalidInput(
            f"Training needs at least {_FEWEST} pairs with different anchors; of {len(given):,} pairs {anchors:,} are "
            "left when each is counted once."
        )
    train, held = hold_out(pairs, part, _MOST_HELD_OUT, seed)
    if part and not len(held):
        raise InvalidInput(f"held_out={part:g} of {anchors:,} anchors is none. Raise it, or set it to 0.")
    if len(train) < 2:
        raise InvalidInput(
            f"Only {len(train)} pairs share no text with the {len(held):,} held-out ones. Lower held_out."
        )
    return train, held


def _check_dimensions(model: SentenceTransformer, dimensions: Sequence[int] | None) -> None:
    whole = model.get_embedding_dimension()
    if dimensions and whole is not None and dimensions[-1] >= whole:
        raise InvalidInput(f"matryoshka names dimensions shorter than the model's {whole}, got {list(dimensions)}.")


def _rate_for(model: SentenceTransformer, lora: int | None) -> float:
    if lora:
        return _LORA_LEARNING_RATE
    return _LEARNING_RATE if model.transformers_model is not None else _STATIC_LEARNING_RATE


def _trainable(model: SentenceTransformer) -> dict[str, Parameter]:
    return {name: each for name, each in model.named_parameters() if each.requires_grad}


def _adapters(model: SentenceTransformer, rank: int | None, seed: int) -> Callable[[], None]:
    """Put adapters into the model if asked to; returns what merges them into its weights."""
    if rank is None:
        return lambda: None
    if model.transformers_model is None:
        raise InvalidInput("lora is for transformers; a static model has no layers to adapt. Leave lora out.")
    import torch
    from peft import LoraConfig, LoraModel

    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.05, target_modules="all-linear")
    # Of a model of one's own, peft keeps the adapters in its modules, where sentence-transformers runs them.
    adapted = LoraModel(model.transformers_model, config, "default")

    def merge() -> None:
        adapted.merge_and_unload()

    return merge


def _loss(
    model: SentenceTransformer, dimensions: Sequence[int] | None, chunk: int | None
) -> Callable[[Pairs, Any], Tensor]:
    """The loss of some rows of pairs, by sentence-transformers' losses."""
    import torch
    from sentence_transformers.sentence_transformer import losses

    loss: torch.nn.Module = (
        losses.MultipleNegativesRankingLoss(model)
        if chunk is None
        else losses.CachedMultipleNegativesRankingLoss(model, mini_batch_size=chunk)
    )
    if dimensions:
        whole = model.get_embedding_dimension()
        loss = losses.MatryoshkaLoss(model, loss, matryoshka_dims=[int(whole or 0), *reversed(dimensions)])
    prompts = prompt_of(model, "query"), prompt_of(model, "document")

    def of(pairs: Pairs, rows: Any) -> Tensor:
        negatives = {text: None for row in rows for text in (pairs.negatives[row] if pairs.negatives else ())}
        columns = [
            model.preprocess([pairs.first[row] for row in rows], prompt=prompts[0], task="query"),
            model.preprocess([pairs.second[row] for row in rows], prompt=prompts[1], task="document"),
        ]
        if negatives:
            columns.append(model.preprocess(list(negatives), prompt=prompts[1], task="document"))
        features = [
            {name: each.to(model.device) if isinstance(each, torch.Tensor) else each for name, each in column.items()}
            for column in columns
        ]
        value: Tensor = loss(features, torch.arange(len(rows)))
        return value

    return of


def _measure(
    model: SentenceTransformer, task: Retrieval, dimensions: Sequence[int] | None
) -> tuple[dict[str, float], list[float]]:
    """The figures, and nDCG@10 of each query."""
    if not task.queries:
        return {}, []
    queries, documents = embed(model, task.queries, "query"), embed(model, task.documents, "document")
    metric: Any = {"dot": "dot", "euclidean": "euclidean"}.get(str(model.similarity_fn_name), "cosine")
    gains = task.gains(queries, documents, metric)
    figures = summary(gains)
    for short in dimensions or ():
        shortened = task.measure(queries[:, :short], documents[:, :short])
        figures[f"ndcg@10 at {short} dimensions"] = shortened["ndcg@10"]
    return figures, gains[0].tolist()
