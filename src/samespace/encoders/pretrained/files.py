"""The files of a model's folder, read without trust in any of them."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samespace.errors import InvalidInput, NotFound, StorageError

__all__ = ["Files"]

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.h5", "*.msgpack")
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I8": "i1", "U8": "u1"}
_HEADER = 100 << 20  # bytes; the format's own limit


class Files:
    """A model's folder.

    Args:
        root: the folder.

    Raises:
        NotFound: there is none.
        InvalidInput: a link in it leads out of it, to files that are no part of the model.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise NotFound(f"There is no model folder at {root}.")
        self.root = root
        # A snapshot in the hub's cache consists of links into the folder beside it.
        home = (root.parent.parent if root.parent.name == "snapshots" else root).resolve()
        for path in root.rglob("*"):
            if path.is_symlink() and not path.resolve().is_relative_to(home):
                raise InvalidInput(
                    f"{path} is a link to {path.resolve()}, out of the model's folder. Put the file itself there."
                )

    def path(self, *parts: str) -> Path:
        """A path below the folder.

        Raises:
            InvalidInput: it leads out of the folder.
        """
        for part in parts:
            plain = PurePosixPath(part), PureWindowsPath(part)
            if any(each.is_absolute() or ".." in each.parts or each.drive for each in plain):
                raise InvalidInput(
                    f"The model in {self.root} names the path {part!r}, which leads out of its folder. Such a model "
                    "must not be used; get it from where it was published."
                )
        return self.root.joinpath(*parts)

    def has(self, *parts: str) -> bool:
        """There is a file of that name."""
        return self.path(*parts).is_file()

    def json(self, *parts: str) -> dict[str, Any]:
        """The object in a file of JSON; empty if there is no such file.

        Raises:
            InvalidInput: the file holds no JSON object.
        """
        found = self._read_json(self.path(*parts))
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise InvalidInput(f"{self.path(*parts)} must hold a JSON object, got {type(found).__name__}.")
        return found

    def json_list(self, *parts: str) -> list[dict[str, Any]]:
        """The list of objects in a file of JSON.

        Raises:
            InvalidInput: the file holds anything else, or is not there.
        """
        found = self._read_json(self.path(*parts))
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise InvalidInput(f"{self.path(*parts)} must hold a JSON list of objects.")
        return found

    def _read_json(self, path: Path) -> Any:
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{path} is not valid JSON: {error}. Get the file again.") from error
        except OSError as error:
            raise StorageError(f"Cannot read {path}: {error}.") from error

    def weights(self, *parts: str) -> list[Path]:
        """The safetensors files of a module, after a check that they are whole.

        Args:
            parts: the module's folder; all weights lie directly in it.

        Returns:
            ``model.safetensors``, or the parts that its index names; empty if there are none.

        Raises:
            InvalidInput: there are only pickles, whose reading runs what code they hold.
            StorageError: a file is missing or torn.
        """
        if self.has(*parts, "model.safetensors"):
            names = ["model.safetensors"]
        elif index := self.json(*parts, "model.safetensors.index.json"):
            placed = index.get("weight_map")
            if not isinstance(placed, dict) or not all(isinstance(name, str) for name in placed.values()):
                raise InvalidInput(f"{self.path(*parts, 'model.safetensors.index.json')} must have a 'weight_map'.")
            names = sorted(set(placed.values()))
        else:
            folder = self.path(*parts)
            # The weights of an OpenVINO model end in .bin too, and lie beside its .xml.
            pickles = [p for kind in _PICKLES for p in folder.glob(kind) if not p.with_suffix(".xml").exists()]
            if pickles:
                raise InvalidInput(
                    f"The weights in {folder} are pickled ({', '.join(sorted(p.name for p in pickles))}), and reading "
                    "a pickle runs what code it holds. Load the model where you trust it, and save it again with "
                    "save_pretrained(), which writes model.safetensors."
                )
            names = []
        paths = [self.path(*parts, name) for name in names]
        for path in paths:
            _header(path)
        return paths

    def tensors(self, *parts: str) -> dict[str, NDArray[Any]]:
        """The tensors of a module's weights by name; bfloat16 becomes float32."""
        found: dict[str, NDArray[Any]] = {}
        for path in self.weights(*parts):
            header, start = _header(path)
            content = np.memmap(path, np.uint8, "r")
            for name, entry in header.items():
                begin, end = entry["data_offsets"]
                if entry["dtype"] not in _DTYPES:
                    raise InvalidInput(f"{path} holds {name!r} as {entry['dtype']}; float32 or float16 is expected.")
                flat = content[start + begin : start + end].view(_DTYPES[entry["dtype"]])
                if entry["dtype"] == "BF16":  # the upper half of a float32
                    flat = (flat.astype(np.uint32) << 16).view(np.float32)
                found[name] = flat.reshape(entry["shape"])
        return found


def _header(path: Path) -> tuple[Mapping[str, Any], int]:
    """The entries of a safetensors file, and where its data begin.

    Raises:
        StorageError: the file is missing, torn, or no safetensors at all.
    """
    again = "Get the file again."
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(_HEADER, size):
                raise StorageError(f"{path} is no safetensors file, or torn: its header does not fit it. {again}")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        ends = [_end(name, entry) for name, entry in header.items()]
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"Cannot read the weights {path}: {error}. {again}") from error
    except (struct.error, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise StorageError(f"{path} is no safetensors file, or torn: {error}. {again}") from error
    if not header or 8 + length + max(ends) != size:
        raise StorageError(f"{path} is torn: {size:,} bytes are not what its header says. {again}")
    return header, 8 + length


def _end(name: str, entry: dict[str, Any]) -> int:
    """Where the data of a tensor end.

    Raises:
        ValueError, KeyError, TypeError: its entry is none, or its type and shape are not those of its bytes.
    """
    begin, end = entry["data_offsets"]
    shape, dtype = entry["shape"], entry["dtype"]
    if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)) or begin > end:
        raise ValueError(f"the tensor {name!r} has the shape {shape} and the place {begin} to {end}")
    if dtype in _DTYPES and math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize != end - begin:
        raise ValueError(f"the tensor {name!r} has {end - begin:,} bytes, which are not {dtype} of shape {shape}")
    return int(end)
