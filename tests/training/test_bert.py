import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

from tiny_model import TINY

from samespace.encoders import encoder
from samespace.errors import InvalidInput
from samespace.training.bases import quiet
from samespace.training.bert import _order, _rows, train_bert
from samespace.training.masking import Masking


def states(folder):
    return sorted((folder / "checkpoint").glob("state-*"))


def test_it_learns_and_opens_everywhere(corpus, tmp_path):
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    steps = []
    report = train_bert(corpus, tmp_path / "m", steps=120, progress=steps.append, **TINY)
    assert report.before["masked loss"] == pytest.approx(np.log(400), abs=0.3)  # knows nothing: all alike
    assert report.after["masked loss"] < report.before["masked loss"] - 0.4
    assert [step.stage for step in steps[:3]] == [
        "training the tokenizer", "reading the corpus", "measuring the model as it is",
    ]  # fmt: skip
    assert steps[-1].done == 120
    assert {"README.md", "curve.json", "samespace.json", "modules.json"} <= {
        each.name for each in report.folder.iterdir()
    }
    assert not (report.folder / "checkpoint").exists()
    with quiet():
        whole = SentenceTransformer(str(report.folder), device="cpu")
        AutoModelForMaskedLM.from_pretrained(report.folder)
        tokenizer = AutoTokenizer.from_pretrained(report.folder)
    assert tokenizer.tokenize("The Tokenizer") == tokenizer.tokenize("the tokenizer")
    texts = ["Return a copy of the object.", "Close the socket."]
    ours = encoder(str(report.folder))
    assert ours.space.to_dict() == json.loads((report.folder / "samespace.json").read_text())
    assert ours.space.pooling == "mean"
    np.testing.assert_allclose(ours.encode_documents(texts).array, whole.encode(texts), rtol=1e-2, atol=2e-3)


def test_killed_while_it_writes_it_ends_in_the_same_place(corpus, tmp_path, killed, same_weights):
    settings = {**TINY, "steps": 10, "checkpoint_seconds": 0.0}
    killed(train_bert, corpus, tmp_path / "killed", at=6, **settings)
    assert [each.name for each in states(tmp_path / "killed")] == ["state-000000000004"]
    train_bert(corpus, tmp_path / "killed", **settings)
    train_bert(corpus, tmp_path / "whole", **settings)
    assert same_weights(tmp_path / "killed", tmp_path / "whole")


def test_other_settings_than_the_checkpoint_s(corpus, tmp_path, monkeypatch):
    def stop(step):
        if step.done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_bert(corpus, tmp_path / "m", steps=200, checkpoint_seconds=0.0, progress=stop, **TINY)
    with pytest.raises(InvalidInput, match="steps 200, now 300"):
        train_bert(corpus, tmp_path / "m", steps=300, **TINY)


def test_it_goes_on_from_a_model(corpus, tiny, tmp_path):
    report = train_bert(
        corpus, tmp_path / "m", from_=str(tiny), steps=10, batch=8, max_tokens=24, held_out=0.1, threads=1
    )
    kept = json.loads((tiny / "config.json").read_text())
    assert json.loads((report.folder / "config.json").read_text())["hidden_size"] == kept["hidden_size"]
    assert (report.folder / "tokenizer.json").read_text() == (tiny / "tokenizer.json").read_text()
    assert report.before["masked loss"] < np.log(400) - 0.2  # it knows what it knew


@pytest.fixture
def task(tiny):
    from transformers import AutoTokenizer

    return Masking.of(AutoTokenizer.from_pretrained(tiny), True)


def test_what_is_hidden(task, sentences):
    blocks = task.blocks(sentences[:400], 24)
    shown, chosen, kept = task.masked(blocks, np.random.default_rng(0))
    assert (kept == blocks).all()
    assert not chosen[:, [0, -1]].any()  # [CLS] and [SEP]
    plain = ~task.special[blocks]
    assert chosen[plain].mean() == pytest.approx(0.15, abs=0.03)
    assert (shown[~chosen] == blocks[~chosen]).all()
    assert (shown[chosen] == task.mask).mean() == pytest.approx(0.8, abs=0.05)
    assert (shown[chosen] == blocks[chosen]).mean() == pytest.approx(0.1, abs=0.04)
    # A word is hidden whole: a piece that goes on with a word shares its lot.
    inside = task.inside[blocks]
    assert inside.any()
    assert (chosen[:, 1:] == chosen[:, :-1])[inside[:, 1:] & plain[:, :-1]].all()


def test_each_epoch_reads_each_block_once():
    rows = np.concatenate([_rows(10, 4, 3, step) for step in range(5)])
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert list(rows[:10]) != list(rows[10:])
    assert list(rows[:10]) == list(_order(10, 3, 0))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"layers": 0}, "layers must be an int of at least 1, got 0"),
        ({"hidden": 33}, "hidden must be a multiple of heads, got 33 and 2"),
        ({"learning_rate": -1.0}, r"learning_rate must be a positive number, got -1\.0"),
        ({"held_out": 1.0}, "held_out must be a number from 0 to less than 1"),
        ({"max_tokens": 100_000}, "makes 0 blocks of 100000 tokens"),
        ({"threads": 0}, "threads must be an int of at least 1"),
        ({"seed": -1}, "seed must be an int of at least 0"),
    ],
)
def test_settings_that_cannot_be(corpus, tmp_path, settings, says):
    with pytest.raises(InvalidInput, match=says):
        train_bert(corpus, tmp_path / "m", **{**TINY, **settings})
    assert not (tmp_path / "m").exists() or list((tmp_path / "m").rglob("*")) == [tmp_path / "m" / "checkpoint"]


def test_a_learning_rate_that_is_far_too_high(corpus, tmp_path):
    with pytest.raises(InvalidInput, match="The loss became"):
        train_bert(corpus, tmp_path / "m", steps=50, **{**TINY, "learning_rate": 1e30})
    assert states(tmp_path / "m")
