"""Hidden layers: the same vectors as plain transformers gives, for every kind of model."""

from __future__ import annotations

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import samespace as ss
import samespace.encoders.pretrained.hidden as hidden
from encoders.pretrained.tiny import CAUSAL, CONFIGURATIONS, TEXTS, make
from samespace.encoders.pretrained.hidden import POOLINGS, HiddenLayerEncoder, Layers
from samespace.encoders.pretrained.states import Transformer
from samespace.errors import EncoderError, InvalidInput, SpaceMismatch
from samespace.vectors import unit

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder for each kind of model, made when it is first asked for."""
    made = {}

    def folder(kind):
        if kind not in made:
            made[kind] = make(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return folder


@pytest.fixture
def copied(folders, tmp_path):
    """A copy of the BERT, to be spoilt."""
    return shutil.copytree(folders("bert"), tmp_path / "model")


def opened(folder, **options):
    return HiddenLayerEncoder(folder, name="test", model="test", digest="sha256:0", threads=1, **options)


def reference(folder, texts):
    """Every text's hidden states by plain transformers, one text at a time, so that there is no padding."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    with torch.inference_mode():
        return [
            torch.stack(model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states)
            for text in texts
        ]


def pooled(states, how):
    from sentence_transformers.sentence_transformer.modules import Pooling

    mask = torch.ones(states.shape[:2], dtype=torch.int64)
    module = Pooling(states.shape[-1], POOLINGS[how])
    return module({"token_embeddings": states, "attention_mask": mask})["sentence_embedding"]


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_vectors_are_those_of_plain_transformers(folders, kind):
    states = reference(folders(kind), TEXTS)
    table = opened(folders(kind)).encode_layers(TEXTS)
    for layer in range(4):
        expected = {how: torch.cat([pooled(each[layer], how) for each in states]).numpy() for how in POOLINGS}
        for how, array in expected.items():
            assert np.vecdot(unit(array), table[how][layer]).min() >= 0.99999, (layer, how)
        # One by one, as people use them, where the forward pass ends early.
        how = [*POOLINGS][layer]
        came = opened(folders(kind), layer=str(layer), pooling=how).encode_documents(TEXTS).array
        np.testing.assert_allclose(came, expected[how], atol=2e-5, err_msg=f"layer {layer}, {how}")


def test_the_original_of_minilm(original):
    """The last layer's mean, at unit length, is what the model's authors call its embedding."""
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(original), device="cpu").encode(TEXTS, show_progress_bar=False)
    ours = opened(original, layer="-1").encode_documents(TEXTS)
    assert ours.space.layer == 6
    assert not ours.space.normalized
    assert np.vecdot(unit(ours.array), theirs).min() >= 0.99999


def test_without_a_layer_it_is_the_models_own_output(folders):
    own, last = opened(folders("bert")), opened(folders("bert"), layer="3")
    assert (own.space.layer, own.space.library) == (None, None)
    assert own.space != last.space
    np.testing.assert_array_equal(own.encode_documents(TEXTS).array, last.encode_documents(TEXTS).array)


def test_a_layer_counted_from_the_end_is_the_same_space(folders):
    encoders = [opened(folders("bert"), layer=layer) for layer in ("-2", "2", " 2")]
    assert {encoder.space.layer for encoder in encoders} == {2}
    assert len({encoder.space for encoder in encoders}) == 1
    assert encoders[0].space.library == f"transformers {transformers.__version__}"


def test_what_changes_vectors_changes_the_space(folders, monkeypatch):
    bert = folders("bert")
    asked = [
        {"layer": "2"}, {"layer": "1"}, {"layer": "2", "pooling": "cls"}, {"layer": "1,2"},
        {"layer": "1,2", "combine": "join"}, {"layer": "2", "prompts": {"query": "q: "}},
    ]  # fmt: skip
    spaces = [opened(bert, **options).space for options in asked]
    monkeypatch.setattr(hidden, "version", lambda _package: "4.57.0")
    spaces.append(opened(bert, layer="2").space)
    assert len(set(spaces)) == len(spaces)


def test_by_name(folders, tmp_path, monkeypatch):
    """As people open it; a collection keeps its layer, whichever way it is counted, and refuses another."""
    monkeypatch.setenv("SAMESPACE_CACHE", str(tmp_path / "cache"))
    bert = folders("bert")
    by_name = ss.encoder(f"{bert}?layer=-2&pooling=cls", threads=1)
    assert isinstance(by_name, HiddenLayerEncoder)
    expected = opened(bert, layer="2", pooling="cls").encode_documents(TEXTS).array
    np.testing.assert_allclose(by_name.encode_documents(TEXTS).array, expected, atol=1e-6)
    with ss.open(tmp_path / "notes.ss", by_name) as notes:
        notes.add(TEXTS)
    with ss.open(tmp_path / "notes.ss", ss.encoder(f"{bert}?layer=2&pooling=cls", threads=1)) as notes:
        assert notes.search(TEXTS[3], k=1)[0].content == TEXTS[3]
    with pytest.raises(SpaceMismatch, match=r"layer: 2 against 3|layer: 3 against 2"):
        ss.open(tmp_path / "notes.ss", ss.encoder(f"{bert}?layer=3&pooling=cls", threads=1))


def test_several_layers_are_averaged_or_joined(folders):
    bert = folders("bert")
    first, last = (opened(bert, layer=layer).encode_documents(TEXTS).array for layer in "13")
    mean = opened(bert, layer="-1,1")
    joined = opened(bert, layer="1,3", combine="join")
    assert (mean.space.layer, mean.space.dimension) == ("mean(1,3)", 16)
    assert (joined.space.layer, joined.space.dimension) == ("join(1,3)", 32)
    np.testing.assert_allclose(mean.encode_documents(TEXTS).array, (first + last) / 2, atol=1e-6)
    np.testing.assert_allclose(joined.encode_documents(TEXTS).array, np.hstack([first, last]), atol=1e-6)


def test_the_order_of_layers_does_not_make_a_space(folders):
    assert Layers.parse("3,1", "join", 3) == Layers.parse("1,-1", "join", 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "4"}, r"layer=4 is out of range: the model has 3 hidden layers, so layer= goes from 0 .* to 3"),
        ({"layer": "-5"}, r"layer=-5 is out of range.* -1 to -4"),
        ({"layer": "2.5"}, r"layer= must be a number, or several with commas between; got '2\.5'"),
        ({"layer": ""}, r"layer= must be a number"),
        ({"layer": "1,,2"}, r"layer= must be a number"),
        ({"layer": "1,-3"}, r"layer=1,-3 names layer 1 twice"),
        ({"layer": "1", "combine": "sum"}, r"combine= must be one of mean, join; got 'sum'"),
        ({"layer": "1", "pooling": "attention"}, r"pooling= must be one of mean, cls, max, last, weighted; got 'att"),
    ],
)
def test_options_that_cannot_be(folders, options, message):
    with pytest.raises(InvalidInput, match=message):
        opened(folders("bert"), **options)


def test_sentence_transformers_words_for_poolings_are_known(folders):
    spaces = {opened(folders("bert"), layer="1", pooling=name).space for name in ("last", "lasttoken")}
    assert [space.pooling for space in spaces] == ["lasttoken"]


def test_the_forward_pass_stops_after_the_highest_layer_needed(folders):
    encoder = opened(folders("modernbert"), layer="0,1")
    encoder.encode_documents(TEXTS[:1])  # loads, and proves that it may stop
    ran = []
    for number, layer in enumerate(encoder._transformer._stack):
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
    encoder.encode_documents(TEXTS[:1])
    assert ran == [0]


def test_a_model_whose_layers_are_not_a_list_runs_through(folders):
    encoder = opened(folders("albert"), layer="1")
    encoder.encode_documents(TEXTS[:1])
    with torch.inference_mode():
        assert encoder._transformer._stack is None


@pytest.mark.parametrize("kind", ["roberta", *CAUSAL])
def test_a_text_has_the_same_vector_in_any_company(folders, kind):
    encoder = opened(folders(kind), layer="2", pooling="last")
    together = encoder.encode_documents([*TEXTS, TEXTS[0]]).array
    alone = np.concatenate([encoder.encode_documents([text]).array for text in TEXTS])
    np.testing.assert_allclose(together[:-1], alone, atol=1e-6)
    np.testing.assert_array_equal(together[0], together[-1])


def test_a_model_without_a_padding_token_is_padded(folders, tmp_path):
    folder = shutil.copytree(folders("gpt2"), tmp_path / "model")
    said = json.loads((folder / "tokenizer_config.json").read_text())
    del said["pad_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    expected = opened(folders("gpt2"), layer="2").encode_documents(TEXTS).array
    np.testing.assert_allclose(opened(folder, layer="2").encode_documents(TEXTS).array, expected, atol=1e-6)


def test_a_long_text_is_cut_and_keeps_its_closing_token(folders):
    encoder = opened(folders("roberta"), layer="2", pooling="last")
    text = " ".join(TEXTS)
    vectors = encoder.encode_documents([text])
    assert encoder.max_tokens == 32  # two of its 34 positions are for padding
    assert vectors.receipts.seen.tolist() == [32]
    assert vectors.receipts.total[0] == encoder.count_tokens([text])[0] > 32
    assert vectors.receipts.truncated.all()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders("roberta"))
    model = transformers.AutoModel.from_pretrained(folders("roberta")).eval()
    with torch.inference_mode():
        inputs = tokenizer(text, truncation=True, max_length=32, return_tensors="pt")
        expected = model(**inputs, output_hidden_states=True).hidden_states[2][:, -1].numpy()
    np.testing.assert_allclose(vectors.array, expected, atol=1e-5)


def test_the_model_declares_how_much_it_reads(copied):
    path = copied / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": 7}))
    assert opened(copied, layer="1").max_tokens == 7
    assert opened(copied, layer="1", max_tokens=5).max_tokens == 5


@pytest.mark.parametrize("kind", ["bert", "qwen"])
def test_a_text_of_which_no_token_is_left_is_refused(folders, kind):
    """Around it the BERT puts special tokens, and the Qwen nothing."""
    from tokenizers import normalizers

    encoder = opened(folders(kind), layer="1")
    encoder._transformer._tokenizer.normalizer = normalizers.Replace("x", "")
    for encode in (encoder.encode_documents, encoder.encode_tokens, encoder.encode_layers):
        with pytest.raises(InvalidInput, match=r"Item 1 holds nothing that the encoder 'test' knows: 'xx'"):
            encode(["a bank", "xx"])


def test_a_layer_of_another_size_than_declared(folders):
    """As in OPT of 350 million, whose last layer is projected down."""
    encoder = opened(folders("bert"), layer="2")
    encoder.encode_documents(TEXTS)
    encoder._transformer.dimension = 12
    with pytest.raises(EncoderError, match=r"Layer 2 of the model .* has vectors of 16 numbers; .* says 12"):
        encoder.encode_documents(TEXTS)


def test_threads_share_an_encoder(folders):
    encoder = opened(folders("bert"), layer="1,2")
    expected = encoder.encode_documents(TEXTS).array
    begin = threading.Barrier(4)

    def encode(_):
        begin.wait()
        return encoder.encode_documents(TEXTS).array

    with ThreadPoolExecutor(4) as pool:
        for came in pool.map(encode, range(4)):
            np.testing.assert_array_equal(came, expected)


def test_prompts_stand_before_the_text(folders):
    prompted = opened(folders("bert"), layer="2", prompts={"query": "He took "})
    plain = opened(folders("bert"), layer="2")
    np.testing.assert_array_equal(
        prompted.encode_queries(["the dog"]).array, plain.encode_queries(["He took the dog"]).array
    )


def test_nothing_is_printed(folders, capfd):
    opened(folders("bert"), layer="1").encode_documents(["a " * 1_000])
    assert capfd.readouterr() == ("", "")


def test_a_checkpoint_in_bfloat16_is_computed_in_float32(copied):
    weights = load_file(copied / "model.safetensors")
    halved = {name: tensor.to(torch.bfloat16) for name, tensor in weights.items()}
    save_file(halved, copied / "model.safetensors", {"format": "pt"})
    path = copied / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dtype": "bfloat16"}))
    came = opened(copied, layer="2").encode_documents(TEXTS).array
    save_file({n: t.float() for n, t in halved.items()}, copied / "model.safetensors", {"format": "pt"})
    np.testing.assert_allclose(came, opened(copied, layer="2").encode_documents(TEXTS).array, atol=1e-6)


def test_weights_that_lack_a_tensor_are_not_made_up(copied):
    weights = load_file(copied / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, copied / "model.safetensors", {"format": "pt"})
    with pytest.raises(EncoderError, match=r"lack 1 of the \d+ tensors .* 'encoder\.layer\.1\.output\.dense\.weight'"):
        opened(copied, layer="1").encode_documents(TEXTS)


def test_weights_without_a_pooler_will_do(copied):
    weights = load_file(copied / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "pooler" not in name}
    assert len(kept) < len(weights)
    expected = opened(copied, layer="2").encode_documents(TEXTS).array
    save_file(kept, copied / "model.safetensors", {"format": "pt"})
    np.testing.assert_array_equal(opened(copied, layer="2").encode_documents(TEXTS).array, expected)


def test_of_an_encoder_and_a_decoder_the_encoders_weights_are_enough(folders, tmp_path):
    folder = shutil.copytree(folders("t5"), tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("decoder")}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    expected = opened(folders("t5"), layer="2").encode_documents(TEXTS).array
    np.testing.assert_array_equal(opened(folder, layer="2").encode_documents(TEXTS).array, expected)


def test_pickled_weights_are_not_read(copied):
    torch.save(load_file(copied / "model.safetensors"), copied / "pytorch_model.bin")
    (copied / "model.safetensors").unlink()
    with pytest.raises(InvalidInput, match=r"The weights in .* cannot be read.*safetensors"):
        opened(copied, layer="1").encode_documents(TEXTS)


def test_weights_of_another_shape_are_refused(copied):
    path = copied / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"intermediate_size": 48}))
    with pytest.raises(EncoderError, match=r"lack 9 of the \d+ tensors .*: its shape is \[32\], not \[48\]"):
        opened(copied, layer="1").encode_documents(TEXTS)


def test_torn_weights_are_refused(copied):
    path = copied / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InvalidInput, match=r"The weights in .* cannot be read"):
        opened(copied, layer="1").encode_documents(TEXTS)


def test_a_folder_without_a_tokenizer_is_refused(copied):
    for file in copied.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(InvalidInput, match=r"tokenizer"):
        opened(copied, layer="1").encode_documents(TEXTS)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model_type": "nothing-like-it"}'])
def test_a_configuration_that_is_none(copied, content):
    (copied / "config.json").write_text(content)
    with pytest.raises(InvalidInput, match=r"The configuration in .* cannot be read as those of a transformer"):
        opened(copied, layer="1")


def test_a_model_that_does_not_read_text(tmp_path):
    transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1]).save_pretrained(tmp_path)
    with pytest.raises(InvalidInput, match=r"type 'resnet', .* Only transformers that read text"):
        opened(tmp_path, layer="1")


def test_code_in_the_folder_does_not_run(copied):
    marker = copied / "ran"
    (copied / "code.py").write_text(f"open({str(marker)!r}, 'w')\n")
    said = json.loads((copied / "config.json").read_text())
    said |= {"model_type": "own", "auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Model"}}
    (copied / "config.json").write_text(json.dumps(said))
    with pytest.raises(InvalidInput, match=r"configuration"):
        opened(copied, layer="1")
    assert not marker.exists()


def test_all_layers_come_of_one_pass(folders, monkeypatch):
    encoder = opened(folders("bert"), layer="-1")
    passes = []
    whole = Transformer._whole
    monkeypatch.setattr(Transformer, "_whole", lambda self, inputs: passes.append(1) or whole(self, inputs))
    done = []
    table = encoder.encode_layers(TEXTS, ("mean", "last"), progress=done.append)
    assert (len(passes), sum(done)) == (1, len(TEXTS))
    assert {name: (each.shape, each.dtype) for name, each in table.items()} == {
        "mean": ((4, len(TEXTS), 16), np.float32), "last": ((4, len(TEXTS), 16), np.float32),
    }  # fmt: skip
    for layer in range(4):
        for pooling, each in table.items():
            alone = opened(folders("bert"), layer=str(layer), pooling=pooling).encode_documents(TEXTS).array
            np.testing.assert_allclose(each[layer], unit(alone), atol=1e-5)


def test_a_large_table_is_held_in_half_the_memory(folders, monkeypatch):
    monkeypatch.setattr(hidden, "_MOST_HELD", 100)
    table = opened(folders("bert")).encode_layers(TEXTS, ("max",))
    assert table["max"].dtype == np.float16
