"""What a Space tells apart, and what is refused of a model's files."""

from __future__ import annotations

import json
import shutil
import struct

import pytest

from encoders.pretrained import made
from samespace.encoders.pretrained.files import Files
from samespace.encoders.pretrained.layout import read_layout
from samespace.errors import InvalidInput, StorageError


def layout(folder, *, trusted=False):
    return read_layout(Files(folder), "tiny", trusted=trusted)


def change(file, act):
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(act(content) or content))


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    after = lambda size: [*made.dense(16)(size), *made.dense(16, seed=4)(16), *made.normalize(16)]  # noqa: E731
    return made.write(tmp_path_factory.mktemp("layout") / "deep", after=after)


@pytest.mark.parametrize("order", [[0, 1, 3, 2, 4], [0, 1, 4, 2, 3], [0, 1, 2, 4, 3, 4]])
def test_the_order_of_modules_is_in_the_digest(deep, models, order):
    folder = shutil.copytree(deep, models / "a")
    change(folder / "modules.json", lambda modules: [modules[place] for place in order])
    assert layout(folder).digest != layout(deep).digest


def test_code_that_may_run_is_in_the_digest(deep, models):
    folder = shutil.copytree(deep, models / "a")
    (folder / "own.py").write_text("x = 1")
    before = layout(folder, trusted=True).digest
    (folder / "own.py").write_text("x = 2")
    assert layout(folder, trusted=True).digest != before
    assert layout(folder).digest == layout(deep).digest


@pytest.mark.parametrize(
    ("kind", "path", "says"),
    [("own.Twice", "idle", "the module Twice"), ("sentence_transformers.models.Normalize", "../out", "leads out of")],
)
def test_routes_that_nobody_takes_are_read(models, kind, path, says):
    folder = made.router(models / "a")
    change(folder / "router_config.json", lambda config: config["types"].update({path: kind}))
    with pytest.raises(InvalidInput, match=says):
        layout(folder)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("tokenizer_config.json", {"model_max_length": "512"}, "reads at most '512' tokens"),
        ("sentence_bert_config.json", {"processor_kwargs": [1]}, "'processor_kwargs' must be an object"),
        ("sentence_bert_config.json", {"modality_config": 5}, "'modality_config' must be an object"),
    ],
)
def test_settings_of_another_type(deep, models, name, content, says):
    folder = shutil.copytree(deep, models / "a")
    (folder / "sentence_bert_config.json").write_text("{}")
    (folder / name).write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match=says):
        layout(folder)


@pytest.mark.parametrize(
    "entry",
    [{"shape": [2]}, {"dtype": "F32", "shape": [3]}, {"dtype": "F32", "shape": ["2"]}, {"dtype": "F32", "shape": 2}],
)
def test_entries_of_safetensors_that_do_not_fit(tmp_path, entry):
    header = json.dumps({"a": {"data_offsets": [0, 8], **entry}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(StorageError, match=r"model\.safetensors is no safetensors file, or torn"):
        Files(tmp_path).tensors()
