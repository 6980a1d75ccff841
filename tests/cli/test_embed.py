from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from samespace.errors import NotFound
from samespace.opening import open as open_collection

FAST = ("--encoder", "characters", "--text", "text", "--id", "id")


@pytest.fixture
def shards(tmp_path):
    """Two shards of three rows."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for shard in "ab":
        rows = [{"id": f"{shard}{n}", "text": f"{shard} text {n}", "year": 2020 + n} for n in range(3)]
        (folder / f"{shard}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_what_people_read(run, shards):
    done = run("embed", "shards", "--into", "n.ss", *FAST)
    assert done.code == 0
    assert done.out.startswith("n.ss: 6 added. 6 rows of 2 shards read in ")
    assert done.err == ""
    done = run("embed", "shards", "--into", "n.ss", *FAST)
    assert done.out.startswith("n.ss: 0 added. 0 rows of 2 shards read in ")
    assert done.err == "note: 2 shards were done by an earlier run, and not read again; --again compares them\n"
    done = run("embed", "shards", "--into", "n.ss", *FAST, "--again")
    assert done.out.startswith("n.ss: 0 added, 6 unchanged. 6 rows of 2 shards")
    (row,) = run("get", "n.ss", "b1", "--json").json
    assert (row["content"], row["metadata"]) == ("b text 1", {"year": 2021})


def test_json(run, shards):
    done = run("embed", "shards/*.jsonl", "--into", "n.ss", *FAST, "--metadata", "", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json.items() >= {"shards": 2, "rows": 6, "added": 6, "workers": 1, "repeated": 0}.items()
    assert run("get", "n.ss", "b1", "--json").json[0]["metadata"] == {}


@pytest.fixture
def paid(monkeypatch):
    """A model of a provider, on a server here, that costs 50 for a million tokens."""
    from encoders.providers.server import serving

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        server.key = "sk-samespace-embed"
        monkeypatch.setenv(f"SAMESPACE_KEY_127_0_0_1_{server.port}", server.key)
        yield f"openai:text-embedding-3-small?url={server.url}/v1&dimension=64&price=50"


def test_what_it_costs_is_told_capped_and_told_again(run, tmp_path, paid):
    columns = ("--text", "text", "--id", "id")
    texts = [f"row {n} has a text of about twenty tokens, as it happens, and none is like it" for n in range(3000)]
    rows = [{"id": str(n), "text": text} for n, text in enumerate(texts)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run("embed", "rows.jsonl", "--into", "p.ss", "--encoder", paid, *columns, "--max-cost", "1")
    assert done.code != 0
    found = re.search(
        r"^note: about ([\d,]+) tokens to encode, about ([\d.]+) USD, judged by some of the rows; what the cache has "
        r"costs nothing. The cap of 1 may end it early; the same command then goes on$",
        done.err,
        re.MULTILINE,
    )
    assert found, done.err
    assert 40_000 < int(found[1].replace(",", "")) < 90_000
    assert re.search(r"^note: \d+ requests?, [\d,]+ tokens, (0\.\d+|1) USD$", done.err, re.MULTILINE)
    assert "the cap is 1" in done.err
    with open_collection("p.ss", create=False) as kept:
        before = kept.count()
    assert before < 3000
    done = run("embed", "rows.jsonl", "--into", "p.ss", *columns, "--max-cost", "50", "--json")
    assert done.code == 0
    assert done.json["added"] == 3000 - before
    assert 0 < done.json["spent"]["cost"] < 5
    assert list(json.loads(done.err.splitlines()[0])) == ["note"]


def test_a_cap_below_the_canaries(run, shards, paid):
    done = run("embed", "shards", "--into", "p.ss", "--encoder", paid, *FAST[2:], "--max-cost", "0.001")
    assert done.code != 0
    assert "The fixed texts that prove an encoder come before all others. The next request to openai:" in done.err
    assert "the cap is 0.001. What was paid for is not kept: raise max_cost" in done.err


def test_a_cost_that_cannot_be_judged(run, tmp_path, paid):
    Path("rows.jsonl").write_text("{torn\n")
    said = "note: what this costs could not be estimated, since none of the rows that were tried can be used"
    done = run("embed", "rows.jsonl", "--into", "p.ss", "--encoder", paid, *FAST[2:])
    assert done.code == 3
    assert said in done.err.splitlines()
    assert done.err.index("rows.jsonl, line 1 is not JSON") > 0


def test_tokens_of_an_unknown_price_are_told_with_their_basis(run, shards, paid):
    free = paid.replace("&price=50", "")
    done = run("embed", "shards", "--into", "p.ss", "--encoder", free, *FAST[2:])
    assert done.code == 0, done.err
    assert re.search(r"^note: about \d+ tokens to encode, judged by some of the rows$", done.err, re.MULTILINE)


def test_bad_rows(run, shards):
    with (shards / "b.jsonl").open("a") as file:
        file.write("{torn\n")
    done = run("embed", "shards", "--into", "n.ss", *FAST)
    assert done.code == 3
    assert "b.jsonl, line 4 is not JSON" in done.err
    done = run("embed", "shards", "--into", "n.ss", *FAST, "--skip-bad")
    assert done.code == 1
    assert "warning: passed over 1 that cannot be used\n  " in done.err
    assert "b.jsonl, line 4 is not JSON" in done.err
    assert run("info", "n.ss", "--json").json["count"] == 6


def test_truncated_rows_are_told(run, tmp_path):
    Path("long.jsonl").write_text(json.dumps({"id": "a", "text": "word " * 200}) + "\n")
    done = run("embed", "long.jsonl", "--into", "n.ss", *FAST)
    assert "warning: 1 row is longer than the encoder reads" in done.err


def test_ctrl_c(run, shards, monkeypatch):
    from samespace.scale.work import Worker

    real = Worker.embed

    def embed(self, part, outcome, progress=None):
        if part.path.endswith("b.jsonl"):
            raise KeyboardInterrupt
        real(self, part, outcome, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Worker, "embed", embed)
        done = run("embed", "shards", "--into", "n.ss", *FAST)
    assert done.code == 130
    assert done.err == "Interrupted. 3 rows were embedded; run the same command again to go on from there.\n"
    done = run("embed", "shards", "--into", "n.ss", *FAST, "--json")
    assert (done.json["rows"], done.json["remembered"]) == (3, 1)


@pytest.mark.parametrize("option", ["--workers", "--cpus", "--address"])
def test_options_of_ray_without_it(run, shards, option):
    done = run("embed", "shards", "--into", "n.ss", *FAST, option, "2")
    assert done.code == 2
    assert f"{option} needs --on ray." in done.err


def test_without_ray(run, shards, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    done = run("embed", "shards", "--into", "n.ss", *FAST, "--on", "ray")
    assert done.code == 6
    assert "Ray needs an extra that is not installed. Run: pip install 'samespace[ray]'" in done.err


def test_ctrl_c_on_ray_keeps_what_is_done(tmp_path):
    """The whole command, as a person has it: a cluster of its own, the default encoder, and Ctrl-C."""
    pytest.importorskip("ray")
    rows = [{"id": f"row-{n}", "text": f"the {n}th text, which nobody has read before"} for n in range(6000)]
    Path("many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "samespace", "embed", "many.jsonl", "--into", "n.ss", "--text", "text"]
    working = subprocess.Popen(
        [*command, "--id", "id", "--on", "ray", "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,  # a terminal sends Ctrl-C to all of its processes
    )
    count = 0
    try:
        deadline = time.monotonic() + 60
        while count < 600 and time.monotonic() < deadline and working.poll() is None:
            time.sleep(0.05)
            with contextlib.suppress(NotFound), open_collection("n.ss", create=False) as collection:
                count = collection.count()
        os.killpg(working.pid, signal.SIGINT)
        out, err = working.communicate(timeout=30)
    finally:
        working.kill()
        working.wait()
    assert working.returncode == 130, err
    assert out == ""
    assert err.splitlines()[-1].endswith("run the same command again to go on from there.")
    with open_collection("n.ss", create=False) as collection:
        assert count <= collection.count() < 6000
        assert not collection.verify()
