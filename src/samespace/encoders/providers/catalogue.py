"""The providers that samespace knows, as rows of data: where they are, how they are spoken to, what they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from samespace.errors import NotFound
from samespace.space import Metric, Role

__all__ = [
    "DIMENSION",
    "EACH",
    "MODEL",
    "PROVIDERS",
    "TASK",
    "TEXT",
    "TEXTS",
    "Json",
    "Model",
    "Price",
    "Provider",
    "provider",
]

# Places in the template of a request, see Json.
MODEL, TEXTS, TEXT, EACH, DIMENSION, TASK = "$model", "$texts", "$text", "$each", "$dimension", "$task"


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, where that was read, and when."""

    per_million: float
    source: str
    read: str = "2026-11-23"
    currency: str = "USD"


@dataclass(frozen=True, kw_only=True, slots=True)
class Json:
    """How to speak JSON over HTTP with a provider, as a description and not as code.

    Attributes:
        path: after the base URL; ``$model`` stands for the model's name.
        body: the request. ``$model``, ``$dimension`` and ``$task`` stand for values, and a field whose value is
            none is left out; ``$texts`` for the list of texts; ``{"$each": …}`` for a list with one entry a
            text, in which ``$text`` stands.
        rows: the answer's field that holds the list of results.
        vector: field of a result that holds the numbers.
        index: field of a result that says which text it is of; None where only the order tells.
        model, tokens: paths in the answer, with dots; None where it does not say.
        header, prefix: how the key is shown.
    """

    path: str
    body: Mapping[str, Any]
    rows: str
    vector: str
    index: str | None = None
    model: str | None = None
    tokens: str | None = None
    header: str = "Authorization"
    prefix: str = "Bearer "


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A model of a provider.

    Attributes:
        name: as the provider calls it.
        dimension: of its vectors when nothing else is asked for.
        shorter: the dimensions that it can be asked for instead; a range, or the few that there are.
        max_tokens: of an item.
        tokens: of a request, where that differs from the provider's other models.
        price: None where no source could be found; it is then to be given as an option.
        metric: that it was trained for.
    """

    name: str
    dimension: int
    shorter: range | tuple[int, ...] = ()
    max_tokens: int
    tokens: int | None = None
    price: Price | None = None
    metric: Metric = "cosine"


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """A provider: where it is, how it is spoken to, and what a request may carry.

    Attributes:
        name: the scheme in an encoder's name.
        title: its name in a sentence.
        keys: environment variables that may hold its key, the first that is set counts.
        url: where its interface begins. A key of ``keys`` goes nowhere else.
        url_variable: the environment variable by which a user may point it elsewhere, key and all.
        wire: its official SDK, or a description of its JSON.
        extra: the extra of samespace that brings what the wire needs.
        items: texts that a request may carry.
        tokens: that a request may carry in all; None where no limit is known.
        concurrency: requests at a time.
        tasks: how it is told an item's role.
        outputs: kinds of numbers that it can be asked for; the first is the default.
        models: rows; any other model can be named with its dimension; at a ``url`` it is asked once for it.
        sources: where the facts of this row were read.
        unverified: what no source could confirm.
    """

    name: str
    title: str
    keys: tuple[str, ...]
    url: str
    url_variable: str | None = None
    wire: Literal["openai", "cohere"] | Json
    extra: str = "providers"
    items: int
    tokens: int | None = None
    concurrency: int = 8
    tasks: Mapping[Role, str] = field(default_factory=lambda: MappingProxyType({}))
    outputs: tuple[str, ...] = ("float",)
    models: tuple[Model, ...]
    sources: tuple[str, ...]
    unverified: str = ""

    def model(self, name: str) -> Model | None:
        """The row of a model; None if there is none."""
        return next((row for row in self.models if row.name == name), None)


_OPENAI = Provider(
    name="openai",
    title="OpenAI",
    keys=("OPENAI_API_KEY",),
    url="https://api.openai.com/v1",
    url_variable="OPENAI_BASE_URL",
    wire="openai",
    extra="openai",
    items=2048,
    tokens=300_000,
    models=(
        Model(
            name="text-embedding-3-small",
            dimension=1536,
            shorter=range(1, 1536),
            max_tokens=8192,
            price=Price(0.02, "embeddingcost.com/openai, verified there in May 2026"),
        ),
        Model(
            name="text-embedding-3-large",
            dimension=3072,
            shorter=range(1, 3072),
            max_tokens=8192,
            price=Price(0.13, "embeddingcost.com/openai, verified there in May 2026"),
        ),
        Model(
            name="text-embedding-ada-002",
            dimension=1536,
            max_tokens=8192,
            price=Price(0.10, "embeddingcost.com/openai, verified there in May 2026"),
        ),
    ),
    sources=("the docstrings of openai 3.54, resources/embeddings.py",),
    unverified="the least dimension that it takes",
)

_COHERE = Provider(
    name="cohere",
    title="Cohere",
    keys=("CO_API_KEY", "COHERE_API_KEY"),
    url="https://api.cohere.com",
    url_variable="CO_API_URL",
    wire="cohere",
    extra="cohere",
    items=96,
    tokens=128_000,
    tasks=MappingProxyType({"document": "search_document", "query": "search_query"}),
    outputs=("float", "int8"),
    models=(
        Model(
            name="embed-v4.0",
            dimension=1536,
            shorter=(256, 512, 1024),
            max_tokens=128_000,
            price=Price(0.12, "vercel.com/ai-gateway/models/embed-v4.0"),
        ),
        *(
            Model(
                name=f"embed-{language}{light}-v3.0",
                dimension=384 if light else 1024,
                max_tokens=512,
                price=None if light else Price(0.10, "aitot.net/en/blog/embeddings-pricing-comparison-2026"),
            )
            for language in ("english", "multilingual")
            for light in ("", "-light")
        ),
    ),
    sources=("docs.cohere.com/embed-reference", "the docstrings of cohere 7.3, v2/client.py", "docs.cohere.com models"),
    unverified="the price of the light models; tokens of a request (128,000 is what Oracle's copy of embed-v4.0 takes)",
)

_VOYAGE = Provider(
    name="voyage",
    title="Voyage AI",
    keys=("VOYAGE_API_KEY",),
    url="https://api.voyageai.com/v1",
    wire=Json(
        path="/embeddings",
        body={"model": MODEL, "input": TEXTS, "input_type": TASK, "output_dimension": DIMENSION, "truncation": True},
        rows="data",
        vector="embedding",
        index="index",
        model="model",
        tokens="usage.total_tokens",
    ),
    items=1000,
    tokens=120_000,
    tasks=MappingProxyType({"document": "document", "query": "query"}),
    models=tuple(
        Model(
            name=name,
            dimension=1024,
            shorter=(256, 512, 2048) if shorter else (),
            max_tokens=max_tokens,
            tokens=tokens,
            price=Price(price, source),
        )
        for name, shorter, max_tokens, tokens, price, source in (
            ("voyage-4-large", True, 32_000, 120_000, 0.12, "usagepricing.com/blueprint/voyage-ai"),
            ("voyage-4", True, 32_000, 320_000, 0.06, "usagepricing.com/blueprint/voyage-ai"),
            ("voyage-4-lite", True, 32_000, 1_000_000, 0.02, "usagepricing.com/blueprint/voyage-ai"),
            ("voyage-3-large", True, 32_000, 120_000, 0.18, "hivebook.wiki, May 2026"),
            ("voyage-3.5", True, 32_000, 320_000, 0.06, "hivebook.wiki, May 2026"),
            ("voyage-3.5-lite", True, 32_000, 1_000_000, 0.02, "hivebook.wiki, May 2026"),
            ("voyage-code-3", True, 32_000, 120_000, 0.18, "hivebook.wiki, May 2026"),
            ("voyage-finance-2", False, 32_000, 120_000, 0.12, "docs.voyageai.com/pricing"),
            ("voyage-law-2", False, 16_000, 120_000, 0.12, "docs.voyageai.com/pricing"),
        )
    ),
    sources=("docs.voyageai.com/reference/embeddings-api", "mongodb.com, Atlas Embedding and Reranking API"),
)

_GOOGLE = Provider(
    name="google",
    title="Google",
    keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    url="https://generativelanguage.googleapis.com/v1beta",
    wire=Json(
        path=f"/models/{MODEL}:batchEmbedContents",
        body={
            "requests": {
                EACH: {
                    "model": f"models/{MODEL}",
                    "content": {"parts": [{"text": TEXT}]},
                    "taskType": TASK,
                    "outputDimensionality": DIMENSION,
                }
            }
        },
        rows="embeddings",
        vector="values",
        header="x-goog-api-key",
        prefix="",
    ),
    items=100,
    tasks=MappingProxyType({"document": "RETRIEVAL_DOCUMENT", "query": "RETRIEVAL_QUERY"}),
    models=(
        Model(
            name="gemini-embedding-001",
            dimension=3072,
            shorter=range(128, 3072),
            max_tokens=2048,
            price=Price(0.15, "developers.googleblog.com/en/gemini-embedding-available-gemini-api"),
        ),
    ),
    sources=("ai.google.dev/api/embeddings", "docs.langchain4j.dev, Google AI Gemini Embeddings"),
    unverified="100 texts a request; whether longer texts are cut or refused",
)

_MISTRAL = Provider(
    name="mistral",
    title="Mistral",
    keys=("MISTRAL_API_KEY",),
    url="https://api.mistral.ai/v1",
    wire=Json(
        path="/embeddings",
        body={"model": MODEL, "input": TEXTS, "output_dimension": DIMENSION},
        rows="data",
        vector="embedding",
        index="index",
        model="model",
        tokens="usage.total_tokens",
    ),
    items=512,
    tokens=16_384,
    concurrency=4,
    models=(
        Model(
            name="mistral-embed",
            dimension=1024,
            max_tokens=8192,
            price=Price(0.10, "aitot.net/en/blog/embeddings-pricing-comparison-2026"),
        ),
    ),
    sources=(
        "docs.mistral.ai/capabilities/embeddings",
        "langchain-ai/langchain#20523",
        "raphaelmansuy/edgequake-llm#74",
    ),
    unverified="concurrency",
)

_JINA = Provider(
    name="jina",
    title="Jina AI",
    keys=("JINA_API_KEY",),
    url="https://api.jina.ai/v1",
    wire=Json(
        path="/embeddings",
        body={"model": MODEL, "input": TEXTS, "task": TASK, "dimensions": DIMENSION, "truncate": True},
        rows="data",
        vector="embedding",
        index="index",
        model="model",
        tokens="usage.total_tokens",
    ),
    items=512,
    concurrency=4,
    tasks=MappingProxyType({"document": "retrieval.passage", "query": "retrieval.query"}),
    models=(
        Model(name="jina-embeddings-v3", dimension=1024, shorter=(32, 64, 128, 256, 512, 768), max_tokens=8192),
        Model(name="jina-embeddings-v4", dimension=2048, shorter=(128, 256, 512, 1024), max_tokens=32_768),
    ),
    sources=("api.jina.ai/openapi.json", "jina.ai/models/jina-embeddings-v3", "qdrant.tech, Jina Embeddings"),
    unverified="prices, on which sources differ; texts a request; the shorter dimensions of v4",
)

PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {row.name: row for row in (_OPENAI, _COHERE, _VOYAGE, _GOOGLE, _MISTRAL, _JINA)}
)
"""Every row, by name."""


def provider(name: str) -> Provider:
    """Find the row of that name.

    Raises:
        NotFound: there is none; the message lists those that there are.
    """
    try:
        return PROVIDERS[name]
    except KeyError:
        raise NotFound(f"There is no provider {name!r}. The providers are: {', '.join(PROVIDERS)}.") from None
