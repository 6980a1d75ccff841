"""What an export says of itself, so that its vectors cannot come back into another space."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samespace.encoders.canaries import Canaries
from samespace.errors import InvalidInput
from samespace.space import Space

__all__ = ["KEY", "Header"]

KEY = "samespace"
"""Of a header among the metadata of a schema or a collection, and of its format's number within it."""

_FORMAT = 1


@dataclass(frozen=True)
class Header:
    """What an export says of itself.

    Attributes:
        encoder: name of the encoder that made the vectors, if there was one.
        canaries: what proves another encoder of the space, if it was kept.
    """

    space: Space
    encoder: str | None
    canaries: Canaries | None = None

    def to_json(self) -> str:
        values: dict[str, Any] = {KEY: _FORMAT, "space": self.space.to_dict(), "encoder": self.encoder}
        if self.canaries is not None:
            values["canaries"] = base64.b64encode(self.canaries.to_bytes()).decode()
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str | bytes, path: Path | str) -> Header:
        try:
            values = json.loads(text)
            version, space = values[KEY], Space.from_dict(values["space"])
            canaries = Canaries.from_bytes(base64.b64decode(values.get("canaries", ""), validate=True))
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(
                f"{path} does not begin with samespace's header ({error}), so the space of its vectors is not "
                "known. To add plain rows and encode them, index the file: samespace index FILE --text COLUMN."
            ) from None
        if version != _FORMAT:
            raise InvalidInput(f"{path} has format {version!r}; this samespace reads {_FORMAT}. Upgrade samespace.")
        return cls(space, values.get("encoder"), canaries)
