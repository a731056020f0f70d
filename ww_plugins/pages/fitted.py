"""The chart of a stored spectrum with its tail, as reports and pages of a store show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ww_plugins.pages.charts import spectrum_chart

if TYPE_CHECKING:
    from markupsafe import Markup

    from ww_plugins.commands.plot.spectra import FittedSpectrum


def fitted_chart(own: FittedSpectrum, title: str = "") -> Markup:
    """Return the chart of a spectrum with its tail, its noise floor, the edge of its bulk and its control."""
    return spectrum_chart(
        title or own.title,
        own.spectrum.eigenvalues,
        tail=own.tail,
        floor=own.spectrum.noise_floor**2,
        edge=own.edge,
        permuted=None if own.permuted is None else own.permuted.eigenvalues,
    )
