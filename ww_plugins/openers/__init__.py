"""Built-in openers: what addresses lead to."""

from __future__ import annotations

import ww_core as ww
from ww_plugins.openers.files import Files
from ww_plugins.openers.remote import Remote


@ww.hookimpl
def ww_register_openers() -> list[ww.Opener]:
    """The built-in openers."""
    return [Files(), Remote()]
