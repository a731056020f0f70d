"""A checkpoint as a zoo of one network: the row of the zoo itself, bit for bit, in whatever file the network is."""

import numpy as np
import pytest
import torch
from linear_predictor import predictor_for, registry_of
from safetensors.numpy import save_file

import ww_core as ww
from ww_plugins.predictors.reading import any_network_of, network_of
from ww_plugins.zoos.data.named import image_set
from ww_plugins.zoos.folder import read_zoo
from ww_plugins.zoos.training.request import zoo_request
from ww_plugins.zoos.training.train import train_zoo
from ww_plugins.zoos.writing import write_zoo


@pytest.fixture(scope="module")
def registry():
    return registry_of()


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo") / "digits"
    images = image_set("digits")
    request = zoo_request(data="digits", count=2, epochs=1, checkpoints=[1], images=images)
    train_zoo(request, images, folder, jobs=1)
    return read_zoo(folder)


@pytest.fixture
def fitted(registry, zoo):
    return predictor_for(registry, tensors=zoo.tensors, layout=zoo.layout, zoo=zoo.name)


def as_pytorch(zoo, at):
    """The tensors of a network as PyTorch has them: (out, in, height, width) and (out, in)."""
    row = np.asarray(zoo.stored[zoo.rows[at]])
    found = {}
    for number, layer in enumerate(zoo.layers, 1):
        name = "fc" if number == len(zoo.layers) else f"conv{number}"
        own = layer.weight
        kernel = row[own.start : own.stop].reshape(own.shape)
        found[f"{name}.weight"] = np.moveaxis(kernel, (-1, -2), (0, 1)).copy()
        found[f"{name}.bias"] = row[layer.bias.start : layer.bias.stop].copy()
    return found


def as_keras(zoo, at):
    row = np.asarray(zoo.stored[zoo.rows[at]])
    return {own.name: row[own.start : own.stop].reshape(own.shape) for own in zoo.tensors}


def write(form, folder, zoo, at):
    """Write a network into a file, and return it with the options by which it is read."""
    state = as_pytorch(zoo, at)
    if form == "state dict":
        torch.save({name: torch.from_numpy(own) for name, own in state.items()}, folder / "net.pt")
        return folder / "net.pt", {}
    if form == "npz":
        np.savez(folder / "net.npz", **state)
        return folder / "net.npz", {}
    if form == "safetensors":
        save_file(state, folder / "net.safetensors")
        return folder / "net.safetensors", {}
    if form == "keras":
        np.savez(folder / "keras.npz", **as_keras(zoo, at))
        return folder / "keras.npz", {"loader": "npz[layout=keras]"}
    if form == "zoo":
        write_zoo(zoo, folder / "digits", {})
        return folder / "digits", {"loader": f"zoo[network={zoo.networks[at]}]"}
    return state, {}


@pytest.mark.parametrize("form", ["state dict", "npz", "safetensors", "keras", "zoo", "object"])
def test_a_row_is_that_of_the_zoo(registry, zoo, fitted, tmp_path, form):
    for at in range(len(zoo)):
        source, options = write(form, tmp_path, zoo, at)
        read = network_of(source, fitted, registry, **options)
        assert len(read) == 1
        assert (read.tensors, read.layout) == (zoo.tensors, zoo.layout)
        assert read.weights().dtype == np.float32
        assert read.weights().tobytes() == np.asarray(zoo.stored[zoo.rows[at]]).tobytes()


@pytest.mark.parametrize("features", ["statistics", "weights", "norms+global-statistics", "sorted-weights"])
def test_its_features_are_those_of_the_zoo(registry, zoo, fitted, features):
    of_zoo = ww.zoo_features(zoo, features, registry=registry)
    of_one = ww.zoo_features(network_of(as_pytorch(zoo, 1), fitted, registry), features, registry=registry)
    assert of_one.names == of_zoo.names
    np.testing.assert_array_equal(of_one.values[0], of_zoo.values[1])


def test_a_zoo_of_checkpoints_has_its_own_layout(registry, zoo):
    tensors, at = [], 0
    state = as_pytorch(zoo, 0)
    for name, own in state.items():
        layer, _, role = name.partition(".")
        tensors.append(ww.ZooTensor(f"{layer}/{role}", layer, role, at, at + own.size, own.shape))
        at += own.size
    fitted = predictor_for(registry, tensors=tuple(tensors), layout="pytorch")
    read = network_of(state, fitted, registry)
    np.testing.assert_array_equal(read.weights()[0], np.concatenate([own.reshape(-1) for own in state.values()]))


def test_names_that_are_all_there_count_more_than_the_order(registry):
    shapes = {"b": (4, 4), "a": (4, 4)}
    tensors = tuple(
        ww.ZooTensor(f"{name}/weight", name, "weight", 16 * at, 16 * at + 16, shape)
        for at, (name, shape) in enumerate(shapes.items())
    )
    fitted = predictor_for(registry, tensors=tensors, layout="pytorch")
    state = {"a.weight": np.full((4, 4), 1.0), "b.weight": np.full((4, 4), 2.0)}
    assert network_of(state, fitted, registry).weights()[0].tolist() == [2.0] * 16 + [1.0] * 16
    other = {f"x{name}": own for name, own in state.items()}
    assert network_of(other, fitted, registry).weights()[0].tolist() == [1.0] * 16 + [2.0] * 16


def test_doubles_stay_doubles_and_halves_become_singles(registry, zoo, fitted):
    state = as_pytorch(zoo, 0)
    state["fc.bias"] = np.full(10, 1 / 3)
    read = network_of(state, fitted, registry).weights()
    assert read.dtype == np.float64
    assert (read == 1 / 3).sum() == 10
    halves = {name: own.astype(np.float16) for name, own in state.items()}
    read = network_of(halves, fitted, registry).weights()
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, read.astype(np.float16).astype(np.float32))


def changed(state, **changes):
    return {**state, **{name.replace("_", "."): own for name, own in changes.items()}}


def other_networks(state):
    without_bias = {name: own for name, own in state.items() if name != "conv2.bias"}
    return {
        "the weight of layer 'conv2' is 16x8x3x3, and that of 'sequential/conv2d_1' is 16x16x3x3": changed(
            state, conv2_weight=np.ones((16, 8, 3, 3), np.float32)
        ),
        "the weight of layer 'fc' is 16x10, and that of 'sequential/dense' is 10x16": changed(
            state, fc_weight=np.ones((16, 10), np.float32), fc_bias=np.ones(16, np.float32)
        ),
        "the bias of layer 'conv2' is not there, and that of 'sequential/conv2d_1' is 16": without_bias,
        "it has 5 layers, and the zoo's networks have 4": changed(state, more_weight=np.ones((3, 3), np.float32)),
        "it has 1 layer, and": {"a.weight": np.ones((3, 3))},
        "it has 3 layers ('fc.weight' is none": changed(
            {name: own for name, own in state.items() if name != "fc.bias"}, fc_weight=np.ones((10, 16), np.int8)
        ),
    }


@pytest.mark.parametrize("place", range(6))
def test_a_network_of_another_layout_is_refused(registry, zoo, fitted, tmp_path, place):
    said, state = list(other_networks(as_pytorch(zoo, 0)).items())[place]
    np.savez(tmp_path / "net.npz", **state)
    with pytest.raises(ww.UsageError) as caught:
        network_of(tmp_path / "net.npz", fitted, registry)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'net.npz'}: its layers are not those of the zoo 'digits'")


def test_a_weight_that_is_no_number_is_named(registry, zoo, fitted):
    state = as_pytorch(zoo, 0)
    state["conv3.weight"][0, 0, 0, 0] = np.nan
    for read in (lambda: network_of(state, fitted, registry), lambda: any_network_of(state, registry)):
        with pytest.raises(ww.SourceError, match=r"dict: 'conv3\.weight' holds a number that is not finite"):
            read()


def test_a_file_that_is_none(registry, fitted, tmp_path):
    for read in (lambda own: network_of(own, fitted, registry), lambda own: any_network_of(own, registry)):
        for name in ("missing.pt", "text.pt"):
            (tmp_path / "text.pt").write_text("no network")
            with pytest.raises(ww.SourceError):
                read(tmp_path / name)


# --- features that networks of all layouts share ----------------------------------------------------------------------


def test_last_layers_of_any_network_are_those_of_the_zoo(registry, zoo):
    """The order of numbers in a tensor differs, and sums with it; the quantiles do not."""
    features = "statistics[layers=last]"
    of_zoo = ww.zoo_features(zoo, features, registry=registry)
    deeper = {"stem.weight": np.ones((4, 4, 3, 3), np.float32), **as_pytorch(zoo, 1)}
    of_one = ww.zoo_features(any_network_of(deeper, registry), features, registry=registry)
    assert of_one.names == of_zoo.names
    np.testing.assert_allclose(of_one.values[0], of_zoo.values[1], rtol=1e-12, atol=1e-15)
    quantiles = [".q" in name for name in of_one.names]
    np.testing.assert_array_equal(of_one.values[0, quantiles], of_zoo.values[1, quantiles])


def test_any_network_is_what_its_state_dict_is(registry):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Linear(5, 2, bias=False))
    read = any_network_of(model, registry)
    parameters = [own.detach().numpy().reshape(-1) for own in model.parameters()]
    np.testing.assert_array_equal(read.weights()[0], np.concatenate(parameters))
    assert [(own.layer, own.role, own.shape) for own in read.tensors] == [
        ("0", "weight", (3, 1, 3, 3)),
        ("0", "bias", (3,)),
        ("1", "weight", (3,)),
        ("1", "bias", (3,)),
        ("2", "weight", (2, 5)),
    ]


def test_a_network_without_a_layer(registry):
    with pytest.raises(ww.WWError):
        any_network_of({"a": np.ones(3, np.int64)}, registry)
