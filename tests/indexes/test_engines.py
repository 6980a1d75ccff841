"""The contract, kept by every engine of the catalogue."""

from __future__ import annotations

from samespace.indexes import ENGINES
from samespace.indexes.exact import ExactIndex
from samespace.indexes.faiss import HnswIndex, HnswSq8Index, IvfIndex, IvfPqIndex, IvfSq8Index
from samespace.indexes.graph import GraphIndex
from samespace.indexes.scan import ScanIndex
from samespace.testing.index_contract import IndexContract


class TestExact(IndexContract):
    engine = ExactIndex


class TestScan(IndexContract):
    engine = ScanIndex


class TestGraph(IndexContract):
    engine = GraphIndex


class TestHnsw(IndexContract):
    engine = HnswIndex


class TestHnswSq8(IndexContract):
    engine = HnswSq8Index


class TestIvf(IndexContract):
    engine = IvfIndex


class TestIvfSq8(IndexContract):
    engine = IvfSq8Index


class TestIvfPq(IndexContract):
    engine = IvfPqIndex


def test_every_engine_is_tested():
    tested = {case.engine for case in IndexContract.__subclasses__()}
    assert tested == {row.load() for row in ENGINES.values()}
