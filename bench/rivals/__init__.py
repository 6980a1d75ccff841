"""One module for each system that the bench compares, all behind :class:`rivals.system.System`."""

# Name, module and class. Where a system can be built in ways that serve different ends, each is an entry.
SYSTEMS = {
    "samespace": ("rivals.ours", "Samespace"),
    "samespace-tuned": ("rivals.ours", "TunedSamespace"),
    "zvec": ("rivals.zvec", "Zvec"),
    "zvec-dense": ("rivals.zvec", "DenseZvec"),
    "qdrant-edge": ("rivals.qdrant_edge", "QdrantEdge"),
    "qdrant-edge-int8": ("rivals.qdrant_edge", "QdrantEdgeInt8"),
    "lancedb": ("rivals.lancedb", "LanceDB"),
    "chroma": ("rivals.chroma", "Chroma"),
}
