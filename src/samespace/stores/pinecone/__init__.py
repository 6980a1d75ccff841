"""Collections in Pinecone: a namespace of a serverless index, through the official SDK over REST.

    pinecone://index?namespace=notes

A row is a record. Its metadata holds the row's own fields as far as Pinecone can hold them, for other programs to read
and filter by, and beside them what makes the round trip and the filters exact (:mod:`.fields`, :mod:`.filters`). What
the collection knows of itself is in a second namespace, ``notes.samespace``, so that it never comes up in a search.
"""

from samespace.stores.pinecone.opening import connect

__all__ = ["connect"]
