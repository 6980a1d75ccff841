"""The encoder of a source's vectors, by what the source says of itself."""

from __future__ import annotations

from samespace import encoders
from samespace.encoders.base import Encoder
from samespace.errors import EncoderError, InvalidInput, NotFound, StorageError
from samespace.interchange.source import Source
from samespace.interchange.transfer import unknown

__all__ = ["encoder_of"]


def encoder_of(source: Source) -> Encoder | None:
    """The encoder that a source names, to open a new collection with; None where it names none.

    It is not proven yet: :func:`samespace.interchange.import_collection` does that.

    Raises:
        InvalidInput: it names one that would be asked for money, or turns to a stranger; pass it yourself.
        MissingExtra: it needs an extra that is not installed.
    """
    header = source.header
    if header is not None:
        model = encoders.MODELS.get(header.encoder or "")
        return encoders.encoder(model.name) if model is not None and model.space == header.space else None
    name = source.recorded.encoder
    if name is None:
        return None
    try:
        encoders.check_familiar(name)
        made = encoders.encoder(name)
    except (NotFound, StorageError, EncoderError, InvalidInput) as error:
        raise InvalidInput(f"{unknown(source, None)} It cannot be opened unasked: {error}") from error
    if made.paid:
        raise InvalidInput(f"{unknown(source, None)} It is not used unasked, since that costs money.")
    return made
