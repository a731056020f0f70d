"""How the scores of a predictor are told."""

from __future__ import annotations

import contextlib
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from ww_core.command import say
from ww_plugins.predictors.agreement import MEASURES, spread_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ww_core as ww
    from ww_plugins.predictors.predictor import Agreement, Predictor


@contextlib.contextmanager
def begins_anew() -> Iterator[None]:
    """Let an interrupt say that nothing of what was done is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Abort("nothing was written, and the same command starts again") from None


def scores_told(predictor: Predictor) -> dict[str, Any]:
    """Return the scores on the networks that were held out, with their deviations over the folds, as JSON has them."""
    spread = {name: finite(value) for name, value in spread_of(predictor.fold_scores).items()}
    return {
        "features": predictor.features,
        "estimator": predictor.estimator,
        "target": predictor.target,
        "zoo": predictor.zoo,
        "trained_on": len(predictor.training),
        "calibrated_on": len(predictor.calibration),
        "seed": predictor.seed,
        "trials": predictor.trials,
        **agreement_told(predictor.held_out_score),
        **spread,
    }


def agreement_told(agreement: Agreement) -> dict[str, Any]:
    """Return how well predictions agree, as JSON has it: what is no number is null."""
    return {name: finite(value) for name, value in asdict(agreement).items()}


def finite(value: float) -> float | None:
    """Return a number; None for one that is not finite."""
    return value if math.isfinite(value) else None


def say_notes(zoo: ww.Zoo, predictor: Predictor) -> None:
    """Say what a person should know of a zoo that a predictor is asked about."""
    for note in zoo.notes:
        say(f"note: {note}")
    if zoo.tensors and not predictor.has_layers_of(zoo):  # a zoo that only the store knows tells no layers
        say(f"note: {zoo.name} has other layers than the training networks")


def lines_of_scores(predictor: Predictor) -> Iterator[str]:
    """Tell the scores on the networks that were held out, and their deviations over the folds."""
    spread = spread_of(predictor.fold_scores)
    told = asdict(predictor.held_out_score)
    measures = ", ".join(f"{name} {told[name]:.4g} (folds +- {spread[f'{name}_std']:.2g})" for name in MEASURES)
    yield f"on the {predictor.held_out_score.networks} held-out networks: {measures}"
