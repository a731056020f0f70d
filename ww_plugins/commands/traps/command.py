"""List the correlation traps of a stored model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import ww_core as ww
from ww_core.command import Output, options, say, store_location
from ww_core.command.examples import examples

if TYPE_CHECKING:
    from ww_plugins.commands.traps.traps import Traps

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
@examples("ww traps net")
def traps(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="MODEL, MODEL@VERSION or a digest prefix.", callback=options.not_empty),
    ],
    layers: options.Layers = None,
    extractor: Annotated[
        str | None,
        typer.Option(
            "--extractor",
            metavar="E",
            help="The extractor, as slice; default the one behind the means.",
            callback=options.not_empty,
        ),
    ] = None,
    profile: options.StoredProfile = None,
    level: Annotated[
        float | None,
        typer.Option(
            "--level",
            metavar="P",
            help="Probability of a trap in noise, for each permutation.  [default: as in the stored metric]",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="N", help="Seed of the permutations.  [default: the run's, else the newest stored one]"
        ),
    ] = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """List the correlation traps of a stored model.

    A trap is an eigenvalue above the bulk although the weights are in random order. Single weights that are far too
    large cause it. Excess is eigenvalue / lambda_plus - 1, a mean over the stored permutations; digest names the
    permutation with the largest excess. `ww analyze SOURCE --metrics correlation_traps` stores the spectra.
    """
    from ww_plugins.commands.matrix_spectra import names_of
    from ww_plugins.commands.traps.traps import METRIC, correlation_traps_of

    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    with ww.open_store(store_location(store), mode="read") as opened:
        found = correlation_traps_of(
            opened,
            model,
            options.listed(layers, "--layers"),
            extractor=extractor,
            profile=profile,
            level=level,
            seed=seed,
        )
        once = any(trap.permutations == 1 for trap in found.traps)
        again = ww.analysis_command(opened, model, [METRIC], profile=found.profile, seed=seed) if once else ""
    if output.format == "json":
        output.json(found.rows())
    elif output.format == "csv":
        output.csv(found.rows())
    else:
        _print(found, output)
    if not found.traps and output.format != "table":
        say(_none(found))
    if seed is None and any(own != found.run_seed for own in found.seeds):
        used, others = (", ".join(map(str, own)) for own in (found.seeds, found.other_seeds))
        say(
            f"the displayed run has seed {found.run_seed}: the permutations have seed {used}"
            + (f", --seed chooses others: {others}" if others else "")
        )
    for reason in dict.fromkeys(matrix.reason for matrix in found.unknown):
        names = names_of([(own.layer, own.index) for own in found.unknown if own.reason == reason])
        say(f"not known for {names}: {reason}")
    if again:
        say(f"one permutation is stored, so there is no standard error: `{again}` stores five")


def _print(found: Traps, output: Output) -> None:
    name = f"{found.model}@{found.version}" if found.model else "weights without a name"
    output.line(f"{name}  profile {found.profile}  level {found.level:g}")
    output.line()
    if not found.traps:
        output.line(_none(found))
        return
    rows = found.rows()
    for row in rows:
        row["above"] = f"{row['above']} of {row.pop('permutations')}"
    output.table(rows, optional=("lambda_plus", "seed", "digest", "permutation", "margin", "index", "extractor"))


def _none(found: Traps) -> str:
    known = found.matrices - len(found.unknown)
    return f"no trap in {known} matri{'x' if known == 1 else 'ces'}"
