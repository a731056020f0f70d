"""How often find_steps is right, and how often it raises a false alarm: on drawn histories and on real weights.

Usage: python -m benchmarks.steps [--quick] [--json]. The numbers of docs/explanation/steps.md come from here; all of it
took 20 minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ww_core.change_points import find_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Row = dict[str, Any]

LAYERS, COLUMNS = 200, 20
GROUPS = np.repeat(np.arange(COLUMNS), LAYERS)
LEVEL = 20.0  # of a value, in units of its noise: 5 % noise
HIT = 40  # series that step: 1 % of a history

NOISES: dict[str, Callable[[np.random.Generator, tuple[int, int]], Floats]] = {
    "Gaussian": lambda random, shape: random.standard_normal(shape),
    "Student 3": lambda random, shape: random.standard_t(3, shape) / np.sqrt(3.0),
}
ERRORS = {"none": np.nan, "right": 1.0, "half": 0.5, "double": 2.0}
"""Standard errors that go with values of noise 1."""


class Amount(NamedTuple):
    """How much of the study is done."""

    quiet: dict[int, int]  # histories without a step, by versions
    drifts: dict[int, int]  # of these, how many have a drift, a walk, an outlier
    small: dict[int, int]  # histories of small models without a step, by versions
    stepped: dict[int, int]  # histories with steps, by versions
    peers: int  # series that ruptures is run on
    epochs: int
    seeds: int
    images: int
    draws: int


FULL = Amount(
    quiet={5: 200, 10: 200, 20: 200, 50: 100, 200: 30},
    drifts={5: 60, 10: 60, 20: 60, 50: 10, 200: 1},
    small={5: 100, 12: 100, 20: 100, 40: 100},
    stepped={5: 2, 10: 2, 20: 2, 50: 1, 200: 1},
    peers=40,
    epochs=20,
    seeds=6,
    images=600,
    draws=20,
)
QUICK = Amount(
    quiet={5: 2}, drifts={5: 1}, small={5: 2}, stepped={5: 1}, peers=2, epochs=3, seeds=1, images=64, draws=3
)


def spreads(random: np.random.Generator) -> Floats:
    """Scale of each series: columns of very different units, layers of a column that differ by a third or so."""
    return np.repeat(np.exp(random.normal(0, 2, COLUMNS)), LAYERS) * np.exp(random.normal(0, 0.3, LAYERS * COLUMNS))


def quiet_shapes(random: np.random.Generator, noise: Floats) -> dict[str, Floats]:
    """Histories in which no step happens, in units of the noise."""
    versions, series = noise.shape
    slopes = random.choice([0.05, 0.3, 1.0, 5.0], series) * random.choice([-1, 1], series)
    outliers = noise.copy()
    if versions > 2:
        outliers[random.integers(1, versions - 1, series), np.arange(series)] += random.choice([10, 100], series)
    return {
        "noise": noise,
        "drift": noise + np.arange(versions)[:, None] * slopes,
        "random walk": noise.cumsum(axis=0),
        "one outlier in each series": outliers,
    }


def false_alarms(amount: Amount) -> Iterator[Row]:
    """Histories of 4,000 series in which nothing happens: how many have an alarm."""
    for name, draw in NOISES.items():
        for versions, histories in amount.quiet.items():
            random = np.random.default_rng(versions)
            counts: dict[tuple[str, str], list[int]] = {}
            seconds: list[float] = []
            for number in range(histories):
                shapes = quiet_shapes(random, draw(random, (versions, LAYERS * COLUMNS)))
                if number >= amount.drifts[versions]:
                    shapes = {"noise": shapes["noise"]}
                scale = spreads(random)
                for shape, values in shapes.items():
                    for errors, size in ERRORS.items():
                        plain = shape == "noise" and errors == "none"
                        if errors != "none" and (number % 5 or shape != "noise" or versions > 20):
                            continue
                        began = time.perf_counter()
                        found = find_steps((values + LEVEL) * scale, np.full(values.shape, size) * scale, groups=GROUPS)
                        if plain:
                            seconds.append(time.perf_counter() - began)
                        counts.setdefault((shape, errors), []).append(len(found))
            for (shape, errors), alarms in counts.items():
                yield {
                    "noise": name,
                    "history": shape,
                    "errors": errors,
                    "versions": versions,
                    "histories": len(alarms),
                    "with an alarm": sum(count > 0 for count in alarms),
                    "alarms": sum(alarms),
                    "seconds": round(float(np.median(seconds)), 2),
                }


def small_families(amount: Amount) -> Iterator[Row]:
    """Histories of 3 layers and 40 columns in which nothing happens: how many have an alarm."""
    layers, columns = 3, 40
    for name, draw in NOISES.items():
        for versions, histories in amount.small.items():
            random = np.random.default_rng([versions, 3])
            counts: dict[str, list[int]] = {}
            for _ in range(histories):
                for shape, values in quiet_shapes(random, draw(random, (versions, layers * columns))).items():
                    found = find_steps(values + LEVEL, groups=np.repeat(np.arange(columns), layers))
                    counts.setdefault(shape, []).append(len(found))
            for shape, alarms in counts.items():
                yield {
                    "noise": name,
                    "history": shape,
                    "versions": versions,
                    "histories": len(alarms),
                    "with an alarm": sum(count > 0 for count in alarms),
                    "alarms": sum(alarms),
                }


SIZES = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 50.0)


def true_alarms(amount: Amount) -> Iterator[Row]:
    """Histories in which 1 % of the series step: how many steps are found, by whom."""
    for name, draw in NOISES.items():
        for versions, histories in amount.stepped.items():
            kinds = [("level", "none"), ("drift", "none"), ("level", "right")]
            for ground, errors in kinds if versions < 50 else kinds[:2]:  # many versions tell the noise themselves
                for where, at in {"middle": versions // 2, "newest": versions - 1}.items():
                    for size in SIZES:
                        random = np.random.default_rng([versions, round(2 * size)])
                        peers = amount.peers if (ground, errors) == kinds[0] and versions < 200 else 0
                        yield {
                            "noise": name,
                            "ground": ground,
                            "errors": errors,
                            "versions": versions,
                            "place": where,
                            "size": size,
                            **_found(random, (draw, ground), (versions, at, size), ERRORS[errors], histories, peers),
                        }


def _found(
    random: np.random.Generator,
    noise: tuple[Callable[[np.random.Generator, tuple[int, int]], Floats], str],
    step: tuple[int, int, float],
    error: float,
    histories: int,
    peers: int,
) -> Row:
    draw, ground = noise
    versions, at, size = step
    exact = near = other = threshold = threshold_false = share = share_false = 0
    for _ in range(histories):
        values = draw(random, (versions, LAYERS * COLUMNS)) + LEVEL
        if ground == "drift":
            values = quiet_shapes(random, values)["drift"]
        hit = random.permutation(LAYERS * COLUMNS)[:HIT]
        values[at:, hit] += size
        stepped = np.isin(np.arange(LAYERS * COLUMNS), hit)
        scale = spreads(random)
        places = [
            (one.series, one.at)
            for one in find_steps(values * scale, np.full(values.shape, error) * scale, groups=GROUPS)
        ]
        exact += sum(bool(stepped[series]) and place == at for series, place in places)
        near += len({series for series, place in places if stepped[series] and abs(place - at) <= 1})
        other += sum(not stepped[series] for series, _ in places)
        changes = np.diff(values, axis=0)
        beyond = np.abs(changes) > 3.0 * np.sqrt(2.0)  # its noise is known to it, as it is to nobody
        threshold += int(beyond[at - 1, hit].sum())
        threshold_false += int(beyond[:, ~stepped].sum())
        beyond = np.abs(changes) > 0.1 * np.abs(values[:-1])
        share += int(beyond[at - 1, hit].sum())
        share_false += int(beyond[:, ~stepped].sum())
    total = HIT * histories
    row: Row = {
        "exactly": exact / total,
        "within one": near / total,
        "false": other / histories,
        "3 errors": threshold / total,
        "3 errors, false": threshold_false / histories,
        "10 %": share / total,
        "10 %, false": share_false / histories,
    }
    if peers:
        right, wrong = (
            _ruptures(values[:, hit[:peers]], at),
            _ruptures(values[:, np.flatnonzero(~stepped)[:peers]], None),
        )
        row |= {"Pelt": right / peers, "Pelt, false": wrong / peers * LAYERS * COLUMNS}
    return row


def _ruptures(values: Floats, at: int | None) -> int:
    """Of how many series does ruptures find the step, or find any where there is none? It is told the noise, too."""
    import ruptures

    count = 0
    for series in values.T:
        try:
            found = ruptures.Pelt(model="l1", jump=1).fit(series).predict(pen=0.83 * np.log(len(series)))[:-1]
        except ruptures.exceptions.BadSegmentationParameters:
            found = []
        count += bool(found) if at is None else at in found
    return count


def analyzed(
    versions: Iterable[dict[str, npt.NDArray[np.float32]]],
) -> tuple[Floats, Floats, npt.NDArray[np.int64], list[str]]:
    """Values and standard errors of all layers and columns that have a direction; groups and names of the series."""
    import ww_core as ww
    from ww_core.plugins.discovery import load_plugins

    registry = load_plugins()
    reports = [ww.analyze(weights, registry=registry, jobs=1) for weights in versions]
    columns = sorted({column.name for column in reports[0].columns if column.better != "none"})
    rows = [{layer.name: layer.metrics for layer in report.layers} for report in reports]
    series = [(layer, column) for column in columns for layer in rows[0] if column in rows[0][layer]]

    def number(row: Any, layer: str, column: str) -> float:
        value = row[layer][column].value if column in row[layer] else None
        return float("nan") if value is None else float(value)

    values = np.array([[number(row, *one) for one in series] for row in rows])
    errors = np.array(
        [[number(row, layer, "sigma") if column == "alpha" else np.nan for layer, column in series] for row in rows]
    )
    groups = np.array([columns.index(column) for _, column in series])
    return values, errors, groups, [f"{layer} {column}" for layer, column in series]


def drawn_matrices(amount: Amount) -> Iterator[Row]:
    """Layers that are drawn anew at every version: all that changes is chance."""
    shapes = [(rows, columns) for rows in (40, 64, 100, 128) for columns in (64, 96, 128, 150, 200)]
    for tails in ("Gaussian", "heavy"):
        for number in range(amount.seeds):
            random = np.random.default_rng(number)
            draw = (
                random.standard_normal if tails == "Gaussian" else lambda shape, own=random: own.standard_t(2.5, shape)
            )
            versions = [
                {f"layer{index}.weight": draw(shape).astype(np.float32) for index, shape in enumerate(shapes)}
                for _ in range(amount.draws)
            ]
            values, errors, groups, _ = analyzed(versions)
            for told, own in (("with sigma", errors), ("without", np.full(errors.shape, np.nan))):
                found = find_steps(values, own, groups=groups)
                yield {
                    "weights": tails,
                    "errors": told,
                    "versions": amount.draws,
                    "series": values.shape[1],
                    "alarms": len(found),
                }


def trainings(amount: Amount) -> Iterator[Row]:
    """Epochs of trainings of the small network of the examples, with and without an incident, and its replicates."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
    import train_digits_cnn as example

    last = []
    for incident in ("none", "conv2 drawn anew", "conv2 half pruned"):
        for seed in range(amount.seeds):
            versions = list(_epochs(example, seed, amount, incident))
            if incident == "none":
                last.append(versions[-1])
            values, errors, groups, names = analyzed(versions)
            first = amount.epochs // 4
            for start in (0, first):
                found = find_steps(values[start:], errors[start:], groups=groups)
                at = amount.epochs * 3 // 5
                hits = [step for step in found if step.at + start == at and names[step.series].startswith("conv2 ")]
                yield {
                    "incident": incident,
                    "seed": seed,
                    "from epoch": start + 1,
                    "series": values.shape[1],
                    "steps": len(found),
                    "of conv2 at the incident": len(hits),
                    "told": sorted({f"{names[step.series]} at {step.at + start + 1}" for step in found}),
                }
    if len(last) > 1:
        values, errors, groups, _ = analyzed(last)
        yield {
            "incident": "versions are seeds",
            "series": values.shape[1],
            "steps": len(find_steps(values, errors, groups=groups)),
        }


def _epochs(example: Any, seed: int, amount: Amount, incident: str) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    from sklearn.datasets import load_digits

    random = np.random.default_rng(seed)
    images, labels = load_digits(return_X_y=True)
    images = (images[: amount.images] / 16).astype(np.float32).reshape(-1, 1, example.SIDE, example.SIDE)
    labels = labels[: amount.images]
    weights = example.initial_weights(random)
    optimiser = example.Adam(weights, 1e-3)
    for epoch in range(amount.epochs):
        if epoch == amount.epochs * 3 // 5 and incident != "none":
            kernel = weights["conv2.weight"]
            if incident.endswith("pruned"):
                kernel[np.abs(kernel) < np.median(np.abs(kernel))] = 0
            else:
                kernel[...] = example.initial_weights(random)["conv2.weight"]
        for batch in np.array_split(random.permutation(len(labels)), max(1, len(labels) // 64)):
            gradients: dict[str, Any] = {}
            output, backward = example.scores(images[batch], weights, gradients)
            backward(example.loss_gradient(output, labels[batch])[1])
            optimiser.step(weights, gradients)
        yield {name: weight.copy() for name, weight in weights.items()}


PARTS: dict[str, Callable[[Amount], Iterator[Row]]] = {
    "false alarms": false_alarms,
    "small families": small_families,
    "true alarms": true_alarms,
    "drawn matrices": drawn_matrices,
    "trainings": trainings,
}


def main() -> None:
    """Run the study and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few seconds of it, to see that it runs")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--part", action="append", choices=tuple(PARTS), help="only this part; may be repeated")
    options = parser.parse_args()
    amount = QUICK if options.quick else FULL
    parts = {part: PARTS[part](amount) for part in options.part or PARTS}
    if options.json:
        print(json.dumps({part: list(rows) for part, rows in parts.items()}, indent=1))
        return
    for part, rows in parts.items():
        print(f"\n{part}")
        shown: tuple[str, ...] = ()
        for row in rows:
            if tuple(row) != shown:
                shown = tuple(row)
                print(" | ".join(shown))
            print(
                *(f"{entry:.3g}" if isinstance(entry, float) else entry for entry in row.values()),
                sep=" | ",
                flush=True,
            )


if __name__ == "__main__":
    main()
