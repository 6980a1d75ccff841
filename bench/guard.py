"""The recall guard: how soon it notices a planted fault, and how often it cries without one.

    python bench/guard.py CORPUS --work CACHE [--runs 20]

CORPUS is a folder that ``corpus.py`` made; a collection of it is made and tuned to .98 once, and kept in CACHE. Every
run opens it anew and asks queries one by one. The faults: the graph is replaced by one *of a shifted distribution*
(its candidates come from vectors that were moved by noise, and only their scores are right); the effort is *a wrong
parameter* (the lowest there is, for every recall). Counted are the searches until the first warning, and until the
last, after which three hundred more show what is found then. Without a fault, warnings are false alarms.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import corpus
from machine import describe, keep, publish, table
from rows import add, ask, once, opened, settle
from samespace import Collection
from samespace.errors import RecallWarning
from samespace.indexes import ENGINES
from samespace.indexes.base import Index, Neighbours
from samespace.indexes.exact import search_exactly
from truth import Rows, shares, tenth_scores

_DECLARED = 0.98
_NOISE = 0.5  # length of what is added to a unit vector
_AFTER = 300  # searches after the last warning, which show whether it is healed
_GIVE_UP = 5_000  # searches


class Shifted(Index):
    """A graph over vectors that were moved, whose candidates are scored by the true ones."""

    engine = "graph"
    metrics = frozenset(("cosine",))

    def __init__(self, vectors: Rows) -> None:
        super().__init__(vectors.shape[1], "cosine")
        noise = np.random.default_rng(5).standard_normal(vectors.shape, np.float32)
        noise *= _NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
        moved = vectors + noise
        moved /= np.linalg.norm(moved, axis=1, keepdims=True)
        self._vectors, self._graph = vectors, ENGINES["graph"].load()(vectors.shape[1], "cosine")
        self._graph.extend(moved)

    def __len__(self) -> int:
        return len(self._vectors)

    def extend(self, vectors: Any, threads: int | None = None) -> None:
        raise NotImplementedError

    def search(self, queries: Any, k: int, allowed: Any = None, effort: int | None = None) -> Neighbours:
        found = self._graph.search(queries, k, allowed, effort)
        parts = []
        for row, positions in enumerate(found.positions):
            best = search_exactly(queries[row : row + 1], self._vectors[positions], k, "cosine", None)
            parts.append(Neighbours(positions[best.positions], best.scores))
        return Neighbours(
            np.concatenate([part.positions for part in parts]), np.concatenate([part.scores for part in parts])
        )

    def save(self, path: Path) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls, path: Path, vectors: Any, metric: Any) -> Index:
        raise NotImplementedError

    @property
    def memory(self) -> int:
        return 0


def plant(collection: Collection, fault: Index | str) -> None:
    """Put another index in the place of the graph, or another effort in the place of what was measured."""
    upkeep = collection._rows.searcher._upkeep
    cover = upkeep.cover
    assert cover is not None
    assert cover.fast is not None, "no graph answers"
    assert cover.tuning is not None
    if isinstance(fault, Index):
        upkeep.cover = replace(cover, fast=fault)
        return
    lowest = min(cover.fast.efforts)
    curves = tuple(
        replace(curve, points=tuple(replace(point, effort=lowest) for point in curve.points))
        if curve.engine == cover.fast.engine
        else curve
        for curve in cover.tuning.curves
    )
    tuning = replace(cover.tuning, curves=curves)
    # Of a new generation, since what was read from the curves before must be read again.
    upkeep.cover = replace(cover, tuning=tuning, generation=upkeep._next_generation())


class Run:
    """One collection, asked until it is healed or the queries are over."""

    def __init__(self, path: Path, rows: corpus.Corpus, tenth: Any, pace: float) -> None:
        self._path, self._rows, self._tenth, self._pace = path, rows, tenth, pace

    def __call__(self, fault: Index | str | None, searches: int, seed: int) -> dict[str, Any]:
        """Ask up to so many queries in an order of this run's own."""
        queries, documents = self._rows.query_vectors, self._rows.vectors
        order = np.random.default_rng(seed).permutation(len(queries))
        found: list[list[int]] = []
        alarms: list[int] = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RecallWarning)
            with opened(self._path, documents.shape[1], recall=_DECLARED, remember_queries=False) as collection:
                settle(collection, queries[:1])
                if fault is not None:
                    plant(collection, fault)
                caught.clear()
                for number in range(searches):
                    row = int(order[number % len(order)])
                    found += ask(collection, queries[row : row + 1])[0]
                    if len(alarms) < len(caught):
                        alarms += [number + 1] * (len(caught) - len(alarms))
                    if fault is not None and alarms and number + 1 >= alarms[-1] + _AFTER:
                        break
                    time.sleep(self._pace)
                info = collection.info()
        asked = order[np.arange(len(found)) % len(order)]
        recalls = shares(found, queries[asked], documents, self._tenth[asked])
        last = alarms[-1] if alarms else 0
        return {
            "searches": len(found),
            "alarms": alarms,
            "checked": info.checked,
            "recall_before": float(recalls[: alarms[0] if alarms else None].mean()),
            "recall_after": float(recalls[last:].mean()),
            "engine": info.engine,
            "seconds_a_search": self._pace,
        }


def main() -> None:
    """Measure, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--rows", type=int, help="of the corpus; all by default")
    parser.add_argument("--work", type=Path, required=True, help="the folder where the collection is kept")
    parser.add_argument("--runs", type=int, default=20, help="without a fault")
    parser.add_argument("--faults", type=int, default=5, help="runs with each fault")
    parser.add_argument("--searches", type=int, default=4_000, help="of a run without a fault")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds between two searches")
    parser.add_argument("--keep-as", default="guard", help="name of the result file; '' keeps none")
    arguments = parser.parse_args()
    rows = corpus.load(arguments.corpus, arguments.rows)
    path = arguments.work / "guard.ss"

    def make() -> dict[str, Any]:
        with opened(path, rows.vectors.shape[1]) as collection:
            add(collection, rows.texts, rows.vectors)
            return {"tuning": collection.tune(_DECLARED, engines=["scan", "graph"]).to_dict()}

    once(arguments.work / "guard.json", make)
    run = Run(path, rows, tenth_scores(rows.query_vectors, rows.vectors), arguments.pace)
    shifted = Shifted(rows.vectors)
    figures: dict[str, list[dict[str, Any]]] = {}
    for name, fault, times in (
        ("an index of a shifted distribution", shifted, arguments.faults),
        ("a wrong parameter", "effort", arguments.faults),
        ("none", None, arguments.runs),
    ):
        figures[name] = []
        for seed in range(times):
            searches = _GIVE_UP if fault is not None else arguments.searches
            figures[name].append(run(fault, searches, seed))
            print(f"{name}: {figures[name][-1]}", file=sys.stderr)
    shown = table("guard", HEADER, [line(name, runs) for name, runs in figures.items()])
    print(shown)
    if arguments.keep_as:
        publish([shown])
        label = {**rows.label, "rows_used": len(rows.texts)}
        figures_kept = {**describe(), "corpus": label, "declared": _DECLARED, "runs": figures}
        print(f"\nKept in {keep(arguments.keep_as, figures_kept)}", file=sys.stderr)


HEADER = ["fault", "runs", "warned", "searches to first warning", "to last", "recall before", "recall after"]


def line(name: str, runs: list[dict[str, Any]]) -> list[str]:
    """The table's row of one kind of run: the worst of each."""
    alarmed = [run["alarms"] for run in runs if run["alarms"]]
    return [
        name,
        str(len(runs)),
        str(len(alarmed)),
        f"at most {max(each[0] for each in alarmed):,}" if alarmed else "-",
        f"at most {max(each[-1] for each in alarmed):,}" if alarmed else "-",
        f"{min(run['recall_before'] for run in runs):.3f}",
        f"{min(run['recall_after'] for run in runs):.3f}",
    ]


if __name__ == "__main__":
    main()
