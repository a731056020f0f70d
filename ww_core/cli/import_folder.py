"""``ww import FOLDER``: what another store has written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ww_core.command import store_location
from ww_core.command.options import pairs

if TYPE_CHECKING:
    from ww_core.command import Output


def import_folder(folder: str, rename: list[str] | None, store: str | None, output: Output) -> None:
    """Import an export folder, and print what is new."""
    from ww_core.use_cases.import_folder import import_folder as run

    renamed = pairs(rename, "--rename", "OLD=NEW")
    done = run(folder, store=store_location(store), rename=renamed)
    if output.format == "json":
        output.json({"folder": folder, "digest": done.digest, "rows": done.rows, "added": dict(done.added)})
        return
    rows = sorted(done.added.items(), key=lambda item: (-item[1], item[0]))
    output.table([{"table": table, "new rows": count} for table, count in rows])
    output.line(f"{folder}: {sum(done.added.values()):,} of {done.rows:,} rows are new here")
