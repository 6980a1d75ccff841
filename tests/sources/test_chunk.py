import re
import time

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


def squeeze(text):
    return "".join(text.split())


prose = st.lists(
    st.sampled_from(
        [
            *"abcdefg .!?\n\n\n  #-=*`~:\t\f\x0b\u3000\u2028",
            *(
                "word ",
                "A sentence. ",
                "\n\n",
                "# Title\n",
                "Title\n=====\n",
                "```\n",
                "\n    code\n",
                "::\n\n  x\n",
            ),
            *("def f():\n    pass\n", "class A:\n    @x\n    def g(self): ...\n", '"""', "#"),
            *("é", "漢字。", "🎉", "looooooooooooooooooooooooooooooooooooooooong"),
        ]
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


def block(text, **fields):
    return Block(text, range(1, text.count("\n") + 2), **fields)


def texts(chunks):
    return [made.text for made in chunks]


def test_small_neighbours_under_one_heading_are_merged_up_to_the_target():
    blocks = [Block(f"Paragraph {n}.", range(2 * n + 1, 2 * n + 2), ("A",)) for n in range(4)]
    assert texts(chunk(blocks, target=30)) == ["Paragraph 0.\n\nParagraph 1.", "Paragraph 2.\n\nParagraph 3."]


def test_blocks_under_two_headings_are_not_merged():
    blocks = [Block("One.", [1], ("A",)), Block("Two.", [3], ("B",))]
    assert texts(chunk(blocks)) == ["One.", "Two."]


def test_a_heading_goes_with_what_follows_it():
    document = markdown.read("# Title\n\n## Part\n\nWords.\n\n## Other\n\nMore.")
    made = chunk(document.blocks)
    assert texts(made) == ["# Title\n\n## Part\n\nWords.", "## Other\n\nMore."]
    assert [each.headings for each in made] == [("Title", "Part"), ("Title", "Other")]


def test_a_heading_goes_with_what_follows_it_even_past_the_target():
    document = markdown.read("# Title\n\n" + "word " * 20)
    assert len(chunk(document.blocks, target=90)) == 1


def test_pages_are_not_merged():
    assert len(chunk([Block("One.", [1], page=1), Block("Two.", [1], page=2)])) == 2


def test_a_long_paragraph_is_cut_after_its_sentences():
    text = "First one here. Second one! Is this (the third?) Yes. No"
    made = texts(chunk([block(text)], count_tokens=count_words, max_tokens=10))
    assert made == ["First one here.", "Second one!", "Is this (the third?)", "Yes. No"]


def test_a_long_sentence_is_cut_between_words_and_a_long_word_within():
    made = texts(chunk([block("aaaa bbbb cccc " + "d" * 16)], count_tokens=count_words, max_tokens=4))
    assert made[:2] == ["aaaa bbbb", "cccc"]
    assert "".join(made[2:]) == "d" * 16
    assert all(len(part) <= 8 for part in made[2:])


def test_code_is_cut_between_lines_and_keeps_its_indentation():
    text = "def f():\n    a = 1\n    return a"
    made = chunk([block(text, unit="line")], count_tokens=count_words, max_tokens=7)
    assert texts(made) == ["def f():", "    a = 1", "    return a"]
    assert [(each.line, each.end_line) for each in made] == [(1, 1), (2, 2), (3, 3)]


def test_a_block_between_target_and_limit_stays_whole():
    text = "One sentence. Another sentence. A third sentence."
    assert texts(chunk([block(text)], count_tokens=count_words, max_tokens=40, target=5)) == [text]


def test_no_blocks_give_no_chunks():
    assert chunk([]) == []
    assert chunk([block(" \n\t\n ")]) == []


def test_a_limit_without_a_count_is_an_error():
    with pytest.raises(InvalidInput, match="max_tokens=256 needs count_tokens"):
        chunk([], max_tokens=256)


def test_a_limit_without_room_is_an_error():
    with pytest.raises(InvalidInput, match="room beside 2 special tokens, got 2"):
        chunk([], count_tokens=count_words, max_tokens=2)


def test_one_character_over_the_limit_ends_the_cutting():
    made = chunk([block("🎉🎉")], count_tokens=count_bytes, max_tokens=3)
    assert texts(made) == ["🎉", "🎉"]


HUGE = {
    "words": "word ",
    "sentences": "a sentence of words. ",
    "one word": "x",
    "dots": ".",
    "spaces": " ",
    "han": "\u6f22",
    "lines": "x y\n",
    "blank lines": "\n \n",
    "hashes": "#",
    "list": "- a\n",
}


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__module__.rpartition(".")[2])
@pytest.mark.parametrize("kind", HUGE)
def test_much_of_one_kind_is_cut_in_linear_time(kind, reader):
    text = HUGE[kind] * (200_000 // len(HUGE[kind])) + "end"
    begun = time.process_time()
    made = chunk(reader(text).blocks, count_tokens=count_words, max_tokens=256)
    assert time.process_time() - begun < 10
    assert sum(len(squeeze(each.text)) for each in made) == len(squeeze(text))


@pytest.mark.parametrize("kind", ["words", "sentences", "one word"])
def test_a_line_of_a_megabyte_takes_seconds(kind):
    text = HUGE[kind] * (2**20 // len(HUGE[kind]))
    begun = time.process_time()
    made = chunk(plain.read_paragraphs(text).blocks, count_tokens=count_words, max_tokens=256)
    assert time.process_time() - begun < 10
    assert len(made) > 50
    assert {each.line for each in made} == {1}


def test_a_large_text_asks_for_counts_a_few_times_only():
    calls = []

    def count(texts):
        calls.append(len(texts))
        return count_words(texts)

    chunk([block("Some sentence here. " * 20_000)], count_tokens=count, max_tokens=64)
    assert len(calls) <= 8
