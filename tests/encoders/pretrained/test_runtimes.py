"""Which runtime runs, what it keeps, and what it refuses to run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.modules import LayerNorm

from encoders.pretrained import made
from samespace.encoders.names import parse
from samespace.encoders.places import cache_folder
from samespace.encoders.pretrained import kept, open_pretrained
from samespace.encoders.pretrained.convert import trace
from samespace.encoders.runtime import openvino
from samespace.errors import InvalidInput, MissingExtra

TEXTS = ["He took money from the bank.", "They sat on the bank of the river.", "Short."]


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMESPACE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return made.write(tmp_path_factory.mktemp("runtimes") / "tiny", prompts={"query": "Find: "})


def opened(folder, options=""):
    return open_pretrained(parse(f"{folder}{options}"), threads=1)


def process(code, *arguments, cache, **more):
    """What a process of its own prints as JSON."""
    environment = {**os.environ, "SAMESPACE_CACHE": str(cache), **more}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


_AGAIN = """
import json, sys
from samespace.encoders import encoder
made = encoder(sys.argv[1])
space = made.space.id
row = made.encode_documents(["Short."]).array[0].tolist()
slow = sorted({"torch", "transformers", "sentence_transformers", "huggingface_hub"} & set(sys.modules))
print(json.dumps({"space": space, "row": row, "slow": slow, "runtime": made.runtime}))
"""


def test_a_converted_model_needs_no_torch(tiny, tmp_path):
    first = process(_AGAIN, f"{tiny}?precision=float32", cache=tmp_path / "c")
    again = process(_AGAIN, f"{tiny}?precision=float32", cache=tmp_path / "c")
    assert first.pop("slow")
    assert again.pop("slow") == []
    assert again == first


_WITHOUT = """
import importlib.util, json, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in ("torch", "sentence_transformers") else find(name, *more)
from samespace.encoders import encoder
try:
    made = encoder(sys.argv[1], cache=False)
    print(json.dumps([made.encode_documents(["Short."]).array[0].tolist(), made.runtime]))
except ImportError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


def with_graph(tiny, folder, seed=0):
    """A copy of the model with its transformer as an OpenVINO file, of weights by this seed."""
    shutil.copytree(tiny, folder)
    module = made.transformer(folder.with_name(f"{folder.name}{seed}"), "bert", "mean", seed=seed)[0]
    (folder / "openvino").mkdir()
    openvino().save_model(trace(module, 1), folder / "openvino" / "openvino_model.xml", compress_to_fp16=False)
    return folder


def test_a_graph_in_the_folder_is_used(tiny, models, tmp_path, own_cache):
    folder = with_graph(tiny, models / "a")
    encoder = opened(folder, "?precision=float32")
    assert np.allclose(encoder.encode_documents(TEXTS).array, made.reference(folder).encode(TEXTS), atol=1e-4)
    (about,) = cache_folder("models").glob("*/about.json")
    assert json.loads(about.read_text())["source"] == "openvino/openvino_model.xml"
    row, runtime = process(_WITHOUT, f"{folder}?precision=float32", cache=tmp_path / "c")
    assert runtime.startswith("openvino")
    assert np.allclose(row, encoder.encode_documents(["Short."]).array[0], atol=1e-5)


def test_a_graph_of_other_weights_is_not(tiny, models, caplog, own_cache):
    folder = with_graph(tiny, models / "a", seed=9)
    encoder = opened(folder, "?precision=float32")
    assert np.allclose(encoder.encode_documents(TEXTS).array, made.reference(folder).encode(TEXTS), atol=1e-4)
    assert "openvino_model.xml is not used: its cosine to the original is" in caplog.text
    (about,) = cache_folder("models").glob("*/about.json")
    assert json.loads(about.read_text())["source"].startswith("torch")


def test_without_torch_and_without_a_graph_the_extra_is_named(tiny, tmp_path):
    error, says = process(_WITHOUT, tiny, cache=tmp_path / "c")
    assert error == MissingExtra.__name__
    assert "pip install 'samespace[hf]'" in says


def test_a_torn_conversion_is_made_again(tiny, own_cache):
    before = opened(tiny).encode_documents(TEXTS).array
    (about,) = cache_folder("models").glob("*/about.json")
    about.write_text("{")
    assert np.array_equal(opened(tiny).encode_documents(TEXTS).array, before)
    assert json.loads(about.read_text())["format"] == 1


def test_a_precision_that_moves_vectors_is_not_used(tiny, caplog, own_cache):
    assert "bfloat16" in opened(tiny, "?precision=bfloat16").runtime
    (about,) = cache_folder("models").glob("*/about.json")
    found = json.loads(about.read_text())
    found["cosine"]["bfloat16"] = [0.9999, 0.998]
    about.write_text(json.dumps(found))
    assert "float32" in opened(tiny, "?precision=bfloat16").runtime
    assert "bfloat16 is not used: the cosine to the original is 0.99990, 0.99800 at least" in caplog.text
    found["cosine"]["float32"] = [0.99, 0.9]
    about.write_text(json.dumps(found))
    encoder = opened(tiny)
    assert encoder.runtime.startswith("torch")
    assert "0.90000 at least" in encoder.reason


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_other_precisions_are_close(tiny, precision):
    reference = made.reference(tiny).encode_query(made.PARITY_TEXTS)
    encoder = opened(tiny, f"?precision={precision}")
    vectors = encoder.encode_queries(made.PARITY_TEXTS).array
    cosine = np.einsum("ij,ij->i", vectors, reference)
    cosine /= np.linalg.norm(vectors, axis=1) * np.linalg.norm(reference, axis=1)
    assert encoder.runtime.endswith(precision)
    assert cosine.min() > 0.99
    assert cosine.max() < 1 - 1e-8  # it does compute in another precision


def test_the_order_of_texts_and_the_batch_do_not_matter(tiny):
    encoder = opened(tiny, "?precision=float32")
    whole = encoder.encode_documents(made.PARITY_TEXTS).array
    alone = np.concatenate([encoder.encode_documents([text]).array for text in made.PARITY_TEXTS])
    assert np.allclose(whole, alone, atol=1e-5)


@pytest.mark.parametrize("options", ["", "?runtime=torch"])
def test_a_text_that_holds_nothing_is_named(models, options):
    folder = made.write(models / "a", "bert")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Replace", "pattern": {"String": "#"}, "content": ""}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InvalidInput, match="Item 1 holds nothing that the encoder"):
        opened(folder, options).encode_documents(["fine", "##"])


def test_what_no_graph_covers_runs_on_torch(models):
    torch.manual_seed(0)
    folder = made.write(models / "a", after=lambda size: [LayerNorm(size)])
    encoder = opened(folder)
    assert np.allclose(encoder.encode_documents(TEXTS).array, made.reference(folder).encode(TEXTS), atol=1e-5)
    assert encoder.runtime.startswith("torch")
    assert encoder.reason == "The model 'a' does not run on OpenVINO, since it has the module LayerNorm."


_OWN = """
import json, sys
from samespace.encoders import encoder
name, trust, mark = sys.argv[1:]
try:
    made = encoder(f"{name}?runtime=torch", trust_code=trust or None, cache=False)
    row = made.encode_documents(["Short."]).array[0].tolist()
except ValueError as error:
    row = str(error)
from pathlib import Path
print(json.dumps([row, Path(mark).exists()]))
"""


def test_code_of_a_model_runs_for_those_who_name_it(tiny, models, tmp_path):
    folder = shutil.copytree(tiny, models / "own")
    mark = tmp_path / "ran"
    (folder / "twice.py").write_text(
        f"import pathlib\nimport torch\npathlib.Path({str(mark)!r}).touch()\n\n"
        "class Twice(torch.nn.Module):\n"
        "    def forward(self, features):\n"
        "        features['sentence_embedding'] = 2 * features['sentence_embedding']\n"
        "        return features\n\n"
        "    @classmethod\n"
        "    def load(cls, path):\n"
        "        return cls()\n"
    )
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "2_Twice").mkdir()
    modules.append({"idx": 2, "name": "2", "path": "2_Twice", "type": "twice.Twice"})
    (folder / "modules.json").write_text(json.dumps(modules))
    home = {"HF_HOME": str(tmp_path / "hf")}
    says, ran = process(_OWN, folder, "", mark, cache=tmp_path / "c", **home)
    assert "wants to run code of its own (the module Twice)" in says
    assert not ran
    row, ran = process(_OWN, folder, "own", mark, cache=tmp_path / "c", **home)
    assert ran
    assert np.allclose(row, 2 * made.reference(tiny).encode(["Short."])[0], atol=1e-4)


def test_the_probes_are_longer_than_a_window_of_attention():
    # What padding does wrong in a sliding window shows only in a batch whose longest text is far longer.
    counts = [len(text.split()) for text in kept._PROBES]
    assert max(counts) > 100 > 5 > min(counts)


def test_roles_share_one_graph(tiny):
    encoder = opened(tiny)
    assert encoder.encode_queries(["Short."]).space == encoder.encode_documents(["Short."]).space
    assert len(encoder._graphs) == 1
    assert encoder.doubled_prompt() is None
