"""Every provider's protocol, spoken by the official SDKs and by descriptions, with the vectors that the server made."""

from __future__ import annotations

import numpy as np
import pytest

from encoders.providers.conftest import KEY
from encoders.providers.server import vectors
from samespace.encoders.providers import PROVIDERS
from samespace.vectors import unit

TEXTS = [f"text number {number}, of {'many ' * (number % 7)}words" for number in range(40)] + ["Żółć 東京 🙂"]

NAMES = {
    "openai:text-embedding-3-small": (None, None),
    "openai:text-embedding-ada-002": (None, None),
    "cohere:embed-v4.0": ("search_document", "search_query"),
    "cohere:embed-english-light-v3.0": ("search_document", "search_query"),
    "voyage:voyage-4-lite": ("document", "query"),
    "google:gemini-embedding-001": ("RETRIEVAL_DOCUMENT", "RETRIEVAL_QUERY"),  # 3,072 numbers
    "mistral:mistral-embed": (None, None),
    "jina:jina-embeddings-v3": ("retrieval.passage", "retrieval.query"),
}


@pytest.mark.parametrize("name", NAMES)
def test_vectors_are_the_models_by_role(opened, server, name):
    made = opened(name)
    model = name.partition(":")[2]
    for encode, task in zip((made.encode_documents, made.encode_queries), NAMES[name], strict=True):
        expected = vectors(TEXTS, model, task)
        assert np.allclose(encode(TEXTS).array, expected, atol=1e-6)
    assert made.distinguishes_roles == (NAMES[name][0] is not None)
    assert made.space.normalized
    assert set(server.troubles) == {"none"}


@pytest.mark.parametrize(
    ("name", "dimension"),
    [
        ("openai:text-embedding-3-large", 256),
        ("cohere:embed-v4.0", 512),
        ("voyage:voyage-4-lite", 256),
        ("google:gemini-embedding-001", 768),
        ("jina:jina-embeddings-v3", 64),
    ],
)
def test_shortened_vectors_are_normalised_again(opened, name, dimension):
    made = opened(f"{name}?dimension={dimension}")
    array = made.encode_documents(TEXTS).array
    task = NAMES.get(name, (None, None))[0]
    short = vectors(TEXTS, name.partition(":")[2], task, dimension)
    assert np.linalg.norm(short, axis=1).max() < 0.9  # as they came
    assert np.allclose(np.linalg.norm(array, axis=1), 1, atol=1e-5)
    assert np.allclose(array, unit(short), atol=1e-6)


def test_int8_is_another_space_with_nearly_the_same_vectors(opened, server):
    floats, whole = opened("cohere:embed-v4.0"), opened("cohere:embed-v4.0?output=int8")
    assert whole.space.model == "cohere/embed-v4.0/int8"
    assert whole.space != floats.space
    a, b = (each.encode_documents(TEXTS).array for each in (floats, whole))
    assert b.dtype == np.float32
    assert 0.99 < np.einsum("ij,ij->i", a, b).min() < 0.99999
    assert server.requests[-1]["embedding_types"] == ["int8"]


def test_cohere_is_asked_for_base64_once_it_was_seen_to_be_the_same(opened, server):
    made = opened("cohere:embed-v4.0")
    made.encode_documents(TEXTS + [f"{number} more" for number in range(60)])
    kinds = [body["embedding_types"] for body in server.requests]
    assert kinds[0] == ["float", "base64"]
    assert kinds[1:] == [["base64"]] * (len(kinds) - 1)
    assert len(kinds) > 2


def test_a_server_without_base64_is_asked_for_numbers(opened, server):
    server.base64 = False
    array = opened("openai:local-model").encode_documents(TEXTS).array
    assert np.allclose(array, vectors(TEXTS, "local-model"), atol=1e-6)
    formats = [body["encoding_format"] for body in server.requests]
    assert formats == ["base64", *["float"] * (len(formats) - 1)]


def test_a_model_without_a_row_is_asked_once_for_its_dimension(opened, server):
    assert opened("openai:local-model").space.dimension == 96
    assert server.numbers == 1
    assert opened("openai:local-model").space.dimension == 96
    assert server.numbers == 1
    loud = opened("openai:loud-model?metric=dot")
    assert not loud.space.normalized
    assert np.allclose(np.linalg.norm(loud.encode_documents(TEXTS).array, axis=1), 3, atol=1e-4)
    assert np.allclose(np.linalg.norm(opened("openai:loud-model").encode_documents(TEXTS).array, axis=1), 1, atol=1e-4)
    assert not opened("openai:local-model?metric=dot").space.normalized or opened("openai:local-model").space.normalized


def test_prompts_of_a_model_without_a_row(opened):
    made = opened("openai:local-model?document=passage:+&query=query:+")
    assert dict(made.space.prompts) == {"document": "passage: ", "query": "query: "}
    assert np.allclose(made.encode_queries(["gzip"]).array, vectors(["query: gzip"], "local-model"), atol=1e-6)


def test_the_url_is_no_part_of_the_space_and_the_address_of_the_setup(opened, server):
    made = opened("openai:local-model")
    assert made.space.model == "local-model"
    assert server.url not in made.space.canonical
    assert made.setup == f"OpenAI at {server.url}/v1"


@pytest.mark.parametrize("name", NAMES)
def test_a_request_carries_no_more_than_the_provider_takes(opened, server, name):
    row = PROVIDERS[name.partition(":")[0]]
    made = opened(f"{name}?concurrency=1")
    texts = [f"{number} {'x' * 700}" for number in range(250)]
    made.encode_documents(texts)
    model = row.model(name.partition(":")[2])
    limit = model.tokens or row.tokens
    for body in server.requests:
        sent = (
            body.get("input") or body.get("texts") or [part["content"]["parts"][0]["text"] for part in body["requests"]]
        )
        assert len(sent) <= row.items
        assert limit is None or sum(len(text) for text in sent) / 4 < limit
    assert all(count == 1 for text, count in server.delivered.items() if text in set(texts))


@pytest.mark.parametrize("name", ["openai:text-embedding-3-small", "cohere:embed-v4.0", "voyage:voyage-4-lite"])
def test_order_survives_requests_side_by_side(opened, server, name):
    server.trouble = lambda number: "slow" if number % 3 == 1 else None
    server.late = 0.2
    texts = [f"{number} {'word ' * (number % 5)}" for number in range(700)]
    array = opened(f"{name}?dimension=256").encode_documents(texts).array
    expected = unit(vectors(texts, name.partition(":")[2], NAMES[name][0], 256))
    assert np.allclose(array, expected, atol=1e-6)


def test_receipts_are_estimates(opened):
    made = opened("cohere:embed-english-light-v3.0")
    receipts = made.encode_documents(["short", "word " * 2000]).receipts
    assert receipts.truncated.tolist() == [False, True]
    assert receipts.seen[1] == 512
    assert 1500 < receipts.total[1] < 3500
    assert 1500 < made.count_tokens(["word " * 2000])[0] < 3500


def test_the_key_is_shown_as_each_provider_wants_it(opened, server):
    for name in ("openai:text-embedding-3-small", "cohere:embed-v4.0", "voyage:voyage-4-lite"):
        opened(name).encode_documents(["x"])
        assert server.headers[-1]["authorization"] == f"Bearer {KEY}"
    opened("google:gemini-embedding-001").encode_documents(["x"])
    assert server.headers[-1]["x-goog-api-key"] == KEY
    assert "authorization" not in server.headers[-1]
    assert server.paths[-1] == "/v1beta/models/gemini-embedding-001:batchEmbedContents"  # and no key in it
