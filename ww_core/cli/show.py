"""``ww show``: what is stored."""

from __future__ import annotations

from typing import Annotated

import typer

from ww_core.command import Output, options, store_location
from ww_core.command.examples import examples


@examples("ww show", "ww show net", "ww show net@1 --scope model --json")
def show(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="MODEL, MODEL@VERSION or a digest prefix.",
            show_default=False,
            callback=options.not_empty,
        ),
    ] = None,
    profile: options.StoredProfile = None,
    variant: Annotated[
        str | None,
        typer.Option(
            "--variant",
            metavar="LABEL",
            help="The newest run that shows this column or extractor, as 'alpha[ks=two-sided]' or slice.",
            callback=options.not_empty,
        ),
    ] = None,
    run: Annotated[int | None, typer.Option("--run", metavar="N", help="The run of this number.")] = None,
    scope: options.Scope = options.RowScope.MATRIX,
    origin: Annotated[
        bool, typer.Option("--origin", help="Tell who made the values: run, program, plugins, BLAS.")
    ] = False,
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """Show a stored analysis, or list what is stored.

    Without MODEL, every version of every model is listed. The analysis is the newest of the profile's own variants.
    --variant and --run show others.
    """
    from ww_core.cli.report import DIGEST_SHOWN, print_origins, print_report
    from ww_core.errors import UsageError
    from ww_core.store.store import open_store

    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    if model is None and (profile, variant, run, origin) != (None, None, None, False):
        raise UsageError("--profile, --variant, --run and --origin speak of an analysis of a MODEL: name one")
    with open_store(store_location(store), mode="read") as opened:
        if model is not None and origin:
            print_origins(opened.origins(model, profile, variant=variant, run=run), output)
            return
        if model is not None:
            print_report(opened.report(model, profile, variant=variant, run=run), output, scope.value)
            return
        rows = [version._asdict() for version in opened.versions()]
    if output.format == "json":
        output.json(rows)
    elif output.format == "csv":
        output.csv([row | {"series": " ".join(row["series"])} for row in rows])
    else:
        shown = [row | {"digest": row["digest"][:DIGEST_SHOWN], "series": ", ".join(row["series"])} for row in rows]
        output.table(shown, optional=("format", "step", "created_at", "source", "series", "parameters", "digest"))
        if not rows:
            output.line("nothing is stored yet: `ww analyze SOURCE` makes a start")
