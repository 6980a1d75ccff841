"""The hidden states of a transformer, read from a folder with torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.batching import batches, padded
from samespace.encoders.pretrained.original import quiet
from samespace.errors import EncoderError, InvalidInput, MissingExtra

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from torch import Tensor, nn

__all__ = ["Batch", "Reading", "Transformer", "pool"]

_BUDGET = 2048  # tokens in a batch, padding included: more gain nothing on a processor
_SLICE = 64  # texts tokenised at once: the library's own record of a token is large
_PROBE = "The river left its bank."


@dataclass(frozen=True)
class Reading:
    """A text as the model reads it.

    Attributes:
        encoding: the tokenizer's record of all tokens.
        kept: which of them the model gets, int of shape (n,); a truncated text keeps its closing tokens.
    """

    encoding: Encoding
    kept: NDArray[np.intp]

    @property
    def ids(self) -> list[int]:
        """What the model gets."""
        ids: list[int] = np.array(self.encoding.ids, np.int64)[self.kept].tolist()
        return ids

    @property
    def total(self) -> int:
        """Tokens of the whole text."""
        return len(self.encoding.ids)

    @property
    def special(self) -> NDArray[np.bool_]:
        """True where a token was not made of the text, of the shape of :attr:`kept`."""
        return np.array(self.encoding.special_tokens_mask, bool)[self.kept]


@dataclass(frozen=True)
class Batch:
    """Some texts' hidden states.

    Attributes:
        rows: which texts, by their number.
        states: float32 of shape (layers that were asked for, texts, tokens, dimension).
        mask: True where there is a token, of shape (texts, tokens); what is not a token stands at the end.
    """

    rows: NDArray[np.intp]
    states: Tensor
    mask: Tensor


class _Reached(Exception):
    """The forward pass has what was asked for."""


class Transformer:
    """A transformer on torch in float32; of one with an encoder and a decoder, the encoder.

    The configuration is read at once, weights and tokenizer when they are first needed. Safe to use from
    several threads, which take turns.

    Args:
        folder: with ``config.json``, safetensors and a tokenizer.
        threads: that torch may use; None leaves torch's own setting.
        trust: run code that the folder holds.

    Raises:
        MissingExtra: torch or transformers is not installed.
        InvalidInput: the folder holds no model that transformers knows.
    """

    def __init__(self, folder: Path, *, threads: int | None = None, trust: bool = False) -> None:
        if find_spec("torch") is None or find_spec("transformers") is None:
            raise MissingExtra("A hidden layer of a model", "hf")
        from transformers import AutoConfig

        self._options = {"local_files_only": True, "trust_remote_code": trust}
        self.folder, self._threads, self._lock = folder, threads, Lock()
        with self._understood("configuration"):
            self.config: Any = AutoConfig.from_pretrained(folder, **self._options)
        text = self.config.get_text_config(encoder=True) if self.config.is_encoder_decoder else self.config
        layers, dimension = (getattr(text, field, None) for field in ("num_hidden_layers", "hidden_size"))
        if type(layers) is not int or type(dimension) is not int:
            raise InvalidInput(
                f"{folder} holds a model of type {self.config.model_type!r}, whose configuration does not say how "
                "many hidden layers of what size it has. Only transformers that read text can be used here."
            )
        self.layers, self.dimension = layers, dimension

    def read(self, texts: Sequence[str], limit: int | None) -> list[Reading]:
        """Tokenise.

        Args:
            texts: any number.
            limit: tokens that the model gets at most, special ones included.
        """
        readings: list[Reading] = []
        for start in range(0, len(texts), _SLICE):
            part = list(texts[start : start + _SLICE])
            if self._threads != 1 and len(part) > 1:
                encodings = self._tokenizer.encode_batch(part)
            else:
                encodings = [self._tokenizer.encode(text) for text in part]
            readings.extend(Reading(encoding, _kept(encoding, limit)) for encoding in encodings)
        return readings

    def batches(self, readings: Sequence[Reading], layers: Sequence[int]) -> Iterator[Batch]:
        """Compute hidden states, texts of similar length together, the longest first.

        Args:
            readings: of :meth:`read`.
            layers: by number, 0 being the embeddings and ``self.layers`` the model's output.
        """
        lengths = np.array([len(reading.kept) for reading in readings], np.int32)
        for rows in batches(lengths, _BUDGET):
            inputs = self._inputs([readings[row] for row in rows])
            with self._lock, self._few_threads():
                states = self._states(inputs, layers)
            yield Batch(rows, states, inputs["attention_mask"].bool())

    def _inputs(self, readings: Sequence[Reading]) -> dict[str, Tensor]:
        import torch

        arrays = padded([reading.ids for reading in readings], self._padding)
        if self._has_types:
            types = [np.array(reading.encoding.type_ids)[reading.kept].tolist() for reading in readings]
            arrays["token_type_ids"] = padded(types)["input_ids"]
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _states(self, inputs: dict[str, Tensor], layers: Sequence[int]) -> Tensor:
        import torch

        with torch.inference_mode():
            stack = self._stack if max(layers) < self.layers else None
            found = self._whole(inputs) if stack is None else self._beginning(stack, inputs, layers)
        for number in layers:
            if (size := found[number].shape[-1]) != self.dimension:
                raise EncoderError(
                    f"Layer {number} of the model in {self.folder} has vectors of {size} numbers; its configuration "
                    f"says {self.dimension}. Take a layer that has as many."
                )
        return torch.stack([found[number] for number in layers])

    def _whole(self, inputs: dict[str, Tensor]) -> dict[int, Tensor]:
        states = self._network(**inputs, output_hidden_states=True, return_dict=True).hidden_states
        if states is None or len(states) != self.layers + 1:
            raise EncoderError(
                f"The model in {self.folder} gave {0 if states is None else len(states)} hidden states; "
                f"{self.layers + 1} were expected of {self.layers} layers. Its layers cannot be told apart."
            )
        return dict(enumerate(states))

    def _beginning(self, stack: nn.ModuleList, inputs: dict[str, Tensor], layers: Sequence[int]) -> dict[int, Tensor]:
        """Run the model up to the highest layer that is asked for: state n is what goes into layer n."""
        found: dict[int, Tensor] = {}

        def keep(number: int) -> Any:
            def hook(_layer: Any, args: Any, named: Any) -> None:
                found[number] = args[0] if args else named["hidden_states"]
                if number == max(layers):
                    raise _Reached

            return hook

        handles = [stack[n].register_forward_pre_hook(keep(n), with_kwargs=True) for n in set(layers)]
        try:
            with contextlib.suppress(_Reached):
                self._network(**inputs)
        finally:
            for handle in handles:
                handle.remove()
        return found

    @cached_property
    def _stack(self) -> nn.ModuleList | None:
        """The list of layers, if stopping in it was seen to give the states that the whole pass gives."""
        import torch

        lists = [each for each in self._network.modules() if isinstance(each, torch.nn.ModuleList)]
        for stack in (each for each in lists if len(each) == self.layers):
            probe = self._inputs(self.read([_PROBE], None))
            whole = self._whole(probe)
            early = self._beginning(stack, probe, range(self.layers))
            if len(early) == self.layers and all(torch.equal(early[n], whole[n]) for n in early):
                return stack
        return None

    @cached_property
    def _network(self) -> Any:
        import torch
        from transformers import AutoModel

        self.config.use_cache = False  # of keys and values, for writing text
        options: dict[str, Any] = {
            "config": self.config,
            "use_safetensors": True,
            "dtype": torch.float32,  # some are kept in bfloat16, whose rounding would differ with the batch
            "ignore_mismatched_sizes": True,  # told below, in a sentence
            "output_loading_info": True,
        }
        with self._understood("weights"), quiet():
            model, notes = AutoModel.from_pretrained(self.folder, **self._options, **options)
        network = model.get_encoder() if self.config.is_encoder_decoder else model
        used = {id(parameter) for parameter in network.parameters()}
        names = {name for name, parameter in model.named_parameters() if id(parameter) in used}
        wrong = {name: f"its shape is {list(found)}, not {list(due)}" for name, found, due in notes["mismatched_keys"]}
        wrong |= dict.fromkeys(notes["missing_keys"], "it is not there")
        # A pooler comes after the last hidden state, and most checkpoints lack it.
        if lacking := sorted(name for name in names & set(wrong) if "pooler" not in name):
            raise EncoderError(
                f"The weights in {self.folder} lack {len(lacking)} of the {len(names)} tensors of the model that its "
                f"configuration describes, such as {lacking[0]!r}: {wrong[lacking[0]]}. They would be random; get the "
                "whole checkpoint."
            )
        return network.eval()

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from transformers import AutoTokenizer

        with self._understood("tokenizer"), quiet():
            tokenizer: Any = AutoTokenizer.from_pretrained(self.folder, **self._options)
        # Where its files are not there, the library makes an empty one, which knows no word.
        files = sorted({"tokenizer.json", *tokenizer.vocab_files_names.values()})
        if not any((self.folder / file).is_file() for file in files):
            raise InvalidInput(f"{self.folder} has no tokenizer: expected one of {', '.join(files)} in it.")
        fast = getattr(tokenizer, "backend_tokenizer", None)
        if fast is None:
            raise InvalidInput(
                f"{self.folder} has a tokenizer, {type(tokenizer).__name__}, that cannot say where in a text its "
                "tokens are. A model with a tokenizer.json is needed."
            )
        fast.no_padding()
        fast.no_truncation()
        self._padding = tokenizer.pad_token_id or 0
        self._has_types = "token_type_ids" in tokenizer.model_input_names
        return cast("Tokenizer", fast)

    @contextlib.contextmanager
    def _understood(self, what: str) -> Iterator[None]:
        """Turn what the library raises about a folder into an error that names it."""
        try:
            yield
        except Exception as error:
            # Whatever this library and those below it raise about files that they cannot use.
            first = next(iter(str(error).splitlines()), "")[:200]
            raise InvalidInput(
                f"The {what} in {self.folder} cannot be read as those of a transformer: {type(error).__name__}: {first}"
            ) from error

    @contextlib.contextmanager
    def _few_threads(self) -> Iterator[None]:
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(self._threads or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def pool(states: Tensor, mask: Tensor, how: str) -> Tensor:
    """Make one vector of a text's token vectors, as sentence-transformers' ``Pooling`` does.

    Args:
        states: float32 of shape (texts, tokens, dimension).
        mask: True where there is a token, of shape (texts, tokens); those come first.
        how: ``"mean"``, ``"cls"``, ``"max"``, ``"lasttoken"`` or ``"weightedmean"``.

    Returns:
        float32 of shape (texts, dimension).
    """
    import torch

    if how == "cls":
        return states[:, 0]
    if how == "lasttoken":
        return states[torch.arange(len(states)), mask.sum(1) - 1]
    if how == "max":
        return states.masked_fill(~mask[:, :, None], -torch.inf).amax(1)
    weights = mask * torch.arange(1, mask.shape[1] + 1) if how == "weightedmean" else mask
    return torch.einsum("btd,bt->bd", states, weights / weights.sum(1, keepdim=True))


def _kept(encoding: Encoding, limit: int | None) -> NDArray[np.intp]:
    """Which tokens the model gets: from the beginning, and the special ones that close the text."""
    total = len(encoding.ids)
    if limit is None or total <= limit:
        return np.arange(total)
    special = encoding.special_tokens_mask
    closing = next((n for n in range(total) if not special[total - 1 - n]), 0)
    begin = max(limit - closing, 0)
    return np.concatenate([np.arange(begin), np.arange(total - limit + begin, total)])
