"""Whether an encoder made the vectors of a source: some of its own texts are encoded again and compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samespace.encoders.base import Encoder
from samespace.encoders.canaries import TOLERANCE
from samespace.errors import InvalidInput, SpaceMismatch
from samespace.interchange.sample import Sample
from samespace.interchange.source import Source
from samespace.interchange.survey import SAMPLE, Survey
from samespace.space import Role
from samespace.vectors import Matrix

__all__ = ["Proof", "distances", "prove"]

_WHOLE = 1e-2  # as far as lengths of vectors that an encoder normalised are from 1
_SINGLE = 2 * TOLERANCE  # of a single text; on average it is as of canaries, which are ordinary texts
_FOREIGN = 10 * TOLERANCE  # of a text whose vector is unlike the others: in odd texts 8 bits make more of a difference


@dataclass(frozen=True, slots=True)
class Proof:
    """How the vectors were found to be of the encoder's space.

    Attributes:
        encoder: its name.
        compared: texts drawn at random that were encoded again.
        distance: the greatest of theirs (:func:`distances`).
        outliers: texts that were encoded again since their vectors are least like the others.
        farthest: the greatest of their distances; 0 of none.
        scaled: the vectors have other lengths than the encoder's, and their directions are the same.
    """

    encoder: str
    compared: int
    distance: float
    outliers: int
    farthest: float
    scaled: bool

    def __str__(self) -> str:
        lengths = "; they were not of length 1, and are brought to it" if self.scaled else ""
        least = (
            f", and of {self.outliers} that are least like the others ({self.farthest:.2g}, of {_FOREIGN:g})"
            if self.outliers
            else ""
        )
        return (
            f"Proven: {self.encoder} makes the same vectors of {self.compared} of the texts (distance "
            f"{self.distance:.2g}, of {_SINGLE:g} allowed){least}{lengths}."
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
    if not survey.sample.texts:
        raise InvalidInput(
            f"{source.name} has no texts, so nothing can prove that {encoder.name} made its vectors. Say where the "
            "texts are (--content COLUMN, --rows FILE), or declare the space of the vectors: --space FILE."
        )
    made, stored = _encoded(encoder, survey.sample, "document")
    if not len(made):
        raise InvalidInput(
            f"{source.name}: {encoder.name} knows nothing in its texts, so nothing can prove that it made the vectors. "
            "Declare their space: --space FILE."
        )
    spread = _spread(encoder, made)
    far = _distances(encoder, made, stored.vectors, spread)
    if far.max() > _SINGLE or far.mean() > TOLERANCE:
        raise SpaceMismatch(
            f"Cannot import {source.name}: its vectors are not those that {encoder.name} makes of its texts."
            f"{_measured(far, stored.ids)}{recorded}{_hint(encoder, made, stored, spread)} Nothing was imported."
        )
    odd_made, odd = _encoded(encoder, _readable(encoder, survey.outliers), "document", whole_only=True)
    beyond = _distances(encoder, odd_made, odd.vectors, spread)
    wrong = [odd.ids[row] for row in np.flatnonzero(beyond > _FOREIGN).tolist()]
    if wrong:
        raise SpaceMismatch(
            f"Cannot import {source.name}: of its vectors, {len(far)} that were drawn at random are those that "
            f"{encoder.name} makes of their texts, but of the {len(beyond)} that are least like the others "
            f"{len(wrong)} are not, so vectors of several models may be mixed there. Those that are not: "
            f"{_named(wrong)} Encode those again, or leave them out. Nothing was imported."
        )
    lengths = (survey.shortest, survey.longest)
    scaled = space.metric == "cosine" and space.normalized and any(abs(length - 1) > _WHOLE for length in lengths)
    return Proof(encoder.name, len(far), float(far.max()), len(beyond), float(beyond.max(initial=0)), scaled)


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


def _distances(encoder: Encoder, made: Matrix, stored: Matrix, spread: float) -> NDArray[np.float64]:
    """The same, of what the space's metric looks at."""
    return distances(_comparable(made, encoder), _comparable(stored, encoder), spread)


def _spread(encoder: Encoder, made: Matrix) -> float:
    """Of the encoder's canaries, since the texts of a source may be all alike; or else of these."""
    kept = encoder.prove().document
    return _spread_of(_comparable(kept if len(kept) > 1 else made, encoder))


def _comparable(array: Matrix, encoder: Encoder) -> Matrix:
    return _unit(array) if encoder.space.metric == "cosine" else array


def _encoded(encoder: Encoder, sample: Sample, role: Role, *, whole_only: bool = False) -> tuple[Matrix, Sample]:
    """The vectors of those texts that the encoder reads whole, and these rows.

    Of a longer text two systems may have read different beginnings, which says nothing about the model. Where all
    are longer, all are taken, unless ``whole_only``.
    """
    texts = sample.texts
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
    if cut and (whole_only or not all(cut)):
        whole = [at for at, is_cut in enumerate(cut) if not is_cut]
        known, vectors = [known[at] for at in whole], [vectors[at] for at in whole]
    shape = len(vectors), encoder.space.dimension
    stored = sample.vectors[known].reshape(shape)
    rows = Sample([sample.ids[row] for row in known], [texts[row] for row in known], stored)
    return np.array(vectors, np.float32).reshape(shape), rows


def _readable(encoder: Encoder, sample: Sample) -> Sample:
    """The first of those texts that the encoder reads whole, as far as it can tell before it reads them."""
    rows = list(range(len(sample.ids)))
    if rows and encoder.max_tokens is not None:
        rows = np.flatnonzero(encoder.count_tokens(sample.texts) <= encoder.max_tokens).tolist()
    rows = rows[:SAMPLE]
    return Sample([sample.ids[row] for row in rows], [sample.texts[row] for row in rows], sample.vectors[rows])


def _unit(array: Matrix) -> Matrix:
    lengths = np.linalg.norm(array.astype(np.float64), axis=1, keepdims=True)
    return (array / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _measured(far: NDArray[np.float64], ids: list[str]) -> str:
    wrong = np.flatnonzero(far > _SINGLE).tolist()
    if not wrong:
        return f" {len(far)} texts are {far.mean():.3g} away on average, where one model stays below {TOLERANCE:g}."
    worst = ids[int(far.argmax())]
    said = (
        f" {len(wrong)} of {len(far)} texts do not fit, the farthest being {worst!r} at a distance of {far.max():.3g}, "
        f"where one model stays below {_SINGLE:g} on any runtime."
    )
    if 2 * len(wrong) < len(far):
        named = _named([ids[row] for row in wrong])
        said += f" The others fit, so vectors of several models may be mixed there. Those that do not: {named}"
    return said


def _named(ids: list[str]) -> str:
    return ", ".join(map(repr, ids[:5])) + ("…" if len(ids) > 5 else ".")


def _hint(encoder: Encoder, made: Matrix, sample: Sample, spread: float) -> str:
    """What may have been done otherwise, as far as it can be tried."""
    stored = sample.vectors
    far = _distances(encoder, made, stored, spread)
    if _most(far) and far.max() > _SINGLE:
        return " Encode those again, or leave them out."
    if encoder.space.metric != "cosine" and _most(distances(_unit(made), _unit(stored), _spread_of(_unit(made)))):
        return (
            " Up to their lengths they are the same: one of the two is normalised. This model's vectors are compared "
            f"by {encoder.space.metric}, where lengths count."
        )
    if encoder.distinguishes_roles:
        queries, again = _encoded(encoder, sample, "query")
        if len(queries) and _most(_distances(encoder, queries, again.vectors, spread)):
            return " They are what it makes of the texts as queries: the documents' prompt or task was left out."
    return " They may be of another model, or made with another prompt, pooling or layer, or of other texts."


def _most(far: NDArray[np.float64]) -> bool:
    return 2 * int((far <= _SINGLE).sum()) > len(far)


def _spread_of(array: Matrix) -> float:
    wide = array.astype(np.float64)
    return float(((wide - wide.mean(axis=0)) ** 2).sum(axis=1).mean())
