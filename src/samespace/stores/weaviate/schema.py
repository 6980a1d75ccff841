"""What a collection is in Weaviate: its properties, its index, and the record in its description.

The record is JSON: format, space, encoder, and a name of the making. It is part of the one request that makes the
collection, so there is no collection without it, however the making ends. Notes are objects of a second collection,
``<Name>_samespace``, whose uuids have the name of the making in them: when a collection is deleted by other means and
made again, it does not meet the notes of the old one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from samespace.errors import CollectionCorrupt, InvalidInput
from samespace.space import Space
from samespace.stores.weaviate.filters import FIELDS, RANGES

__all__ = ["VECTOR", "Record", "check_name", "definition", "index_of", "notes_definition", "notes_name", "problems"]

VECTOR = "default"  # the name of the vector, which Weaviate gives to the only one too
_FORMAT = 1
_NAME = re.compile(r"[A-Z][_0-9A-Za-z]{0,199}")
# Weaviate's cosine normalises what it stores; the inner product of unit vectors is the same, and leaves their bytes.
_DISTANCES = {"cosine": "dot", "dot": "dot", "euclidean": "l2-squared"}


@dataclass(frozen=True)
class Record:
    """What the collection's description says.

    Attributes:
        made: the name of the making.
    """

    space: Space
    encoder: str | None
    made: UUID

    @classmethod
    def new(cls, space: Space, encoder: str | None) -> Record:
        return cls(space, encoder, uuid4())

    def to_text(self) -> str:
        fields = {"samespace": _FORMAT, "space": self.space.to_dict(), "encoder": self.encoder, "made": self.made.hex}
        return json.dumps(fields, ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str | None, address: str) -> Record:
        """Read a description.

        Raises:
            CollectionCorrupt: samespace did not write it, or a newer one did.
        """
        try:
            fields = json.loads(text or "")
            number = fields["samespace"]
        except (ValueError, TypeError, LookupError):
            raise CollectionCorrupt(
                f"{address} is not a collection of samespace: its description has no record of a space. "
                "Choose another name."
            ) from None
        if not isinstance(number, int) or number > _FORMAT:
            raise CollectionCorrupt(
                f"{address} has format {number!r}; this samespace reads up to {_FORMAT}. Upgrade samespace."
            )
        try:
            return cls(Space.from_dict(fields["space"]), fields["encoder"], UUID(fields["made"]))
        except (ValueError, LookupError, AttributeError) as error:  # InvalidInput is a ValueError
            raise CollectionCorrupt(
                f"The description of {address} has no readable record of its space ({error}); something else changed "
                "it. Write it back from a backup."
            ) from error


def check_name(name: str, address: str) -> str:
    """The name, if Weaviate takes it as it is: it would turn a small first letter into a capital one.

    Raises:
        InvalidInput: it does not.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{address}: a collection of Weaviate begins with a capital letter, and has up to 200 letters A-Z, digits "
            f"and underscores; got {name!r}. Write weaviate://host:8080/Notes."
        )
    return name


def notes_name(name: str) -> str:
    """The collection of a collection's notes."""
    return f"{name}_samespace"


def definition(name: str, record: Record) -> dict[str, Any]:
    """The collection, as Weaviate's REST takes it."""
    tokens = {"dataType": ["text[]"], "tokenization": "field", "indexFilterable": True, "indexSearchable": False}
    token = {**tokens, "dataType": ["text"]}
    kept = {"indexFilterable": False, "indexSearchable": False}
    properties = [
        {"name": "row_id", "description": "id of the row", **token},
        {
            "name": "content",
            "description": "text of the row",
            "dataType": ["text"],
            "tokenization": "word",
            "indexFilterable": False,
            "indexSearchable": True,
        },
        {"name": "metadata", "description": "JSON, as it was given", "dataType": ["text"], **kept},
        {"name": FIELDS, "description": "the metadata's keys and values, to filter by", **tokens},
        {"name": RANGES, "description": "the metadata's numbers and texts in digits of their order", **tokens},
        {
            "name": "seq",
            "description": "grows from row to row",
            "dataType": ["int"],
            "indexFilterable": True,
            "indexRangeFilters": True,
        },
        {"name": "tokens_seen", "dataType": ["int"], "indexFilterable": False},
        {"name": "tokens_total", "dataType": ["int"], "indexFilterable": False},
        {"name": "truncated", "dataType": ["boolean"], "indexFilterable": True},
        {"name": "seal", "description": "binds id, content and vector to the space", **token},
    ]
    return {
        "class": name,
        "description": record.to_text(),
        "properties": properties,
        "vectorConfig": {
            VECTOR: {
                "vectorizer": {"none": {}},
                "vectorIndexType": "hnsw",
                # Scores are those of the vectors, also where the server quantises by default.
                "vectorIndexConfig": {
                    "distance": _DISTANCES[record.space.metric],
                    "skipDefaultQuantization": True,
                },
            }
        },
        "invertedIndexConfig": {"indexNullState": True, "stopwords": {"preset": "none"}},
    }


def notes_definition(name: str) -> dict[str, Any]:
    """The collection of a collection's notes."""
    return {
        "class": notes_name(name),
        "description": f"What samespace notes of {name}.",
        "properties": [
            {"name": "note", "dataType": ["text"], "tokenization": "field", "indexSearchable": False},
            {"name": "value", "dataType": ["blob"]},
        ],
        "vectorConfig": {VECTOR: {"vectorizer": {"none": {}}, "vectorIndexType": "hnsw"}},
    }


def index_of(config: Any) -> Any:
    """The configuration of the vector index, in that of a collection; None if there is none."""
    vector = (config.vector_config or {}).get(VECTOR)
    return getattr(vector, "vector_index_config", None)


def problems(config: Any, record: Record) -> list[str]:
    """What of a collection's configuration does not fit its record, a sentence each.

    Args:
        config: as the client gives it.
        record: of the collection.
    """
    found = []
    wanted = definition("", record)
    types = {each.name: each.data_type.value for each in config.properties}
    for each in wanted["properties"]:
        expected, actual = each["dataType"][0], types.get(each["name"])
        if actual != expected:
            found.append(f"The property {each['name']!r} is {actual or 'not there'}, not {expected}.")
    distance = getattr(index_of(config), "distance_metric", None)
    if distance is None or distance.value != _DISTANCES[record.space.metric]:
        found.append(
            f"The index compares by {getattr(distance, 'value', None)}; a space of metric {record.space.metric} needs "
            f"{_DISTANCES[record.space.metric]}."
        )
    if not config.inverted_index_config.index_null_state:
        found.append("The inverted index has no null states; filters that negate need them.")
    return found
