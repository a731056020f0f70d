"""``ww zoo features`` and ``ww zoo feature-sets``: the numbers that a predictor sees of each network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import ww_core as ww
from ww_core.command import Output, Session, options, say, store_location
from ww_core.command.examples import examples
from ww_core.command.listing import print_things

LAST, ALL = "last", "all"


@examples("ww zoo features zoo --features statistics -o features.csv")
def features(
    ctx: typer.Context,
    zoo: Annotated[str, typer.Argument(metavar="ZOO", help="A folder, or the name of a zoo in the store.")],
    spec: Annotated[
        str,
        typer.Option(
            "--features",
            metavar="SPEC",
            callback=options.not_empty,
            help="Feature sets and metrics with + between them, as statistics+hyperparameters.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="The file: .csv, .json, .parquet or .npz."),
    ],
    epochs: Annotated[
        str, typer.Option("--epochs", metavar="last|all|N", help="Which checkpoints of each network.")
    ] = LAST,
    profile: options.Profile = "default",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Write features of every network into a file.

    A row is a checkpoint of a network, with its results.
    """
    from ww_plugins.zoos.finding import find_zoo

    ww.features_place(output, replace=force)
    registry = _session(ctx).registry()
    place = store_location(store)
    found = chosen_epochs(find_zoo(zoo, place), epochs)
    made = ww.zoo_features(found, spec, store=place, profile=profile, registry=registry)
    size = ww.write_features(made, output, replace=force)
    for note in found.notes:
        say(note)
    if made.left_out:
        count = len(made.left_out)
        what = "network is" if count == 1 else "networks are"
        say(f"{count} {what} left out: a feature is not a finite number, or was not computed")
    told = {
        "zoo": found.name,
        "features": len(made.names),
        "checkpoints": len(made),
        "left_out": list(made.left_out),
        "sets": [{"name": name, "version": version} for name, version in made.versions],
        "file": str(output),
        "bytes": size,
    }
    answer = Output(as_json=as_json)
    if answer.format == "json":
        answer.json(told)
    else:
        answer.line(f"{output}: {len(made.names)} features of {len(made)} checkpoints")


@examples("ww zoo feature-sets", "ww zoo feature-sets norms")
def feature_sets(
    ctx: typer.Context,
    name: options.OfThis = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
) -> None:
    """List the feature sets, or show all about one."""
    answer = Output(as_json=as_json, as_csv=as_csv)
    names = _session(ctx).registry().feature_sets
    rows = [
        {
            "feature set": names.display(owned, owned.name),
            "version": owned.object.version,
            "options": ", ".join(f"{own.name}={own.default}" for own in owned.object.parameters()),
            "description": owned.object.description,
        }
        for owned in sorted(names, key=lambda own: own.name)
    ]
    print_things(answer, names, rows, name, short=("description",))


def chosen_epochs(zoo: ww.Zoo, epochs: str) -> ww.Zoo:
    """Return the checkpoints that a person chose: the last of each network, all, or those of one epoch.

    Raises:
        UsageError: It is none of these, or no network has such a checkpoint.
    """
    if epochs in {LAST, ALL}:
        return zoo.last() if epochs == LAST else zoo
    if not (epochs.isascii() and epochs.isdigit() and len(epochs) < 10):
        raise ww.UsageError(f"--epochs {epochs!r} is none of {LAST}, {ALL} and a whole number")
    found = zoo.at(int(epochs))
    if not len(found):
        there = sorted(set(zoo.epochs.tolist()))
        listed = ", ".join(map(str, there[:12])) + (", ..." if len(there) > 12 else "")
        raise ww.UsageError(f"zoo {zoo.name} has no checkpoint of epoch {epochs}: it has {listed}")
    return found


def _session(ctx: typer.Context) -> Session:
    session: Session = ctx.obj
    return session
