"""What a column comes to over the versions of a model, on both databases: complete analyses only."""

import numpy as np
import pytest

import ww_core as ww
from ww_core.store.store import open_store


def test_each_version_has_the_summary_of_its_complete_analysis(store_url, weights):
    changed = weights | {"first.weight": weights["first.weight"] * np.float32(2)}
    with open_store(store_url) as store:
        first = ww.analyze(weights, store=store, name="net")
        second = ww.analyze(changed, store=store, name="net")
        ww.analyze(weights, store=store, name="other")
        ww.analyze(changed, store=store, name="net", version="narrow", layers=["first"], move_label=True)
        ww.analyze(weights, store=store, name="net", version="slices", extractors=["slice"], move_label=True)
        (variant,) = {own.variant for own in first.columns if own.name == "log_norm"}
        with store.reading() as reader:
            found = {own.ref.name: own.value for own in reader.summaries("net", variant, "mean")}
            largest = [own.value for own in reader.summaries("net", variant, "max")]
            assert reader.summaries("nobody", variant, "mean") == []
            assert reader.summaries("net", "0" * 64, "mean") == []
            for own in reader.summaries("net", variant, "mean"):
                assert reader.find(own.ref.name) == own.ref
    assert found == {"net@1": first.summary["log_norm"].mean, "net@2": second.summary["log_norm"].mean}
    assert largest == pytest.approx([first.summary["log_norm"].max, second.summary["log_norm"].max])
