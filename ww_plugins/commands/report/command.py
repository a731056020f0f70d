"""Write a report on stored models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import ww_core as ww
from ww_core.command import Output, Session, options, store_location
from ww_core.command.examples import examples

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
@examples("ww report net -o net.html", "ww report net@1 net@2 --history -o versions.html")
def report(
    ctx: typer.Context,
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="MODEL, MODEL@VERSION or a digest prefix.", callback=options.not_empty),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The report, as report.html.")],
    history: Annotated[bool, typer.Option("--history", help="Include all versions of each MODEL.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    profile: options.StoredProfile = None,
    store: options.Store = None,
) -> None:
    """Write a report on stored models: one HTML file to hand on.

    It opens in any browser and needs no network. It has warnings with their rules, tables that sort and filter, spectra
    with their fits, coverage and provenance; with two or more models also how each differs from the first. No weight
    is read.
    """
    target = ww.output_place(output, replace=force)
    session: Session = ctx.obj
    text = ww.report_html(
        models, store=store_location(store), history=history, profile=profile, registry=session.registry()
    )
    with ww.new_output(output, replace=force) as file:
        file.write_text(text, encoding="utf-8", newline="\n")
    Output().line(f"report on {len(models)} model{'' if len(models) == 1 else 's'} written to {target}")
