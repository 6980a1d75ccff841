"""Masked language modelling: which tokens are hidden, and how well they are guessed (Devlin et al. 2019)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samespace.training.corpus import Blocks, pack

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Masking"]

_MASKED, _AS_MASK, _AS_OTHER = 0.15, 0.8, 0.1


@dataclass(frozen=True, eq=False)
class Masking:
    """Masking and guessing, for one tokenizer.

    Attributes:
        tokenizer: of the library ``tokenizers``; truncates and pads nothing.
        begin: the token that begins a block.
        end: the token that ends one.
        mask: the token that hides another.
        special: which tokens are never hidden, bools by number.
        inside: which tokens go on with the word of the token before, bools by number; none where words are not
            masked whole.
    """

    tokenizer: Any
    begin: int
    end: int
    mask: int
    special: NDArray[np.bool_]
    inside: NDArray[np.bool_]

    @classmethod
    def of(cls, tokenizer: Any, whole_words: bool) -> Masking:
        from tokenizers import Tokenizer

        plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        plain.no_truncation()
        plain.no_padding()
        special, inside = np.zeros((2, len(tokenizer)), bool)
        special[tokenizer.all_special_ids] = True
        for word, number in tokenizer.get_vocab().items():
            inside[number] = whole_words and word.startswith("##")
        return cls(plain, tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id, special, inside)

    def blocks(self, texts: Sequence[str], width: int) -> Blocks:
        return pack(self.tokenizer, texts, width, self.begin, self.end)

    def masked(self, blocks: Blocks, generator: np.random.Generator) -> tuple[Blocks, NDArray[np.bool_], Blocks]:
        """Hide tokens.

        Returns:
            The blocks as the model sees them; where it must guess, bools of their shape; the blocks as they are.
        """
        # One draw for each word, which is that of its first token.
        words = np.cumsum(~self.inside[blocks], axis=1) - 1
        draws = np.take_along_axis(generator.random(blocks.shape), np.maximum(words, 0), axis=1)
        chosen = (draws < _MASKED) & ~self.special[blocks]
        if not chosen.any():  # a tiny batch; the loss of no token is not a number
            chosen[0, np.flatnonzero(~self.special[blocks[0]])[:1]] = True
        how = generator.random(blocks.shape)
        others = generator.integers(len(self.special), size=blocks.shape, dtype=np.int32)
        shown = np.where(chosen & (how < _AS_MASK), np.int32(self.mask), blocks)
        shown = np.where(chosen & (how >= _AS_MASK) & (how < _AS_MASK + _AS_OTHER), others, shown)
        return shown, chosen, blocks

    def loss(self, model: Any, shown: Blocks, chosen: NDArray[np.bool_], blocks: Blocks) -> tuple[Tensor, Tensor]:
        """The mean cross-entropy of the hidden tokens, and which of them were guessed."""
        import torch

        ids = torch.from_numpy(shown.astype(np.int64)).to(model.device)
        where = torch.from_numpy(chosen).to(model.device)
        wanted = torch.from_numpy(blocks[chosen].astype(np.int64)).to(model.device)
        head = getattr(model, "cls", None) or getattr(model, "lm_head", None)
        if head is None:
            logits = model(input_ids=ids).logits[where]
        else:  # the head is a large part of a small model, and most tokens need no guess
            logits = head(model.base_model(input_ids=ids).last_hidden_state[where])
        return torch.nn.functional.cross_entropy(logits, wanted), logits.argmax(-1) == wanted

    def measure(self, model: Any, blocks: Blocks, batch: int, seed: int) -> dict[str, float]:
        """Loss, perplexity and accuracy on blocks; what is hidden follows from ``seed`` alone."""
        import torch

        if not len(blocks):
            return {}
        generator = np.random.default_rng((seed, 2))
        losses, hits, total = 0.0, 0, 0
        model.eval()
        with torch.inference_mode():
            for start in range(0, len(blocks), batch):
                loss, right = self.loss(model, *self.masked(blocks[start : start + batch], generator))
                losses += loss.item() * len(right)
                hits += int(right.sum())
                total += len(right)
        mean = losses / total
        return {"masked loss": mean, "perplexity": math.exp(min(mean, 700.0)), "masked accuracy": hits / total}
