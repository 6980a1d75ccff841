"""A key is shown to its own server. Everything else that is left behind is searched for it."""

from __future__ import annotations

import io
import logging
import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

import samespace as ss
from encoders.providers.conftest import KEY, PATHS
from samespace.encoders import encoder
from samespace.encoders.providers.keys import Key, check_url, find_key, host_variable, said
from samespace.errors import InvalidInput, ProviderError, SamespaceError

NAMES = (
    "openai:text-embedding-3-small?dimension=64",
    "cohere:embed-v4.0?dimension=256",
    "google:gemini-embedding-001?dimension=128",
)


def everything(error: BaseException | None) -> str:
    """All that an error and those behind it say, the values of local variables in this package's tests left out."""
    told: list[str] = []
    seen: set[int] = set()
    todo = [error]
    while todo:
        if (each := todo.pop()) is None or id(each) in seen:
            continue
        seen.add(id(each))
        told += [str(each), repr(each), repr(each.args), repr(vars(each)), *traceback.format_exception(each)]
        todo += [each.__cause__, each.__context__]
    return "\n".join(told)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "trouble", ["401", "500", "403", "429 quota", "429 in seconds", "half", "not json", "order", None]
)
def test_the_key_is_in_no_error_log_cache_or_collection(opened, server, capfd, tmp_path, monkeypatch, name, trouble):
    monkeypatch.setenv("OPENAI_LOG", "debug")
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    root = logging.getLogger()
    loggers = [
        root,
        *(logging.getLogger(each) for each in ("openai", "httpx", "httpx2", "httpcore", "httpcore2", "cohere")),
    ]
    before = [logger.level for logger in loggers]
    root.addHandler(handler)
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    told = ""
    try:
        made = opened(f"{name}{'&' if '?' in name else '?'}batch=16", attempts=2, wrong=2, waiting=0.1)
        with ss.open(tmp_path / "paid.ss", made) as collection:
            collection.add([f"text {number}" for number in range(20)])
            server.trouble = lambda _number: trouble
            try:
                collection.add([f"another {number}" for number in range(20)])
            except SamespaceError as error:
                told = everything(error)
            told += (
                repr(made) + repr(made._wire) + str(made.spent) + repr(made.setup) + repr(collection) + repr(vars(made))
            )
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
        root.removeHandler(handler)
    assert server.headers[-1].get("authorization", f"Bearer {KEY}") == f"Bearer {KEY}"  # it was sent
    assert "POST" in lines.getvalue()  # and the log was at work
    if trouble not in (None, "429 in seconds"):
        assert told.startswith("A request to")
    caught = capfd.readouterr()
    for what in (told, lines.getvalue(), caught.out, caught.err):
        assert KEY not in what
        assert KEY[3:20] not in what
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any("vectors" in file.name for file in files)
    assert any("paid.ss" in str(file) for file in files)
    assert not [file for file in files if KEY.encode() in file.read_bytes()]


def test_a_key_does_not_show_itself():
    key = Key(KEY, "OPENAI_API_KEY")
    assert repr(key) == str(key) == f"{key}" == "Key(OPENAI_API_KEY)"
    with pytest.raises(TypeError, match="not written anywhere"):
        pickle.dumps(key)
    assert key.scrub(f"wrong key: {KEY}!") == "wrong key: ***!"
    assert key.scrub(f"wrong key: {KEY[:12]}****{KEY[-4:]} it is") == "wrong key: *** it is"
    assert key.scrub("nothing to hide") == "nothing to hide"


def test_what_a_server_says_is_made_fit_for_a_message():
    assert said("a\x1b[31m\nb\0c" + "d" * 1000, None) == "a [31m b c" + "d" * 290 + "…"


def test_a_providers_key_goes_to_no_other_url(server, monkeypatch):
    server.key = None
    monkeypatch.delenv(f"SAMESPACE_KEY_127_0_0_1_{server.port}")
    for variable in (
        "OPENAI_API_KEY",
        "CO_API_KEY",
        "COHERE_API_KEY",
        "VOYAGE_API_KEY",
        "GEMINI_API_KEY",
        "OPENAI_ADMIN_KEY",
    ):
        monkeypatch.setenv(variable, KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-secret")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gateway: gateway-secret\nAuthorization: Bearer other-secret")
    for name in (*NAMES, "voyage:voyage-4-lite", "openai:local-model"):
        target, _, options = name.partition("?")
        path = PATHS[target.partition(":")[0]]
        encoder(f"{target}?url={server.url}{path}{'&' if options else ''}{options}").encode_documents(["a text"])
    sent = repr(server.headers)
    assert len(server.headers) >= 10
    assert KEY not in sent
    assert "secret" not in sent


def test_a_host_has_a_key_of_its_own(opened, server, monkeypatch):
    other = "another-key-for-this-host-only"
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv(f"SAMESPACE_KEY_127_0_0_1_{server.port}", other)
    server.key = other
    opened("openai:local-model").encode_documents(["a text"])
    assert {headers["authorization"] for headers in server.headers} == {f"Bearer {other}"}
    assert "secret" not in repr(server.headers)


@pytest.mark.parametrize(
    ("name", "key", "place", "path"),
    [
        ("openai:text-embedding-3-small?dimension=64", "OPENAI_API_KEY", "OPENAI_BASE_URL", "/v1"),
        ("cohere:embed-english-light-v3.0", "COHERE_API_KEY", "CO_API_URL", ""),
    ],
)
def test_the_users_own_word_for_the_place_gets_the_key(server, monkeypatch, name, key, place, path):
    monkeypatch.setenv(key, f" {KEY}\n")
    monkeypatch.setenv(place, server.url + path)
    made = encoder(name)
    made.encode_documents(["a text"])
    assert server.headers[-1]["authorization"] == f"Bearer {KEY}"
    assert made.space.model.startswith(name.partition(":")[0])


def test_the_key_is_needed_when_something_is_sent_and_not_before(server, monkeypatch, opened):
    texts = ["one text", "another"]
    opened("openai:text-embedding-3-small?dimension=64").encode_documents(texts)
    made = encoder("openai:text-embedding-3-small?dimension=64")
    made._proven = True
    assert len(made.encode_documents(texts)) == 2  # out of the cache: the space is the same, wherever it was made
    with pytest.raises(InvalidInput, match="OpenAI needs a key, and OPENAI_API_KEY is not set in the environment"):
        made.encode_documents(["a third"])


@pytest.mark.parametrize("value", ["short", "sk-with a blank in it", "sk-with-ümlaut-in-it", "sk-line\nbreak-in-it"])
def test_what_is_no_key_is_not_shown_either(monkeypatch, value):
    monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(InvalidInput, match="OPENAI_API_KEY does not hold a key") as caught:
        find_key(("OPENAI_API_KEY",))
    assert value not in everything(caught.value)


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("http://localhost:11434/v1", "SAMESPACE_KEY_LOCALHOST_11434"),
        ("https://api.example.com/v1", "SAMESPACE_KEY_API_EXAMPLE_COM"),
        ("https://api-example.com/v1", "SAMESPACE_KEY_API__EXAMPLE_COM"),  # which is somebody else
        ("http://api.example.com/v1", "SAMESPACE_KEY_API_EXAMPLE_COM_80"),  # where everybody can read it on the way
        ("https://api.example.com:8443/v1", "SAMESPACE_KEY_API_EXAMPLE_COM_8443"),
        ("http://[::1]:80/v1", "SAMESPACE_KEY___1_80"),
    ],
)
def test_the_variable_of_a_host(url, variable):
    assert host_variable(url) == variable


def test_a_url_with_a_secret_is_refused_without_showing_it():
    with pytest.raises(InvalidInput, match="must not carry a user or a password") as caught:
        check_url(f"https://user:{KEY}@example.com/v1", "url=")
    assert KEY not in str(caught.value)


def test_redirects_are_not_followed(opened, server):
    server.trouble = lambda number: "307 elsewhere" if number == 0 else None
    for name in NAMES:
        server.numbers = 0
        with pytest.raises(ProviderError, match=r"HTTP 307.*Redirects are not followed"):
            opened(name).encode_documents(["a text"])
    assert not [path for path in server.paths if "elsewhere" in path]


def test_importing_the_room_loads_no_sdk():
    code = (
        "import sys; from samespace.encoders import encoder;"
        "encoder('openai:text-embedding-3-small', max_cost=1); encoder('cohere:embed-v4.0');"
        "encoder('jina:jina-embeddings-v3');"
        "print(sorted({'openai', 'cohere', 'httpx', 'httpx2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("openai:x", "openai", "openai"), ("cohere:x", "cohere", "cohere"), ("jina:x", "httpx", "providers")],
)
def test_a_missing_sdk_names_its_extra(server, monkeypatch, name, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ss.errors.MissingExtra, match=rf"pip install 'samespace\[{extra}\]'"):
        encoder(f"{name}?url={server.url}/v1")


def test_no_source_reads_a_key_anywhere_else():
    for file in (Path(ss.__file__).parent / "encoders" / "providers").glob("*.py"):
        reads = file.read_text().count("os.environ") + file.read_text().count("getenv")
        assert reads == {"keys.py": 2, "opening.py": 1}.get(file.name, 0), file  # a name; and a URL
