"""Model folders that cannot be used, or must not be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from bad_encoders.case import Case
from samespace.encoders import encoder
from samespace.errors import InvalidInput, NotFound, StorageError

_TRANSFORMER = "sentence_transformers.models.Transformer"
_POOLING = "sentence_transformers.models.Pooling"
_STATIC = "sentence_transformers.models.StaticEmbedding"


def model(tmp: Path) -> Path:
    """A folder that opens, as the first step to one that does not."""
    folder = tmp / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    modules = [{"idx": 0, "name": "0", "path": "", "type": _TRANSFORMER}]
    modules += [{"idx": 1, "name": "1", "path": "1_Pooling", "type": _POOLING}]
    write(folder / "modules.json", modules)
    write(folder / "config.json", {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 8})
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 8, "pooling_mode": "mean"})
    tokenizer().save(str(folder / "tokenizer.json"))
    tensor(folder / "model.safetensors", "embedding.weight", np.eye(8, dtype=np.float32))
    return folder


def tokenizer(before: str = "") -> Tokenizer:
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "cat": 2, "find": 3, ":": 4}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if before:
        words.normalizer = normalizers.Prepend(before)
    return words


def tensor(path: Path, name: str, array: np.ndarray) -> None:
    entry = {"dtype": "F32", "shape": array.shape, "data_offsets": [0, array.nbytes]}
    header = json.dumps({name: entry}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + array.tobytes())


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def settings(**content: Any) -> Callable[[Path], None]:
    return lambda folder: write(folder / "config_sentence_transformers.json", content)


def put(name: str, content: Any) -> Callable[[Path], None]:
    return lambda folder: write(folder / name, content)


def remove(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def linked(folder: Path) -> None:
    (folder / "model.safetensors").replace(folder.parent / "weights")
    (folder / "model.safetensors").symlink_to(folder.parent / "weights")


def torn(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])


def parted(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    write(folder / "model.safetensors.index.json", {"weight_map": {"a": "model-1.safetensors"}})


def path_of_module(path: str) -> Callable[[Path], None]:
    return put("modules.json", [{"idx": 0, "name": "0", "path": path, "type": _TRANSFORMER}])


def static(folder: Path) -> None:
    put("modules.json", [{"idx": 0, "name": "0", "path": "", "type": _STATIC}])(folder)


def doubled(folder: Path) -> None:
    static(folder)
    tokenizer("find: ").save(str(folder / "tokenizer.json"))
    settings(prompts={"query": "find: "})(folder)


def garbled(folder: Path) -> None:
    static(folder)
    (folder / "tokenizer.json").write_text('{"model": 3}')


def bare(folder: Path) -> None:
    (folder / "modules.json").unlink()


def chat(folder: Path) -> None:
    bare(folder)
    put("tokenizer_config.json", {"chat_template": "{{ messages }}"})(folder)


def adapter(folder: Path) -> None:
    bare(folder)
    put("adapter_config.json", {"peft_type": "LORA"})(folder)


def router(folder: Path) -> None:
    (folder / "0_T").mkdir()
    for file in [file for file in folder.iterdir() if file.is_file()]:
        shutil.copy(file, folder / "0_T")
    config = {"types": {"0_T": _TRANSFORMER}, "structure": {"passage": ["0_T"]}, "parameters": {}}
    put("router_config.json", config)(folder)
    put("modules.json", [{"path": "", "type": "sentence_transformers.base.modules.router.Router"}])(folder)


def bad(
    what: str,
    change: Callable[[Path], None],
    error: type[Exception],
    says: str,
    *,
    options: str = "",
    encode: bool = False,
    **arguments: Any,
) -> Case:
    def act(tmp: Path) -> Any:
        folder = model(tmp)
        change(folder)
        made = encoder(f"{folder}{options}", **arguments)
        return made.encode_queries(["a cat"]) if encode else made

    more = "".join(f", {name}={value!r}" for name, value in arguments.items())
    call = f"encoder('./model{options}'{more})" + (".encode_queries(['a cat'])" if encode else "")
    return Case(what, call, act, error, says)


def unchanged(_folder: Path) -> None:
    """The folder is right, and the call is not."""


CASES = [
    Case(
        "a folder that is not there",
        "encoder('./model')",
        lambda tmp: encoder(f"{tmp}/m"),
        NotFound,
        "There is no model",
    ),
    bad("a model without tokenizer", remove("tokenizer.json"), InvalidInput, r"model has no tokenizer: expected"),
    bad("a model without weights", remove("model.safetensors"), InvalidInput, r"has no weights: expected model\.safet"),
    bad("pickled weights", pickled, InvalidInput, r"pickled \(pytorch_model\.bin\).*save_pretrained\(\)"),
    bad("torn weights", torn, StorageError, r"model\.safetensors is torn: \d+ bytes"),
    bad("weights that are no safetensors", put("model.safetensors", "PK"), StorageError, "is no safetensors file"),
    bad(
        "a part of the weights that is missing",
        parted,
        StorageError,
        r"Cannot read the weights .*model-1\.safetensors",
    ),
    bad(
        "a path that escapes", path_of_module("../other"), InvalidInput, r"names the path '\.\./other', which leads out"
    ),
    bad("an absolute path", path_of_module("/etc"), InvalidInput, "names the path '/etc', which leads out"),
    bad("a link out of the folder", linked, InvalidInput, "is a link to .*weights, out of the model's folder"),
    bad(
        "code of the model's own",
        put("modules.json", [{"path": "", "type": "custom_st.Transformer"}]),
        InvalidInput,
        r"code of its own \(the module Transformer\).*trust_code='model'",
    ),
    bad(
        "a transformer of the model's own",
        put("config.json", {"model_type": "mine", "hidden_size": 8, "auto_map": {"AutoModel": "m.M"}}),
        InvalidInput,
        "code of its own .'auto_map' in config.json",
    ),
    bad(
        "trust in another model",
        unchanged,
        InvalidInput,
        "trust_code is 'acme/other', but the model is 'model'",
        trust_code="acme/other",
    ),
    bad(
        "modules.json that is no JSON",
        lambda folder: (folder / "modules.json").write_text("[{") and None,
        InvalidInput,
        r"modules\.json is not valid JSON",
    ),
    bad(
        "modules.json that is no list", put("modules.json", {"a": 1}), InvalidInput, "must hold a JSON list of objects"
    ),
    bad(
        "a module without a type",
        put("modules.json", [{"path": ""}]),
        InvalidInput,
        "a module needs a 'type' and a 'path'",
    ),
    bad("no modules", put("modules.json", []), InvalidInput, "names no modules"),
    bad(
        "a configuration that is no object",
        put("config.json", []),
        InvalidInput,
        r"config\.json must hold a JSON object, got list",
    ),
    bad(
        "a pooling that is unknown",
        put("1_Pooling/config.json", {"pooling_mode": "median"}),
        InvalidInput,
        "names the pooling 'median'",
    ),
    bad(
        "a malformed prompt",
        settings(prompts={"query": ["find"]}),
        InvalidInput,
        r"the prompt 'query' must be a text, got \['find'\]",
    ),
    bad("prompts that are no mapping", settings(prompts="find"), InvalidInput, "'prompts' must map names to texts"),
    bad(
        "a default prompt that is missing",
        settings(prompts={"query": "q"}, default_prompt_name="web"),
        InvalidInput,
        "'default_prompt_name' is 'web', but the prompts are 'query'",
    ),
    bad(
        "a prompt that the tokenizer adds too",
        doubled,
        InvalidInput,
        "puts 'find: ' in front of a query itself",
        encode=True,
    ),
    bad(
        "a metric that is not supported",
        settings(similarity_fn_name="manhattan"),
        InvalidInput,
        "the similarity 'manhattan' is not supported",
    ),
    bad(
        "a dimension below 1", settings(truncate_dim=0), InvalidInput, "'truncate_dim' must be a positive number, got 0"
    ),
    bad(
        "a model that reads nothing",
        put("sentence_bert_config.json", {"max_seq_length": 0}),
        InvalidInput,
        "reads at most 0 tokens",
    ),
    bad(
        "a model for pairs of texts",
        settings(model_type="CrossEncoder"),
        InvalidInput,
        "is a CrossEncoder, which does not make one vector",
    ),
    bad("a model for chats", chat, InvalidInput, "messages of a chat, by a template"),
    bad("an adapter without its model", adapter, InvalidInput, r"holds an adapter.*merge_and_unload"),
    bad(
        "a router without a way for queries",
        router,
        InvalidInput,
        "has no route for a document; its routes are 'passage'",
    ),
    bad("a tokenizer that is none", garbled, InvalidInput, r"tokenizer\.json is no tokenizer", encode=True),
    bad(
        "a runtime that is unknown",
        unchanged,
        InvalidInput,
        "runtime= in .* must be openvino or torch, got 'onnx'",
        options="?runtime=onnx",
    ),
    bad(
        "a precision that is unknown",
        unchanged,
        InvalidInput,
        "precision= in .* must be one of auto,",
        options="?precision=fp4",
    ),
    bad("an option that is unknown", unchanged, InvalidInput, "has no option device", options="?device=cuda"),
]
