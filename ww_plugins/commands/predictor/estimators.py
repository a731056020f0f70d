"""``ww predictor estimators``: by what a predictor may learn."""

from __future__ import annotations

import typer

from ww_core.command import Output, Session, options
from ww_core.command.examples import examples
from ww_core.command.listing import print_things


@examples("ww predictor estimators", "ww predictor estimators gbm")
def estimators(
    ctx: typer.Context,
    name: options.OfThis = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
) -> None:
    """List the estimators, or show all about one."""
    answer = Output(as_json=as_json, as_csv=as_csv)
    session: Session = ctx.obj
    names = session.registry().estimators
    rows = [
        {
            "estimator": names.display(owned, owned.name),
            "version": owned.object.version,
            "options": ", ".join(f"{own.name}={own.default}" for own in owned.object.parameters()),
            "extra": owned.object.extra,
            "description": owned.object.description,
        }
        for owned in sorted(names, key=lambda own: own.name)
    ]
    print_things(answer, names, rows, name, short=("extra", "description"))
