"""Pictures of spectra: what is drawn is the density, the tail that was fitted, and what each start gives."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure

from ww_core.errors import NotApplicable
from ww_core.spectral.power_law import fit_power_law
from ww_plugins.commands.plot.esd import Tail, draw_esd, draw_starts

RANDOM = np.random.Generator(np.random.Philox(11))
PARETO = RANDOM.pareto(1.5, 600) + 1.0


def axes():
    return Figure().subplots()


def tail_of(eigenvalues):
    fit = fit_power_law(eigenvalues)
    return Tail(fit.alpha, fit.xmin, fit.D, fit.sigma, fit.n_tail)


@pytest.fixture(autouse=True)
def _no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("scale", ["log", "linear"])
@pytest.mark.parametrize("factor", [1e-200, 1.0, 1e200])
def test_the_area_of_the_density_is_one(scale, factor):
    panel = axes()
    draw_esd(panel, PARETO * factor, scale=scale)
    (steps,) = panel.patches
    heights, edges, _ = steps.get_data()
    # A linear axis ends before the few that are far above all others; the legend counts them.
    end = PARETO.max() if scale == "log" else 2 * np.quantile(PARETO, 0.95)
    beyond = int((end < PARETO).sum())
    assert np.nansum(heights * np.diff(edges)) == pytest.approx(1.0 - beyond / PARETO.size)
    assert edges[-1] == pytest.approx(PARETO[end >= PARETO].max() * factor, rel=1e-12)
    told = [line.get_label() for line in panel.lines if "not shown" in str(line.get_label())]
    assert [text.partition(" ")[0] for text in told] == ([str(beyond)] if beyond else [])
    assert panel.get_xscale() == scale


def test_the_tail_has_the_area_of_its_share():
    tail = tail_of(PARETO)
    x = np.geomspace(tail.xmin, tail.xmin * 1e6, 200_000)
    area = np.trapezoid(tail.density(x, PARETO.size), x)
    assert area == pytest.approx(tail.n_tail / PARETO.size, rel=1e-3)
    panel = axes()
    draw_esd(panel, PARETO, tail)
    drawn = next(line for line in panel.lines if "alpha" in str(line.get_label()))
    assert np.allclose(drawn.get_ydata(), tail.density(drawn.get_xdata(), PARETO.size))
    assert drawn.get_xdata()[[0, -1]] == pytest.approx([tail.xmin, PARETO.max()])


def test_what_is_rounding_is_left_out():
    panel = axes()
    draw_esd(panel, np.append(PARETO, np.full(100, 1e-20)), floor=1e-10)
    heights, edges, _ = panel.patches[0].get_data()
    assert edges[0] == PARETO.min()
    assert np.nansum(heights * np.diff(edges)) == pytest.approx(1.0)


def test_a_permuted_spectrum_and_an_edge_are_drawn_behind():
    panel = axes()
    draw_esd(panel, PARETO, randomized=RANDOM.random(50) + 0.1, edge=1.7)
    assert [text for text in panel.get_legend_handles_labels()[1] if text] == [
        "permuted weights",
        "edge of the bulk (MP)",
    ]


@pytest.mark.parametrize("eigenvalues", [[], [0.0, 0.0], [np.nan], [1e-30]])
def test_nothing_to_draw_is_an_error(eigenvalues):
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_esd(axes(), eigenvalues, floor=1e-20)


@pytest.mark.parametrize("eigenvalues", [[2.0], [2.0, 2.0, 2.0], [1.0, 2.0]])
def test_a_spectrum_without_width_is_drawn(eigenvalues):
    for scale in ("log", "linear"):
        panel = axes()
        draw_esd(panel, eigenvalues, scale=scale)
        heights, edges, _ = panel.patches[0].get_data()
        assert np.nansum(heights * np.diff(edges)) == pytest.approx(1.0)


def test_each_start_has_its_fit_and_the_chosen_one_is_the_lowest():
    tail = tail_of(PARETO)
    panel = axes()
    right = draw_starts(panel, PARETO, tail)
    distances = panel.lines[0].get_ydata()
    assert distances.min() >= tail.D - 1e-12
    assert len(distances) == 400
    assert panel.lines[-1].get_ydata()[0] == tail.D
    assert right.get_ylim()[1] > tail.alpha
    few = PARETO[:50]
    panel = axes()
    draw_starts(panel, few)
    assert panel.lines[0].get_ydata().min() == pytest.approx(fit_power_law(few).D, abs=1e-12)


def test_starts_of_one_eigenvalue_are_not_applicable():
    with pytest.raises(NotApplicable):
        draw_starts(axes(), [3.0, 3.0])


def test_a_few_eigenvalues_far_below_all_others_are_counted_and_not_shown():
    panel = axes()
    draw_esd(panel, np.concatenate([PARETO, [1e-9, 1e-7]]), tail_of(PARETO))
    heights, edges, _ = panel.patches[0].get_data()
    assert edges[0] >= 1.0
    assert np.nansum(heights * np.diff(edges)) == pytest.approx(600 / 602)
    assert any(str(line.get_label()).startswith("2 below") for line in panel.lines)


@pytest.mark.parametrize(
    "spectrum", [np.linspace(0.2, 9.0, 60), np.linspace(7.0, 37.0, 10), np.linspace(1.0, 1.04, 60)]
)
@pytest.mark.parametrize("draw", [draw_esd, draw_starts])
def test_numbers_on_a_narrow_axis_stand_apart(spectrum, draw):
    figure = Figure(figsize=(2.6, 2.5), layout="constrained")
    own = figure.subplots()
    draw(own, spectrum)
    figure.draw_without_rendering()
    told = [text for text in own.get_xticklabels(which="both") if text.get_text()]
    inside = [
        text.get_window_extent() for text in told if own.get_xlim()[0] <= text.get_position()[0] <= own.get_xlim()[1]
    ]
    inside.sort(key=lambda box: box.x0)
    assert len(inside) >= 2
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(inside))
