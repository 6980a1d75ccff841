"""Space: a value whose id is the same everywhere, and a guard that names what differs."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samespace import InvalidInput, Space, SpaceMismatch

MINI = Space("mini", 384, "cosine", digest="sha256:ab", pooling="mean", normalized=True)

spaces = st.builds(
    Space,
    model=st.text(min_size=1).filter(lambda name: bool(name.strip())),
    dimension=st.integers(1, 65_536),
    metric=st.sampled_from(["cosine", "dot", "euclidean"]),
    digest=st.none() | st.text(),
    layer=st.none() | st.integers(-24, 24),
    pooling=st.none() | st.sampled_from(["mean", "cls"]),
    prompts=st.dictionaries(st.sampled_from(["document", "query"]), st.text()),
    normalized=st.booleans(),
)


def test_the_id_is_pinned_forever():
    # A collection on disk carries this id; a change here would orphan every one of them.
    assert MINI.canonical == (
        '{"digest":"sha256:ab","dimension":384,"metric":"cosine","model":"mini","normalized":true,"pooling":"mean"}'
    )
    assert MINI.id == "fe99bfbe2799b6a9cd616953c9824071"


def test_the_id_does_not_depend_on_hash_seeds():
    code = "from samespace import Space; print(Space('mini', 8, prompts={'query': 'q: ', 'document': 'd: '}).id)"
    ids = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert ids == {Space("mini", 8, prompts={"document": "d: ", "query": "q: "}).id + "\n"}


@given(spaces)
def test_dict_and_pickle_bring_the_same_space_back(space):
    assert Space.from_dict(space.to_dict()) == space
    assert pickle.loads(pickle.dumps(space)) == space
    assert hash(Space.from_dict(space.to_dict())) == hash(space)


@given(spaces, spaces)
def test_equal_ids_mean_equal_fields(a, b):
    assert (a == b) == (a.to_dict() == b.to_dict())


def test_a_space_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        MINI.dimension = 3
    with pytest.raises(TypeError):
        MINI.prompts["query"] = "x"


def test_an_empty_prompt_is_no_prompt():
    assert Space("m", 2, prompts={"query": ""}) == Space("m", 2)


def test_a_mismatch_names_every_field_that_differs():
    other = replace(MINI, digest="sha256:cd", metric="dot")
    with pytest.raises(SpaceMismatch) as caught:
        MINI.require(other, "compare these vectors")
    assert str(caught.value) == (
        "Cannot compare these vectors: the spaces differ in metric: 'cosine' against 'dot'; "
        "digest: 'sha256:ab' against 'sha256:cd'. Vectors of two spaces cannot be compared; "
        "encode again with one encoder."
    )
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": ""}, "Space.model must be a name, got ''"),
        ({"model": 3}, "Space.model must be a name, got 3"),
        ({"dimension": 0}, "Space.dimension must be an int from 1 to 65,536, got 0"),
        ({"dimension": 3.0}, "got 3.0"),
        ({"dimension": True}, "got True"),
        ({"metric": "manhattan"}, "must be one of cosine, dot, euclidean; got 'manhattan'"),
        ({"digest": 5}, "Space.digest must be a str or None, got 5"),
        ({"layer": "last"}, "Space.layer must be an int, a text such as 'mean(11,12)', or None; got 'last'"),
        ({"prompts": {"passage": "p: "}}, "maps 'document' and 'query' to text, got 'passage'"),
        ({"normalized": 1}, "Space.normalized must be a bool, got 1"),
    ],
)
def test_wrong_fields(fields, message):
    with pytest.raises(InvalidInput) as caught:
        Space(**{"model": "m", "dimension": 2, **fields})
    assert message in str(caught.value)


def test_fields_of_a_newer_version_are_refused():
    with pytest.raises(InvalidInput, match="no field 'adapter'"):
        Space.from_dict({"model": "m", "dimension": 2, "adapter": "x"})
    with pytest.raises(InvalidInput, match="needs 'model' and 'dimension'"):
        Space.from_dict({"model": "m"})
