"""The contract, kept by every engine of the catalogue."""

from __future__ import annotations

from samespace.indexes import ENGINES
from samespace.indexes.exact import ExactIndex
from samespace.indexes.scan import ScanIndex
from samespace.testing.index_contract import IndexContract


class TestExact(IndexContract):
    engine = ExactIndex


class TestScan(IndexContract):
    engine = ScanIndex


def test_every_engine_is_tested():
    tested = {case.engine for case in (TestExact, TestScan)}
    assert tested == {row.load() for row in ENGINES.values()}
