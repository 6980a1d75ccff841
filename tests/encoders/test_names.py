"""Names of encoders."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samespace.encoders.names import CATALOGUE, FOLDER, HUB, Name, parse
from samespace.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "scheme", "target", "revision", "options"),
    [
        ("minilm", CATALOGUE, "minilm", None, {}),
        ("hf:org/name", HUB, "org/name", None, {}),
        ("hf:org/name@v1.0", HUB, "org/name", "v1.0", {}),
        (
            "hf:bert-base-uncased?layer=-2&pooling=mean",
            HUB,
            "bert-base-uncased",
            None,
            {"layer": "-2", "pooling": "mean"},
        ),
        ("openai:text-embedding-3-small?dimension=256", "openai", "text-embedding-3-small", None, {"dimension": "256"}),
        ("openai:m?url=http://localhost:11434/v1", "openai", "m", None, {"url": "http://localhost:11434/v1"}),
        ("openai:org/m", "openai", "org/m", None, {}),
        ("/a/b?layer=1", FOLDER, "/a/b", None, {"layer": "1"}),
    ],
)
def test_parts(text, scheme, target, revision, options):
    name = parse(text)
    assert name == Name(scheme, target, revision, options)
    assert parse(str(name)) == name


@pytest.mark.parametrize("text", ["./model", "../model", "~/model", "models/mine", "."])
def test_a_path_becomes_absolute(text):
    name = parse(text)
    assert name.scheme == FOLDER
    assert Path(name.target) == Path(text).expanduser().absolute()


@given(st.dictionaries(st.from_regex(r"[a-z_]+", fullmatch=True), st.text(st.characters(codec="utf-8"), min_size=1)))
def test_every_option_survives(options):
    name = Name("openai", "m", None, options)
    assert parse(str(name)) == name


def test_options_have_one_order():
    assert str(parse("hf:a/b?pooling=cls&layer=2")) == str(parse("hf:a/b?layer=2&pooling=cls"))


def test_an_option_is_read():
    name = parse("hf:a/b?layer=x")
    assert name.option("pooling", str, "a text") is None
    with pytest.raises(InvalidInput, match=r"layer= in 'hf:a/b\?layer=x' must be a whole number, got 'x'"):
        name.option("layer", int, "a whole number")
    with pytest.raises(InvalidInput, match=r"has no option layer\. Its options are: pooling"):
        name.allow(["pooling"])
