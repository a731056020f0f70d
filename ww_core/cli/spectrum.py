"""``ww spectrum``: the stored singular values of a layer."""

from __future__ import annotations

from typing import Annotated

import typer

from ww_core.command import Output, options, store_location
from ww_core.command.examples import examples


@examples("ww spectrum net first", "ww spectrum net@1 first --csv")
def spectrum(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="MODEL, MODEL@VERSION or a digest prefix.", callback=options.not_empty),
    ],
    layer: Annotated[str, typer.Argument(metavar="LAYER", help="Name of the layer.", callback=options.layer_name)],
    extractor: Annotated[
        str | None,
        typer.Option(
            "--extractor",
            metavar="A",
            help="The extractor, as slice or 'fft[n=32]'; default the one behind the means.",
            callback=options.not_empty,
        ),
    ] = None,
    profile: options.StoredProfile = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """Print the stored singular values of a layer.

    They are in descending order. The table shows a line for each matrix; --csv has a line for each singular value,
    --json all of them.
    """
    from ww_core.store.store import open_store

    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    with open_store(store_location(store), mode="read") as opened:
        found = opened.spectrum(model, layer, extractor, profile=profile)
    if output.format == "json":
        output.json(found.to_dict())
    elif output.format == "csv":
        output.csv(found.rows())
    else:
        name = f"{found.model}@{found.version}" if found.model else found.digest
        output.line(f"{name}  {found.layer}  extractor {found.extractor}  profile {found.profile}  run {found.run}")
        output.line()
        output.table(
            [
                {
                    "index": own.index,
                    "N": max(own.rows, own.cols),
                    "M": min(own.rows, own.cols),
                    "singular values": own.spectrum.singular_values.size,
                    "above noise": int((own.spectrum.singular_values > own.spectrum.noise_floor).sum()),
                    "largest": float(own.spectrum.singular_values[0]),
                    "smallest": float(own.spectrum.singular_values[-1]),
                    "noise floor": own.spectrum.noise_floor,
                }
                for own in found.matrices
            ]
        )
