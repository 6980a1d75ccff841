import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

from samespace.encoders import encoder
from samespace.errors import InvalidInput
from samespace.training.bases import open_base, quiet
from samespace.training.static import _alone, _distilled, distil_static
from samespace.vectors import unit


def test_it_agrees_with_the_model_before_and_opens_everywhere(corpus, tiny, tmp_path):
    from sentence_transformers import SentenceTransformer

    report = distil_static(
        tmp_path / "m", from_=str(tiny), corpus=corpus, dimension=16, vocabulary=20, epochs=10, threads=1
    )
    assert report.after["agreement"] > report.after["untrained agreement"]
    assert report.after["texts/s"] > report.before["texts/s"]
    assert report.curve[-1][1] < report.curve[0][1]
    with quiet():
        model = SentenceTransformer(str(report.folder), device="cpu")
    texts = ["Return a copy of the object.", "Close the socket."]
    assert model.get_embedding_dimension() == 16
    assert len(model.tokenizer.encode("argument", add_special_tokens=False).ids) == 1  # a word of its own
    np.testing.assert_allclose(
        encoder(str(report.folder)).encode_documents(texts).array, model.encode(texts), atol=1e-5
    )


def test_killed_while_it_writes_it_ends_in_the_same_place(corpus, tiny, tmp_path, killed, same_weights):
    settings = {"from_": str(tiny), "corpus": corpus, "dimension": 8, "threads": 1, "checkpoint_seconds": 0.0}
    killed(distil_static, tmp_path / "killed", at=5, **settings)
    distil_static(tmp_path / "killed", **settings)
    distil_static(tmp_path / "whole", **settings)
    assert same_weights(tmp_path / "killed", tmp_path / "whole")


def test_a_token_is_what_the_teacher_makes_of_it_alone(tiny):
    with open_base(str(tiny)) as base:
        teacher = base.load()
    words = [word for word in ("return", "the", "object", "file") if len(teacher.tokenizer.tokenize(word)) == 1]
    assert len(words) >= 2
    numbers = teacher.tokenizer.convert_tokens_to_ids(words)
    alone = _alone(teacher, [[number] for number in range(len(teacher.tokenizer))])
    np.testing.assert_allclose(alone[numbers], teacher.encode(words), atol=1e-5)
    table, _ = _distilled(teacher, (), 32, 0)  # all components: turned, and each row by its weight
    special = teacher.tokenizer.all_special_ids
    assert not table[special].any()
    centred = alone - np.delete(alone, special, axis=0).mean(axis=0)
    ours, theirs = (unit(each[numbers].astype(np.float32)) for each in (table, centred))
    np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"vocabulary": 5}, "takes words from a corpus"),
        ({"dimension": 64}, "dimension must be at most the 32 of"),
        ({"epochs": 0}, "epochs must be an int of at least 1"),
    ],
)
def test_what_cannot_be(tiny, tmp_path, settings, says):
    with pytest.raises(InvalidInput, match=says):
        distil_static(tmp_path / "m", from_=str(tiny), **settings)


def test_a_static_model_cannot_be_distilled(corpus, tiny, tmp_path):
    distil_static(tmp_path / "static", from_=str(tiny), corpus=corpus, dimension=8, epochs=1, threads=1)
    with pytest.raises(InvalidInput, match="is no transformer"):
        distil_static(tmp_path / "m", from_=str(tmp_path / "static"), dimension=8)
