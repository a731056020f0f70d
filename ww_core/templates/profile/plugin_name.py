"""A profile: a selection of extractors, metrics and parameters under a name."""

from __future__ import annotations

import ww_core as ww


@ww.hookimpl
def ww_register_profiles() -> list[ww.Profile]:
    """The profiles of this plugin."""
    return [
        ww.Profile(
            name="object-name",
            description="Norms and ranks of stacked kernels; nothing is fitted.",
            convolution_extractor="stack",
            metrics=("spectral_norm", "frobenius_norm", "stable_rank", "hard_rank"),
            headline=("spectral_norm", "stable_rank"),
        )
    ]
