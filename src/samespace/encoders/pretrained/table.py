"""Static models in numpy: one vector for each token, and a text is the mean of its tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.base import Progress
from samespace.encoders.pretrained.heads import head
from samespace.encoders.pretrained.layout import Layout
from samespace.encoders.pretrained.modules import Dense, Normalize, Static
from samespace.encoders.pretrained.reading import Reader
from samespace.errors import InvalidInput
from samespace.space import Role
from samespace.vectors import Matrix, Receipts

__all__ = ["TableRole", "is_table"]


def is_table(layout: Layout, role: Role) -> bool:
    """The pipeline of this role is a static model."""
    first, *others = layout.pipelines[role]
    return isinstance(first, Static) and all(isinstance(module, Dense | Normalize) for module in others)


class TableRole:
    """Encodes texts of one role: looks up a vector for each token, and takes the mean.

    Args:
        layout: of the model.
        role: of the texts.
        parallel: tokenise on all cores.
    """

    label = "numpy float32"

    def __init__(self, layout: Layout, role: Role, *, parallel: bool) -> None:
        first, *others = layout.pipelines[role]
        assert isinstance(first, Static)  # noqa: S101 is_table looked
        folder = first.folder
        tensors = layout.files.tensors(folder)
        table = tensors.get("embedding.weight")
        if table is None:
            # As model2vec keeps them: the row and the weight of each token beside the table.
            table = tensors["embeddings"]
            try:
                table = table[tensors["mapping"]] if "mapping" in tensors else table
                if (weights := tensors.get("weights")) is not None:
                    table = (table.astype(np.float32) * weights[:, None].astype(np.float32)).astype(table.dtype)
            except (IndexError, ValueError) as error:
                where = layout.files.path(folder)
                raise InvalidInput(f"The tensors in {where} do not fit together: {error}. Get them again.") from error
        self._table = np.ascontiguousarray(table, np.float32)
        self._folder = layout.files.path(folder)
        settings = layout.files.json(folder, "tokenizer.json")
        limit = (settings.get("truncation") or {}).get("max_length")
        text = layout.files.path(folder, "tokenizer.json").read_text(encoding="utf-8")
        try:
            self._reader = Reader(text, limit, special=False, parallel=parallel)
        except Exception as error:  # the library raises nothing narrower
            where = layout.files.path(folder, "tokenizer.json")
            raise InvalidInput(f"{where} is no tokenizer: {error}. Get the file again.") from error
        self._prompt = layout.prompts.get(role, "")
        self._empty = self._reader.empty(self._prompt)
        self._head = head(layout.files, others, layout.truncation)

    def encode(self, texts: Sequence[str], progress: Progress) -> tuple[Matrix, Receipts]:
        """Encode texts that carry their prompt; what holds nothing becomes a row of zeros."""
        ids, total = self._reader(texts)
        array = np.zeros((len(texts), self._table.shape[1]), np.float32)
        for row, each in enumerate(ids):
            if each:
                try:
                    array[row] = self._table[each].mean(axis=0, dtype=np.float32)
                except IndexError as error:
                    raise InvalidInput(
                        f"The tokenizer.json in {self._folder} has the token id {max(each)}, but its table has only "
                        f"{len(self._table):,} rows. They are not of one model; get both again."
                    ) from error
            progress(1)
        array = self._head(array)
        array[[row for row, each in enumerate(ids) if tuple(each) in self._empty]] = 0
        return array, Receipts(np.array([len(each) for each in ids], np.int32), total)

    def count(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Tokens of texts that carry their prompt."""
        return self._reader(texts)[1]

    def doubled(self) -> bool:
        """The tokenizer puts the prompt in front of a text itself."""
        return self._reader.doubles(self._prompt)
