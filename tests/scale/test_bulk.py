"""The whole of it in this process, which is what workers on Ray are compared with."""

from __future__ import annotations

import pytest

import samespace as ss
from samespace.encoders.providers.catalogue import Price
from samespace.encoders.providers.metering import Estimate, Meter, Spent
from samespace.errors import CostExceeded, InvalidInput, NotFound, SpaceMismatch, StoreUnavailable
from samespace.scale import Job, embed
from samespace.scale.shards import Fields, Part
from samespace.scale.work import Outcome, RemoteWorker, Worker
from samespace.testing.encoder import CharacterEncoder
from scale.sample import row


@pytest.fixture
def run(vectors, tmp_path):
    """Embed ``shards``, by the column of ids."""

    def run(*names, **more):
        shards = [tmp_path / "shards" / name for name in names] or [tmp_path / "shards"]
        settings = {"text": "text", "id": "id", **more}
        return embed(shards, tmp_path / "n.ss", str(vectors), **settings)

    return run


@pytest.fixture
def stored(tmp_path):
    def stored():
        with ss.open(tmp_path / "n.ss", create=False) as rows:
            return {each.id: each for each in rows}

    return stored


def test_every_row_with_its_text_and_columns(write, run, stored, vectors):
    write("a.jsonl", range(1000))
    write("b.parquet", range(1000, 2500))
    report = run()
    assert (report.shards, report.rows, report.added, report.bad.count) == (2, 2500, 2500, 0)
    rows = stored()
    assert set(rows) == {f"row-{n}" for n in range(2500)}
    for number in (0, 999, 1000, 2499):
        expected = row(number)
        found = rows[expected.pop("id")]
        assert found.content == expected.pop("text")
        assert found.metadata == expected
    made = ss.encoder(str(vectors)).encode_documents([rows["row-7"].content])
    assert (made.comparable[0] == rows["row-7"].vector).all()


class Paid(CharacterEncoder):
    """Costs one for each text."""

    paid = True
    window = 64

    def __init__(self, cap=None):
        super().__init__()
        self.meter = Meter(Price(1e6, "nowhere"), cap, "paid")

    @property
    def spent(self):
        return self.meter.spent

    def estimate(self, texts):
        count = len(list(texts))
        return Estimate(count, float(count), "USD")

    def _encode(self, texts, role, progress):
        aside = self.meter.reserve(len(texts), len(texts), sure=True)
        made = super()._encode(texts, role, progress)
        self.meter.settle(aside, len(texts), answered=True)
        return made


class Told:
    """Keeps what is told of the cost."""

    def __init__(self):
        self.calls = []

    def expected(self, estimate):
        self.calls.append(estimate)

    def spent(self, spent, *, at_least):
        self.calls.append((spent, at_least))


@pytest.fixture
def pay(tmp_path):
    """Embed ``shards`` by an encoder that costs; what was told comes back too."""

    def pay(encoder, told, **more):
        settings = {"text": "text", "id": "id", "tell_cost": told, **more}
        return embed([tmp_path / "shards"], tmp_path / "p.ss", encoder, **settings)

    return pay


CANARIES = 2 * len(CharacterEncoder().canaries)  # in both roles


def test_of_an_encoder_that_was_used_before_this_run_is_told(write, pay):
    write("a.jsonl", range(100))
    encoder, told = Paid(), Told()
    encoder.encode_documents(["one", "two"])
    report = pay(encoder, told)
    assert told.calls == [Estimate(100, pytest.approx(100.0, rel=0.05), "USD"), (report.spent, False)]
    assert report.spent.cost == 100 + CANARIES
    assert encoder.spent.cost == 102 + CANARIES
    told.calls.clear()
    assert pay(encoder, told).spent.cost == 0
    assert len(told.calls) == 1


def test_the_estimate_comes_before_the_canaries(write, pay):
    write("a.jsonl", range(100))
    encoder, told = Paid(), Told()
    told.expected = lambda _estimate: told.calls.append(encoder.spent.requests)
    pay(encoder, told)
    assert told.calls[0] == 0


def test_what_was_spent_is_told_after_an_error_wherever_it_comes(write, pay, monkeypatch):
    write("a.jsonl", range(100))
    told = Told()
    with pytest.raises(CostExceeded):
        pay(Paid(50.0), told)
    assert told.calls[-1] == (Spent(2, CANARIES, CANARIES, "USD"), False)
    told.calls.clear()

    def full(self):
        raise OSError("full")

    with monkeypatch.context() as patch:
        patch.setattr("samespace.scale.bulk.Ledger.keep", full)
        with pytest.raises(OSError, match="full"):
            pay(Paid(), told)
    assert told.calls[-1][0].cost == 100 + CANARIES
    told.calls.clear()
    monkeypatch.setattr("samespace.scale.bulk._todo", lambda *_: full(None))
    with pytest.raises(OSError, match="full"):
        pay(Paid(), told)
    assert told.calls == [(Spent(0, 0, 0.0, "USD"), False)]


def test_paid_rows_that_cannot_be_used_are_passed_over(write, pay):
    path = write("a.jsonl", range(300))
    path.write_text(path.read_text() + "{torn\n")
    torn = write("b.parquet", range(300, 1300))
    data = torn.read_bytes()
    torn.write_bytes(data[:400] + bytes(2000) + data[2400:])  # which only reading it finds
    told = Told()
    report = pay(Paid(), told, skip_bad=True)
    assert (report.added, report.bad.count) == (300, 2)
    assert report.spent.cost == 300 + CANARIES
    assert told.calls[0].tokens == pytest.approx(300, rel=0.05)


def test_where_nothing_can_be_read_no_estimate_is_made_up(write, pay):
    path = write("a.jsonl", [])
    path.write_text("{torn\n" * 9)
    told = Told()
    assert pay(Paid(), told, skip_bad=True).bad.count == 9
    assert told.calls[0] is None


def test_what_is_spent_adds_up():
    spent, more = Spent(2, 100, 0.5, "USD"), Spent(3, 250, 1.25, "USD")
    assert more + spent == Spent(5, 350, 1.75, "USD")
    assert more - spent == Spent(1, 150, 0.75, "USD")
    assert (more - Spent(1, 1, None, "USD")).cost is None
    outcome = Outcome(Part("a.jsonl", 0, 9), spent=more)
    assert Outcome.from_json(outcome.to_json()) == outcome


def test_a_second_run_reads_nothing(write, run, monkeypatch):
    write("a.jsonl", range(100))
    run()
    monkeypatch.setattr("samespace.scale.work.read", None)
    report = run()
    assert (report.rows, report.remembered) == (0, 1)


def test_new_shards_and_changed_ones_are_done(write, run, stored):
    write("a.jsonl", range(100))
    run()
    write("b.parquet", range(100, 200))
    report = run()
    assert (report.rows, report.added, report.remembered) == (100, 100, 1)
    path = write("a.jsonl", range(100))
    path.write_text(path.read_text().replace('"year": 2003', '"year": 1999'))
    report = run()
    assert (report.rows, report.unchanged, report.replaced, report.remembered) == (100, 95, 5, 1)
    assert stored()["row-3"].metadata["year"] == 1999


def test_again_compares_what_was_done(write, run, tmp_path):
    write("a.jsonl", range(100))
    run()
    with ss.open(tmp_path / "n.ss") as rows:
        rows.delete(["row-5"])
    assert run().added == 0
    report = run(again=True)
    assert (report.added, report.unchanged, report.remembered) == (1, 99, 0)


def test_after_a_stop_it_goes_on_from_there(write, run, stored, monkeypatch):
    write("a.parquet", range(3000))
    real = Worker.embed

    def stops(self, part, outcome, progress=None):
        if part.begin >= 1024:
            raise KeyboardInterrupt
        real(self, part, outcome, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Worker, "embed", stops)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert len(stored()) == 1024
    told = []
    report = run(progress=lambda rows, total: told.append((rows, total)))
    assert (report.rows, report.added, report.unchanged) == (1976, 1976, 0)
    assert told[0] == (0, 1976)
    assert sum(rows for rows, _ in told) == 1976
    assert len(stored()) == 3000


def test_a_bad_row_stops_it_and_what_came_before_stays(write, run, stored):
    path = write("a.jsonl", range(5000))
    lines = path.read_text().splitlines()
    lines[4500] = "{torn"
    path.write_text("\n".join(lines))
    with pytest.raises(InvalidInput, match=r"a\.jsonl, line 4501 is not JSON"):
        run()
    assert 3500 < len(stored()) <= 4500


def test_bad_rows_and_shards_are_passed_over_if_that_is_asked_for(write, run, stored):
    path = write("a.jsonl", range(50))
    lines = path.read_text().splitlines()
    lines[10] = "{torn"
    lines[20] = lines[20].replace('"text"', '"body"')
    path.write_text("\n".join(lines))
    torn = write("b.parquet", range(50, 100))
    torn.write_bytes(torn.read_bytes()[:-50])
    write("c.parquet", range(100, 150))
    report = run(skip_bad=True)
    assert (report.rows, report.added, report.bad.count) == (98, 98, 3)
    assert [("line 11" in said, "line 21" in said, "b.parquet" in said) for said in report.bad.rows] == [
        (False, False, True),
        (True, False, False),
        (False, True, False),
    ]
    assert len(stored()) == 98
    again = run(skip_bad=True)  # they are told of again; what is whole is not read again
    assert (again.bad.count, again.rows, again.unchanged, again.remembered) == (3, 48, 48, 1)


def test_what_only_the_encoder_refuses_is_found_by_halving(write, run, stored):
    path = write("a.jsonl", range(700))
    lines = path.read_text().splitlines()
    lines[600] = '{"id": "unknown", "text": "xyzzy"}'  # none of its words has a vector
    path.write_text("\n".join(lines))
    with pytest.raises(InvalidInput, match="holds nothing that"):
        run()
    report = run(skip_bad=True)
    assert report.bad.count == 1
    assert (len(stored()), report.rows) == (699, 699)


def test_many_bad_rows_are_counted_and_some_are_named(write, run):
    path = write("a.jsonl", range(3))
    path.write_text(path.read_text() + "{\n" * 50)
    report = run(skip_bad=True)
    assert (report.bad.count, len(report.bad.rows), report.added) == (50, 20, 3)


def test_a_row_that_stands_twice_is_there_once(write, run, stored):
    write("a.jsonl", range(100))
    write("b.parquet", range(50, 150))
    report = run()
    assert (report.rows, report.added) == (200, 150)
    assert len(stored()) == 150


def test_the_space_is_guarded(write, run, tmp_path, vectors):
    write("a.jsonl", range(10))
    run()
    lines = vectors.read_text().splitlines()
    lines[1] = "cat 9 9 9 9 9 9 9 9"
    vectors.write_text("\n".join(lines) + "\n")
    with pytest.raises(SpaceMismatch):
        run(again=True)


def test_a_worker_with_another_encoder_is_refused(write, tmp_path):
    """By its name, and by its canaries where the name is the same."""
    path = write("a.jsonl", range(10))
    with ss.open(tmp_path / "c.ss", CharacterEncoder()) as rows:
        rows.keep_canaries(rows.require_encoder().prove())

    class Strange(CharacterEncoder):
        def _encode(self, texts, role, progress):
            return super()._encode([text[::-1] for text in texts], role, progress)

    for other in (CharacterEncoder(model="samespace/strangers"), Strange()):

        class Elsewhere(Job):
            def open(self, threads, max_cost, other=other):
                return ss.open(self.into, other)

        worker = RemoteWorker(Elsewhere(str(tmp_path / "c.ss"), Fields("text", "id")))
        outcome = worker.report(Part(str(path), 0, path.stat().st_size))
        with pytest.raises(SpaceMismatch, match="Cannot"):
            Outcome.from_json(outcome.to_json()).raise_error()
        worker.close()
    with ss.open(tmp_path / "c.ss", create=False) as rows:
        assert rows.count() == 0


def test_an_error_crosses_to_the_driver_as_it_was():
    part = Part("a.jsonl", 0, 9)
    for name in ("MissingExtra", "StoreUnavailable", "InvalidInput", "NotFound"):
        outcome = Outcome(part, error=(name, "It is so.", "elsewhere"))
        with pytest.raises(getattr(ss.errors, name)) as caught:
            Outcome.from_json(outcome.to_json()).raise_error()
        assert str(caught.value) == "It is so. (On the worker elsewhere.)"
    assert issubclass(StoreUnavailable, OSError)


def test_arguments_that_cannot_be(write, run, tmp_path):
    write("a.jsonl", range(10))
    with pytest.raises(InvalidInput, match="on must be 'local' or 'ray', got 'spark'"):
        run(on="spark")
    with pytest.raises(InvalidInput, match="are for on='ray'"):
        run(workers=2)
    with pytest.raises(NotFound, match="There is no shard"):
        run("none.jsonl")
    assert not (tmp_path / "n.ss").exists()
