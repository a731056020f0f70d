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
    scope: options.ShownScope = None,
    columns: options.ShownColumns = None,
    sort: options.SortedBy = "",
    origin: Annotated[
        bool, typer.Option("--origin", help="Show the origin of the values: run, program, plugins, BLAS.")
    ] = False,
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """Show a stored analysis, or list what is stored.

    Without MODEL, every version of every model is listed. The newest analysis with the profile's own variants is shown.
    --variant and --run select others.
    """
    from ww_core.cli.report import DIGEST_SHOWN, print_origins, print_report
    from ww_core.command.choice import Choice
    from ww_core.errors import UsageError
    from ww_core.store.store import open_store

    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    choice = Choice.of(columns, sort, output)
    if origin and choice.names:
        raise UsageError("--columns and --sort choose from the tables of an analysis: leave them out, or --origin")
    if model is None and (profile, variant, run, scope, origin) != (None, None, None, None, False):
        raise UsageError("--profile, --variant, --run, --scope and --origin need a MODEL: name one")
    with open_store(store_location(store), mode="read") as opened:
        if model is not None and origin:
            print_origins(opened.origins(model, profile, variant=variant, run=run), output)
            return
        if model is not None:
            report = opened.report(model, profile, variant=variant, run=run)
            print_report(report, output, scope.rows if scope else None, choice)
            return
        rows = [version._asdict() for version in opened.versions()]
    if output.format == "json":
        output.json(rows)
        return
    if rows:
        choice.check(rows[0])
    is_csv = output.format == "csv"
    for row in rows:
        row |= {"series": (" " if is_csv else ", ").join(row["series"])}
        row |= {} if is_csv else {"digest": row["digest"][:DIGEST_SHOWN]}
    shown = choice.of_rows(rows, ["model", "version"])
    if is_csv:
        output.csv(shown)
        return
    optional = ("format", "step", "created_at", "source", "series", "parameters", "digest")
    output.table(shown, optional=() if choice.columns else optional)
    if not rows:
        output.line("nothing is stored yet: `ww analyze SOURCE` stores a first model")
