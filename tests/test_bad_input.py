"""Every public call with what it cannot use: the class of the error, what it says, and that nothing changed.

The table of docs/reference/bad-input.md is made of these rows (``python tests/docs/reference.py``).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from samespace import errors

PRELUDE = """\
import numpy as np
import samespace as ss
from samespace.interchange import export_collection, import_collection, read_header
from samespace.testing.encoder import CharacterEncoder

encoder = CharacterEncoder()                    # makes vectors of dimension 32
stranger = CharacterEncoder(model="stranger")   # the same dimension, another space
space = ss.Space("declared", 3)                 # for vectors that are made elsewhere
one = ss.Vectors([[1.0, 0.0, 0.0]], space)

notes = ss.open("notes.ss", encoder)
notes.add(["cat", "dog"], ids=["a", "b"], metadata=[{"year": 2024}, {"year": 2025}])
bare = ss.open("bare.ss", space=space)          # a collection without an encoder
bare.add(["one"], ids=["one"], vectors=one)
closed = ss.open("closed.ss", encoder)
closed.close()
"""


@dataclass(frozen=True)
class Case:
    """A call that cannot do what it is asked.

    ``says`` is a part of the message. ``stored`` counts the rows that the collection keeps nevertheless: an
    iterator shows only at its end that it was too long.
    """

    call: str
    error: str
    says: str
    stored: int = 0


@dataclass(frozen=True)
class Group:
    title: str
    cases: tuple[Case, ...]


GROUPS = (
    Group(
        "Spaces",
        (
            Case('ss.Space("", 3)', "InvalidInput", "Space.model must be a name, got ''"),
            Case("ss.Space(None, 3)", "InvalidInput", "Space.model must be a name, got None"),
            Case('ss.Space("m", 0)', "InvalidInput", "an int from 1 to 65,536, got 0"),
            Case('ss.Space("m", 3.0)', "InvalidInput", "got 3.0"),
            Case('ss.Space("m", True)', "InvalidInput", "got True"),
            Case('ss.Space("m", 10**6)', "InvalidInput", "got 1000000"),
            Case('ss.Space("m", 3, "l2")', "InvalidInput", "one of cosine, dot, euclidean; got 'l2'"),
            Case('ss.Space("m", 3, digest=5)', "InvalidInput", "Space.digest must be a str or None"),
            Case('ss.Space("m", 3, layer="last")', "InvalidInput", "Space.layer must be an int, a text"),
            Case('ss.Space("m", 3, normalized=1)', "InvalidInput", "Space.normalized must be a bool"),
            Case('ss.Space("m", 3, prompts={"doc": "d: "})', "InvalidInput", "got 'doc': 'd: '"),
            Case('ss.Space("m", 3, prompts={"query": None})', "InvalidInput", "got 'query': None"),
            Case('ss.Space("m", 3, prompts="query: ")', "InvalidInput", "maps 'document' and 'query' to text"),
            Case('ss.Space("m", 3, prompts=None)', "InvalidInput", "got None"),
            Case("ss.Space.from_dict(None)", "InvalidInput", "NoneType"),
            Case('ss.Space.from_dict({"model": "m"})', "InvalidInput", "needs 'model' and 'dimension'"),
            Case(
                'ss.Space.from_dict({"model": "m", "dimension": 3, "dim": 3})',
                "InvalidInput",
                "no field 'dim'",
            ),
        ),
    ),
    Group(
        "Vectors",
        (
            Case('ss.Vectors([[1.0, 2.0, 3.0]], "minilm")', "InvalidInput", "the Space they live in, got str"),
            Case("ss.Vectors([[1.0, 2.0, 3.0]], None)", "InvalidInput", "got NoneType"),
            Case(
                'ss.Vectors([[1.0, 2.0, 3.0]], space, "doc")',
                "InvalidInput",
                "'document' or 'query', got 'doc'",
            ),
            Case("ss.Vectors([[1.0, 2.0], [1.0, 2.0, 3.0]], space)", "InvalidVectors", "row 0 is length 2"),
            Case("ss.Vectors([1.0, 2.0, 3.0], space)", "InvalidVectors", "a matrix of one row: array[None, :]"),
            Case("ss.Vectors(np.ones((1, 1, 3)), space)", "InvalidVectors", "got (1, 1, 3)"),
            Case("ss.Vectors([[1.0, 2.0]], space)", "InvalidVectors", "dimension 3, got 2"),
            Case("ss.Vectors([[1, 2, 3]], space)", "InvalidVectors", "got dtype int64"),
            Case('ss.Vectors([["a", "b", "c"]], space)', "InvalidVectors", "got dtype <U1"),
            Case("ss.Vectors([[1j, 0, 0]], space)", "InvalidVectors", "got dtype complex128"),
            Case("ss.Vectors([[None, 1.0, 2.0]], space)", "InvalidVectors", "got Python objects"),
            Case("ss.Vectors(None, space)", "InvalidVectors", "Expected floats"),
            Case("ss.Vectors([[1.0, np.nan, 3.0]], space)", "InvalidVectors", "Row 0 contains NaN"),
            Case("ss.Vectors([[1.0, np.inf, 3.0]], space)", "InvalidVectors", "Row 0 contains infinity"),
            Case("ss.Vectors([[1.0, 1e300, 3.0]], space)", "InvalidVectors", "a finite float32"),
            Case(
                "ss.Vectors([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], space)",
                "InvalidVectors",
                "Row 1 is all zeros",
            ),
            Case(
                'ss.Vectors([[3.0, 0.0, 0.0]], ss.Space("m", 3, normalized=True))',
                "InvalidVectors",
                "Row 0 has length 3",
            ),
            Case(
                "ss.Vectors([[1.0, 2.0, 3.0]], space, receipts=ss.Receipts(np.ones(2), np.ones(2)))",
                "InvalidVectors",
                "2 receipts came for 1 vectors",
            ),
            Case("ss.Vectors([[1.0, 2.0, 3.0]], space, receipts=5)", "InvalidInput", "receipts"),
            Case("one[0, 1]", "InvalidInput", "Index Vectors by"),
            Case("one[None]", "InvalidInput", "Index Vectors by"),
            Case("one[0]", "InvalidInput", "vectors[0:1]"),
            Case("ss.similarity(one, np.ones((1, 3)))", "InvalidInput", "compares Vectors, got ndarray"),
            Case(
                'ss.similarity(encoder.encode_queries(["cat"]), stranger.encode_documents(["cat"]))',
                "SpaceMismatch",
                "model: 'samespace/characters' against 'stranger'",
            ),
            Case(
                'ss.similarity(one, encoder.encode_queries(["cat"]))',
                "SpaceMismatch",
                "dimension: 3 against 32",
            ),
        ),
    ),
    Group(
        "Encoders",
        (
            Case('ss.encoder("word2vec")', "NotFound", "The encoders are: minilm, wordllama"),
            Case("ss.encoder(None)", "InvalidInput", "An encoder's name must be a text, got None"),
            Case('ss.encoder("minilm", threads=0)', "InvalidInput", "a positive int or None, got 0"),
            Case('ss.encoder("minilm", threads="2")', "InvalidInput", "got '2'"),
            Case('encoder.encode_documents("one text")', "InvalidInput", "in a list: [text]"),
            Case("encoder.encode_documents(None)", "InvalidInput", "a list of texts, got NoneType"),
            Case(
                'encoder.encode_documents(["cat", None])',
                "InvalidInput",
                "Item 1 must be a text (str), got NoneType",
            ),
            Case('encoder.encode_documents([b"cat"])', "InvalidInput", "got bytes"),
            Case('encoder.encode_documents(["cat", " "])', "InvalidInput", "Item 1 is blank"),
            Case('encoder.encode_documents(["\\ud800"])', "InvalidInput", "Item 0 is not valid Unicode"),
            Case('encoder.encode_queries([""])', "InvalidInput", "Item 0 is blank"),
            Case('list(encoder.stream(["cat"], "doc"))', "InvalidInput", "role must be 'document' or 'query'"),
            Case('list(encoder.stream(["cat"], batch=0))', "InvalidInput", "batch must be a positive int"),
            Case('encoder.count_tokens("cat")', "InvalidInput", "Expected a list of texts, got one str"),
            Case(
                'ss.encoder("minilm").encode_documents(["\\u200b"])',
                "InvalidInput",
                "holds nothing that the encoder 'minilm' knows",
            ),
        ),
    ),
    Group(
        "Opening",
        (
            Case('ss.open("")', "InvalidInput", "path must name a folder"),
            Case("ss.open(None)", "InvalidInput", "path must name a folder, or be a URL, got None"),
            Case('ss.open("\\0")', "InvalidInput", "characters that no file name can have"),
            Case('ss.open("\\ud800")', "InvalidInput", "characters that no file name can have"),
            Case('ss.open("letter.txt")', "InvalidInput", "letter.txt is a file"),
            Case('ss.open("folder")', "InvalidInput", "a folder with other files in it"),
            Case('ss.open("none.ss", create=False)', "NotFound", "There is no collection at none.ss"),
            Case('ss.open("new.ss", "word2vec")', "NotFound", "There is no encoder 'word2vec'"),
            Case('ss.open("new.ss", 5)', "InvalidInput", "a name or an Encoder, got int"),
            Case('ss.open("new.ss", space="minilm")', "InvalidInput", "space must be a Space, got str"),
            Case('ss.open("new.ss", encoder, engine="annoy")', "NotFound", "annoy"),
            Case('ss.open("new.ss", threads=0)', "InvalidInput", "threads must be a positive int"),
            Case('ss.open("notes.ss", encoder, threads=2)', "InvalidInput", "this one was made already"),
            Case('ss.open("notes.ss", encoder, timeout="soon")', "InvalidInput", "timeout must be a number of seconds"),
            Case('ss.open("notes.ss", encoder, timeout=-1)', "InvalidInput", "got -1"),
            Case('ss.open("notes.ss", "minilm")', "SpaceMismatch", "dimension: 32 against 384"),
            Case('ss.open("notes.ss", stranger)', "SpaceMismatch", "'samespace/characters' against 'stranger'"),
            Case('ss.open("notes.ss", space=space)', "SpaceMismatch", "Cannot open notes.ss"),
            Case(
                'ss.open("notes.ss", CharacterEncoder(metric="dot"))',
                "SpaceMismatch",
                "metric: 'cosine' against 'dot'",
            ),
            Case(
                'ss.open("notes.ss", CharacterEncoder(prompts={"query": "find: "}))',
                "SpaceMismatch",
                "prompts: {'query': '? '} against {'query': 'find: '}",
            ),
            Case(
                'ss.open("new.ss", encoder, space=space)',
                "SpaceMismatch",
                "open a collection with this encoder",
            ),
        ),
    ),
    Group(
        "Adding",
        (
            Case(
                'notes.add("one text")',
                "InvalidInput",
                "contents must be a list, one for each row, got one str",
            ),
            Case("notes.add(None)", "InvalidInput", "contents must be a list or an iterator, got NoneType"),
            Case("notes.add(5)", "InvalidInput", "contents must be a list or an iterator, got int"),
            Case(
                "notes.add([None])",
                "InvalidInput",
                "Only rows that bring their vector may go without a content",
            ),
            Case(
                'notes.add(["new", b"bytes"])',
                "InvalidInput",
                "The content of row 1 must be a text (str), got bytes",
            ),
            Case('notes.add(["new", ""])', "InvalidInput", "The content of row 1 is blank"),
            Case('notes.add(["\\ud800"])', "InvalidInput", "The content of row 0 is not valid Unicode"),
            Case(
                'notes.add(["new"], ids=[""])',
                "InvalidInput",
                "The id of row 0 must be a text that is not empty",
            ),
            Case('notes.add(["new"], ids=[None])', "InvalidInput", "got None"),
            Case('notes.add(["new"], ids=[5])', "InvalidInput", "got 5"),
            Case('notes.add(["new"], ids=["\\ud800"])', "InvalidInput", "The id of row 0 is not valid Unicode"),
            Case('notes.add(["new"], ids="n")', "InvalidInput", "ids must be a list"),
            Case('notes.add(["new"], ids=["n", "m"])', "InvalidInput", "1 contents, 2 ids. Nothing was written"),
            Case('notes.add(["new", "more"], ids=iter(["n"]))', "InvalidInput", "Row 1"),
            Case('notes.add(["new", "more"], metadata=iter([{}]))', "InvalidInput", "Row 1"),
            Case(
                'notes.add(iter(["new"]), ids=iter(["n", "m"]))',
                "InvalidInput",
                "more ids than contents",
                stored=1,
            ),
            Case('notes.add(["new"], metadata={"year": 2024})', "InvalidInput", "got one dict"),
            Case('notes.add(["new"], metadata=[5])', "InvalidInput", "a mapping or None, got int"),
            Case(
                'notes.add(["new"], metadata=[{2024: "year"}])',
                "InvalidInput",
                "has the key 2024; keys must be text",
            ),
            Case(
                'notes.add(["new"], metadata=[{"x": {2024: "year"}}])',
                "InvalidInput",
                "has the key 2024 inside; keys must be text",
            ),
            Case('notes.add(["new"], progress=5)', "InvalidInput", "progress must be a function"),
            Case("ss.content_id(None)", "InvalidInput", "An id is made from a text (str), got NoneType"),
            Case('ss.content_id("\\ud800")', "InvalidInput", "is not valid Unicode"),
            Case('notes.add(["new"], metadata=[{"x": np.nan}])', "InvalidInput", "not JSON compliant"),
            Case('notes.add(["new"], metadata=[{"x": [np.inf]}])', "InvalidInput", "not JSON compliant"),
            Case('notes.add(["new"], metadata=[{"x": {1, 2}}])', "InvalidInput", "set is not a JSON type"),
            Case('notes.add(["new"], metadata=[{"x": b"raw"}])', "InvalidInput", "bytes is not a JSON type"),
            Case(
                'notes.add(["new"], metadata=[{"x": np.ones(3)}])',
                "InvalidInput",
                "ndarray is not a JSON type",
            ),
            Case('notes.add(["new"], metadata=[{"x": "\\ud800"}])', "InvalidInput", "surrogates not allowed"),
            Case(
                'bare.add(["new"])',
                "InvalidInput",
                "bare.ss has no encoder, so rows",
            ),
            Case(
                'bare.add(["new"], vectors=np.ones((1, 3)))',
                "InvalidInput",
                "A raw array comes in with its space",
            ),
            Case('bare.add(["new"], vectors=[[1.0, 0.0, 0.0]])', "InvalidInput", "must yield Vectors, got list"),
            Case('bare.add(["new", "more"], vectors=one)', "InvalidInput", "2 contents, 1 vectors"),
            Case(
                'bare.add(["new", "more"], vectors=iter([one]))',
                "InvalidVectors",
                "Row 1 has a content but no vector",
            ),
            Case(
                'bare.add(iter(["new"]), vectors=iter([one, one]))',
                "InvalidVectors",
                "more vectors",
                stored=1,
            ),
            Case("bare.add([None], vectors=one)", "InvalidInput", "neither a content nor an id"),
            Case(
                'notes.add(["new"], vectors=encoder.encode_queries(["new"]))',
                "InvalidInput",
                "have the role 'query'",
            ),
            Case(
                'notes.add(["new"], vectors=stranger.encode_documents(["new"]))',
                "SpaceMismatch",
                "Cannot add these vectors to the collection",
            ),
            Case('notes.add(["new"], vectors=iter([one]))', "SpaceMismatch", "dimension: 32 against 3"),
        ),
    ),
    Group(
        "Getting and deleting",
        (
            Case('notes.get("a")', "InvalidInput", "ids must be a list of texts, got str"),
            Case("notes.get(None)", "InvalidInput", "ids must be a list of texts, got NoneType"),
            Case('notes.get(["a", 5])', "InvalidInput", "ids[1] must be a text"),
            Case('notes.get(["\\ud800"])', "InvalidInput", "is not valid Unicode"),
            Case("notes.delete()", "InvalidInput", "ids or where="),
            Case('notes.delete(["a"], where={"year": 2024})', "InvalidInput", "ids or where="),
            Case('notes.delete("a")', "InvalidInput", "ids must be a list of texts, got str"),
            Case('notes.delete([b"a"])', "InvalidInput", "ids[0] must be a text"),
            Case("notes.delete(where={})", "InvalidFilter", "an empty mapping has no condition"),
        ),
    ),
    Group(
        "Searching",
        (
            Case('notes.search("")', "InvalidInput", "a text that is not blank, got ''"),
            Case("notes.search(None)", "InvalidInput", "a text or Vectors of one row, got NoneType"),
            Case('notes.search(b"cat")', "InvalidInput", "got bytes"),
            Case('notes.search(["cat"])', "InvalidInput", "got list"),
            Case("notes.search(np.ones(32))", "InvalidInput", "got ndarray"),
            Case('notes.search("\\ud800")', "InvalidInput", "is not valid Unicode"),
            Case('notes.search("cat", 0)', "InvalidInput", "a whole number of at least 1, got 0"),
            Case('notes.search("cat", -1)', "InvalidInput", "got -1"),
            Case('notes.search("cat", 1.5)', "InvalidInput", "got 1.5"),
            Case('notes.search("cat", True)', "InvalidInput", "got True"),
            Case('notes.search("cat", "3")', "InvalidInput", "got '3'"),
            Case(
                'notes.search("cat", mode="meaning")',
                "InvalidInput",
                "one of vector, text, hybrid; got 'meaning'",
            ),
            Case(
                'notes.search("cat", min_score="high")',
                "InvalidInput",
                "min_score must be a number, got 'high'",
            ),
            Case('notes.search("\\ud800", mode="text")', "InvalidInput", "is not valid Unicode"),
            Case('notes.search("cat", min_score=np.nan)', "InvalidInput", "min_score must be a number"),
            Case('notes.search("cat", min_score=True)', "InvalidInput", "min_score must be a number"),
            Case("notes.search(one)", "SpaceMismatch", "Cannot search notes.ss"),
            Case('notes.search(stranger.encode_queries(["cat"]))', "SpaceMismatch", "against 'stranger'"),
            Case(
                'notes.search(encoder.encode_queries(["cat", "dog"]))',
                "InvalidInput",
                "got 2 rows; use search_batch",
            ),
            Case(
                'notes.search(encoder.encode_queries(["cat"]), mode="text")',
                "InvalidInput",
                "needs queries as text",
            ),
            Case('bare.search("cat")', "InvalidInput", "bare.ss has no encoder, so"),
            Case('bare.search("cat", mode="hybrid")', "InvalidInput", "has no encoder"),
            Case('notes.search_batch("cat")', "InvalidInput", "a list of texts or Vectors, got str"),
            Case('notes.search_batch(["cat", ""])', "InvalidInput", "Query 1 must be a text that is not blank"),
            Case('notes.search_batch(["cat"], 0)', "InvalidInput", "k must be a whole number of at least 1"),
        ),
    ),
    Group(
        "Filters",
        (
            Case('notes.count("year = 2024")', "InvalidFilter", "where: expected a mapping such as"),
            Case("notes.count({})", "InvalidFilter", "an empty mapping has no condition"),
            Case(
                'notes.count({"year": {"$near": 2024}})',
                "InvalidFilter",
                "where.year.$near: unknown word '$near'",
            ),
            Case('notes.count({"$nor": [{"year": 1}]})', "InvalidFilter", "Did you mean $or?"),
            Case('notes.count({"year": {"$in": 2024}})', "InvalidFilter", "$in takes a list of values"),
            Case('notes.count({"year": [2024, 2025]})', "InvalidFilter", "For any of several values, use $in"),
            Case('notes.count({"year": {"$gt": None}})', "InvalidFilter", "$gt takes a number or a string"),
            Case('notes.count({"year": {"$gt": True}})', "InvalidFilter", "got True (bool)"),
            Case('notes.count({"year": {"$eq": np.nan}})', "InvalidFilter", "NaN equals nothing"),
            Case('notes.count({"year": {"$exists": "yes"}})', "InvalidFilter", "$exists takes true or false"),
            Case('notes.count({"year": {"$not": 2024}})', "InvalidFilter", "For a single value, use $ne"),
            Case('notes.count({"year": {}})', "InvalidFilter", "expected at least one operator"),
            Case(
                'notes.count({"year": {"month": 1}})',
                "InvalidFilter",
                "what is inside an object cannot be filtered",
            ),
            Case("notes.rows({})", "InvalidFilter", "an empty mapping has no condition"),
            Case("notes.ids([])", "InvalidFilter", "expected a mapping"),
            Case('notes.count({"$or": []})', "InvalidFilter", "a list of one or more conditions"),
            Case('notes.count({"$and": {"year": 2024}})', "InvalidFilter", "a list of one or more conditions"),
            Case('notes.count({"$eq": 2024})', "InvalidFilter", "$eq compares a field"),
            Case("notes.count({2024: 1})", "InvalidFilter", "field names that are text, got the key 2024"),
            Case(
                'notes.search("cat", where={"year": {"$between": [1, 2]}})',
                "InvalidFilter",
                "where.year.$between",
            ),
            Case(
                'list(notes.rows({"$or": [{"year": {"$gte": []}}]}))',
                "InvalidFilter",
                "where.$or[0].year.$gte",
            ),
        ),
    ),
    Group(
        "Export and import",
        (
            Case('export_collection(notes, "notes.csv")', "InvalidInput", ".jsonl or .parquet, got 'notes.csv'"),
            Case('export_collection(notes, "nowhere/notes.jsonl")', "StorageError", "Cannot write nowhere/notes.jsonl"),
            Case('export_collection(notes, "n.jsonl", {"year": {}})', "InvalidFilter", "where.year"),
            Case("export_collection(notes, 5)", "InvalidInput", "Expected a path or an open text file, got int"),
            Case('export_collection(notes, "folder.jsonl")', "StorageError", "Cannot write folder.jsonl"),
            Case("import_collection(notes, None)", "InvalidInput", "Expected a path, got NoneType"),
            Case('read_header("missing.jsonl")', "NotFound", "There is no file missing.jsonl"),
            Case('read_header("plain.jsonl")', "InvalidInput", "does not begin with samespace's header"),
            Case('import_collection(notes, "missing.jsonl")', "NotFound", "There is no file missing.jsonl"),
            Case(
                'import_collection(notes, "letter.txt")',
                "InvalidInput",
                ".jsonl or .parquet, got 'letter.txt'",
            ),
            Case('import_collection(notes, "bare.jsonl")', "SpaceMismatch", "import bare.jsonl into notes.ss"),
            Case(
                'import_collection(notes, "bare.parquet")',
                "SpaceMismatch",
                "import bare.parquet into notes.ss",
            ),
            Case(
                'import_collection(notes, "plain.jsonl")',
                "InvalidInput",
                "does not begin with samespace's header",
            ),
            Case(
                'import_collection(notes, "empty.jsonl")',
                "InvalidInput",
                "does not begin with samespace's header",
            ),
            Case(
                'import_collection(notes, "newer.jsonl")',
                "InvalidInput",
                "has format 99; this samespace reads 1",
            ),
            Case('import_collection(notes, "torn.jsonl")', "InvalidInput", "Line 3 is not a row", stored=1),
            Case('import_collection(notes, "latin.jsonl")', "InvalidInput", "latin.jsonl"),
            Case(
                'import_collection(notes, "counts.jsonl")',
                "InvalidInput",
                "tokens_seen and tokens_total must be whole numbers",
            ),
            Case(
                'import_collection(notes, "torn.parquet")',
                "InvalidInput",
                "is not a Parquet file that can be read",
            ),
            Case('import_collection(notes, "short.jsonl")', "InvalidInput", "dimension 32, got 1"),
        ),
    ),
    Group(
        "Recall and memory",
        (
            Case('ss.open("new.ss", recall=2)', "InvalidInput", "above 0 and at most 1, got 2"),
            Case('ss.open("new.ss", recall=True)', "InvalidInput", "recall must be a number"),
            Case('ss.open("new.ss", memory="big")', "NotFound", "the tiers are full, codes, half, disk"),
            Case('ss.open("new.ss", on_recall=5)', "InvalidInput", "a function of a RecallReport, got 5"),
            Case('notes.search("cat", recall=0)', "InvalidInput", "got 0"),
            Case('notes.search("cat", k=None)', "InvalidInput", "k=None asks for all rows of min_score="),
            Case('notes.search("cat", k=None, min_score=0.5, mode="text")', "InvalidInput", 'mode="vector"'),
            Case('notes.search("cat", k=None, min_score="high")', "InvalidInput", "min_score must be a number"),
            Case('notes.similar("nobody")', "NotFound", "has no row 'nobody'"),
            Case("notes.similar(5)", "InvalidInput", "5"),
            Case('notes.nearest("cat")', "InvalidInput", "a list of texts or Vectors, got str"),
            Case("notes.nearest(one)", "SpaceMismatch", "dimension"),
            Case("notes.tune(1.5)", "InvalidInput", "got 1.5"),
            Case(
                'notes.tune(engines=["annoy"])', "NotFound", "There is no engine 'annoy'; the engines are exact, scan"
            ),
            Case("notes.tune(engines=[])", "InvalidInput", "at least one engine"),
            Case("notes.tune(progress=5)", "InvalidInput", "a function of a text and a number"),
            Case('notes.compact(memory="big")', "NotFound", "no memory tier 'big'"),
        ),
    ),
    Group(
        "After close, and damaged files",
        (
            Case('closed.add(["new"])', "CollectionClosed", "closed.ss was closed. Open it again"),
            Case('closed.search("cat")', "CollectionClosed", "was closed"),
            Case("closed.count()", "CollectionClosed", "was closed"),
            Case('closed.get(["a"])', "CollectionClosed", "was closed"),
            Case('closed.delete(["a"])', "CollectionClosed", "was closed"),
            Case("list(closed)", "CollectionClosed", "was closed"),
            Case("closed.info()", "CollectionClosed", "was closed"),
            Case("closed.compact()", "CollectionClosed", "was closed"),
            Case('ss.open("garbage.ss")', "CollectionCorrupt", "damaged (file is not a database)"),
            Case('ss.open("foreign.ss")', "CollectionCorrupt", "not a catalogue of samespace"),
            Case('ss.open("newer.ss")', "CollectionCorrupt", "has format 99; this samespace reads up to 2"),
            Case('ss.open("nameless.ss", encoder)', "CollectionCorrupt", "no readable space record"),
            Case(
                'ss.open("half.ss", encoder)',
                "CollectionCorrupt",
                "has 100 bytes, but the catalogue names 2 vectors",
            ),
            Case('ss.open("gone.ss", encoder)', "CollectionCorrupt", "vectors-0.f32 is missing"),
            Case('ss.open("emptied.ss", encoder)', "CollectionCorrupt", "Was it copied without catalog.sqlite-wal?"),
            Case('ss.open("unnumbered.ss", encoder)', "CollectionCorrupt", "does not say which slots it has"),
            Case('list(ss.open("edited.ss", encoder))', "CollectionCorrupt", "is not JSON"),
            Case("closed.add([])", "CollectionClosed", "was closed"),
            Case('ss.open("busy.ss", encoder, timeout=0.05).add(["new"])', "CollectionBusy", "raise timeout="),
        ),
    ),
)

CASES = [case for group in GROUPS for case in group.cases]


def prepare() -> dict[str, object]:
    """Make, in the current folder, what the calls name; and the namespace that they are made in."""
    namespace: dict[str, object] = {}
    exec(PRELUDE, namespace)
    from samespace.interchange import export_collection
    from samespace.testing.encoder import CharacterEncoder

    Path("letter.txt").write_text("Dear reader")
    Path("folder").mkdir()
    Path("folder/letter.txt").write_text("Dear reader")
    for name in ("notes", "bare"):
        for suffix in ("jsonl", "parquet"):
            export_collection(namespace[name], f"{name}.{suffix}")
    header, first, second = Path("notes.jsonl").read_text().splitlines()
    Path("plain.jsonl").write_text('{"text": "cat"}\n')
    Path("empty.jsonl").write_text("")
    Path("newer.jsonl").write_text(header.replace('"samespace": 1', '"samespace": 99') + "\n")
    Path("torn.jsonl").write_text("\n".join([header, first.replace('"a"', '"n"'), second[:40]]))
    Path("torn.parquet").write_bytes(Path("notes.parquet").read_bytes()[:-20])
    Path("short.jsonl").write_text(header + '\n{"id": "n", "content": "x", "metadata": {}, "vector": [1.0]}\n')

    Path("latin.jsonl").write_bytes(header.encode() + b'\n{"id": "caf\xe9"}\n')
    Path("counts.jsonl").write_text(header + "\n" + first.replace('"tokens_seen": 3', '"tokens_seen": "3"') + "\n")
    Path("folder.jsonl").mkdir()

    def made(name: str) -> Path:
        import samespace as ss

        with ss.open(name, CharacterEncoder()) as collection:
            collection.add(["cat", "dog"], ids=["a", "b"])
        return Path(name)

    (made("garbage.ss") / "catalog.sqlite").write_bytes(b"no database at all" * 400)
    (made("half.ss") / "vectors-0.f32").write_bytes(b"\0" * 100)
    (made("gone.ss") / "vectors-0.f32").unlink()
    (made("emptied.ss") / "catalog.sqlite").write_bytes(b"")
    edits = {
        "foreign.ss": "PRAGMA application_id = 7",
        "newer.ss": "PRAGMA user_version = 99",
        "unnumbered.ss": "DELETE FROM meta WHERE key = 'end_slot'",
        "edited.ss": "UPDATE rows SET metadata = '{' WHERE id = 'b'",
        "nameless.ss": "DELETE FROM meta WHERE key = 'space'",
    }
    for name, edit in edits.items():
        with contextlib.closing(sqlite3.connect(made(name) / "catalog.sqlite")) as connection:
            connection.execute(edit)
            connection.commit()
    # Another program that holds the write lock and does not let go.
    other = sqlite3.connect(made("busy.ss") / "catalog.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    namespace["_other_writer"] = other
    return namespace


def answer(case: Case, namespace: dict[str, object]) -> errors.SamespaceError:
    """The error that the call raises."""
    with pytest.raises(errors.SamespaceError) as caught:
        eval(case.call, namespace)
    return caught.value


@pytest.fixture(scope="module")
def namespace(tmp_path_factory):
    with contextlib.chdir(tmp_path_factory.mktemp("bad_input")):
        made = prepare()
        yield made
        made["_other_writer"].close()
        for name in ("notes", "bare"):
            made[name].close()


def state(namespace):
    return {
        name: [(row.id, row.content, dict(row.metadata), row.vector.tobytes()) for row in namespace[name]]
        for name in ("notes", "bare")
    }


@pytest.mark.parametrize("case", CASES, ids=[case.call for case in CASES])
def test_bad_input_gets_a_clear_error_and_changes_nothing(case, namespace):
    before = state(namespace)
    error = answer(case, namespace)
    assert type(error).__name__ == case.error
    assert case.says in str(error), str(error)
    assert str(error).endswith("."), "a message is a sentence"
    after = state(namespace)
    for name, rows in before.items():
        assert after[name][: len(rows)] == rows
        assert namespace[name].verify() == []
    assert sum(map(len, after.values())) - sum(map(len, before.values())) == case.stored
    for name, rows in before.items():
        new = [row[0] for row in after[name] if row not in rows]
        assert namespace[name].delete(new) == len(new)


def test_there_are_enough_of_them():
    assert len(CASES) >= 40
    assert len({case.call for case in CASES}) == len(CASES)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_write_permission(tmp_path):
    import samespace as ss
    from samespace.testing.encoder import CharacterEncoder

    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(ss.StorageError, match="Cannot use"):
            ss.open(tmp_path / "notes.ss", CharacterEncoder())
    finally:
        tmp_path.chmod(stat.S_IRWXU)
