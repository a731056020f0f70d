import functools
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import ww_core as ww
from ww_core.domain.layer import Layer, TensorSpec
from ww_core.errors import NotApplicable, Refused
from ww_plugins.metrics import model


def test_the_sum_of_logs_is_the_log_of_the_squared_product():
    spectral_norms = np.array([0.5, 3.0, 7.0])
    values = np.ma.array(np.log10(spectral_norms**2))
    assert model.log_prod_spectral_norm(values) == pytest.approx(math.log10(np.prod(spectral_norms) ** 2))


@pytest.mark.filterwarnings("error")
def test_a_product_of_no_matrix_is_refused():
    with pytest.raises(Refused, match="no matrix has a log_spectral_norm"):
        model.log_prod_spectral_norm(np.ma.array([]))


def test_a_missing_factor_refuses_the_product():
    values = np.ma.array([1.0, 2.0, 3.0], mask=[False, True, True])
    with pytest.raises(Refused, match="2 of 3 matrices have no log_spectral_norm"):
        model.log_prod_spectral_norm(values)


# --- the bound of the path norm ---------------------------------------------------------------------------------------

BOUND = "log_path_norm_bound"


def log_bound(weights):
    found = ww.analyze({f"{at}.weight": own for at, own in enumerate(weights)}, metrics=[BOUND], label=False)
    return found.model_metrics[BOUND]


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(2, 6), min_size=2, max_size=5))
@settings(max_examples=15, deadline=None)
def test_it_bounds_the_sum_over_all_paths_and_meets_it_in_a_chain_that_is_rescaled(seed, widths):
    random = np.random.default_rng(seed)
    chain = [random.standard_normal((out, into)) for into, out in pairwise(widths)]
    paths = functools.reduce(lambda sums, own: np.abs(own) @ sums, chain, np.ones(widths[0]))
    expected = math.log10(paths.max())
    assert log_bound(chain).number >= expected - 1e-12
    scales, rescaled = np.ones(widths[0]), []
    for own in chain[:-1]:
        after = 1.0 / (np.abs(own) @ (1.0 / scales))
        rescaled.append(after[:, None] * own / scales)
        scales = after
    rescaled.append(chain[-1] / scales)
    assert log_bound(rescaled).number == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_convolutions_are_steps_and_embeddings_and_norms_are_none():
    random = np.random.default_rng(0)
    conv, dense = random.standard_normal((4, 3, 3, 3)), random.standard_normal((5, 4))
    rows = [np.abs(conv).sum((1, 2, 3)).max(), np.abs(dense).sum(1).max()]
    assert log_bound([conv, np.ones(4), dense]).number == pytest.approx(np.log10(rows).sum(), rel=1e-14)
    assert log_bound([conv, 0.0 * dense]).state == "-inf"


def test_a_bound_needs_a_chain_and_all_of_its_layers():
    def layers(*kinds):
        return [Layer(f"{kind}", kind, TensorSpec(f"{kind}.weight", "float32", (4, 4))) for kind in kinds]

    dense, embedding = ww.LayerKind.DENSE, ww.LayerKind.EMBEDDING
    with pytest.raises(NotApplicable, match="recurrent is a layer of kind recurrent, which is no step of a chain"):
        model.log_path_norm_bound(np.ma.array([1.0, 1.0]), layers(dense, ww.LayerKind.RECURRENT))
    with pytest.raises(NotApplicable, match="no dense layer and no convolution"):
        model.log_path_norm_bound(np.ma.array([1.0]), layers(embedding))
    with pytest.raises(Refused, match="1 of 2 layers have no norm_1_inf"):
        model.log_path_norm_bound(np.ma.array([1.0, 1.0, 1.0], mask=[0, 1, 1]), layers(dense, dense, embedding))


# --- means, flow and collapse -----------------------------------------------------------------------------------------


def places(*layers):
    """One place per matrix: (layer, shape of its weight), in order."""
    return tuple(
        ww.MatrixPlace(name, "dense", shape, 1, "matrix", index, shape[0], shape[1])
        for name, shape, count in layers
        for index in range(count)
    )


MATRICES = places(("a", (4, 5), 1), ("b", (3, 2, 3, 1), 3), ("c", (10, 6), 1))
ALPHAS = np.ma.array([2.0, 3.0, 4.0, 5.0, 7.0])
ONE_MISSING = np.ma.array([2.0, 3.0, 4.0, 999.0, 7.0], mask=[0, 0, 0, 1, 0])


@pytest.mark.parametrize(
    ("by", "weights"), [("equal", [1, 1, 1, 1, 1]), ("size", [20, 6, 6, 6, 60]), ("depth", [1, 2 / 3, 2 / 3, 2 / 3, 3])]
)
def test_a_mean_counts_matrices_as_it_is_told(by, weights):
    found = model.alpha_mean(ALPHAS, MATRICES, by=by)
    assert found.alpha_mean == pytest.approx(np.average(ALPHAS, weights=weights), rel=1e-14)
    assert found.alpha_mean_share == 1.0
    rest = [weights[at] for at in (0, 1, 2, 4)]
    found = model.alpha_mean(ONE_MISSING, MATRICES, by=by)
    assert found.alpha_mean == pytest.approx(np.average([2, 3, 4, 7], weights=rest), rel=1e-14)
    assert found.alpha_mean_share == pytest.approx(sum(rest) / sum(weights), rel=1e-14)


def flow(alphas, matrices=None):
    alphas = np.ma.array(alphas)
    matrices = matrices or places(*((f"l{at}", (3, 3), 1) for at in range(alphas.size)))
    found = model.correlation_flow(alphas, matrices)
    return found.alpha_flow_slope, found.alpha_flow_slope_se, found.alpha_flow_jump


@given(st.lists(st.floats(1.0, 20.0), min_size=3, max_size=12))
def test_the_flow_is_the_line_of_least_squares(alphas):
    design = np.stack([np.ones(len(alphas)), np.arange(len(alphas))], axis=1)
    line = np.linalg.lstsq(design, alphas)[0]
    variance = ((alphas - design @ line) ** 2).sum() / (len(alphas) - 2)
    error = math.sqrt(variance * np.linalg.inv(design.T @ design)[1, 1])
    expected = (line[1], error, np.abs(np.diff(alphas)).max())
    assert flow(alphas) == pytest.approx(expected, rel=1e-9, abs=1e-7)


def test_layers_without_alpha_keep_their_place():
    alphas = np.ma.array([2.0, 3.0, 0.0, 9.0, 4.0], mask=[0, 0, 1, 0, 0])
    line = stats.linregress([0, 1, 3, 4], [2, 3, 9, 4])
    assert flow(alphas) == pytest.approx((line.slope, line.stderr, 6.0))


def test_a_layer_of_several_matrices_is_one_step():
    line = stats.linregress([0, 1, 2], [2, 3.5, 7])
    assert flow(ONE_MISSING, MATRICES) == pytest.approx((line.slope, line.stderr, 3.5))


def test_a_straight_line_has_no_error():
    assert flow([2.0, 3.0, 4.0, 5.0]) == (1.0, 0.0, 1.0)


def test_two_layers_have_no_flow():
    with pytest.raises(NotApplicable, match="2 layers have an alpha"):
        flow([2.0, 3.0])


def test_collapsed_matrices_are_counted():
    norms = np.array([1.0, 1.1, 0.9, 1.05, 0.95, 1.2, 0.8])
    assert model.scale_collapse(np.ma.array(norms)) == 0
    assert model.scale_collapse(np.ma.array([*norms, 0.2])) == 0  # far out for these, but no tenth
    assert model.scale_collapse(np.ma.array([*norms, 0.2]), factor=3.0) == 1
    assert model.scale_collapse(np.ma.array([*norms, 0.01, 0.05])) == 2
    assert model.scale_collapse(np.ma.array([*norms, 0.0])) == 1
    wide = np.ma.array([1e-6, 1e-4, 1e-2, 1.0, 1e2, 1e4, 1e6])
    assert model.scale_collapse(wide) == 0  # where all scatter, none stands out
    assert model.scale_collapse(wide, deviations=1.0) == 1


@given(st.lists(st.floats(1e-3, 1e3), min_size=5, max_size=20), st.integers(-900, 900), st.randoms())
def test_neither_the_unit_nor_the_order_makes_a_collapse(norms, exponent, random):
    found = model.scale_collapse(np.ma.array(norms))
    shuffled = random.sample(norms, len(norms))
    assert model.scale_collapse(np.ma.array(shuffled)) == found
    # A power of ten would only shift the logarithms; rounding decides where a norm is at the limit.
    logs = np.log10(norms)
    median = np.median(logs)
    limit = median - max(3 * 1.4826 * np.median(np.abs(logs - median)), 1.0)
    if np.abs(logs - limit).min() > 1e-9:
        assert model.scale_collapse(np.ma.array(np.ldexp(norms, exponent))) == found


def test_a_collapse_needs_all_and_enough():
    with pytest.raises(Refused, match="1 of 6 matrices have no spectral_norm"):
        model.scale_collapse(np.ma.array(np.ones(6), mask=[1, 0, 0, 0, 0, 0]))
    with pytest.raises(Refused, match="factor is 0: it is above 0"):
        model.scale_collapse(np.ma.array(np.ones(6)), factor=0.0)
    with pytest.raises(NotApplicable, match="4 matrices are not zero"):
        model.scale_collapse(np.ma.array([1.0, 1.0, 1.0, 1.0, 0.0]))


def test_the_share_of_large_alphas():
    assert model.share_large_alpha(ONE_MISSING) == 0.25
    assert model.share_large_alpha(ONE_MISSING, above=2.5) == 0.75
    assert model.share_large_alpha(np.ma.array([6.0])) == 0.0


def test_no_alpha_at_all():
    none = np.ma.array([0.0] * 5, mask=True)
    for call in (
        lambda: model.alpha_mean(none, MATRICES),
        lambda: model.correlation_flow(none, MATRICES),
        lambda: model.share_large_alpha(none),
    ):
        with pytest.raises(NotApplicable, match="no matrix has an alpha"):
            call()


def test_the_columns_of_an_analysis():
    rng = np.random.default_rng(0)
    weights = {f"l{at}.weight": rng.standard_normal((30 + at, 20)) for at in range(5)}
    weights |= {"conv.weight": rng.standard_normal((16, 12, 3, 3)), "small.weight": 1e-4 * rng.standard_normal((9, 8))}
    columns = ["alpha_mean", "alpha_mean_share", "alpha_flow_slope", "scale_collapse", "share_large_alpha"]
    report = ww.analyze(weights, metrics=["alpha", *columns], parameters={"alpha_mean.by": "size"})
    alphas = [row.metrics["alpha"].number for row in report.layers]
    found = {name.partition("[")[0]: outcome.number for name, outcome in report.model_metrics.items()}
    sizes = [math.prod(row.shape) for row in report.layers]
    assert found["alpha_mean"] == pytest.approx(np.average(alphas, weights=sizes))
    assert found["alpha_flow_slope"] == pytest.approx(stats.linregress(range(7), alphas).slope)
    assert found["scale_collapse"] == 1
    assert found["share_large_alpha"] == np.mean(np.array(alphas) > 6)
