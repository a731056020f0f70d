"""A report in one file of HTML: what is stored of models, to hand on."""

from ww_plugins.pages.report.document import report_html

__all__ = ["report_html"]
