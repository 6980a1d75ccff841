from __future__ import annotations

import gzip
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samespace.batches import content_id
from samespace.errors import InvalidInput
from samespace.scale.files import find
from samespace.scale.shards import Fields, Part, cut, measure, read, rows_of
from scale.sample import row

FIELDS = Fields("text", "id")


def whole(path, fields=FIELDS):
    (shard,) = find([str(path)])
    extent = measure(shard, fields)
    return Part(shard.path, 0, extent.size)


def rows(part, fields=FIELDS, bad=None):
    return list(read(part, fields, bad))


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_row_is_an_id_a_text_and_the_other_columns(write, name):
    first, second = rows(whole(write(name, [7, 8])))
    expected = row(7)
    assert first.id == expected.pop("id")
    assert first.content == expected.pop("text")
    assert first.metadata == expected
    assert second.id == "row-8"


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_chosen_columns_and_ids_of_the_texts(write, name):
    fields = Fields("text", None, ["year"])
    (only,) = rows(whole(write(name, [7]), fields), fields)
    assert only.id == content_id(only.content)
    assert only.metadata == {"year": 2007}


@given(
    lines=st.lists(st.text("aé\u2028 ", max_size=9), max_size=20),
    cuts=st.lists(st.integers(0, 400), max_size=6),
    last=st.booleans(),
    mark=st.booleans(),
)
def test_ranges_of_bytes_give_every_line_once(tmp_path_factory, lines, cuts, last, mark):
    path = tmp_path_factory.getbasetemp() / "cut.jsonl"
    texts = [json.dumps({"text": f"{n} {line}"}, ensure_ascii=False) for n, line in enumerate(lines)]
    data = "\n".join(texts) + ("\n" if last else "")
    path.write_bytes((b"\xef\xbb\xbf" if mark else b"") + data.encode())
    size = path.stat().st_size
    edges = sorted({0, size, *(min(cut, size) for cut in cuts)})
    fields = Fields("text")
    found = [r.content for a, b in pairwise(edges) for r in rows(Part(str(path), a, b), fields)]
    assert found == [f"{n} {line}" for n, line in enumerate(lines)]


@given(group=st.integers(1, 40), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_ranges_of_rows_give_every_row_once(tmp_path_factory, group, cuts):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = tmp_path_factory.getbasetemp() / "cut.parquet"
    pq.write_table(pa.table({"text": [f"row {n}" for n in range(60)]}), path, row_group_size=group)
    edges = sorted({0, 60, *cuts})
    fields = Fields("text")
    found = [r.content for a, b in pairwise(edges) for r in rows(Part(str(path), a, b), fields)]
    assert found == [f"row {n}" for n in range(60)]


def test_parts_are_as_large_as_the_work_wants(write):
    paths = [write("a.parquet", range(3000)), write("b.jsonl", range(3000))]
    extents = [measure(shard, FIELDS) for shard in find(map(str, paths))]
    parts = list(cut([(extent, 0, extent.size) for extent in extents], 2))
    assert [part.end - part.begin for part in parts if part.path.endswith("parquet")] == [512] * 5 + [440]
    assert sum(len(rows(part)) for part in parts) == 6000
    assert rows_of(parts) is None
    assert rows_of(part for part in parts if part.path.endswith("parquet")) == 3000
    few = list(cut([(extents[0], 0, 10**9)], 2))  # many rows: no part is larger than what may be lost
    assert few[0].end == 65_536


def test_a_group_of_rows_is_not_read_again_for_every_few_of_them(write):
    (shard,) = find([str(write("a.parquet", range(20_000)))])
    extent = measure(shard, FIELDS)
    assert len(list(cut([(extent, 0, 20_000)], 1000))) == 16


def test_a_packed_shard_is_one_part(write, tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(write("a.jsonl", range(9000)).read_bytes()))
    (shard,) = find([str(path)])
    (part,) = cut([(measure(shard, FIELDS), 0, shard.size)], 2)
    assert len(rows(part)) == 9000
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InvalidInput, match=r"a\.jsonl\.gz cannot be read"):
        rows(part)


def test_blank_lines_are_no_rows(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('\n{"text": "one"}\n  \n\n{"text": "two"}\n\n')
    assert [r.content for r in rows(whole(path, Fields("text")), Fields("text"))] == ["one", "two"]


BAD = {
    '{"id": "x", "text": "torn': "is not JSON",
    '["x", "text"]': "expected a JSON object, got a list",
    '{"id": "x"}': "has no key 'text'. It has 'id'",
    '{"text": "x"}': "has no key 'id'",
    '{"id": "x", "text": "  "}': "expected a text in 'text', got an empty text",
    '{"id": "", "text": "x"}': "expected an id in 'id', got an empty text",
    '{"id": "a\\u0000", "text": "x"}': "the id must be a text that is not empty and has no NUL",
    '{"id": "x", "text": "\\ud800"}': "the text is not valid Unicode",
    '{"id": "x", "text": "x", "y": "\\ud800"}': "cannot be written as JSON",
    '{"id": "x", "text": null}': "expected a text in 'text', got nothing",
    "[" * 99999: "is not JSON",
}


@pytest.mark.parametrize("line", BAD, ids=BAD.values())
def test_a_bad_row_is_named_by_shard_and_line(tmp_path, line):
    path = tmp_path / "a.jsonl"
    good = json.dumps({"id": "good", "text": "good"})
    path.write_text(f"{good}\n\n{line}\n{good}\n")
    with pytest.raises(InvalidInput) as caught:
        rows(whole(path))
    assert str(caught.value).startswith(f"{path}, line 3")
    assert BAD[line] in str(caught.value)
    bad = []
    later = Part(str(path), len(good), path.stat().st_size)  # the line's number is that of the shard, not of the part
    assert [r.id for r in rows(later, bad=bad.append)] == ["good"]
    assert bad == [str(caught.value)]


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "caf\xe9"}\n')
    with pytest.raises(InvalidInput, match=r"line 1 is not UTF-8: .* at byte 13"):
        rows(whole(path, Fields("text")), Fields("text"))


def test_a_bad_row_of_parquet_is_named_by_its_number(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["one", None, "three"], "raw": [b"x", b"y", b"z"]}), path, row_group_size=1)
    fields = Fields("text", None, [])
    with pytest.raises(InvalidInput, match=r"a\.parquet, row 2: expected a text in 'text', got nothing"):
        rows(Part(str(path), 1, 3), fields)
    with pytest.raises(InvalidInput, match=r"row 1: 'raw' holds bytes, which JSON has no type for"):
        rows(whole(path, Fields("text")), Fields("text"))


def test_torn_parquet(write):
    path = write("a.parquet", range(2000))
    part = whole(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InvalidInput, match=r"a\.parquet is not Parquet that can be read"):
        whole(path)
    path.write_bytes(data[:400] + bytes(2000) + data[2400:])  # its end is whole, its pages are not
    with pytest.raises(InvalidInput, match=r"a\.parquet is not Parquet that can be read"):
        rows(part)


@pytest.mark.parametrize("fields", [Fields("body"), Fields("text", "key"), Fields("text", None, ["month"])])
def test_a_column_that_parquet_does_not_have(write, fields):
    with pytest.raises(InvalidInput, match=r"has no column '(body|key|month)'. It has 'id', 'text', 'year', 'tags'"):
        whole(write("a.parquet", range(3)), fields)
