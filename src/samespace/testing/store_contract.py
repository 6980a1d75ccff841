"""What every store must keep, as a suite for pytest. The oracle is float64 arithmetic and plain Python.

class TestMyStore(StoreContract):
    gaps = {"test_finds_words": Gap(Unsupported, "has no full text")}

    @pytest.fixture
    def place(self, tmp_path):
        return f"my-store:{tmp_path / 'notes'}"
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samespace.errors import (
    CollectionClosed,
    InvalidInput,
    InvalidVectors,
    NotFound,
    SamespaceError,
    SpaceMismatch,
    Unsupported,
)
from samespace.hits import Hit
from samespace.keeping.copy import copy_rows
from samespace.opening import open as open_collection
from samespace.opening import stand
from samespace.space import Metric, Space
from samespace.stores import connect
from samespace.stores.base import EXACT, Block, Store, parsed, seals
from samespace.testing.encoder import CharacterEncoder
from samespace.testing.strategies import metadata, wheres
from samespace.vectors import Matrix, unit
from samespace.where import Condition, parse

__all__ = ["Gap", "StoreContract", "block_of", "space_of"]

_METRICS: tuple[Metric, ...] = ("cosine", "dot", "euclidean")
_metrics = pytest.mark.parametrize("metric", _METRICS)
_quiet = list(HealthCheck)

# Rows that a filter is tried on: every kind of value, and every way of not having one.
_YEARS: list[dict[str, Any]] = [
    {"year": 2023, "lang": "en"},
    {"year": 2024.0, "lang": "de", "tags": ["new", "old"]},
    {"year": 2024.5, "lang": "EN", "tags": []},
    {"year": "2024", "draft": True},
    {"year": None, "draft": False},
    {"year": [2022, 2025], "draft": 1},
    {"year": True, "lang": "é"},
    {"lang": "\U0001f600"},
    {"year": {"from": 2024}, "lang": "\uffff"},
    {},
]
_FILTERS: dict[str, dict[str, Any]] = {
    "$eq number": {"year": 2024},
    "$eq text": {"lang": "en"},
    "$eq boolean": {"draft": True},
    "$eq null": {"year": None},
    "$ne": {"year": {"$ne": 2024}},
    "$gt": {"year": {"$gt": 2023}},
    "$gte": {"year": {"$gte": 2024}},
    "$lt": {"year": {"$lt": 2024}},
    "$lte": {"year": {"$lte": 2024}},
    "range of numbers": {"year": {"$gte": 2024, "$lt": 2025}},
    "range of texts": {"lang": {"$gte": "de", "$lt": "é"}},
    "$in": {"year": {"$in": [2023, "2024", None]}},
    "$nin": {"lang": {"$nin": ["en", "de"]}},
    "$exists": {"tags": {"$exists": True}},
    "not $exists": {"year": {"$exists": False}},
    "element of a list": {"tags": "new"},
    "$and": {"$and": [{"year": {"$gte": 2023}}, {"lang": "en"}]},
    "$or": {"$or": [{"lang": "en"}, {"draft": True}]},
    "$not of a field": {"year": {"$not": {"$gte": 2024}}},
    "$not": {"$not": {"$or": [{"lang": "en"}, {"tags": "new"}]}},
}
_HELD: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "no content": ("1", None, {}),
    "empty content": ("1", "", {}),
    "long content": ("1", "word " * 40_000, {}),
    "long id": ("x" * 2_000, "text", {}),
    "any id": ('it\'s "so"; DROP TABLE rows; -- \\ % / ? # \U0001f600 é\n', "text", {}),
    "NUL in a content": ("1", "a\0b", {}),
    "NUL in a value": ("1", "text", {"a": "x\0y"}),
    "nested values": ("1", "text", {"a": {"b": [1, {"c": None}]}, "d": [[1, 2], []], "e": {}}),
    "mixed lists": ("1", "text", {"a": [1, "1", True, None, 1.5]}),
    "any key": ("1", "text", {"a.b": 1, "": 2, 'it\'s "so"': 3, "$eq": 4, "größe": 5, "id": 6, "content": 7}),
    "64-bit integers": ("1", "text", {"a": 2**63 - 1, "b": -(2**63), "c": 2**53 + 1}),
    "integers of any size": ("1", "text", {"a": 2**70}),
    "any float": ("1", "text", {"a": 1e300, "b": 5e-324, "c": 0.1, "d": 1.0, "e": -0.0, "f": 1e22}),
    "many keys": ("1", "text", {f"key {n}": n for n in range(300)}),
}
# What is a cursor to no engine.
_NO_CURSORS = (
    *("", "nonsense", "\0", "-", "1.5", "\u00b2", "12:34", "seq:", "seq:x", "seq:\u00b2", "row:-1", "id:x", "uuid:x"),
    *("9" * 30, f"seq:{'9' * 30}", f"row:{'9' * 5_000}"),
)


class Gap(NamedTuple):
    """What an engine cannot do: the error that says so, and why."""

    error: type[BaseException]
    reason: str


def space_of(dimension: int = 8, metric: Metric = "cosine") -> Space:
    """A space of vectors that are made elsewhere."""
    return Space("samespace/contract", dimension, metric)


def block_of(
    n: int,
    space: Space | None = None,
    *,
    first: int = 0,
    contents: Sequence[str | None] | None = None,
    metadata: Sequence[Mapping[str, Any]] | None = None,
    seed: int = 0,
) -> Block:
    """Rows with ids ``"0"``, ``"1"``, … from ``first``, and random vectors."""
    space = space or space_of()
    vectors = np.random.default_rng(seed + first).standard_normal((n, space.dimension)).astype(np.float32)
    names = [str(row) for row in range(first, first + n)]
    return Block(
        names,
        list(contents) if contents is not None else [f"text {name}" for name in names],
        [json.dumps(dict(each)) for each in metadata] if metadata is not None else ["{}"] * n,
        unit(vectors) if space.metric == "cosine" else vectors,
        [(int(name) % 7 + 1, 5) for name in names],
    )


def _one(name: str, content: str | None, fields: Mapping[str, Any]) -> Block:
    whole = block_of(1, contents=[content], metadata=[fields])
    return Block([name], whole.contents, whole.metadata, whole.vectors, whole.tokens)


def _all(store: Store, condition: Condition | None = None) -> dict[str, dict[str, Any]]:
    """Metadata by id, as a scan gives them."""
    found: dict[str, dict[str, Any]] = {}
    for block, _ in store.scan(condition):
        assert len(block)
        for name, fields in zip(block.ids, parsed(block.metadata, block.ids), strict=True):
            assert name not in found
            found[name] = fields
    return found


def _scores(query: Matrix, vectors: Matrix, metric: Metric) -> np.ndarray[Any, np.dtype[np.float64]]:
    rows, one = vectors.astype(np.float64), query.astype(np.float64)
    scores: np.ndarray[Any, np.dtype[np.float64]]
    scores = -np.linalg.norm(rows - one, axis=1) if metric == "euclidean" else rows @ one
    return scores


def _equal(found: Block, expected: Block) -> None:
    assert found.ids == expected.ids
    assert found.contents == expected.contents
    assert parsed(found.metadata, found.ids) == parsed(expected.metadata, expected.ids)
    assert found.tokens == expected.tokens
    assert found.vectors.dtype == np.float32
    assert found.vectors.tobytes() == expected.vectors.tobytes()


class StoreContract:
    """The suite. A subclass says where its store is, and what its engine cannot do."""

    gaps: ClassVar[Mapping[str, Gap]] = {}
    """By the test's name, with its parameter in brackets or without."""

    @pytest.fixture
    def place(self) -> str:
        """A place where nothing is."""
        raise NotImplementedError

    def connect(self, place: str, space: Space | None = None, encoder: str | None = None) -> Store:
        """Open a store, or make it."""
        return connect(place, space, encoder=encoder)

    def small_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let stores that are opened from now on scan in blocks of some hundreds of rows, if they take more."""

    @pytest.fixture(autouse=True)
    def _gap(self, request: pytest.FixtureRequest) -> None:
        name: str = request.node.name
        gap = self.gaps.get(name) or self.gaps.get(name.partition("[")[0])
        if gap is not None:
            mark = pytest.mark.xfail(raises=gap.error, reason=gap.reason, strict=True)
            request.applymarker(mark)

    @pytest.fixture
    def make(self, place: str) -> Iterator[Any]:
        """A function that makes the store of a space, which is dropped afterwards."""
        with contextlib.ExitStack() as stack:

            def make(space: Space | None = None) -> Store:
                store = self.connect(place, space or space_of())
                stack.callback(store.drop)
                return store

            yield make

    @pytest.fixture
    def store(self, make: Any) -> Store:
        made: Store = make()
        return made

    def test_gaps_name_tests(self) -> None:
        assert all(hasattr(self, name.partition("[")[0]) for name in self.gaps)

    # Rows

    def test_keeps_rows(self, store: Store) -> None:
        """Write and get: rows come back as they were, in the order asked."""
        rows = block_of(5, metadata=[{"n": n, "tags": ["a", n]} for n in range(5)])
        assert store.write(rows) == (5, 0)
        _equal(store.get(["3", "nobody", "1"]), _picked(rows, [3, 1]))
        assert len(store.get([])) == len(store.get(["nobody"])) == 0
        assert store.get(["2"]).vectors.shape == (1, 8)
        assert store.count() == 5

    def test_replaces_rows(self, store: Store) -> None:
        """Write again: a row of the same id is replaced, whole."""
        store.write(block_of(4, metadata=[{"old": 1}] * 4))
        again = _picked(block_of(6, contents=[None] * 6, metadata=[{"new": 2}] * 6, seed=9), [5, 2])
        assert store.write(again) == (1, 1)
        assert store.count() == 5
        _equal(store.get(["5", "2"]), again)
        assert store.count(parse({"old": 1})) == 3
        query = again.vectors[1:]
        assert store.nearest(query, 1)[0][0].id == "2"

    @_metrics
    @pytest.mark.parametrize("dimension", [3, 384])
    def test_vectors_byte_for_byte(self, make: Any, metric: Metric, dimension: int) -> None:
        """Vectors come back byte for byte."""
        store = make(space_of(dimension, metric))
        rows = block_of(50, store.space)
        store.write(rows)
        assert store.get(rows.ids).vectors.tobytes() == rows.vectors.tobytes()
        scanned = {
            name: vector for block, _ in store.scan() for name, vector in zip(block.ids, block.vectors, strict=True)
        }
        assert all(scanned[name].tobytes() == rows.vectors[n].tobytes() for n, name in enumerate(rows.ids))

    @pytest.mark.parametrize("case", _HELD)
    def test_holds(self, store: Store, case: str) -> None:
        """Holds."""
        row = _one(*_HELD[case])
        try:
            store.write(row)
        except InvalidInput as error:
            assert repr(row.ids[0])[:20] in str(error)  # noqa: PT017 - a gap is checked, and goes on to be one
            assert store.count() == 0
            raise
        _equal(store.get(row.ids), row)
        assert store.nearest(row.vectors, 1)[0][0][:1] == (row.ids[0],)

    @settings(max_examples=25, deadline=None, suppress_health_check=_quiet, database=None)
    @given(st.lists(st.tuples(st.text(min_size=1, max_size=6), st.text(max_size=20), metadata()), max_size=8))
    def test_round_trip(self, store: Store, rows: list[tuple[str, str, dict[str, Any]]]) -> None:
        """Any row that is taken comes back, and no other is touched."""
        for name, content, fields in rows:
            if "\0" in name:
                continue
            row = _one(name, content, fields)
            before = store.count()
            try:
                written = store.write(row)
            except InvalidInput:
                assert store.count() == before
                continue
            _equal(store.get([name]), row)
            assert store.count() == before + written.added

    def test_deletes_by_id(self, store: Store) -> None:
        """Delete by id."""
        store.write(block_of(6))
        assert store.delete(["1", "nobody", "4"]) == 2
        assert store.delete(["1"]) == 0
        assert store.delete([]) == 0
        assert set(_all(store)) == {"0", "2", "3", "5"}
        assert {hit.id for hit in store.nearest(block_of(1).vectors, 10)[0]} == {"0", "2", "3", "5"}

    def test_deletes_by_condition(self, store: Store) -> None:
        """Delete by a condition."""
        store.write(block_of(10, metadata=[{"n": n} for n in range(10)]))
        condition = parse({"n": {"$gte": 7}})
        assert condition is not None
        assert store.delete_where(condition) == 3
        assert store.delete_where(condition) == 0
        assert store.count() == 7

    def test_thousands_in_a_call(self, store: Store) -> None:
        """Thousands of rows in a call."""
        rows = block_of(5_000, metadata=[{"n": n % 100} for n in range(5_000)])
        assert store.write(rows) == (5_000, 0)
        assert store.count() == 5_000
        assert store.count(parse({"n": {"$lt": 25}})) == 1_250
        assert len(_all(store)) == 5_000
        picked = list(range(0, 5_000, 2))
        _equal(store.get([rows.ids[n] for n in picked]), _picked(rows, picked))
        assert store.delete(rows.ids[:4_000]) == 4_000
        assert store.count() == 1_000

    def test_seals(self, store: Store) -> None:
        """Every row carries a seal that binds id, content and vector to the space."""
        rows = block_of(3, contents=["a", None, ""])
        store.write(rows)
        if "seals" in store.lacks:
            raise store.unsupported("seals", "A seal")
        found = next(store.scan())[0]
        assert found.seals is not None
        assert sorted(map(str, found.seals)) == sorted(map(str, seals(store.space, rows)))
        assert store.unsealed() == 0

    def test_refuses_vectors(self, store: Store) -> None:
        """Vectors that cannot be of the space are refused, and nothing is written."""
        good = block_of(3)
        short = Block(good.ids, good.contents, good.metadata, good.vectors[:, :5].copy(), good.tokens)
        spoilt = good.vectors.copy()
        spoilt[1, 2] = np.nan
        nan = Block(good.ids, good.contents, good.metadata, spoilt, good.tokens)
        long = Block(good.ids, good.contents, good.metadata, good.vectors * np.float32(2), good.tokens)
        for bad in (short, nan, long):
            with pytest.raises(InvalidVectors):
                store.write(bad)
        assert store.count() == 0

    # Reading all

    def test_scans_all(self, store: Store) -> None:
        """Iterate: every row once, and from a cursor on."""
        rows = block_of(2_500, metadata=[{"n": n} for n in range(2_500)])
        for start in range(0, 2_500, 500):
            store.write(rows[start : start + 500])
        parts = list(store.scan())
        names = [name for block, _ in parts for name in block.ids]
        assert sorted(names, key=int) == rows.ids
        done = 0
        for block, cursor in parts:
            done += len(block)
            rest = [name for later, _ in store.scan(after=cursor) for name in later.ids]
            assert rest == names[done:]
        assert set(_all(store, parse({"n": {"$gte": 2_400}}))) == set(rows.ids[2_400:])

    def test_scans_in_order(self, store: Store) -> None:
        """Iterate in order of insertion."""
        store.write(block_of(300))
        store.write(block_of(200, first=300))
        store.write(_picked(block_of(10, seed=3), [7, 2]))
        store.delete(["0"])
        names = [str(n) for n in range(1, 500) if n not in (2, 7)] + ["7", "2"]
        assert [name for block, _ in store.scan() for name in block.ids] == names

    def test_scan_while_it_is_rewritten(self, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Iterating while rows are rewritten ends, and gives none twice; the rest comes after its last cursor."""
        self.small_blocks(monkeypatch)
        store, rows = make(), block_of(2_500)
        for start in range(0, 2_500, 500):
            store.write(rows[start : start + 500])
        seen: list[str] = []
        rewritten: set[str] = set()
        cursor = None
        for block, cursor in store.scan():  # noqa: B007 - the last one is used
            seen += block.ids
            assert len(seen) <= 2_500
            unread = sorted(set(rows.ids) - set(seen), key=int)
            picked = [*seen[-20:], *unread[-20:], *unread[:1]]
            store.write(_picked(rows, [int(name) for name in picked]))
            rewritten.update(picked)
        assert len(set(seen)) == len(seen)
        assert set(seen) >= set(rows.ids) - rewritten
        rest = [name for block, _ in store.scan(after=cursor) for name in block.ids]
        assert len(set(rest)) == len(rest)
        assert set(rest) == rewritten
        assert store.count() == 2_500

    def test_bad_cursor(self, store: Store) -> None:
        """A cursor that no scan gave is refused."""
        store.write(block_of(3))
        for cursor in _NO_CURSORS:
            with pytest.raises(InvalidInput, match="cursor"):
                list(store.scan(after=cursor))

    def test_writers_whose_clocks_differ(self, place: str, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two have it open, one an hour ahead of the other: rows stand in the order of their writing."""
        now, behind = time.time_ns, make()
        with contextlib.closing(self.connect(place)) as ahead:
            for row in range(0, 8, 2):
                behind.write(block_of(1, first=row))
                monkeypatch.setattr(time, "time_ns", lambda: now() + 3_600 * 10**9)
                ahead.write(block_of(1, first=row + 1))
                monkeypatch.setattr(time, "time_ns", now)
        assert [name for block, _ in behind.scan() for name in block.ids] == [str(row) for row in range(8)]

    # Searching

    @_metrics
    def test_scores(self, make: Any, metric: Metric) -> None:
        """Search: true scores within 1e-5, best first, higher is better."""
        store = make(space_of(16, metric))
        rows = block_of(400, store.space, metadata=[{"n": n} for n in range(400)])
        store.write(rows)
        queries = block_of(5, store.space, seed=77).vectors
        for query, hits in zip(queries, store.nearest(queries, 10), strict=True):
            truth = _scores(query, rows.vectors, metric)
            assert [hit.id for hit in hits] == [str(n) for n in np.argsort(-truth, kind="stable")[:10]]
            np.testing.assert_allclose([hit.score for hit in hits], np.sort(truth)[::-1][:10], atol=1e-5, rtol=1e-5)
            for hit in hits:
                assert (hit.content, hit.metadata) == (f"text {hit.id}", {"n": int(hit.id)})

    def test_k(self, store: Store) -> None:
        """K is respected, and larger than the collection returns all."""
        store.write(block_of(30))
        query = block_of(1, seed=5).vectors
        assert [len(store.nearest(query, k)[0]) for k in (1, 7, 30, 31, 1_000)] == [1, 7, 30, 30, 30]

    def test_enormous_k(self, store: Store) -> None:
        """More hits than an engine can count: all rows, or a refusal."""
        store.write(block_of(30, metadata=[{"n": n} for n in range(30)]))
        query, some = block_of(1, seed=5).vectors, parse({"n": {"$lt": 20}})
        for k in (2**31 - 1, 2**31, 2**32, 10**12, 2**63 - 1, 2**63, 2**64, 10**30):
            for effort in (None, EXACT):
                with contextlib.suppress(Unsupported, InvalidInput):
                    assert len(store.nearest(query, k, effort=effort)[0]) == 30
                    assert len(store.nearest(query, k, some, effort=effort)[0]) == 20
            if "text" not in store.lacks:
                with contextlib.suppress(Unsupported, InvalidInput):
                    assert len(store.match_text("text", k)) == 30

    def test_many_hits(self, store: Store) -> None:
        """Thousands of hits in a search."""
        store.write(block_of(3_000))
        hits = store.nearest(block_of(1, seed=5).vectors, 2_500)[0]
        assert len({hit.id for hit in hits}) == 2_500
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)

    def test_batch(self, store: Store) -> None:
        """A batch of queries answers as each by itself."""
        store.write(block_of(300))
        queries = block_of(40, seed=5).vectors
        together = store.nearest(queries, 5)
        assert together == [store.nearest(query[None], 5)[0] for query in queries]
        assert store.nearest(queries[:0], 5) == []

    def test_ties(self, store: Store) -> None:
        """Ties stand in order of insertion, at the last place too."""
        rows = block_of(60)
        rows.vectors[20:40] = rows.vectors[20]
        for start in range(0, 60, 20):
            store.write(rows[start : start + 20])
        query = rows.vectors[20:21]
        names = [str(n) for n in range(20, 40)]
        assert [hit.id for hit in store.nearest(query, 20)[0]] == names
        assert [hit.id for hit in store.nearest(query, 7)[0]] == names[:7]

    @_metrics
    def test_zero_and_equal(self, make: Any, metric: Metric) -> None:
        """A row is its own nearest."""
        store = make(space_of(32, metric))
        rows = block_of(100, store.space)
        store.write(rows)
        if metric == "dot":
            return
        assert [hits[0].id for hits in store.nearest(rows.vectors, 1)] == rows.ids

    def test_empty(self, store: Store) -> None:
        """An empty collection."""
        query = block_of(2).vectors
        assert store.nearest(query, 3) == [[], []]
        assert store.nearest(query, 3, parse({"a": 1})) == [[], []]
        assert list(store.scan()) == []
        assert (store.count(), store.delete(["1"]), store.unsealed()) == (0, 0, 0)
        assert store.problems() == []

    @pytest.mark.parametrize("effort", [None, "exact"])
    def test_selective_filter(self, store: Store, effort: str | None) -> None:
        """A filter that few rows meet never falls short."""
        rows = block_of(4_000, metadata=[{"rare": n % 200 == 3} for n in range(4_000)])
        store.write(rows)
        query, among = block_of(1, seed=5).vectors, np.arange(3, 4_000, 200)
        found = store.nearest(query, 20, parse({"rare": True}), effort=EXACT if effort else None)[0]
        best = among[np.argsort(-_scores(query[0], rows.vectors[among], "cosine"))]
        assert [hit.id for hit in found] == [str(n) for n in best]

    def test_exact(self, store: Store) -> None:
        """Search that compares with every vector."""
        rows = block_of(500)
        store.write(rows)
        query = block_of(1, seed=5).vectors
        best = np.argsort(-_scores(query[0], rows.vectors, "cosine"))[:10]
        assert [hit.id for hit in store.nearest(query, 10, effort=EXACT)[0]] == [str(n) for n in best]

    def test_finds_words(self, store: Store) -> None:
        """Search by words."""
        contents = ["The boiler was repaired.", "Anna feeds the cat.", None, "Two cats and a boiler, a boiler."]
        store.write(block_of(4, contents=contents, metadata=[{"n": n} for n in range(4)]))
        assert [hit.id for hit in store.match_text("boiler", 10)] in (["3", "0"], ["0", "3"])
        assert {hit.id for hit in store.match_text("cat boiler", 10)} == {"0", "1", "3"}
        assert [hit.id for hit in store.match_text("boiler", 10, parse({"n": {"$lt": 2}}))] == ["0"]
        hits = store.match_text("anna", 1)
        assert (hits[0].id, hits[0].content, hits[0].metadata) == ("1", contents[1], {"n": 1})
        assert store.match_text("zebra", 5) == store.match_text("& | ! :* '\" \\ (", 5) == []
        assert len(store.match_text("the boiler cat", 1)) == 1

    def test_builds(self, store: Store) -> None:
        """An index by name, with an effort to choose."""
        rows = block_of(1_000)
        store.write(rows)
        if not store.engines:
            raise store.unsupported("tuning", "An index of one's choice")
        query = block_of(1, seed=5).vectors
        truth = [str(n) for n in np.argsort(-_scores(query[0], rows.vectors, "cosine"))[:10]]
        for engine, efforts in store.engines.items():
            store.build(engine)
            assert store.problems() == []
            assert store.figures().engine == engine
            found = [hit.id for hit in store.nearest(query, 10, effort=efforts[-1])[0]]
            assert len(set(found) & set(truth)) >= 9
            assert [hit.id for hit in store.nearest(query, 10, effort=EXACT)[0]] == truth
            store.write(block_of(1, first=5_000))
            assert store.count() == 1_001
            store.delete(["5000"])
        store.build("exact")
        assert store.figures().engine == "exact"
        assert [hit.id for hit in store.nearest(query, 10)[0]] == truth

    # Filters

    @pytest.mark.parametrize("case", _FILTERS)
    def test_filter(self, store: Store, case: str) -> None:
        """Filter."""
        store.write(block_of(len(_YEARS), metadata=_YEARS))
        condition = parse(_FILTERS[case])
        assert condition is not None
        expected = {str(n) for n, fields in enumerate(_YEARS) if condition.matches(fields)}
        assert 0 < len(expected) < len(_YEARS)
        assert store.count(condition) == len(expected)
        assert set(_all(store, condition)) == expected
        assert {hit.id for hit in store.nearest(block_of(1).vectors, 100, condition)[0]} == expected

    def test_filters_equal_plain_evaluation(self, store: Store) -> None:
        """Filters select what plain Python selects, or are refused."""
        rows: dict[str, dict[str, Any]] = {}

        @settings(max_examples=120, deadline=None, derandomize=True, database=None, suppress_health_check=_quiet)
        @given(metadata())
        def draw(fields: dict[str, Any]) -> None:
            name = str(len(rows))
            try:
                store.write(_one(name, "text", fields))
            except InvalidInput:
                return  # what an engine does not hold, test_holds tells
            rows[name] = fields

        draw()
        assert len(rows) >= 50
        tried, refused = itertools.count(), itertools.count()

        @settings(max_examples=200, deadline=None, derandomize=True, database=None, suppress_health_check=_quiet)
        @given(wheres(4))
        def compare(where: dict[str, Any]) -> None:
            condition = parse(where)
            assert condition is not None
            next(tried)
            try:
                found = {hit.id for hit in store.nearest(block_of(1).vectors, 1_000, condition)[0]}
            except Unsupported:
                next(refused)
                return
            assert found == {name for name, fields in rows.items() if condition.matches(fields)}
            assert store.count(condition) == len(found)

        compare()
        assert next(refused) < 0.9 * next(tried)

    # What the collection knows of itself

    def test_notes(self, store: Store) -> None:
        """What the collection knows of itself is kept in the store."""
        assert store.note("canaries") is None
        store.keep_note("canaries", b"one")
        store.keep_note("canaries", b"two", replace=False)
        assert store.note("canaries") == b"one"
        large = np.random.default_rng(0).bytes(1_500_000)
        store.keep_note("statistics", large)
        store.keep_note("canaries", b"")
        assert (store.note("canaries"), store.note("statistics")) == (b"", large)
        store.keep_note("statistics", large[:10])
        assert store.note("statistics") == large[:10]
        assert (store.count(), list(store.scan()), store.nearest(block_of(1).vectors, 3)) == (0, [], [[]])

    def test_opens_again(self, place: str) -> None:
        """Space, encoder, notes and rows are there when it is opened again."""
        space = Space("acme/embed", 8, "cosine", digest="sha256:1f0a", prompts={"query": "é: "})
        with contextlib.closing(self.connect(place, space, "acme:embed")) as store:
            store.write(block_of(7))
            store.keep_note("canaries", b"kept")
        again = self.connect(place)
        try:
            assert (again.space, again.encoder, again.note("canaries")) == (space, "acme:embed", b"kept")
            assert again.count() == 7
            assert again.write(block_of(2, first=6)) == (1, 1)
            other = self.connect(place, space_of(4))
            assert other.space == space
            other.close()
        finally:
            again.drop()
        with pytest.raises(NotFound):
            self.connect(place)

    def test_not_there(self, place: str) -> None:
        """A collection that is not there is told, and not made."""
        for _ in range(2):
            with pytest.raises(NotFound):
                self.connect(place)

    def test_figures(self, store: Store) -> None:
        """Figures, and no problems."""
        store.write(block_of(20))  # every seventh row, but the eight's, has fewer tokens than it saw in all
        figures = store.figures()
        assert figures.truncated == sum(n % 7 + 1 < 5 for n in range(20))
        assert figures.engine
        assert store.problems() == []
        assert store.address

    def test_compacts(self, store: Store) -> None:
        """Compact keeps what is there."""
        store.write(block_of(50))
        store.delete([str(n) for n in range(40)])
        store.compact()
        assert set(_all(store)) == {str(n) for n in range(40, 50)}

    def test_closed(self, place: str) -> None:
        """Used after close."""
        store = self.connect(place, space_of())
        store.write(block_of(1))
        store.close()
        store.close()
        for use in (store.count, lambda: store.write(block_of(1)), lambda: store.nearest(block_of(1).vectors, 1)):
            with pytest.raises(CollectionClosed):
                use()
        self.connect(place).drop()

    def test_threads(self, store: Store) -> None:
        """Eight threads write and search at once."""
        store.write(block_of(100))

        def work(number: int) -> int:
            part = block_of(50, first=1_000 + 50 * number)
            for start in range(0, 50, 10):
                store.write(part[start : start + 10])
                hits = store.nearest(part.vectors[start : start + 1], 1)[0]
                assert hits[0].id == part.ids[start]
                assert store.count() >= 110
            return len(part)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(work, range(8))) == 400
        assert store.count() == 500
        assert len(_all(store)) == 500

    def test_only_our_errors(self, store: Store) -> None:
        """Whatever goes wrong is an error of samespace."""
        store.write(block_of(2))
        condition = parse({"lang": {"$gt": "a", "$lt": "b"}})
        with contextlib.suppress(SamespaceError):
            store.nearest(block_of(1).vectors, 5, condition)
        with contextlib.suppress(SamespaceError):
            store.nearest(block_of(1).vectors, 1_000_000)
        with contextlib.suppress(SamespaceError):
            store.count(parse({"id": {"$in": [str(n) for n in range(20_000)]}}))
        assert store.count() == 2

    # With a collection on top

    def test_program_of_the_readme(self, place: str, tmp_path: Path) -> None:
        """The first program of the README gives the same hits as in a folder."""
        expected, found = (_program(each) for each in (str(tmp_path / "oracle.ss"), place))
        _drop(self, place)
        assert [hit._replace(score=0.0) for hit in found] == [hit._replace(score=0.0) for hit in expected]
        np.testing.assert_allclose([hit.score for hit in found], [hit.score for hit in expected], atol=1e-5)
        assert found[0].id == "prices"

    def test_other_space_is_refused(self, place: str) -> None:
        """An encoder of another space is refused, and a collection remembers its own."""
        ours, other = CharacterEncoder(64), CharacterEncoder(64, model="another")
        with open_collection(place, ours) as notes:
            notes.add(["one", "two"], ids=["a", "b"])
        with pytest.raises(SpaceMismatch):
            open_collection(place, other)
        with open_collection(place, CharacterEncoder(64)) as notes:
            assert notes.add(["one", "three"], ids=["a", "b"]) == (0, 1, 1, 0)
            assert notes.space == ours.space
            with pytest.raises(SpaceMismatch):
                notes.search(other.encode_queries(["one"]))
            assert notes.canaries() is not None
        _drop(self, place)

    def test_collection(self, place: str) -> None:
        """What a collection offers works on top."""
        texts = [f"{animal} number {n}" for n in range(20) for animal in ("cat", "horse", "ant")]
        with open_collection(place, CharacterEncoder(64)) as notes:
            notes.add(texts, ids=[str(n) for n in range(60)], metadata=[{"n": n} for n in range(60)])
            nearest = notes.nearest(["cat number 7", "ant number 9"], k=4)
            assert nearest.ids[0, 0] == str(texts.index("cat number 7"))
            assert nearest.ids.shape == nearest.scores.shape == (2, 4)
            best = notes.search("cat number 7", k=4)
            assert [hit.id for hit in best] == nearest.ids[0].tolist()
            close = notes.search("cat number 7", k=None, min_score=best[2].score)
            assert {hit.id for hit in best[:3]} <= {hit.id for hit in close}
            assert notes.similar("0", k=2)[0].id != "0"
            assert notes.get(["5"])[0].content == texts[5]
            assert notes.delete(where={"n": {"$gte": 50}}) == 10
            assert len(list(notes.ids())) == len(list(notes)) == len(notes) == 50
            assert notes.info().count == 50
            assert notes.verify() == []
            notes.compact()
        _drop(self, place)

    def test_copies(self, make: Any, tmp_path: Path) -> None:
        """A copy of a folder, and a copy back, byte for byte."""
        store = make()
        fields = [{"n": n, "tags": ["a", "b"]} for n in range(1_500)]
        rows = block_of(1_500, contents=[f"text {n}" for n in range(1_500)], metadata=fields)
        first, last = (stand(tmp_path / name, store.space) for name in ("first.ss", "last.ss"))
        try:
            first.store.write(rows)
            copy_rows(first.store, store)
            copy_rows(store, last.store)
            _equal(last.store.get(rows.ids), rows)
            assert last.store.count() == 1_500
        finally:
            first.close()
            last.close()


def _program(place: str) -> list[Hit]:
    with open_collection(place) as notes:
        notes.add(
            ["Tickets cost 12 euros from May on.", "The boiler was repaired.", "Anna feeds the cat."],
            ids=["prices", "house", "pets"],
            metadata=[{"year": 2025}, {"year": 2025}, {"year": 2023}],
        )
        return notes.search("how much do I pay to get in?", k=2, where={"year": {"$gte": 2024}})


def _drop(suite: StoreContract, place: str) -> None:
    """Leave nothing behind."""
    suite.connect(place).drop()


def _picked(rows: Block, places: Sequence[int]) -> Block:
    return Block(
        [rows.ids[n] for n in places],
        [rows.contents[n] for n in places],
        [rows.metadata[n] for n in places],
        rows.vectors[list(places)],
        [rows.tokens[n] for n in places],
    )
