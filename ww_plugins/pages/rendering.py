"""Templates into which every text goes escaped, shortened, and with what cannot be printed told apart."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ww_core.command import cell

LONGEST = 300
"""Characters of a text on a page; what is longer is cut, and it is said how long it was."""


def shown(text: str) -> str:
    r"""Return a text as a page shows it: on one line, of at most about ``LONGEST`` characters.

    Control characters and those that change the direction of text are escaped, as ``\x1b`` or ``\u202e``.
    """
    head = cell(text[:LONGEST])
    return head if len(text) <= LONGEST else f"{head}… ({len(text):,} characters)"


def told(value: Any) -> Any:
    """Return what a template prints of a value: numbers with four digits, nothing for None, texts by `shown`.

    What is markup already comes from templates and charts of ours, and stays.
    """
    if isinstance(value, Markup):
        return value
    return shown(value) if isinstance(value, str) else cell(value)


def environment() -> Environment:
    """Return the environment of our templates: everything is escaped, and what is not defined is an error."""
    return Environment(
        loader=PackageLoader("ww_plugins.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=told,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@cache
def asset(name: str) -> str:
    """Return the text of ``ww.css`` or ``ww.js``."""
    return files("ww_plugins.pages").joinpath("assets", name).read_text(encoding="utf-8")


def inline(name: str) -> Markup:
    """Return an asset to stand inside ``<style>`` or ``<script>``; it is ours, and holds no end tag."""
    return Markup(asset(name))  # noqa: S704 - a file of this package


def content_security_policy() -> str:
    """Return the policy of a page that holds its assets: they alone run, and nothing is fetched from anywhere."""
    return (
        f"default-src 'none'; style-src {_source('ww.css')}; script-src {_source('ww.js')}; "
        "base-uri 'none'; form-action 'none'"
    )


def _source(name: str) -> str:
    digest = hashlib.sha256(asset(name).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def page(template: str, content: Mapping[str, Any]) -> str:
    """Return a page that needs nothing else: style and script stand inside it.

    Args:
        template: Name of the template.
        content: What it shows, by name.
    """
    given = {"policy": content_security_policy(), "style": inline("ww.css"), "script": inline("ww.js")}
    return environment().get_template(template).render(given | dict(content))
