"""What a collection knows of itself, as objects of a second collection: one a note, its bytes as a blob."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID, uuid5

from weaviate import WeaviateClient
from weaviate.classes.data import DataObject
from weaviate.exceptions import UnexpectedStatusCodeError

from samespace.errors import CollectionCorrupt, InvalidInput
from samespace.stores.weaviate.failures import refusal, status_of
from samespace.stores.weaviate.reading import configuration
from samespace.stores.weaviate.schema import notes_definition, notes_name

__all__ = ["Notes"]


class Notes:
    """The notes of a collection. Their collection is made with the first of them.

    Args:
        made: of the collection's record.
        largest: bytes that a message may have.
    """

    def __init__(self, client: WeaviateClient, name: str, made: UUID, largest: int) -> None:
        self._client = client
        self._of = name
        self._name = notes_name(name)
        self._made = made
        self._largest = largest
        self._is_there = False

    def read(self, name: str) -> bytes | None:
        """What is kept under a name; None if nothing is."""
        if not self._exists():
            return None
        found = self._collection.query.fetch_object_by_id(uuid5(self._made, name), return_properties=["value"])
        if found is None:
            return None
        try:
            return base64.b64decode(found.properties["value"], validate=True)
        except (LookupError, ValueError, TypeError):
            raise CollectionCorrupt(f"The note {name!r} in {self._name!r} is not what was written there.") from None

    def keep(self, name: str, value: bytes, *, replace: bool) -> None:
        """Keep some bytes; without ``replace``, what is there stays.

        Raises:
            InvalidInput: they do not fit into a message.
        """
        text = base64.b64encode(value).decode()
        if len(text) + 1_000 > self._largest:
            raise InvalidInput(
                f"The note {name!r} has {len(value):,} bytes; this Weaviate takes messages of up to "
                f"{self._largest:,}. Raise GRPC_MAX_MESSAGE_SIZE there."
            )
        self._make()
        properties: dict[str, Any] = {"note": name, "value": text}
        uuid = uuid5(self._made, name)
        if replace:
            done = self._collection.data.insert_many([DataObject(properties=properties, uuid=uuid)])
            for error in done.errors.values():
                raise refusal(self._name, error.message)
            return
        try:
            self._collection.data.insert(properties, uuid=uuid)
        except UnexpectedStatusCodeError as error:
            if not (status_of(error) == 422 and "already exists" in str(error)):
                raise

    def drop(self) -> None:
        self._is_there = False
        if self._exists():
            self._client.collections.delete(self._name)
            self._is_there = False

    @property
    def _collection(self) -> Any:
        return self._client.collections.use(self._name)

    def _exists(self) -> bool:
        if not self._is_there:
            config = configuration(self._collection)
            if config is not None and config.description != notes_definition(self._of)["description"]:
                raise CollectionCorrupt(
                    f"{self._name!r} is where samespace keeps the notes of {self._of!r}, and something else made it. "
                    "Choose another name for the collection."
                )
            self._is_there = config is not None
        return self._is_there

    def _make(self) -> None:
        if self._exists():
            return
        try:
            self._client.collections.create_from_dict(notes_definition(self._of))
        except UnexpectedStatusCodeError:
            if not self._exists():  # another process was not quicker
                raise
        self._is_there = True
