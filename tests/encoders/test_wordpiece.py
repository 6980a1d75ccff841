"""The tokenizer against the checkpoint's own."""

from __future__ import annotations

import random
import unicodedata

import pytest
from tokenizers import Tokenizer

from samespace.encoders import MODELS
from samespace.encoders.wordpiece import WordPiece

NASTY = [
    "[CLS] [SEP] [MASK] [PAD] [UNK] [cls]",
    "a[SEP]b",
    "naïve café Ångström ﬁancé ß ẞ İstanbul ǅ",
    "e\u0301 e\u0301\u0301 \u0301 n\u0303",
    "\u200bzero\u200dwidth\ufeff",
    "\x00null\x01control\x7f\u0085",
    "tab\tnewline\ncarriage\rform\x0cfeed\u2028line\u2029paragraph",
    "東京 도쿄 北京市 ｆｕｌｌｗｉｄｔｈ ｶﾀｶﾅ",
    "🙂👩‍👩‍👧‍👦🏳️‍🌈",
    "\U000e0041\U0010ffff",
    "x" * 99 + " " + "y" * 100 + " " + "z" * 101,
    "don't stop—ever… “quoted” ‚low‘ 3.14 1,000 a_b #tag @me $5 ^~`|",
    "עברית العربية हिन्दी ไทย ελληνικά русский",
    "   \t  ",
    "",
]


def real_texts(docstrings: list[str]) -> list[str]:
    """10,000 pieces of docstrings, some of them cut in the middle of a word, and every assigned character."""
    draw = random.Random(0)
    texts = list(docstrings)
    while len(texts) < 9_500:
        text = draw.choice(docstrings)
        start = draw.randrange(len(text))
        texts.append(text[start : start + draw.randrange(1, 400)])
    characters = [c for c in map(chr, range(0x20000)) if unicodedata.category(c) not in ("Cs", "Cn")]
    for start in range(0, len(characters), 100):
        texts.append("".join(characters[start : start + 100]))
        texts.append(" ".join(characters[start : start + 100 : 3]))
    return [*texts, *NASTY]


def test_every_token_is_the_original_s(original, docstrings):
    reference = Tokenizer.from_file(str(original / "tokenizer.json"))
    reference.no_padding()
    reference.no_truncation()
    ours = WordPiece(MODELS["minilm"].tokenizer.read())
    texts = real_texts(docstrings)
    assert len(texts) >= 10_000
    expected = [encoding.ids for encoding in reference.encode_batch_fast(texts)]
    ids, total = ours(texts, 10**9)
    assert ids == expected
    assert total.tolist() == [len(each) for each in expected]

    reference.enable_truncation(256)
    ids, again = ours(texts, 256)
    assert ids == [encoding.ids for encoding in reference.encode_batch_fast(texts)]
    assert again.tolist() == total.tolist()


@pytest.mark.parametrize("parallel", [True, False])
def test_a_truncated_text_keeps_its_end_mark(parallel):
    ids, total = WordPiece(MODELS["minilm"].tokenizer.read(), parallel=parallel)(["a b c d e", "a"], 4)
    assert [len(each) for each in ids] == [4, 3]
    assert ids[0][-1] == ids[1][-1] == 102
    assert total.tolist() == [7, 3]
