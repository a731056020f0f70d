"""``ww describe``: the layers of a source, and what would be made of them, without computing."""

from __future__ import annotations

from typing import Annotated

import typer

from ww_core.command import Output, Session, options, warn
from ww_core.command.examples import examples


@examples("ww describe net.safetensors")
def describe(
    ctx: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A file, a folder, or an address such as https://... or s3://...")
    ],
    profile: options.Profile = "default",
    extractor: options.Extractor = None,
    layers: options.Layers = None,
    groups: options.Groups = None,
    split: options.Splits = None,
    include_buffers: options.IncludeBuffers = False,
    loader: options.Loader = None,
    columns: options.ShownColumns = None,
    sort: options.SortedBy = "",
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """List the layers of SOURCE and their matrices.

    Only headers are read. The matrices are those of an analysis.
    """
    from ww_core.command.choice import Choice
    from ww_core.use_cases.describe import describe as look

    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    choice = Choice.of(columns, sort, output)
    session: Session = ctx.obj
    description = look(
        source,
        profile=profile,
        extractors=options.listed(extractor, "--extractor"),
        layers=options.listed(layers, "--layers"),
        groups=options.counts_of(groups, "--groups"),
        splits=options.counts_of(split, "--split"),
        include_buffers=include_buffers,
        loader=loader,
        registry=session.registry(),
    )
    for warning in description.warnings:
        warn(f"warning: {warning}")
    if output.format == "json":
        output.json(description.to_dict())
        return
    rows = description.rows()
    if rows:
        choice.check(rows[0])
    rows = choice.of_rows(rows, ["layer"])
    if output.format == "csv":
        output.csv(rows)
        return
    output.line(f"{description.source}  {description.format}")
    output.line()
    output.table(rows, optional=("groups", "dtype", "entries", "eigenvalues", "kind", "matrices"))
    output.line()
    count = len(description.layers)
    share = f"{description.parameters_analyzed:,} of {description.parameters:,} parameters"
    output.line(f"{count} layer{'' if count == 1 else 's'}; {share} get a spectrum")
