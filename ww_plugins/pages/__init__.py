"""Pages of HTML: what a report and a server show is drawn here. Nothing here prints, and nothing here asks the network.

Raises:
    MissingExtraError: On import, where Jinja is not installed.
"""

import ww_core as ww

try:
    import jinja2  # noqa: F401 - whether it is there
except ImportError:
    raise ww.MissingExtraError("jinja2 is not installed: pip install 'ww-core[web]'") from None
