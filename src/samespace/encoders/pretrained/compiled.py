"""A converted transformer, run on OpenVINO in batches side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.base import Progress
from samespace.encoders.batching import Inputs, Requests, batches, padded
from samespace.encoders.pretrained.convert import Unfit, quantise
from samespace.encoders.pretrained.heads import head
from samespace.encoders.pretrained.layout import Layout
from samespace.encoders.pretrained.modules import Dense, Module, Normalize, Pooling, Transformer
from samespace.encoders.pretrained.reading import Reader
from samespace.encoders.runtime import core
from samespace.space import Role
from samespace.vectors import Matrix, Receipts

__all__ = ["About", "CompiledRole", "Graph", "parts"]


@dataclass(frozen=True)
class About:
    """What is kept beside a converted graph.

    Attributes:
        source: what the graph was made from.
        padding: id that pads.
        left: a text that is too long loses its beginning.
        cosine: mean and least cosine to the original, by precision; None where the original could not be run.
        format: of what is kept.
    """

    source: str
    padding: int
    left: bool
    cosine: dict[str, tuple[float, float]] | None
    format: int


def parts(layout: Layout, role: Role) -> tuple[Transformer, Pooling, tuple[Module, ...]]:
    """The pipeline of a role, if a graph can do what it does: transformer, pooling, and what follows.

    Raises:
        Unfit: it cannot.
    """
    first, *others = layout.pipelines[role]
    second = others[0] if others else None
    rest = tuple(others[1:])
    if not isinstance(first, Transformer) or not isinstance(second, Pooling):
        raise Unfit(f"its modules are {', '.join(getattr(m, 'kind', type(m).__name__) for m in (first, *others))}")
    if strange := [getattr(m, "kind", type(m).__name__) for m in rest if not isinstance(m, Dense | Normalize)]:
        raise Unfit(f"it has the module {strange[0]}")
    if not first.plain:
        raise Unfit("it does more with a text than read it")
    return first, second, rest


class Graph:
    """A converted graph, ready to run.

    Args:
        folder: that it lies in.
        precision: ``"float32"``, ``"bfloat16"`` or ``"int8"``.
        threads: to use; None for all cores.
    """

    def __init__(self, folder: Path, precision: str, threads: int | None) -> None:
        graph = core().read_model(folder / "encoder.xml")
        if precision == "int8":
            quantise(graph)
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": "f32" if precision == "float32" else "bf16",
            # int8 activations, one scale for 64 of them: the best exchange of speed for error, measured.
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 64 if precision == "int8" else 0,
        }
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        self.width = int(graph.outputs[0].partial_shape[1].get_length())
        self.names = [node.get_any_name() for node in graph.inputs]
        self.requests = Requests(core().compile_model(graph, "CPU", settings))
        self.label = f"openvino {version('openvino')} {precision}"


class CompiledRole:
    """Encodes texts of one role. Safe to use from several threads.

    Args:
        layout: of the model.
        role: of the texts.
        folder: with the converted graph and the tokenizer.
        about: that graph.
        graph: the same, compiled; roles share it.
        parallel: tokenise on all cores.
    """

    def __init__(self, layout: Layout, role: Role, folder: Path, about: About, graph: Graph, *, parallel: bool) -> None:
        transformer, _, rest = parts(layout, role)
        tokenizer = (folder / "tokenizer.json").read_text(encoding="utf-8")
        self._reader = Reader(tokenizer, transformer.max_tokens[role], parallel=parallel, left=about.left)
        self._prompt = layout.prompts.get(role, "")
        self._empty = self._reader.empty(self._prompt)
        self._head = head(layout.files, rest, layout.truncation)
        self._padding = about.padding
        self._graph = graph
        self._left_out = self._reader.prompt_length(self._prompt) if self._prompt else 0
        self.label = graph.label

    def encode(self, texts: Sequence[str], progress: Progress) -> tuple[Matrix, Receipts]:
        """Encode texts that carry their prompt; what holds nothing becomes a row of zeros."""
        ids, total = self._reader(texts)
        seen = np.array([len(each) for each in ids], np.int32)
        array = np.zeros((len(texts), self._graph.width), np.float32)
        work = ((rows, self._inputs([ids[row] for row in rows])) for rows in batches(seen))
        self._graph.requests.run(work, array, progress)
        array = self._head(array)
        array[[row for row, each in enumerate(ids) if tuple(each) in self._empty]] = 0
        return array, Receipts(seen, total)

    def count(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Tokens of texts that carry their prompt."""
        return self._reader(texts)[1]

    def doubled(self) -> bool:
        """The tokenizer puts the prompt in front of a text itself."""
        return self._reader.doubles(self._prompt)

    def _inputs(self, ids: list[list[int]]) -> Inputs:
        """What this graph takes."""
        inputs = padded(ids, self._padding)
        if "token_type_ids" in self._graph.names:
            inputs["token_type_ids"] = np.zeros_like(inputs["input_ids"])
        if "pooled_mask" in self._graph.names:
            inputs["pooled_mask"] = inputs["attention_mask"].copy()
            inputs["pooled_mask"][:, : self._left_out] = 0
        return {name: inputs[name] for name in self._graph.names}
