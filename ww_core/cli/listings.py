"""What there is: ``ww metrics``, ``extractors``, ``profiles``, ``loaders`` and ``importers``."""

from __future__ import annotations

from typing import Annotated

import typer

from ww_core.command import Output, Session, options
from ww_core.command.examples import examples
from ww_core.command.listing import known_of, print_in_full, print_listing, print_things, without_options


@examples("ww metrics", "ww metrics alpha")
def metrics(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Show all about this metric, or about the metric of this column.",
            show_default=False,
            callback=options.not_empty,
        ),
    ] = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """List the columns of all metrics.

    With NAME it shows all about one: columns, units, parameters, needs and meaning.
    """
    from ww_core.use_cases.listings import columns_of_metric, list_metrics

    session: Session = ctx.obj
    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    registry = session.registry()
    if name is not None:
        owned, rows = columns_of_metric(registry, without_options(name))
        print_in_full(output, [row | known_of(owned) for row in rows])
        return
    rows = list_metrics(registry)
    if output.format == "table":
        for row in rows:
            row["better"] += "*" * bool(row["caveat"])
    notes = ["* its mean over layers does not rank models"] if any(row["caveat"] for row in rows) else []
    print_listing(output, rows, short=("scope", "better", "doc"), more="ww metrics NAME", notes=notes)


@examples("ww extractors", "ww extractors fft")
def extractors(
    ctx: typer.Context,
    name: options.OfThis = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """List the ways to make matrices of a layer.

    With NAME it shows all about one.
    """
    from ww_core.use_cases.listings import list_extractors

    session: Session = ctx.obj
    registry = session.registry()
    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    print_things(output, registry.extractors, list_extractors(registry), name, short=("doc",))


@examples("ww profiles", "ww profiles weightwatcher")
def profiles(
    ctx: typer.Context,
    name: options.OfThis = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """List the profiles, with what each computes.

    With NAME it shows all about one.
    """
    from ww_core.use_cases.listings import list_profiles

    session: Session = ctx.obj
    registry = session.registry()
    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    print_things(output, registry.profiles, list_profiles(registry), name, short=("doc",))


@examples("ww loaders", "ww loaders pytorch")
def loaders(
    ctx: typer.Context,
    name: options.OfThis = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """List the formats that can be read.

    With NAME it shows all about one, with its options.
    """
    from ww_core.use_cases.listings import list_loaders

    session: Session = ctx.obj
    registry = session.registry()
    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    print_things(output, registry.loaders, list_loaders(registry), name, short=("doc",))


@examples("ww importers", "ww importers mapped")
def importers(
    ctx: typer.Context,
    name: options.OfThis = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """List the tables of results that can be imported.

    With NAME it shows all about one, with its options.
    """
    from ww_core.use_cases.listings import list_importers

    session: Session = ctx.obj
    registry = session.registry()
    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    print_things(output, registry.importers, list_importers(registry), name, short=("doc",))
