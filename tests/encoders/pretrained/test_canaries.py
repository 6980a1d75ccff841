"""A collection takes the same model from another place, and refuses one that was changed: on a real model."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import samespace as ss
from samespace.encoders.canaries import TOLERANCE, distance
from samespace.encoders.proof import make

safetensors = pytest.importorskip("safetensors.numpy")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, original):
    """A collection that the model made, by torch in float32."""
    path = tmp_path_factory.mktemp("canaries")
    with ss.open(path / "notes.ss", f"{original}?runtime=torch") as notes:
        notes.add(
            ["A cat sleeps on the mat.", "Prices rise.", "The boiler was repaired."], ids=["cat", "price", "boiler"]
        )
    return path


@pytest.mark.parametrize(
    ("name", "threads"),
    [("{}", None), ("{}?precision=float32", 1), ("{}?runtime=torch&precision=bfloat16", None), ("minilm", None)],
    ids=["fast", "one thread", "bfloat16", "the catalogue's"],
)
def test_another_way_to_the_same_vectors_is_accepted(folder, original, name, threads):
    with ss.open(folder / "notes.ss", name.format(original), threads=threads) as notes:
        assert notes.encoder.space == notes.space
        assert notes.search("kitty", k=1)[0].id == "cat"


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def weight(copy):
    file = copy / "model.safetensors"
    tensors = safetensors.load_file(file)
    matrix = tensors["encoder.layer.3.intermediate.dense.weight"]
    noise = np.random.default_rng(0).standard_normal(matrix.shape) * matrix.std()
    tensors["encoder.layer.3.intermediate.dense.weight"] = (matrix + 0.3 * noise).astype(np.float32)
    safetensors.save_file(tensors, file, {"format": "pt"})


def tokenizer(copy):
    edit(copy / "tokenizer_config.json", lambda values: values.update(do_lower_case=False))


def prompt(copy):
    edit(copy / "config_sentence_transformers.json", lambda values: values.update(prompts={"query": "query: "}))


def pooling(copy):
    change = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    edit(copy / "1_Pooling" / "config.json", lambda values: values.update(change))


def length(copy):
    edit(copy / "sentence_bert_config.json", lambda values: values.update(max_seq_length=32))


@pytest.mark.parametrize("change", [weight, tokenizer, prompt, pooling, length], ids=lambda change: change.__name__)
def test_a_changed_model_is_refused_with_its_distance(folder, original, tmp_path, change):
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    change(copy)
    with pytest.raises(ss.SpaceMismatch, match=r"the spaces differ in .* at a distance of [\d.e-]+ for documents"):
        ss.open(folder / "notes.ss", f"{copy}?runtime=torch")


def test_another_layer_is_refused(folder, original):
    with pytest.raises(ss.SpaceMismatch, match=r"layer: None against 5.*at a distance of"):
        ss.open(folder / "notes.ss", f"{original}?layer=-2&pooling=mean")


def test_the_layer_before_the_last_is_far_from_the_last(original):
    last, before = (make(ss.encoder(f"{original}?layer={n}&pooling=mean", cache=False)).document for n in (-1, -2))
    assert distance(last, before) > 100 * TOLERANCE
