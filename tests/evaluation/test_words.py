from __future__ import annotations

import numpy as np
import pytest

from samespace.encoders.words import open_table
from samespace.errors import InvalidInput, MissingExtra, NotFound
from samespace.evaluation.words import (
    evaluate_analogies,
    evaluate_pairs,
    evaluate_words,
    standard_set,
)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The words of the standard sets with vectors at random, but related words near; ours and gensim's."""
    from gensim.models import KeyedVectors

    generator = np.random.default_rng(3)
    lines = [line.split() for line in standard_set("analogies").read_text().splitlines() if not line.startswith(":")]
    pairs = [line.split("\t")[:2] for line in standard_set("wordsim353").read_text().splitlines()[2:]]
    words = list(dict.fromkeys(word for line in [*lines[::5], *pairs] for word in line))
    # Some only in lower case, some in both cases, and another order than the file's.
    words = list(dict.fromkeys([word.lower() for word in words[::3]] + words))[::-1]
    offset = generator.standard_normal(40)
    base = {word: generator.standard_normal(40) for word in words}
    for a, b, *_ in lines:
        if a in base and b in base:
            base[b] = base[a] + offset + 0.35 * generator.standard_normal(40)
    vectors = np.array([base[word] for word in words], np.float32)
    keyed = KeyedVectors(40)
    keyed.add_vectors(words, vectors)
    path = tmp_path_factory.mktemp("words") / "vectors.bin"
    keyed.save_word2vec_format(str(path), binary=True)
    return open_table(path), keyed


@pytest.mark.parametrize("name", ["wordsim353", "simlex999"])
@pytest.mark.parametrize("most_frequent", [300_000, 600])
def test_pairs_are_measured_as_gensim_does(name, most_frequent, both):
    table, keyed = both
    found = evaluate_pairs(table, standard_set(name), most_frequent=most_frequent)
    _, spearman, unknown = keyed.evaluate_word_pairs(str(standard_set(name)), restrict_vocab=most_frequent)
    assert found.spearman == pytest.approx(spearman.statistic, abs=1e-6)
    assert 100 * found.unknown / (found.pairs + found.unknown) == pytest.approx(unknown)
    assert found.pairs > 5


@pytest.mark.parametrize("most_frequent", [300_000, 500])
def test_analogies_are_answered_as_gensim_does(most_frequent, both, tmp_path):
    table, keyed = both
    questions = tmp_path / "questions.txt"
    lines = standard_set("analogies").read_text().splitlines()
    questions.write_text("\n".join(line for at, line in enumerate(lines) if line.startswith(":") or at % 9 == 0))
    seen = []
    found = evaluate_analogies(
        table, questions, most_frequent=most_frequent, progress=lambda done, total: seen.append((done, total))
    )
    _, sections = keyed.evaluate_word_analogies(str(questions), restrict_vocab=most_frequent)
    expected = {
        each["section"]: (len(each["correct"]), len(each["correct"]) + len(each["incorrect"])) for each in sections
    }
    assert {each.name: (each.correct, each.asked) for each in found.sections} == {
        name: counts for name, counts in expected.items() if name != "Total accuracy"
    }
    assert (found.total.correct, found.total.asked) == expected["Total accuracy"]
    assert 0.05 < found.total.accuracy < 0.95
    assert seen[-1] == (found.total.asked, found.total.asked)


def test_all_standard_sets_at_once(both):
    figures = evaluate_words(both[0])
    assert figures.keys() == {"wordsim353", "simlex999", "analogies"}
    assert all(-1 <= figure <= 1 for figure in figures.values())


def test_a_small_vocabulary_has_fewer_figures(tmp_path):
    (tmp_path / "small.txt").write_text("xyzzy 1 0\nplugh 0 1\n")
    assert evaluate_words(open_table(tmp_path / "small.txt")) == {}


@pytest.fixture
def table(tmp_path):
    (tmp_path / "small.txt").write_text("a 1 0\nb 0 1\nc 1 1\nd 1 2\n")
    return open_table(tmp_path / "small.txt")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a\tb\n", "line 1: expected two words and a number with tabs between"),
        ("# note\na b 3\n", "line 2: expected two words and a number"),
        ("a\tb\tmuch\n", "line 1: expected two words and a number"),
        ("x\ty\t1\na\tb\t2\n", "knows 1 of the 2 pairs"),
        ("", "knows 0 of the 0 pairs"),
    ],
)
def test_files_of_pairs_that_cannot_be_used(content, says, table, tmp_path):
    (tmp_path / "pairs.tsv").write_text(content)
    with pytest.raises(InvalidInput, match=says):
        evaluate_pairs(table, tmp_path / "pairs.tsv")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a b c d\n", "line 1: expected the name of a section"),
        (": one\na b c\n", "line 2: expected four words, got 'a b c'"),
        ("", "holds no questions"),
    ],
)
def test_files_of_questions_that_cannot_be_used(content, says, table, tmp_path):
    (tmp_path / "questions.txt").write_text(content)
    with pytest.raises(InvalidInput, match=says):
        evaluate_analogies(table, tmp_path / "questions.txt")


def test_files_that_are_not_there(table, tmp_path):
    with pytest.raises(NotFound, match=r"There is no file .*pairs\.tsv"):
        evaluate_pairs(table, tmp_path / "pairs.tsv")
    (tmp_path / "latin.tsv").write_bytes("café\tb\t1\n".encode("latin-1"))
    with pytest.raises(InvalidInput, match="is not UTF-8"):
        evaluate_pairs(table, tmp_path / "latin.tsv")


def test_sets_that_there_are_not(monkeypatch):
    with pytest.raises(NotFound, match="The sets are: wordsim353, simlex999, analogies"):
        standard_set("men")
    monkeypatch.setattr("samespace.evaluation.words.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"samespace\[train\]"):
        standard_set("wordsim353")
