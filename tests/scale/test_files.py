from __future__ import annotations

import pytest

from samespace.errors import InvalidInput, NotFound
from samespace.scale.files import find, opened


def names(found):
    return [shard.path.rsplit("/", 1)[-1] for shard in found]


def test_files_folders_and_patterns_each_shard_once(write, tmp_path):
    for name in ("b.jsonl", "a.parquet", "c.ndjson"):
        write(name, range(3))
    (tmp_path / "shards" / "README.md").write_text("no shard")
    folder = tmp_path / "shards"
    assert names(find([str(folder)])) == ["a.parquet", "b.jsonl", "c.ndjson"]
    assert names(find([f"{folder}/*.jsonl", str(folder)])) == ["b.jsonl", "a.parquet", "c.ndjson"]
    (shard,) = find([f"{folder}/a.parquet"])
    assert shard.size == (folder / "a.parquet").stat().st_size


def test_a_url_names_the_same_bytes(write, tmp_path):
    path = write("a.jsonl", range(3))
    folder = f"file://{tmp_path}/shards"
    assert (
        [shard.path for shard in find([folder])]
        == [f"{folder}/a.jsonl"]
        == [s.path for s in find([f"{folder}/a.jsonl"])]
    )
    with opened(f"{folder}/a.jsonl") as file:
        file.readline()
        assert file.read() == b"".join(path.read_bytes().splitlines(keepends=True)[1:])


def test_a_shard_that_is_written_anew_has_another_key(write):
    path = write("a.jsonl", range(3))
    (before,) = find([str(path)])
    path.write_text(path.read_text().replace("cat", "dog"))
    (after,) = find([str(path)])
    assert before.path == after.path
    assert before.size == after.size
    assert before.key != after.key


@pytest.mark.parametrize("name", ["missing.jsonl", "none*.parquet", "file:///no/such/folder"])
def test_nothing_there(name):
    with pytest.raises(NotFound, match="There is no shard"):
        find([name])


def test_no_shard(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n")
    for name in (str(tmp_path / "rows.csv"), f"file://{tmp_path}/rows.csv"):
        with pytest.raises(InvalidInput, match=r"A shard's name ends in \.parquet"):
            find([name])
    with pytest.raises(InvalidInput, match="is not the URL of a file or folder"):
        find(["gopher://host/rows.jsonl"])


def test_a_shard_that_has_gone(tmp_path):
    with pytest.raises(NotFound, match="Every worker must see the shards"), opened(str(tmp_path / "gone.jsonl")):
        pass
