"""A profile: data, under a name. Short names of metrics work as long as no two plugins use them."""

import ww_core as ww


@ww.hookimpl
def ww_register_profiles():
    return [
        ww.Profile(
            name="pruning",
            description="What pruning does to a network: norms, ranks and dead outputs; nothing is fitted.",
            metrics=("nuclear_norm", "spectral_norm", "stable_rank", "hard_rank", "dead_outputs", "norm_spread"),
            headline=("nuclear_norm", "stable_rank", "hard_rank"),
        )
    ]
