"""Keeping collections right: moved whole, and free of what does not belong."""
