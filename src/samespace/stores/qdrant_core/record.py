"""What makes a collection of points one of samespace: its format, its space and its encoder's name."""

from __future__ import annotations

from typing import Any

from samespace.errors import CollectionCorrupt, InvalidInput
from samespace.space import Space

__all__ = ["MARK", "distance_of", "read_record", "record_of"]

MARK = "samespace"  # the key of the record among a collection's own metadata
_FORMAT = 1
# Qdrant's cosine would scale vectors to unit length again, and change their last bits.
_DISTANCES = {"cosine": "Dot", "dot": "Dot", "euclidean": "Euclid"}


def distance_of(space: Space) -> str:
    """Qdrant's name for how vectors of a space are compared."""
    return _DISTANCES[space.metric]


def record_of(space: Space, encoder: str | None) -> dict[str, Any]:
    """The record of a collection that is made."""
    return {"format": _FORMAT, "space": space.to_dict(), "encoder": encoder}


def read_record(record: Any, address: str) -> tuple[Space, str | None]:
    """Space and encoder of a collection that is there.

    Raises:
        InvalidInput: there is no record, so something else made the collection.
        CollectionCorrupt: the record cannot be read, or a newer samespace wrote it.
    """
    if record is None:
        raise InvalidInput(
            f"{address} is not a collection of samespace: it has no record of a space. It is left as it is. Choose "
            "another name, or import its rows into a new collection."
        )
    if not isinstance(record, dict) or type(record.get("format")) is not int:
        raise CollectionCorrupt(f"{address} has no readable record of its space. Restore it from a snapshot.")
    if record["format"] > _FORMAT:
        raise CollectionCorrupt(
            f"{address} has format {record['format']}, and this samespace knows up to {_FORMAT}. Upgrade samespace."
        )
    encoder = record.get("encoder")
    try:
        return Space.from_dict(record["space"]), encoder if isinstance(encoder, str) else None
    except (KeyError, InvalidInput) as error:
        raise CollectionCorrupt(
            f"{address} has no readable record of its space ({error}). Restore it from a snapshot."
        ) from error
