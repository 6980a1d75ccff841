import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

from samespace.cli.train import _pace, _shown
from samespace.training.run import Report, Step

BERT = ("--layers", 1, "--hidden", 32, "--heads", 2, "--vocabulary", 300, "--max-tokens", 16, "--threads", 1)


@pytest.fixture
def corpus(tmp_path):
    from samespace.cli import exits, index, inputs, search, tune

    files = [Path(module.__file__) for module in (exits, index, inputs, search, tune)]
    lines = [line.strip() for file in files for line in file.read_text().splitlines()]
    words = [line for line in lines if " " in line]
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(words))
    return path


def test_a_bert_from_nothing(run, corpus, tmp_path):
    done = run("train", "bert", "corpus.txt", "--into", "bert", *BERT, "--steps", 5)
    assert done.code == 0, done.err
    assert "masked loss" in done.out
    assert "The model is in bert. Use it with: --encoder ./bert\n" in done.out
    assert "training the tokenizer\n" in done.err
    assert (tmp_path / "bert" / "modules.json").is_file()
    again = run("train", "bert", "corpus.txt", "--into", "bert", *BERT, "--steps", 5)
    assert again.code == 3
    assert "bert is not empty and holds no checkpoint" in again.err


def test_json_is_the_report(run, corpus):
    done = run("train", "bert", "corpus.txt", "--into", "bert", *BERT, "--steps", 5, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["kind"] == "bert"
    assert done.json["after"].keys() == done.json["before"].keys() == {"masked loss", "perplexity", "masked accuracy"}
    assert done.json["settings"]["steps"] == 5
    assert done.json["picture"] in (None, "bert/curve.png")


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What the functions of training are asked for; they do nothing."""
    import samespace.training.pairs
    import samespace.training.static
    import samespace.training.words

    calls = {}

    def stub(name):
        def train(*arguments, progress, **settings):
            calls[name] = (arguments, settings)
            progress(Step(5, 10, 1.5, 2.0))
            return Report(tmp_path, name, {"x": 0.5}, {"x": 0.75, "texts/s": 12345.0}, [], 1.0, settings)

        return train

    monkeypatch.setattr(samespace.training.pairs, "train_pairs", stub("pairs"))
    monkeypatch.setattr(samespace.training.static, "distil_static", stub("static"))
    monkeypatch.setattr(samespace.training.words, "train_words", stub("words"))
    return calls


def test_options_are_handed_on(run, asked):
    run("train", "pairs", "p.csv", "--into", "m", "--from", "./x", "--matryoshka", "64,128", "--lora", 8, "--epochs", 2)
    arguments, settings = asked["pairs"]
    assert arguments == ("p.csv", "m")
    assert settings == {
        "from_": "./x", "matryoshka": [64, 128], "lora": 8, "epochs": 2, "batch": 64, "hard_negatives": 0,
        "held_out": 0.1, "seed": 0,
    }  # fmt: skip
    run("train", "static", "--into", "m", "--corpus", "c.txt", "--dimension", 128)
    assert asked["static"] == (("m",), {"corpus": "c.txt", "dimension": 128, "vocabulary": 0, "seed": 0})
    run("train", "words", "a.txt", "b.txt", "--into", "m", "--cbow", "--subwords")
    assert asked["words"][0] == (["a.txt", "b.txt"], "m")
    assert asked["words"][1].items() >= {"algorithm": "cbow", "subwords": True, "dimension": 100}.items()


def test_the_table(run, asked):
    out = run("train", "static", "--into", "m").out
    rows = [line.split() for line in out.splitlines()]
    assert ["x", "0.5000", "0.7500"] in rows
    assert ["texts/s", "12,345"] in rows


def test_wrong_options(run, asked):
    done = run("train", "pairs", "p.csv", "--into", "m", "--matryoshka", "64;128")
    assert done.code == 2
    assert "must be numbers with commas between, such as 64,128; got '64;128'" in done.err
    assert run("train", "pairs", "p.csv").code == 2
    assert asked == {}


def test_errors_are_sentences(run, tmp_path):
    (tmp_path / "p.csv").write_text("x,y\n1,2\n")
    done = run("train", "pairs", "p.csv", "--into", "m")
    assert done.code == 3
    assert "p.csv has the columns 'x', 'y'; expected anchor and positive" in done.err
    assert run("train", "bert", "none.txt", "--into", "m").code == 4


def test_ctrl_c_and_the_same_command_again(corpus, tmp_path, process):
    command = ("train", "bert", "corpus.txt", "--into", "bert", *BERT, "--steps", "100000")
    child = subprocess.Popen(
        [sys.executable, "-m", "samespace", *map(str, command)],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    ends = time.monotonic() + 120
    while not list(tmp_path.glob("bert/checkpoint/state-*/state.pt")) and time.monotonic() < ends:
        time.sleep(0.1)
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 130, err
    assert "Interrupted. The same command goes on from the checkpoint in bert." in err
    (state,) = tmp_path.glob("bert/checkpoint/state-*")
    assert json.loads((state / "settings.json").read_text())["steps"] == 100_000


def test_ctrl_c_before_there_is_a_checkpoint(run, asked, monkeypatch):
    import samespace.training.static

    def train(*_arguments, **_settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(samespace.training.static, "distil_static", train)
    done = run("train", "static", "--into", "m")
    assert (done.code, done.err.splitlines()[-1]) == (
        130,
        "Interrupted before the first checkpoint; the same command begins anew.",
    )


def test_how_far_how_fast_and_the_loss():
    assert _pace(Step(120, 900, 2.3456, 1.26)) == "120 of 900 steps, 1.3/s, loss 2.346"
    assert _pace(Step(12_000, 0, float("nan"), 150_000.0, "words")) == "12,000 words, 150,000/s"
    assert _pace(Step(0, 10, 1.0, 0.0)) == ""


def test_lines_for_logs(monkeypatch, capsys):
    clock = iter([0.0, 1.0, 2.0, 13.0])
    monkeypatch.setattr("samespace.cli.train.time.monotonic", lambda: next(clock))
    with _shown(quiet=False) as show:
        show(Step(0, 0, float("nan"), 0.0, stage="reading"))
        show(Step(1, 9, 3.0, 1.0))
        show(Step(2, 9, 2.0, 1.0))
        show(Step(3, 9, 1.0, 1.0))
    assert capsys.readouterr().err.splitlines() == [
        "reading",
        "training: 1 of 9 steps, 1/s, loss 3.000",
        "training: 3 of 9 steps, 1/s, loss 1.000",
    ]


def test_a_bar_for_people(monkeypatch):
    import io

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with _shown(quiet=False) as show:
        show(Step(3, 9, 1.0, 2.0))
    assert "3 of 9 steps, 2/s, loss 1.000" in sys.stderr.getvalue()
