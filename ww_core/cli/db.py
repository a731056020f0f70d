"""``ww db``: the store itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ww_core.command import Output, arrow, options, store_location
from ww_core.command.examples import examples
from ww_core.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ww_core.store.garbage import Garbage
    from ww_core.store.integrity import Faults

app = typer.Typer(help="Check, clean, back up and upgrade a store.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Inspect and maintain the store."""


@app.command("info")
@examples("ww db info")
def info(
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """Show where the store is and how much it holds."""
    from ww_core.store.store import open_store

    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    with open_store(store_location(store), mode="read") as opened:
        found = opened.info()
    row = {
        "location": found.location,
        "dialect": found.dialect,
        "revision": found.revision,
        "bytes": found.size,
        **found.counts,
    }
    if output.format == "json":
        output.json(row)
    elif output.format == "csv":
        output.csv([row])
    else:
        output.table([{"what": key, "value": "" if value is None else str(value)} for key, value in row.items()])


@app.command("upgrade")
@examples("ww db upgrade")
def upgrade(store: options.Store = None) -> None:
    """Bring the store's schema up to date.

    A copy of a SQLite file is made first.
    """
    from ww_core.store.store import upgrade_store

    output = Output()
    before, after, backup = upgrade_store(store_location(store))
    if before == after:
        output.line(f"schema {after}: up to date")
    else:
        output.line(f"schema {before} {arrow()} {after}" + (f", copy of the old one in {backup}" if backup else ""))


@app.command("distrust")
@examples("ww db distrust ww.metrics")
def distrust(
    plugin: Annotated[
        str,
        typer.Argument(
            metavar="PLUGIN[==VERSION]",
            help="A plugin, or the distribution that contains it.",
            callback=options.not_empty,
        ),
    ],
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Remove the results computed with a plugin.

    Its values and spectra are removed, and everything computed from them; names, runs and everything else stay. `ww
    show --origin` shows the plugin of each value.
    """
    from ww_core.store.store import open_existing_store

    output = Output(as_json=as_json)
    name, equals, version = plugin.partition("==")
    if equals and not version.strip():
        raise UsageError(f"{plugin!r} names no version: write PLUGIN==VERSION, or PLUGIN for every version")
    with open_existing_store(store_location(store)) as opened:
        removed = opened.distrust(name.strip(), version.strip())
    if output.format == "json":
        output.json({"values": removed.values, "spectra": removed.spectra, "files": removed.files})
        return
    output.line(f"removed: {removed.values} values, {removed.spectra} spectra")
    if removed.files:
        output.line(f"tensors of files that will be read again: {removed.files}")
    output.line(
        "`ww analyze` computes them again from the weights; `ww backfill` computes those that need only stored spectra"
    )


@app.command("gc")
@examples("ww db gc", "ww db gc --dry-run")
def collect_garbage(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Remove results that nothing uses any more.

    It removes results that no name and no run needs, and shrinks the file.
    """
    from ww_core.store.store import open_existing_store, open_store

    output = Output(as_json=as_json)
    location = store_location(store)
    with open_store(location, mode="read") if dry_run else open_existing_store(location) as opened:
        found = opened.count_garbage() if dry_run else opened.collect_garbage()
    if output.format == "json":
        output.json(
            {
                "dry_run": dry_run,
                "removed": dict(found.removed),
                "interrupted": found.killed,
                "running": found.going_on,
                "bytes_before": found.size_before,
                "bytes_after": found.size_after,
            }
        )
    else:
        _print_garbage(found, output, dry_run=dry_run)


def _print_garbage(found: Garbage, output: Output, *, dry_run: bool) -> None:
    rows = sorted(found.removed.items(), key=lambda item: (-item[1], item[0]))
    output.table([{"table": table, "rows": count} for table, count in rows])
    if not rows:
        output.line("nothing to remove")
    if found.killed:
        output.line(f"runs that were killed, now marked as interrupted: {found.killed}")
    if found.going_on:
        output.line(
            f"runs that are going on: {found.going_on}; what they need stays, and so does the size of the file "
            "(a run that was killed counts for a day)"
        )
    if found.size_before is not None and not dry_run:
        output.line(f"bytes: {found.size_before:,} {arrow()} {found.size_after:,}")
    if dry_run:
        output.line("nothing was changed: this is what `ww db gc` does without --dry-run")


@app.command("backup")
@examples("ww db backup copy.sqlite")
def backup(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The copy: a new file.")],
    store: options.Store = None,
) -> None:
    """Copy the store to a new file, also while others write to it."""
    from ww_core.store.store import open_store

    output = Output()
    with open_store(store_location(store), mode="read") as opened:
        size = opened.backup(file)
    output.line(f"{file}: {size:,} bytes, checked")


@app.command("check")
@examples("ww db check")
def check(
    repair: Annotated[
        bool, typer.Option("--repair", help="Compute the summaries again from the other tables.")
    ] = False,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Check the store for damage.

    It checks pages, cells, references, digests, spectra, values and summaries.
    """
    from ww_core.store.store import open_existing_store, open_store

    output = Output(as_json=as_json)
    location = store_location(store)
    with open_existing_store(location) if repair else open_store(location, mode="read") as opened:
        found = opened.verify()
        # Writing to a damaged file might do more damage.
        mending = repair and "summary" in found.faults and "file" not in found.faults
        repaired = opened.rebuild_summaries() if mending else 0
        where = opened.location
    faults = {kind: own for kind, own in found.faults.items() if not (mending and kind == "summary")}
    if output.format == "json":
        listed = {kind: {"count": own.count, "first": list(own.first)} for kind, own in faults.items()}
        content = {"checked": dict(found.checked), "faults": listed, "repaired": repaired, "others": list(found.others)}
        output.json(content)
    else:
        for kind, own in faults.items():
            for message in own.first:
                output.line(f"{kind}: {message}")
            if own.count > len(own.first):
                output.line(f"{kind}: and {own.count - len(own.first)} more")
        if found.others:
            output.line(f"not made by ww, and not used by it: {', '.join(found.others)}")
        if repaired:
            output.line(f"checkpoints whose summaries were written again: {repaired}")
        if not faults:
            output.line(f"sound: {', '.join(f'{count:,} {what}' for what, count in found.checked.items())}")
    if faults:
        raise StoreError(f"{where}: {_next_step(faults, repair=repair)}")


def _next_step(faults: Mapping[str, Faults], *, repair: bool) -> str:
    count = sum(own.count for own in faults.values())
    found = f"{count} fault{'s' if count != 1 else ''}"
    if faults.keys() == {"summary"}:
        return f"{found}, all of them in summaries: `ww db check --repair` writes these again"
    cannot = ", which --repair cannot repair" if repair else ""
    return f"{found}{cannot}: restore a copy, or analyse the weights into a new store"
