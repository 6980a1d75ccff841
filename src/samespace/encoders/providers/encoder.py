"""The encoder of a provider: batches, requests, checks, the meter, and the cache after every single request."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.base import Encoder, Progress
from samespace.encoders.providers.checking import WITNESSES, Expected, Witnesses, WrongDimension
from samespace.encoders.providers.failures import Failure, Stopped
from samespace.encoders.providers.metering import Estimate, Gauge, Meter, Spent
from samespace.encoders.providers.sending import Calm, GaveUp, Patience, insist, side_by_side
from samespace.encoders.providers.wires import Wire
from samespace.errors import CostExceeded, InvalidInput, ProviderError
from samespace.space import Role, Space
from samespace.vectors import Matrix, Receipts

__all__ = ["Limits", "ProviderEncoder"]

_LEAST = 16  # texts of a request that are worth a round trip, where a window is split for requests side by side
_MARGIN = 1.25  # of a request's tokens, which are only estimated
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may carry.

    Attributes:
        items: texts, witnesses not counted.
        tokens: in all; None where no limit is known.
        concurrency: requests at a time.
    """

    items: int
    tokens: int | None
    concurrency: int


class ProviderEncoder(Encoder):
    """Encodes texts by a provider. Safe to use from several threads.

    Nothing is sent before something is encoded. Receipts are estimates, since answers count the tokens of a
    request and not of a text.

    Args:
        name: its canonical name.
        space: of its vectors.
        wire: the way to the provider.
        limits: of a request.
        meter: of the cost, an attribute too.
        max_tokens: of an item; None where no limit is known.
        patience: how long to insist.
        note: the file in which the dimension is remembered, where it was asked for.
    """

    paid = True
    window = 4096  # so that requests side by side wait for the last one less often

    def __init__(
        self,
        name: str,
        space: Space,
        wire: Wire,
        limits: Limits,
        meter: Meter,
        *,
        max_tokens: int | None,
        patience: Patience,
        note: Path | None = None,
    ) -> None:
        self.name, self.space, self.max_tokens = name, space, max_tokens
        self.setup = f"{wire.provider.title} at {wire.url}"
        self.patience = patience
        self._wire, self._limits, self.meter = wire, limits, meter
        self._expected = Expected(space.dimension, space.metric == "cosine")
        self._witnesses = Witnesses()
        self._learning = Lock()
        self._gauge = Gauge()
        self._calm = Calm()
        self._lossy = False
        self._note = note

    @property
    def spent(self) -> Spent:
        """What this encoder has spent so far."""
        return self.meter.spent

    def estimate(self, texts: Iterable[str], role: Role = "document") -> Estimate:
        """Estimate what it costs to encode texts that the cache does not have. Nothing is sent.

        Tokens are estimated from bytes, and from the counts of earlier answers once there are some.
        """
        if isinstance(texts, str):
            raise InvalidInput("Expected a list of texts, got one text. Put it in a list: [text].")
        tokens = sum(self._gauge.tokens(self._prompted(role, text, row)) for row, text in enumerate(texts))
        return Estimate(round(tokens), self.meter.cost(tokens), self.meter.currency)

    def _count(self, texts: Sequence[str]) -> NDArray[np.int32]:
        return np.array([round(self._gauge.tokens(text)) for text in texts], np.int32)

    def _encode(self, texts: Sequence[str], role: Role, progress: Progress) -> tuple[Matrix, Receipts]:
        rows: dict[str, list[int]] = {}
        for row, text in enumerate(texts):
            rows.setdefault(text, []).append(row)  # a text that stands there twice is paid once
        array = np.zeros((len(texts), self.space.dimension), np.float32)
        receipts = Receipts(np.zeros(len(texts), np.int32), np.zeros(len(texts), np.int32))

        kept: list[int] = []

        def work(batch: list[str], stop: Event) -> int:
            vectors, noted, whole = self._request(batch, role, stop)
            # Before the next request is begun: whatever happens then, this one is not paid again. But for the texts
            # that were cut: a server with another limit would get their vectors for the whole texts.
            rest = np.flatnonzero(whole).tolist()
            if self._keep([batch[place] for place in rest], role, vectors[rest], noted[rest]):
                kept.append(sum(len(rows[batch[place]]) for place in rest))
            elif self.cache is not None and not self._lossy:
                self._lossy = True
                _log.warning("Vectors of %s that were paid for could not be kept.", self.name)
            for place, text in enumerate(batch):
                array[rows[text]] = vectors[place]
                receipts.seen[rows[text]], receipts.total[rows[text]] = noted.seen[place], noted.total[place]
            return sum(len(rows[text]) for text in batch)

        try:
            side_by_side(self._batches(list(rows)), work, self._limits.concurrency, progress, self.patience.grace)
        except GaveUp as error:
            story = error.story
            if self._note is not None and isinstance(error.last, WrongDimension):
                with suppress(OSError):
                    self._note.unlink(missing_ok=True)
                story += ". What was remembered of the dimension is forgotten: open it again"
        except CostExceeded as error:
            lost = self.cache is None or self._lossy
            how = "not kept" if lost else "kept"
            raise CostExceeded(
                f"{error} What was paid for is {how}: raise max_cost and run it again to go on."
            ) from None
        else:
            return array, receipts
        done = int(array.any(axis=1).sum())
        if not done:
            tail = ""
        elif self.cache is None:
            tail = " and are lost, since there is no cache"
        elif sum(kept) >= done:
            tail = " and are kept: run it again to go on"
        else:
            tail = f" and {sum(kept):,} of them are kept: run it again to go on"
        raise ProviderError(
            f"A request to {self.name} {story}. Of the {len(texts):,} texts at hand {done:,} were encoded{tail}."
        ) from None

    def _batches(self, texts: list[str]) -> list[list[str]]:
        """Cut texts into requests: by number, by estimated tokens, and so that there are some to go side by side."""
        share = -(-len(texts) // self._limits.concurrency)
        most = min(self._limits.items, max(_LEAST, share))
        batches: list[list[str]] = [[]]
        tokens = 0.0
        for text in texts:
            size = _MARGIN * self._gauge.tokens(text)
            full = self._limits.tokens is not None and tokens + size > 0.95 * self._limits.tokens
            if batches[-1] and (full or len(batches[-1]) == most):
                batches.append([])
                tokens = 0.0
            batches[-1].append(text)
            tokens += size
        return batches

    def _request(self, texts: list[str], role: Role, stop: Event) -> tuple[Matrix, Receipts, NDArray[np.bool_]]:
        """Encode the texts of one request, cut or split if the provider finds them too long.

        Returns:
            Vectors, receipts, and for each text whether it was sent whole.
        """
        if not self._witnesses.settled(role):
            with self._learning:  # the first of a role goes alone, and teaches what the others are compared with
                if stop.is_set():
                    raise Stopped
                if not self._witnesses.settled(role):
                    self._recall(role)
                    try:
                        return self._fitted(texts, role, stop)
                    except BaseException:
                        stop.set()  # before those that wait here go on
                        raise
        return self._fitted(texts, role, stop)

    def _recall(self, role: Role) -> None:
        if self.cache is not None and not self._witnesses.known(role):
            found = self.cache.find(self.space, role, WITNESSES)
            if found.there.all():
                self._witnesses.recall(role, found.array)

    def _fitted(self, texts: list[str], role: Role, stop: Event) -> tuple[Matrix, Receipts, NDArray[np.bool_]]:
        total = self._count(texts)
        limit = self.max_tokens
        shown, share = texts, 1.3
        while True:
            try:
                vectors = insist(lambda: self._attempt(shown, role), self.patience, self._calm, stop)  # noqa: B023
                break
            except GaveUp as error:
                if error.last.status not in (400, 413, 422):
                    raise
                refused = error
            # Bytes are the one sure bound: no text has more tokens than bytes.
            size = sum(len(text.encode()) for text in shown)
            if len(shown) > 1 and self._limits.tokens is not None and size > self._limits.tokens:
                half = len(texts) // 2
                parts = [self._fitted(part, role, stop) for part in (texts[:half], texts[half:])]
                return (
                    np.concatenate([vectors for vectors, _, _ in parts]),
                    Receipts(
                        np.concatenate([noted.seen for _, noted, _ in parts]),
                        np.concatenate([noted.total for _, noted, _ in parts]),
                    ),
                    np.concatenate([whole for _, _, whole in parts]),
                )
            if limit is None or all(len(text.encode()) <= limit for text in shown):
                raise refused
            share *= 0.7
            shown = [text if len(text.encode()) <= limit else self._cut(text, round(limit * share)) for text in texts]
        whole = np.array([sent == text for sent, text in zip(shown, texts, strict=True)], np.bool_)
        if limit is None:
            return vectors, Receipts(total, total), whole
        seen = self._count(shown) if shown is not texts else np.minimum(total, limit)
        return vectors, Receipts(np.minimum(seen, total), total), whole

    def _cut(self, text: str, tokens: int) -> str:
        """The beginning of a text that has about so many tokens."""
        if (has := self._gauge.tokens(text)) <= tokens:
            return text
        return text[: max(1, int(len(text) * tokens / has))]

    def _attempt(self, texts: list[str], role: Role) -> Matrix:
        """Send one request, check its answer and count its cost."""
        question = self._witnesses.ask(texts, role)
        expected = sum(map(self._gauge.tokens, question.texts))
        aside = self.meter.reserve(expected, len(texts), sure=self._gauge.sure)
        cost, answered = 0.0, False
        try:
            answer = self._wire.send(question.texts, role, self.patience.timeout)
            answered, cost = True, expected
            if answer.tokens is not None:
                cost = float(answer.tokens)
                self._gauge.learn(question.texts, answer.tokens)
            array = self._witnesses.check(answer, question, role, self._expected)
            if question.learning:
                self._keep_witnesses(role)
        except Failure as failure:
            if failure.billed and not answered:
                cost = expected  # nobody knows; the cap is kept by taking it for paid
            raise
        finally:
            self.meter.settle(aside, cost, answered=answered)
        return array

    def _keep_witnesses(self, role: Role) -> None:
        counts = self._count(WITNESSES)
        self._keep(WITNESSES, role, self._witnesses.vectors(role), Receipts(counts, counts))
