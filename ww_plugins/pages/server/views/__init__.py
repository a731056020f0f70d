"""The pages, one module each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ww_plugins.pages.server.views import (
    differences,
    histories,
    leaderboards,
    models,
    regressions,
    spectra,
    trends,
    versions,
)

if TYPE_CHECKING:
    from ww_plugins.pages.server.page import Page

PAGES: tuple[Page[Any], ...] = (
    models.PAGE,
    differences.PAGE,
    leaderboards.PAGE,
    trends.PAGE,
    versions.PAGE,
    histories.PAGE,
    regressions.PAGE,
    spectra.PAGE,
)
"""All pages; those that can be opened without a model come first, in the order of the menu."""

MENU = tuple(page for page in PAGES if page.blank is not None or not page.form.required)
