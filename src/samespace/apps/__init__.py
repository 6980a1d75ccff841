"""Things to do with vectors: analogies of words, for a beginning."""
