import datetime
import json
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samespace.errors import InvalidInput, MissingExtra, NotFound
from samespace.sources import Columns, Record, read_jsonl, read_table

ALL = Columns("text", "id", ("n", "tag"))


def read(tmp_path, name, content, columns=ALL):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_table(path, columns))


# CSV --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_csv_of_any_dialect(tmp_path, delimiter, newline):
    rows = ["id,text,n,tag", 'a,"Hello, ""you""\nthere",12,007', "", "b,Other,,x"]
    content = newline.join(rows).replace(",", delimiter)
    hello = 'Hello, "you"\nthere'.replace(",", delimiter)
    assert read(tmp_path, "t.csv", content.encode("utf-8-sig")) == [
        Record("a", hello, {"n": 12, "tag": "007"}),
        Record("b", "Other", {"tag": "x"}),
    ]


def test_csv_of_one_column(tmp_path):
    assert read(tmp_path, "t.csv", "text\nHello\n", Columns("text")) == [Record(None, "Hello", {})]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("0", 0),
        ("0.5", 0.5),
        ("1.5e3", 1500.0),
        ("007", "007"),
        ("+1", "+1"),
        ("1e3", "1e3"),
        ("nan", "nan"),
        ("-0", "-0"),
        ("--1", "--1"),
        ("٣", "٣"),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", "9223372036854775808"),
        ("1" * 400, "1" * 400),
        ("true", "true"),
    ],
)
def test_csv_numbers_are_what_is_plainly_a_number(tmp_path, text, value):
    (record,) = read(tmp_path, "t.csv", f"text,n\nx,{text}\n", Columns("text", None, ["n"]))
    assert record.metadata == {"n": value}
    assert type(record.metadata["n"]) is type(value)


def test_csv_text_that_looks_like_a_number_stays_text(tmp_path):
    assert read(tmp_path, "t.csv", "text,id\n12,7\n", Columns("text", "id")) == [Record("7", "12", {})]


def test_csv_with_a_huge_field(tmp_path):
    (record,) = read(tmp_path, "t.csv", "text\n" + "x" * 500_000, Columns("text"))
    assert len(record.content) == 500_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"t\.csv: expected a header"),
        ("\n\nx", r"t\.csv: expected a header"),
        ("id,body,n,tag\n", r"t\.csv has no column 'text'\. It has 'id', 'body', 'n', 'tag'"),
        ("id,text,n,tag\na,b,c\n", r"t\.csv, line 2: expected 4 fields, as the header has, got 3"),
        ("id,text,n,tag\na,b,c,d,e\n", r"line 2: expected 4 fields, as the header has, got 5"),
        ('id,text,n,tag\na,"x\ny",1,t\nb,x\n', r"line 4: expected 4 fields"),
        ('id,text,n,tag\na,"never closed,1,t\nb\n', r"line 2 is not CSV: unexpected end of data"),
        ('id,text,n,tag\na,"x"y,1,t\n', r"line 2 is not CSV"),
        ("id,text,n,tag\na,,1,t\n", r"line 2: expected a text in 'text', got an empty text"),
        ("id,text,n,tag\n,x,1,t\n", r"line 2: expected an id in 'id', got an empty text"),
        (b"id,text,n,tag\na,\0,1,t\n", r"cannot be read as a table: it is binary"),
    ],
)
def test_csv_that_is_broken_names_its_place(tmp_path, content, message):
    with pytest.raises(InvalidInput, match=message):
        read(tmp_path, "t.csv", content)


def test_csv_in_latin_1(tmp_path):
    assert read(tmp_path, "t.csv", "text\ncafé\n".encode("latin-1"), Columns("text"))[0].content == "café"


def test_csv_with_a_torn_character_far_in(tmp_path):
    content = b"text\n" + "é row\n".encode() * 200_000 + b"\xff\n"
    with pytest.raises(InvalidInput, match=r"t\.csv: after line \d+ stands a byte that is not utf-8"):
        read(tmp_path, "t.csv", content, Columns("text"))


@given(
    st.lists(
        st.tuples(st.text("a,\"'\n;\t |é", min_size=1).filter(str.strip), st.integers(-(2**63) + 1, 2**63 - 1)),
        max_size=8,
    )
)
def test_csv_round_trip(tmp_path_factory, rows):
    import csv

    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "n"), *rows])
    read = [(record.content, record.metadata["n"]) for record in read_table(path, Columns("text", None, ["n"]))]
    assert read == rows


# JSON lines -------------------------------------------------------------------------------------------------


def test_jsonl_keeps_types(tmp_path):
    row = {"id": 7, "text": "Hello", "n": 1.5, "tag": {"a": [1, None, "x"]}, "other": 1}
    content = f'{json.dumps(row)}\n\n{{"id": "b", "text": "x", "n": NaN, "tag": null}}\n{{"id": "c", "text": "y"}}'
    assert read(tmp_path, "t.jsonl", content) == [
        Record("7", "Hello", {"n": 1.5, "tag": {"a": [1, None, "x"]}}),
        Record("b", "x", {}),
        Record("c", "y", {}),
    ]


def test_jsonl_from_a_stream():
    lines = ['\ufeff{"text": "x"}\n', '{"text": "y"}\n']  # a byte order mark, as Windows writes it
    assert list(read_jsonl(iter(lines), Columns("text"))) == [Record(None, "x"), Record(None, "y")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('["a list"]', r"t\.jsonl, line 1: expected a JSON object, got a list"),
        ('{"text": "x"}\n3', r"line 2: expected a JSON object, got a number"),
        ('{"text": "x"}\n{"text": ', r"line 2 is not JSON"),
        ("[" * 100_000, r"line 1 is not JSON"),
        ('{"body": "x"}', r"line 1 has no key 'text'\. It has 'body'"),
        ("{}", r"line 1 has no key 'text'\. It has none"),
        ('{"text": null}', r"line 1: expected a text in 'text', got nothing"),
        ('{"text": ["x"]}', r"line 1: expected a text in 'text', got a list"),
        ('{"text": " "}', r"line 1: expected a text in 'text', got an empty text"),
        ('{"text": "x"}', r"no line has a key 'n'"),
    ],
)
def test_jsonl_that_is_broken_names_its_place(tmp_path, content, message):
    with pytest.raises(InvalidInput, match=message):
        read(tmp_path, "t.jsonl", content, Columns("text", None, ["n"]))


@pytest.mark.parametrize("key", ["true", "null", '""', "[1]", "1.5"])
def test_jsonl_ids_are_texts_or_whole_numbers(tmp_path, key):
    with pytest.raises(InvalidInput, match="line 1: expected an id in 'id'"):
        read(tmp_path, "t.jsonl", f'{{"text": "x", "id": {key}}}', Columns("text", "id"))


def test_an_empty_jsonl_has_no_records(tmp_path):
    assert read(tmp_path, "t.jsonl", "") == []


# Parquet ----------------------------------------------------------------------------------------------------


def parquet(path, **columns):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path, row_group_size=2)


def test_parquet_keeps_types(tmp_path):
    path = tmp_path / "t.parquet"
    day = datetime.date(2026, 1, 2)
    parquet(
        path,
        id=[1, 2, 3],
        text=["a", "b", "c"],
        n=[1.5, float("nan"), None],
        tag=[day, None, day],
        x=[1, 2, 3],
    )
    assert list(read_table(path, ALL)) == [
        Record("1", "a", {"n": 1.5, "tag": "2026-01-02"}),
        Record("2", "b", {}),
        Record("3", "c", {"tag": "2026-01-02"}),
    ]


def test_parquet_of_odd_types(tmp_path):
    path = tmp_path / "t.parquet"
    parquet(path, text=["a"], n=[[{"x": Decimal("1.50")}]], tag=[True])
    assert next(read_table(path, Columns("text", None, ["n", "tag"]))).metadata == {
        "n": [{"x": 1.5}],
        "tag": True,
    }


def test_parquet_errors_name_their_place(tmp_path):
    path = tmp_path / "t.parquet"
    parquet(path, text=["a", None], n=[b"\xff", b""])
    with pytest.raises(InvalidInput, match=r"t\.parquet has no column 'body'\. It has 'text', 'n'"):
        list(read_table(path, Columns("body")))
    with pytest.raises(InvalidInput, match=r"row 2: expected a text in 'text', got nothing"):
        list(read_table(path, Columns("text")))
    with pytest.raises(InvalidInput, match=r"row 1: 'n' holds bytes, which JSON has no type for"):
        list(read_table(path, Columns("text", None, ["n"])))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"not parquet at all"])
def test_parquet_that_is_broken(tmp_path, data):
    pytest.importorskip("pyarrow")
    with pytest.raises(InvalidInput, match=r"t\.parquet is not Parquet that can be read"):
        read(tmp_path, "t.parquet", data)


def test_parquet_without_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"samespace\[parquet\]"):
        read(tmp_path, "t.parquet", b"")


def test_a_table_that_is_none(tmp_path):
    with pytest.raises(InvalidInput, match=r"ends in \.csv, \.tsv, \.jsonl, \.ndjson, \.parquet; got .*x\.txt"):
        read_table(tmp_path / "x.txt", ALL)
    with pytest.raises(NotFound, match=r"no file .*x\.csv"):
        read_table(tmp_path / "x.csv", ALL)


def test_rows_are_read_as_they_are_taken(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text\ngood\n" + "bad,row\n")
    records = read_table(path, Columns("text"))
    assert next(records).content == "good"
    with pytest.raises(InvalidInput, match="line 3"):
        next(records)
