"""What a run costs: estimated before, counted during, and stopped at the cap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Self

from samespace.encoders.providers.catalogue import Price
from samespace.errors import CostExceeded

__all__ = ["Estimate", "Gauge", "Meter", "Spent"]

# English has about four bytes to a token; scripts beyond ASCII, of two or three bytes a letter, have fewer.
_ASCII_BYTES, _OTHER_BYTES = 4.0, 2.7
_PRIOR = 500.0  # tokens that the estimate without any count weighs
_FARTHEST = 5.0  # what counts may say that tokens are more or fewer than estimated; no server is believed beyond
_UNSURE = 1.4  # what the first requests may cost more than estimated


@dataclass(frozen=True)
class Estimate:
    """What texts will cost, about.

    Attributes:
        tokens: that will be billed.
        cost: of them; None where the price is not known.
        currency: of the cost.
    """

    tokens: int
    cost: float | None
    currency: str

    def __add__(self, other: Self) -> Self:
        """Both, which are of one currency."""
        cost = None if self.cost is None or other.cost is None else self.cost + other.cost
        return type(self)(self.tokens + other.tokens, cost, self.currency)


@dataclass(frozen=True)
class Spent:
    """What was sent so far.

    Attributes:
        requests: whose answers came.
        tokens: that were billed; where no answer said how many, as estimated.
        cost: of them; None where the price is not known.
        currency: of the cost.
    """

    requests: int
    tokens: int
    cost: float | None
    currency: str

    def __add__(self, other: Self) -> Self:
        """Both, which are of one currency."""
        cost = None if self.cost is None or other.cost is None else self.cost + other.cost
        return type(self)(self.requests + other.requests, self.tokens + other.tokens, cost, self.currency)

    def __sub__(self, earlier: Self) -> Self:
        """What was spent since."""
        cost = None if self.cost is None or earlier.cost is None else self.cost - earlier.cost
        return type(self)(self.requests - earlier.requests, self.tokens - earlier.tokens, cost, self.currency)


class Gauge:
    """Estimates tokens from bytes, and learns from the counts that answers bring. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._estimated = self._counted = _PRIOR

    def tokens(self, text: str) -> float:
        """Estimate the tokens of a text."""
        return self._weight(text) * self.factor

    def learn(self, texts: Sequence[str], tokens: int) -> None:
        """Take note of how many tokens these texts were."""
        weight = sum(map(self._weight, texts))
        with self._lock:
            self._estimated += weight
            self._counted += tokens

    @property
    def factor(self) -> float:
        """Tokens that there are for one estimated without any count."""
        return min(max(self._counted / self._estimated, 1 / _FARTHEST), _FARTHEST)

    @property
    def sure(self) -> bool:
        """It has learned from enough to be relied on."""
        return self._estimated > 2 * _PRIOR

    @staticmethod
    def _weight(text: str) -> float:
        # A letter beyond ASCII takes two bytes or more, so what is left of the bytes is theirs.
        size = len(text.encode())
        if size == len(text):
            return 1 + size / _ASCII_BYTES
        plain = len(text.encode("ascii", "ignore"))
        return 1 + plain / _ASCII_BYTES + (size - plain) / _OTHER_BYTES


class Meter:
    """Counts what is spent and what is under way. Safe to use from threads.

    Args:
        price: of a million tokens; None where it is not known.
        cap: that the cost may not exceed; None for no cap.
        name: of the encoder, for the message.

    Attributes:
        cap: as above.
        purse: where the cap would be exceeded, it is asked for what is lacking. It gives that or more, by which the cap
            is raised, or raises CostExceeded. None: the cap is what it is.
    """

    def __init__(self, price: Price | None, cap: float | None, name: str) -> None:
        self._lock = Lock()
        self.cap = cap
        self.purse: Callable[[float], float] | None = None
        self._price, self._name = price, name
        self._tokens = self._under_way = 0.0
        self._requests = 0

    @property
    def currency(self) -> str:
        """Of every cost."""
        return self._price.currency if self._price else "USD"

    def cost(self, tokens: float) -> float | None:
        """What so many tokens cost."""
        return None if self._price is None else tokens * self._price.per_million / 1e6

    @property
    def spent(self) -> Spent:
        """What was spent so far."""
        return Spent(self._requests, round(self._tokens), self.cost(self._tokens), self.currency)

    def reserve(self, tokens: float, texts: int, *, sure: bool) -> float:
        """Set tokens aside for a request that is about to be sent.

        Returns:
            What was set aside, to be handed to :meth:`settle`.

        Raises:
            CostExceeded: with it, the cap could be exceeded. Nothing was set aside.
        """
        aside = tokens if sure else tokens * _UNSURE
        with self._lock:
            if self.cap is not None and self._price is not None:
                spent, under_way, needed = (self.cost(t) or 0.0 for t in (self._tokens, self._under_way, aside))
                lacking = spent + under_way + needed - self.cap
                if lacking > 0 and self.purse is not None:
                    self.cap += self.purse(lacking)
                elif lacking > 0:
                    raise CostExceeded(
                        f"The next request to {self._name} ({texts:,} texts) needs about {needed:.3g} "
                        f"{self.currency}; {spent:.3g} is spent, {under_way:.3g} is under way, and the cap is "
                        f"{self.cap:g}."
                    )
            self._under_way += aside
        return aside

    def settle(self, aside: float, tokens: float, *, answered: bool) -> None:
        """Count what a request cost instead of what was set aside for it."""
        with self._lock:
            self._under_way -= aside
            self._tokens += tokens
            self._requests += answered

    def release(self) -> float:
        """Lower the cap to what is spent and under way.

        Returns:
            By how much; less than nothing where more was billed than was set aside.
        """
        with self._lock:
            if self.cap is None:
                return 0.0
            free = self.cap - (self.cost(self._tokens + self._under_way) or 0.0)
            self.cap -= free
            return free
