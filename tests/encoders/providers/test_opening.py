"""From a name to an encoder, and its space."""

from __future__ import annotations

import json

import pytest

import samespace as ss
from encoders.providers.server import DIMENSIONS
from samespace.encoders import encoder
from samespace.encoders.names import parse
from samespace.encoders.providers import PROVIDERS, open_provider
from samespace.errors import EncoderError, InvalidInput, NotFound, ProviderError, SpaceMismatch

ROWS = [f"{row.name}:{model.name}" for row in PROVIDERS.values() for model in row.models]


@pytest.mark.parametrize("name", ROWS)
def test_a_row_needs_no_server(name):
    made = open_provider(parse(name), max_cost=None)
    provider, model = name.split(":")
    assert made.space.model == f"{provider}/{model}"
    assert made.space.dimension == PROVIDERS[provider].model(model).dimension
    assert made.space.metric == "cosine"
    assert made.space.normalized
    assert dict(made.space.tasks) == dict(PROVIDERS[provider].tasks)
    assert made.name == name
    assert made.paid
    assert made.cached
    if model in DIMENSIONS:
        assert DIMENSIONS[model] == made.space.dimension


def test_options_that_do_not_touch_the_vectors_are_no_part_of_the_space():
    plain = open_provider(parse("openai:text-embedding-3-small"), max_cost=None)
    for options in ("price=0.5", "batch=7&concurrency=2", "timeout=3", "dimension=1536", "url=http://localhost:1/v1"):
        assert open_provider(parse(f"openai:text-embedding-3-small?{options}"), max_cost=None).space == plain.space
    assert open_provider(parse("openai:text-embedding-3-small?dimension=512"), max_cost=None).space != plain.space


def test_the_dimension_is_remembered_in_the_cache_folder_without_anything_secret(opened, server, tmp_path):
    opened("openai:local-model")
    (note,) = (tmp_path / "cache" / "providers").iterdir()
    assert json.loads(note.read_text()) == {
        "url": f"{server.url}/v1",
        "model": "local-model",
        "dimension": 96,
        "unit": True,
    }
    note.write_text("junk")
    requests = server.numbers
    opened("openai:local-model")
    assert server.numbers == requests + 1


def test_a_server_that_serves_another_model_now_is_caught(opened, server):
    made = opened("openai:local-model")
    server.trouble = lambda _number: "dimension"
    with pytest.raises(ProviderError, match="vectors of dimension 48 came, expected 96"):
        made.encode_documents(["a text"])


def test_the_question_for_the_dimension_is_insisted_on_too(opened, server):
    server.first("500", "order", "nan")
    assert opened("openai:local-model").space.dimension == 96
    assert server.numbers == 4


def test_a_dimension_that_is_given_is_not_asked_for(opened, server):
    assert opened("openai:local-model?dimension=32").space.dimension == 32
    assert server.numbers == 0


def test_the_self_test_compares_with_what_was_kept(opened, server):
    opened("openai:text-embedding-3-small?dimension=64", prove=True).encode_documents(["a text"])
    server.trouble = lambda _number: "other model"  # from the first request on: no witness can know
    other = opened("openai:text-embedding-3-small?dimension=64&timeout=9", prove=True)
    other.setup += ", later"
    with pytest.raises(SpaceMismatch, match="distance"):
        other.encode_documents(["another text"])


def test_a_server_that_ignores_the_task_is_caught(opened, server, monkeypatch):
    from encoders.providers import server as module

    true = module.vectors
    monkeypatch.setattr(
        module, "vectors", lambda texts, model, _task=None, dimension=None: true(texts, model, None, dimension)
    )
    with pytest.raises(EncoderError, match="declares the task 'document' for a document, the task 'query' for a query"):
        opened("voyage:voyage-4-lite", prove=True).encode_documents(["a text"])


def test_a_collection_is_opened_again_with_its_provider(opened, server, tmp_path):
    made = opened("openai:text-embedding-3-small?dimension=64", prove=True)
    with ss.open(tmp_path / "notes.ss", made) as notes:
        notes.add(["compress data with gzip", "measure how long it takes", "parse a date"])
    requests = server.numbers
    with ss.open(tmp_path / "notes.ss") as notes:
        assert notes.search("compress data with zip", k=1)[0].content == "compress data with gzip"
        assert notes.add(["compress data with gzip"], ids=["again"])
    assert server.numbers <= requests + 2  # the question; the text came out of the cache


def test_one_model_under_another_name_is_accepted_when_its_vectors_prove_it(opened, server, tmp_path):
    texts = ["compress data with gzip", "measure how long it takes", "parse a date"]
    with ss.open(tmp_path / "notes.ss", opened("openai:local-model", prove=True)) as notes:
        notes.add(texts)
    other = opened("openai:local/Model-GGUF", prove=True)
    with ss.open(tmp_path / "notes.ss", other) as notes:
        assert notes.space.model == "local-model" != other.space.model
        assert notes.search("compress data with zip", k=1)[0].content == texts[0]
        more = [f"text number {number}" for number in range(300)]
        server.trouble = lambda _number: "401" if len(server.delivered) > 150 else None
        with pytest.raises(ProviderError):
            notes.add(more)
        server.trouble = lambda _number: None
        notes.add(more)
        assert all(server.delivered[text] == 1 for text in more)
    with pytest.raises(SpaceMismatch, match="distance"):
        ss.open(tmp_path / "notes.ss", opened("openai:loud-model", prove=True)).search("gzip")


def test_names_that_cannot_be(server):
    with pytest.raises(
        NotFound, match=r"no provider 'acme'\. The providers are: openai, cohere, voyage, google, mistral, jina"
    ):
        encoder("acme:model")
    with pytest.raises(InvalidInput, match="has no option colour"):
        encoder("openai:text-embedding-3-small?colour=red")
    with pytest.raises(InvalidInput, match="has no option metric"):
        encoder("openai:text-embedding-3-small?metric=dot")
