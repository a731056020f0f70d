"""Ways to make matrices of a layer: one for weights that are matrices, four for convolutions."""

from __future__ import annotations

import ww_core as ww
from ww_plugins.extractors.convolution import Pool, Slice, Stack
from ww_plugins.extractors.fourier import Fft
from ww_plugins.extractors.matrix import MatrixExtractor


@ww.hookimpl
def ww_register_extractors() -> list[type[ww.Extractor]]:
    """The built-in extractors."""
    return [MatrixExtractor, Pool, Slice, Stack, Fft]
