"""The default encoder against its float32 original, and its manners."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from encoders.bert import embed
from samespace.encoders import MODELS, encoder
from samespace.encoders.wordpiece import WordPiece

CANON = {
    "a cat sat on the mat": [0.1234, -0.0202, -0.0291, 0.0504, -0.0636],
    "How do I undo gzip?": [-0.0810, 0.1175, -0.0550, 0.0483, 0.0365],
    "zip": [-0.0583, 0.0636, -0.0740, 0.0539, 0.0315],
    "東京は晴れです": [0.0770, 0.0793, 0.0821, -0.0195, -0.0698],
}


@pytest.fixture(scope="module")
def minilm():
    return encoder("minilm")


@pytest.mark.parametrize("text", CANON)
def test_canonical_vectors(minilm, text):
    # The float32 original's first numbers. Runtimes and CPUs round differently; another model, prompt, pooling
    # or normalisation is several times farther off.
    assert np.allclose(minilm.encode_documents([text]).array[0, :5], CANON[text], atol=0.01)


@pytest.mark.parametrize(("shortest", "longest", "number"), [(3, 60, 80), (200, 500, 20)])
def test_it_is_the_float32_original(minilm, original, docstrings, shortest, longest, number):
    from safetensors.numpy import load_file

    weights = load_file(original / "model.safetensors")
    counts = minilm.count_tokens(docstrings)
    kept = [t for t, n in zip(docstrings, counts, strict=True) if shortest <= n <= longest]
    texts = kept[:: len(kept) // number][:number]
    assert len(texts) == number
    ids, _ = WordPiece(MODELS["minilm"].tokenizer.read())(texts, 256)
    expected = np.stack([embed(weights, each) for each in ids])
    cosine = np.einsum("ij,ij->i", minilm.encode_documents(texts).array, expected)
    assert cosine.mean() >= 0.999
    assert cosine.min() >= 0.995


def test_vectors_have_unit_length(minilm):
    array = minilm.encode_documents(["one", "two words", "three " * 300]).array
    assert np.allclose(np.linalg.norm(array, axis=1), 1, atol=1e-3)


def test_receipts_count_special_tokens(minilm):
    receipts = minilm.encode_documents(["one", "word " * 254, "word " * 255, "word " * 1000]).receipts
    assert receipts.total.tolist() == [3, 256, 257, 1002]
    assert receipts.seen.tolist() == [3, 256, 256, 256]
    assert receipts.truncated.tolist() == [False, False, True, True]


def test_a_text_of_control_characters_is_named(minilm):
    with pytest.raises(ValueError, match="Item 1 holds nothing that the encoder 'minilm' knows"):
        minilm.encode_documents(["fine", "\u200b\x01"])


def test_one_thread_gives_the_same_vectors(minilm):
    texts = ["gunzip a file", "how long did it take", "a walk in the woods " * 20]
    one = encoder("minilm", threads=1).encode_documents(texts).array
    assert np.einsum("ij,ij->i", one, minilm.encode_documents(texts).array).min() > 0.9995


def test_meaning(minilm):
    documents = minilm.encode_documents(["Compress data with gzip.", "Measure execution time.", "Parse a date."])
    queries = minilm.encode_queries(["how long did my function take", "make a file smaller", "read a calendar day"])
    assert (queries.array @ documents.array.T).argmax(1).tolist() == [1, 0, 2]


_SILENT = """
import socket, sys
def refuse(*_, **__):
    raise SystemExit("a socket was opened")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
def watch(event, _):
    if event.startswith("socket."):
        raise SystemExit(f"audit event {event}")
sys.addaudithook(watch)
from samespace.encoders import encoder
import samespace
assert not {"openvino", "tokenizers", "safetensors"} & set(sys.modules), "import samespace loads a runtime"
encoder("minilm").encode_documents(["a text", "another"])
clients = {"openvino_telemetry", "huggingface_hub", "requests", "httpx", "aiohttp", "torch", "transformers"}
print(sorted(clients & set(sys.modules)))
"""


def test_nothing_is_sent_anywhere():
    done = subprocess.run([sys.executable, "-c", _SILENT], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")


def test_openvino_keeps_its_other_uses():
    code = (
        "from samespace.encoders.runtime import openvino; import sys; ov = openvino();"
        "assert 'openvino_telemetry' not in sys.modules; assert ov is openvino(); print(callable(ov.convert_model))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("True", "")


def test_ctrl_c_is_no_fault_after_encoders_have_come_and_gone():
    """Of two cores of OpenVINO, one leaves the thread with a stack for signals that is no longer there."""
    code = (
        "import gc, os, signal, samespace as ss\n"
        "for _ in range(3):\n"
        "    ss.encoder('minilm', cache=False).encode_queries(['a text'])\n"
        "    gc.collect()\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "interrupted\n")
