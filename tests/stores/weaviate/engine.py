"""What the test server answers from: classes, objects and their inverted index, with exact vectors.

It is built to Weaviate's documents and to what its server is known to do, and it is strict: what it does not know, it
refuses. Two things are as unkind as the real one may be: hits of equal distance come newest first, and a negated filter
takes deleted documents along, which counts then count (https://github.com/weaviate/weaviate/issues/10260).
"""

from __future__ import annotations

import base64
import math
import re
import threading
import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from weaviate.proto.v1 import base_pb2

__all__ = ["Class", "Refused"]

_CLASS = re.compile(r"[A-Z][_0-9A-Za-z]{0,254}")
_PROPERTY = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,230}")
_RESERVED = ("_additional", "_id", "id")
_TYPES = ("text", "text[]", "int", "number", "boolean", "blob")
_CLASS_KEYS = {"class", "description", "properties", "vectorConfig", "invertedIndexConfig"}
_PROPERTY_KEYS = {
    "name", "description", "dataType", "tokenization", "indexFilterable", "indexSearchable", "indexRangeFilters",
}  # fmt: skip
_HNSW = {
    "distance": "cosine", "skip": False, "cleanupIntervalSeconds": 300, "maxConnections": 32, "efConstruction": 128,
    "ef": -1, "dynamicEfMin": 100, "dynamicEfMax": 500, "dynamicEfFactor": 8, "vectorCacheMaxObjects": 1e12,
    "flatSearchCutoff": 40_000, "filterStrategy": "sweeping", "skipDefaultQuantization": False,
}  # fmt: skip
_INVERTED = {"indexNullState", "indexPropertyLength", "indexTimestamps", "stopwords", "bm25", "cleanupIntervalSeconds"}
_ENGLISH = {"a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not",
            "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was",
            "will", "with"}  # fmt: skip

F = base_pb2.Filters


class Refused(Exception):
    """What was asked is wrong, in the server's words."""


@dataclass(eq=False)
class Document:
    uuid: str
    properties: dict[str, Any]
    vector: np.ndarray | None
    created: int = field(default_factory=lambda: time.time_ns() // 1_000_000)


def _words(text: str) -> list[str]:
    """Tokenization ``word``."""
    return re.sub(r"[\W_]+", " ", text.lower()).split()


class Class:
    """A collection. Documents have numbers that grow; one that is deleted or replaced leaves its number empty."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.lock = threading.RLock()
        self.name = asked["class"]
        self.properties = {each["name"]: each for each in asked.get("properties", [])}
        self.documents: list[Document | None] = []
        self.numbers: dict[str, int] = {}
        self.postings: dict[str, dict[Any, set[int]]] = {}
        self._sorted: dict[str, list[Any]] = {}
        self._matrix: tuple[list[int], np.ndarray] | None = None
        self.schema = self._checked(asked)
        self.dimension = 0

    def _checked(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The schema as the server gives it back, with its defaults."""
        _only(asked, _CLASS_KEYS)
        if not _CLASS.fullmatch(self.name):
            raise Refused(f"'{self.name}' is not a valid class name")
        for name, each in self.properties.items():
            _only(each, _PROPERTY_KEYS)
            kind = each["dataType"][0]
            if not _PROPERTY.fullmatch(name) or name in _RESERVED:
                raise Refused(f"'{name}' is not a valid property name")
            if kind not in _TYPES:
                raise Refused(f"property '{name}': data type '{kind}' is not known")
            is_text = kind.startswith("text")
            if each.get("tokenization", "word" if is_text else "") not in (("word", "field") if is_text else ("",)):
                raise Refused(f"Tokenization is not allowed for data type '{kind}', or not known")
            if each.get("indexSearchable") and not is_text:
                raise Refused(f"`indexSearchable` is not allowed for data type '{kind}'")
            if each.get("indexRangeFilters") and kind not in ("int", "number", "date"):
                raise Refused(f"`indexRangeFilters` is not allowed for data type '{kind}'")
            each.setdefault("indexFilterable", kind != "blob")
            each.setdefault("indexSearchable", is_text)
            each.setdefault("indexRangeFilters", False)
            if is_text:
                each.setdefault("tokenization", "word")
        (self.vector_name, vector), *others = asked["vectorConfig"].items()
        if others or vector["vectorizer"] != {"none": {}} or vector["vectorIndexType"] != "hnsw":
            raise Refused("this server has one vector of one's own, with an index hnsw")
        index = vector.get("vectorIndexConfig", {})
        _only(index, set(_HNSW))
        index = {**_HNSW, **index}
        self.distance = index["distance"]
        if self.distance not in ("dot", "l2-squared", "cosine"):
            raise Refused(f"unrecognized or unsupported distance metric '{self.distance}'")
        inverted = asked.get("invertedIndexConfig", {})
        _only(inverted, _INVERTED)
        stopwords = {"preset": "en", "additions": None, "removals": None, **inverted.get("stopwords", {})}
        self.stopwords = _ENGLISH if stopwords["preset"] == "en" else set()
        self.has_nulls = inverted.get("indexNullState", False)
        return {
            **asked,
            "vectorConfig": {self.vector_name: {**vector, "vectorIndexConfig": index}},
            "invertedIndexConfig": {
                "bm25": {"b": 0.75, "k1": 1.2}, "cleanupIntervalSeconds": 60, **inverted, "stopwords": stopwords,
            },
            "multiTenancyConfig": {"enabled": False},
            "replicationConfig": {"factor": 1, "asyncEnabled": False},
            "shardingConfig": {
                "virtualPerPhysical": 128, "desiredCount": 1, "actualCount": 1, "desiredVirtualCount": 128,
                "actualVirtualCount": 128, "key": "_id", "strategy": "hash", "function": "murmur3",
            },
        }  # fmt: skip

    # Writing

    def put(self, uuid: str, properties: dict[str, Any], vector: np.ndarray | None) -> None:
        try:
            uuid = str(UUID(uuid))
        except ValueError:
            raise Refused(f"invalid UUID: '{uuid}'") from None
        properties = {name: self._typed(name, value) for name, value in properties.items() if value is not None}
        with self.lock:
            if vector is not None:
                if self.dimension and len(vector) != self.dimension:
                    raise Refused(
                        f"new node has a vector with length {len(vector)}. Existing nodes have vectors with length "
                        f"{self.dimension}; vector lengths don't match"
                    )
                self.dimension = len(vector)
            self.delete(uuid)
            number = len(self.documents)
            self.documents.append(Document(uuid, properties, vector))
            self.numbers[uuid] = number
            for name, token in self._tokens(properties):
                rows = self.postings.setdefault(name, {}).get(token)
                if rows is None:
                    rows = self.postings[name][token] = set()
                    self._sorted.pop(name, None)
                rows.add(number)
            self._matrix = None

    def delete(self, uuid: str) -> bool:
        with self.lock:
            number = self.numbers.pop(uuid, None)
            if number is None:
                return False
            gone = self.documents[number]
            self.documents[number] = None
            for name, token in self._tokens(gone.properties):
                rows = self.postings[name][token]
                rows.discard(number)
                if not rows:
                    del self.postings[name][token]
                    self._sorted.pop(name, None)
            self._matrix = None
            return True

    def _typed(self, name: str, value: Any) -> Any:
        kind = self.property(name)["dataType"][0]
        if kind in ("int", "number") and isinstance(value, float | int) and not isinstance(value, bool):
            if kind == "number":
                return float(value)
            if value == int(value):
                return int(value)
        elif kind == "text[]" and isinstance(value, list) and all(isinstance(one, str) for one in value):
            return value
        elif kind == "blob" and isinstance(value, str):
            base64.b64decode(value, validate=True)
            return value
        elif isinstance(value, {"text": str, "boolean": bool}.get(kind, ())):
            return value
        raise Refused(f"invalid {kind} property '{name}' on class '{self.name}': not a {kind}, but {type(value)}")

    def _tokens(self, properties: dict[str, Any]):
        for name, each in self.properties.items():
            if not each["indexFilterable"]:
                continue
            value = properties.get(name)
            if self.has_nulls:
                yield f"{name}_null", value is None or value in ("", [])
            if value is None:
                continue
            for one in value if isinstance(value, list) else [value]:
                yield from ((name, token) for token in self._split(each, one))

    @staticmethod
    def _split(each: dict[str, Any], value: Any) -> list[Any]:
        if not isinstance(value, str):
            return [value]
        return _words(value) if each["tokenization"] == "word" else [value.strip()]

    def property(self, name: str) -> dict[str, Any]:
        if name not in self.properties:
            raise Refused(f"no such prop with name '{name}' found in class '{self.name}' in the schema")
        return self.properties[name]

    # Filters

    def matching(self, asked: F) -> set[int]:
        """Numbers of documents, and of deleted ones where the filter negates."""
        everything = set(range(len(self.documents)))
        parts = asked.filters
        if asked.operator in (F.OPERATOR_AND, F.OPERATOR_OR, F.OPERATOR_NOT):
            if not parts:
                raise Refused("no children for operator")
            found = [self.matching(part) for part in parts]
            if asked.operator == F.OPERATOR_AND:
                return set.intersection(*found)
            if asked.operator == F.OPERATOR_OR:
                return set.union(*found)
            if len(found) > 1:
                raise Refused(f"too many children for operator Not. Expected 1, given {len(found)}")
            return everything - found[0]
        if asked.target.WhichOneof("target") != "property":
            raise Refused("unknown target type")
        name, value = asked.target.property, self._value(asked)
        if asked.operator == F.OPERATOR_IS_NULL:
            self.property(name)
            if not self.has_nulls:
                raise Refused("Nullstate must be indexed to be filterable! Add `indexNullState: true`")
            if not isinstance(value, bool):
                raise Refused("operator IsNull requires a booleanValue")
            return set(self.postings.get(f"{name}_null", {}).get(value, ()))
        many = {F.OPERATOR_CONTAINS_ANY: set.union, F.OPERATOR_CONTAINS_ALL: set.intersection}
        if asked.operator in (*many, F.OPERATOR_CONTAINS_NONE):
            if not isinstance(value, list) or not value:
                raise Refused("value type should be an array of one or more")
            if name == "_id" and asked.operator == F.OPERATOR_CONTAINS_ANY:
                return {self.numbers[one] for one in value if one in self.numbers}
            join = many.get(asked.operator, set.union)
            found = join(*(self._compared(name, F.OPERATOR_EQUAL, one) for one in value))
            return everything - found if asked.operator == F.OPERATOR_CONTAINS_NONE else found
        if asked.operator == F.OPERATOR_NOT_EQUAL:
            return everything - self._compared(name, F.OPERATOR_EQUAL, value)
        return self._compared(name, asked.operator, value)

    @staticmethod
    def _value(asked: F) -> Any:
        field = asked.WhichOneof("test_value")
        if field is None:
            raise Refused("unknown value type <nil>")
        value = getattr(asked, field)
        return list(value.values) if field.endswith("_array") else value

    def _compared(self, name: str, operator: int, value: Any) -> set[int]:
        if name == "_id":
            if operator != F.OPERATOR_EQUAL or not isinstance(value, str):
                raise Refused("this server compares _id by Equal only")
            return {self.numbers[value]} if value in self.numbers else set()
        each = self.property(name)
        kind = each["dataType"][0].removesuffix("[]")
        if not each["indexFilterable"]:
            raise Refused(f"Filtering by property '{name}' requires inverted index. Is `indexFilterable` option set?")
        if type(value) is not {"text": str, "int": int, "number": float, "boolean": bool}.get(kind):
            raise Refused(f'data type filter cannot use "{type(value).__name__}" on type "{kind}"')
        if operator == F.OPERATOR_LIKE:
            return self._like(name, value.strip())
        terms = [term for term in self._split(each, value) if term not in self.stopwords or kind != "text"]
        if not terms:
            raise Refused("invalid search term, only stopwords provided")
        if operator == F.OPERATOR_EQUAL:
            return set.intersection(*(set(self.postings.get(name, {}).get(term, ())) for term in terms))
        holds = {
            F.OPERATOR_GREATER_THAN: "__gt__", F.OPERATOR_GREATER_THAN_EQUAL: "__ge__", F.OPERATOR_LESS_THAN: "__lt__",
            F.OPERATOR_LESS_THAN_EQUAL: "__le__",
        }  # fmt: skip
        if operator not in holds or kind != "int":
            raise Refused(f"unknown filter operator {operator}, or not for {kind} in this server")
        test = holds[operator]
        rows = (rows for token, rows in self.postings.get(name, {}).items() if getattr(token, test)(value))
        return set().union(*rows)

    def _like(self, name: str, value: str) -> set[int]:
        start = re.split(r"[*?]", value, maxsplit=1)[0]
        pattern = re.compile(value.replace("?", ".").replace("*", ".*"))  # as old servers: nothing is escaped
        tokens = self._sorted.get(name)
        if tokens is None:
            tokens = self._sorted[name] = sorted(self.postings.get(name, {}))
        found: set[int] = set()
        for token in tokens[bisect_left(tokens, start) :]:
            if not token.startswith(start):
                break
            if pattern.fullmatch(token):
                found |= self.postings[name][token]
        return found

    # Reading

    def alive(self, numbers: set[int] | None) -> list[int]:
        if numbers is None:
            return sorted(self.numbers.values())
        return sorted(number for number in numbers if self.documents[number] is not None)

    def nearest(self, query: np.ndarray, numbers: set[int] | None, limit: int) -> list[tuple[int, float]]:
        if self.dimension and len(query) != self.dimension:
            raise Refused(f"vector search: vector lengths don't match: {self.dimension} vs {len(query)}")
        if self._matrix is None:
            rows = [number for number in self.alive(None) if self.documents[number].vector is not None]
            vectors = [self.documents[number].vector for number in rows]
            self._matrix = rows, np.stack(vectors) if rows else np.empty((0, len(query)), np.float32)
        rows, matrix = self._matrix
        if self.distance == "l2-squared":
            distances = ((matrix - query) ** 2).sum(axis=1)
        elif self.distance == "dot":
            # One by one, so that equal vectors have equal distances whatever stands beside them.
            distances = -np.einsum("nd,d->n", matrix, query)
        else:
            raise Refused(f"this server does not search by {self.distance}")
        at = np.arange(len(rows))
        if numbers is not None:
            at = np.array([place for place, number in enumerate(rows) if number in numbers], np.int64)
        best = at[np.lexsort((-at, distances[at]))][:limit]
        return [(rows[place], float(distances[place])) for place in best]

    def by_words(self, query: str, names: list[str], numbers: set[int] | None, limit: int) -> list[tuple[int, float]]:
        """BM25 of the words, any of them."""
        for name in names:
            if not self.property(name)["indexSearchable"]:
                raise Refused(f"bm25 search: property '{name}' is not searchable")
        terms = {word for word in _words(query) if word not in self.stopwords}
        texts = {
            number: Counter(_words(" ".join(str(self.documents[number].properties.get(name, "")) for name in names)))
            for number in self.alive(None)
        }
        mean = sum(map(Counter.total, texts.values())) / max(len(texts), 1)
        holding = {term: sum(term in counts for counts in texts.values()) for term in terms}
        scored = []
        for number, counts in texts.items():
            if numbers is not None and number not in numbers:
                continue
            score = 0.0
            for term in terms & set(counts):
                rarity = math.log(1 + (len(texts) - holding[term] + 0.5) / (holding[term] + 0.5))
                score += rarity * counts[term] * 2.2 / (counts[term] + 1.2 * (0.25 + 0.75 * counts.total() / mean))
            if score > 0:
                scored.append((number, score))
        return sorted(scored, key=lambda each: (-each[1], -each[0]))[:limit]


def _only(asked: dict[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(asked) - known):
        raise Refused(f"this server does not know {', '.join(unknown)}")
