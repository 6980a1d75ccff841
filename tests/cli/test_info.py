from samespace.collection import open as open_collection


def test_info_for_people(run, notes):
    done = run("info", "notes.ss")
    assert done.code == 0
    lines = {line.split("  ")[0].strip(): line for line in done.out.splitlines()}
    assert lines["rows"].split() == ["rows", "3"]
    assert "samespace/characters" in lines["model"]
    assert "32 dimensions, cosine" in lines["space"]
    assert "kB" in lines["on disk"]
    assert "query: '? '" in lines["prompts"]


def test_info_for_programs(run, notes):
    info = run("info", "notes.ss", "--json").json
    assert info["count"] == 3
    assert info["path"] == "notes.ss"
    assert info["encoder"] == "characters"
    assert info["space"]["model"] == "samespace/characters"
    assert len(info["space"]["id"]) == 32


def test_info_shows_what_is_truncated_and_what_is_dead(run, notes):
    with open_collection("notes.ss") as rows:
        rows.delete(["a"])
    assert "1 dead slot ('samespace compact' gives them back)" in " ".join(run("info", "notes.ss").out.split())


def test_compact(run, notes):
    with open_collection("notes.ss") as rows:
        rows.delete(["a"])
    done = run("compact", "notes.ss")
    assert done.code == 0
    assert done.out.startswith("notes.ss: ")
    assert run("info", "notes.ss", "--json").json["deleted"] == 0
    assert set(run("compact", "notes.ss", "--json").json) == {"before", "after"}
