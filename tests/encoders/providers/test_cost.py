"""What it will cost, what it cost, and the cap."""

from __future__ import annotations

import pytest

from encoders.providers.server import tokens
from samespace.encoders.providers.catalogue import PROVIDERS, Price
from samespace.encoders.providers.metering import Gauge, Meter
from samespace.errors import CostExceeded, EncoderError

TEXTS = [f"text number {number} of a corpus with words in it" for number in range(500)]


def test_an_estimate_needs_no_server(opened, server):
    estimate = opened("openai:text-embedding-3-small?price=0.02").estimate(TEXTS)
    assert server.numbers == 0
    true = sum(map(tokens, TEXTS))
    assert 0.6 * true < estimate.tokens < 1.7 * true
    assert estimate.cost == pytest.approx(estimate.tokens * 0.02e-6, rel=0.01)
    assert estimate.currency == "USD"


def test_answers_teach_the_estimate(opened):
    made = opened("openai:text-embedding-3-small?price=0.02&dimension=64")
    true = sum(map(tokens, TEXTS))
    before = abs(made.estimate(TEXTS).tokens / true - 1)
    made.encode_documents(TEXTS)
    after = abs(made.estimate(TEXTS).tokens / true - 1)
    assert after < 0.1
    assert after < before


def test_what_was_spent_is_what_was_billed(opened, server):
    made = opened("voyage:voyage-4-lite?price=2&dimension=256")
    made.encode_documents(TEXTS)
    billed = sum(tokens(text) * times for text, times in server.delivered.items())
    assert made.spent.tokens == billed
    assert made.spent.cost == pytest.approx(2e-6 * billed)
    assert made.spent.requests == server.numbers
    witnesses = billed - sum(map(tokens, TEXTS))
    assert witnesses < 0.05 * billed


def test_the_cap_is_kept_and_what_was_paid_for_too(opened, server):
    name = "openai:text-embedding-3-small?dimension=64&price=1000&batch=25"
    whole = sum(map(tokens, TEXTS)) * 1000e-6
    made = opened(name, max_cost=whole / 2)
    with pytest.raises(
        CostExceeded,
        match=r"next request to openai:.* needs about [\d.]+ USD; [\d.]+ is spent, [\d.]+ is under way, and the cap "
        r"is [\d.]+\. What was paid for is kept: raise max_cost and run it again",
    ) as caught:
        made.encode_documents(TEXTS)
    assert isinstance(caught.value, EncoderError)
    assert whole / 4 < made.spent.cost <= whole / 2
    first = {text for text in TEXTS if server.delivered[text]}
    assert 100 < len(first) < 400
    opened(name, max_cost=2 * whole).encode_documents(TEXTS)
    assert all(server.delivered[text] == 1 for text in TEXTS)


def test_a_cap_of_nothing_lets_nothing_through_but_the_cache(opened, server):
    opened("openai:text-embedding-3-small?dimension=64").encode_documents(TEXTS[:9])
    made = opened("openai:text-embedding-3-small?dimension=64&price=1", max_cost=0)
    requests = server.numbers
    assert len(made.encode_documents(TEXTS[:9])) == 9
    with pytest.raises(CostExceeded):
        made.encode_documents(TEXTS[:10])
    assert server.numbers == requests


def test_what_may_have_been_billed_counts_for_the_cap(opened, server):
    made = opened("openai:text-embedding-3-small?dimension=64&price=1000&batch=10", wrong=50)
    server.trouble = lambda number: "nan" if number else None
    made.meter.cap = 5.0
    with pytest.raises(CostExceeded):
        made.encode_documents(TEXTS)
    assert 3 < made.spent.cost <= 5


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("hello world, how are you today?", 5, 11),
        ("東京は晴れです。" * 5, 30, 60),
        ("Где находится библиотека?", 6, 20),
        ("", 0, 2),
    ],
)
def test_tokens_of_a_text(text, low, high):
    assert low <= Gauge().tokens(text) <= high


def test_the_meter_reserves():
    meter = Meter(Price(1.0, "here"), 1.0, "it")
    one = meter.reserve(400_000, 1, sure=True)
    meter.reserve(400_000, 1, sure=True)
    with pytest.raises(CostExceeded, match=r"needs about 0\.4 USD; 0 is spent, 0\.8 is under way, and the cap is 1"):
        meter.reserve(400_000, 1, sure=True)
    meter.settle(one, 100_000, answered=True)
    meter.reserve(400_000, 1, sure=True)
    assert meter.spent.tokens == 100_000


def test_a_meter_draws_what_is_lacking_and_gives_back_the_rest():
    asked = []

    def purse(lacking):
        asked.append(lacking)
        if lacking > 1:
            raise CostExceeded("no more")
        return 1.0

    meter = Meter(Price(1.0, "here"), 0.5, "it")
    meter.purse = purse
    one = meter.reserve(700_000, 1, sure=True)
    assert asked == [pytest.approx(0.2)]
    assert meter.release() == pytest.approx(0.8)
    meter.settle(one, 600_000, answered=True)
    assert meter.release() == pytest.approx(0.1)
    assert meter.cap == pytest.approx(0.6)
    with pytest.raises(CostExceeded, match="no more"):
        meter.reserve(1_100_000, 1, sure=True)
    assert meter.spent.tokens == 600_000
    assert Meter(None, None, "it").release() == 0


def test_every_price_says_where_it_was_read():
    prices = [model.price for row in PROVIDERS.values() for model in row.models if model.price]
    assert len(prices) >= 15
    assert all(price.source and len(price.read) == 10 and price.per_million > 0 for price in prices)
    assert all(row.sources for row in PROVIDERS.values())
