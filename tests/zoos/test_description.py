"""What `ww zoo show` says of hyperparameters and of guessing."""

import json
from collections import Counter

import numpy as np
import pytest

import ww_core as ww
from ww_core.command import run_app
from ww_plugins.commands.zoo.command import app
from ww_plugins.zoos.description import chance_of, described
from ww_plugins.zoos.writing import write_zoo


def a_zoo(values, tensors=(("d/w", "d", "weight", (2, 3)),)):
    own, at = [], 0
    for name, layer, role, shape in tensors:
        own.append(ww.ZooTensor(name, layer, role, at, at + int(np.prod(shape)), shape))
        at = own[-1].stop
    count = len(values)
    return ww.Zoo(
        name="z",
        tensors=tuple(own),
        layout="keras",
        stored=np.zeros((count, at), np.float32),
        rows=np.arange(count),
        networks=np.arange(count),
        epochs=np.ones(count, np.int64),
        hyperparameters={"random_seed": np.array(values, np.float64)},
    )


@pytest.mark.parametrize(
    "values",
    [
        [1234567, 1234568, 1234569],
        [12345678] * 3,
        [0.0025832100000000003, 0.00258321, 0.1 + 0.2],
        [0.0, -0.0, 1e300, 5e-324],
        [1.5, np.nan, np.nan],
        [np.nan],
        [np.inf, 2.0],
    ],
)
def test_counts_sum_to_the_networks_and_have_all_digits(values, tmp_path, capfd):
    zoo = a_zoo(values)
    (own,) = described(zoo).hyperparameters
    assert sum(own.counts.values()) == len(values)
    told = Counter({None if not text else float(text): count for text, count in own.counts.items()})
    assert told == Counter(None if np.isnan(value) else value for value in values)
    write_zoo(zoo, tmp_path / "z", {})
    assert run_app(app, ["show", str(tmp_path / "z"), "--json"], name="ww zoo") == 0
    (shown,) = json.loads(capfd.readouterr().out)["hyperparameters"]
    assert shown["counts"] == own.counts


def test_whole_numbers_have_no_point():
    (own,) = described(a_zoo([42, 12345678])).hyperparameters
    assert own.counts == {"42": 1, "12345678": 1}


def test_a_norm_at_the_end_has_no_classes():
    dense = ("d/w", "d", "weight", (2, 4))
    norms = (("n/gamma", "n", "weight", (12,)), ("n/beta", "n", "bias", (12,)))
    assert chance_of(a_zoo([1], (dense, *norms))) == 0.25
    assert chance_of(a_zoo([1], norms)) is None
