import errno
import json
import os
import signal
import threading

import pytest

from samespace.errors import InvalidInput, NotFound, StorageError, StorageFull
from samespace.training.run import (
    Checkpoint,
    Report,
    describe_file,
    digest_texts,
    held_interrupt,
    write_card,
    write_curve,
    write_file,
)

SETTINGS = {"kind": "toy", "batch": 8, "dims": (1, 2)}


def fill(text):
    return lambda folder: write_file(folder / "state", text.encode())


def test_the_newest_state_is_kept_and_those_before_it_go(tmp_path):
    checkpoint = Checkpoint(tmp_path / "m", SETTINGS)
    assert (checkpoint.newest(), checkpoint.kept("state")) == (None, None)
    checkpoint.save(0, fill("zero"))
    checkpoint.save(9, fill("nine"))
    checkpoint.save(10, fill("ten"))
    again = Checkpoint(tmp_path / "m", SETTINGS)
    assert again.kept("state") == b"ten"
    assert [each.name for each in again.folder.iterdir()] == ["state-000000000010"]
    again.remove()
    assert list((tmp_path / "m").iterdir()) == []


def test_what_was_half_written_is_not_seen(tmp_path):
    checkpoint = Checkpoint(tmp_path / "m", SETTINGS)
    checkpoint.save(3, fill("three"))
    (checkpoint.folder / "new").mkdir()
    (checkpoint.folder / "new" / "state").write_text("half")
    again = Checkpoint(tmp_path / "m", SETTINGS)
    assert again.kept("state") == b"three"
    again.save(4, fill("four"))
    assert again.kept("state") == b"four"


def test_other_settings_are_named(tmp_path):
    Checkpoint(tmp_path / "m", SETTINGS).save(1, fill("one"))
    with pytest.raises(InvalidInput, match=r"batch 8, now 16; seed None, now 3\. Go on with those"):
        Checkpoint(tmp_path / "m", {**SETTINGS, "batch": 16, "seed": 3})


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.txt").write_text("mine")
    with pytest.raises(InvalidInput, match="is not empty and holds no checkpoint"):
        Checkpoint(tmp_path / "m", SETTINGS)
    with pytest.raises(InvalidInput, match="is a file"):
        Checkpoint(tmp_path / "m" / "thesis.txt", SETTINGS)
    assert (tmp_path / "m" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, StorageFull), (errno.EFBIG, StorageFull), (errno.EIO, StorageError)]
)
def test_a_disk_that_refuses_leaves_the_state_before(tmp_path, number, error):
    checkpoint = Checkpoint(tmp_path / "m", SETTINGS)
    checkpoint.save(1, fill("one"))

    def refused(folder):
        (folder / "state").write_text("half")
        raise OSError(number, os.strerror(number))

    with pytest.raises(error, match=r"checkpoint of step 2 .*state-000000000001 is kept: ") as caught:
        checkpoint.save(2, refused)
    assert type(caught.value) is error
    assert [each.name for each in checkpoint.folder.iterdir()] == ["state-000000000001"]
    assert Checkpoint(tmp_path / "m", SETTINGS).kept("state") == b"one"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Cannot make the folder"):
        Checkpoint(tmp_path / "file" / "m", SETTINGS)


def test_the_first_interrupt_waits_and_the_second_does_not():
    with held_interrupt() as asked:
        assert not asked()
        os.kill(os.getpid(), signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_no_handler_in_another_thread():
    answers = []

    def body():
        with held_interrupt() as asked:
            answers.append(asked())

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert answers == [False]


def report(folder, **more):
    return Report(
        folder,
        "pairs",
        {"ndcg@10": 0.5},
        {"ndcg@10": 0.625, "texts/s": 12345.6},
        [(1, 2.5), (2, 1.5)],
        61.0,
        {"batch": 8192, "lora": None},
        {"pairs": {"file": "a|b.jsonl", "sha256": "00ff"}},
        ("Made from minilm.",),
        **more,
    )


def test_the_card_says_what_was_done(tmp_path):
    write_card(tmp_path, report(tmp_path))
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: sentence-transformers\n")
    for row in (
        "| ndcg@10 | 0.5000 | 0.6250 |",
        "| texts/s |  | 12,346 |",
        "| pairs.file | a\\|b.jsonl |",
        "| batch | 8,192 |",
        "| torch | ",
        "Made from minilm.",
    ):
        assert row in card
    assert "lora" not in card


def test_the_curve_is_figures_and_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    write_curve(tmp_path, report(tmp_path))
    assert json.loads((tmp_path / "curve.json").read_text()) == [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 1.5}]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_there_are_figures(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    write_curve(tmp_path, report(tmp_path))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["curve.json"]


def test_files_and_texts_are_described(tmp_path):
    (tmp_path / "a").write_text("abc")
    assert describe_file(tmp_path / "a") == {
        "file": "a",
        "bytes": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }
    assert digest_texts(["ab", "c"]) != digest_texts(["a", "bc"])
    with pytest.raises(NotFound):
        describe_file(tmp_path / "b")
    (tmp_path / "e").write_text("")
    with pytest.raises(InvalidInput, match="is empty"):
        describe_file(tmp_path / "e")
