"""BERT's tokenizer for English in lower case, from nothing but its vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["WordPiece"]

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SLICE = 64  # texts tokenised at once: the library's own record of a token is large


class WordPiece:
    """Splits texts into token ids, ``[CLS] … [SEP]`` around them. Safe to use from several threads.

    Args:
        vocabulary: one token a line, in the order of ids, as UTF-8.
        parallel: use all cores.
    """

    def __init__(self, vocabulary: bytes, *, parallel: bool = True) -> None:
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

        ids = {token: number for number, token in enumerate(vocabulary.decode().splitlines())}
        self._tokenizer = Tokenizer(
            models.WordPiece(
                ids,
                unk_token="[UNK]",  # noqa: S106 (no password)
                continuing_subword_prefix="##",
                max_input_chars_per_word=100,
            )
        )
        self._tokenizer.normalizer = normalizers.BertNormalizer(
            clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True
        )
        self._tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        self._tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
        self._tokenizer.add_special_tokens(list(_SPECIAL))
        self._parallel = parallel

    def __call__(self, texts: Sequence[str], max_tokens: int) -> tuple[list[list[int]], NDArray[np.int32]]:
        """Tokenise.

        Returns:
            The ids of each text, at most ``max_tokens`` of them, and int32 of shape ``(len(texts),)``: how
            many there would have been. A truncated text keeps its closing ``[SEP]``.
        """
        ids: list[list[int]] = []
        total = np.empty(len(texts), np.int32)
        for start in range(0, len(texts), _SLICE):
            part = list(texts[start : start + _SLICE])
            for row, encoding in enumerate(self._encodings(part), start):
                tokens = encoding.ids
                total[row] = len(tokens)
                ids.append(tokens if len(tokens) <= max_tokens else [*tokens[: max_tokens - 1], tokens[-1]])
        return ids, total

    def _encodings(self, texts: list[str]) -> list[Any]:
        if self._parallel and len(texts) > 1:
            return self._tokenizer.encode_batch_fast(texts)
        return [self._tokenizer.encode(text) for text in texts]
