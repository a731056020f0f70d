"""The metrics ww comes with."""

from __future__ import annotations

import ww_core as ww
from ww_plugins.metrics import estimators, model, norms, ranks, statistics, tail_shapes, tails, uncertainty


@ww.hookimpl
def ww_register_metrics() -> list[ww.Quantity]:
    """The built-in metrics."""
    return [
        norms.frobenius_norm,
        norms.spectral_norm,
        norms.log_norm,
        norms.log_spectral_norm,
        norms.alpha_norm,
        norms.log_alpha_norm,
        ranks.stable_rank,
        ranks.hard_rank,
        ranks.entropy,
        ranks.smallest_singular_value,
        tails.power_law,
        tails.alpha_weighted,
        tails.num_pl_spikes,
        tails.warning,
        tails.short_tail,
        tail_shapes.truncated_power_law,
        tail_shapes.tail_alternatives,
        estimators.alpha_mid,
        estimators.power_law_at_peak,
        estimators.clipped_power_law,
        estimators.farms,
        uncertainty.alpha_resamples,
        uncertainty.power_law_p,
        statistics.weight_moments,
        statistics.weight_quantiles,
        statistics.bias_moments,
        statistics.bias_quantiles,
        model.log_prod_spectral_norm,
    ]
