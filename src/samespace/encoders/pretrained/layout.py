"""What a model's folder says of the space of its vectors, read without torch and before any weights."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from samespace.encoders.places import digest_files
from samespace.encoders.pretrained.files import Files
from samespace.encoders.pretrained.modules import (
    Dense,
    Module,
    Normalize,
    Other,
    Pooling,
    Static,
    Transformer,
    pipelines,
)
from samespace.errors import InvalidInput
from samespace.space import Metric, Role

__all__ = ["Layout", "own_name", "read_layout"]

_ROLES: tuple[Role, ...] = ("document", "query")
_PROMPTS: dict[Role, tuple[str, ...]] = {"document": ("document", "passage", "corpus"), "query": ("query",)}
_METRICS: dict[str, Metric] = {"cosine": "cosine", "dot": "dot", "euclidean": "euclidean"}
_TOKENIZERS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",
)
_GRAPHS = ("openvino/openvino_model.xml", "openvino_model.xml", "onnx/model.onnx", "model.onnx")
# These models leave the prompt out of the mean, and their configuration does not say so.
_INSTRUCTORS = ("hkunlp/instructor-base", "hkunlp/instructor-large", "hkunlp/instructor-xl")


@dataclass(frozen=True)
class Layout:
    """A model, as its files describe it.

    Attributes:
        files: its folder.
        pipelines: modules by role, one object for both roles where they are treated alike.
        prompts: by role; a role without one is left out.
        tasks: the routes of the roles, where a Router has several.
        metric: that it was trained for.
        truncation: numbers that are kept of a vector; None: all.
        graph: a file of the same transformer for OpenVINO or ONNX, in its folder; None if there is none.
        digest: of everything that moves vectors, but prompts, pooling and what else a Space names.
    """

    files: Files
    pipelines: Mapping[Role, tuple[Module, ...]]
    prompts: Mapping[Role, str]
    tasks: Mapping[Role, str]
    metric: Metric
    truncation: int | None
    graph: Path | None
    digest: str

    @property
    def modules(self) -> tuple[Module, ...]:
        """All modules of both roles."""
        return tuple(dict.fromkeys(module for role in _ROLES for module in self.pipelines[role]))

    @property
    def dimension(self) -> int | None:
        """Length of the vectors; None where only the library that runs it knows."""
        sizes = {_dimension(self.pipelines[role]) for role in _ROLES}
        if len(sizes) > 1:
            raise InvalidInput(
                f"The model in {self.files.root} gives documents and queries vectors of {sizes} numbers, so these "
                "cannot be compared. Get a model whose routes end in one dimension."
            )
        (size,) = sizes
        return min(size, self.truncation or size) if size else None

    @property
    def pooling(self) -> str | None:
        """How token vectors became one, by role where the roles differ."""
        named = {role: _pooled(self.pipelines[role]) for role in _ROLES}
        if named["document"] == named["query"]:
            return named["document"]
        return ",".join(f"{role}:{named[role]}" for role in _ROLES)

    @property
    def normalized(self) -> bool:
        """All vectors have unit length."""
        whole = {isinstance(self.pipelines[role][-1], Normalize) for role in _ROLES} == {True}
        size = _dimension(self.pipelines["document"])
        return whole and (self.truncation is None or (size is not None and self.truncation >= size))


def read_layout(files: Files, model: str, *, trusted: bool, dimension: int | None = None) -> Layout:
    """Read a model's configuration.

    Args:
        files: of the model.
        model: its name.
        trusted: code from its folder may run.
        dimension: numbers to keep of each vector; None for what the model says.

    Raises:
        InvalidInput: something in it cannot be used, or is not safe to use.
        StorageError: weights are torn or cannot be read.
    """
    by_role, tasks, idle = pipelines(files)
    if model in _INSTRUCTORS:
        by_role = {role: tuple(map(_without_prompt, modules)) for role, modules in by_role.items()}
    settings = files.json("config_sentence_transformers.json")
    kind = settings.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise InvalidInput(f"The model in {files.root} is a {kind}, which does not make one vector of a text.")
    modules = {module: None for role in _ROLES for module in by_role[role]}
    for module in idle:
        if isinstance(module, Transformer | Static | Dense | Other):
            files.weights(module.folder)  # sentence-transformers loads them too, so they must be safe
    if not trusted:
        _refuse_code(files, model, (*modules, *idle))
    graph = next((files.path(name) for name in _GRAPHS if files.has(name)), None)
    moving = {path for module in modules for path in _moving(files, module, graph)}
    if trusted:
        moving |= {path for path in files.root.rglob("*.py") if path.is_file()}
    return Layout(
        files,
        {"document": by_role["document"], "query": by_role["query"]},
        _prompts(files, settings),
        tasks,
        _metric(files, settings),
        dimension or _truncation(files, settings),
        graph,
        _digest(digest_files(moving, files.root), by_role),
    )


def own_name(files: Files) -> str:
    """What the model calls itself in its card; else the name of its folder."""
    try:
        card = files.path("README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        card = ""
    front = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    head = front.group(1) if front else ""
    patterns = (
        (r"^model_name:[ ]*(\S.*)$", head),
        (r"^model-index:\n- name:[ ]*(\S.*)$", head),
        (r"^# ([\w./-]+)$", card),
    )
    for pattern, text in patterns:
        if found := re.search(pattern, text, re.MULTILINE):
            return found.group(1).strip().strip("'\"")
    return files.root.resolve().name


def _digest(content: str, by_role: Mapping[Role, tuple[Module, ...]]) -> str:
    """Digest of the files, and of what is done with them where the files and the Space do not tell.

    They tell it of one vector from a text by a transformer or a table, with Normalize at the end or not.
    """
    names = [type(module).__name__ for module in by_role["document"]]
    usual = (["Transformer", "Pooling"], ["Static"])
    if by_role["document"] == by_role["query"] and (names[:-1] if names[-1] == "Normalize" else names) in usual:
        return content
    order = {role: [[type(module).__name__, asdict(module)] for module in by_role[role]] for role in _ROLES}
    whole = json.dumps([content, order], sort_keys=True)
    return f"sha256:{hashlib.sha256(whole.encode()).hexdigest()}"


def _without_prompt(module: Module) -> Module:
    return Pooling(module.modes, include_prompt=False) if isinstance(module, Pooling) else module


def _refuse_code(files: Files, model: str, modules: Sequence[Module]) -> None:
    own = [f"the module {m.kind}" for m in modules if isinstance(m, Other) and m.own]
    for module in modules:
        if isinstance(module, Transformer) and not _is_known(files.json(module.folder, "config.json")):
            names = (files.path(module.folder, name) for name in ("config.json", "tokenizer_config.json"))
            mapped = [path for path in names if files.json(module.folder, path.name).get("auto_map")]
            own += [f"'auto_map' in {path.relative_to(files.root)}" for path in mapped]
    if own:
        raise InvalidInput(
            f"The model {model!r} wants to run code of its own ({', '.join(own)}). Read that code; if you trust it, "
            f"say so by name: encoder(…, trust_code={model!r})."
        )


def _is_known(config: Mapping[str, Any]) -> bool:
    """Transformers has code for a model of this type; then it leaves the code in the folder alone."""
    if not config.get("auto_map") or find_spec("transformers") is None:
        return False
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES  # type: ignore[attr-defined]

    return config.get("model_type") in CONFIG_MAPPING_NAMES


def _moving(files: Files, module: Module, graph: Path | None) -> Iterator[Path]:
    """The files of a module that move vectors.

    Raises:
        InvalidInput: it has no weights, or no tokenizer.
    """
    if isinstance(module, Normalize):
        return
    if isinstance(module, Pooling):
        return  # named by Space.pooling
    folder = files.path(module.folder)
    weights = files.weights(module.folder)
    if isinstance(module, Transformer | Static):
        tokenizer = [path for name in _TOKENIZERS for path in folder.glob(name) if path.is_file()]
        named = {path.name for path in tokenizer} - {"tokenizer_config.json", "special_tokens_map.json"}
        if not named or (isinstance(module, Static) and "tokenizer.json" not in named):
            raise InvalidInput(
                f"The model in {folder} has no tokenizer: expected tokenizer.json, or the vocabulary that it is made "
                "of. Save the tokenizer into the folder too."
            )
        yield from tokenizer
        if isinstance(module, Transformer) and not weights and graph is not None:
            weights = [graph, *(p for p in (graph.with_suffix(".bin"), Path(f"{graph}_data")) if p.is_file())]
    if not weights and not isinstance(module, Other):
        raise InvalidInput(f"The model in {folder} has no weights: expected model.safetensors in it.")
    yield from weights
    configurations = ("config.json", *(p.name for p in folder.glob("sentence_*_config.json")))
    yield from (folder / name for name in configurations if (folder / name).is_file())


def _prompts(files: Files, settings: dict[str, Any]) -> dict[Role, str]:
    """By the rules of encode_query and encode_document."""
    where = files.path("config_sentence_transformers.json")
    prompts = settings.get("prompts") or {}
    if not isinstance(prompts, dict):
        raise InvalidInput(f"{where}: 'prompts' must map names to texts, got {prompts!r}.")
    for name, prompt in prompts.items():
        if prompt is not None and not isinstance(prompt, str):
            raise InvalidInput(f"{where}: the prompt {name!r} must be a text, got {prompt!r}.")
    default = settings.get("default_prompt_name")
    if default is not None and default not in prompts:
        known = ", ".join(map(repr, prompts)) or "none"
        raise InvalidInput(f"{where}: 'default_prompt_name' is {default!r}, but the prompts are {known}.")
    chosen: dict[Role, str] = {}
    for role, names in _PROMPTS.items():
        name = next((name for name in names if name in prompts), default)
        if prompt := prompts.get(name):
            chosen[role] = prompt
    return chosen


def _metric(files: Files, settings: dict[str, Any]) -> Metric:
    name = settings.get("similarity_fn_name") or "cosine"
    if name not in _METRICS:
        raise InvalidInput(
            f"{files.path('config_sentence_transformers.json')}: the similarity {name!r} is not supported; "
            f"{', '.join(_METRICS)} are. Change it there if the model works with one of these too."
        )
    return _METRICS[name]


def _truncation(files: Files, settings: dict[str, Any]) -> int | None:
    size = settings.get("truncate_dim")
    if size is not None and (type(size) is not int or size < 1):
        where = files.path("config_sentence_transformers.json")
        raise InvalidInput(f"{where}: 'truncate_dim' must be a positive number, got {size!r}.")
    return size


def _dimension(modules: tuple[Module, ...]) -> int | None:
    size: int | None = None
    for module in modules:
        if isinstance(module, Transformer | Static | Dense):
            size = module.dimension
        elif isinstance(module, Pooling):
            size = size * len(module.modes) if size else None
        elif isinstance(module, Other):
            return None
    return size


def _pooled(modules: tuple[Module, ...]) -> str | None:
    for module in modules:
        if isinstance(module, Pooling):
            return "+".join(module.modes) + ("" if module.include_prompt else ", prompt left out")
        if isinstance(module, Static):
            return "mean"
    return None
