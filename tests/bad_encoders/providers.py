"""Providers that cannot be reached, paid or believed, and names that do not name one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from bad_encoders.case import Case
from encoders.providers.server import serving
from samespace.encoders import encoder
from samespace.errors import CostExceeded, EncoderError, InvalidInput, NotFound, ProviderError

__all__ = ["CASES"]

_MODEL = "openai:text-embedding-3-small"
_KEYS = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "CO_API_KEY", "COHERE_API_KEY", "CO_API_URL", "VOYAGE_API_KEY")


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    with patch.dict(os.environ, variables):
        for name in _KEYS:
            if name not in variables:
                os.environ.pop(name, None)
        yield


def _named(name: str, **settings: object) -> Callable[[Path], object]:
    def act(_tmp: Path) -> object:
        with _environment():
            return encoder(name, **settings)  # type: ignore[arg-type]

    return act


def _without_key(name: str, **variables: str) -> Callable[[Path], object]:
    def act(_tmp: Path) -> object:
        with _environment(**variables):
            return encoder(name, cache=False).encode_queries(["a text"])

    return act


def _served(trouble: str, options: str = "dimension=64", *, key: str | None = None, **settings: object):
    """Encode by a server that is in good order for the first text, and in trouble for the second."""

    def act(_tmp: Path) -> object:
        with _environment(), serving() as server:
            made = encoder(f"{_MODEL}?url={server.url}/v1&{options}", cache=False, **settings)  # type: ignore[arg-type]
            made.patience = replace(made.patience, first=0.01, longest=0.02)
            made._proven = True
            made.encode_documents(["a text"])
            server.key = key
            server.trouble = lambda _number: trouble or None
            return made.encode_documents(["another text", "a third"])

    return act


def _ignoring_the_role(_tmp: Path) -> object:
    from encoders.providers import server as module

    true = module.vectors
    with (
        _environment(),
        serving() as server,
        patch.object(module, "vectors", lambda texts, model, _task, size=None: true(texts, model, None, size)),
    ):
        return encoder(f"voyage:voyage-4-lite?url={server.url}/v1", cache=False).encode_queries(["a text"])


def _unknown_model(_tmp: Path) -> object:
    with _environment(), serving() as server:
        return encoder(f"openai:no-such-model?url={server.url}/v1", cache=False)


CASES = [
    Case("a provider that there is not", 'encoder("acme:model")', _named("acme:model"), NotFound, "no provider 'acme'"),
    Case(
        "an option that a provider does not have",
        'encoder("openai:text-embedding-3-small?colour=red")',
        _named(f"{_MODEL}?colour=red"),
        InvalidInput,
        "has no option colour. Its options are: batch, concurrency, dimension, price, timeout, url",
    ),
    Case(
        "a dimension that the model cannot be shortened to",
        'encoder("cohere:embed-v4.0?dimension=300")',
        _named("cohere:embed-v4.0?dimension=300"),
        InvalidInput,
        "gives vectors of 1536 numbers, or of 256, 512, 1024; dimension=300 was asked for",
    ),
    Case(
        "a dimension for a model that has only one",
        'encoder("openai:text-embedding-ada-002?dimension=256")',
        _named("openai:text-embedding-ada-002?dimension=256"),
        InvalidInput,
        "1536 numbers and no others",
    ),
    Case(
        "a dimension that is no number",
        'encoder("openai:text-embedding-3-small?dimension=many")',
        _named(f"{_MODEL}?dimension=many"),
        InvalidInput,
        "dimension= in .* must be a whole number above 0, got 'many'",
    ),
    Case(
        "a kind of numbers that a provider does not send",
        'encoder("cohere:embed-v4.0?output=float8")',
        _named("cohere:embed-v4.0?output=float8"),
        InvalidInput,
        "output= in .* must be one of float, int8, got 'float8'",
    ),
    Case(
        "a metric that there is not",
        'encoder("openai:my-model?url=http://localhost:9/v1&metric=manhattan")',
        _named("openai:my-model?url=http://localhost:9/v1&metric=manhattan"),
        InvalidInput,
        "must be cosine, dot or euclidean, got 'manhattan'",
    ),
    Case(
        "a price that is no amount",
        'encoder("openai:text-embedding-3-small?price=cheap")',
        _named(f"{_MODEL}?price=cheap"),
        InvalidInput,
        "price= in .* must be a number, 0 or more",
    ),
    Case(
        "a time-out of nothing",
        'encoder("openai:text-embedding-3-small?timeout=0")',
        _named(f"{_MODEL}?timeout=0"),
        InvalidInput,
        "timeout= in .* must be a number of seconds above 0, got '0'",
    ),
    Case(
        "a URL that is none",
        'encoder("openai:my-model?url=localhost:11434")',
        _named("openai:my-model?url=localhost:11434"),
        InvalidInput,
        "url= must be a URL such as http://localhost:11434/v1, got 'localhost:11434'",
    ),
    Case(
        "a URL of another kind",
        'encoder("openai:my-model?url=file:///etc/passwd")',
        _named("openai:my-model?url=file:///etc/passwd"),
        InvalidInput,
        "must be a URL such as",
    ),
    Case(
        "a URL with a password in it",
        'encoder("openai:my-model?url=https://me:secret@example.com/v1")',
        _named("openai:my-model?url=https://me:secret@example.com/v1"),
        InvalidInput,
        "must not carry a user or a password, .* SAMESPACE_KEY_EXAMPLE_COM",
    ),
    Case(
        "no key in the environment",
        'encoder("openai:text-embedding-3-small").encode_queries(["a text"])',
        _without_key(_MODEL),
        InvalidInput,
        "OpenAI needs a key, and OPENAI_API_KEY is not set",
    ),
    Case(
        "a key that is none",
        'OPENAI_API_KEY="two words"; encoder("openai:text-embedding-3-small").encode_queries(["a text"])',
        _without_key(_MODEL, OPENAI_API_KEY="two words"),
        InvalidInput,
        "OPENAI_API_KEY does not hold a key: .* its value is not shown here",
    ),
    Case(
        "a cap without a price",
        'encoder("jina:jina-embeddings-v3", max_cost=1)',
        _named("jina:jina-embeddings-v3", max_cost=1),
        InvalidInput,
        "A cap needs a price, and none is known for jina:jina-embeddings-v3",
    ),
    Case(
        "a negative cap on what a provider may cost",
        'encoder("openai:text-embedding-3-small", max_cost=-1)',
        _named(_MODEL, max_cost=-1),
        InvalidInput,
        "max_cost must be a number, 0 or more",
    ),
    Case(
        "one text where a list is to be estimated",
        'encoder("openai:text-embedding-3-small").estimate("a text")',
        lambda _tmp: encoder(_MODEL).estimate("a text"),  # type: ignore[attr-defined]
        InvalidInput,
        "Expected a list of texts, got one text",
    ),
    Case(
        "a server that is not there",
        'encoder("openai:my-model?url=http://localhost:9/v1")',
        _named("openai:my-model?url=http://127.0.0.1:9/v1"),
        ProviderError,
        "did not say how long the vectors of 'my-model' are: .* no connection to http://127.0.0.1:9/v1",
    ),
    Case(
        "a model that the server does not have",
        'encoder("openai:no-such-model?url=…")',
        _unknown_model,
        ProviderError,
        "HTTP 400: bad request: 'no such model: no-such-model'|no such model: no-such-model",
    ),
    Case(
        "a key that the provider refuses",
        'encoder("openai:…").encode_documents(…)',
        _served("", key="the-right-key"),
        ProviderError,
        "failed after one attempt; the last: HTTP 401.* Check the key",
    ),
    Case(
        "more to pay than the cap",
        'encoder("openai:…", max_cost=0.001).encode_documents(…)',
        _served("", "dimension=64&price=50", max_cost=0.0021),
        CostExceeded,
        "and the cap is 0.0021",
    ),
    *(
        Case(
            f"a provider that answers with {what}",
            'encoder("openai:…").encode_documents(…)',
            _served(trouble),
            ProviderError,
            f"failed after 3 attempts.*{says}",
        )
        for what, trouble, says in (
            ("another count", "count", "3 vectors came for 4 texts"),
            ("another order", "order", "the order of the vectors is not that of the texts"),
            ("another dimension", "dimension", "vectors of dimension 32 came, expected 64"),
            ("NaN", "nan", "holds NaN or infinity"),
            ("the vectors of another model", "other model", "another model answered: .* at a distance of"),
            ("what is no number", "null", "a vector of the answer is not a list of numbers"),
        )
    ),
    Case(
        "a provider that is down",
        'encoder("openai:…").encode_documents(…)',
        _served("500"),
        ProviderError,
        "failed after 6 attempts in .* s; the last: HTTP 500",
    ),
    Case(
        "a provider that treats queries as documents",
        'encoder("voyage:…").encode_queries(…)',
        _ignoring_the_role,
        EncoderError,
        "gives documents and queries the same vectors, so these never reach the model",
    ),
]
