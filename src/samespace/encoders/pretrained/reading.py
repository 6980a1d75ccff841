"""Texts as token ids, by a tokenizer of the tokenizers library, without transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Reader"]

_SLICE = 64  # texts tokenised at once: the library's own record of a token is large


class Reader:
    """Splits texts into the ids that a model reads. Safe to use from several threads.

    Args:
        tokenizer: content of a ``tokenizer.json``.
        max_tokens: that the model reads, special tokens included; None for any number.
        special: put special tokens around a text.
        parallel: use all cores.
        left: a text that is too long loses its beginning, and not its end.

    Attributes:
        lead, tail: special tokens before and after every text.
    """

    def __init__(
        self,
        tokenizer: str,
        max_tokens: int | None,
        *,
        special: bool = True,
        parallel: bool = True,
        left: bool = False,
    ) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._parallel, self._special, self._left = parallel, special, left
        self.max_tokens = max_tokens
        mask = self._tokenizer.encode("a", add_special_tokens=special).special_tokens_mask
        self.lead = next((place for place, marked in enumerate(mask) if not marked), len(mask))
        self.tail = next((place for place, marked in enumerate(reversed(mask)) if not marked), 0)

    def __call__(self, texts: Sequence[str]) -> tuple[list[list[int]], NDArray[np.int32]]:
        """Tokenise.

        Returns:
            The ids of each text, at most ``max_tokens`` of them, special tokens kept; and int32 of shape
            ``(len(texts),)``: how many there would have been.
        """
        ids: list[list[int]] = []
        total = np.empty(len(texts), np.int32)
        for start in range(0, len(texts), _SLICE):
            part = list(texts[start : start + _SLICE])
            for row, encoding in enumerate(self._encodings(part), start):
                total[row] = len(encoding.ids)
                ids.append(self._cut(encoding.ids))
        return ids, total

    def prompt_length(self, prompt: str) -> int:
        """Tokens of a prompt as sentence-transformers counts them: with those that lead, without those that close."""
        encoding = self._tokenizer.encode(prompt, add_special_tokens=self._special)
        closing = bool(encoding.special_tokens_mask and encoding.special_tokens_mask[-1])
        return len(self._cut(encoding.ids)) - closing

    def empty(self, prompt: str) -> set[tuple[int, ...]]:
        """The ids of texts that hold nothing, behind a prompt."""
        return {tuple(self([text])[0][0]) for text in (prompt, prompt.rstrip(), f"{prompt} ")}

    def doubles(self, prompt: str) -> bool:
        """The tokenizer puts this prompt in front of a text itself, so that it would stand there twice."""
        words = prompt.strip()
        if not words:
            return False
        with_prompt, alone = (
            self._tokenizer.decode(self._tokenizer.encode(text).ids, skip_special_tokens=False)
            for text in (f"{prompt}a", "a")
        )
        # Tokenizers change spaces and case; letters stay in order.
        compact = [_compact(text) for text in (words, with_prompt, alone)]
        return bool(compact[0]) and compact[0] in compact[2] and compact[1].count(compact[0]) > 1

    def _cut(self, ids: list[int]) -> list[int]:
        limit = self.max_tokens
        if limit is None or len(ids) <= limit:
            return ids
        if self._left:
            return [*ids[: self.lead], *ids[len(ids) - max(limit - self.lead, 0) :]]
        return [*ids[: max(limit - self.tail, 0)], *ids[len(ids) - self.tail :]]

    def _encodings(self, texts: list[str]) -> Sequence[Any]:
        if self._parallel and len(texts) > 1:
            found: Sequence[Any] = self._tokenizer.encode_batch_fast(texts, add_special_tokens=self._special)
            return found
        return [self._tokenizer.encode(text, add_special_tokens=self._special) for text in texts]


def _compact(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
