"""The contract of loaders, for the one that reads a network of a zoo."""

import json
from dataclasses import replace

import numpy as np
import published_zoo

import ww_core as ww
import ww_plugins.loaders
from ww_core.testing import LoaderContract
from ww_core.testing.metrics import sample_weights
from ww_plugins.zoos.writing import write_zoo


class TestZooLoader(LoaderContract):
    plugin = ww_plugins.loaders
    name = "zoo"

    def write(self, weights, folder):
        tensors, at = [], 0
        for name, own in weights.items():
            layer, _, role = name.rpartition(".")
            tensors.append(ww.ZooTensor(f"{layer}/{role}", layer, role, at, at + own.size, own.shape))
            at += own.size
        row = np.concatenate([own.reshape(-1) for own in weights.values()]).astype(np.float32)
        stored = np.stack([np.zeros_like(row), row, np.ones_like(row)])
        numbers = np.arange(3)
        zoo = ww.Zoo("zoo", tuple(tensors), "pytorch", stored, numbers, numbers, np.full(3, 5), {}, {})
        write_zoo(zoo, folder / "zoo", {})
        return folder / "zoo"

    def loader(self):
        return replace(super().loader(), network=1)

    def test_it_gives_back_what_was_written(self, source):
        """A zoo has one dtype, so that is float32's here."""
        with self.open(source) as checkpoint:
            specs = {spec.name: spec for layer in checkpoint.layers for spec in layer.tensors}
            assert specs.keys() == sample_weights().keys()
            for name, weight in sample_weights().items():
                for _ in range(2):
                    with checkpoint.read(specs[name]) as array:
                        assert not array.flags.writeable
                        np.testing.assert_array_equal(array, weight.astype(np.float32))

    def others(self):
        return {}  # every column is a weight

    def unprintable_names(self):
        return ()  # the layout of a zoo is a table, whose cells escape them


def test_a_network_has_the_parameters_that_its_zoo_tells(tmp_path, ww_here):
    published_zoo.write(tmp_path / "small")

    def told(*arguments):
        return json.loads(ww_here(*arguments, "--json").stdout)

    options = ("--loader", "zoo[network=2]")
    counts = {
        told("zoo", "show", "small")["parameters"],
        told("describe", "small", *options)["parameters"],
        told("analyze", "small", *options, "--metrics", "spectral_norm")["coverage"]["parameters"],
        *(own["parameters"] for own in told("show")),
    }
    assert counts == {published_zoo.PARAMETERS}
