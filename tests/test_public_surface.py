"""What `import samespace` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import samespace as ss
from samespace import errors

HEAVY = ["openvino", "tokenizers", "turbovec", "pyarrow", "rich", "click", "safetensors", "torch", "hypothesis"]


def test_the_public_names():
    assert sorted(ss.__all__) == ss.__all__ == [name for name in ss.__all__ if hasattr(ss, name)]
    assert set(errors.__all__) <= set(ss.__all__), "every error can be caught by its public name"


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_drawn_in_the_tree_and_inherits_a_builtin(name):
    error = getattr(errors, name)
    assert name in errors.__doc__
    if name.endswith("Warning"):
        assert issubclass(error, UserWarning)
    elif name != "SamespaceError":
        assert issubclass(error, errors.SamespaceError)
        assert issubclass(error, (ValueError, LookupError, ImportError, OSError, RuntimeError))


def test_importing_loads_numpy_and_nothing_heavier():
    code = "import sys, samespace; print([m for m in sys.argv[1:] if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_missing_extra_names_its_remedy():
    error = ss.MissingExtra("Parquet", "parquet")
    assert str(error) == "Parquet needs an extra that is not installed. Run: pip install 'samespace[parquet]'"
    assert isinstance(error, ImportError)
