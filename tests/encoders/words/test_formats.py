from __future__ import annotations

import bz2
import gzip
import json
import lzma
import shutil
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import samespace.encoders.words.source
from samespace.encoders.words import open_table
from samespace.encoders.words.decimals import decimals
from samespace.errors import InvalidInput, StorageError

WORDS = ["the", "König", "new_york", "हिन्दी", "don't"]
VECTORS = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)


def text(words=WORDS, vectors=VECTORS, header=True, end="\n"):
    lines = [f"{word} {' '.join(map(repr, row.tolist()))}{end}" for word, row in zip(words, vectors, strict=True)]
    return (f"{len(words)} {vectors.shape[1]}\n" if header else "").encode() + "".join(lines).encode()


def binary(words=WORDS, vectors=VECTORS, end=b"\n"):
    rows = (word.encode() + b" " + row.tobytes() + end for word, row in zip(words, vectors, strict=True))
    return f"{len(words)} {vectors.shape[1]}\n".encode() + b"".join(rows)


def wink(words=WORDS, vectors=VECTORS):
    rows = {word: [*row.tolist(), 1.5, at] for at, (word, row) in enumerate(zip(words, vectors, strict=True))}
    about = {"precision": 8, "l2NormIndex": vectors.shape[1], "words": words}
    return json.dumps(about | {"vectors": rows, "unkVector": [0.0] * 9}, separators=(",", ":")).encode()


FORMATS = {
    "word2vec text": text(),
    "word2vec text, with spaces at the ends of lines": text(end=" \n"),
    "word2vec text, from Windows": text(end="\r\n"),
    "word2vec text, with a byte order mark": b"\xef\xbb\xbf" + text(),
    "word2vec text, without a last newline": text()[:-1],
    "word2vec text, with tabs": text().replace(b" ", b"\t").replace(b"\t", b" ", 1),
    "GloVe": text(header=False),
    "word2vec binary": binary(),
    "word2vec binary, without newlines": binary(end=b""),
    "wink": wink(),
    "gzip": gzip.compress(text()),
    "bzip2": bz2.compress(binary()),
    "xz": lzma.compress(wink()),
}


@pytest.fixture
def file(tmp_path):
    def file(content, name="vectors"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return file


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("chunk", [8 << 20, 5], ids=["whole", "five bytes at a time"])
def test_every_format_gives_the_same_table(name, chunk, file, monkeypatch):
    monkeypatch.setattr(samespace.encoders.words.source, "_CHUNK", chunk)
    table = open_table(file(FORMATS[name], f"{name}-{chunk}"))
    assert list(table.words) == WORDS
    np.testing.assert_array_equal(table.vectors, VECTORS)
    np.testing.assert_allclose(table.norms, np.linalg.norm(VECTORS, axis=1), rtol=1e-6)
    assert table.words.find([*WORDS, "missing", "The"]).tolist() == [0, 1, 2, 3, 4, -1, -1]
    assert table.digest == open_table(file(FORMATS["GloVe"], "glove")).digest


def test_a_file_is_read_once(file, monkeypatch):
    path = file(text())
    first = open_table(path)
    monkeypatch.setattr("samespace.encoders.words.opening.open_source", lambda *_: pytest.fail("read again"))
    begun = time.perf_counter()
    again = open_table(path)
    assert time.perf_counter() - begun < 0.25
    np.testing.assert_array_equal(first.vectors, again.vectors)


def test_progress_ends_at_the_size_of_the_file(file):
    path, seen = file(gzip.compress(text())), []
    open_table(path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_changed_file_is_another_table(file):
    first = open_table(file(text()))
    second = open_table(file(text(vectors=VECTORS + 1)))
    np.testing.assert_array_equal(first.vectors, VECTORS)
    np.testing.assert_array_equal(second.vectors, VECTORS + 1)
    assert first.digest != second.digest


@pytest.mark.parametrize("name", ["word2vec text", "GloVe", "word2vec binary", "wink", "gzip"])
def test_a_limit_reads_the_beginning(name, file):
    table = open_table(file(FORMATS[name]), limit=2)
    assert list(table.words) == WORDS[:2]
    assert table.words.find(WORDS).tolist() == [0, 1, -1, -1, -1]
    np.testing.assert_array_equal(table.vectors, VECTORS[:2])


def test_a_limit_on_a_table(file):
    whole = open_table(file(text()))
    part = open_table(whole.folder, limit=3)
    assert list(part.words) == WORDS[:3]
    assert part.words.find(["don't"]).tolist() == [-1]
    assert part.digest != whole.digest
    assert open_table(whole.folder, limit=9).digest == whole.digest


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "2"])
def test_a_limit_is_a_positive_int(limit, file):
    with pytest.raises(InvalidInput, match="limit must be a positive int"):
        open_table(file(text()), limit=limit)


def test_of_a_word_that_comes_twice_the_first_is_kept(file):
    table = open_table(file(text(words=["a", "b", "a", "c", "b"])))
    assert list(table.words) == ["a", "b", "c"]
    np.testing.assert_array_equal(table.vectors, VECTORS[[0, 1, 3]])
    assert table.duplicates == 2


def test_words_with_a_space(file):
    # GloVe's largest file has some.
    table = open_table(file(text(words=["a", "at name@domain.com", ". . .", "b", "c"], header=False)))
    assert list(table.words) == ["a", "at name@domain.com", ". . .", "b", "c"]
    np.testing.assert_array_equal(table.vectors, VECTORS)


@pytest.mark.parametrize(("words", "lower"), [(["the", "of"], True), (["The", "of"], False), (["日本", "?"], True)])
def test_whether_a_vocabulary_is_in_lower_case(words, lower, file):
    assert open_table(file(text(words=words, vectors=VECTORS[:2]))).lower is lower


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(file.read_bytes()[:-4])])
@pytest.mark.parametrize("name", ["keys.npy", "vectors.npy", "words.json"])
def test_a_damaged_table(damage, name, file, tmp_path):
    path = file(text())
    kept = open_table(path).folder
    mine = tmp_path / "mine"
    shutil.copytree(kept, mine)
    damage(kept / name)
    assert list(open_table(path).words) == WORDS  # made again out of the file
    damage(mine / name)
    with pytest.raises(
        (StorageError, InvalidInput), match=r"is not a whole table of word vectors|holds no words\.json"
    ):
        open_table(mine)


def test_what_fails_leaves_nothing(file, tmp_path, monkeypatch):
    monkeypatch.setenv("SAMESPACE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InvalidInput, match="line 7: expected a word and 7 numbers, got 2"):
        open_table(file(text() + b"torn 1 2\n"))
    assert not list((tmp_path / "cache" / "words").iterdir())


def test_a_disk_that_refuses(file, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("in the way")
    monkeypatch.setenv("SAMESPACE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(StorageError, match="Cannot write the word vectors into"):
        open_table(file(text()))


@given(
    st.lists(
        st.one_of(
            st.floats(width=32, allow_nan=False).map(repr),
            st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-99, max_value=99).map(str),
            st.sampled_from(["-0.0", "1e-05", "-3E7", "+1.5", "12", ".5", "5.", "0.1234567890123456789", "inf", "nan"]),
        ),
        min_size=1,
    )
)
def test_numbers_are_read_as_python_reads_them(numbers):
    found = decimals(" ".join(numbers).encode())
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found, np.array([float(number) for number in numbers], np.float32))
    assert np.signbit(found).tolist() == np.signbit([float(number) for number in numbers]).tolist()


@pytest.mark.parametrize("wrong", ["-", ".", "1..2", "--1", "1-", "", "0x10", "one", "1,5"])
def test_what_is_no_number(wrong):
    with pytest.raises(ValueError, match="could not convert"):
        decimals(f"1 {wrong} 2".encode())


def test_files_of_gensim_are_the_same(tmp_path):
    from gensim.models import KeyedVectors

    vectors = KeyedVectors(7)
    vectors.add_vectors(WORDS, VECTORS)
    for name, is_binary in (("vectors.txt", False), ("vectors.bin", True)):
        vectors.save_word2vec_format(str(tmp_path / name), binary=is_binary)
        table = open_table(tmp_path / name)
        again = KeyedVectors.load_word2vec_format(str(tmp_path / name), binary=is_binary)
        assert list(table.words) == again.index_to_key
        np.testing.assert_array_equal(table.vectors, again.vectors)


def test_numbers_without_words(file):
    with pytest.raises(InvalidInput, match=r"byte 4: the word .* is not UTF-8"):
        open_table(file(b"9 9\n" + struct.pack("<200f", *range(200)) * 200))


def test_source_paths_with_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    Path(tmp_path, "mine.txt").write_bytes(text())
    assert len(open_table("~/mine.txt")) == 5


def test_many_open_one_file_at_once(file):
    path = file(text())
    with ThreadPoolExecutor(6) as pool:
        tables = list(pool.map(open_table, [path] * 12))
    assert {table.digest for table in tables} == {tables[0].digest}
    assert {table.folder for table in tables} == {tables[0].folder}
    # No draft stays behind.
    assert not list(tables[0].folder.parent.glob(".*"))
