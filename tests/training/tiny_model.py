"""Settings of a BERT that trains in a second."""

TINY = {
    "layers": 1,
    "hidden": 32,
    "heads": 2,
    "vocabulary": 400,
    "max_tokens": 24,
    "batch": 8,
    "held_out": 0.1,
    "threads": 1,
    "learning_rate": 3e-3,
}
