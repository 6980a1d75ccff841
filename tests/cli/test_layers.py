"""``samespace layers``, on a tiny BERT and pairs made for it."""

from __future__ import annotations

import csv
import random
import re

import pytest
import torch

import samespace.encoders
from encoders.pretrained.tiny import make, tokenizer
from samespace.cli.layers import _bar, draw, said
from samespace.encoders.pretrained.hidden import HiddenLayerEncoder
from samespace.evaluation.layers import Cell, Figure, LayerScores

torch.set_num_threads(1)
REAL = samespace.encoders.encoder
WORDS = "bank river money dog fox water café façade brown lazy quick short took sat watched".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return make("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture(autouse=True)
def _real(monkeypatch):
    monkeypatch.setattr(samespace.encoders, "encoder", REAL)


@pytest.fixture
def pairs(tmp_path):
    """A file of each kind; pairs with more words in common have the higher score."""
    draw = random.Random(0)

    def write(kind, count=60):
        header = {"score": "a,b,score", "label": "a,b,label", "positive": "anchor,positive"}[kind].split(",")
        path = tmp_path / f"{kind}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(header)
            for _ in range(count):
                words = draw.sample(WORDS, 10)
                common = 4 if kind == "positive" else draw.choice([0, 4] if kind == "label" else range(5))
                value = common // 4 if kind == "label" else common
                left, right = words[:5], words[:common] + words[5 : 10 - common]
                rows.writerow([" ".join(left), " ".join(right), value][: len(header)])
        return path

    return write


@pytest.mark.parametrize(("kind", "metric"), [("score", "spearman"), ("label", "auc"), ("positive", "ndcg@10")])
def test_what_programs_read(run, bert, pairs, kind, metric):
    done = run("layers", bert, "--pairs", pairs(kind), "--json")
    assert done.code == 0, done.err
    said = done.json
    assert said["metric"] == metric
    assert {(cell["layer"], cell["pooling"]) for cell in said["cells"]} == {
        (layer, pooling) for layer in range(4) for pooling in ("mean", "cls", "max", "last", "weighted")
    }
    best = said["best"]
    assert best["chosen_on"]["value"] == max(cell["chosen_on"]["value"] for cell in said["cells"])
    assert said["encoder"] == f"{bert}?layer={best['layer']}&pooling={best['pooling']}"
    encoder = REAL(said["encoder"], cache=False)
    assert isinstance(encoder, HiddenLayerEncoder)
    assert encoder.space.layer == best["layer"]


def test_what_people_read(run, bert, pairs):
    done = run("layers", bert, "--pairs", pairs("score"), "--pooling", "mean,max")
    assert done.code == 0, done.err
    first, second, *rest = done.out.splitlines()
    assert re.match(
        rf"{re.escape(str(bert))}: layer \d of 3 with (mean|max) pooling is the best by Spearman's correlation with "
        r"the scores, \d\.\d{3} \(-?\d\.\d{3} to \d\.\d{3}\) on 30 pairs that had no part in the choice",
        first,
    )
    assert re.fullmatch(rf"take: {re.escape(str(bert))}\?layer=\d&pooling=(mean|max)", second)
    rows = [line.split() for line in rest if re.search(r"\d\.\d{3}–\d\.\d{3}", line)]
    assert [row[1] if row[0] == "→" else row[0] for row in rows] == ["0", "1", "2", "3"]
    assert [row[0] for row in rows].count("→") == 1
    assert "the 30 pairs that chose" in done.err


def test_a_picture(run, bert, pairs, tmp_path):
    pytest.importorskip("matplotlib")
    done = run("layers", bert, "--pairs", pairs("label"), "--pooling", "cls", "--plot", "layers.png", "--json")
    assert done.code == 0, done.err
    assert (tmp_path / "layers.png").read_bytes().startswith(b"\x89PNG")
    assert "the figures are drawn in layers.png" in done.err


def test_a_long_file_is_drawn_from(run, bert, pairs):
    done = run("layers", bert, "--pairs", pairs("score", 80), "--pooling", "mean", "--limit", "40", "--json")
    assert done.json["pairs"] == [20, 20]
    assert "40 of 80 pairs are used" in done.err


def test_texts_are_encoded_once(run, bert, pairs, monkeypatch):
    from samespace.encoders.pretrained.states import Transformer

    passed = []
    batches = Transformer.batches

    def counted(self, readings, layers):
        passed.append(len(readings))
        return batches(self, readings, layers)

    monkeypatch.setattr(Transformer, "batches", counted)
    path = pairs("positive")
    run("layers", bert, "--pairs", path)
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert passed == [len({row["anchor"] for row in rows}), len({row["positive"] for row in rows})]


def test_ctrl_c(run, bert, pairs, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(HiddenLayerEncoder, "encode_layers", interrupted)
    done = run("layers", bert, "--pairs", pairs("score"))
    assert (done.code, done.err) == (130, "Interrupted. Nothing was kept.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("minilm",), 3, r"'minilm' is a model of the catalogue, whose hidden layers cannot be looked into"),
        (("openai:text-embedding-3-small",), 3, r"is a provider, whose hidden layers"),
        (("./nothing",), 4, r"nothing"),
        (("MODEL?layer=2",), 3, r"names layer; leave that out, since all are tried"),
        (("MODEL", "--pooling", "mean,middle"), 2, r"--pooling must name some of mean, cls, .* got middle"),
        (("MODEL", "--pooling", ","), 2, r"--pooling must name some of .* got none"),
        (("MODEL", "--limit", "5"), 2, r"5 is not in the range x>=20"),
        (("MODEL", "--plot", "picture.txt"), 2, r"--plot must name a \.png, \.svg or \.pdf file"),
        (("MODEL", "--plot", "nowhere/picture.png"), 5, r"nowhere: No such file"),
        (("MODEL", "--pairs", "missing.csv"), 4, r"There is no file 'missing.csv'"),
        (("MODEL", "--pairs", "few"), 3, r"5 pairs are too few"),
    ],
)
def test_what_cannot_be_done(run, bert, pairs, arguments, code, message):
    path = pairs("score", 5 if "few" in arguments else 60)
    arguments = [argument.replace("MODEL", str(bert)) for argument in arguments if argument != "few"]
    if arguments[-1] == "--pairs":
        arguments.append(path)
    elif "--pairs" not in arguments:
        arguments += ["--pairs", path]
    done = run("layers", *arguments)
    assert done.code == code, done.err
    assert re.search(message, done.err), done.err
    assert done.out == ""


def test_a_model_with_nothing_hidden(run, pairs, tmp_path):
    """A static model has a table of tokens and no layers."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    table = StaticEmbedding(tokenizer(causal=True).backend_tokenizer, embedding_dim=8)
    SentenceTransformer(modules=[table], device="cpu").save(str(tmp_path / "static"))
    done = run("layers", "./static", "--pairs", pairs("score"))
    assert done.code == 3
    assert "is no transformer, so it has no hidden layers" in done.err


def scores(best_layer, gain):
    figure = Figure(0.7, 0.6, 0.8)
    cells = tuple(Cell(layer, "mean", Figure(layer / 10, 0.0, 0.5), figure) for layer in range(4))
    return LayerScores("auc", (30, 31), cells, cells[best_layer], cells[3], gain)


@pytest.mark.parametrize(
    ("best", "gain", "ending"),
    [
        (2, Figure(0.1, 0.05, 0.15), ": +0.100 (+0.050 to +0.150) against the last layer with mean pooling."),
        (2, Figure(0.1, -0.05, 0.25), "+0.100 (-0.050 to +0.250), which is within noise: the last may do as well."),
        (3, Figure(0.0, 0.0, 0.0), "no part in the choice. It is the last layer."),
    ],
)
def test_the_choice_in_a_sentence(best, gain, ending):
    assert said(scores(best, gain)).startswith(
        f"layer {best} of 3 with mean pooling is the best by the area under the ROC curve of the labels, "
        "0.700 (0.600 to 0.800) on 31 pairs"
    )
    assert said(scores(best, gain)).endswith(ending)


@pytest.mark.parametrize(
    ("share", "bar"), [(0, ""), (1, "█" * 10), (0.5, "█" * 5), (1 / 20, "▌"), (-1, ""), (2, "█" * 10)]
)
def test_bars(share, bar):
    assert _bar(share) == bar


@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_pictures_of_other_kinds(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"layers{suffix}"
    draw("a model", scores(2, Figure(0.1, 0.05, 0.15)), path)
    assert path.stat().st_size > 1_000
