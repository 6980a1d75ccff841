import io
import json

import pytest
from rich.console import Console

from samespace.cli.hits import _best_window, place, show_hits
from samespace.hits import Hit
from samespace.opening import open as open_collection


def test_best_hit_comes_first_with_its_place_and_score(run, notes):
    done = run("search", "notes.ss", "decompress a gzip file", "-k", 2)
    assert done.code == 0
    assert done.err == ""
    first, second, *_ = done.out.splitlines()
    assert first.split() == ["1", first.split()[1], "zip.md:7"]
    assert 0 < float(first.split()[1]) <= 1
    assert second == "   A gzip file can be decompressed with gunzip."


def test_json_is_one_list_of_hits(run, notes):
    hits = run("search", "notes.ss", "the cat", "--json").json
    assert next(hit["id"] for hit in hits) == "a"
    assert set(hits[0]) == {"id", "score", "content", "metadata"}
    assert hits[0]["metadata"] == {"year": 2023, "lang": "en"}
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)


def test_where_min_score_and_k_are_handed_on(run, notes):
    found = run("search", "notes.ss", "the cat", "--where", '{"year": {"$gte": 2024}}', "--json").json
    assert {hit["id"] for hit in found} == {"b", "c"}
    assert len(run("search", "notes.ss", "the cat", "-k", 1, "--json").json) == 1
    best, *_ = run("search", "notes.ss", "the cat", "--json").json
    assert run("search", "notes.ss", "the cat", "--min-score", best["score"], "--json").json == [best]


@pytest.mark.parametrize("mode", ["text", "hybrid"])
def test_modes(run, notes, mode):
    assert run("search", "notes.ss", "gunzip", "--mode", mode, "--json").json[0]["id"] == "c"
    assert "zip.md:7" in run("search", "notes.ss", "gunzip", "--mode", mode).out


def test_query_from_standard_input(run, notes):
    assert run("search", "notes.ss", "-", "--json", stdin="the cat\n").json[0]["id"] == "a"


def test_nothing_found_is_exit_code_1(run, notes):
    done = run("search", "notes.ss", "the cat", "--where", '{"year": 1900}')
    assert (done.code, done.out, done.err) == (1, "", "note: nothing found\n")
    done = run("search", "notes.ss", "the cat", "--where", '{"year": 1900}', "--json")
    assert (done.code, done.json, done.err) == (1, [], "")


def test_names_of_definitions_and_ids_of_table_rows_are_places():
    assert place("gzip.open", {"name": "gzip.open", "path": "gzip.py", "line": 3}) == (
        "gzip.open",
        "gzip.py:3",
    )
    assert place("n17", {"path": "talks.csv"}) == ("talks.csv", "n17")
    assert place("x#1", {"path": "a.md", "line": 2, "heading": "Top > Sub"}) == ("a.md:2", "Top > Sub")
    assert place("x", {}) == ("x", "")


def shown(hits, query="gzip file", width=60, **more):
    stream = io.StringIO()
    show_hits(Console(file=stream, width=width, highlight=False, **more), query, hits)
    return stream.getvalue()


def test_words_of_the_query_are_lit_in_colour_only():
    hit = Hit("x", 0.5, "The GzipFile reads files; profile does not count.", {})
    assert "\x1b[" not in shown([hit])
    lit = shown([hit], force_terminal=True, color_system="standard")
    assert "\x1b[1;33mGzipFile\x1b[0m" in lit
    assert "\x1b[1;33mfiles\x1b[0m" in lit
    assert "profile" in lit
    assert "\x1b[1;33mprofile" not in lit


def test_control_characters_cannot_reach_the_terminal():
    out = shown([Hit("x\x1b[2J", 0.5, "evil \x1b]0;title\x07 text\r\nnext\x9b5n", {"path": "p\x1b[1m", "line": 1})])
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "\x9b" not in out


def test_markup_of_rich_in_a_passage_is_text():
    assert "[bold]x[/bold] :smile:" in shown([Hit("[red]id", 0.5, "[bold]x[/bold] :smile:", {})])


def test_long_passages_show_the_lines_with_the_words():
    content = "\n".join(f"line {n}" + (" gzip" if n == 50 else "") for n in range(100))
    lines = shown([Hit("x", 0.5, content, {})]).splitlines()
    assert lines[1].strip() == "…"
    assert lines[-1].strip() == "…"
    assert any("line 50 gzip" in line for line in lines)
    assert len(lines) == 11


def test_another_window_than_the_beginning_must_be_much_better():
    assert _best_window([0, 0, 0, 0], 2) == 0
    assert _best_window([1, 0, 0, 1, 1], 2) == 0
    assert _best_window([1, 0, 0, 2, 1], 2) == 3
    assert _best_window([0, 0, 1, 0, 1], 2) == 1


def test_filled_paragraphs_are_filled_again_to_the_terminal():
    content = (
        "A paragraph that somebody has filled to a width of some seventy characters\n"
        "or so goes on here, and is ragged if it is only broken once more at sixty.\n"
        "- a list stays\n- a list"
    )
    lines = [line.strip() for line in shown([Hit("x", 0.5, content, {})], "?").splitlines()[1:]]
    assert lines == [
        "A paragraph that somebody has filled to a width of some",
        "seventy characters or so goes on here, and is ragged if",
        "it is only broken once more at sixty.",
        "- a list stays",
        "- a list",
    ]
    code = "    first_value = a_function_with_a_name(that, has, many, arguments)\n        + more\n    return 1"
    assert "+ more\n" in shown([Hit("x", 0.5, code, {})], width=50)


def test_wide_characters_are_wrapped_by_their_width():
    for line in shown([Hit("x", 0.5, "日本語のテキスト" * 20, {})], width=40).splitlines():
        assert sum(2 if ord(c) > 0x2E80 else 1 for c in line) <= 40


def test_a_row_without_text(run):
    from samespace.testing.encoder import CharacterEncoder

    encoder = CharacterEncoder()
    with open_collection("bare.ss", space=encoder.space) as rows:
        rows.add([None], ids=["only"], vectors=encoder.encode_documents(["some text"]))
    done = run("get", "bare.ss", "only")
    assert done.code == 0
    assert run("get", "bare.ss", "only", "--json").json[0]["content"] is None
    done = run("search", "bare.ss", "x", "--json")
    assert done.code == 3
    assert json.loads(done.err)["error"] == "InvalidInput"
