"""What other systems record of the embedder of their vectors, and what samespace calls it: rows of data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from samespace.encoders import MODELS
from samespace.space import Metric

__all__ = ["EMBEDDERS", "Embedder", "Recorded", "recorded"]


@dataclass(frozen=True, slots=True)
class Embedder:
    """An embedder as another system names it.

    Attributes:
        system: that has it.
        name: by which the system records it.
        encoder: what samespace calls it; ``{model}`` stands for the recorded model.
        field: of its recorded configuration, that names the model; empty where there is but one.
        default: the model where none was recorded.
        dimension, url: fields that become options of the encoder.
    """

    system: str
    name: str
    encoder: str
    field: str = ""
    default: str = ""
    dimension: str = ""
    url: str = ""


# Chroma: the classes' name() and get_config() in chromadb/utils/embedding_functions. LanceDB: the names in
# lancedb/embeddings, of which only those settings are recorded that differ from the defaults here.
EMBEDDERS = (
    Embedder("Chroma", "default", "minilm"),
    Embedder("Chroma", "onnx_mini_lm_l6_v2", "minilm"),
    Embedder("Chroma", "sentence_transformer", "hf:{model}", "model_name", "all-MiniLM-L6-v2"),
    Embedder("Chroma", "huggingface", "hf:{model}", "model_name"),
    Embedder("Chroma", "openai", "openai:{model}", "model_name", "", "dimensions", "api_base"),
    Embedder("Chroma", "cohere", "cohere:{model}", "model_name"),
    Embedder("Chroma", "voyageai", "voyage:{model}", "model_name"),
    Embedder("Chroma", "mistral", "mistral:{model}", "model"),
    Embedder("Chroma", "jina", "jina:{model}", "model_name", "", "dimensions"),
    Embedder("Chroma", "ollama", "openai:{model}", "model_name", "", "", "url"),
    Embedder("LanceDB", "sentence-transformers", "hf:{model}", "name", "all-MiniLM-L6-v2"),
    Embedder("LanceDB", "huggingface", "hf:{model}", "name"),
    Embedder("LanceDB", "openai", "openai:{model}", "name", "text-embedding-ada-002", "dim", "base_url"),
    Embedder("LanceDB", "cohere", "cohere:{model}", "name", "embed-multilingual-v2.0"),
    Embedder("LanceDB", "voyageai", "voyage:{model}", "name"),
    Embedder("LanceDB", "jina", "jina:{model}", "name", "jina-clip-v1"),
    Embedder("LanceDB", "ollama", "openai:{model}", "name", "nomic-embed-text", "", "host"),
)


@dataclass(frozen=True)
class Recorded:
    """What another system says of the vectors that it keeps.

    Attributes:
        said: the record of the embedder in a sentence's words; empty if there is none.
        encoder: what samespace calls it; None where it has no name for it.
        metric: by which the vectors were compared.
    """

    said: str = ""
    encoder: str | None = None
    metric: Metric | None = None


def recorded(system: str, name: str, settings: Mapping[str, Any], metric: Metric | None) -> Recorded:
    """What a system's record of its embedder means.

    Args:
        system: as in :data:`EMBEDDERS`.
        name: by which it calls the embedder.
        settings: that it recorded with the name.
        metric: of its index.
    """
    row = next((row for row in EMBEDDERS if (row.system, row.name) == (system, name)), None)
    field = row.field if row else "model_name"
    model = settings.get(field) or settings.get("name") or (row.default if row else "")
    said = f"{system} recorded the embedder {name!r}" + (f" with the model {str(model)!r}" if model else "")
    if row is None or (row.field and not model):
        return Recorded(said, None, metric)
    return Recorded(said, _name(row, str(model), settings), metric)


def _name(row: Embedder, model: str, settings: Mapping[str, Any]) -> str:
    if row.encoder.startswith("hf:") and "/" not in model:
        model = f"sentence-transformers/{model}"  # where the library itself looks for it
    if here := next(
        (each.name for each in MODELS.values() if row.encoder.startswith("hf:") and each.source == model), ""
    ):
        return here
    options = {}
    if row.dimension and settings.get(row.dimension):
        options["dimension"] = str(settings[row.dimension])
    if row.url and settings.get(row.url):
        options["url"] = str(settings[row.url])
        if row.name == "ollama":
            options["url"] = options["url"].removesuffix("/").removesuffix("/api/embeddings") + "/v1"
    query = "&".join(f"{key}={quote(value, safe='/:,')}" for key, value in options.items())
    return row.encoder.format(model=model) + (f"?{query}" if query else "")
