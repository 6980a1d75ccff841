import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

from samespace.encoders import encoder
from samespace.training.bases import embed, open_base


def test_the_trainable_form_is_the_built_in_model(sentences):
    texts = sentences[:100]
    with open_base("minilm") as base:
        assert json.loads((base.folder / "config.json").read_text())["num_hidden_layers"] == 6
        model = base.load()
        vectors = embed(model, texts, "document")
    assert not base.folder.exists()
    assert "Apache-2.0" in base.note
    built_in = encoder("minilm", threads=1, cache=False).encode_documents(texts).array
    cosines = (vectors * built_in).sum(axis=1)
    assert cosines.mean() > 0.999
    assert cosines.min() > 0.995
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert model.max_seq_length == 256
