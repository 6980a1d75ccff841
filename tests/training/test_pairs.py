import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

from samespace.encoders import encoder
from samespace.errors import InvalidInput, NotFound, StorageError
from samespace.evaluation.pairs import Pairs
from samespace.evaluation.retrieval import evaluate_retrieval
from samespace.training.bases import embed, prompt_of, quiet
from samespace.training.pairs import train_pairs

FAST = {"batch": 16, "learning_rate": 3e-3, "threads": 1}


def test_it_gets_better_and_opens_everywhere(pairs, tiny, tmp_path):
    from sentence_transformers import SentenceTransformer

    stages = []
    report = train_pairs(
        pairs,
        tmp_path / "m",
        from_=str(tiny),
        epochs=10,
        hard_negatives=1,
        matryoshka=[16],
        progress=stages.append,
        **FAST,
    )
    assert report.after["ndcg@10"] > report.before["ndcg@10"] + 0.02, (report.before, report.after)
    assert report.after["ndcg@10.low"] < report.after["ndcg@10"] < report.after["ndcg@10.high"]
    gained = report.after["ndcg@10"] - report.before["ndcg@10"]
    assert report.after["ndcg@10 gained.low"] < gained < report.after["ndcg@10 gained.high"]
    assert "ndcg@10 at 16 dimensions" in report.after
    assert "mining hard negatives" in {step.stage for step in stages}
    assert report.curve[-1][1] < report.curve[0][1]
    assert report.data["trained_on"] + report.data["held_out"] + report.data["left_out"] == 300
    card = (report.folder / "README.md").read_text()
    assert "whose files name no licence" in card
    with quiet():
        model = SentenceTransformer(str(report.folder), device="cpu")
    texts = ["Return a copy of the object.", "Close the socket."]
    ours = encoder(str(report.folder))
    assert ours.space.to_dict() == json.loads((report.folder / "samespace.json").read_text())
    np.testing.assert_allclose(ours.encode_queries(texts).array, model.encode_query(texts), rtol=1e-2, atol=2e-3)
    # The figures of the table are those of the folder in use.
    held = Pairs(texts, ["It is new.", "It is open."])
    assert set(evaluate_retrieval(ours, held)) <= set(report.after)


def test_killed_while_it_writes_it_ends_in_the_same_place(pairs, tiny, tmp_path, killed, same_weights):
    settings = {**FAST, "from_": str(tiny), "hard_negatives": 1, "checkpoint_seconds": 0.0}
    killed(train_pairs, pairs, tmp_path / "killed", at=5, **settings)
    found = json.loads((tmp_path / "killed/checkpoint/state-000000000003/found.json").read_text())
    assert found["negatives"]
    train_pairs(pairs, tmp_path / "killed", **settings)
    train_pairs(pairs, tmp_path / "whole", **settings)
    assert same_weights(tmp_path / "killed", tmp_path / "whole")


def test_lora_trains_little_and_is_merged(pairs, tiny, tmp_path):
    pytest.importorskip("peft")
    from safetensors.numpy import load_file

    report = train_pairs(pairs, tmp_path / "m", from_=str(tiny), lora=2, **FAST)
    before, after = load_file(tiny / "model.safetensors"), load_file(report.folder / "model.safetensors")
    assert not any("lora" in name for name in after)
    moved = "encoder.layer.0.attention.self.query.weight"
    kept = "embeddings.word_embeddings.weight"
    assert not np.array_equal(before[f"bert.{moved}"], after[moved])
    assert np.array_equal(before[f"bert.{kept}"], after[kept])


def test_a_chunk_is_the_same_loss_in_less_memory(pairs, tiny, tmp_path):
    whole = train_pairs(pairs, tmp_path / "a", from_=str(tiny), **FAST)
    parts = train_pairs(pairs, tmp_path / "b", from_=str(tiny), chunk=4, **FAST)
    # Dropout differs, so the losses are only near each other.
    np.testing.assert_allclose([x for _, x in whole.curve], [x for _, x in parts.curve], rtol=0.15)


@pytest.fixture(scope="module")
def prompted(tiny, tmp_path_factory):
    """A model that declares prompts."""
    from sentence_transformers import SentenceTransformer

    folder = tmp_path_factory.mktemp("models") / "prompted"
    with quiet():
        model = SentenceTransformer(str(tiny), device="cpu", prompts={"query": "search: ", "document": "text: "})
        model.save_pretrained(str(folder), create_model_card=False)
    return folder


def test_prompts_are_applied_in_training_as_in_use(pairs, prompted, tmp_path, monkeypatch):
    from sentence_transformers import SentenceTransformer

    seen = set()
    real = SentenceTransformer.preprocess

    def preprocess(self, inputs, prompt=None, **more):
        if self.training:
            seen.add((more["task"], prompt))
        return real(self, inputs, prompt=prompt, **more)

    monkeypatch.setattr(SentenceTransformer, "preprocess", preprocess)
    report = train_pairs(pairs, tmp_path / "m", from_=str(prompted), **FAST)
    assert seen == {("query", "search: "), ("document", "text: ")}
    assert dict(encoder(str(report.folder)).space.prompts) == {"query": "search: ", "document": "text: "}
    with quiet():
        model = SentenceTransformer(str(report.folder), device="cpu")
    assert (prompt_of(model, "query"), prompt_of(model, "document")) == ("search: ", "text: ")
    np.testing.assert_allclose(embed(model, ["a"], "query"), model.encode(["a"], prompt="search: "), atol=1e-6)


def test_a_model_of_the_hub(pairs, tiny, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "samespace.training.bases.fetch", lambda *what: asked.append(what) or (tiny, "0123456789abcdef" * 2)
    )
    report = train_pairs(pairs, tmp_path / "m", from_="hf:me/tiny@v1", **FAST)
    assert asked == [("me/tiny", "v1")]
    assert "Made from hf:me/tiny@v1, whose files name no licence." in (report.folder / "README.md").read_text()


def some(count):
    return Pairs([f"anchor {n}" for n in range(count)], [f"positive {n}" for n in range(count)])


@pytest.mark.parametrize(
    ("given", "settings", "says"),
    [
        (Pairs(["a", "b"], ["c", "d"], scores=np.array([0.5, 1.0])), {}, "these have scores"),
        (Pairs(["same"] * 50, ["text"] * 50), {}, "of 50 pairs 1 are left"),
        (Pairs([f"a{n}" for n in range(20)], ["yes"] * 20), {"held_out": 0}, "all of them share a text"),
        (Pairs([f"a{n}" for n in range(20)], ["yes"] * 20), {}, "share no text with the 2 held-out ones"),
        (some(20), {"matryoshka": [32]}, "shorter than the model's 32"),
        (some(20), {"batch": 1}, "batch must be an int of at least 2"),
        (some(20), {"lora": 0}, "lora must be an int of at least 1"),
        (some(20), {"held_out": 0.01}, "is none"),
        (some(20), {"learning_rate": 0}, "learning_rate must be a positive number, got 0"),
        (some(20), {"warmup": 1}, "warmup must be a number from 0 to less than 1"),
        (some(20), {"from_": "wordllama"}, "Cannot train from 'wordllama'"),
        (some(20), {"from_": "minilm?layer=3"}, "has no options"),
    ],
)
def test_what_cannot_be(tiny, tmp_path, given, settings, says):
    with pytest.raises(InvalidInput, match=says):
        train_pairs(given, tmp_path / "m", **{"from_": str(tiny), **settings})


def test_models_that_cannot_be(tmp_path):
    with pytest.raises(NotFound, match="There is no folder"):
        train_pairs(some(20), tmp_path / "m", from_=str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match=r"holds no model: expected modules\.json"):
        train_pairs(some(20), tmp_path / "m", from_=str(tmp_path / "empty"))
    (tmp_path / "empty/config.json").write_text("{}")
    (tmp_path / "empty/pytorch_model.bin").write_bytes(b"")
    with pytest.raises(InvalidInput, match="are pickled"):
        train_pairs(some(20), tmp_path / "m", from_=str(tmp_path / "empty"))
    (tmp_path / "empty/model.safetensors").write_bytes(b"junk")
    with pytest.raises(StorageError, match="is no safetensors file, or torn"):
        train_pairs(some(20), tmp_path / "m", from_=str(tmp_path / "empty"))
