"""A sentence-transformers model as an encoder, on the fastest runtime that gives its own vectors."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.base import Encoder, Progress
from samespace.encoders.pretrained.compiled import Graph
from samespace.encoders.pretrained.convert import Unfit
from samespace.encoders.pretrained.layout import Layout
from samespace.encoders.pretrained.modules import Transformer
from samespace.encoders.pretrained.original import Original, OriginalRole, installed
from samespace.encoders.pretrained.table import TableRole, is_table
from samespace.errors import InvalidInput, MissingExtra
from samespace.space import Role, Space
from samespace.vectors import Matrix, Receipts

if TYPE_CHECKING:
    from samespace.encoders.pretrained.hidden import HiddenLayerEncoder
    from samespace.encoders.pretrained.tokens import TokenVectors

__all__ = ["Pretrained", "Runner"]

_log = logging.getLogger(__name__)


class Runner(Protocol):
    """What encodes the texts of one role."""

    label: str

    def encode(self, texts: Sequence[str], progress: Progress) -> tuple[Matrix, Receipts]:
        """Encode texts that carry their prompt; what holds nothing becomes a row of zeros."""

    def count(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Tokens of texts that carry their prompt."""

    def doubled(self) -> bool:
        """The tokenizer puts the prompt in front of a text itself."""


class Pretrained(Encoder):
    """Encodes texts with a model in a folder.

    Args:
        name: of the encoder.
        model: name of the model, as its Space has it.
        layout: what its files say.
        runtime: ``"openvino"``, or ``"torch"`` for sentence-transformers itself.
        precision: ``"float32"``, ``"bfloat16"``, ``"int8"``; None for the fastest that gives the same vectors
            for all purposes.
        threads: that it may use; None for all cores.
        trusted: code in the folder may run.

    Attributes:
        reason: why another runtime runs than was asked for; None if none does.
    """

    def __init__(
        self,
        name: str,
        model: str,
        layout: Layout,
        *,
        runtime: str = "openvino",
        precision: str | None = None,
        threads: int | None = None,
        trusted: bool = False,
    ) -> None:
        self.name = name
        self.reason: str | None = None
        self._model, self._layout = model, layout
        self._wanted, self._precision, self._threads, self._trusted = runtime, precision, threads, trusted
        self._lock = RLock()
        self._runners: dict[Role, Runner] = {}
        self._loaded: Original | None = None
        self._graphs: dict[tuple[Path, str], Graph] = {}
        dimension = layout.dimension or self._original().model.get_embedding_dimension()
        if dimension is None:
            raise InvalidInput(f"Nobody knows how long the vectors of the model {model!r} are; its files do not say.")
        self.space = Space(
            model,
            dimension,
            layout.metric,
            digest=layout.digest,
            pooling=layout.pooling,
            prompts=layout.prompts,
            normalized=layout.normalized,
            tasks=layout.tasks,
        )
        limits = [m.max_tokens["document"] for m in layout.pipelines["document"] if isinstance(m, Transformer)]
        self.max_tokens = limits[0] if limits else None
        self.cached = not all(is_table(layout, role) for role in ("document", "query"))

    @property
    def runtime(self) -> str:
        """What runs: runtime, version and precision. Loads the model."""
        labels = [self._runner(role).label for role in ("document", "query")]
        return " and ".join(dict.fromkeys(labels))

    @property
    def setup(self) -> str:  # type: ignore[override]
        """As :attr:`runtime`; only the loaded model knows it."""
        return self.runtime

    def doubled_prompt(self) -> Role | None:
        """The role whose prompt the tokenizer puts in front of a text once more; None if it does so for none."""
        for role in self.space.prompts:
            if self._runner(role).doubled():
                return role
        return None

    def encode_tokens(self, texts: Iterable[str], role: Role = "document") -> list[TokenVectors]:
        """Encode the tokens of texts, each in its context, with the transformer's last layer, on torch.

        Returns:
            One for each text, in order. Their space has the pooling ``"token"``.

        Raises:
            InvalidInput: an item is not a text, or the model is no transformer.
            MissingExtra: torch and transformers are not installed.
        """
        return self._tokens.encode_tokens(texts, role)

    @cached_property
    def _tokens(self) -> HiddenLayerEncoder:
        first = self._layout.pipelines["document"][0]
        if not isinstance(first, Transformer):
            raise InvalidInput(f"The model {self._model!r} is no transformer; its tokens are alike in any context.")
        if not installed():
            raise MissingExtra("Encoding single tokens", "hf")
        from samespace.encoders.pretrained.hidden import HiddenLayerEncoder

        return HiddenLayerEncoder(
            self._layout.files.path(first.folder),
            name=self.name,
            model=self._model,
            digest=self._layout.digest,
            prompts=self._layout.prompts,
            max_tokens=first.max_tokens["document"],
            threads=self._threads,
            trust=self._trusted,
        )

    def _encode(self, texts: Sequence[str], role: Role, progress: Progress) -> tuple[Matrix, Receipts]:
        return self._runner(role).encode(texts, progress)

    def _count(self, texts: Sequence[str]) -> NDArray[np.int32]:
        return self._runner("document").count(texts)

    def _runner(self, role: Role) -> Runner:
        with self._lock:
            if role not in self._runners:
                runner = self._make(role)
                if runner.doubled():
                    raise InvalidInput(
                        f"The tokenizer of the model {self._model!r} puts {self._layout.prompts[role]!r} in front of a "
                        f"{role} itself, and so do the prompts in its configuration; it would stand there twice. Take "
                        "it out of config_sentence_transformers.json."
                    )
                self._runners[role] = runner
            return self._runners[role]

    def _make(self, role: Role) -> Runner:
        parallel = self._threads != 1
        if self._wanted == "openvino":
            if is_table(self._layout, role):
                return TableRole(self._layout, role, parallel=parallel)
            from samespace.encoders.pretrained.kept import open_compiled

            try:
                return open_compiled(
                    self._layout,
                    role,
                    precision=self._precision,
                    threads=self._threads,
                    original=self._original,
                    graphs=self._graphs,
                )
            except Unfit as error:
                self._explain(error)
        prompt, task = self._layout.prompts.get(role, ""), self._layout.tasks.get(role)
        return OriginalRole(self._original(), role, prompt, task, parallel=parallel)

    def _explain(self, error: Unfit) -> None:
        """Say once why the model goes another way.

        Raises:
            MissingExtra: that way needs libraries that are not installed.
        """
        reason = f"The model {self._model!r} does not run on OpenVINO, since {error}."
        if not installed():
            raise MissingExtra(f"{reason} On torch it", "hf") from error
        if reason != self.reason:
            _log.warning("%s It runs on torch, which is slower.", reason)
        self.reason = reason

    def _original(self) -> Original:
        with self._lock:
            if self._loaded is None:
                self._loaded = Original(
                    self._layout.files,
                    self._model,
                    truncation=self._layout.truncation,
                    trusted=self._trusted,
                    threads=self._threads,
                    precision="bfloat16" if (self._wanted, self._precision) == ("torch", "bfloat16") else "float32",
                )
            return self._loaded
