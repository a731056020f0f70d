"""Built-in report writers: pages to hand on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import ww_core as ww

if TYPE_CHECKING:
    from collections.abc import Sequence


class Page(ww.ReportWriter):
    """A page with tables that sort and filter, and charts of the spectra."""

    name: ClassVar[str] = "page"
    description: ClassVar[str] = "one page for a browser: tables that sort and filter, spectra with their fits"
    extra: ClassVar[str] = "web"

    def html(
        self, models: Sequence[str], *, store: ww.Store, history: bool, profile: str | None, registry: ww.Registry
    ) -> str:
        """Return the page; each analysis is told of once, and the same store gives the same text."""
        from ww_plugins.pages.report import report_html  # needs Jinja, and most runs write no report

        return report_html(models, store=store, history=history, profile=profile, registry=registry)


@ww.hookimpl
def ww_register_report_writers() -> Sequence[ww.ReportWriter]:
    """Register the writer of pages."""
    return [Page()]
