"""Encoders: one room for everything that turns items into vectors of one space."""

from samespace.encoders.base import Encoder, Progress
from samespace.encoders.catalogue import MODELS, Model, model
from samespace.encoders.minilm import MiniLM
from samespace.encoders.static import StaticEncoder
from samespace.errors import InvalidInput

__all__ = ["MODELS", "Encoder", "Model", "Progress", "encoder"]

_KINDS: dict[str, type[MiniLM] | type[StaticEncoder]] = {"minilm": MiniLM, "static": StaticEncoder}


def encoder(name: str, *, threads: int | None = None) -> Encoder:
    """Make the encoder of that name in the catalogue. Cheap: weights are read when it first encodes.

    Args:
        name: of a row of :data:`MODELS`.
        threads: that it may use; None for all cores.

    Raises:
        NotFound: no encoder has that name; the message lists those that there are.
        InvalidInput: ``threads`` is not a positive int.
    """
    if threads is not None and (type(threads) is not int or threads < 1):
        raise InvalidInput(f"threads must be a positive int or None, got {threads!r}.")
    row = model(name)
    return _KINDS[row.kind](row, threads)
