"""A store on an engine of its own, searched at a declared recall as the local one is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from samespace.errors import InvalidInput, NotFound, Unsupported
from samespace.hits import Hit
from samespace.ranking import fuse
from samespace.reports import SERVED, Info
from samespace.stores.base import EXACT, Store, damaged_note, json_note
from samespace.vectors import Matrix
from samespace.where import Condition

if TYPE_CHECKING:
    from samespace.recall.estimate import Estimate
    from samespace.recall.tune import Tuning

__all__ = ["Served"]

_DEPTH = 64  # how deep a search for all of a score looks at first, and how many times deeper each time after
_SAMPLE = 20_000  # rows that queries are made of, to measure with
_QUERIES = 1_000
_FEWEST, _PATIENCE = 100, 60.0  # queries at least; seconds that exact search may take for more of them
_TOGETHER = 20
_TIMED = 50
_KS = (10, 100)
DEFAULT_RECALL = 0.99

Progress = Callable[[str, float], None]


class Served:
    """A store whose engine finds the nearest by itself.

    Args:
        store: of an engine.
        recall: what is declared; None takes what ``tune`` was told last.
    """

    def __init__(self, store: Store, recall: float | None = None) -> None:
        self.store = store
        self._recall = recall
        self._tuning: Tuning | None = None
        self._is_read = False

    # Searching

    def search(
        self, queries: Matrix, k: int, condition: Condition | None = None, recall: float | None = None
    ) -> list[list[Hit]]:
        """The ``k`` best rows for each query, at a recall; 1 compares with every vector, None is what is declared."""
        return self.store.nearest(queries, k, condition, effort=self._effort(recall, k))

    def match_text(self, words: str, k: int, condition: Condition | None = None) -> list[Hit]:
        """The ``k`` best rows for a text by its words."""
        return self.store.match_text(words, k, condition)

    def hybrid(
        self,
        words: Sequence[str],
        queries: Matrix,
        k: int,
        depth: int,
        condition: Condition | None = None,
        recall: float | None = None,
    ) -> list[list[Hit]]:
        """The ``k`` best rows by both, fused by their ranks, of which ``depth`` are read."""
        near = self.search(queries, depth, condition, recall)
        return [
            _fused(by_vector, self.store.match_text(text, depth, condition), k)
            for text, by_vector in zip(words, near, strict=True)
        ]

    def nearest_ids(
        self, queries: Matrix, k: int, condition: Condition | None = None, recall: float | None = None
    ) -> tuple[NDArray[np.object_], Matrix]:
        """Ids and scores of the ``k`` best rows, each of shape (q, k'), k' the most that any query found."""
        found = self.search(queries, k, condition, recall)
        width = max(map(len, found), default=0)
        names = np.full((len(found), width), None, object)
        scores = np.full((len(found), width), -np.inf, np.float32)
        for row, hits in enumerate(found):
            names[row, : len(hits)] = [hit.id for hit in hits]
            scores[row, : len(hits)] = [hit.score for hit in hits]
        return names, scores

    def within(
        self, query: Matrix, least: float, condition: Condition | None = None, recall: float | None = None
    ) -> list[Hit]:
        """All rows that score at least so much: more and more of the nearest, until one falls short.

        None is exact search, where the engine has it.
        """
        if recall is None and "exact" not in self.store.lacks:
            try:
                return self.within(query, least, condition, 1.0)
            except Unsupported:
                pass  # some engines compare with every vector of a small collection only
        most = max(self.store.count(), 1)
        most, depth = min(most, self.store.most_hits or most), _DEPTH
        while True:
            hits = self.search(query, min(depth, most), condition, recall)[0]
            if len(hits) < depth or hits[-1].score < least:
                if len(hits) == self.store.most_hits and hits[-1].score >= least:
                    raise Unsupported(
                        f"More than {len(hits):,} rows score {least:g} or better, and {self.store.address} gives no "
                        "more in one search. Narrow it by where=, or raise min_score=."
                    )
                return [hit for hit in hits if hit.score >= least]
            depth *= _DEPTH

    def ids(self, condition: Condition | None = None) -> Iterator[str]:
        """The ids of all rows, or of those that meet a condition, in order."""
        return (name for block, _ in self.store.scan(condition) for name in block.ids)

    # Upkeep

    @property
    def declared(self) -> float:
        """The recall that searches shall reach."""
        tuning = self._measured()
        return self._recall or (DEFAULT_RECALL if tuning is None else tuning.recall)

    def _effort(self, recall: float | None, k: int) -> int | None:
        """The effort at which the engine was measured to reach a recall; None leaves it to the engine."""
        wanted = self.declared if recall is None else recall
        if wanted == 1.0:
            return EXACT
        tuning = self._measured()
        if tuning is None or not tuning.curves:
            return None
        curve = tuning.curves[0]
        point = curve.effort_for(wanted, max(min(k, _KS[-1]), _KS[0]))
        # What no setting reaches is searched exactly; for more hits than were measured, the engine looks deeper.
        return EXACT if point is None else max(point.effort, min(k, self.store.engines[curve.engine][-1]))

    def _measured(self) -> Tuning | None:
        if not self._is_read:
            kept = json_note(self.store, "tuning") if self.store.engines else None
            if kept is not None:
                from samespace.recall.tune import Tuning

                try:
                    self._tuning = Tuning.from_dict(kept)
                except (TypeError, KeyError, AttributeError) as error:
                    raise damaged_note(self.store, "tuning") from error
            self._is_read = True
        return self._tuning

    def tune(self, recall: float | None, engines: Sequence[str] | None, progress: Progress | None) -> Tuning:
        """Build an index, measure what it finds against exact search, and keep the effort that reaches the recall.

        Raises:
            Unsupported: the engine looks after its index by itself.
            NotFound: it has no index of that name.
        """
        if not self.store.engines:
            raise self.store.unsupported("tuning", "Tuning")
        names = list(self.store.engines)[:1] if engines is None else list(engines)
        for name in names:
            if name not in self.store.engines:
                known = ", ".join(self.store.engines)
                raise NotFound(f"{self.store.address} has no index {name!r}; it has {known}.")
        if len(names) > 1:
            raise InvalidInput(f"{self.store.address} has one index at a time; name one of {', '.join(names)}.")
        tell: Progress = progress or (lambda _what, _part: None)
        began = time.perf_counter()
        furthest = 0.0

        def told(what: str, part: float) -> None:
            nonlocal furthest  # an engine counts each phase of a build from nothing
            furthest = max(furthest, 0.5 * part)
            tell(what, furthest)

        self.store.build(names[0], told)
        tuning = self._measure(names[0], recall or self.declared, time.perf_counter() - began, tell)
        self.store.keep_note("tuning", json.dumps(tuning.to_dict()).encode())
        self._tuning, self._is_read = tuning, True
        if recall is not None:
            self._recall = recall
        return tuning

    def _measure(self, engine: str, recall: float, build_seconds: float, tell: Progress) -> Tuning:
        from samespace.recall.tune import Curve, Point, Tuning, own_pool

        store, blocks, held = self.store, [], 0
        for block, _ in store.scan():
            blocks.append(block.vectors)
            held += len(block)
            if held >= _SAMPLE:
                break
        queries = own_pool(np.concatenate(blocks), None, store.space.metric, _QUERIES).queries
        queries = queries[: max(_FEWEST, int(_PATIENCE / self._seconds(queries[:5], _KS[-1], EXACT)))]
        points: list[Point] = []
        for at, k in enumerate(_KS):
            truth = self._answers(queries, k, EXACT)
            for effort in (effort for effort in store.engines[engine] if effort >= k or k == _KS[0]):
                tell(f"measuring {engine} at effort {effort}", 0.5 + 0.25 * at)
                found = _estimate(self._answers(queries, k, effort), truth)
                points.append(Point(effort, k, found, self._seconds(queries, k, effort)))
                if found.recall >= 0.9999:
                    break
        curve = Curve(engine, store.count(), build_seconds, store.figures().size or 0, tuple(points))
        best = curve.effort_for(recall, _KS[0])
        when = datetime.now(UTC).isoformat(timespec="seconds")
        pools = {"own": len(queries)}
        return Tuning(
            recall, "exact" if best is None else engine, None if best is None else best.effort, (curve,), pools, 0, when
        )

    def _answers(self, queries: Matrix, k: int, effort: int) -> list[list[Hit]]:
        """In batches that no server's time-out ends."""
        parts = (queries[start : start + _TOGETHER] for start in range(0, len(queries), _TOGETHER))
        return [hits for part in parts for hits in self.store.nearest(part, k, effort=effort)]

    def _seconds(self, queries: Matrix, k: int, effort: int) -> float:
        seconds = []
        for query in queries[:_TIMED]:
            began = time.perf_counter()
            self.store.nearest(query[None], k, effort=effort)
            seconds.append(time.perf_counter() - began)
        return median(seconds)

    def settle(self) -> None:
        """Called when rows were added. The engine follows by itself."""

    def info(self) -> Info:
        """The collection in figures."""
        store, figures, tuning = self.store, self.store.figures(), self._measured()
        return Info(
            path=store.address,
            space=store.space,
            encoder=store.encoder,
            proven=store.note("canaries") is not None,
            count=store.count(),
            deleted=0,
            truncated=figures.truncated,
            bytes_vectors=0,
            bytes_catalog=figures.size or 0,
            bytes_index=0,
            engine=figures.engine,
            indexed=figures.indexed,
            memory=SERVED,
            memory_index=0,
            sequence=0,
            declared_recall=self.declared,
            running_recall=None,
            checked=0,
            alarms=0,
            tuning=tuning,
            building=False,
            note=figures.note,
        )

    @property
    def size(self) -> int:
        """Bytes, as far as the engine says."""
        return self.store.figures().size or 0

    def verify(self) -> list[str]:
        """One sentence for each thing that does not fit the space."""
        return self.store.problems()

    def close(self) -> None:
        """Close connections."""
        self.store.close()


def _fused(by_vector: list[Hit], by_words: list[Hit], k: int) -> list[Hit]:
    """Hits of both by reciprocal rank. Equal scores stand in the order of the first ranking."""
    hits = {hit.id: hit for hit in [*by_vector, *by_words]}
    place = {name: n for n, name in enumerate(hits)}
    rankings = [np.array([place[hit.id] for hit in some], np.int64) for some in (by_vector, by_words)]
    rows = list(hits.values())
    return [rows[n]._replace(score=score) for n, score in fuse(rankings, k)]


def _estimate(found: list[list[Hit]], truth: list[list[Hit]]) -> Estimate:
    """Recall of answers; a hit that scores as well as the last true one counts."""
    from samespace.recall.estimate import estimate

    shares = []
    for hits, best in zip(found, truth, strict=True):
        least = best[-1].score - 1e-6 if best else 0.0
        good = sum(hit.score >= least for hit in hits)
        shares.append(min(good, len(best)) / len(best) if best else 1.0)
    return estimate(shares)
