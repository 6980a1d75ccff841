"""Belonging: whether a stored vector can be one of its space."""
