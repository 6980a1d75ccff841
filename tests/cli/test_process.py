"""The command line as a process of its own, with the real encoder: what a user has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from samespace.errors import NotFound
from samespace.opening import open as open_collection

GUIDE = """# Bread

Knead the dough for ten minutes, then let it rest under a cloth.

# Bicycles

Oil the chain once a month, and keep the tyres hard.
"""


def test_from_a_folder_to_an_answer(process, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "guide.md").write_text(GUIDE)
    done = process("index", "docs", "--into", "notes.ss")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("notes.ss: 2 added. 2 passages of 1 file in ")
    done = process("search", "notes.ss", "how do I look after my bike?", "-k", 1)
    assert (done.code, done.err) == (0, "")
    assert "docs/guide.md:5  Bicycles" in done.out
    assert "\x1b" not in done.out
    hits = process("search", "notes.ss", "baking", "--json").json
    assert hits[0]["metadata"]["heading"] == "Bread"
    assert process("index", "docs", "--into", "notes.ss", "--json").json["unchanged"] == 2


def test_colour_is_for_terminals_and_can_be_refused(process, tmp_path):
    with open_collection(tmp_path / "n.ss", "minilm") as rows:
        rows.add(["Oil the chain once a month."], ids=["a"])
    arguments = ("search", "n.ss", "chain", "--mode", "text")
    assert "\x1b" not in process(*arguments).out
    assert "\x1b[1;33mchain" in process(*arguments, FORCE_COLOR="1").out
    refused = process(*arguments, FORCE_COLOR="1", NO_COLOR="1").out
    assert "\x1b[1mchain" in refused  # bold, in no colour


def test_the_demo_on_the_real_standard_library(process):
    pytest.importorskip("wordllama")
    done = process("demo", "decompress gzip data", "--encoder", "wordllama", "-k", 20, "--json")
    assert done.code == 0, done.err
    assert "gzip.decompress" in [hit["id"] for hit in done.json[0]["hits"]]
    begun = time.perf_counter()
    assert "random" in process("demo", "a random number", "--encoder", "wordllama").out
    assert time.perf_counter() - begun < 10


def test_help_loads_no_engine_and_no_encoder(tmp_path):
    heavy = ("openvino", "turbovec", "tokenizers", "rich", "pyarrow", "wordllama", "sqlite3")
    code = (
        "import sys; from samespace.cli import main; main(['--help'])\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    loaded = [name for name in json.loads(done.stderr.replace("'", '"')) if name != "sqlite3"]
    assert loaded == []


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is sent otherwise there")
def test_ctrl_c_ends_a_process_with_130_and_loses_no_batch(process, tmp_path):
    text = "\n\n".join(f"# Part {n}\n\nShort, and number {n}." for n in range(5_000))
    (tmp_path / "long.md").write_text(text)
    worker = subprocess.Popen(
        [sys.executable, "-m", "samespace", "index", "long.md", "--into", "n.ss"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and worker.poll() is None:
        time.sleep(0.05)
        if _rows(tmp_path / "n.ss"):
            break
    worker.send_signal(signal.SIGINT)
    out, err = worker.communicate(timeout=60)
    assert worker.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    said = err.splitlines()[-1]
    assert "run the same command again to go on from there" in said
    done = int(said.split()[1].replace(",", ""))
    assert 0 < done == _rows(tmp_path / "n.ss") < 5_000


def _rows(path):
    try:
        with open_collection(path, create=False) as rows:
            return len(rows)
    except NotFound:
        return 0


def test_the_installed_script_is_the_same(tmp_path):
    script = Path(sys.executable).with_name("samespace")
    if not script.exists():
        pytest.skip("samespace is not installed as a script")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("samespace ")
