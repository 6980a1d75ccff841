"""The static encoder against the library that its model comes from."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from samespace.encoders import MODELS, encoder

pytestmark = pytest.mark.skipif(not MODELS["wordllama"].installed, reason="needs the extra 'static'")

CANON = {
    "a cat sat on the mat": [-0.246211, 0.096804, -0.265279, 0.488159, 0.158002],
    "How do I undo gzip?": [0.413658, 0.256989, -0.245682, -0.294716, 0.061699],
    "zip": [0.812988, 1.996094, 0.354736, 1.479492, -0.060913],
    "東京は晴れです": [-0.12394, 0.268423, -0.16908, 0.018561, 0.172395],
}

_REFERENCE = """
import json, sys
from importlib.util import find_spec
from pathlib import Path
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from wordllama.inference import WordLlamaInference
folder = Path(find_spec("wordllama").submodule_search_locations[0])
(table,) = load_file(folder / "weights" / "l2_supercat_256.safetensors").values()
tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
print(json.dumps(WordLlamaInference(table, tokenizer).embed(json.load(sys.stdin)).tolist()))
"""


def test_equals_the_library_s_own_output(docstrings):
    texts = [*docstrings[:100], "<s> is a token", "日本語 🙂", "  leading space", "é\u0301"]
    done = subprocess.run(
        [sys.executable, "-c", _REFERENCE], input=json.dumps(texts), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    expected = np.array(json.loads(done.stdout), np.float32)
    assert np.allclose(encoder("wordllama").encode_documents(texts).array, expected, atol=1e-5)
    assert np.allclose(encoder("wordllama", threads=1).encode_documents(texts).array, expected, atol=1e-5)


@pytest.mark.parametrize("text", CANON)
def test_canonical_vectors(text):
    assert np.allclose(encoder("wordllama").encode_documents([text]).array[0, :5], CANON[text], atol=1e-5)


def test_the_package_itself_is_not_imported():
    code = (
        "import sys; from samespace.encoders import encoder; encoder('wordllama').encode_documents(['a text']);"
        "print(sorted({'wordllama', 'openvino', 'requests', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
