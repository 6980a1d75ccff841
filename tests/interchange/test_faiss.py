"""Every kind of index that Faiss makes: those that keep vectors whole, those that round, those that cannot be had."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

import samespace as ss
from interchange.conftest import TEXTS
from interchange.foreign import write_rows
from samespace import InvalidInput, Space
from samespace.interchange import Columns, import_collection, read_source

D = 16


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture(scope="module")
def data():
    array = np.random.default_rng(5).normal(size=(700, D)).astype(np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def written(tmp_path, data, kind, *, numbers=None, metric=faiss.METRIC_INNER_PRODUCT):
    index = faiss.index_factory(D, kind, metric)
    index.train(data)
    if numbers is None:
        index.add(data)
    else:
        index.add_with_ids(data, numbers)
    faiss.write_index(index, str(tmp_path / "old.faiss"))
    return tmp_path / "old.faiss"


@pytest.fixture
def bare(tmp_path):
    with ss.open(tmp_path / "bare.ss", space=Space("acme/embed", D)) as collection:
        yield collection


WHOLE = ["Flat", "HNSW8", "NSG8", "IVF4,Flat", "IVF4_HNSW4,Flat", "Flat,RFlat", "PQ4x4,RFlat", "IVF4,PQ4x4,RFlat"]


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("metric", [faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2])
def test_whole_vectors_come_bit_for_bit(tmp_path, data, bare, kind, metric):
    place = written(tmp_path, data, kind, metric=metric)
    import_collection(bare, place, space=bare.space)
    rows = bare.get([str(n) for n in range(700)])
    assert np.array_equal(np.stack([row.vector for row in rows]), ss.Vectors(data, bare.space).comparable)
    with read_source(place) as source:
        assert source.recorded.metric == ("euclidean" if metric == faiss.METRIC_L2 else "dot")


@pytest.mark.parametrize(
    "kind", ["IDMap,Flat", "IDMap2,Flat", "IDMap,HNSW8", "IDMap2,HNSW8", "IVF4,Flat", "IDMap,IVF4,Flat"]
)
def test_the_ids_of_the_index_are_those_of_the_rows(tmp_path, data, bare, kind):
    numbers = np.random.default_rng(1).permutation(10_000)[:700] - 5_000
    import_collection(bare, written(tmp_path, data, kind, numbers=numbers), space=bare.space)
    rows = bare.get([str(n) for n in numbers])
    assert len(rows) == 700
    assert np.array_equal(np.stack([row.vector for row in rows]), ss.Vectors(data, bare.space).comparable)


def test_rows_are_found_by_the_ids_of_the_index(tmp_path, into, vectors):
    numbers = np.arange(150) * 7 + 1
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(384))
    index.add_with_ids(np.array(vectors), numbers)
    index.remove_ids(np.array([1, 8]))
    faiss.write_index(index, str(tmp_path / "old.faiss"))
    order = list(range(149, 1, -1))  # rows in another order than the vectors
    rows = write_rows(tmp_path / "rows.jsonl", [TEXTS[n] for n in order], [str(numbers[n]) for n in order])
    assert import_collection(into, tmp_path / "old.faiss", columns=Columns(rows=rows)).added == 148
    (row,) = into.get(["15"])
    assert row.content == TEXTS[2]


@pytest.mark.parametrize("kind", ["SQ8", "SQfp16", "HNSW8_SQ8", "IVF4,SQ8", "IDMap,SQ8"])
def test_rounded_vectors_come_with_a_remark(tmp_path, data, bare, kind):
    numbers = np.arange(700) if "IDMap" in kind else None
    notes = []
    import_collection(bare, written(tmp_path, data, kind, numbers=numbers), space=bare.space, tell=notes.append)
    assert "rounded its vectors to" in notes[-1]
    rows = bare.get([str(n) for n in range(700)])
    assert np.abs(np.stack([row.vector for row in rows]) - data).max() < 0.02


@pytest.mark.parametrize("kind", ["PQ4x4", "SQ4", "OPQ4,PQ4x4", "IVF4,PQ4x4", "PCA8,Flat", "RaBitQ", "HNSW8_PQ4x4"])
def test_codes_are_refused(tmp_path, data, bare, kind):
    with pytest.raises(InvalidInput, match=r"is an Index.*, which keeps codes and not the vectors"):
        import_collection(bare, written(tmp_path, data, kind), space=bare.space)
    assert bare.count() == 0


def test_a_rounded_index_of_the_model_is_proven(tmp_path, into, vectors):
    index = faiss.IndexScalarQuantizer(384, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    index.train(np.array(vectors))
    index.add(np.array(vectors))
    faiss.write_index(index, str(tmp_path / "old.faiss"))
    columns = Columns(rows=write_rows(tmp_path / "rows.jsonl", TEXTS))
    assert import_collection(into, tmp_path / "old.faiss", columns=columns).added == 150


@pytest.mark.parametrize("kind", ["Flat", "HNSW8", "IVF4,Flat", "IDMap,Flat", "SQ8"])
def test_no_torn_index_ends_the_process(tmp_path, data, bare, kind):
    whole = written(tmp_path, data, kind, numbers=np.arange(700) if "IDMap" in kind else None).read_bytes()
    for share in (0, 0.001, 0.02, 0.3, 0.7, 0.97, 0.999):
        (tmp_path / "torn.faiss").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InvalidInput, match=r"is not an index of Faiss that can be read|is torn"):
            import_collection(bare, tmp_path / "torn.faiss", space=bare.space)
    assert bare.count() == 0
