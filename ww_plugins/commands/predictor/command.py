"""Predict accuracy from weights alone."""

from __future__ import annotations

import typer

from ww_plugins.commands.predictor.compare import compare
from ww_plugins.commands.predictor.estimators import estimators
from ww_plugins.commands.predictor.evaluate import evaluate
from ww_plugins.commands.predictor.fit import fit
from ww_plugins.commands.predictor.importance import importance
from ww_plugins.commands.predictor.invariance import invariance
from ww_plugins.commands.predictor.predict import predict
from ww_plugins.commands.predictor.transfer import transfer

app = typer.Typer(
    help="Predictors: accuracy from weights alone.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)


@app.callback()
def _group() -> None:
    """Predict accuracy from weights alone, with an interval and a refusal."""


app.command("fit")(fit)
app.command("evaluate")(evaluate)
app.command("predict")(predict)
app.command("compare")(compare)
app.command("transfer")(transfer)
app.command("estimators")(estimators)
app.command("invariance")(invariance)
app.command("importance")(importance)
