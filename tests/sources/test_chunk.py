import re
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samespace.errors import InvalidInput
from samespace.sources import markdown, plain, python_code, rst
from samespace.sources.base import Block
from samespace.sources.chunk import chunk

READERS = [plain.read_paragraphs, plain.read_lines, markdown.read, rst.read, python_code.read]


def count_words(texts):
    """A tokenizer that a person can follow: words of up to four characters, every mark, and two specials."""
    return np.array([2 + len(re.findall(r"\w{1,4}|[^\w\s]", text)) for text in texts], np.int32)


def count_bytes(texts):
    """Spaces count too, and a character may be four tokens: the sizes of pieces do not add up."""
    return np.array([1 + len(text.encode("utf-8", "surrogatepass")) for text in texts], np.int32)


@cache
def minilm_count():
    from importlib import resources

    from tokenizers import Tokenizer

    del resources
    return Tokenizer


def squeeze(text):
    return "".join(text.split())


prose = st.lists(
    st.sampled_from(
        [*"abcdefg .!?\n\n\n  #-=*`~:", "word ", "A sentence. ", "\n\n", "# Title\n", "Title\n=====\n", "```\n", "\n    code\n"]
        + ["def f():\n    pass\n", "class A:\n    @x\n    def g(self): ...\n", "\t", "\u3000", "é", "漢字。", "🎉", "::\n\n  x\n"]
        + ["loooooooooooooooooooooooooooooooooooong", "\f", "\x0b", "\u2028", '"""', "#"]
    ),
    max_size=120,
).map("".join)
anything = st.one_of(prose, st.text(max_size=400))


@settings(max_examples=300, deadline=None)
@given(text=anything, limit=st.integers(8, 40), reader=st.sampled_from(READERS), data=st.data())
def test_nothing_is_lost_nothing_is_over_and_lines_are_right(text, limit, reader, data):
    count = data.draw(st.sampled_from([count_words, count_bytes, None]))
    text = text.replace("\r", "\n")
    blocks = reader(text).blocks
    chunks = chunk(blocks, count_tokens=count, max_tokens=limit) if count else chunk(blocks, target=limit)

    assert squeeze("".join(made.text for made in chunks)) == squeeze(text)
    rows = text.split("\n")
    at = 0  # lines never go back, and each chunk's first and last words stand where it says
    for made in chunks:
        assert made.text.strip()
        assert at <= made.line <= made.end_line
        at = made.line
        first, last = made.text.strip().split("\n")[0], made.text.rstrip().split("\n")[-1]
        assert first.strip() in rows[made.line - 1]
        assert last.strip() in rows[made.end_line - 1]
        if count:
            assert count([made.text])[0] <= limit
