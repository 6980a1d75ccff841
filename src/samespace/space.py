"""What makes two vectors comparable, as a value."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, get_args

from samespace.errors import InvalidInput, SpaceMismatch

__all__ = ["Metric", "Role", "Space"]

Metric = Literal["cosine", "dot", "euclidean"]
Role = Literal["document", "query"]

_MAX_DIMENSION = 65_536
_LAYERS = re.compile(r"(mean|join)\(\d+(,\d+)+\)")


@dataclass(frozen=True, eq=False)
class Space:
    """The space that an encoder's vectors live in. Two vectors may meet only if their spaces are equal.

    Equality and hash go by :attr:`id`, which depends on nothing but the fields: not on the machine, the
    Python version or the order in which prompts were given.

    Args:
        model: name of the model, as people know it (``"sentence-transformers/all-MiniLM-L6-v2"``).
        dimension: length of every vector.
        metric: the comparison that the model was trained for.
        digest: content digest of weights and tokenizer (``"sha256:…"``); None where nobody can know it,
            such as vectors that were made elsewhere.
        layer: the hidden layer that the vectors were taken from, 0 being the embeddings; several as
            ``"mean(11,12)"`` or ``"join(9,12)"``; None for the model's own output.
        pooling: how token vectors became one (``"mean"``, ``"cls"``, …); None where there are no tokens.
        prompts: the text put in front of an item, by role. A role that is left out has none.
        normalized: the encoder's vectors have unit length.
        tasks: the name by which a model or a provider is told an item's role (``"search_query"``), by role.
        library: what else the vectors depend on, with its version; None for most, which do not.

    Raises:
        InvalidInput: a field is of the wrong type or out of range.
    """

    model: str
    dimension: int
    metric: Metric = "cosine"
    digest: str | None = None
    layer: int | str | None = None
    pooling: str | None = None
    prompts: Mapping[Role, str] = field(default_factory=dict)
    normalized: bool = False
    tasks: Mapping[Role, str] = field(default_factory=dict)
    library: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model.strip():
            raise InvalidInput(f"Space.model must be a name, got {self.model!r}.")
        if type(self.dimension) is not int or not 1 <= self.dimension <= _MAX_DIMENSION:
            raise InvalidInput(f"Space.dimension must be an int from 1 to {_MAX_DIMENSION:,}, got {self.dimension!r}.")
        if self.metric not in get_args(Metric):
            raise InvalidInput(f"Space.metric must be one of {', '.join(get_args(Metric))}; got {self.metric!r}.")
        for name in ("digest", "pooling", "library"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise InvalidInput(f"Space.{name} must be a str or None, got {value!r}.")
        if not (self.layer is None or type(self.layer) is int or _is_layers(self.layer)):
            expected = "an int, a text such as 'mean(11,12)', or None"
            raise InvalidInput(f"Space.layer must be {expected}; got {self.layer!r}.")
        if type(self.normalized) is not bool:
            raise InvalidInput(f"Space.normalized must be a bool, got {self.normalized!r}.")
        for name in ("prompts", "tasks"):
            self._check_by_role(name)

    def _check_by_role(self, name: str) -> None:
        by_role = getattr(self, name)
        if not isinstance(by_role, Mapping):
            raise InvalidInput(f"Space.{name} maps 'document' and 'query' to text, got {by_role!r}.")
        for role, text in by_role.items():
            if role not in get_args(Role) or not isinstance(text, str):
                raise InvalidInput(f"Space.{name} maps 'document' and 'query' to text, got {role!r}: {text!r}.")
        # An empty text means that none is declared, so both spellings are one space.
        object.__setattr__(self, name, MappingProxyType({role: text for role, text in by_role.items() if text}))

    @cached_property
    def canonical(self) -> str:
        """The one JSON text of this space: keys sorted, fields without a value left out."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @cached_property
    def id(self) -> str:
        """32 hexadecimal digits: the beginning of the SHA-256 of :attr:`canonical`."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()[:32]

    def to_dict(self) -> dict[str, Any]:
        """The fields that have a value, as JSON types. :meth:`from_dict` is the way back."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("prompts", "tasks"):
            values[name] = dict(values[name]) or None
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Space:
        """Make a space from :meth:`to_dict`'s result.

        Raises:
            InvalidInput: a field is unknown, missing or wrong.
        """
        if not isinstance(values, Mapping):
            raise InvalidInput(f"A space is a mapping of its fields, got {type(values).__name__}.")
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise InvalidInput(
                f"A space has no field {', '.join(map(repr, unknown))}; the fields are "
                f"{', '.join(sorted(known))}. A newer samespace may have written it."
            )
        try:
            return cls(**values)
        except TypeError as error:
            raise InvalidInput(f"A space needs 'model' and 'dimension', got {dict(values)!r}.") from error

    def require(self, other: Space, action: str) -> None:
        """Raise unless ``other`` is this space.

        Args:
            other: the space that wants to meet this one.
            action: what was about to happen, to end the sentence "Cannot …".

        Raises:
            SpaceMismatch: naming every field that differs, with both values.
        """
        if other == self:
            return
        if not isinstance(other, Space):
            raise InvalidInput(f"Cannot {action}: expected a Space, got {type(other).__name__}.")
        ours, theirs = self.to_dict(), other.to_dict()
        differing = [name for name in (f.name for f in fields(self)) if ours.get(name) != theirs.get(name)]
        pairs = "; ".join(f"{name}: {ours.get(name)!r} against {theirs.get(name)!r}" for name in differing)
        raise SpaceMismatch(
            f"Cannot {action}: the spaces differ in {pairs}. "
            "Vectors of two spaces cannot be compared; encode again with one encoder."
        )

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Space) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        return f"{self.model} ({self.dimension}-d, {self.metric}, {self.id[:8]})"

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy cannot be pickled; the fields as JSON types can.
        return (Space.from_dict, (self.to_dict(),))


def _is_layers(value: object) -> bool:
    return isinstance(value, str) and _LAYERS.fullmatch(value) is not None
