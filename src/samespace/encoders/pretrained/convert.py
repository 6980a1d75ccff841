"""A transformer as an OpenVINO graph that makes one vector of a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samespace.encoders.pretrained.heads import pooled
from samespace.encoders.pretrained.modules import Pooling
from samespace.encoders.pretrained.original import quiet
from samespace.encoders.runtime import core, openvino

if TYPE_CHECKING:
    from openvino import Model

__all__ = ["Unfit", "pooling_graph", "quantise", "read_graph", "trace"]

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_STATES = ("last_hidden_state", "token_embeddings")


class Unfit(Exception):
    """A way of running a model that does not do for it; the message says why."""


def trace(module: Any, padding: int) -> Model:
    """Convert the transformer of a loaded sentence-transformers module.

    Args:
        module: the module, in evaluation mode, with float32 weights.
        padding: id that pads.

    Returns:
        A graph from ``input_ids`` and ``attention_mask``, int64 (texts, tokens), to float32 (texts, tokens, hidden).

    Raises:
        Unfit: it cannot be converted.
    """
    import torch

    ov = openvino()

    class Body(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.module.forward({"input_ids": input_ids, "attention_mask": attention_mask})["token_embeddings"]

    # Two texts of different lengths, so that nothing of the mask or the shape is taken for a constant.
    first = padding + 1 if padding == 0 else 0
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    example = {"input_ids": torch.where(mask > 0, first, padding), "attention_mask": mask}
    shape = ov.PartialShape([-1, -1])
    try:
        with quiet(), torch.no_grad():
            graph: Model = ov.convert_model(
                Body().eval(),
                example_input=example,
                input=[(name, shape, ov.Type.i64) for name in ("input_ids", "attention_mask")],
            )
    except Exception as error:
        # Whatever the tracer, the model's code and the converter raise about what they cannot do.
        raise Unfit(f"OpenVINO cannot convert it: {type(error).__name__}: {str(error).strip()[:200]}") from error
    if len(graph.inputs) != 2:
        raise Unfit(f"its graph takes {len(graph.inputs)} inputs and not the ids and the mask")
    for node, name in zip(graph.inputs, _INPUTS, strict=False):
        node.set_names({name})
    return graph


def _soften(graph: Model) -> None:
    """Let masked tokens have a very low score in attention, and not minus infinity.

    In a model with sliding windows, padding far behind a text sees nothing at all. Its softmax over nothing is
    not a number here (torch makes it 0), and spreads to the text by the products of the next layer.
    """
    op = openvino().opset13
    soft: dict[str, Any] = {}
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "ScaledDotProductAttention" or node.get_input_size() < 4:
            continue
        mask = node.input_value(3)
        if mask.get_element_type().get_type_name() != "boolean":
            continue
        name = mask.get_node().get_friendly_name()
        if name not in soft:
            soft[name] = op.select(mask, np.float32(0), np.float32(-1e30))
        node.input(3).replace_source_output(soft[name].output(0))


def read_graph(path: Path) -> Model:
    """Read a file of ONNX or OpenVINO that holds the transformer.

    Raises:
        Unfit: it cannot be read, or takes and gives something else than a transformer for texts.
    """
    try:
        graph: Model = core().read_model(path)
    except RuntimeError as error:
        raise Unfit(f"OpenVINO cannot read {path.name}: {str(error).strip()[:200]}") from error
    names = {next(iter(node.get_names() & set(_INPUTS)), None) for node in graph.inputs}
    if None in names or "input_ids" not in names:
        raise Unfit(f"{path.name} takes other inputs than {', '.join(_INPUTS)}")
    for node in graph.inputs:
        node.set_names(node.get_names() & set(_INPUTS))
    return graph


def pooling_graph(graph: Model, pooling: Pooling) -> Model:
    """Put the pooling behind a transformer, so that a batch returns one row a text and not one a token.

    Where the prompt is left out of the pooling, the graph has one more input, ``pooled_mask``.

    Raises:
        Unfit: none of the outputs is a vector for each token.
    """
    ov = openvino()
    _soften(graph)
    outputs = [node for node in graph.outputs if node.partial_shape.rank.get_length() == 3]
    outputs.sort(key=lambda node: not (node.get_names() & set(_STATES)))
    if not outputs:
        raise Unfit("its graph has no output with a vector for each token")
    states = outputs[0].get_node().input_value(0)
    parameters = {next(iter(node.get_names())): node.get_node() for node in graph.inputs}
    given = list(parameters.values())
    if pooling.include_prompt and "attention_mask" in parameters:
        kept = parameters["attention_mask"]
    else:
        kept = ov.opset13.parameter([-1, -1], np.int64, "pooled_mask")
        kept.output(0).set_names({"pooled_mask"})
        given.append(kept)
    return ov.Model([pooled(states, kept, pooling.modes)], given, "encoder")


def quantise(graph: Model) -> None:
    """Make the matrices of linear layers int8 with a float32 scale for each row, in place.

    int8 with Convert and Multiply stays int8 in memory, and the runtime multiplies it as such.
    """
    op = openvino().opset13
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        matrix, transposed = _constant(node.input_value(1)), node.get_attributes()["transpose_b"]
        if matrix is None or matrix.ndim != 2 or node.get_attributes()["transpose_a"]:
            continue
        rows = matrix if transposed else matrix.T
        scales = np.maximum(np.abs(rows).max(axis=1, keepdims=True) / 127, 1e-12).astype(np.float32)
        codes = np.rint(rows / scales).astype(np.int8)
        small = op.multiply(op.convert(op.constant(codes), np.float32), op.constant(scales))
        node.output(0).replace(op.matmul(node.input_value(0), small, False, True).output(0))


def _constant(output: Any) -> Any:
    """The float array of a constant, or of one that is stored in half the size; None for what is computed."""
    node = output.get_node()
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant":
        return None
    data = node.data
    return data.astype(np.float32) if data.dtype in (np.float32, np.float16) else None
