"""Whether an encoder made the vectors of a source: a sample of its own texts is encoded again and compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.base import Encoder
from samespace.encoders.canaries import TOLERANCE
from samespace.errors import InvalidInput, SpaceMismatch
from samespace.interchange.source import Source
from samespace.interchange.survey import Survey
from samespace.space import Role
from samespace.vectors import Matrix

__all__ = ["Proof", "distances", "prove"]

_WHOLE = 1e-2  # as far as lengths of vectors that an encoder normalised are from 1


@dataclass(frozen=True, slots=True)
class Proof:
    """How the sample was found to be of the encoder's space.

    Attributes:
        encoder: its name.
        compared: texts that were encoded again.
        distance: the greatest (:func:`distances`).
        scaled: the vectors have other lengths than the encoder's, and their directions are the same.
    """

    encoder: str
    compared: int
    distance: float
    scaled: bool

    def __str__(self) -> str:
        lengths = "; they were not of length 1, and are brought to it" if self.scaled else ""
        return (
            f"Proven: {self.encoder} makes the same vectors of {self.compared} of the texts (distance "
            f"{self.distance:.2g}, of {TOLERANCE:g} allowed){lengths}."
        )


def prove(source: Source, survey: Survey, encoder: Encoder) -> Proof:
    """Raise unless the encoder makes the vectors of the sample.

    Raises:
        SpaceMismatch: it makes others; the message says how far away, and how many.
        InvalidInput: there are no texts to compare with.
    """
    space = encoder.space
    recorded = f" {source.recorded.said}." if source.recorded.said else ""
    if survey.dimension != space.dimension:
        raise SpaceMismatch(
            f"Cannot import {source.name}: its vectors have dimension {survey.dimension}, and those of {encoder.name} "
            f"{space.dimension}.{recorded} Choose the encoder that made them: --encoder NAME."
        )
    if not survey.texts:
        raise InvalidInput(
            f"{source.name} has no texts, so nothing can prove that {encoder.name} made its vectors. Say where the "
            "texts are (--content COLUMN, --rows FILE), or declare the space of the vectors: --space FILE."
        )
    made, whole = _encoded(encoder, survey.texts, "document")
    stored = survey.vectors[whole]
    if not len(made):
        raise InvalidInput(
            f"{source.name}: {encoder.name} knows nothing in its texts, so nothing can prove that it made the vectors. "
            "Declare their space: --space FILE."
        )
    spread = _spread(encoder, made)
    cosine = space.metric == "cosine"
    far = distances(_unit(made) if cosine else made, _unit(stored) if cosine else stored, spread)
    if far.max() <= TOLERANCE:
        lengths = (survey.shortest, survey.longest)
        scaled = cosine and space.normalized and any(abs(length - 1) > _WHOLE for length in lengths)
        return Proof(encoder.name, len(made), float(far.max()), scaled)
    ids = [survey.ids[row] for row in whole]
    hint = _hint(encoder, [survey.texts[row] for row in whole], made, stored, spread)
    raise SpaceMismatch(
        f"Cannot import {source.name}: its vectors are not those that {encoder.name} makes of its texts."
        f"{_measured(far, ids)}{recorded}{hint} Nothing was imported."
    )


def distances(made: Matrix, stored: Matrix, spread: float) -> NDArray[np.float64]:
    """How far each vector is from the one it should be, in units of how far texts are apart.

    The measure of :func:`samespace.encoders.canaries.distance`, row by row.

    Args:
        made: by the encoder, float32 of shape (n, dimension).
        stored: in the source, of the same texts.
        spread: the mean squared distance of vectors of different texts from their mean.
    """
    with np.errstate(over="ignore"):
        moved: NDArray[np.float64] = ((made.astype(np.float64) - stored) ** 2).sum(axis=1)
    return np.where(moved == 0, 0.0, moved / (2 * spread) if spread else np.inf)


def _spread(encoder: Encoder, made: Matrix) -> float:
    """Of the encoder's canaries, since the texts of a source may be all alike; or else of these."""
    kept = encoder.prove().document
    return _spread_of(_comparable(kept if len(kept) > 1 else made, encoder))


def _comparable(array: Matrix, encoder: Encoder) -> Matrix:
    return _unit(array) if encoder.space.metric == "cosine" else array


def _encoded(encoder: Encoder, texts: list[str], role: Role) -> tuple[Matrix, list[int]]:
    """The vectors of those texts that the encoder reads whole, and which they are.

    Of a longer text two systems may have read different beginnings, which says nothing about the model. Where all
    are longer, all are taken.
    """
    encode = encoder.encode_documents if role == "document" else encoder.encode_queries
    known: list[int] = []
    vectors: list[Matrix] = []
    cut: list[bool] = []
    try:
        every = encode(texts)
        known = list(range(len(texts)))
        vectors = list(every.array)
        cut = [] if every.receipts is None else every.receipts.truncated.tolist()
    except InvalidInput:  # it knows nothing in one of them
        for row, text in enumerate(texts):
            try:
                one = encode([text])
            except InvalidInput:
                continue
            known.append(row)
            vectors.append(one.array[0])
            cut.append(one.receipts is not None and bool(one.receipts.truncated[0]))
    if cut and not all(cut):
        whole = [at for at, is_cut in enumerate(cut) if not is_cut]
        known, vectors = [known[at] for at in whole], [vectors[at] for at in whole]
    return np.array(vectors, np.float32).reshape(len(vectors), encoder.space.dimension), known


def _unit(array: Matrix) -> Matrix:
    lengths = np.linalg.norm(array.astype(np.float64), axis=1, keepdims=True)
    return (array / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _measured(far: NDArray[np.float64], ids: list[str]) -> str:
    wrong = np.flatnonzero(far > TOLERANCE)
    worst = ids[int(far.argmax())]
    said = (
        f" {len(wrong)} of {len(far)} texts do not fit, the farthest being {worst!r} at a distance of {far.max():.3g}, "
        f"where one model stays below {TOLERANCE:g} on any runtime."
    )
    if 2 * len(wrong) < len(far):
        named = ", ".join(repr(ids[row]) for row in wrong[:5])
        said += f" The others fit, so vectors of several models may be mixed there. Those that do not: {named}"
        said += "…" if len(wrong) > 5 else "."
    return said


def _hint(encoder: Encoder, texts: list[str], made: Matrix, stored: Matrix, spread: float) -> str:
    """What may have been done otherwise, as far as it can be tried."""
    if _most(distances(_comparable(made, encoder), _comparable(stored, encoder), spread)):
        return " Encode those again, or leave them out."
    if encoder.space.metric != "cosine" and _most(distances(_unit(made), _unit(stored), _spread_of(_unit(made)))):
        return (
            " Up to their lengths they are the same: one of the two is normalised. This model's vectors are compared "
            f"by {encoder.space.metric}, where lengths count."
        )
    if encoder.distinguishes_roles:
        queries, again = _encoded(encoder, texts, "query")
        found = _comparable(stored[again], encoder)
        if len(queries) and _most(distances(_comparable(queries, encoder), found, spread)):
            return " They are what it makes of the texts as queries: the documents' prompt or task was left out."
    return " They may be of another model, or made with another prompt, pooling or layer, or of other texts."


def _most(far: NDArray[np.float64]) -> bool:
    return 2 * int((far <= TOLERANCE).sum()) > len(far)


def _spread_of(array: Matrix) -> float:
    wide = array.astype(np.float64)
    return float(((wide - wide.mean(axis=0)) ** 2).sum(axis=1).mean())
