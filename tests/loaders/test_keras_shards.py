"""Indices of Keras's shards that are wrong, or that divide a layer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from naming import ByName

import ww_core as ww
from ww_plugins.loaders.keras.loader import KerasLoader

h5py = pytest.importorskip("h5py")

KERNEL, BIAS = np.arange(12, dtype="f4").reshape(3, 4), np.ones(4, "f4")
FIRST, SECOND = "net_00000.weights.h5", "net_00001.weights.h5"
PATH = "/layers/dense/vars"


def shard(path, held, name=""):
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/dense/vars")
        if name:
            group.attrs["name"] = name
        for key, array in held.items():
            group.create_dataset(key, data=array)


def model(folder, index, first=None, second=None):
    shard(folder / FIRST, {"0": KERNEL} if first is None else first, "head")
    shard(folder / SECOND, {"1": BIAS} if second is None else second)
    content = index if isinstance(index, str) else json.dumps({"metadata": {}, "weight_map": index})
    (folder / "net.weights.json").write_text(content)
    return ByName(KerasLoader()).open(folder)


def test_a_layer_may_be_divided_between_shards(tmp_path):
    checkpoint = model(tmp_path, {PATH: [FIRST, SECOND]})
    (layer,) = checkpoint.layers
    assert (layer.name, str(layer.kind)) == ("head", "dense")
    with checkpoint.read(layer.weight) as weight, checkpoint.read(layer.bias) as bias:
        assert np.array_equal(weight, KERNEL.T)
        assert np.array_equal(bias, BIAS)
    assert not checkpoint.warnings
    (tmp_path / "other.json").write_bytes((tmp_path / "net.weights.json").read_bytes())
    assert ByName(KerasLoader()).open(tmp_path / "other.json").layers == checkpoint.layers


def test_what_the_index_does_not_name_is_read_and_told(tmp_path):
    model(tmp_path, {PATH: [FIRST, SECOND]})
    with h5py.File(tmp_path / SECOND, "a") as file:
        file.create_dataset("layers/dense_1/vars/0", data=KERNEL)
    checkpoint = ByName(KerasLoader()).open(tmp_path)
    assert len(checkpoint.layers) == 2
    (warning,) = checkpoint.warnings
    assert "the index does not name these, which are read: layers/dense_1/vars" in warning


WRONG = {
    "out of the folder": ({PATH: f"../{FIRST}"}, "no plain name of a file beside it"),
    "an absolute path": ({PATH: ["/etc/passwd"]}, "no plain name of a file beside it"),
    "a number for a file": ({PATH: [3]}, "no plain name of a file beside it"),
    "nothing for a file": ({PATH: []}, "no plain name of a file beside it"),
    "lists in lists": ({PATH: [[FIRST]]}, "no plain name of a file beside it"),
    "a shard that is missing": ({PATH: "net_00007.weights.h5"}, "missing: net_00007.weights.h5"),
    "a group that is not there": ({PATH: FIRST, "/layers/dense_1/vars": SECOND}, "which does not hold it"),
    "no map": ('{"weight_map": 3, "a": "x.weights.h5"}', "no weight_map"),
    "an empty map": ('{"weight_map": {}, "a": "x.weights.h5"}', "no weight_map"),
    "no JSON": ('{"weight_map": {"a": "x.weights.h5"', "not valid JSON"),
    "deep": ('{"weight_map":' + "[" * 100_000, "nested too deeply"),
    "itself": ({PATH: "net.weights.json"}, "net.weights.json"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_index_that_is_wrong_is_one_sentence(tmp_path, case):
    index, words = WRONG[case]
    with pytest.raises(ww.SourceError, match=words) as caught:
        model(tmp_path, index)
    assert "\n" not in str(caught.value)


def test_a_variable_in_two_shards_is_a_contradiction(tmp_path):
    with pytest.raises(ww.CorruptFileError, match="'layers/dense/vars/0' is in a shard before this one too"):
        model(tmp_path, {PATH: [FIRST, SECOND]}, second={"0": KERNEL})


def test_several_indices_are_to_be_chosen_from(tmp_path):
    (tmp_path / "other.weights.json").write_text("{}")
    with pytest.raises(ww.SourceError, match="several indices; name one of them"):
        model(tmp_path, {PATH: [FIRST, SECOND]})
