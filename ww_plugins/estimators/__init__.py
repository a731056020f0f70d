"""Built-in estimators: those of the paper, and trees that need no search.

T. Unterthiner, D. Keysers, S. Gelly, O. Bousquet, I. Tolstikhin, "Predicting Neural Network Accuracy from Weights",
arXiv:2002.11448.
"""

from __future__ import annotations

import ww_core as ww


@ww.hookimpl
def ww_register_estimators() -> list[ww.Estimator]:
    """The built-in estimators."""
    return []
