"""The metrics ww comes with."""

from __future__ import annotations

import ww_core as ww
from ww_plugins.metrics import (
    determinant,
    estimators,
    model,
    norms,
    random_matrices,
    randomization,
    ranks,
    statistics,
    tail_shapes,
    tails,
    uncertainty,
)


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
        ranks.spectral_entropy,
        ranks.effective_rank,
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
        random_matrices.marchenko_pastur,
        random_matrices.sigma_mp,
        random_matrices.W_scale,
        random_matrices.bulk_max,
        random_matrices.bulk_min,
        random_matrices.spectrum_snr,
        random_matrices.level_spacing,
        randomization.randomization,
        randomization.randomization_means,
        randomization.randomized_bulk,
        randomization.correlation_traps,
        determinant.determinant_condition,
        determinant.ERG_gap,
        statistics.weight_moments,
        statistics.weight_quantiles,
        statistics.bias_moments,
        statistics.bias_quantiles,
        model.log_prod_spectral_norm,
    ]
