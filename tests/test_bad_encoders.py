"""Bad input to encoders: every row of every room's table."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import bad_encoders
from bad_encoders.case import Case
from samespace.errors import SamespaceError

ROOMS = sorted(name for _, name, _ in pkgutil.iter_modules(bad_encoders.__path__) if name != "case")
CASES: list[Case] = [case for room in ROOMS for case in importlib.import_module(f"bad_encoders.{room}").CASES]


@pytest.mark.parametrize("case", CASES, ids=[case.what for case in CASES])
def test_bad_input_gets_a_clear_error(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(case.error, match=case.says) as caught:
        case.act(tmp_path)
    assert isinstance(caught.value, SamespaceError)


def test_no_row_stands_twice():
    assert len({case.what for case in CASES}) == len(CASES) >= 40
