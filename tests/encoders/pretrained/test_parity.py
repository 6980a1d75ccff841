"""Every kind of model against sentence-transformers itself, on both runtimes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from encoders.pretrained import made
from encoders.pretrained.made import PARITY_TEXTS
from samespace.encoders.names import parse
from samespace.encoders.pretrained import open_pretrained

PROMPTS = {"query": "Find: ", "passage": "Text: "}

MODELS = {
    "bert, mean, Normalize": lambda f: made.write(f, "bert", "mean", after=made.normalize),
    "roberta, cls": lambda f: made.write(f, "roberta", "cls"),
    "mpnet, max, dot": lambda f: made.write(f, "mpnet", "max", similarity_fn_name="dot"),
    "modernbert, mean, Dense": lambda f: made.write(f, "modernbert", "mean", after=made.dense()),
    "qwen, last token, prompts, Normalize": lambda f: made.write(
        f, "qwen", "lasttoken", after=made.normalize, prompts=PROMPTS
    ),
    "gpt2, weighted mean, read to 20": lambda f: made.write(f, "gpt2", "weightedmean", max_tokens=20),
    "bert, mean by root of length": lambda f: made.write(
        f, "bert", "mean_sqrt_len_tokens", similarity_fn_name="euclidean"
    ),
    "distilbert, cls and max and last": lambda f: made.write(f, "distilbert", ("cls", "max", "lasttoken")),
    "bert, prompt left out of the mean": lambda f: made.write(f, "bert", "mean", include_prompt=False, prompts=PROMPTS),
    "qwen, prompt left out, weighted": lambda f: made.write(
        f, "qwen", "weightedmean", include_prompt=False, prompts=PROMPTS
    ),
    "roberta, prompt left out, cls": lambda f: made.write(f, "roberta", "cls", include_prompt=False, prompts=PROMPTS),
    "bert, shortened": lambda f: made.write(f, "bert", "mean", after=made.normalize, truncate_dim=6),
    "bert, default prompt": lambda f: made.write(f, "bert", prompts={"x": "X: "}, default_prompt_name="x"),
    "t5, Dense without activation": lambda f: made.write(f, "t5", after=made.dense(8, torch.nn.Identity())),
    "static, Normalize": lambda f: made.save([made.table(f), *made.normalize(16)], f, prompts=PROMPTS),
    "router": made.router,
    "bare transformer": lambda f: made.strong("distilbert", f),
    "bare decoder": lambda f: made.strong("qwen", f),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request, tmp_path_factory):
    return Model(MODELS[request.param](tmp_path_factory.mktemp("model") / "tiny"))


class Model:
    """A folder, what its library makes of the texts, and our encoders for it, each opened once."""

    def __init__(self, folder):
        self.folder = folder
        self.reference = made.reference(folder)
        # One by one: what that library makes of a text in a batch can depend on the others (GPT-2, padded on the left).
        self.wanted = {
            "query": self.reference.encode_query(PARITY_TEXTS, batch_size=1),
            "document": self.reference.encode_document(PARITY_TEXTS, batch_size=1),
        }
        self._found = {}

    def found(self, options):
        if options not in self._found:
            encoder = open_pretrained(parse(f"{self.folder}?{options}"), threads=1)
            vectors = {
                "query": encoder.encode_queries(PARITY_TEXTS),
                "document": encoder.encode_documents(PARITY_TEXTS),
            }
            self._found[options] = encoder, vectors
        return self._found[options]


def cosine(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.einsum("ij,ij->i", a, b) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize(
    ("options", "least"),
    [("runtime=openvino&precision=float32", 0.9999), ("runtime=torch", 0.9999), ("precision=auto", 0.999)],
)
def test_it_gives_the_vectors_of_sentence_transformers(model, options, least):
    encoder, found = model.found(options)
    for role, wanted in model.wanted.items():
        assert found[role].array.shape == wanted.shape
        assert cosine(found[role].array, wanted).min() >= least
        lengths = np.linalg.norm(found[role].array, axis=1) / np.linalg.norm(wanted, axis=1)
        assert np.allclose(lengths, 1, atol=0.02)
    assert encoder.reason is None
    assert ("torch" if "torch" in options else "openvino" if encoder.cached else "numpy") in encoder.runtime


def test_its_space_is_what_sentence_transformers_says(model):
    encoder = open_pretrained(parse(str(model.folder)))
    space, reference = encoder.space, model.reference
    assert space.dimension == reference.get_embedding_dimension()
    assert space.metric == reference.similarity_fn_name
    assert space.normalized == np.allclose(np.linalg.norm(model.wanted["document"], axis=1), 1, atol=1e-5)
    assert space.model == "tiny"
    assert space.digest.startswith("sha256:")
    query = reference.prompts.get("query", reference.prompts.get(reference.default_prompt_name, ""))
    assert space.prompts.get("query", "") == query
    limit = reference[0].max_seq_length
    assert encoder.max_tokens == (None if limit is None or limit > 1e9 else limit) or space.tasks


def test_receipts_are_those_of_its_tokenizer(model):
    encoder, found = model.found("precision=auto")
    receipts, again = found["query"].receipts, model.found("runtime=torch")[1]["query"].receipts
    assert receipts.total.tolist() == again.total.tolist()
    assert receipts.seen.tolist() == again.seen.tolist()
    prompt = encoder.space.prompts.get("query", "")
    features = model.reference.preprocess([prompt + PARITY_TEXTS[-2]], task="query")
    read = features["attention_mask"].sum() if "attention_mask" in features else features["input_ids"].numel()
    assert receipts.seen[-2] == int(read)


def test_the_configuration_decides_the_space(models):
    folder = made.write(models / "a", after=made.normalize)
    before = open_pretrained(parse(str(folder))).space
    assert open_pretrained(parse(f"{folder}?precision=float32&runtime=torch")).space == before
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 16, "pooling_mode_cls_token": True})
    )
    assert open_pretrained(parse(str(folder))).space.pooling == "cls"
    shorter = open_pretrained(parse(f"{folder}?dimension=4"))
    assert (shorter.space.dimension, shorter.space.normalized) == (4, False)
    assert shorter.encode_documents(["a"]).array.shape == (1, 4)
