"""Write the table of definitions in docs/reference/importers.md from what the importer of frames knows.

``python docs/make_importers_reference.py`` writes them; ``--check`` only says whether they are stale (exit code 1).
"""

from __future__ import annotations

import sys
from pathlib import Path

from ww_plugins.importers.peer_columns import COLUMNS

PAGE = Path(__file__).resolve().parent / "reference" / "importers.md"
BEGIN = "<!-- Written by docs/make_importers_reference.py from ww_plugins/importers/peer_columns.py. -->\n"
END = "<!-- End of what is written. -->\n"


def table() -> str:
    """A row for each meaning of each column."""
    lines = ["| column | from version | meaning | key | better | unit |", "|---|---|---|---|---|---|"]
    for own in COLUMNS:
        name = f"`{own.name}`" + (f", before 0.4 `{own.old_name}`" if own.old_name else "")
        better = "" if own.better == "none" else own.better
        lines.append(f"| {name} | {own.first} | {own.definition} | `{own.metric}` | {better} | {own.unit} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The whole page with the tables as they should be."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Write the page, or compare it."""
    fresh = page()
    if "--check" in sys.argv[1:]:
        if PAGE.read_text(encoding="utf-8") != fresh:
            print(f"{PAGE.name} is stale: run python docs/make_importers_reference.py")
            return 1
        return 0
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
