"""The profiles ww comes with."""

from __future__ import annotations

import ww_core as ww

DEFAULT = ww.Profile(
    name="default",
    description="Every registered metric but those on request; convolutions by their pooled kernel slices.",
    extractor="matrix",
    convolution_extractor="pool",
    metrics=None,
    headline=(
        "alpha",
        "D",
        "sigma",
        "n_tail",
        "stable_rank",
        "log_spectral_norm",
        "alpha_weighted",
        "entropy",
        "warning",
        "short_tail",
    ),
)

PEER_LIMITS = "min_eigenvalues=10,max_eigenvalues=15000,max_N=50000"

WEIGHTWATCHER = ww.Profile(
    name="weightwatcher",
    description="WeightWatcher 0.7.5.5's rule, factors and cuts, and 0.7.7's from 20 eigenvalues on.",
    extractor=f"matrix[{PEER_LIMITS}]",
    convolution_extractor=f"pool[factor=1/2,{PEER_LIMITS}]",
    metrics=(
        "alpha",
        "D",
        "sigma",
        "xmin",
        "xmax",
        "num_pl_spikes",
        "warning",
        "frobenius_norm",
        "log_norm",
        "spectral_norm",
        "log_spectral_norm",
        "alpha_weighted",
        "log_alpha_norm",
        "stable_rank",
        "hard_rank",
        "entropy",
    ),
    parameters={"power_law.cut": 1e-5, "power_law.min_span": 1.0, "power_law.ties": "exact", "warning.sigmas": 0.0},
    headline=(
        "alpha",
        "D",
        "sigma",
        "num_pl_spikes",
        "log_norm",
        "log_spectral_norm",
        "alpha_weighted",
        "log_alpha_norm",
        "stable_rank",
        "warning",
    ),
)

WEIGHTWATCHER_FULL = ww.Profile(
    name="weightwatcher-full",
    description="Profile weightwatcher and what mp_fit, randomize and detX add to its frame, computed our way.",
    extractor=WEIGHTWATCHER.extractor,
    convolution_extractor=WEIGHTWATCHER.convolution_extractor,
    metrics=(
        *(WEIGHTWATCHER.metrics or ()),
        "num_spikes",
        "sigma_mp",
        "mp_softrank",
        "bulk_max",
        "bulk_min",
        "W_scale",
        "rand_num_spikes",
        "rand_sigma_mp",
        "rand_mp_softrank",
        "rand_bulk_max",
        "rand_bulk_min",
        "max_rand_eval",
        "rand_distance",
        "ww_softrank",
        "ww_maxdist",
        "detX_num",
        "detX_val",
        "ERG_gap",
    ),
    parameters=WEIGHTWATCHER.parameters,
    headline=(
        "alpha",
        "D",
        "num_pl_spikes",
        "num_spikes",
        "sigma_mp",
        "mp_softrank",
        "rand_num_spikes",
        "rand_distance",
        "ww_softrank",
        "detX_num",
        "warning",
    ),
)

TRENDS_2020 = ww.Profile(
    name="trends-2020",
    description="The rule behind the tables of Martin, Peng and Mahoney (2021): kernel slices with M >= 50.",
    extractor="matrix[factor=P/2,min_M=50]",
    convolution_extractor="slice[factor=P/2,min_M=50]",
    metrics=(
        "alpha",
        "D",
        "sigma",
        "xmin",
        "xmax",
        "n_tail",
        "frobenius_norm",
        "log_norm",
        "spectral_norm",
        "log_spectral_norm",
        "alpha_weighted",
        "log_alpha_norm",
        "stable_rank",
    ),
    parameters={
        "power_law.drop_smallest": 1,
        "power_law.min_span": 1.0,
        "power_law.ties": "exact",
        "power_law.xmax": "largest",
    },
    headline=(
        "alpha",
        "D",
        "n_tail",
        "log_norm",
        "log_spectral_norm",
        "alpha_weighted",
        "log_alpha_norm",
        "stable_rank",
    ),
)

FAST = ww.Profile(
    name="fast",
    description="Norms, ranks and entropy as in profile default; no tail is fitted.",
    extractor=DEFAULT.extractor,
    convolution_extractor=DEFAULT.convolution_extractor,
    metrics=(
        "frobenius_norm",
        "log_norm",
        "spectral_norm",
        "log_spectral_norm",
        "stable_rank",
        "hard_rank",
        "entropy",
        "effective_rank",
        "log_prod_spectral_norm",
    ),
    headline=("log_norm", "log_spectral_norm", "stable_rank", "hard_rank", "entropy", "effective_rank"),
)


@ww.hookimpl
def ww_register_profiles() -> list[ww.Profile]:
    """The built-in profiles."""
    return [DEFAULT, WEIGHTWATCHER, WEIGHTWATCHER_FULL, TRENDS_2020, FAST]
