"""Profiles: data that fixes one variant of every extractor and column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ww_core.domain.layer import LayerKind

_NONE: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Profile:
    """A named selection.

    Attributes:
        name: Its name.
        description: One line on what it is for.
        extractor: Variant for layers that are no convolution, such as ``"matrix"``; empty for that of profile
            ``default``.
        convolution_extractor: Variant for convolutions, such as ``"fft[n=32]"``; empty for that of profile ``default``.
        metrics: Names of the selected metrics; None selects every registered one except those on request.
        parameters: Values by ``"quantity.parameter"``, where they differ from the defaults.
        headline: Columns that tables for people show, besides those of third parties; all of them are in JSON and CSV.
            On a terminal that is too narrow for all, the first one stays longest, with those of texts.
        extractors_by_kind: Variants for single kinds, before the two above.
        key: Its first qualified name, ``plugin:name``, if it has moved to another plugin or has another name now.
    """

    name: str
    description: str
    extractor: str = ""
    convolution_extractor: str = ""
    metrics: tuple[str, ...] | None = None
    parameters: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    headline: tuple[str, ...] = ()
    extractors_by_kind: Mapping[LayerKind, str] = field(default_factory=lambda: _NONE)
    key: str = ""

    def extractor_for(self, kind: LayerKind) -> str:
        """Variant that makes the matrices of a layer of this kind; empty for that of profile ``default``."""
        fallback = self.convolution_extractor if kind.is_convolution else self.extractor
        return self.extractors_by_kind.get(kind, fallback)
