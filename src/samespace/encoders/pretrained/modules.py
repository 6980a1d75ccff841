"""The modules of a sentence-transformers model, as its configuration says, read without torch."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from samespace.encoders.pretrained.files import Files
from samespace.errors import InvalidInput
from samespace.space import Role

__all__ = ["ACTIVATIONS", "Dense", "Module", "Normalize", "Other", "Pooling", "Static", "Transformer", "pipelines"]

ACTIVATIONS = {
    "torch.nn.modules.linear.Identity": "identity",
    "torch.nn.modules.activation.Tanh": "tanh",
    "torch.nn.modules.activation.ReLU": "relu",
    "torch.nn.modules.activation.Sigmoid": "sigmoid",
}
"""What a Dense module applies to its result, by the name in its configuration."""

_CONFIGURATIONS = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
_POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
_LEGACY = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_SIZES = ("hidden_size", "d_model", "dim", "n_embd", "embed_dim")  # one thing by the names of many papers
_ROLES: tuple[Role, ...] = ("document", "query")
_ENDLESS = 10**9  # tokens; what tokenizers say that have no limit is more


@dataclass(frozen=True)
class Transformer:
    """Token vectors by a transformer in ``folder``.

    Attributes:
        dimension: of a token vector.
        max_tokens: that it reads, by role, special tokens included; None for any number.
        plain: it reads the text and nothing around it, so that a compiled graph can do all that it does.
    """

    folder: str
    dimension: int | None
    max_tokens: Mapping[Role, int | None] = field(hash=False)
    plain: bool = True


@dataclass(frozen=True)
class Static:
    """One vector a token, and their mean."""

    folder: str
    dimension: int


@dataclass(frozen=True)
class Pooling:
    """One vector of the token vectors: one for each of ``modes``, joined.

    Attributes:
        modes: of pooling, by the names of sentence-transformers.
        include_prompt: pool the tokens of the prompt too.
    """

    modes: tuple[str, ...]
    include_prompt: bool = True


@dataclass(frozen=True)
class Dense:
    """A matrix product and an activation function, on the pooled vector."""

    folder: str
    dimension: int
    activation: str


@dataclass(frozen=True)
class Normalize:
    """Scales to unit length."""


@dataclass(frozen=True)
class Other:
    """A module that only sentence-transformers itself can run. ``own``: its code lies in the model's folder."""

    kind: str
    folder: str
    own: bool


Module = Transformer | Static | Pooling | Dense | Normalize | Other


def pipelines(files: Files) -> tuple[dict[Role, tuple[Module, ...]], dict[Role, str], tuple[Module, ...]]:
    """Read the modules of a model.

    Returns:
        Those that a text goes through by its role, the names of the routes where these differ, and the modules that
        no text goes through and sentence-transformers loads all the same.

    Raises:
        InvalidInput: a file of the configuration is missing, malformed or contradictory.
    """
    if not files.has("modules.json"):
        bare = _bare(files)
        return {"document": bare, "query": bare}, {}, ()
    by_role: dict[Role, list[Module]] = {"document": [], "query": []}
    tasks: dict[Role, str] = {}
    loaded: list[Module] = []
    for entry in files.json_list("modules.json"):
        kind, folder = entry.get("type"), entry.get("path")
        if not isinstance(kind, str) or not isinstance(folder, str):
            raise InvalidInput(f"{files.path('modules.json')}: a module needs a 'type' and a 'path', got {entry!r}.")
        files.path(folder)
        if _is(kind, "Router", "Asym"):
            if tasks:
                raise InvalidInput(f"{files.path('modules.json')} has two routers; one at the beginning is expected.")
            held, routes = _router(files, folder)
            loaded += held
            for role, (route, parts) in routes.items():
                by_role[role] += parts
                tasks[role] = route
            continue
        made = _module(files, kind, folder)
        for modules in by_role.values():
            modules += made
    if not by_role["document"] or not by_role["query"]:
        raise InvalidInput(f"{files.path('modules.json')} names no modules. Get the model again.")
    used = {module for modules in by_role.values() for module in modules}
    idle = tuple(module for module in dict.fromkeys(loaded) if module not in used)
    return {role: tuple(modules) for role, modules in by_role.items()}, tasks, idle


def _is(kind: str, *names: str) -> bool:
    return kind.startswith("sentence_transformers.") and kind.rpartition(".")[2] in names


def _module(files: Files, kind: str, folder: str) -> list[Module]:
    """The module of this kind in this folder; none for what does nothing when a text is encoded."""
    config = files.json(folder, "config.json")
    if _is(kind, "Transformer"):
        return [_transformer(files, folder)]
    if _is(kind, "StaticEmbedding"):
        return [_static(files, folder)]
    if _is(kind, "Pooling"):
        return [_pooling(files, folder, config)]
    if _is(kind, "Normalize") and config.get("module_input_name", "sentence_embedding") == "sentence_embedding":
        return [Normalize()]
    if _is(kind, "Dense"):
        return [_dense(files, folder, config, kind)]
    if _is(kind, "Dropout"):
        return []
    if _is(kind, "Router", "Asym"):
        raise InvalidInput(f"{files.path(folder)} is a router within a router, which is not supported.")
    return [Other(kind.rpartition(".")[2], folder, own=not kind.startswith("sentence_transformers."))]


def _router(files: Files, folder: str) -> tuple[list[Module], dict[Role, tuple[str, list[Module]]]]:
    """All modules that a Router holds, and the route of each role, by the rules of sentence-transformers for texts.

    All that it holds is read, since all of it is loaded, also what no route leads to.
    """
    config = files.json(folder, "router_config.json") or files.json(folder, "config.json")
    where = files.path(folder, "router_config.json")
    try:
        types, structure, parameters = config["types"], dict(config["structure"]), dict(config["parameters"])
        given = {ast.literal_eval(key): route for key, route in (parameters.get("route_mappings") or {}).items()}
        places = {name: f"{folder}/{name}" if folder else name for name in types}
        for place in places.values():
            files.path(place)
        parts = {name: _module(files, kind, places[name]) for name, kind in types.items()}
        routes: dict[Role, tuple[str, list[Module]]] = {}
        for role in _ROLES:
            keys: list[Any] = [(role, "text"), (role, None), (None, "text"), (None, None)]
            named = (given[key] for key in keys if key in given)
            route = next(named, role if role in structure else "text" if "text" in structure else None)
            if route is None:
                raise InvalidInput(
                    f"{where} has no route for a {role}; its routes are {', '.join(map(repr, structure))}. "
                    "A model for search has the routes 'query' and 'document'."
                )
            routes[role] = str(route), [module for name in structure[route] for module in parts[name]]
    except (KeyError, TypeError, ValueError, AttributeError, SyntaxError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{where} is not the configuration of a Router: {error!r}. Get the file again.") from error
    return [module for part in parts.values() for module in part], routes


def _bare(files: Files) -> tuple[Module, ...]:
    """What sentence-transformers makes of a transformer that it did not save: it adds the pooling."""
    config = files.json("config.json")
    if files.has("adapter_config.json"):
        raise InvalidInput(
            f"{files.root} holds an adapter, and no whole model. Load it with peft, call merge_and_unload(), and save "
            "the result."
        )
    if not config:
        raise InvalidInput(
            f"{files.root} has neither modules.json nor config.json, so it holds no model that is known."
        )
    template = files.json("tokenizer_config.json").get("chat_template")
    if template or any(files.has(name) for name in ("chat_template.jinja", "chat_template.json")):
        raise InvalidInput(
            f"The model in {files.root} formats texts as messages of a chat, by a template, which is not supported. "
            "Use a model that was trained for embeddings; it has a modules.json."
        )
    names = config.get("architectures") or [""]
    causal = str(names[0]).endswith("ForCausalLM") and config.get("is_causal", True)
    return (_transformer(files, ""), Pooling(("lasttoken",) if causal else ("mean",)))


def _transformer(files: Files, folder: str) -> Transformer:
    config = files.json(folder, "config.json")
    if not config:
        raise InvalidInput(f"{files.path(folder)} has no config.json, so nobody knows what its weights mean.")
    name = next((name for name in _CONFIGURATIONS if files.has(folder, name)), _CONFIGURATIONS[0])
    own = files.json(folder, name)
    for key in ("modality_config", "processor_kwargs", "tokenizer_args"):
        if not isinstance(own.get(key) or {}, dict):
            raise InvalidInput(f"{files.path(folder, name)}: {key!r} must be an object, got {own[key]!r}.")
    if "message" in (own.get("modality_config") or {}):
        raise InvalidInput(
            f"The model in {files.root} formats texts as messages of a chat, by a template, which is not supported. "
            "Use a model that reads plain texts."
        )
    text = config.get("text_config") if isinstance(config.get("text_config"), dict) else {}
    sizes = [each[name] for each in (config, text or {}) for name in _SIZES if isinstance(each.get(name), int)]
    limit = _limit(files, folder, config, own)
    limits: dict[Role, int | None] = {"document": limit, "query": limit}
    for role in limits:
        if isinstance(chosen := own.get(f"{role}_length"), int):
            limits[role] = chosen
    plain = not any(own.get(name) for name in ("query_expansion", "processing_kwargs", "tokenizer_name_or_path"))
    plain = plain and own.get("transformer_task", "feature-extraction") == "feature-extraction"
    return Transformer(folder, sizes[0] if sizes else None, limits, plain)


def _limit(files: Files, folder: str, config: dict[str, Any], own: dict[str, Any]) -> int | None:
    options = own.get("processor_kwargs") or own.get("tokenizer_args") or {}
    limit = options.get("model_max_length", own.get("max_seq_length"))
    if limit is None:
        limit = files.json(folder, "tokenizer_config.json").get("model_max_length")
        limit = _ENDLESS if limit is None else limit  # as transformers reads null
        positions = config.get("max_position_embeddings", config.get("n_positions"))
        if isinstance(positions, int) and positions > 0 and config.get("model_type") != "t5":
            limit = min(limit, positions) if isinstance(limit, int | float) else limit
    if isinstance(limit, bool) or not isinstance(limit, int | float) or limit < 1:
        raise InvalidInput(
            f"The model in {files.path(folder)} reads at most {limit!r} tokens; a positive number is expected as "
            "'max_seq_length' in sentence_bert_config.json, or else 'model_max_length' in tokenizer_config.json."
        )
    return int(limit) if limit < _ENDLESS else None


def _static(files: Files, folder: str) -> Static:
    tensors = files.tensors(folder)
    table = tensors.get("embedding.weight", tensors.get("embeddings"))
    if table is None or table.ndim != 2:
        raise InvalidInput(f"{files.path(folder)} must hold a table of vectors, 'embedding.weight', in safetensors.")
    return Static(folder, table.shape[1])


def _pooling(files: Files, folder: str, config: dict[str, Any]) -> Pooling:
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for name, mode in _LEGACY.items() if config.get(name)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or not modes or set(map(str, modes)) - set(_POOLINGS):
        raise InvalidInput(
            f"{files.path(folder, 'config.json')} names the pooling {config.get('pooling_mode')!r}; the known ones are "
            f"{', '.join(_POOLINGS)}."
        )
    return Pooling(tuple(modes), bool(config.get("include_prompt", True)))


def _dense(files: Files, folder: str, config: dict[str, Any], kind: str) -> Module:
    activation, size = config.get("activation_function", "torch.nn.modules.activation.Tanh"), config.get("out_features")
    if not isinstance(size, int) or not isinstance(activation, str):
        raise InvalidInput(f"{files.path(folder, 'config.json')} must say 'out_features', the size of the result.")
    if not activation.startswith("torch."):
        return Other(f"activation {activation}", folder, own=True)
    names = {config.get("module_input_name"), config.get("module_output_name")} - {None}
    if activation not in ACTIVATIONS or config.get("use_residual") or names - {"sentence_embedding"}:
        return Other(kind.rpartition(".")[2], folder, own=False)
    return Dense(folder, size, ACTIVATIONS[activation])
