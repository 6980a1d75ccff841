"""One module for each system that the bench compares, all behind :class:`rivals.system.System`."""

MODULES = {
    "samespace": "rivals.ours",
    "zvec": "rivals.zvec",
    "qdrant-edge": "rivals.qdrant_edge",
    "lancedb": "rivals.lancedb",
    "chroma": "rivals.chroma",
}
