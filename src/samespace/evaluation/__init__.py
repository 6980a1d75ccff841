"""Evaluation: how good vectors are, on words, on pairs and in retrieval. Needs numpy alone."""
