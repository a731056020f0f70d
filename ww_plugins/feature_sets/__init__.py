"""Built-in feature sets: what the paper's predictors see of a network, and variants that invariances leave alone.

T. Unterthiner, D. Keysers, S. Gelly, O. Bousquet, I. Tolstikhin, "Predicting Neural Network Accuracy from Weights",
arXiv:2002.11448.
"""

from __future__ import annotations

import ww_core as ww
from ww_plugins.feature_sets.hyperparameters import Hyperparameters
from ww_plugins.feature_sets.norms import Norms
from ww_plugins.feature_sets.statistics import GlobalStatistics, RelativeStatistics, Statistics
from ww_plugins.feature_sets.weights import SortedWeights, Weights


@ww.hookimpl
def ww_register_feature_sets() -> list[ww.FeatureSet]:
    """The built-in feature sets."""
    return [
        Weights(),
        SortedWeights(),
        Statistics(),
        RelativeStatistics(),
        GlobalStatistics(),
        Norms(),
        Hyperparameters(),
    ]
