import math
import sys
import threading
import warnings

import numpy as np
import pytest

import ww_core as ww
from ww_plugins.metrics import powerlaw_package as plugin
from ww_plugins.metrics.scaled import scaled_spectrum
from ww_plugins.metrics.tail_shapes import tail_alternatives
from ww_plugins.metrics.tails import power_law

powerlaw = pytest.importorskip("powerlaw")
IS_2 = hasattr(powerlaw.Power_Law, "DEFAULT_PARAMETER_RANGES")

EPS = 2.0**-52
SINGULAR_VALUES = np.linalg.svd(np.random.default_rng(4).standard_t(2, (80, 60)), compute_uv=False)
SHAPE = (0.0, EPS, 80, 60)


def fitted(values, floor=0.0):
    return plugin.powerlaw_package(scaled_spectrum(values, floor, *SHAPE[1:]))


def truncated(values, n_tail):
    return plugin.powerlaw_package_truncated(scaled_spectrum(values, *SHAPE), n_tail)


def test_it_is_what_the_package_finds_and_what_ww_finds():
    found, own = fitted(SINGULAR_VALUES), power_law(SINGULAR_VALUES, *SHAPE)
    options = {"parameter_ranges": {"alpha": [0, None]}} if IS_2 else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = powerlaw.Fit(SINGULAR_VALUES**2, verbose=False, **options)
    assert (found.powerlaw_alpha, found.powerlaw_D) == pytest.approx((fit.alpha, fit.D), rel=1e-12)
    assert (found.powerlaw_xmin, found.powerlaw_n_tail) == (pytest.approx(fit.xmin, rel=1e-14), fit.n_tail)
    assert (found.powerlaw_alpha, found.powerlaw_D) == pytest.approx((own.alpha, own.D), rel=1e-12)
    assert (found.powerlaw_sigma, found.powerlaw_xmin) == pytest.approx((own.sigma, own.xmin), rel=1e-12)


def test_alpha_may_be_above_3():
    values = np.sqrt((1 - (np.arange(100) + 0.5) / 100) ** (-1 / 5))[::-1]
    assert fitted(values).powerlaw_alpha == pytest.approx(power_law(values, *SHAPE).alpha, rel=1e-12)
    assert fitted(values).powerlaw_alpha > 5


def test_the_truncated_fit_is_that_of_the_same_tail():
    n_tail = fitted(SINGULAR_VALUES).powerlaw_n_tail
    found = truncated(SINGULAR_VALUES, n_tail)
    exact = tail_alternatives(scaled_spectrum(SINGULAR_VALUES, *SHAPE), n_tail)
    assert found.powerlaw_tpl_alpha == pytest.approx(exact.cut_off_alpha, abs=1e-3)
    assert found.powerlaw_tpl_Lambda == pytest.approx(exact.cut_off_Lambda, rel=1e-2)


def test_its_version_is_that_of_the_package_too():
    assert plugin.powerlaw_package.version == f"1, powerlaw {powerlaw.__version__}"
    assert plugin.powerlaw_package_truncated.version == plugin.powerlaw_package.version


@pytest.mark.parametrize("exponent", [-900, -600, 3, 400])
def test_what_has_no_unit_does_not_depend_on_the_scale(exponent):
    values = np.ldexp(SINGULAR_VALUES, exponent)
    found, base = fitted(values), fitted(SINGULAR_VALUES)
    for column in ("powerlaw_alpha", "powerlaw_D", "powerlaw_sigma", "powerlaw_n_tail"):
        assert getattr(found, column) == getattr(base, column)
    n_tail = base.powerlaw_n_tail
    assert truncated(values, n_tail).powerlaw_tpl_alpha == truncated(SINGULAR_VALUES, n_tail).powerlaw_tpl_alpha
    if exponent in (3, 400):
        assert found.powerlaw_xmin == math.ldexp(base.powerlaw_xmin, 2 * exponent)
    else:
        assert isinstance(found.powerlaw_xmin, ww.Refused)


def test_the_noise_floor_cuts_and_ties_are_one_value():
    floor = float(SINGULAR_VALUES[29] + SINGULAR_VALUES[30]) / 2
    assert fitted(SINGULAR_VALUES, floor) == fitted(SINGULAR_VALUES[:30])
    pairs = np.repeat(SINGULAR_VALUES, 2) * (1 + EPS * np.tile([0, 1], 60))
    found = fitted(pairs)
    assert found.powerlaw_n_tail % 2 == 0
    assert found.powerlaw_alpha == pytest.approx(power_law(pairs, *SHAPE).alpha, rel=1e-12)


@pytest.mark.parametrize("values", [np.zeros(12), np.full(12, 0.3), np.ones(1)], ids=["zeros", "equal", "one"])
def test_no_tail_is_not_applicable(values):
    with pytest.raises(ww.NotApplicable):
        fitted(values)


def test_a_spectrum_without_width_is_refused():
    with pytest.raises(ww.Refused, match="without width"):
        fitted(np.sqrt(np.linspace(1.0, 0.99, 30)))


@pytest.mark.parametrize("sizes", [(2.0, 1.0), (3.0, 2.0, 1.0)])
@pytest.mark.skipif(not IS_2, reason="version 1.5 fits them")
def test_too_few_for_version_2_are_refused_with_a_reason(sizes):
    with pytest.raises(ww.Refused, match=r"powerlaw 2.* found no fit"):
        fitted(np.array(sizes))


def test_what_the_package_raises_is_a_reason(monkeypatch):
    def failing(*_, **__):
        raise ValueError("no good")

    monkeypatch.setattr(plugin._silent_package(), "Fit", failing)
    with pytest.raises(ww.Refused, match=r"powerlaw .* raised ValueError: no good"):
        fitted(SINGULAR_VALUES)
    with pytest.raises(ww.Refused, match="raised ValueError"):
        truncated(SINGULAR_VALUES, 10)


def test_it_says_nothing_and_changes_nothing_that_threads_share(capfd):
    filters, streams, package = list(warnings.filters), (sys.stdout, sys.stderr), vars(powerlaw).copy()
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(fitted(SINGULAR_VALUES))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen[0] == seen[1] == seen[2]
    assert warnings.filters == filters
    assert (sys.stdout, sys.stderr) == streams
    assert vars(powerlaw) == package
    assert capfd.readouterr() == ("", "")


def test_a_profile_leaves_it_out_and_a_name_asks_for_it():
    weights = {"fc.weight": np.random.default_rng(0).standard_t(2, (20, 12))}
    assert "powerlaw_alpha" not in ww.analyze(weights).layers[0].metrics
    report = ww.analyze(weights, metrics=["alpha", "powerlaw_alpha", "powerlaw_package_truncated"])
    metrics = report.layers[0].metrics
    assert not report.failures
    assert metrics["powerlaw_alpha"].number == pytest.approx(metrics["alpha"].number, rel=1e-12)
    assert metrics["powerlaw_tpl_alpha"].is_ok


def test_ties_and_scales_are_ww_s():
    scaled = scaled_spectrum(SINGULAR_VALUES, *SHAPE)
    assert plugin._expanded(scaled.distinct) == pytest.approx(scaled.eigenvalues[::-1], rel=1e-14)
