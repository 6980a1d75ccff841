"""Training: words, a small BERT, pairs, a static model. Each ends in a folder that is an encoder."""
