"""Extractors that break their promises cost their own layers, in one sentence that names them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import ww_core as ww

WEIGHTS = {"c.weight": np.random.default_rng(0).standard_normal((6, 4, 3, 3)), "d.weight": np.eye(5)[:4] * 3.0}
SLICES = WEIGHTS["c.weight"].reshape(6, 4, 9).transpose(2, 0, 1)


class Pieces:
    def __init__(self, make, dtype=np.float64):
        self.shape, self.dtype, self._make = (9, 6, 4), np.dtype(dtype), make

    def __getitem__(self, piece):
        return self._make(SLICES[piece])


def plugin(plan: dict[str, Any], entries: Any, multiplicities: Any = None):
    @dataclass(frozen=True)
    class Broken(ww.Extractor):
        name = "broken"
        version = "1"

        def plan(self, layer):
            return ww.MatrixPlan(**({"matrices": 1, "entries": 9, "rows": 6, "cols": 4} | plan))

        def matrices(self, weight, layer):
            yield ww.Matrix(0, entries, multiplicities)

    class Plugin:
        @ww.hookimpl
        def ww_register_extractors(self):
            return [Broken]

    return Plugin()


def analysed(plan, entries, multiplicities=None, jobs=1):
    return ww.analyze(
        WEIGHTS,
        name="w",
        extractors=["pool", "broken"],
        metrics=["spectral_norm", "hard_rank"],
        plugins=[plugin(plan, entries, multiplicities)],
        jobs=jobs,
    )


def raises(error):
    def make(piece):
        raise error

    return make


BROKEN_PIECES = {
    "fewer": lambda piece: piece[:1],
    "wider": lambda piece: np.concatenate([piece, piece], axis=1),
    "turned": lambda piece: piece.mT,
    "complex": lambda piece: piece + 1j,
    "of another type": lambda piece: piece.astype(np.float32),
    "no array": lambda piece: piece.tolist(),
    "masked": np.ma.masked_invalid,
    "raises": raises(ValueError("no luck")),
    "leaves": raises(SystemExit(7)),
}


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("case", BROKEN_PIECES)
def test_pieces_that_are_not_what_was_promised(case, jobs):
    report = analysed({}, Pieces(BROKEN_PIECES[case]), jobs=jobs)
    (failure,) = {(f.stage, f.subject) for f in report.failures}
    assert failure == ("extract", "c")
    assert len([f for f in report.failures if f.plugin.endswith(":broken")]) == 1
    rows = {(row.name, row.extractor): row.metrics["spectral_norm"] for row in report.layers}
    assert rows["c", "pool"].value == pytest.approx(np.linalg.norm(SLICES, ord=2, axis=(1, 2)).max())
    assert rows["d", "matrix"].value == pytest.approx(3.0)
    assert not rows["c", "broken"].is_ok


@pytest.mark.parametrize(
    ("plan", "multiplicities", "text"),
    [
        ({"scale": math.nan}, None, "scale must be a positive number"),
        ({"scale": math.inf}, None, "scale must be a positive number"),
        ({"scale": -1.0}, None, "scale must be a positive number"),
        ({"scale": 0.0}, None, "scale must be a positive number"),
        ({"scale": 1j}, None, "TypeError"),
        ({"multiplicities": (1, 2)}, None, "multiplicities must be 9"),
        ({"multiplicities": (1,) * 8 + (0,)}, None, "multiplicities must be 9"),
        ({"multiplicities": (2,) * 9}, np.full(9, 3), "other multiplicities"),
        ({"multiplicities": (2,) * 9}, None, "other multiplicities"),
        ({}, np.full(9, 2), "other multiplicities"),
        ({"is_complex": True}, None, "is_complex=True"),
        ({"matrices": 10**30}, None, "are the most"),
    ],
)
def test_plans_that_cannot_be(plan, multiplicities, text):
    report = analysed(plan, SLICES, multiplicities)
    (failure,) = report.failures
    assert text in failure.message
    assert failure.stage == "extract"
    rows = {(row.name, row.extractor): row.metrics["spectral_norm"] for row in report.layers}
    assert rows["c", "pool"].is_ok
    assert rows["d", "matrix"].is_ok


def test_sound_pieces_are_taken_as_they_are():
    report = analysed({"multiplicities": (2,) * 9, "scale": 0.5}, Pieces(np.copy), np.full(9, 2))
    assert not report.failures
    row = next(row for row in report.layers if row.extractor == "broken")
    assert row.metrics["spectral_norm"].value == pytest.approx(np.linalg.norm(SLICES, ord=2, axis=(1, 2)).max() / 2)
    assert row.metrics["hard_rank"].value == 72


def test_means_speak_of_the_first_extractor_only():
    weights = WEIGHTS | {"small.weight": np.random.default_rng(1).standard_normal((6, 2, 3, 3))}
    both = ww.analyze(weights, name="w", extractors=["pool[min_M=3]", "fft"], layers=["c", "small"])
    alone = ww.analyze(weights, name="w", extractors=["pool[min_M=3]"], layers=["c", "small"])
    assert {row.name for row in both.layers} == {"c", "small"}
    assert both.summary["spectral_norm"].count == 1
    assert both.summary["spectral_norm"] == alone.summary["spectral_norm"]
    label = "log_prod_spectral_norm"
    assert both.model_metrics[label] == alone.model_metrics[label]


def test_a_factor_reaches_everything_a_metric_sees():
    @ww.metric(version="1")
    def floor(noise_floor):
        return noise_floor

    @ww.metric(version="1")
    def entry(matrix):
        return float(matrix[0, 0])

    class Plugin:
        @ww.hookimpl
        def ww_register_metrics(self):
            return [floor, entry]

    def seen(extractor):
        report = ww.analyze(WEIGHTS, name="w", extractors=[extractor], metrics=["floor", "entry"], plugins=[Plugin()])
        return {name: outcome.value for name, outcome in report.layers[0].metrics.items()}

    plain, scaled = seen("slice"), seen("slice[factor=P/2]")
    assert scaled == pytest.approx({name: value * math.sqrt(9 / 2) for name, value in plain.items()})
