"""What scaling does to a network itself: which of the changes of ``ww predictor invariance`` it should not mind."""

import numpy as np
import pytest

from ww_plugins.zoos.data import image_set
from ww_plugins.zoos.folder import read_zoo
from ww_plugins.zoos.training.request import zoo_request
from ww_plugins.zoos.training.train import train_zoo


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo") / "digits"
    images = image_set("digits")
    train_zoo(zoo_request(data="digits", count=20, epochs=4, images=images, checkpoints=[0]), images, folder, jobs=1)
    return read_zoo(folder).last()


def accuracy(zoo, row, activation, images, labels):
    """The accuracy of a network in double precision, its layers by torch's own functions."""
    import torch
    from torch.nn import functional

    maps = torch.from_numpy(images)[:, None]
    for layer in zoo.layers:
        weight, bias = (
            torch.from_numpy(row[own.start : own.stop].reshape(own.shape)) for own in (layer.weight, layer.bias)
        )
        if weight.ndim == 4:
            maps = getattr(torch, activation)(functional.conv2d(maps, weight.permute(3, 2, 0, 1), bias, stride=2))
        else:
            maps = maps.mean((2, 3)) @ weight + bias
    return float((maps.argmax(1).numpy() == labels).mean())


def scaled(zoo, row, scale, by_depth):
    changed = row * scale
    for depth, layer in enumerate(zoo.layers):
        if by_depth:
            changed[layer.bias.start : layer.bias.stop] = row[layer.bias.start : layer.bias.stop] * scale ** (depth + 1)
    return changed


@pytest.mark.parametrize("scale", [0.1, 2.0])
def test_a_relu_network_keeps_its_accuracy_only_if_biases_are_scaled_by_depth(zoo, scale):
    images = image_set("digits")
    pictures, labels = images.x_test.astype(np.float64), images.y_test
    moved = {by_depth: [] for by_depth in (True, False)}
    for row, kind, measured in zip(
        zoo.weights().astype(np.float64), zoo.hyperparameters["activation"], zoo.results["test_accuracy"], strict=True
    ):
        own = accuracy(zoo, row, kind, pictures, labels)
        assert own == pytest.approx(measured, abs=0.004)
        if kind == "relu":
            for by_depth, told in moved.items():
                told.append(abs(accuracy(zoo, scaled(zoo, row, scale, by_depth), kind, pictures, labels) - own))
    assert len(moved[True]) > 5
    assert max(moved[True]) == 0.0
    assert max(moved[False]) > 0.02 or scale > 1
    assert np.mean(moved[False]) > np.mean(moved[True])
