"""Names, limits and the cache."""

from __future__ import annotations

from pathlib import Path

import samespace as ss
from bad_encoders.case import Case
from samespace.encoders.base import Encoder
from samespace.errors import EncoderError, InvalidInput, NotFound, SpaceMismatch
from samespace.testing.encoder import CharacterEncoder


class Deaf(CharacterEncoder):
    """Declares a prompt and never applies it."""

    def _prompted(self, role, text, row):
        return text


def _open_with(folder: Path, encoder: Encoder):
    with ss.open(folder / "notes.ss", CharacterEncoder()) as notes:
        notes.add(["a text"])
    return ss.open(folder / "notes.ss", encoder)


CASES = [
    Case("no name", 'encoder("")', lambda _: ss.encoder(""), InvalidInput, "must be a text, got ''"),
    Case("bytes as a name", 'encoder(b"minilm")', lambda _: ss.encoder(b"minilm"), InvalidInput, "must be a text"),
    Case("a name with NUL", r'encoder("a\0b")', lambda _: ss.encoder("a\0b"), InvalidInput, "must be a text"),
    Case("no such name", 'encoder("minillm")', lambda _: ss.encoder("minillm"), NotFound, "The encoders are: minilm"),
    Case(
        "an option that there is not",
        'encoder("minilm?layer=3")',
        lambda _: ss.encoder("minilm?layer=3"),
        InvalidInput,
        "has no option layer",
    ),
    Case(
        "options that are none",
        'encoder("minilm?fast")',
        lambda _: ss.encoder("minilm?fast"),
        InvalidInput,
        "must be option=value",
    ),
    Case(
        "an option twice",
        'encoder("hf:a/b?layer=1&layer=2")',
        lambda _: ss.encoder("hf:a/b?layer=1&layer=2"),
        InvalidInput,
        "gives layer twice",
    ),
    Case(
        "a revision without a name",
        'encoder("hf:a/b@")',
        lambda _: ss.encoder("hf:a/b@"),
        InvalidInput,
        "A revision must follow the '@'",
    ),
    Case(
        "a hub name that climbs",
        'encoder("hf:../../etc")',
        lambda _: ss.encoder("hf:../../etc"),
        InvalidInput,
        "called 'hf:owner/name'",
    ),
    Case("no such folder", 'encoder("./nothing")', lambda _: ss.encoder("./nothing"), NotFound, "There is no model at"),
    Case(
        "a folder without a model",
        'encoder("./empty")',
        lambda folder: ss.encoder(str(folder)),
        InvalidInput,
        "holds no model",
    ),
    Case(
        "a cap below nothing",
        'encoder("minilm", max_cost=-1)',
        lambda _: ss.encoder("minilm", max_cost=-1),
        InvalidInput,
        "max_cost must be a number, 0 or more",
    ),
    Case(
        "a cap that is no number",
        'encoder("minilm", max_cost=float("nan"))',
        lambda _: ss.encoder("minilm", max_cost=float("nan")),
        InvalidInput,
        "max_cost must be a number, 0 or more",
    ),
    Case(
        "trust that names nothing",
        'encoder("minilm", trust_code=True)',
        lambda _: ss.encoder("minilm", trust_code=True),
        InvalidInput,
        "trust_code must be the name of a model",
    ),
    Case(
        "a prompt that never reaches the model",
        'open("notes.ss", deaf).add(["a text"])',
        lambda folder: ss.open(folder / "notes.ss", Deaf()).add(["a text"]),
        EncoderError,
        "gives documents and queries the same vectors",
    ),
    Case(
        "another model under another name",
        'open("notes.ss", stranger)',
        lambda folder: _open_with(folder, CharacterEncoder(model="stranger")),
        SpaceMismatch,
        r"at a distance of [\d.]+ for documents",
    ),
    Case(
        "another prompt",
        'open("notes.ss", prompted)',
        lambda folder: _open_with(folder, CharacterEncoder(prompts={"query": "query: "})),
        SpaceMismatch,
        "prompts: .* for queries, where one model",
    ),
]
