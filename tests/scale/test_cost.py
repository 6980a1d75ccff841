"""Estimates by some of the rows, and what workers may spend together."""

from __future__ import annotations

import gzip
import json

import pytest

from samespace.encoders.providers.metering import Estimate
from samespace.errors import CostExceeded
from samespace.scale import sampling
from samespace.scale.cost import Treasury, expected
from samespace.scale.files import find
from samespace.scale.shards import Fields, cut, measure

FIELDS = Fields("text", "id")


class Priced:
    """One for a letter. Keeps how many texts it was asked about."""

    def estimate(self, texts):
        assert not isinstance(texts, list)
        lengths = [len(text) for text in texts]
        self.seen = len(lengths)
        return Estimate(sum(lengths), float(sum(lengths)), "USD")


def parts_of(*paths, workers=1):
    extents = [measure(shard, FIELDS) for shard in find(map(str, paths))]
    return list(cut([(extent, 0, extent.size) for extent in extents], workers))


def lines(numbers, text="a text of many words, number {:06}"):
    return "".join(json.dumps({"id": f"{n:06}", "text": text.format(n)}) + "\n" for n in numbers).encode()


def letters(numbers, text="a text of many words, number {:06}"):
    return sum(len(text.format(n)) for n in numbers)


@pytest.mark.parametrize("members", [1, 40])
def test_a_packed_shard_is_judged_by_its_beginning(tmp_path, members):
    path = tmp_path / "a.jsonl.gz"
    step = 200_000 // members
    path.write_bytes(b"".join(gzip.compress(lines(range(n, n + step))) for n in range(0, 200_000, step)))
    encoder = Priced()
    found = expected(encoder, parts_of(path), FIELDS)
    assert found.tokens == pytest.approx(letters(range(200_000)), rel=0.1)
    assert found.cost == pytest.approx(found.tokens)
    assert encoder.seen == 1000


def test_a_packed_shard_that_is_read_whole(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + lines(range(300)).rstrip()))
    assert expected(Priced(), parts_of(path), FIELDS).tokens == pytest.approx(letters(range(300)), rel=0.02)


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_rows_of_several_places_stand_for_all(tmp_path, name):
    """The first rows are short, the others long; and so much is not read as there is."""
    short, long = range(10_000), range(10_000, 40_000)
    texts = [f"{n}" for n in short] + [f"{n} is a much longer text than those" for n in long]
    path = tmp_path / name
    if name.endswith("parquet"):
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"id": [str(n) for n in range(40_000)], "text": texts}), path, row_group_size=5000)
    else:
        path.write_text("".join(json.dumps({"id": str(n), "text": text}) + "\n" for n, text in enumerate(texts)))
    encoder = Priced()
    found = expected(encoder, parts_of(path), FIELDS)
    assert found.tokens == pytest.approx(sum(map(len, texts)), rel=0.1)
    assert encoder.seen <= 1000


def test_a_tiny_shard_does_not_stand_for_a_huge_one(tmp_path):
    tiny, huge = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": ["x"], "text": ["x"]}), tiny)
    pq.write_table(pa.table({"id": [str(n) for n in range(5000)], "text": ["twenty letters of it"] * 5000}), huge)
    assert expected(Priced(), parts_of(tiny, huge), FIELDS).tokens == pytest.approx(100_000, rel=0.02)


def test_kinds_add_up_and_long_texts_end_a_sample(tmp_path):
    plain, packed = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    long = "word " * 20_000 + "{}"
    plain.write_bytes(lines(range(100), long))
    packed.write_bytes(gzip.compress(lines(range(1000))))
    encoder = Priced()
    found = expected(encoder, parts_of(plain, packed, workers=4), FIELDS)
    assert found.tokens == pytest.approx(letters(range(100), long) + letters(range(1000)), rel=0.1)
    (sample,) = sampling.samples(parts_of(plain, workers=4), FIELDS)
    assert len(list(sample)) < 25


def test_a_shard_that_cannot_be_read_is_passed_over(tmp_path):
    whole, torn, gone = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz", tmp_path / "c.jsonl.gz"
    for path in (whole, gone):
        path.write_bytes(gzip.compress(lines(range(3000))))
    torn.write_bytes(b"no gzip" * 900)
    parts = parts_of(torn, gone, whole)
    gone.unlink()
    size = sum(part.end - part.begin for part in parts)
    true = letters(range(3000)) * size / whole.stat().st_size
    assert expected(Priced(), parts, FIELDS).tokens == pytest.approx(true, rel=0.1)
    assert expected(Priced(), parts[:2], FIELDS) is None
    assert expected(Priced(), [], FIELDS) is None


def test_an_estimate_without_a_price():
    assert Estimate(2, None, "USD") + Estimate(3, 1.0, "USD") == Estimate(5, None, "USD")


def test_workers_draw_slices_and_give_back_what_they_did_not_need():
    treasury = Treasury(20.0, 4.0, 2)
    assert treasury.draw() == 1.0  # of 16 left, an eighth of a half
    assert treasury.draw(5.0) == 5.0
    treasury.settle(5.0, 2.0)  # 3 are spent
    assert treasury.draw(12.0) == 12.0
    with pytest.raises(
        CostExceeded,
        match=r"needs about 1 more than its worker has drawn. Of the cap of 20 for all workers 7 is spent, 13 is drawn "
        r"for parts under way or was lost with workers that died, and 0 is left\.",
    ):
        treasury.draw(1.0)
    assert treasury.draw() == 0.0  # nothing is needed where the cache has all
    treasury.settle(12.0, -0.5)  # more was billed than set aside
    with pytest.raises(CostExceeded):
        treasury.draw(0.1)
