import pytest
from reference import REFERENCE, renewed

import samespace.cli


@pytest.mark.parametrize("page", ["command-line.md", "bad-input-commands.md"])
def test_the_reference_shows_what_the_commands_say(page):
    text = (REFERENCE / page).read_text()
    assert renewed(text) == text, "Run: python tests/cli/reference.py"


def test_every_command_has_a_section():
    text = (REFERENCE / "command-line.md").read_text()
    for name in samespace.cli._COMMANDS:
        assert f"\n## {name}\n" in text
        assert f"<!-- generated: help {name} -->" in text
