"""Built-in estimators: those of the paper, and trees that need no search.

T. Unterthiner, D. Keysers, S. Gelly, O. Bousquet, I. Tolstikhin, "Predicting Neural Network Accuracy from Weights",
arXiv:2002.11448.
"""

from __future__ import annotations

import ww_core as ww
from ww_plugins.estimators.dnn import Network
from ww_plugins.estimators.forests import ExtraTrees, Forest
from ww_plugins.estimators.gbm import GradientBoosting
from ww_plugins.estimators.logit_linear import LogitLinear


@ww.hookimpl
def ww_register_estimators() -> list[ww.Estimator]:
    """The built-in estimators."""
    return [GradientBoosting(), ExtraTrees(), Forest(), LogitLinear(), Network()]
