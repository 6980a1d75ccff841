from __future__ import annotations

import numpy as np
import pytest

from samespace.belonging.tail import Tail

_CHANCE = 2e-5
# The chance of more than x, of distributions whose tails are light, exponential, and heavy.
_DISTRIBUTIONS = {
    "uniform": (lambda random, n: random.random(n), lambda x: max(0.0, 1 - x)),
    "exponential": (lambda random, n: random.standard_exponential(n), lambda x: float(np.exp(-x))),
    "Pareto": (lambda random, n: 1 + random.pareto(5, n), lambda x: x**-5.0),
}


@pytest.mark.parametrize("name", _DISTRIBUTIONS)
@pytest.mark.parametrize("n", [500, 5_000])
def test_the_next_value_lies_beyond_as_often_as_was_said(name, n):
    draw, beyond = _DISTRIBUTIONS[name]
    random = np.random.default_rng(1)
    chances = [beyond(Tail.of(draw(random, n), 0.05).quantile(_CHANCE)) for _ in range(60)]
    assert np.mean(chances) < 3 * _CHANCE
    if n == 5_000 and name != "uniform":  # from 500 a chance of 2e-5 cannot be known: it is on the safe side
        assert np.mean(chances) > _CHANCE / 20


def test_the_chance_of_the_quantile_is_the_chance_that_was_asked_for():
    tail = Tail.of(np.random.default_rng(2).standard_exponential(2_000), 0.05)
    for chance in (1e-2, 1e-4, 1e-6):
        assert tail.beyond(tail.quantile(chance)) == pytest.approx(chance, rel=1e-6)


def test_what_was_left_out_is_no_end_of_the_tail():
    values = np.random.default_rng(3).standard_exponential(20_000)
    below = float(np.quantile(values, 0.999))
    rest = values[values < below]
    whole, cut, told = (
        tail.quantile(_CHANCE)
        for tail in (Tail.of(values, 0.05), Tail.of(rest, 0.05), Tail.of(rest, 0.05, below=below))
    )
    assert cut < 0.85 * whole
    assert 0.95 * whole < told < 1.3 * whole  # which is less sure than if all had been seen


@pytest.mark.parametrize("values", [np.ones(200), np.r_[np.zeros(100), np.ones(100)], np.zeros(200)])
def test_equal_values_lie_within(values):
    threshold = Tail.of(values, 0.05).quantile(_CHANCE)
    assert np.isfinite(threshold)
    assert threshold >= values.max()
