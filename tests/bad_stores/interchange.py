"""Files and databases that cannot be imported as they are, and places that cannot be exported to."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np

import samespace as ss
from bad_encoders.case import Case
from samespace import InvalidInput, InvalidVectors, NotFound, Space, SpaceMismatch
from samespace.interchange import Columns, export_collection, import_collection
from samespace.testing.encoder import CharacterEncoder

__all__ = ["CASES"]

_TEXTS = ["the cat", "a dog", "two birds"]


def _vectors() -> np.ndarray:
    return CharacterEncoder().encode_documents(_TEXTS).array


def _import(prepare: Callable[[Path], object], source: str, columns: Columns | None = None) -> Callable[[Path], object]:
    """Prepare files, and import one of them; whatever comes, nothing may be let in."""

    def act(tmp: Path) -> object:
        prepare(tmp)
        with ss.open(tmp / "notes.ss", CharacterEncoder()) as notes:
            try:
                return import_collection(notes, source, columns=columns)
            finally:
                assert notes.count() == 0

    return act


def _export(target: str, prepare: Callable[[Path], object] = lambda _tmp: None) -> Callable[[Path], object]:
    def act(tmp: Path) -> object:
        prepare(tmp)
        with ss.open(tmp / "notes.ss", CharacterEncoder()) as notes:
            notes.add(_TEXTS)
            return export_collection(notes, target)

    return act


def _npy(array: object, rows: int = 3) -> Callable[[Path], object]:
    def prepare(tmp: Path) -> None:
        np.save(tmp / "v.npy", np.asarray(array), allow_pickle=True)
        _rows(tmp, rows)

    return prepare


def _rows(tmp: Path, count: int = 3) -> None:
    lines = [json.dumps({"id": str(n), "text": _TEXTS[n % 3]}) + "\n" for n in range(count)]
    (tmp / "rows.jsonl").write_text("".join(lines))


def _file(name: str, content: bytes) -> Callable[[Path], object]:
    def prepare(tmp: Path) -> None:
        (tmp / name).parent.mkdir(exist_ok=True)
        (tmp / name).write_bytes(content)

    return prepare


def _torn_npy(tmp: Path) -> None:
    _npy(_vectors())(tmp)
    (tmp / "v.npy").write_bytes((tmp / "v.npy").read_bytes()[:-40])


def _faiss(kind: str) -> Callable[[Path], object]:
    def prepare(tmp: Path) -> None:
        import faiss

        vectors = np.random.default_rng(0).normal(size=(300, 32)).astype(np.float32)
        index = faiss.index_factory(32, kind)
        index.train(vectors)
        index.add(vectors)
        faiss.write_index(index, str(tmp / "v.faiss"))

    return prepare


def _torn_faiss(tmp: Path) -> None:
    _faiss("Flat")(tmp)
    (tmp / "v.faiss").write_bytes((tmp / "v.faiss").read_bytes()[:9_000])


def _twins(tmp: Path) -> None:
    import faiss

    index = faiss.IndexIDMap2(faiss.IndexFlatIP(32))
    index.add_with_ids(_vectors(), np.array([5, 7, 5]))
    faiss.write_index(index, str(tmp / "v.faiss"))


def _shortened_rows(tmp: Path) -> None:
    with ss.open(tmp / "before.ss", CharacterEncoder()) as before:
        before.add(_TEXTS)
        export_collection(before, "v.npy")
    beside = tmp / "v.npy.jsonl"
    beside.write_text("".join(beside.read_text().splitlines(keepends=True)[:-1]))


def _parquet(columns: dict[str, object]) -> Callable[[Path], object]:
    def prepare(tmp: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), tmp / "v.parquet")

    return prepare


def _stranger(tmp: Path) -> None:
    _npy(np.random.default_rng(0).normal(size=(3, 32)))(tmp)


def _database(tmp: Path) -> None:
    (tmp / "db").mkdir()
    with sqlite3.connect(tmp / "db" / "chroma.sqlite3") as database:
        database.execute("CREATE TABLE mine (a)")
    database.close()


def _chroma(tmp: Path) -> None:
    import chromadb
    from chromadb.config import Settings

    client = chromadb.PersistentClient(tmp / "db", settings=Settings(anonymized_telemetry=False))
    for name in ("docs", "more"):
        client.create_collection(name, embedding_function=None).add(ids=["1"], embeddings=[[1.0, 0.0]])
    client.close()


def _lancedb(tmp: Path) -> None:
    import lancedb

    lancedb.connect(tmp / "db").create_table("docs", [{"id": "1", "text": "the cat"}])


def _declared(tmp: Path) -> object:
    _npy(_vectors())(tmp)
    with ss.open(tmp / "notes.ss", CharacterEncoder()) as notes:
        return import_collection(notes, "v.npy", space=Space("other", 32))


_BESIDE = Columns(rows="rows.jsonl")
_NPY = "import_collection(notes, 'v.npy', columns=Columns(rows='rows.jsonl'))"
_FAISS = "import_collection(notes, 'v.faiss')"
_PARQUET = "import_collection(notes, 'v.parquet')"
_CHROMA = "import_collection(notes, 'chroma:db')"
_NAN = np.array([[1.0, np.nan] * 16] * 3)

CASES = [
    Case(
        "a .faiss that is torn",
        _FAISS,
        _import(_torn_faiss, "v.faiss"),
        InvalidInput,
        "not an index of Faiss that can be read",
    ),
    Case(
        "a picture for a .faiss",
        _FAISS,
        _import(_file("v.faiss", b"\x89PNG\r\n\x1a\n" * 9), "v.faiss"),
        InvalidInput,
        "not an index of Faiss that can be read",
    ),
    Case(
        "an index of codes",
        _FAISS,
        _import(_faiss("PQ4x4"), "v.faiss"),
        InvalidInput,
        "is an IndexPQ, which keeps codes and not the vectors",
    ),
    Case(
        "an index with an id twice", _FAISS, _import(_twins, "v.faiss"), InvalidInput, "rows 0 and 2 have one id, '5'"
    ),
    Case(
        "an index without texts",
        _FAISS,
        _import(_faiss("Flat"), "v.faiss"),
        InvalidInput,
        "has no texts, so nothing can prove that characters made its vectors",
    ),
    Case(
        "a .npy that is torn",
        _NPY,
        _import(_torn_npy, "v.npy", _BESIDE),
        InvalidInput,
        "is not an array of numpy that can be read",
    ),
    Case(
        "a .npy of Python objects",
        _NPY,
        _import(_npy(np.array([{}, [], None], object)), "v.npy", _BESIDE),
        InvalidInput,
        "Python objects, which can run any code",
    ),
    Case(
        "a .npy of one dimension",
        _NPY,
        _import(_npy(np.zeros(9)), "v.npy", _BESIDE),
        InvalidInput,
        r"expected an array of floats of shape \(n, dimension\), got float64 of shape \(9,\)",
    ),
    Case(
        "a .npy of whole numbers",
        _NPY,
        _import(_npy(np.ones((3, 32), int)), "v.npy", _BESIDE),
        InvalidInput,
        "got int64 of shape",
    ),
    Case(
        "fewer rows than vectors",
        _NPY,
        _import(_npy(_vectors(), rows=2), "v.npy", _BESIDE),
        InvalidInput,
        "rows.jsonl has 2 rows, and v.npy has 3 vectors",
    ),
    Case(
        "more rows than vectors",
        _NPY,
        _import(_npy(_vectors(), rows=4), "v.npy", _BESIDE),
        InvalidInput,
        "more rows than v.npy has vectors, which are 3",
    ),
    Case(
        "vectors with NaN",
        _NPY,
        _import(_npy(_NAN), "v.npy", _BESIDE),
        InvalidVectors,
        r"the vector of row 0 \('0'\) contains NaN",
    ),
    Case(
        "a vector of zeros",
        _NPY,
        _import(_npy(np.zeros((3, 32))), "v.npy", _BESIDE),
        InvalidVectors,
        r"row 0 \('0'\) is all zeros",
    ),
    Case(
        "vectors of another dimension",
        _NPY,
        _import(_npy(np.ones((3, 8))), "v.npy", _BESIDE),
        SpaceMismatch,
        "have dimension 8, and those of characters 32",
    ),
    Case(
        "vectors of another model", _NPY, _import(_stranger, "v.npy", _BESIDE), SpaceMismatch, "3 of 3 texts do not fit"
    ),
    Case(
        "an export whose rows were shortened",
        "import_collection(notes, 'v.npy')",
        _import(_shortened_rows, "v.npy"),
        InvalidInput,
        "holds 1 vectors that have no row in v.npy.jsonl",
    ),
    Case(
        "no file of rows",
        _NPY,
        _import(lambda tmp: np.save(tmp / "v.npy", _vectors()), "v.npy", _BESIDE),
        NotFound,
        "There is no file rows.jsonl",
    ),
    Case(
        "a table without vectors",
        _PARQUET,
        _import(_parquet({"id": ["1"], "text": ["a"]}), "v.parquet"),
        InvalidInput,
        r"no column of vectors.*'id' \(string\), 'text' \(string\)",
    ),
    Case(
        "a table with two columns of vectors",
        _PARQUET,
        _import(_parquet({"a": [[0.5]], "b": [[0.5]]}), "v.parquet"),
        InvalidInput,
        "2 columns of vectors: 'a', 'b'. Choose one",
    ),
    Case(
        "a table with vectors of two dimensions",
        _PARQUET,
        _import(_parquet({"id": ["1", "2"], "v": [[0.5], [0.5, 1.0]]}), "v.parquet"),
        InvalidInput,
        "'v', rows 0 to 1, are not all of one dimension",
    ),
    Case(
        "a table with a vector that is null",
        _PARQUET,
        _import(_parquet({"id": ["1", "2"], "v": [[0.5], None]}), "v.parquet"),
        InvalidInput,
        "row 1: it has no vector",
    ),
    Case(
        "a column that there is not",
        "import_collection(notes, 'v.parquet', columns=Columns(id='isbn'))",
        _import(_parquet({"v": [[0.5]]}), "v.parquet", Columns(id="isbn")),
        InvalidInput,
        "has no column 'isbn'. It has 'v'",
    ),
    Case(
        "a folder that is not Chroma's",
        _CHROMA,
        _import(lambda tmp: (tmp / "db").mkdir(), "chroma:db"),
        InvalidInput,
        "not a folder of Chroma: it has no chroma.sqlite3",
    ),
    Case(
        "a database that is not Chroma's",
        _CHROMA,
        _import(_database, "chroma:db"),
        InvalidInput,
        "chroma.sqlite3 has not its tables",
    ),
    Case(
        "a Chroma that is damaged",
        _CHROMA,
        _import(_file("db/chroma.sqlite3", b"garbage!" * 999), "chroma:db"),
        InvalidInput,
        "is damaged, or is no file of Chroma",
    ),
    Case(
        "a Chroma of two collections",
        _CHROMA,
        _import(_chroma, "chroma:db"),
        InvalidInput,
        "There are 'docs', 'more'. Name it: chroma:PATH[?]collection=NAME",
    ),
    Case(
        "a collection of Chroma that there is not",
        "import_collection(notes, 'chroma:db?collection=doc')",
        _import(_chroma, "chroma:db?collection=doc"),
        NotFound,
        "has no collection 'doc'. It has 'docs', 'more'",
    ),
    Case(
        "a folder that is not LanceDB's",
        "import_collection(notes, 'lancedb:db')",
        _import(lambda tmp: (tmp / "db").mkdir(), "lancedb:db"),
        InvalidInput,
        "not a folder of LanceDB",
    ),
    Case(
        "a table of LanceDB without vectors",
        "import_collection(notes, 'lancedb:db')",
        _import(_lancedb, "lancedb:db"),
        InvalidInput,
        "no column of vectors",
    ),
    Case(
        "a table of LanceDB that there is not",
        "import_collection(notes, 'lancedb:db?table=doc')",
        _import(_lancedb, "lancedb:db?table=doc"),
        NotFound,
        "has no table 'doc'. It has 'docs'",
    ),
    Case(
        "a table of others to export to",
        "export_collection(notes, 'lancedb:db?table=docs')",
        _export("lancedb:db?table=docs", _lancedb),
        InvalidInput,
        "that samespace did not export, and it stays as it is",
    ),
    Case(
        "an export to Chroma without a name",
        "export_collection(notes, 'chroma:db')",
        _export("chroma:db"),
        InvalidInput,
        "Name the collection: chroma:FOLDER[?]collection=NAME",
    ),
    Case(
        "an export to a server of Chroma",
        "export_collection(notes, 'chroma://host')",
        _export("chroma://host"),
        InvalidInput,
        "in its folder on this machine",
    ),
    Case(
        "an option that Chroma has not",
        "export_collection(notes, 'chroma:db?table=docs')",
        _export("chroma:db?table=docs"),
        InvalidInput,
        "there is no option 'table'; the options are collection",
    ),
    Case(
        "a space that is declared and is not the collection's",
        "import_collection(notes, 'v.npy', space=other)",
        _declared,
        SpaceMismatch,
        "the spaces differ in model",
    ),
]
