"""samespace: embeddings that never leave their space."""
