"""What the metrics of one spectrum share."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ww_core as ww
from ww_core.plugins.discovery import load_plugins
from ww_core.spectral import fit_marchenko_pastur, fit_power_law
from ww_plugins.metrics import scaled
from ww_plugins.metrics.scaled import scaled_spectrum

EPS = 2.0**-52
SINGULAR_VALUES = np.linalg.svd(np.random.default_rng(0).standard_t(3, (80, 60)), compute_uv=False)
FLOOR = float(SINGULAR_VALUES[49])


def spectrum():
    return scaled_spectrum(SINGULAR_VALUES, FLOOR, EPS, 80, 60)


@given(exponent=st.integers(-900, 900))
def test_the_scale_is_the_exponents(exponent):
    base, moved = (
        spectrum(),
        scaled_spectrum(np.ldexp(SINGULAR_VALUES, exponent), math.ldexp(FLOOR, exponent), EPS, 80, 60),
    )
    assert moved.exponent == base.exponent + exponent
    assert (moved.singular_values == base.singular_values).all()
    assert (moved.eigenvalues == base.singular_values**2).all()
    assert (moved.noise_floor, moved.floor, moved.rounding) == (base.noise_floor, base.floor, base.rounding)
    assert 0.5 <= base.singular_values[0] < 1.0


def test_it_is_the_spectrum_over_a_power_of_two():
    shared = spectrum()
    assert (np.ldexp(shared.singular_values, shared.exponent) == SINGULAR_VALUES).all()
    assert shared.rounding == 80 * EPS * shared.eigenvalues[0]
    single = scaled_spectrum(SINGULAR_VALUES, FLOOR, 2.0**-23, 80, 60)
    assert single.rounding == 16 * 2.0**-23 * shared.eigenvalues[0]


def test_what_is_not_above_the_floor_is_left_out_and_ties_are_one():
    values = np.array([3.0, 3.0 * (1 - EPS), 2.0, 1.0, 0.5])
    distinct = scaled_spectrum(values, 0.5, EPS, 80, 60).distinct
    assert distinct.values.tolist() == [1 / 16, 4 / 16, (3 * (1 - EPS)) ** 2 / 16]
    assert distinct.counts.tolist() == [1, 1, 2]
    assert distinct.n_tail.tolist() == [4, 3, 2]


@pytest.mark.parametrize("ks", ["lower", "two-sided"])
def test_the_fits_are_those_of_the_eigenvalues_and_made_once(ks):
    shared = spectrum()
    tail = shared.power_law(ks)
    assert tail == fit_power_law(shared.eigenvalues, floor=shared.floor, tie_tolerance=shared.rounding, ks=ks)
    assert shared.power_law(ks) is tail
    bulk = shared.bulk(0.05)
    assert bulk == fit_marchenko_pastur(shared.eigenvalues, 80, 60, floor=shared.floor, level=0.05)
    assert shared.bulk(0.05) is bulk
    assert shared.distinct is shared.distinct


def test_nobody_can_write_to_what_is_shared():
    shared = spectrum()
    for array in (shared.singular_values, shared.eigenvalues, *shared.distinct[:3]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


def test_what_has_no_tail_or_bulk():
    zero = scaled_spectrum(np.zeros(20), 0.0, EPS, 20, 20)
    with pytest.raises(ww.NotApplicable, match="the matrix is zero"):
        zero.bulk(0.01)
    for _ in range(2):
        with pytest.raises(ww.NotApplicable, match="no eigenvalue is above the floor"):
            zero.power_law("lower")
    with pytest.raises(ww.Refused, match="without width"):
        _ = scaled_spectrum(np.linspace(1.0, 0.995, 20), 0.0, EPS, 20, 20).distinct


@pytest.mark.parametrize("power", [-2, 1, 2])
def test_back_to_the_weights(power):
    shared = scaled_spectrum(np.ldexp(SINGULAR_VALUES, 40), 0.0, EPS, 80, 60)
    assert shared.restored(0.3, power=power) == math.ldexp(0.3, power * shared.exponent)
    assert shared.restored(0.0, power=power) == 0.0
    for exponent in (-1000, 1000):
        beyond = scaled_spectrum(np.ldexp(SINGULAR_VALUES, exponent), 0.0, EPS, 80, 60)
        assert isinstance(beyond.restored(0.3, power=power), ww.Refused) == (power != 1)
        assert beyond.scaled(1.0) in ({0.0} if exponent > 0 else {math.inf})


def test_it_is_made_once_for_a_matrix(monkeypatch):
    made = []
    power_law, bulk = scaled.fit_power_law_to, scaled.fit_marchenko_pastur
    monkeypatch.setattr(scaled, "fit_power_law_to", lambda data, **o: made.append("tail") or power_law(data, **o))
    monkeypatch.setattr(scaled, "fit_marchenko_pastur", lambda *a, **o: made.append("bulk") or bulk(*a, **o))
    weights = np.random.default_rng(1).standard_t(3, (90, 60))
    metrics = ["alpha_mid", "num_fingers", "power_law_p", "phase", "num_spikes", "tpl_alpha", "detX_num"]
    parameters = {"power_law_p.replicas": 2}
    (row,) = ww.analyze({"w.weight": weights}, metrics=metrics, parameters=parameters).layers
    assert all(row.metrics[name].is_ok for name in metrics if name != "power_law_p")
    assert sorted(made) == ["bulk", "tail"]


def test_no_metric_of_a_profile_that_was_stored_before_needs_it():
    """A metric's identity is made of those of its needs: with another one, what is stored would be computed again."""
    quantities = load_plugins().quantities
    for owned in quantities:
        if "scaled_spectrum" in owned.object.needs.values():
            assert owned.object.on_request, owned.name
