"""Networks and their controls, on both databases: they share their versions, and names that only look alike do not."""

import numpy as np
import pytest

import ww_core as ww


def weights(seed):
    return {"fc.weight": np.random.default_rng(seed).standard_normal((12, 10)).astype(np.float32)}


def versions(url):
    with ww.open_store(url, mode="read") as store:
        return {(own.model, own.version) for own in store.versions()}


@pytest.mark.parametrize("name", ["n_%é", "x" * 150])
def test_a_network_and_its_controls_share_their_versions(store_url, name):
    for neighbour in (name[:-1] + "~", name + "a", name[:1]):  # begin alike, and are other networks
        ww.analyze(weights(9), store=store_url, name=neighbour, version="7", metrics=["log_norm"])
    ww.analyze(weights(1), store=store_url, name=name, metrics=["log_norm"])
    for control in ("permuted", "random"):
        for seed in (2, 1, 2):  # of a network that comes later, of the first, and once more
            ww.analyze(weights(seed), store=store_url, name=name, control=control, metrics=["log_norm"])
    ww.analyze(weights(2), store=store_url, name=name, metrics=["log_norm"])
    of_networks = {(model, version) for model, version in versions(store_url) if model == name}
    of_controls = {version for model, version in versions(store_url) if "~" in model and version != "7"}
    assert of_networks == {(name, "1"), (name, "2")}
    assert of_controls == {"1", "2"}
