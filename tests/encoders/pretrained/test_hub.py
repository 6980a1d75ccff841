"""Names and revisions of the hub, with the hub's own library against a server on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from bad_encoders.pretrained import model as write_model
from bad_encoders.pretrained import settings, static
from encoders.pretrained.hub import serve

pytest.importorskip("huggingface_hub")

_OPEN = """
import json, sys
from samespace.encoders import encoder
from samespace.errors import SamespaceError
try:
    made = encoder(sys.argv[1], cache=False)
    row = made.encode_queries(["a cat"]).array[0].tolist()
    print(json.dumps({"name": made.name, "space": made.space.to_dict(), "row": row}))
except SamespaceError as error:
    print(json.dumps({"error": type(error).__name__, "says": str(error)}))
"""


@pytest.fixture
def hub():
    with serve("acme/tiny") as hub:
        yield hub


@pytest.fixture
def opened(hub, tmp_path):
    """Opens a name in a process whose hub is the server, and whose cache is empty at first."""

    def act(name, **more):
        places = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "SAMESPACE_CACHE": str(tmp_path / "cache")}
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        done = subprocess.run(
            [sys.executable, "-c", _OPEN, name],
            capture_output=True,
            text=True,
            timeout=120,
            env={**inherited, **places, **more},
        )
        assert (done.returncode, done.stderr) == (0, "")  # no progress bars, no warnings
        return json.loads(done.stdout)

    return act


@pytest.fixture
def published(hub, tmp_path):
    """Two versions of a model, with files that must not be fetched."""
    old = write_model(tmp_path / "old")
    static(old)
    for name in ("pytorch_model.bin", "modeling_tiny.py", "onnx/model.onnx", "training_args.pt", "data.parquet"):
        (old / name).parent.mkdir(exist_ok=True)
        (old / name).write_bytes(b"must not be fetched")
    new = tmp_path / "new"
    shutil.copytree(old, new)
    settings(prompts={"query": "find "})(new)
    return hub.publish(old, "v1"), hub.publish(new, "main")


def test_a_branch_becomes_a_commit(opened, published):
    old, new = published
    made = opened("hf:acme/tiny")
    assert made["name"] == f"hf:acme/tiny@{new}"
    assert made["space"]["model"] == "acme/tiny"
    assert made["space"]["prompts"] == {"query": "find "}
    assert "main" not in json.dumps(made["space"])
    assert opened("hf:acme/tiny@v1")["name"] == f"hf:acme/tiny@{old}"
    assert "prompts" not in opened(f"hf:acme/tiny@{old}?dimension=4")["space"]


def test_no_pickles_and_no_code_are_fetched(opened, published, hub):
    opened("hf:acme/tiny")
    assert set(hub.asked) == {
        "1_Pooling/config.json",
        "config.json",
        "config_sentence_transformers.json",
        "model.safetensors",
        "modules.json",
        "tokenizer.json",
    }


def test_without_a_network_the_cache_is_used(opened, published, hub):
    first = opened("hf:acme/tiny")
    asked = len(hub.asked)
    assert opened("hf:acme/tiny", HF_HUB_OFFLINE="1") == first
    assert opened(first["name"], HF_ENDPOINT="http://127.0.0.1:9") == first
    assert opened("hf:acme/tiny", HF_ENDPOINT="http://127.0.0.1:9") == first
    assert len(hub.asked) == asked
    lost = opened("hf:acme/tiny@v1", HF_HUB_OFFLINE="1")
    assert lost["error"] == "StorageError"
    assert "does not have all of 'acme/tiny@v1'" in lost["says"]


def test_a_branch_that_moved_is_another_commit(opened, published, hub, tmp_path):
    before = opened("hf:acme/tiny")
    (tmp_path / "new" / "README.md").write_text("# tiny")
    hub.publish(tmp_path / "new", "main")
    after = opened("hf:acme/tiny")
    assert after["name"] != before["name"]
    assert after["space"] == before["space"]  # nothing changed that moves a vector


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("hf:acme/other", "NotFound", "The hub has no model 'acme/other'"),
        ("hf:acme/tiny@v9", "NotFound", "The model 'acme/tiny' has no revision 'v9'"),
    ],
)
def test_what_the_hub_does_not_have(opened, published, name, error, says):
    found = opened(name)
    assert found["error"] == error
    assert says in found["says"]


def test_a_hub_that_cannot_be_reached(opened):
    found = opened("hf:acme/tiny", HF_ENDPOINT="http://127.0.0.1:9")
    assert found["error"] == "StorageError"
    assert "The hub cannot be reached" in found["says"]
