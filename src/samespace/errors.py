"""The error tree. Every message says what was expected, what came, and what to do.

SamespaceError
├── SpaceMismatch (ValueError)        two spaces met
├── InvalidVectors (ValueError)       an array that is not vectors of its space
├── InvalidInput (ValueError)         any other argument that cannot be used
│   └── InvalidFilter                 a ``where`` outside the dialect
├── NotFound (LookupError)            a collection, a file or a name that does not exist
├── MissingExtra (ImportError)        an optional dependency is not installed
├── Unsupported (NotImplementedError) an engine cannot do what was asked
├── EncoderError (RuntimeError)       a model that does not do what it says, or cannot go on
│   ├── ProviderError                 a provider that refuses, fails, or answers with something else
│   └── CostExceeded                  the next request would cost more than the cap
└── StorageError (OSError)            the disk or the files on it
    ├── CollectionBusy                another process is writing
    ├── CollectionCorrupt             a file is not what was written
    ├── CollectionClosed              used after ``close``
    ├── StorageFull                   no space left; nothing was written
    ├── StoreUnavailable              a server that cannot be reached, or went away in the middle
    └── AccessDenied                  a server that knows us not, or lets us not

ForeignVectorsWarning (UserWarning)   a collection has rows that something else wrote
PromptWarning (UserWarning)           a text carries its prompt already
TruncationWarning (UserWarning)       a text was longer than its encoder reads
RecallWarning (UserWarning)           live searches fell short of the declared recall
"""

__all__ = [
    "AccessDenied",
    "CollectionBusy",
    "CollectionClosed",
    "CollectionCorrupt",
    "CostExceeded",
    "EncoderError",
    "ForeignVectorsWarning",
    "InvalidFilter",
    "InvalidInput",
    "InvalidVectors",
    "MissingExtra",
    "NotFound",
    "PromptWarning",
    "ProviderError",
    "RecallWarning",
    "SamespaceError",
    "SpaceMismatch",
    "StorageError",
    "StorageFull",
    "StoreUnavailable",
    "TruncationWarning",
    "Unsupported",
]


class SamespaceError(Exception):
    """Root of every error that samespace raises on purpose."""


class SpaceMismatch(SamespaceError, ValueError):
    """Vectors of one space were about to meet vectors of another."""


class InvalidVectors(SamespaceError, ValueError):
    """An array cannot be vectors of its space: wrong shape or dtype, NaN, infinity, zero or not unit length."""


class InvalidInput(SamespaceError, ValueError):
    """An argument, a row or a file cannot be used as it is."""


class InvalidFilter(InvalidInput):
    """A ``where`` that is not in the dialect."""


class NotFound(SamespaceError, LookupError):
    """A collection, a file, an encoder or an engine of that name does not exist."""


class MissingExtra(SamespaceError, ImportError):
    """An optional dependency is needed and not installed.

    Args:
        what: what the caller wanted, as the subject of a sentence ("Parquet", "The encoder 'wordllama'").
        extra: the extra of samespace that brings it.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra that is not installed. Run: pip install 'samespace[{extra}]'")


class Unsupported(SamespaceError, NotImplementedError):
    """An engine cannot do what was asked; the message says which, and what can be done instead."""


class EncoderError(SamespaceError, RuntimeError):
    """A model does not do what it declares, or cannot go on."""


class ProviderError(EncoderError):
    """A provider refused, failed, or answered with something else than vectors of its space for what was sent."""


class CostExceeded(EncoderError):
    """The next request would cost more than the cap; what was paid for is kept."""


class StorageError(SamespaceError, OSError):
    """The disk, or a file on it, did not do what was asked."""


class CollectionBusy(StorageError):
    """Another process or thread held the write lock for longer than ``timeout``."""


class CollectionCorrupt(StorageError):
    """A file of the collection is not what was written there."""


class CollectionClosed(StorageError):
    """The collection was used after it was closed."""


class StorageFull(StorageError):
    """No space left on the disk; the collection is as it was before the call."""


class StoreUnavailable(StorageError):
    """A server cannot be reached, or went away in the middle. Nothing is half written; try again."""


class AccessDenied(StorageError):
    """A server does not know the user or key, or does not let them do this."""


class ForeignVectorsWarning(UserWarning):
    """A collection has rows that something other than samespace wrote or changed."""


class PromptWarning(UserWarning):
    """A text begins with the prompt that the encoder is about to put in front of it."""


class TruncationWarning(UserWarning):
    """A text was longer than its encoder reads; the vector stands for its beginning only."""


class RecallWarning(UserWarning):
    """Live searches found fewer of the nearest rows than was declared; the message says what was done about it."""
