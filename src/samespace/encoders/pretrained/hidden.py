"""Any hidden layer of any transformer: one vector for a text, or one for each of its tokens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.base import Encoder, Progress, _items
from samespace.encoders.names import Name
from samespace.encoders.pretrained.states import Reading, Transformer, pool
from samespace.encoders.pretrained.tokens import TokenVectors
from samespace.errors import InvalidInput
from samespace.space import Role, Space
from samespace.vectors import Matrix, Receipts, Vectors, unit

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["OPTIONS", "POOLINGS", "HiddenLayerEncoder", "Layers", "open_hidden"]

OPTIONS = ("layer", "combine", "pooling")
"""Of an encoder's name: those that ask for a hidden layer."""

POOLINGS = {"mean": "mean", "cls": "cls", "max": "max", "last": "lasttoken", "weighted": "weightedmean"}
"""How a user calls each pooling, and how sentence-transformers and :attr:`Space.pooling` do."""

_COMBINE = ("mean", "join")
_MOST_HELD = 1 << 30  # bytes of a table of layers in float32; a larger one is held in float16

# Their table of positions begins with rows for padding, which no token can have (as transformers has them).
_PADDED_POSITIONS = frozenset(
    (
        *("camembert", "data2vec-text", "ibert", "layoutlmv3", "longformer", "luke", "markuplm", "mpnet", "roberta"),
        *("roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"),
    )
)


@dataclass(frozen=True)
class Layers:
    """Hidden layers by their absolute numbers: 0 is the output of the embeddings, n that of layer n.

    Attributes:
        numbers: ascending, each once.
        combine: what is made of several: their ``"mean"``, or all of them one behind the other (``"join"``).
    """

    numbers: tuple[int, ...]
    combine: str = "mean"

    @classmethod
    def parse(cls, text: str, combine: str, count: int) -> Layers:
        """Read ``"-2"`` or ``"-4,-3,-2,-1"``.

        Args:
            text: numbers with commas between; a negative one counts from the end, -1 being the last layer.
            combine: ``"mean"`` or ``"join"``.
            count: hidden layers that the model has.

        Raises:
            InvalidInput: not a number, out of range, or one layer twice.
        """
        if combine not in _COMBINE:
            raise InvalidInput(f"combine= must be one of {', '.join(_COMBINE)}; got {combine!r}.")
        try:
            given = [int(number) for number in text.split(",")]
        except ValueError:
            raise InvalidInput(f"layer= must be a number, or several with commas between; got {text!r}.") from None
        if wrong := [number for number in given if not -count - 1 <= number <= count]:
            raise InvalidInput(
                f"layer={wrong[0]} is out of range: the model has {count} hidden layers, so layer= goes from 0 (the "
                f"embeddings) to {count}, or from the end, -1 to {-count - 1}."
            )
        numbers = sorted(number % (count + 1) for number in given)
        if twice := {number for number in numbers if numbers.count(number) > 1}:
            raise InvalidInput(f"layer={text} names layer {min(twice)} twice.")
        return cls(tuple(numbers), combine)

    @property
    def label(self) -> int | str:
        """As :attr:`Space.layer` has it: ``11``, ``"mean(11,12)"``, ``"join(9,12)"``."""
        if len(self.numbers) == 1:
            return self.numbers[0]
        return f"{self.combine}({','.join(map(str, self.numbers))})"

    def of(self, states: Tensor) -> Tensor:
        """Combine states: (layers, texts, tokens, dimension) → (texts, tokens, dimension, or its multiple)."""
        if self.combine == "mean":
            return states.mean(0)
        return states.movedim(0, 2).flatten(2)


def open_hidden(
    name: Name,
    folder: Path,
    *,
    model: str,
    digest: str,
    prompts: Mapping[Role, str] | None = None,
    max_tokens: int | None = None,
    threads: int | None = None,
    trust: bool = False,
) -> HiddenLayerEncoder:
    """Open a folder as its name's options ``layer``, ``combine`` and ``pooling`` say.

    Args:
        name: of the encoder; options that are not of a hidden layer are somebody else's to check.
        folder: with the transformer, known to be safe to open.
        model: its name in the space.
        digest: of weights and tokenizer.
        prompts: by role, where the model declares them.
        max_tokens: where the model declares less than it can read.
        threads: to use; None for all cores.
        trust: run code that the folder holds.

    Raises:
        InvalidInput: an option is wrong, or the folder holds no transformer.
    """
    if "combine" in name.options and "layer" not in name.options:
        raise InvalidInput(f"{str(name)!r} says how to combine layers, and not which. Add layer=, such as layer=-2,-1.")
    return HiddenLayerEncoder(
        folder,
        name=str(name),
        model=model,
        digest=digest,
        layer=name.options.get("layer"),
        combine=name.options.get("combine", "mean"),
        pooling=name.options.get("pooling", "mean"),
        prompts=prompts,
        max_tokens=max_tokens,
        threads=threads,
        trust=trust,
    )


class HiddenLayerEncoder(Encoder):
    """Takes vectors from chosen hidden layers of a transformer, in float32 on torch.

    Args:
        folder: with ``config.json``, safetensors and a tokenizer.
        name: of the encoder.
        model: its name in the space.
        digest: of weights and tokenizer.
        layer: as :meth:`Layers.parse` reads it; None for the model's own output, which is no hidden layer: its
            space names none, and no version of a library.
        combine: of several layers, ``"mean"`` or ``"join"``.
        pooling: a key of :data:`POOLINGS`, or its value. Special tokens count, as in sentence-transformers.
        prompts: by role.
        max_tokens: to read of a text at most; None for what the model can read.
        threads: to use; None for all cores.
        trust: run code that the folder holds.

    Raises:
        InvalidInput: a layer or a pooling that there is not, or no transformer in the folder.
    """

    max_tokens: int | None

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        model: str,
        digest: str | None = None,
        layer: str | None = None,
        combine: str = "mean",
        pooling: str = "mean",
        prompts: Mapping[Role, str] | None = None,
        max_tokens: int | None = None,
        threads: int | None = None,
        trust: bool = False,
    ) -> None:
        self._pooling = _pooling(pooling)
        self._transformer = Transformer(folder, threads=threads, trust=trust)
        self.layers = Layers.parse("-1" if layer is None else layer, combine, self._transformer.layers)
        joined = len(self.layers.numbers) if combine == "join" else 1
        self.name, self.setup = name, f"torch {version('torch')}, float32"
        self.space = Space(
            model,
            self._transformer.dimension * joined,
            digest=digest,
            layer=None if layer is None else self.layers.label,
            pooling=self._pooling,
            prompts=prompts or {},
            library=None if layer is None else f"transformers {version('transformers')}",
        )
        self.max_tokens = _least(max_tokens, *_limits(folder, self._transformer.config))

    @property
    def depth(self) -> int:
        """Hidden layers that the model has, the embeddings not counted."""
        return self._transformer.layers

    def _encode(self, texts: Sequence[str], role: Role, progress: Progress) -> tuple[Matrix, Receipts]:
        readings = self._transformer.read(texts, self.max_tokens)
        array = np.zeros((len(texts), self.space.dimension), np.float32)
        nothing = self._nothing(role)
        known = np.flatnonzero([reading.ids not in nothing for reading in readings])
        progress(len(texts) - len(known))
        for batch in self._transformer.batches([readings[row] for row in known], self.layers.numbers):
            array[known[batch.rows]] = pool(self.layers.of(batch.states), batch.mask, self._pooling).numpy()
            progress(len(batch.rows))
        return array, _receipts(readings)

    def _nothing(self, role: Role) -> list[list[int]]:
        """What the model reads of a text that holds nothing, behind its prompt."""
        prompt = self.space.prompts.get(role, "")
        read = self._transformer.read([prompt, prompt.rstrip(), f"{prompt} "], self.max_tokens)
        return [reading.ids for reading in read]

    def _count(self, texts: Sequence[str]) -> NDArray[np.int32]:
        return _receipts(self._transformer.read(texts, self.max_tokens)).total

    def encode_tokens(self, texts: Iterable[str], role: Role = "document") -> list[TokenVectors]:
        """Encode the tokens of texts, each in its context: the two "bank"s of two sentences differ.

        Returns:
            One for each text, in order. Their space is that of :attr:`space` with the pooling ``"token"``.

        Raises:
            InvalidInput: an item is not a text, or holds nothing that the model knows.
        """
        if not self._proven:
            self.prove()
        given, texts, readings = self._read(texts, role)
        space = replace(self.space, pooling="token")
        found: dict[int, TokenVectors] = {}
        for batch in self._transformer.batches(readings, self.layers.numbers):
            states = self.layers.of(batch.states).numpy()
            for place, row in enumerate(batch.rows):
                prompt = len(texts[row]) - len(given[row])
                found[row] = _token_vectors(given[row], prompt, readings[row], states[place], space, role)
        return [found[row] for row in range(len(texts))]

    def encode_layers(
        self,
        texts: Iterable[str],
        poolings: Sequence[str] = tuple(POOLINGS),
        *,
        role: Role = "document",
        progress: Progress | None = None,
    ) -> dict[str, NDArray[np.floating[Any]]]:
        """Encode texts with every layer and several poolings, in one pass over them.

        Args:
            texts: any number; all of their vectors are held.
            poolings: keys of :data:`POOLINGS`.
            role: in which texts are encoded.
            progress: called with the number of texts just finished.

        Returns:
            By pooling, the vectors of unit length, of shape (layers + 1, texts, dimension); float32, or float16
            where that would be more than a gibibyte.
        """
        names = [_pooling(each) for each in poolings]
        _, texts, readings = self._read(texts, role)
        shape = (self.depth + 1, len(texts), self._transformer.dimension)
        kind = np.float32 if 4 * len(names) * np.prod(shape, dtype=np.int64) <= _MOST_HELD else np.float16
        table = {each: np.zeros(shape, kind) for each in poolings}
        for batch in self._transformer.batches(readings, range(self.depth + 1)):
            for each, name in zip(poolings, names, strict=True):
                for layer, states in enumerate(batch.states):
                    table[each][layer, batch.rows] = unit(pool(states, batch.mask, name).numpy())
            if progress is not None:
                progress(len(batch.rows))
        return table

    def _read(self, items: Iterable[str], role: Role) -> tuple[list[str], list[str], list[Reading]]:
        """The texts as they came, with their prompts, and as the model reads them."""
        given = list(_items(items))
        texts = [self._prompted(role, text, row) for row, text in enumerate(given)]
        if blank := [row for row, text in enumerate(given) if not text.strip()]:
            raise InvalidInput(f"Item {blank[0]} is blank, so there is nothing to encode. Leave it out.")
        readings, nothing = self._transformer.read(texts, self.max_tokens), self._nothing(role)
        if unknown := [row for row, reading in enumerate(readings) if reading.ids in nothing]:
            text = given[unknown[0]][:40]
            raise InvalidInput(
                f"Item {unknown[0]} holds nothing that the encoder {self.name!r} knows: {text!r}. Leave it out."
            )
        return given, texts, readings


def _token_vectors(text: str, prompt: int, reading: Reading, states: Matrix, space: Space, role: Role) -> TokenVectors:
    """Leave out what is not of the text: special tokens, and those of the prompt's ``prompt`` characters."""
    encoding, kept = reading.encoding, reading.kept
    offsets = np.array(encoding.offsets, np.int32).reshape(-1, 2)[kept]
    own = np.flatnonzero(~reading.special & ((offsets[:, 1] > prompt) | (prompt == 0)))
    if not len(own):
        raise InvalidInput(f"The model read nothing of {text[:40]!r} but its prompt. Shorten the prompt.")
    return TokenVectors(
        text,
        [encoding.tokens[kept[place]] for place in own],
        np.maximum(offsets[own] - prompt, 0),
        np.array([-1 if word is None else word for word in encoding.word_ids], np.int32)[kept][own],
        Vectors(states[own], space, role),
        len(kept) < reading.total,
    )


def _pooling(name: str) -> str:
    if name in POOLINGS.values():
        return name
    if name not in POOLINGS:
        raise InvalidInput(f"pooling= must be one of {', '.join(POOLINGS)}; got {name!r}.")
    return POOLINGS[name]


def _receipts(readings: Sequence[Reading]) -> Receipts:
    seen, total = ([len(each.kept) for each in readings], [each.total for each in readings])
    return Receipts(np.array(seen, np.int32), np.array(total, np.int32))


def _limits(folder: Path, config: Any) -> tuple[int | None, int | None]:
    """Tokens that the tokenizer and the table of positions allow."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    if positions and config.model_type in _PADDED_POSITIONS:
        positions -= (config.pad_token_id or 0) + 1
    try:
        said = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("model_max_length")
    except (OSError, ValueError, AttributeError):
        said = None
    # A tokenizer that knows no limit says 10**30.
    return positions, int(said) if isinstance(said, int | float) and said < 1 << 30 else None


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None and limit > 0), default=None)
