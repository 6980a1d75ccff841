import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samespace.errors import InvalidInput
from samespace.opening import open as open_collection
from samespace.opening import stand
from samespace.stores import connect, is_url, shown
from samespace.stores.address import Address
from samespace.testing.store_contract import space_of

SECRET = "s3cret"


def test_all_parts():
    address = Address.parse("postgresql://app:s3%2Fcret@db.example.org:5433/my%20app?collection=a%26b&sslmode=require")
    assert (address.scheme, address.host, address.port) == ("postgresql", "db.example.org", 5433)
    assert (address.user, address.password, address.path) == ("app", "s3/cret", "my app")
    assert address.options == {"collection": "a&b", "sslmode": "require"}
    assert "cret" not in repr(address)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://app:s3cret@db/my%20db?collection=a%26b%27", "postgresql://app@db/my%20db?collection=a%26b%27"),
        ("postgres://db?collection=notes", "postgres://db?collection=notes"),
        ("postgresql:///db?host=/run/postgresql&collection=c", "postgresql:///db?host=/run/postgresql&collection=c"),
        ("postgresql://db/app?password=s3cret&passfile=/p&sslkey=/k", "postgresql://db/app?passfile=/p&sslkey=/k"),
        ("pinecone://index?namespace=notes", "pinecone://index?namespace=notes"),
        ("qdrant://:s3cret@[::1]:6333/notes", "qdrant://[::1]:6333/notes"),
        ("qdrant://host/Stra%C3%9Fe", "qdrant://host/Straße"),
        ("  QDRANT://host/notes\n", "qdrant://host/notes"),
        ("qdrant-edge:/my notes/a", "qdrant-edge:/my%20notes/a"),
    ],
)
def test_the_text_is_the_url_without_its_secrets(url, text):
    assert shown(url) == str(Address.parse(url)) == text
    assert str(Address.parse(text)) == text


letters = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), min_size=1)
words = st.from_regex(r"[a-z]{1,9}", fullmatch=True)


@given(user=letters, path=letters, options=st.dictionaries(words, letters, max_size=3), port=st.integers(1, 65535))
def test_the_text_is_a_url_of_the_same(user, path, options, port):
    options = {f"x{name}": value for name, value in options.items() if not shown_as_secret(name)}
    address = Address("postgresql", "db", port, user, None, path, options, has_host=True)
    assert Address.parse(str(address)) == address


def shown_as_secret(name):
    return any(part in name for part in ("pass", "pwd", "key", "token", "secret", "auth", "cred"))


UNREADABLE = [
    ("postgresql://app:s3cret/x@db/app", "has an @ behind its host"),
    ("postgresql://app:x/s3cret@db/app", "has an @ behind its host"),
    ("postgresql://app:12?s3cret@db/app", "has an @ behind its host"),
    ("postgresql://app:p@ss/s3cret@db", "has an @ behind its host"),
    ("postgresql://app:s3cret#x@db/app", "has a #"),
    ("postgresql://app:12#s3cret@db/app", "has a #"),
    ("postgresql://db/app?collection=notes#s3cret", "has a #"),
    ("postgresql://app:s3cret", "port is no number"),
    ("postgresql://app:x@db:s3cret/app", "port is no number"),
    ("postgresql://app:s3cret[@db/app", "host cannot be made out"),
    ("postgresql://app:s3cret\N{CARE OF}@db/app", "host cannot be made out"),
    ("postgresql://db/app?password=a&s3cret", "options are not written as"),
    ("postgresql://db/app?password=s3cret&password=b", "says an option twice"),
    ("postgresql://app:s3cret%FF@db/app", "% codes are not UTF-8"),
    ("postgresql://db/app?password=s3cret%FF", "% codes are not UTF-8"),
    ("postgresql://app:s3cret\n@db/app", "line break"),
    ("postgresql:app:s3cret@db/app", "has no // after the colon. Write postgresql://"),
    ("postgresql:/app:s3cret@db/app", "has no // after the colon"),
    ("qdrant://s3cret@host/notes", "A key does not belong into a URL in that place"),
    ("weaviate://s3cret@host/Notes", "A key does not belong into a URL in that place"),
    ("qdrant-edge://s3cret/notes", "it is a folder that follows. Write qdrant-edge:folder"),
    ("qdrant-local:///s3cret/notes", "it is a folder that follows. Write qdrant-local:folder"),
    ("mysql://app:s3cret@db/app", "There is no store 'mysql'"),
    (Path("postgresql://app:s3cret@db/app"), "must be a str"),
    (Path("mysql://app:s3cret@db/app"), "must be a str"),
]


@pytest.mark.parametrize(("place", "says"), UNREADABLE, ids=[str(place) for place, _ in UNREADABLE])
def test_what_cannot_be_read_is_not_repeated(place, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        open_collection(place, space=space_of())
    assert says in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown(place)
    assert not list(tmp_path.iterdir())


def test_a_wrong_option_is_named_without_the_secrets():
    with pytest.raises(InvalidInput, match="no option 'api_key'") as caught:
        connect("qdrant://:s3cret@host/notes?api_key=s3cret", space_of())
    assert SECRET not in str(caught.value)


def test_paths_stay_as_they_are(tmp_path):
    for place in ("notes.ss", "a b/notes#1.ss", "C:/notes.ss", Path("notes.ss"), "no-store:notes"):
        assert not is_url(place)
        assert shown(place) == str(place)
    with pytest.raises(InvalidInput, match="got a path"):
        connect(str(tmp_path))


@pytest.mark.parametrize("timeout", [float("nan"), -1, True, "30", None])
def test_a_timeout_is_a_number_of_seconds(timeout, tmp_path):
    for way in (open_collection, stand):
        with pytest.raises(InvalidInput, match="timeout must be a number of seconds, 0 or more"):
            way(tmp_path / "notes.ss", space=space_of(), timeout=timeout)
    assert not list(tmp_path.iterdir())
