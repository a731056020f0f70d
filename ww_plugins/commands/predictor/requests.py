"""Options by which commands say what is fitted, and how."""

from __future__ import annotations

from typing import Annotated

import typer

import ww_core as ww
from ww_core.command import options


def _file_name(ctx: typer.Context, param: typer.CallbackParam, value: str) -> str:
    """Refuse what names no file.

    Raises:
        UsageError: It is empty, or stands for the output.
    """
    options.not_empty(ctx, param, value)
    if value == "-":
        raise ww.UsageError("--out -: a predictor is a file and is not printed: name one (a file of this name is ./-)")
    return value


PredictorOut = Annotated[str, typer.Option("--out", "-o", metavar="FILE", callback=_file_name, help="The predictor.")]
ZooName = Annotated[
    str,
    typer.Argument(metavar="ZOO", help="A folder, or the name of a zoo in the store.", callback=options.not_empty),
]
Features = Annotated[
    str,
    typer.Option(
        "--features",
        metavar="SPEC",
        callback=options.not_empty,
        help="Feature sets and metrics with + between them: `ww zoo feature-sets` lists them.",
    ),
]
Estimator = Annotated[
    str,
    typer.Option(
        "--estimator",
        metavar="NAME",
        callback=options.not_empty,
        help="With options, as gbm[trees=300]: `ww predictor estimators` lists them.",
    ),
]
Target = Annotated[
    str, typer.Option("--target", metavar="RESULT", callback=options.not_empty, help="What is predicted.")
]
Trials = Annotated[
    int, typer.Option("--trials", min=0, metavar="N", help="Number of random draws of the estimator's options.")
]
Folds = Annotated[int, typer.Option("--folds", min=2, metavar="K", help="Of the cross-validation.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Random seed.")]
HeldOut = Annotated[float, typer.Option("--held-out", metavar="SHARE", help="Share of the networks that are held out.")]
Calibration = Annotated[
    float, typer.Option("--calibration", metavar="SHARE", help="Share of the other networks that sets the intervals.")
]
