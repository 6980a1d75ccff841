from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import samespace.training.sentences
from samespace.apps.analogy import Words
from samespace.encoders import encoder
from samespace.encoders.words import WordEncoder
from samespace.errors import InvalidInput, MissingExtra, NotFound, StorageFull
from samespace.space import Space
from samespace.training.run import Checkpoint
from samespace.training.sentences import texts_as_words
from samespace.training.words import train_words

TOPICS = {
    "sea": ["ship", "sail", "wave", "harbour", "captain", "anchor", "storm", "sailor", "deck", "tide"],
    "kitchen": ["bread", "butter", "oven", "flour", "sugar", "baker", "cake", "dough", "spoon", "yeast"],
    "court": ["judge", "jury", "lawyer", "trial", "verdict", "witness", "crime", "prison", "law", "appeal"],
}
SETTINGS = {"dimension": 16, "min_count": 2, "epochs": 3, "threads": 1, "seed": 7, "learning_rate": 0.1}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Sentences of three topics, whose words never meet."""
    generator = random.Random(0)
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    lines = (
        f"The {' and the '.join(generator.choices(generator.choice([*TOPICS.values()]), k=5)).capitalize()}."
        for _ in range(2_500)
    )
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(samespace.training.sentences, "_PART_BYTES", 30_000)


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """A run that was not interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samespace.training.sentences, "_PART_BYTES", 30_000)
        steps = []
        folder = tmp_path_factory.mktemp("trained") / "words"
        return train_words(corpus, folder, **SETTINGS, progress=steps.append), steps


def vectors(folder):
    return np.load(Path(folder, "vectors.npy"))


def test_words_that_stand_together_come_together(trained):
    words = Words(trained[0].folder)
    for topic in TOPICS.values():
        assert {near.word for near in words.similar(topic[0], 5)} < set(topic)
    assert words.odd_one_out(["ship", "wave", "sailor", "jury"]) == "jury"


def test_the_report(trained):
    report, steps = trained
    assert report.before["held-out loss"] == pytest.approx(6 * math.log(2), abs=1e-3)  # of vectors at random
    assert report.after["held-out loss"] < 0.8 * report.before["held-out loss"]
    assert report.curve[0][0] == 0
    assert len(report.curve) == 4
    losses = [loss for _, loss in report.curve]
    assert losses == sorted(losses, reverse=True)
    assert report.data["vocabulary"] == 32
    assert report.seconds > 0
    training = [step for step in steps if step.stage == "training"]
    assert training[-1].done == training[-1].total == 3 * report.data["words"]
    assert all(step.unit == "words" and step.rate > 0 for step in training)
    assert {step.stage for step in steps} >= {"reading", "training", "measuring"}


def test_the_folder(trained):
    folder = trained[0].folder
    assert not (folder / "checkpoint").exists()
    space = Space.from_dict(json.loads((folder / "samespace.json").read_text()))
    opened = encoder(str(folder), cache=False)
    assert isinstance(opened, WordEncoder)
    assert opened.space == space
    assert len(opened.encode_queries(["a ship at sea"])) == 1
    assert "held-out loss" in (folder / "README.md").read_text()
    assert json.loads((folder / "curve.json").read_text())[0]["step"] == 0


def test_gensim_opens_it(trained):
    from gensim.models import KeyedVectors

    folder = trained[0].folder
    theirs = KeyedVectors.load_word2vec_format(
        str(folder / "vectors.bin"), binary=True, fvocab=str(folder / "counts.txt")
    )
    np.testing.assert_array_equal(theirs.vectors, vectors(folder))
    assert theirs.index_to_key == (folder / "words.txt").read_text().split("\n")[:-1]
    assert theirs.get_vecattr("the", "count") > theirs.get_vecattr("ship", "count")
    # The file is of the same space as the folder.
    assert encoder(str(folder / "vectors.bin"), cache=False).space == encoder(str(folder), cache=False).space


def test_the_same_call_makes_the_same_vectors(trained, corpus, tmp_path):
    again = train_words(corpus, tmp_path / "again", **SETTINGS)
    np.testing.assert_array_equal(vectors(again.folder), vectors(trained[0].folder))
    other = train_words(corpus, tmp_path / "other", **SETTINGS | {"seed": 8})
    assert (vectors(other.folder) != vectors(trained[0].folder)).any()


_KILLED = """
import os, signal, sys
import samespace.training.sentences as sentences
from samespace.training.words import train_words
sentences._PART_BYTES = 30_000
seen = 0
def progress(step):
    global seen
    seen += step.stage == "training"
    if seen == {steps}:
        os.kill(os.getpid(), signal.{signal})
train_words({corpus!r}, {into!r}, progress=progress, checkpoint_seconds=0, **{settings})
"""


@pytest.mark.parametrize("end", ["SIGKILL", "SIGINT"])
def test_a_killed_run_ends_in_the_same_place(end, trained, corpus, tmp_path):
    if not hasattr(signal, end) or os.name == "nt":
        pytest.skip("this system has no such signal")
    into = tmp_path / "words"
    script = _KILLED.format(steps=6, signal=end, corpus=str(corpus), into=str(into), settings=SETTINGS)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -getattr(signal, end), done.stderr
    kept = Checkpoint(into, json.loads(next(into.glob("checkpoint/state-*/settings.json")).read_text())).newest()
    # What is killed while it reports a step has not kept it; Ctrl-C waits for the checkpoint.
    assert int(kept.name.split("-")[1]) == (5 if end == "SIGKILL" else 6)
    seen = []
    report = train_words(corpus, into, **SETTINGS, progress=lambda step: seen.append(step.stage))
    assert 0 < seen.count("training") < 3 * 11
    np.testing.assert_array_equal(vectors(into), vectors(trained[0].folder))
    assert report.curve == trained[0].curve
    assert report.before == trained[0].before


def test_a_checkpoint_of_other_settings(corpus, tmp_path):
    def stop(step):
        if step.stage == "training":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_words(corpus, tmp_path / "words", **SETTINGS, checkpoint_seconds=0, progress=_after(3, stop))
    with pytest.raises(InvalidInput, match="made with other settings: window 5, now 8"):
        train_words(corpus, tmp_path / "words", **SETTINGS, window=8)


def _after(count, stop):
    seen = []

    def progress(step):
        seen.append(step)
        if sum(each.stage == "training" for each in seen) >= count:
            stop(step)

    return progress


def test_subwords_give_vectors_to_unseen_words(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("samespace.training.words._BUCKETS", 2_000)
    report = train_words(corpus, tmp_path / "words", **SETTINGS, subwords=True)
    words = Words(report.folder)
    assert "shipyard" not in words
    assert len(words.vector("shipyard")) == 1
    own = words.similarity("bakery", "baker")
    assert own > words.similarity("bakery", "judge")
    assert report.after["held-out loss"] < report.before["held-out loss"]
    again = train_words(corpus, tmp_path / "again", **SETTINGS, subwords=True)
    np.testing.assert_array_equal(vectors(again.folder), vectors(report.folder))


def test_cbow_with_two_threads(corpus, tmp_path):
    report = train_words(corpus, tmp_path / "words", **SETTINGS | {"algorithm": "cbow", "threads": 2, "epochs": 6})
    assert report.after["held-out loss"] < 0.9 * report.before["held-out loss"]
    assert "no two runs are the same" in (report.folder / "README.md").read_text()


def test_corpora_of_several_kinds(tmp_path):
    (tmp_path / "lines.txt").write_text("One line.\n\nAnother LINE\n")
    (tmp_path / "rows.jsonl").write_text('{"body": "Of a table"}\n')
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "page.md").write_text("# A title\n\nIts twenty-two words.\n")
    paths = [tmp_path / "lines.txt", tmp_path / "rows.jsonl", tmp_path / "folder"]
    found = [" ".join(line) for line in texts_as_words(paths, "body")]
    assert found[:3] == ["one line", "another line", "of a table"]
    assert "its twenty two words" in " ".join(found[3:])


def test_words_of_a_corpus(tmp_path):
    (tmp_path / "text.txt").write_text(f"Don't split the DOG'S twenty-two café’s!\n{'long ' * 2_500}\n")
    lines = list(texts_as_words([tmp_path / "text.txt"], "text"))
    assert lines[0] == ["don't", "split", "the", "dog", "twenty", "two", "café"]
    assert [len(line) for line in lines[1:]] == [1_000, 1_000, 500]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"algorithm": "glove"}, "algorithm must be 'skip-gram' or 'cbow', got 'glove'"),
        ({"dimension": 0}, "dimension must be a positive int, got 0"),
        ({"epochs": 2.5}, "epochs must be a positive int, got 2.5"),
        ({"threads": 0}, "threads must be a positive int, got 0"),
        ({"subwords": "yes"}, "subwords must be a bool"),
        ({"learning_rate": 3.0}, "learning_rate must be a number from 0 to 1, got 3.0"),
        ({"sample": float("nan")}, "sample must be a number from 0 to 1, got nan"),
        ({"min_count": 10**6}, "of which 0 occur 1000000 times or more"),
    ],
)
def test_settings_that_cannot_be(settings, says, corpus, tmp_path):
    with pytest.raises(InvalidInput, match=says):
        train_words(corpus, tmp_path / "words", **SETTINGS | settings)


def test_no_corpus(tmp_path):
    with pytest.raises(NotFound, match="There is no corpus"):
        train_words(tmp_path / "missing.txt", tmp_path / "words")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="holds no files to train on"):
        train_words(tmp_path / "empty", tmp_path / "words")


def test_a_folder_inside_the_corpus(tmp_path):
    (tmp_path / "page.txt").write_text("text")
    with pytest.raises(InvalidInput, match=r"which is the corpus\. Train into a folder beside it"):
        train_words(tmp_path, tmp_path / "words")


def test_a_folder_that_is_not_empty(corpus, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InvalidInput, match="is not empty and holds no checkpoint"):
        train_words(corpus, tmp_path, **SETTINGS)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_without_gensim(corpus, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(MissingExtra, match=r"samespace\[train\]"):
        train_words(corpus, tmp_path / "words", **SETTINGS)


def test_a_full_disk_keeps_the_checkpoint_before(corpus, tmp_path, monkeypatch):
    saved = []
    real = np.save

    def save(file, array):
        if "state" in str(file) or "new" in str(file):
            saved.append(file)
            if len(saved) > 6:
                raise OSError(28, "No space left on device")
        real(file, array)

    monkeypatch.setattr("samespace.training.words.np.save", save)
    with pytest.raises(StorageFull, match="is kept"):
        train_words(corpus, tmp_path / "words", **SETTINGS, checkpoint_seconds=0)
    monkeypatch.undo()
    monkeypatch.setattr(samespace.training.sentences, "_PART_BYTES", 30_000)
    report = train_words(corpus, tmp_path / "words", **SETTINGS)
    assert report.after
