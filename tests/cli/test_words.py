from __future__ import annotations

import json

import pytest

TABLE = {"king": (9, 9), "queen": (9, -9), "man": (1, 5), "woman": (1, -5), "apple": (-7, 0)}


@pytest.fixture
def file(tmp_path):
    (tmp_path / "vectors.txt").write_text("".join(f"{word} {x} {y}\n" for word, (x, y) in TABLE.items()))
    return "vectors.txt"


def test_a_file_of_words(run, file):
    done = run("words", file)
    assert done.code == 0
    facts = [line.split() for line in done.out.splitlines()]
    assert facts[:2] == [["words", "5,", "in", "lower", "case"], ["dimension", "2"]]
    assert "king, queen, man, woman, apple" in done.out
    assert "reading" not in run("words", file).err  # it is kept


def test_a_file_of_words_for_programs(run, file):
    found = run("words", file, "--limit", 3, "--json").json
    assert found["words"] == 3
    assert found["frequent"] == ["king", "queen", "man"]
    assert found["lower_case"] is True
    assert found["subwords"] is False
    assert len(found["space"]) == 32


@pytest.mark.parametrize("expression", [["king", "-", "man", "+", "woman"], ["king - man + woman"]])
@pytest.mark.parametrize("method", ["add", "multiply"])
def test_an_analogy(expression, method, run, file):
    done = run("analogy", file, *expression, "--method", method)
    assert done.code == 0
    words = [line.split()[0] for line in done.out.splitlines() if line.strip() and line.split()[0] in TABLE]
    assert words == ["queen", "apple"]


def test_an_analogy_for_programs(run, file):
    found = run("analogy", file, "king", "-", "man", "+", "woman", "-k", 1, "--json").json
    assert [near["word"] for near in found] == ["queen"]
    assert 0.9 < found[0]["score"] <= 1


def test_similar_words(run, file):
    assert [near["word"] for near in run("similar", file, "King", "-k", 2, "--json").json] == ["man", "queen"]
    assert [near["word"] for near in run("similar", file, "king", "--among", 2, "--json").json] == ["queen"]
    assert "man" in run("similar", file, "king").out


def test_the_odd_one_out(run, file):
    assert run("odd-one-out", file, "king", "man", "apple").out == "apple\n"
    assert run("odd-one-out", file, "king", "man", "apple", "--json").json == {"word": "apple"}


def test_sets_of_ones_own(run, file, tmp_path):
    (tmp_path / "pairs.tsv").write_text("king\tman\t9\nking\tqueen\t5\nking\tapple\t1\nking\tduke\t3\n")
    (tmp_path / "questions.txt").write_text(": royal\nman woman king queen\nman woman duke duchess\n: other\nx y z w\n")
    done = run("words", file, "--pairs", "pairs.tsv", "--questions", "questions.txt")
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines() if line.strip()}
    assert rows["pairs.tsv"] == ["Spearman", "1.000", "3", "1"]
    assert rows["questions.txt"] == ["accuracy", "100.0%", "1", "2"]
    assert rows["royal"] == ["accuracy", "100.0%", "1", "1"]
    assert rows["other"] == ["accuracy", "0", "1"]
    found = run("words", file, "--pairs", "pairs.tsv", "--questions", "questions.txt", "--json").json
    assert found["pairs.tsv"] == {"spearman": pytest.approx(1), "pairs": 3, "unknown": 1}
    assert found["questions.txt"]["sections"]["royal"] == [1, 1, 1]


def test_the_standard_sets(run, tmp_path):
    words = [
        "tiger",
        "cat",
        "book",
        "paper",
        "king",
        "queen",
        "man",
        "woman",
        "old",
        "new",
        "smart",
        "intelligent",
        "hard",
        "difficult",
    ]
    (tmp_path / "some.txt").write_text("".join(f"{word} {at % 5} {at % 3 + 1}\n" for at, word in enumerate(words)))
    found = run("words", "some.txt", "--evaluate", "--json").json
    assert found["wordsim353"]["pairs"] >= 2
    assert found["wordsim353"]["pairs"] + found["wordsim353"]["unknown"] == 353
    assert found["simlex999"]["pairs"] + found["simlex999"]["unknown"] == 999
    assert found["analogies"]["asked"] + found["analogies"]["unknown"] == 19_544


def test_without_the_standard_sets(run, file, monkeypatch):
    monkeypatch.setattr("samespace.evaluation.words.find_spec", lambda _: None)
    done = run("words", file, "--evaluate")
    assert done.code == 6
    assert "samespace[train]" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["words", "missing.vec"], 4, "There is no file of word vectors 'missing.vec'"),
        (["words", "notes.md"], 3, "is no format of word vectors"),
        (["words", "vectors.txt", "--limit", 0], 2, "0 is not in the range"),
        (["words", "vectors.txt", "--pairs", "missing.tsv"], 4, "missing.tsv"),
        (["similar", "vectors.txt"], 2, "Missing argument 'WORD'"),
        (["similar", "vectors.txt", "quen"], 4, "Did you mean 'queen'?"),
        (["analogy", "vectors.txt"], 2, "Missing argument 'EXPRESSION...'"),
        (["analogy", "vectors.txt", "king", "man"], 3, "has no sign between its words"),
        (["analogy", "vectors.txt", "king", "-", "duke"], 4, "'duke' is not among the 5 words"),
        (["analogy", "vectors.txt", "king", "--method", "divide"], 2, "'add', 'multiply'"),
        (["odd-one-out", "vectors.txt", "king", "man"], 2, "Name at least three words"),
    ],
)
def test_bad_input(arguments, code, says, run, file, tmp_path):
    (tmp_path / "notes.md").write_text("# Notes\n\nNo vectors here.\n")
    done = run(*arguments)
    assert (done.code, done.out) == (code, "")
    assert says in done.err
    failed = run(*arguments, "--json")
    assert json.loads(failed.err)["exit_code"] == code


def test_progress_of_a_long_file(run, tmp_path, monkeypatch):
    monkeypatch.setattr("samespace.cli.progress._SECONDS_BETWEEN_LINES", 0)
    monkeypatch.setattr("samespace.cli.words._MB", 1)
    (tmp_path / "vectors.txt").write_text("".join(f"word{at} {at} 1\n" for at in range(1_000)))
    size = (tmp_path / "vectors.txt").stat().st_size
    assert f"reading, in MB: {size:,} of {size:,}" in run("words", "vectors.txt").err


def test_a_file_named_as_encoder(run, file):
    (done := run("index", file, "--into", "new.ss", "--encoder", "./vectors.txt"))
    assert done.code == 0, done.err
    found = run("search", "new.ss", "queen", "--json")
    assert found.code == 0, found.err
