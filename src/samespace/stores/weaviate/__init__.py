"""A collection in Weaviate, through its official client: REST for the schema, gRPC for all else."""

from samespace.stores.weaviate.link import connect
from samespace.stores.weaviate.store import WeaviateStore

__all__ = ["WeaviateStore", "connect"]
