"""Token ids and tensors, read without the libraries that wrote them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from samespace.encoders.pretrained.files import Files
from samespace.encoders.pretrained.layout import own_name
from samespace.encoders.pretrained.reading import Reader
from samespace.errors import InvalidInput

WORDS = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "b": 4, "c": 5, "d": 6, "query": 7, ":": 8}


def tokenizer(template="[CLS] $A [SEP]", before=""):
    made = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(name, WORDS[name]) for name in ("[CLS]", "[SEP]", "query")]
    )
    if before:
        made.normalizer = normalizers.Prepend(before)
    made.enable_truncation(2)
    made.enable_padding()
    return made.to_str()


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize(
    ("limit", "left", "ids"),
    [
        (None, False, [1, 3, 4, 5, 6, 2]),
        (6, False, [1, 3, 4, 5, 6, 2]),
        (4, False, [1, 3, 4, 2]),
        (4, True, [1, 5, 6, 2]),
        (1, False, [2]),
    ],
)
def test_a_long_text_keeps_its_special_tokens(limit, left, ids, parallel):
    reader = Reader(tokenizer(), limit, left=left, parallel=parallel)
    found, total = reader(["a b c d", "a"])
    assert found[0] == ids
    assert total.tolist() == [6, 3]


def test_without_special_tokens():
    assert Reader(tokenizer(), None, special=False)(["a b"])[0] == [[3, 4]]


def test_a_prompt_has_the_tokens_before_the_text():
    reader = Reader(tokenizer(), None)
    assert reader.prompt_length("query: ") == 3  # [CLS] query :
    assert (1, 7, 8, 2) in reader.empty("query: ")
    assert reader.empty("") == {(1, 2)}


@pytest.mark.parametrize(
    ("content", "doubles"),
    [
        (tokenizer(), False),
        (tokenizer(before="query: "), True),
        (tokenizer(template="[CLS] query $A [SEP]"), True),
        (tokenizer(before="a "), False),
    ],
)
def test_a_tokenizer_that_adds_the_prompt_is_noticed(content, doubles):
    assert Reader(content, None).doubles("query: ") is doubles
    assert not Reader(content, None).doubles("")


def test_tensors_of_all_types(tmp_path):
    torch.manual_seed(0)
    tensors = {
        name: torch.randn(3, 2).to(getattr(torch, name)) for name in ("float32", "float16", "bfloat16", "float64")
    }
    save_file({**tensors, "numbers": torch.arange(5)}, tmp_path / "model.safetensors", {"format": "pt"})
    found = Files(tmp_path).tensors()
    assert found["numbers"].tolist() == [0, 1, 2, 3, 4]
    for name, tensor in tensors.items():
        assert np.array_equal(found[name].astype(np.float64), tensor.double().numpy())


def test_weights_in_parts(tmp_path):
    for part in (1, 2):
        save_file({f"t{part}": torch.ones(2)}, tmp_path / f"model-{part}.safetensors")
    index = '{"weight_map": {"t1": "model-1.safetensors", "t2": "model-2.safetensors"}}'
    (tmp_path / "model.safetensors.index.json").write_text(index)
    assert sorted(Files(tmp_path).tensors()) == ["t1", "t2"]
    (tmp_path / "model.safetensors.index.json").write_text(index.replace("model-2", "../model-2"))
    with pytest.raises(InvalidInput, match="leads out of its folder"):
        Files(tmp_path).weights()


@pytest.mark.parametrize(
    ("card", "name"),
    [
        (None, "folder"),
        ("# A model for search\n", "folder"),
        ("---\nlicense: mit\n---\n# all-MiniLM-L6-v2\n", "all-MiniLM-L6-v2"),
        ("---\nmodel_name: 'acme/tiny'\n---\n# other\n", "acme/tiny"),
        ("---\nlicense: mit\nmodel-index:\n- name: Tiny on legal texts\n  results: []\n---\n", "Tiny on legal texts"),
    ],
)
def test_a_model_is_called_what_its_card_says(tmp_path, card, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    if card:
        (folder / "README.md").write_text(card)
    assert own_name(Files(folder)) == name
