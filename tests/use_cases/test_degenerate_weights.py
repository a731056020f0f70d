"""Weights that nothing good can be said of are answered all the same: a number, or a state with its reason."""

import json
import math
import re
import sys

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import ww_core as ww
from ww_core.compute.evaluate import Evaluator
from ww_core.plugins.discovery import load_plugins
from ww_core.use_cases.listings import list_metrics
from ww_plugins.metrics import ww_register_metrics as built_in

DTYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32, "float64": np.float64}
DENSE, CONV = (56, 52), (54, 51, 2, 1)
"""Large enough for every profile, so that none has its limits for an excuse."""

EMPTY = {
    "0 x N": (0, 5),
    "N x 0": (5, 0),
    "no output": (0, 3, 3, 3),
    "no input": (3, 0, 3, 3),
    "no kernel": (3, 3, 0, 3),
}
SMALL = {"1 x N": (1, 60), "N x 1": (60, 1), "1 x 1": (1, 1), "2 x 2": (2, 2), "conv 1 x 1": (1, 1, 1, 1)}
WITHOUT_SPECTRUM = {"scalar": (), "vector": (5,), "empty vector": (0,), **EMPTY}

SCALE_FREE = ("alpha", "D", "sigma", "n_tail", "stable_rank", "hard_rank", "entropy", "warning", "short_tail")


def drawn(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def ill(shape):
    """Float64 weights with something wrong with them, by what it is."""
    good = drawn(shape, 1)
    rows = np.arange(1.0, shape[0] + 1).reshape(-1, *[1] * (len(shape) - 1))
    cols = np.arange(1.0, shape[1] + 1).reshape(1, -1, *[1] * (len(shape) - 2))
    limits = np.finfo(np.float64)

    def with_one(value, weights=good):
        changed = weights.copy()
        changed.flat[7] = value
        return changed

    return {
        "all NaN": np.full(shape, np.nan),
        "one NaN": with_one(np.nan),
        "+inf": np.full(shape, np.inf),
        "one -inf": with_one(-np.inf),
        "zeros": np.zeros(shape),
        "minus zeros": -np.zeros(shape),
        "constant": np.full(shape, 0.5),
        "1e-300 everywhere": np.full(shape, 1e-300),
        "1e300 everywhere": np.full(shape, 1e300),
        "around 1e-300": good * 1e-300,
        "around 1e300": good * 1e300,
        "around 1e-160": good * 1e-160,
        "around 1e160": good * 1e160,
        "the largest everywhere": np.full(shape, limits.max),
        "the largest of either sign": np.copysign(limits.max, good),
        "the largest alone": with_one(limits.max, np.zeros(shape)),
        "denormal": np.round(3 * good) * limits.smallest_subnormal,
        "denormal as float32": np.round(3 * good) * 2.0**-149,
        "denormal as float16": np.round(3 * good) * 2.0**-24,
        "the largest float16": np.copysign(65504.0, good),
        "rank one": rows * cols * np.full(shape, 1 / 64),
        "identical rows": np.broadcast_to(np.round(4 * good[:1]), shape).copy(),
        "one row": np.where(rows == 3, good, 0.0),
        "one weight": with_one(1.0, np.zeros(shape)),
        "orthogonal": (rows == cols) * np.ones(shape),
        "a diagonal of powers of ten": np.where(rows == cols, 10.0 ** (600 * rows / shape[0] - 300), 0.0),
        "columns of powers of ten": good * 10.0 ** (600 * cols / shape[1] - 300),
    }


def survives(weights, dtype):
    """Whether what is wrong with the weights still is in this dtype."""
    with np.errstate(all="ignore"):
        stored = weights.astype(DTYPES[dtype]).astype(np.float64)
    return ((stored == 0) == (weights == 0)).all() and (np.isfinite(stored) == np.isfinite(weights)).all()


def named(cases, dtypes=DTYPES):
    with np.errstate(all="ignore"):
        return {
            f"{name} {dtype}.weight": np.asarray(weights, dtype=DTYPES[dtype])
            for name, weights in cases.items()
            for dtype in dtypes
            if survives(np.asarray(weights), dtype)
        }


HEALTHY = {
    "healthy dense.weight": drawn((60, 55), 7).astype(np.float32),
    "healthy conv.weight": drawn((55, 52, 3, 3), 8).astype(np.float32),
}
ILL = (
    named({f"dense {name}": weights for name, weights in ill(DENSE).items()})
    | named({f"conv {name}": weights for name, weights in ill(CONV).items()})
    | named({name: drawn(shape, 3) for name, shape in (SMALL | WITHOUT_SPECTRUM).items()})
    | named({"1 x 1 of NaN": np.full((1, 1), np.nan), "1 x 1 of zero": np.zeros((1, 1))})
)
LISTED = list_metrics(load_plugins())
ALL_METRICS = [row["column"] for row in LISTED if not row["install"]]
QUICK_METRICS = [row["column"] for row in LISTED if not row["extra"]]
"""Without those of packages, which take a second for the spectrum of a pooled kernel."""
FEW_REPLICAS = {"alpha_resamples.replicas": 5, "power_law_p.replicas": 5}

RUNS = {
    "default": {},
    "all metrics": {
        "metrics": QUICK_METRICS,
        "extractors": ["pool", "slice", "stack", "fft[n=3]"],
        "parameters": FEW_REPLICAS,
    },
    "single precision": {"precision": "float32", "extractors": ["pool", "fft"]},
    "weightwatcher": {"profile": "weightwatcher"},
    "trends-2020": {"profile": "trends-2020"},
}


@pytest.fixture(scope="module", autouse=True)
def _numpy_raises():
    """What NumPy would warn of in a metric is an exception, and so a failure; the core lets it pass."""
    evaluated = Evaluator._call

    def raising(self, node, arguments):
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            return evaluated(self, node, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evaluator, "_call", raising)
        yield


@ww.metric(version="1", on_request=True)
def careless(singular_values) -> float:
    """Divides by zero."""
    return (singular_values / 0.0).sum()


@ww.hookimpl
def ww_register_metrics():
    return [careless]


def test_a_metric_that_numpy_would_warn_of_is_a_failure():
    report = ww.analyze(HEALTHY, metrics=["careless"], plugins=[sys.modules[__name__]])
    assert [failure.plugin for failure in report.failures] == [__name__] * len(HEALTHY)
    assert all("divide by zero" in failure.message for failure in report.failures)


def test_all_columns_of_all_metrics_are_asked_for():
    assert {column.name for quantity in built_in() for column in quantity.columns} <= set(ALL_METRICS)


@pytest.fixture(scope="module", params=RUNS)
def options(request):
    return RUNS[request.param]


@pytest.fixture(scope="module")
def report(options):
    """The report of the healthy and the ill together."""
    return ww.analyze(HEALTHY | ILL, name="net", **options)


def outcomes(report):
    """All outcomes by what they speak of: layer, extractor and index where there is one, and column."""
    found = {(row.name, row.extractor, row.index, c): o for row in report.layers for c, o in row.metrics.items()}
    found |= {(row.name, "", 0, c): o for row in report.layer_metrics for c, o in row.metrics.items()}
    return found | {("", "", 0, c): o for c, o in report.model_metrics.items()}


def test_every_outcome_is_a_number_or_says_why_not(report):
    assert not report.failures
    assert not report.warnings
    for place, outcome in outcomes(report).items():
        if outcome.is_ok:
            assert not outcome.reason, place
            assert isinstance(outcome.value, str) or math.isfinite(outcome.value), place
        else:
            assert outcome.state != ww.State.FAILED, place
            assert outcome.value is None, place
            assert len(outcome.reason) > 10, place


def test_every_layer_has_a_spectrum_or_a_reason(report):
    reasons = {skip.name: skip.reason for skip in report.coverage.reasons}
    with_spectrum = {row.name for row in report.layers if any(outcome.is_ok for outcome in row.metrics.values())}
    for name in HEALTHY | ILL:
        layer = name.removesuffix(".weight")
        assert layer in with_spectrum or reasons.get(layer), layer
    assert report.coverage.failed == 0


def test_the_numbers_are_possible(report):
    limits = {
        "D": (0.0, 1.0), "entropy": (0.0, 1.0), "stable_rank": (1.0, math.inf), "frobenius_norm": (0.0, math.inf),
        "hard_rank": (0, math.inf), "alpha": (1.0, math.inf), "n_tail": (2, math.inf), "sigma": (0.0, math.inf),
    }  # fmt: skip
    for row in report.layers:
        numbers = {label.partition("[")[0]: outcome.value for label, outcome in row.metrics.items() if outcome.is_ok}
        for name, (low, high) in limits.items():
            assert low * (1 - 1e-12) <= numbers.get(name, low) <= high * (1 + 1e-12), (row.name, name)
        assert numbers.get("spectral_norm", 0.0) <= numbers.get("frobenius_norm", math.inf) * (1 + 1e-12), row.name
        assert numbers.get("xmin", 0.0) <= numbers.get("xmax", math.inf), row.name


def test_the_healthy_are_as_they_are_among_themselves(report, options):
    alone = outcomes(ww.analyze(HEALTHY, name="net", **options))
    together = outcomes(report)
    compared = {place for place in alone if place[0]}
    assert {"healthy dense", "healthy conv"} == {layer for layer, *_ in compared}
    assert {place: together[place] for place in compared} == {place: alone[place] for place in compared}


def test_a_file_gives_the_same_answers(report, options, tmp_path):
    path = tmp_path / "net.safetensors"
    save_file(HEALTHY | ILL, path)
    first_and_last = {name: [*value[:1], *value[1:][-1:]] for name, value in options.items() if name == "extractors"}
    of_file = outcomes(ww.analyze(path, store=tmp_path / "store.sqlite", name="net", **options | first_and_last))
    extractors = {place[1] for place in of_file}
    assert but_flow(of_file) == but_flow({p: own for p, own in outcomes(report).items() if p[1] in extractors})


def but_flow(outcomes):
    """All but what depends on the order of the layers, which a file of this format does not keep."""
    return {place: outcome for place, outcome in outcomes.items() if not place[3].startswith("alpha_flow")}


def test_what_is_printed_is_strict_json(report):
    text = json.dumps(report.to_dict(), allow_nan=False)
    assert len(json.loads(text)["layers"]) == len(report.layers)


# --- what the answers are ---------------------------------------------------------------------------------------------

NOT_FINITE = "refused: .*of .* weights are NaN or infinite"
BEYOND = "refused: .*the largest singular value is beyond the range of float64"
ONE_VALUE = "not_applicable: all eigenvalues above the floor are equal: a tail needs two distinct ones"
ANSWERS = {
    "all NaN": {"alpha": NOT_FINITE, "spectral_norm": NOT_FINITE, "stable_rank": NOT_FINITE, "weight_mean": NOT_FINITE},
    "one NaN": {"alpha": "refused: 1 of", "hard_rank": "refused: 1 of", "weight_q50": "refused: 1 of"},
    "+inf": {"log_norm": NOT_FINITE, "entropy": NOT_FINITE, "weight_max": NOT_FINITE},
    "one -inf": {"alpha_weighted": "refused: .*1 of", "short_tail": "refused: .*1 of", "weight_min": "refused: 1 of"},
    "zeros": {
        "spectral_norm": 0.0,
        "hard_rank": 0,
        "weight_std": 0.0,
        "log_norm": "-inf",
        "stable_rank": "not_applicable: the matrix is zero",
        "entropy": "not_applicable: the rank is 0",
        "alpha": "not_applicable: no eigenvalue is above the floor",
    },
    "constant": {"hard_rank": 1, "stable_rank": 1.0, "alpha": ONE_VALUE, "entropy": "not_applicable: the rank is 1"},
    "1e-300 everywhere": {"hard_rank": 1, "stable_rank": 1.0, "weight_mean": 1e-300, "weight_std": 0.0},
    "1e300 everywhere": {"hard_rank": 1, "stable_rank": 1.0, "weight_mean": 1e300, "weight_std": 0.0},
    "around 1e-300": {"alpha": None, "xmin": "refused: the eigenvalue is outside", "log_norm": None},
    "around 1e300": {"alpha": None, "xmax": "refused: the eigenvalue is outside", "log_spectral_norm": None},
    "the largest of either sign": {"spectral_norm": BEYOND, "stable_rank": BEYOND, "weight_std": None},
    "the largest alone": {"spectral_norm": np.finfo(np.float64).max, "stable_rank": 1.0, "hard_rank": 1},
    "rank one": {"hard_rank": 1, "alpha": ONE_VALUE},
    "orthogonal": {"hard_rank": min(DENSE), "entropy": 1.0, "alpha": ONE_VALUE},
}


@pytest.mark.parametrize("case", ANSWERS)
def test_the_answer_to_a_dense_layer(case):
    report = ww.analyze({"w.weight": ill(DENSE)[case]}, metrics=ALL_METRICS, parameters=FEW_REPLICAS)
    (row,), (whole,) = report.layers, report.layer_metrics
    for column, expected in ANSWERS[case].items():
        outcome = (dict(row.metrics) | dict(whole.metrics))[column]
        if isinstance(expected, str):
            assert re.match(expected, outcome.explain()), (column, outcome)
        else:
            assert outcome.is_ok, (column, outcome)
            assert expected is None or outcome.value == pytest.approx(expected, rel=1e-12), column


@pytest.mark.parametrize(
    ("case", "reason"),
    {
        "scalar": "a number has no spectrum",
        "vector": "a vector has no spectrum",
        **{case: f"a weight of shape {'x'.join(map(str, shape))} is empty" for case, shape in EMPTY.items()},
    }.items(),
)
def test_the_reason_for_no_spectrum(case, reason):
    weights = HEALTHY | named({case: drawn(WITHOUT_SPECTRUM[case])}, ["float32"])
    for extractor in ("pool", "slice", "stack", "fft"):
        report = ww.analyze(weights, extractors=[extractor])
        assert [(skip.name, skip.reason) for skip in report.coverage.reasons] == [(f"{case} float32", reason)]


@pytest.mark.parametrize(
    ("dtype", "exponent"),
    [("float64", e) for e in (-996, -532, 532, 990)] + [("float32", e) for e in (-100, 100)] + [("bfloat16", -100)],
)
@pytest.mark.parametrize("extractor", ["pool", "slice", "stack", "fft"])
def test_what_has_no_unit_does_not_depend_on_the_scale(dtype, exponent, extractor):
    weights = named({"dense": drawn(DENSE, 4), "conv": drawn(CONV, 5)}, [dtype])
    scaled = {name: (w.astype(np.float64) * 2.0**exponent).astype(w.dtype) for name, w in weights.items()}
    rows = ww.analyze(weights, extractors=[extractor]).layers
    scaled_rows = ww.analyze(scaled, extractors=[extractor]).layers
    for row, scaled_row in zip(rows, scaled_rows, strict=True):
        assert {c: scaled_row.metrics[c] for c in SCALE_FREE} == {c: row.metrics[c] for c in SCALE_FREE}
        assert scaled_row.metrics["spectral_norm"].value == row.metrics["spectral_norm"].value * 2.0**exponent


def test_a_factor_that_leaves_float64_is_refused():
    weights = np.zeros((54, 52, 3, 3))
    weights[2, 3] = 1.5e308
    report = ww.analyze(HEALTHY | {"w.weight": weights}, profile="trends-2020")
    assert not report.failures
    for row in report.layers:
        if row.name == "w":
            assert {outcome.state for outcome in row.metrics.values()} == {ww.State.REFUSED}
