import numpy as np

import ww_core as ww
from ww_plugins.profiles import FAST

WEIGHTS = {
    "dense.weight": np.random.default_rng(0).standard_normal((30, 20)),
    "conv.weight": np.random.default_rng(1).standard_normal((12, 10, 3, 3)),
}


def test_its_columns_are_those_of_the_default_profile():
    fast, default = (ww.analyze(WEIGHTS, profile=own) for own in ("fast", "default"))
    assert not fast.failures
    for ours, theirs in zip(fast.layers, default.layers, strict=True):
        assert (ours.name, ours.extractor) == (theirs.name, theirs.extractor)
        assert set(ours.metrics) - set(theirs.metrics) == {"effective_rank"}
        assert all(theirs.metrics[column] == ours.metrics[column] for column in set(ours.metrics) - {"effective_rank"})
    assert not fast.layer_metrics
    assert set(fast.model_metrics) == {"log_prod_spectral_norm"}


def test_what_stands_first_is_there():
    assert set(FAST.headline) <= set(FAST.metrics or ())


def test_no_tail_is_fitted(monkeypatch):
    def fitted(*_, **__):
        raise AssertionError

    monkeypatch.setattr("ww_plugins.metrics.tails.fit_power_law", fitted)
    assert not ww.analyze(WEIGHTS, profile="fast").failures
    assert ww.analyze(WEIGHTS).failures
