"""Rank the networks of train_residual_networks.py by predictors that were learned from a zoo of other networks.

    python examples/rank_residual_networks.py residual last.predictor

Kendall's tau of what a predictor says with the measured train and test accuracy, for each width and for all together.
The predictor is of features that networks of any layers have, such as statistics[layers=last]. It needs the extra
`predictors`.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import ww_core as ww
from ww_plugins.predictors.agreement import agreement_of
from ww_plugins.predictors.file import read_predictor
from ww_plugins.predictors.predicting import estimated
from ww_plugins.predictors.reading import any_network_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]

TABLE = "networks.csv"
ALL = "all"


@dataclass(frozen=True)
class Networks:
    """Networks of a folder, shape (n,) each.

    Attributes:
        files: Where they are.
        widths: ``x1`` and so on.
        train: Accuracy on the images that each was trained on, 0 to 1.
        test: Accuracy on the test images.
    """

    files: list[Path]
    widths: npt.NDArray[np.str_]
    train: Numbers
    test: Numbers


@dataclass(frozen=True)
class Ranking:
    """Kendall's tau over the networks of one width; NaN where all numbers are equal.

    Attributes:
        predictor: Its file.
        width: ``x1`` and so on, or ``all``.
        networks: How many there are.
        train: Of predicted and train accuracy.
        test: Of predicted and test accuracy.
        train_test: Of train and test accuracy.
        chance: What 5 % of random orders exceed, on either side.
    """

    predictor: str
    width: str
    networks: int
    train: float
    test: float
    train_test: float
    chance: float


def read_networks(folder: Path) -> Networks:
    """Read the table that train_residual_networks.py wrote.

    Raises:
        OSError: It is not there.
        SourceError: It is another table.
    """
    table = folder / TABLE
    try:
        with table.open(newline="") as opened:
            rows = list(csv.DictReader(opened))
        return Networks(
            files=[folder / row["file"] for row in rows],
            widths=np.array([f"x{row['width']}" for row in rows]),
            train=np.array([float(row["train_accuracy"]) for row in rows]),
            test=np.array([float(row["test_accuracy"]) for row in rows]),
        )
    except (KeyError, TypeError, ValueError, csv.Error):
        raise ww.SourceError(f"{table} is not a table of train_residual_networks.py") from None


def predicted(file: Path, networks: Networks, registry: ww.Registry) -> Numbers:
    """Return what a predictor says of each network, shape (n,), as ``ww predictor predict --other-layers`` does."""
    predictor = read_predictor(file, registry)
    zoos = (any_network_of(own, registry) for own in networks.files)
    return np.array([estimated(predictor, zoo, registry=registry).value for zoo in zoos])


def rankings(name: str, predictions: Numbers, networks: Networks) -> list[Ranking]:
    """Compare the order of the predictions with those of the accuracies: each width, then all."""
    found = []
    for width in [*dict.fromkeys(networks.widths.tolist()), ALL]:
        chosen = np.full(len(predictions), True) if width == ALL else networks.widths == width
        own, train, test = predictions[chosen], networks.train[chosen], networks.test[chosen]
        n = len(own)
        found.append(
            Ranking(
                predictor=name,
                width=width,
                networks=n,
                train=agreement_of(own, train).kendall_tau,
                test=agreement_of(own, test).kendall_tau,
                train_test=agreement_of(train, test).kendall_tau,
                chance=1.96 * math.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1))) if n > 1 else math.nan,
            )
        )
    return found


def ranked(folder: Path, predictors: Sequence[Path]) -> list[Ranking]:
    """Rank the networks of a folder by each predictor.

    Raises:
        WWError: A predictor or a network cannot be read, or the predictor is of features that the networks do not have.
        OSError: The folder has no table.
    """
    registry = ww.load_plugins()
    networks = read_networks(folder)
    return [row for file in predictors for row in rankings(file.name, predicted(file, networks, registry), networks)]


def main() -> None:
    """Rank, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="what train_residual_networks.py wrote")
    parser.add_argument("predictors", type=Path, nargs="+", help="files of ww predictor fit")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    try:
        rows = ranked(options.folder, options.predictors)
    except (ww.WWError, OSError) as error:
        sys.exit(str(error))
    if options.json:
        told = [{key: None if own != own else own for key, own in asdict(row).items()} for row in rows]
        print(json.dumps(told, indent=1, allow_nan=False))
        return
    print(f"{'predictor':24}  width  networks  pred~train  pred~test  train~test  by chance")
    for row in rows:
        print(
            f"{row.predictor:24}  {row.width:>5}  {row.networks:8}  {row.train:10.2f}  {row.test:9.2f}  "
            f"{row.train_test:10.2f}  {'+-':>4} {row.chance:.2f}"
        )


if __name__ == "__main__":
    main()
