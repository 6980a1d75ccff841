"""What Qdrant is to samespace, wherever it runs: a server, its client's local mode, or a folder of Qdrant Edge."""
