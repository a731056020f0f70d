"""``python -m ww_core`` is ``ww``."""

from __future__ import annotations

import sys

from ww_core.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
