"""Conversions: made once, compared with the original, kept in the cache, and chosen by what they are good for."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.canaries import CANARIES
from samespace.encoders.places import cache_folder
from samespace.encoders.pretrained.compiled import About, CompiledRole, Graph, parts
from samespace.encoders.pretrained.convert import Unfit, pooling_graph, read_graph, trace
from samespace.encoders.pretrained.layout import Layout
from samespace.encoders.pretrained.original import Original, OriginalRole, installed, reader_of
from samespace.encoders.runtime import core, openvino
from samespace.errors import SamespaceError, StorageError
from samespace.space import Role
from samespace.vectors import Matrix

if TYPE_CHECKING:
    from openvino import Model

__all__ = ["PRECISIONS", "open_compiled"]

PRECISIONS = ("bfloat16", "float32", "int8")
"""What a graph can be computed in. The first that this machine's processor computes with is the default; int8 is
faster still, but moves vectors by fifty times as much, so it is for those who ask for it."""

_LEAST = {"float32": 0.9999, "bfloat16": 0.999, "int8": 0.99}
_MEAN = {"float32": 0.9999, "bfloat16": 0.999, "int8": 0.999}
_FORMAT = 1
_ROLES: tuple[Role, ...] = ("document", "query")
_log = logging.getLogger(__name__)

_PROBES = (
    *CANARIES,
    "Copper conducts heat and electricity well; most of what is mined becomes wire.",
    "To make bread, mix flour, water, salt and yeast, knead it, and let it rise for an hour before it is baked.",
    "The Treaty of Westphalia ended the Thirty Years' War in 1648.",
    "raise ValueError('expected a positive number')",
    "Is there a train from Lyon to Turin on Sunday morning?",
    "A tortoise outlives most of the people who feed it. " * 12,
)
"""Texts on which a conversion is compared with its original."""


def open_compiled(
    layout: Layout,
    role: Role,
    *,
    precision: str | None,
    threads: int | None,
    original: Callable[[], Original],
    graphs: dict[tuple[Path, str], Graph],
) -> CompiledRole:
    """Make a runner of the pipeline of a role, converting its transformer if that was not done before.

    Args:
        layout: of the model.
        role: of the texts.
        precision: of :data:`PRECISIONS`; None for the default.
        threads: that it may use; None for all cores.
        original: loads the model on torch.
        graphs: that were compiled before, by folder and precision; a new one is put into it.

    Raises:
        Unfit: it cannot be compiled, or its vectors are not those of the original.
        StorageError: the conversion cannot be kept.
    """
    transformer, pooling, _ = parts(layout, role)
    key = json.dumps([_FORMAT, layout.digest, transformer.folder, asdict(pooling)])
    folder = cache_folder("models", hashlib.sha256(key.encode()).hexdigest()[:32])
    about = _read(folder)
    if about is None:
        try:
            about = _converted(_Work(layout, role, folder, original))
        except SamespaceError:
            raise
        except OSError as error:
            _log.warning(
                "A converted model cannot be kept in %s (%s), and is converted in every process. SAMESPACE_CACHE names "
                "another folder; ?runtime=torch needs none.",
                folder,
                error,
            )
            folder = Path(_temporary().name, folder.name)
            about = _converted(_Work(layout, role, folder, original))
    chosen = _choose(about, precision)
    graph = graphs.get((folder, chosen))
    if graph is None:
        graph = graphs.setdefault((folder, chosen), Graph(folder, chosen, threads))
    return CompiledRole(layout, role, folder, about, graph, parallel=threads != 1)


def _choose(about: About, wanted: str | None) -> str:
    """The precision to run in: what is wanted if its vectors are good enough, else float32."""
    able = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    first = wanted or ("bfloat16" if "BF16" in able else "float32")
    if about.cosine is None:  # of a file of the model's own, with nothing to compare it with
        return first
    for precision in dict.fromkeys((first, "float32")):
        mean, least = about.cosine[precision]
        if mean >= _MEAN[precision] and least >= _LEAST[precision]:
            return precision
        _log.warning("%s is not used: the cosine to the original is %.5f, %.5f at least.", precision, mean, least)
    raise Unfit(f"the cosine of its vectors to the original is {least:.5f} at least; 0.9999 is expected")


@dataclass(frozen=True)
class _Work:
    """A conversion to be made."""

    layout: Layout
    role: Role
    folder: Path
    original: Callable[[], Original]


def _converted(work: _Work) -> About:
    with _locked(work.folder):
        return _read(work.folder) or _make(work)


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    """A folder of this process, which goes when it ends."""
    return tempfile.TemporaryDirectory(prefix="samespace-")


def _make(work: _Work) -> About:
    """Convert, compare, and keep the result in its folder, which appears with all its files or not at all."""
    file = work.layout.graph
    ways: list[Callable[[_Work], tuple[Model, str]]] = []
    if file is not None:
        ways.append(_from_file)
    if installed():
        ways.append(_from_torch)
    if not ways:
        raise Unfit("torch and sentence-transformers are needed once, to convert it, and are not installed")
    draft = Path(tempfile.mkdtemp(prefix=f"{work.folder.name}.", dir=work.folder.parent))
    try:
        for way in ways:
            try:
                about = _try(work, way, draft)
                if about.cosine is None or about.cosine["float32"][1] >= _LEAST["float32"]:
                    break
                reason = f"its cosine to the original is {about.cosine['float32'][1]:.5f} at least"
            except Unfit as error:
                reason = str(error)
            if way is ways[-1]:
                raise Unfit(reason)
            _log.warning("%s is not used: %s.", file, reason)
        (draft / "about.json").write_text(json.dumps(asdict(about), indent=1))
        shutil.rmtree(work.folder, ignore_errors=True)
        draft.replace(work.folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return about


def _from_file(work: _Work) -> tuple[Model, str]:
    file = work.layout.graph
    assert file is not None  # noqa: S101 _make looked
    return read_graph(file), file.relative_to(work.layout.files.root).as_posix()


def _from_torch(work: _Work) -> tuple[Model, str]:
    module = work.original().module(work.layout.tasks.get(work.role))
    return trace(module, _padding(work)), f"torch {version('torch')}, transformers {version('transformers')}"


def _try(work: _Work, way: Callable[[_Work], tuple[Model, str]], draft: Path) -> About:
    """Convert in one way into ``draft``, and compare."""
    layout = work.layout
    transformer, pooling, _ = parts(layout, work.role)
    graph, source = way(work)
    try:
        openvino().save_model(pooling_graph(graph, pooling), draft / "encoder.xml", compress_to_fp16=False)
    except RuntimeError as error:
        raise StorageError(f"OpenVINO cannot write {draft / 'encoder.xml'}: {error}. Is the disk full?") from error
    settings = layout.files.json(transformer.folder, "tokenizer_config.json")
    about = About(source, _padding(work), settings.get("truncation_side") == "left", None, _FORMAT)
    tokenizer = layout.files.path(transformer.folder, "tokenizer.json")
    if not installed():
        if not tokenizer.is_file():
            raise Unfit("it has no tokenizer.json, and transformers, which could make one, is not installed")
        shutil.copyfile(tokenizer, draft / "tokenizer.json")
        return about
    original = work.original()
    module = original.module(layout.tasks.get(work.role))
    # As the library reads the files: it may give a tokenizer other settings than tokenizer.json has.
    (draft / "tokenizer.json").write_text(_tokenizer(module), encoding="utf-8")
    # Roles of one pipeline share its graph; those that read alike need only one comparison.
    alike = [role for role in _ROLES if layout.pipelines[role] == layout.pipelines[work.role]]
    prompted = {layout.prompts.get(role): role for role in alike}
    for role in alike:
        reader, limit = reader_of(module, role, parallel=False), transformer.max_tokens[role]
        if reader is None or reader.max_tokens != limit:
            raise Unfit(f"sentence-transformers lets it read {reader and reader.max_tokens} tokens, its files {limit}")
    wanted = {role: _reference(layout, role, original) for role in prompted.values()}
    cosine = {}
    for precision in PRECISIONS:
        compiled = Graph(draft, precision, None)
        runners = {role: CompiledRole(layout, role, draft, about, compiled, parallel=False) for role in wanted}
        found = np.concatenate([_cosines(runners[role], *pair) for role, pair in wanted.items()])
        cosine[precision] = (float(found.mean()), float(found.min()))
    return replace(about, cosine=cosine)


def _padding(work: _Work) -> int:
    folder = parts(work.layout, work.role)[0].folder
    padding = work.layout.files.json(folder, "config.json").get("pad_token_id")
    return padding if isinstance(padding, int) and padding >= 0 else 0


def _tokenizer(module: Any) -> str:
    fast = getattr(module.tokenizer, "backend_tokenizer", None)
    if fast is None:
        raise Unfit("its tokenizer is of a kind of its own")
    return str(fast.to_str())


def _reference(layout: Layout, role: Role, original: Original) -> tuple[list[str], Matrix]:
    prompt = layout.prompts.get(role, "")
    texts = [prompt + text for text in _PROBES]
    return texts, OriginalRole(original, role, prompt, layout.tasks.get(role), parallel=False).encode(texts, _silent)[0]


def _cosines(runner: CompiledRole, texts: list[str], wanted: Matrix) -> NDArray[np.float64]:
    array = runner.encode(texts, _silent)[0].astype(np.float64)
    if array.shape != wanted.shape:
        raise Unfit(f"its vectors have the shape {array.shape}; {wanted.shape} is expected")
    array[~np.isfinite(array).all(axis=1)] = 0  # which counts as a cosine of 0
    told = array.any(axis=1) | wanted.any(axis=1)  # of the others the model knows nothing, and both say so
    if not told.any():
        raise Unfit("it knows nothing in any of the texts that it is compared by")
    norms = np.linalg.norm(array, axis=1) * np.linalg.norm(wanted, axis=1)
    cosine: NDArray[np.float64] = np.einsum("ij,ij->i", array, wanted) / np.maximum(norms, 1e-30)
    return cosine[told]


def _read(folder: Path) -> About | None:
    """What lies in the cache; None if nothing does, or something that another samespace put there."""
    try:
        about = About(**json.loads((folder / "about.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    # What was never compared is, once it can be.
    return about if about.format == _FORMAT and not (about.cosine is None and installed()) else None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process converts a model, and the others wait for it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as stream:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX)  # let go when the file closes, also by a crash
        yield


def _silent(_items: int) -> None:
    """Report progress to nobody."""
