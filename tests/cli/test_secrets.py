"""No command shows the password of the URL that it is given: not when all goes well, and not when nothing does."""

from __future__ import annotations

import json
import socket
import sys

import pytest

from samespace.collection import Collection
from samespace.opening import open as open_collection
from stores.postgres.server import fresh, live

SECRET = "hunter2sSecret"

# URL stands for the collection. "more.ss" and the files are those of the fixture ``files``.
COMMANDS = (
    ("copy", "more.ss", "URL"),
    ("embed", "shards", "--into", "URL", "--encoder", "characters", "--text", "text", "--id", "id"),
    ("index", "texts", "--into", "URL", "--encoder", "characters"),
    ("import", "more.jsonl", "--into", "URL"),
    ("info", "URL"),
    ("verify", "URL"),
    ("tune", "URL", "--recall", ".9"),
    ("compact", "URL"),
    ("compact", "URL", "--memory", "half"),
    ("search", "URL", "cat"),
    ("search", "URL", "cat", "--mode", "text"),
    ("get", "URL", "a", "none"),
    ("export", "URL", "out.jsonl"),
    ("export", "more.ss", "URL"),
    ("import", "URL", "--into", "other.ss"),
    ("copy", "URL", "copy.ss"),
    ("copy", "URL", "more.ss"),
    ("copy", "more.ss", "URL", "--timeout", "nan"),
    ("demo", "--into", "URL"),
    ("delete", "URL", "--where", '{"year": 2023}'),
    ("delete", "URL", "--where", '{"year": 2023}', "--yes"),
    ("delete", "URL", "b", "none"),
    # What click says by itself.
    ("info", "more.ss", "URL"),
    ("search", "URL"),
    ("search", "more.ss", "cat", "-k", "URL"),
    ("URL",),
    ("info", "--into=URL"),
)


@pytest.fixture
def files(tmp_path, run):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "one.md").write_text("The cat sat on the mat.")
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "a.jsonl").write_text(json.dumps({"id": "s", "text": "A shard's text"}) + "\n")
    with open_collection("more.ss", "characters") as rows:
        rows.add(["cat", "dog", "bird"], ids=["a", "b", "c"], metadata=[{"year": 2023 + n} for n in range(3)])
    assert run("export", "more.ss", "more.jsonl").code == 0


def with_secret(url, user="app"):
    """The URL with a password, for a user."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{user}:{SECRET}@{rest.rpartition('@')[2] if '@' in rest.partition('/')[0] else rest}"


def told(run, url, arguments):
    done = run(*(argument.replace("URL", url) for argument in arguments))
    assert SECRET not in done.out + done.err, arguments
    assert "samespace made a mistake" not in done.err, done.err
    return done


@pytest.mark.parametrize("debug", ["0", "1"])
@pytest.mark.parametrize(
    "kind", ["postgresql://{}/db?collection=notes", "qdrant://{}/notes?https=true", "weaviate://{}/Notes"]
)
def test_no_server(run, files, monkeypatch, kind, debug):
    monkeypatch.setenv("SAMESPACE_DEBUG", debug)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = kind.format(f"127.0.0.1:{free.getsockname()[1]}")
        url = with_secret(place, "app" if kind.startswith("postgresql") else "")
        done = told(run, url, ("copy", "more.ss", "URL", "--timeout", "0.5", "--json"))
        assert done.code == 5
        assert "127.0.0.1" in json.loads(done.err.splitlines()[-1])["message"]
        if kind.startswith("postgresql"):  # the others wait for longer
            for arguments in COMMANDS:
                assert told(run, url, arguments).code


def test_a_server(run, files, tmp_path):
    """Every command, as people and as programs read it. The server lets anybody in, whatever the password."""
    for as_json in ((), ("--json",)):
        url = with_secret(fresh(live()), "postgres")
        ended = {arguments: told(run, url, (*arguments, *as_json)).code for arguments in COMMANDS}
        well = [arguments for arguments, code in ended.items() if not code]
        assert {arguments[0] for arguments in well} >= {
            *("copy", "embed", "index", "import", "info", "verify", "tune", "compact", "search", "export", "delete"),
        }
        for made in ("copy.ss", "out.jsonl"):
            assert (tmp_path / made).exists()


def test_what_is_said_names_the_url(run, files):
    url = with_secret(fresh(live()), "postgres")
    shown = url.replace(f":{SECRET}", "")
    assert run("copy", "more.ss", url).out.splitlines()[-1].startswith(f"{shown} has all 3.")
    assert f"{shown}: 3 rows read; all rows belong." in run("verify", url).out
    assert run("compact", url).out.startswith(f"{shown}: ")
    assert run("info", url, "--json").json["path"] == shown


@pytest.mark.parametrize(
    ("command", "method"),
    [
        (("tune", "URL"), "tune"),
        (("index", "texts", "--into", "URL"), "add"),
        (("import", "more.jsonl", "--into", "URL"), "add"),
        (("embed", "shards", "--into", "URL", "--text", "text"), "add"),
        (("search", "URL", "cat"), "search"),
    ],
)
def test_ctrl_c(run, files, monkeypatch, command, method):
    url = with_secret(fresh(live()), "postgres")
    assert run("copy", "more.ss", url).code == 0

    def stop(*_given, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr(Collection, method, stop)
    done = told(run, url, command)
    assert (done.code, done.err[:11]) == (130, "Interrupted"), done.err


def test_the_question_of_delete(run, files, monkeypatch):
    url = with_secret(fresh(live()), "postgres")
    assert run("copy", "more.ss", url).code == 0
    asked = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.confirm", lambda question, **_more: asked.append(question) is not None)
    told(run, url, ("delete", "URL", "--where", '{"year": 2023}'))
    assert asked == [f"Delete 1 row of {url.replace(f':{SECRET}', '')}?"]


def test_a_timeout_that_is_none(run, files, tmp_path):
    done = run("copy", "more.ss", "copy.ss", "--timeout", "nan")
    assert (done.code, "timeout must be a number of seconds" in done.err) == (3, True)
    assert run("copy", "more.ss", "copy.ss", "--timeout", "-1").code == 2
    assert not (tmp_path / "copy.ss").exists()
