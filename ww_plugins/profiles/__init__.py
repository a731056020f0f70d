"""The profiles ww comes with."""

from __future__ import annotations

import ww_core as ww


@ww.hookimpl
def ww_register_profiles() -> list[ww.Profile]:
    """The built-in profiles."""
    return [
        ww.Profile(
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
    ]
