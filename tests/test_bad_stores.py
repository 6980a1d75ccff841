"""Bad input to stores, copies and imports: every row of every room's table."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import bad_stores
from bad_encoders.case import Case
from samespace.errors import SamespaceError

ROOMS = sorted(name for _, name, _ in pkgutil.iter_modules(bad_stores.__path__))
CASES: list[Case] = [case for room in ROOMS for case in importlib.import_module(f"bad_stores.{room}").CASES]


@pytest.mark.parametrize("case", CASES, ids=[case.what for case in CASES])
def test_bad_input_gets_a_clear_error(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(case.error, match=case.says) as caught:
        case.act(tmp_path)
    assert isinstance(caught.value, SamespaceError)


def test_no_row_stands_twice():
    assert len({case.what for case in CASES}) == len(CASES) >= 30
