import numpy as np
import pytest

from samespace.errors import InvalidInput, NotFound
from samespace.training.corpus import pack, read_lines, split_lines

tokenizers = pytest.importorskip("tokenizers")


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "corpus.txt"
        path.write_bytes(content)
        return path

    return write


def test_lines_without_blank_ones(write):
    assert list(read_lines(write("one\n\n  two \r\n\ufeffdrei ü".encode()))) == ["one", "two", "\ufeffdrei ü"]
    assert list(read_lines(write("ein\nzwei ü".encode("utf-16")))) == ["ein", "zwei ü"]


def test_bad_files(write, tmp_path):
    with pytest.raises(NotFound):
        read_lines(tmp_path / "none.txt")
    with pytest.raises(InvalidInput, match=r"is no corpus: it is binary \(it holds NUL bytes\)"):
        read_lines(write(b"text\0text"))
    with pytest.raises(InvalidInput, match=r"is not UTF-8\. Save it as UTF-8: iconv"):
        read_lines(write("schöne Grüße, überall\n".encode("latin1")))
    late = b"plain text\n" * 150_000 + b"\xff\xfe\xfd broken\n"
    with pytest.raises(InvalidInput, match=r"after line .* stands a byte that is not utf-8"):
        list(read_lines(write(late)))


def test_the_split_goes_by_content(write, sentences):
    texts = sentences[:200]
    train, held = split_lines(write("\n".join(texts * 2).encode()), 0.2, 100)
    assert 20 <= len(held) / 2 <= 60
    assert not set(train) & set(held)
    more_train, more_held = split_lines(write("\n".join(sentences[:300]).encode()), 0.2, 100)
    assert set(held) <= set(more_held)
    assert set(train) <= set(more_train)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"one line\n", b"the same\n" * 500])
def test_too_few_different_texts(write, content):
    with pytest.raises(InvalidInput, match="expected at least 20 different"):
        split_lines(write(content), 0.1, 20)


def test_blocks_are_full_and_hold_the_texts_in_order():
    words = {word: number for number, word in enumerate(["[UNK]", "[CLS]", "[SEP]", *"abcdefg"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    blocks = pack(tokenizer, ["a b c", "d", "e f g a b", "c d"], 6, words["[CLS]"], words["[SEP]"])
    names = {number: word for word, number in words.items()}
    assert [" ".join(names[number] for number in row) for row in blocks.tolist()] == [
        "[CLS] a b c [SEP] [SEP]",
        "[CLS] d [SEP] e f [SEP]",
        "[CLS] g a b [SEP] [SEP]",  # full by chance; what comes after it would not be
    ]
    assert blocks.dtype == np.int32
    assert pack(tokenizer, ["a"], 6, 1, 2).shape == (0, 6)
