import json
from pathlib import Path

from ww_plugins.profiles import WEIGHTWATCHER, WEIGHTWATCHER_FULL

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "weightwatcher_0.7.7.json").read_text())["results"]


def test_it_is_the_profile_weightwatcher_and_more():
    assert WEIGHTWATCHER_FULL.metrics[: len(WEIGHTWATCHER.metrics)] == WEIGHTWATCHER.metrics
    assert WEIGHTWATCHER_FULL.parameters == WEIGHTWATCHER.parameters
    assert WEIGHTWATCHER_FULL.extractor == WEIGHTWATCHER.extractor
    assert WEIGHTWATCHER_FULL.convolution_extractor == WEIGHTWATCHER.convolution_extractor


def test_what_it_adds_are_the_columns_of_the_peer():
    (columns,) = {tuple(sorted(case["full"])) for case in GOLDEN.values()}
    assert sorted(set(WEIGHTWATCHER_FULL.metrics) - set(WEIGHTWATCHER.metrics)) == list(columns)
