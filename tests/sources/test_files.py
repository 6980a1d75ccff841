import io
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import samespace as ss
from samespace.errors import InvalidInput, MissingExtra, NotFound
from samespace.sources import file_digest, find_files, gone, read_files, read_stream


def count_words(texts):
    return np.array([2 + len(text.split()) for text in texts], np.int32)


def read(*paths, max_tokens=64, **options):
    """All passages, and what was skipped by name."""
    skipped = {}
    passages = list(
        read_files(
            paths,
            count_tokens=count_words,
            max_tokens=max_tokens,
            on_skip=lambda path, reason: skipped.update({path.name: reason}),
            **options,
        )
    )
    return passages, skipped


def write(folder, **files):
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_passages_know_where_they_came_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, docs__a_md="# Title\n\nHello.\n\n## Part\n\nMore\nof it.\n", docs__sub__b_txt="Plain.")
    passages, skipped = read(Path("./docs"))
    facts = {"path": "docs/a.md", "digest": file_digest(tmp_path / "docs/a.md"), "title": "Title"}
    assert [(passage.content, dict(passage.metadata)) for passage in passages[:2]] == [
        ("# Title\n\nHello.", {**facts, "line": 1, "end_line": 3, "heading": "Title"}),
        ("## Part\n\nMore\nof it.", {**facts, "line": 5, "end_line": 8, "heading": "Title > Part"}),
    ]
    assert passages[2].metadata["path"] == "docs/sub/b.txt"
    assert len({passage.id for passage in passages}) == 3
    assert skipped == {}


def test_ids_stay_when_lines_move_and_differ_by_file_and_occurrence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, a_md="# A\n\nSame.\n\n# A\n\nSame.\n", b_md="# A\n\nSame.\n")
    first = [passage.id for passage in read(Path("a.md"), Path("b.md"))[0]]
    assert len(set(first)) == 3
    assert first[0].startswith("a.md#")
    write(tmp_path, a_md="\n\n# New\n\nWords.\n\n# A\n\nSame.\n\n\n# A\n\nSame.\n")
    moved = [passage.id for passage in read(Path("a.md"))[0]]
    assert moved[1:] == first[:2]


def test_a_file_that_is_unchanged_is_not_cut(tmp_path):
    write(tmp_path, a_txt="One.", b_txt="Two.")
    digest = file_digest(tmp_path / "a.txt")
    asked = []

    def unchanged(name, found):
        asked.append(name)
        return found == digest

    seen = set()
    passages, _ = read(tmp_path, unchanged=unchanged, on_seen=seen.add)
    assert [passage.content for passage in passages] == ["Two."]
    assert len(asked) == len(seen) == 2


def test_hidden_and_made_folders_are_passed_over(tmp_path):
    write(
        tmp_path,
        a_txt="Seen.",
        _git__config="x",
        _hidden_txt="x",
        node="x",
        notes_ss__catalog_sqlite="x",
        env__pyvenv_cfg="x",
        env__lib__x_py="x = 1",
    )
    ss.open(tmp_path / "mine", space=ss.Space("declared", 2)).close()
    (tmp_path / "mine" / "x.txt").write_text("x")
    for name in ("node_modules", "__pycache__", "site-packages"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text("x")
    passages, skipped = read(tmp_path)
    assert [Path(passage.metadata["path"]).name for passage in passages] == ["a.txt", "node"]
    assert skipped == {}


def test_a_hidden_folder_that_is_named_is_read(tmp_path):
    write(tmp_path, _github__a_txt="Seen.")
    assert len(read(tmp_path / ".github")[0]) == 1


def test_files_come_sorted_and_each_once(tmp_path):
    write(tmp_path, b_txt="B.", a__z_txt="Z.", a_txt="A.")
    names = [Path(file.name).name for file in find_files([tmp_path, tmp_path / "a.txt", tmp_path], on_skip=print)]
    assert names == ["z.txt", "a.txt", "b.txt"]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.txt", b"text\0text", "binary"),
        ("a", bytes(range(256)), "binary"),
        ("a.pdf", b"%PDF-1.4 torn", "not a PDF"),
        ("a.py", b"x = 1\0", "binary"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported(tmp_path, name, data, reason):
    if name.endswith(".pdf"):
        pytest.importorskip("pypdf")
    (tmp_path / name).write_bytes(data)
    (tmp_path / "good.txt").write_text("Good.")
    seen = set()
    passages, skipped = read(tmp_path, on_seen=seen.add)
    assert [passage.content for passage in passages] == ["Good."]
    assert reason in skipped[name]
    assert (tmp_path / name).as_posix() in seen  # it is there, so --sync does not take it for gone


def test_a_file_without_text_gives_no_passage(tmp_path):
    write(tmp_path, a_txt="", b_md=" \n\n", c_html="<script>x</script>", d_py="\n")
    assert read(tmp_path) == ([], {})


def test_an_empty_folder_gives_nothing(tmp_path):
    assert read(tmp_path) == ([], {})


def test_a_path_that_is_missing_is_an_error_at_once(tmp_path):
    with pytest.raises(NotFound, match=r"no file or folder .*missing"):
        read_files([tmp_path / "missing"], count_tokens=None, max_tokens=None, on_skip=print)


def test_a_file_that_is_too_large_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("samespace.sources.files._MOST_BYTES", 2**20)
    (tmp_path / "a.txt").write_bytes(b"x" * (2**20 + 1))
    assert "it has 1 MiB" in read(tmp_path)[1]["a.txt"]


def test_an_encoding_that_was_guessed_is_in_the_metadata(tmp_path):
    write(tmp_path, a_txt="café".encode("latin-1"), b_txt="café")
    (guessed, sure), _ = read(tmp_path)
    assert guessed.metadata["encoding"] == "cp1252"
    assert guessed.content == sure.content == "café"
    assert "encoding" not in sure.metadata


def test_a_file_that_disappears_while_the_folder_is_read_is_reported(tmp_path):
    write(tmp_path, a_txt="A.", b_txt="B.")
    skipped = []
    stream = read_files(
        [tmp_path], count_tokens=None, max_tokens=None, on_skip=lambda path, reason: skipped.append(path.name)
    )
    assert next(stream).content == "A."
    (tmp_path / "b.txt").unlink()
    assert list(stream) == []
    assert skipped == ["b.txt"]


needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")


@needs_links
def test_links_cannot_loop(tmp_path):
    write(tmp_path, a__x_txt="X.")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "self").symlink_to("self")
    (tmp_path / "a" / "nowhere").symlink_to("missing")
    (tmp_path / "a" / "y.txt").symlink_to(tmp_path / "a" / "x.txt")
    passages, skipped = read(tmp_path)
    assert [Path(passage.metadata["path"]).name for passage in passages] == ["x.txt", "y.txt"]
    assert "link to a folder" in skipped["loop"]
    assert "leads nowhere" in skipped["nowhere"]
    assert "self" in skipped


@needs_links
def test_a_pipe_does_not_hold_anyone(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    thread = threading.Thread(target=lambda: read(tmp_path), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert "not a file" in read(tmp_path)[1]["pipe"]
    assert "not a file" in read(tmp_path / "pipe")[1]["pipe"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read anything")
def test_what_may_not_be_read_is_reported(tmp_path):
    write(tmp_path, a__x_txt="X.", b_txt="B.")
    (tmp_path / "a").chmod(0)
    (tmp_path / "b.txt").chmod(0)
    try:
        _, skipped = read(tmp_path)
    finally:
        (tmp_path / "a").chmod(0o700)
    assert set(skipped) == {"a", "b.txt"}


def test_pdf_without_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pypdf", None)
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4")
    assert "samespace[pdf]" in read(tmp_path)[1]["a.pdf"]
    with pytest.raises(MissingExtra, match=r"samespace\[pdf\]"):
        read(tmp_path / "a.pdf")


def test_gone_judges_what_lies_under_the_paths_only():
    stored = ["docs/a.md", "docs/b.md", "docs/sub/c.md", "docs2/d.md", "e.md", "/abs/f.md", "../up.md"]
    assert gone(stored, [Path("docs")], {"docs/a.md"}) == ["docs/b.md", "docs/sub/c.md"]
    assert gone(stored, [Path("docs")], {"docs/a.md", "docs/b.md", "docs/sub"}) == []  # a folder not readable
    assert gone(stored, [Path("./docs/")], set()) == ["docs/a.md", "docs/b.md", "docs/sub/c.md"]
    assert gone(stored, [Path()], {"e.md"}) == ["docs/a.md", "docs/b.md", "docs/sub/c.md", "docs2/d.md"]
    assert gone(stored, [Path("e.md")], set()) == ["e.md"]
    assert gone(stored, [Path("/")], set()) == ["/abs/f.md"]
    assert gone([*stored, "../../x.md"], [Path("..")], set()) == ["../up.md"]


def test_gone_after_a_file_was_deleted(tmp_path):
    write(tmp_path, a_txt="A.", b_txt="B.")
    stored = [passage.metadata["path"] for passage in read(tmp_path)[0]]
    (tmp_path / "a.txt").unlink()
    seen = set()
    read(tmp_path, on_seen=seen.add)
    assert gone(stored, [tmp_path], seen) == [(tmp_path / "a.txt").as_posix()]


def test_a_stream_is_one_plain_text():
    stream = io.BytesIO("One.\n\nTwo.".encode("utf-16"))
    (passage,) = read_stream(stream, count_tokens=count_words, max_tokens=32)
    assert passage.content == "One.\n\nTwo."
    assert passage.metadata["path"] == "<stdin>"


def test_a_stream_that_is_binary_is_an_error():
    with pytest.raises(InvalidInput, match="<stdin> cannot be read: it is binary"):
        list(read_stream(io.BytesIO(b"\0\0"), count_tokens=None, max_tokens=None))


def test_every_passage_fits(tmp_path):
    write(
        tmp_path,
        a_md="# A\n\n" + "Some words of a sentence. " * 200,
        b_py="x = [\n" + "    1,\n" * 500 + "]\n",
    )
    passages, _ = read(tmp_path, max_tokens=24)
    assert len(passages) > 50
    assert count_words([passage.content for passage in passages]).max() <= 24
