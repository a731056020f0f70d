"""Convolutions side by side: the numbers are NumPy's, what must hold does, and what is stored answers again."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import ww_core as ww
from ww_core.errors import NothingToAnalyzeError, NotStoredError, ReadOnlyStoreError, UnknownNameError
from ww_core.spectral import fit_power_law
from ww_plugins.commands.compare_svd import ComparedLayer, ExtractorResult, Tail, compare_svd
from ww_plugins.commands.compare_svd.compare import METRICS
from ww_plugins.extractors import Stack

GROUPS = {"grouped": 3, "depthwise": 5}


def drawn(*shape, seed=0):
    return np.random.Generator(np.random.Philox([seed, *shape])).standard_normal(shape)


@pytest.fixture(scope="module")
def weights():
    """One convolution of each form, in float64, and a layer that is none."""
    shapes = {
        "square": (8, 6, 3, 3),
        "point": (6, 5, 1, 1),
        "row": (5, 4, 1, 3),
        "grouped": (6, 2, 3, 3),
        "depthwise": (5, 1, 3, 3),
        "line": (6, 4, 5),
        "cube": (4, 3, 2, 2, 2),
        "dense": (20, 10),
    }
    return {f"{name}.weight": drawn(*shape) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def comparison(weights):
    return compare_svd(weights, n=7, groups=GROUPS, name="net", version="a")


def named(found, name):
    (layer,) = [layer for layer in found.layers if layer.name == name]
    return layer


def result_of(layer, extractor):
    (result,) = [result for result in layer.results if result.extractor == extractor]
    return result


def spectra_by_numpy(weight, extractor, groups, n):
    """Singular values of every matrix that the extractor makes, each of them by a full SVD of its own."""
    out, cols, *kernel = weight.shape
    kernels = weight.reshape(groups, out // groups, cols, *kernel)

    def svd(matrices):
        return np.sort(np.linalg.svd(matrices, compute_uv=False).ravel())[::-1]

    if extractor.startswith("fft"):
        side = n if "[" in extractor else max(kernel)
        transform = np.fft.fftn(kernels, s=(side,) * len(kernel), axes=range(3, kernels.ndim))
        at_frequencies = np.moveaxis(transform.reshape(*kernels.shape[:3], -1), 3, 1)
        return [svd(at_frequencies)]
    slices = np.moveaxis(kernels.reshape(*kernels.shape[:3], -1), 3, 1)
    if extractor == "stack":
        return [svd(slices.reshape(groups, -1, cols))]
    return [svd(slices)] if extractor == "pool" else [svd(one) for one in slices.reshape(-1, out // groups, cols)]


def fits(weight, extractor, groups, n):
    """The tail fits of these spectra; values that only rounding parts are ties, as conjugate frequencies are."""
    found = []
    for values in spectra_by_numpy(weight, extractor, groups, n):
        try:
            found.append(fit_power_law(values**2, tie_tolerance=1e-13 * values[0] ** 2))
        except ww.NotApplicable:
            continue
    return found


CONVOLUTIONS = ("square", "point", "row", "grouped", "depthwise", "line", "cube")
EXTRACTORS = ("slice", "pool", "stack", "fft", "fft[n=7]")


def test_all_convolutions_are_seen_through_all_extractors_and_nothing_else(comparison):
    assert comparison.extractors == EXTRACTORS
    assert [layer.name for layer in comparison.layers] == list(CONVOLUTIONS)
    for layer in comparison.layers:
        assert [result.extractor for result in layer.results] == list(EXTRACTORS)
        assert not layer.missing
    assert (comparison.model, comparison.version, comparison.failures) == ("net", "a", ())
    assert (named(comparison, "grouped").shape, named(comparison, "grouped").groups) == ((6, 2, 3, 3), 3)


@pytest.mark.parametrize("extractor", EXTRACTORS)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_norms_ranks_and_counts_are_numpys(comparison, weights, name, extractor):
    weight, groups = weights[f"{name}.weight"], GROUPS.get(name, 1)
    expected = spectra_by_numpy(weight, extractor, groups, 7)
    result = result_of(named(comparison, name), extractor)
    assert (result.matrices, result.count) == (len(expected), sum(map(len, expected)))
    assert result.spectral_norm == pytest.approx(max(values[0] for values in expected), rel=1e-12)
    stable_ranks = [(values**2).sum() / values[0] ** 2 for values in expected]
    assert result.stable_rank == pytest.approx(np.mean(stable_ranks), rel=1e-12)
    # However many spectra there are: it is the norm of the weight.
    assert result.frobenius_norm == pytest.approx(np.linalg.norm(weight), rel=1e-12)
    assert result.seconds > 0


@pytest.mark.parametrize("extractor", EXTRACTORS)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_the_exponent_is_the_mean_of_those_of_all_spectra(comparison, weights, name, extractor):
    expected = fits(weights[f"{name}.weight"], extractor, GROUPS.get(name, 1), 7)
    tail = result_of(named(comparison, name), extractor).tail
    if not expected:
        assert tail is None
        return
    alphas = [fit.alpha for fit in expected]
    assert tail.alpha == pytest.approx(np.mean(alphas), rel=1e-9)
    assert (tail.smallest, tail.largest) == pytest.approx((min(alphas), max(alphas)), rel=1e-9)
    assert tail.sigma == pytest.approx(np.linalg.norm([fit.sigma for fit in expected]) / len(expected), rel=1e-9)
    low, high = ([fit.alpha + 2 * sign * fit.sigma for fit in expected] for sign in (-1, 1))
    states = ["over-trained" if b < 2 else "under-trained" if a > 6 else "" for a, b in zip(low, high, strict=True)]
    assert states.count(tail.warning) == max(map(states.count, states))


def test_spectra_of_one_value_have_no_tail_and_a_reason(comparison):
    depthwise = named(comparison, "depthwise")
    sliced, pooled = result_of(depthwise, "slice"), result_of(depthwise, "pool")
    assert sliced.matrices == 5 * 9
    assert sliced.tail is None
    assert sliced.reason.startswith("45 of 45 have no alpha: all eigenvalues above the floor are equal")
    assert (pooled.tail is not None, pooled.reason) == (True, "")


def test_what_must_hold_does(comparison):
    assert comparison.broken == ()
    layer = named(comparison, "square")
    found = {one.statement: one for one in layer.laws}
    assert list(found) == [
        "frobenius(pool) = frobenius(slice)",
        "frobenius(stack) = frobenius(slice)",
        "frobenius(fft) / n = frobenius(slice)",
        "frobenius(fft[n=7]) / n = frobenius(slice)",
        "spectral_norm(slice) <= spectral_norm(stack)",
        "spectral_norm(pool) <= spectral_norm(stack)",
        "spectral_norm(stack) <= spectral_norm(fft)",
        "spectral_norm(fft) / sqrt(P) <= spectral_norm(stack)",
        "spectral_norm(stack) <= spectral_norm(fft[n=7])",
        "spectral_norm(fft[n=7]) / sqrt(P) <= spectral_norm(stack)",
    ]
    bound = found["spectral_norm(fft[n=7]) / sqrt(P) <= spectral_norm(stack)"]
    assert bound.left == result_of(layer, "fft[n=7]").spectral_norm / 3
    assert bound.right == result_of(layer, "stack").spectral_norm
    assert bound.deviation == 0
    for name, root in (("line", "sqrt(n)"), ("cube", "n^1.5")):
        statements = [one.statement for one in named(comparison, name).laws]
        assert f"frobenius(fft) / {root} = frobenius(slice)" in statements


@pytest.mark.parametrize(
    ("extractor", "change", "broken"),
    [
        ("fft", {"frobenius_norm": 1 + 1e-9}, {"frobenius(fft) / n = frobenius(slice)"}),
        ("pool", {"spectral_norm": 9.0}, {"spectral_norm(pool) <= spectral_norm(stack)"}),
        ("fft", {"spectral_norm": 0.5}, {"spectral_norm(stack) <= spectral_norm(fft)"}),
        ("fft", {"spectral_norm": 4.0}, {"spectral_norm(fft) / sqrt(P) <= spectral_norm(stack)"}),
        (
            "stack",
            {"spectral_norm": 1e-3},
            {"spectral_norm(slice)", "spectral_norm(pool)", "spectral_norm(fft) /", "spectral_norm(fft[n=7]) /"},
        ),
    ],
)
def test_what_does_not_hold_is_found(comparison, extractor, change, broken):
    layer = named(comparison, "square")
    wrong = tuple(
        replace(result, **{key: getattr(result, key) * factor for key, factor in change.items()})
        if result.extractor == extractor
        else result
        for result in layer.results
    )
    found = replace(comparison, layers=(replace(layer, results=wrong), named(comparison, "point"))).broken
    assert {name for name, _ in found} == {"square"}
    assert len(found) == len(broken)
    for _, one in found:
        assert any(one.statement.startswith(statement) for statement in broken)
        assert one.deviation > 1e-10


def with_tails(**tails):
    results = [
        ExtractorResult(
            extractor=extractor,
            matrices=1,
            count=1,
            tail=Tail(alpha, sigma, alpha, alpha, warning),
            spectral_norm=1.0,
            stable_rank=1.0,
            frobenius_norm=1.0,
            seconds=0.0,
        )
        for extractor, (alpha, sigma, warning) in tails.items()
    ]
    return ComparedLayer("layer", (2, 2, 3, 3), 1, tuple(results))


def test_exponents_disagree_beyond_their_joint_error_or_by_their_warning():
    layer = with_tails(slice=(2.5, 0.3, ""), pool=(3.0, 0.4, ""), stack=(3.6, 0.0, ""), fft=(3.5, 0.4, "under-trained"))
    found = {(one.first, one.second): one for one in layer.disagreements}
    assert set(found) == {("slice", "stack"), ("slice", "fft"), ("pool", "stack"), ("pool", "fft"), ("stack", "fft")}
    assert found["slice", "fft"].joint_sigma == pytest.approx(0.5)
    assert {pair for pair, one in found.items() if one.is_significant} == {
        ("slice", "stack"),
        ("slice", "fft"),
        ("pool", "stack"),
    }
    assert with_tails(slice=(2.5, 0.3, ""), pool=(2.5, 0.0, "")).disagreements == ()


def test_a_grid_smaller_than_a_kernel_is_missing_there_only(weights):
    found = compare_svd(weights, n=2, layers=["square", "point"])
    square, point = named(found, "square"), named(found, "point")
    assert square.missing == (("fft[n=2]", "a kernel of 3x3 does not fit into a grid of n = 2"),)
    assert [result.extractor for result in square.results] == ["slice", "pool", "stack", "fft"]
    assert not any("n=2" in one.statement for one in square.laws)
    assert result_of(point, "fft[n=2]").count == 4 * result_of(point, "fft").count
    rows = {(row["layer"], row["extractor"]): row for row in found.rows()}
    assert rows["square", "fft[n=2]"]["note"] == square.missing[0][1]


def test_a_layer_with_nan_has_reasons_and_the_others_have_numbers(weights, comparison):
    bad = weights["square.weight"].copy()
    bad[0, 0, 1, 2] = np.nan
    found = compare_svd(weights | {"square.weight": bad}, n=7, groups=GROUPS)
    square = named(found, "square")
    assert square.results == ()
    assert dict(square.missing)["slice"] == "1 of 9 have no spectral_norm: 1 of 48 weights are NaN or infinite"
    assert dict(square.missing)["fft[n=7]"] == "no spectral_norm: 1 of 432 weights are NaN or infinite"
    assert (square.laws, square.disagreements) == ((), ())
    assert found.failures == ()
    for layer in found.layers:
        if layer.name != "square":
            assert layer.laws == named(comparison, layer.name).laws


def test_a_kernel_of_zeros():
    found = compare_svd({"zero.weight": np.zeros((4, 3, 3, 3))}, n=4)
    (layer,) = found.layers
    for result in layer.results:
        assert (result.spectral_norm, result.stable_rank, result.frobenius_norm, result.tail) == (0, None, 0, None)
        assert "no eigenvalue is above the floor" in result.reason
    assert len(layer.laws) == 10
    assert found.broken == ()
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("exponent", [-1000, 1000])
def test_the_scale_of_the_weights_changes_norms_only(exponent):
    weight = drawn(8, 6, 3, 3)
    near = compare_svd({"c.weight": weight}, n=5).layers[0]
    found = compare_svd({"c.weight": np.ldexp(weight, exponent)}, n=5)
    assert found.broken == ()
    for one, other in zip(found.layers[0].results, near.results, strict=True):
        assert (one.tail.alpha, one.stable_rank) == pytest.approx((other.tail.alpha, other.stable_rank), rel=1e-12)
        assert one.frobenius_norm == pytest.approx(math.ldexp(other.frobenius_norm, exponent), rel=1e-12)
    json.dumps(found.to_dict(), allow_nan=False)


def test_groups_are_those_that_are_given(weights):
    whole = compare_svd(weights, n=4, layers=["grouped"])
    parted = compare_svd(weights, n=4, layers=["grouped"], groups={"g*": 2})
    assert [result_of(one.layers[0], "slice").matrices for one in (whole, parted)] == [9, 18]
    with pytest.raises(ww.UsageError, match="not 4 groups"):
        compare_svd(weights, groups={"grouped": 4})


def test_globs_choose_among_the_convolutions(weights):
    found = compare_svd(weights, n=4, layers=["*e"])  # dense too, which is none
    assert [layer.name for layer in found.layers] == ["square", "depthwise", "line", "cube"]
    with pytest.raises(UnknownNameError, match="unknown layer 'sqare': did you mean square"):
        compare_svd(weights, layers=["sqare"])


def test_a_name_that_looks_like_a_glob_means_itself():
    names = ("conv*", "conv[1]", "conv?", "a$\\frac", "漢")
    weights = {f"{name}.weight": drawn(4, 3, 3, 3, seed=place) for place, name in enumerate(names)}
    weights |= {"conv1.weight": drawn(6, 4), "conv2.weight": drawn(4, 3, 3, 3, seed=9)}
    found = compare_svd(weights, n=3)
    assert {layer.name for layer in found.layers} == {*names, "conv2"}
    for glob, name in (("conv[1]", "conv[1]"), ("conv[*]", "conv*")):
        assert [layer.name for layer in compare_svd(weights, n=3, layers=[glob]).layers] == [name]


def test_a_source_without_convolutions_is_told_what_it_has(weights):
    with pytest.raises(NothingToAnalyzeError, match=r"no convolution; found: dense \(dense\)"):
        compare_svd(weights, layers=["dense"])
    many = {f"{place:02}.weight": drawn(3, 2) for place in range(11)}
    with pytest.raises(NothingToAnalyzeError, match=r"07 \(dense\) and 3 more"):
        compare_svd(many)
    with pytest.raises(NothingToAnalyzeError, match="is empty"):
        compare_svd({"c.weight": np.zeros((0, 3, 3, 3))})


@pytest.mark.parametrize("n", [0, -3, 2.5, "x"])
def test_a_grid_has_a_length(weights, n):
    with pytest.raises((ww.UsageError, TypeError)):
        compare_svd(weights, n=n)


def test_what_an_exception_costs_is_told_and_the_rest_is_there(weights, monkeypatch):
    def broken(self, weight, layer):
        raise ZeroDivisionError("no such stack")

    monkeypatch.setattr(Stack, "matrices", broken)
    found = compare_svd(weights, n=4, layers=["square"])
    assert [(failure.stage, failure.message) for failure in found.failures] == [
        ("extract", "ZeroDivisionError: no such stack")
    ]
    (layer,) = found.layers
    assert [result.extractor for result in layer.results] == ["slice", "pool", "fft", "fft[n=4]"]
    assert [extractor for extractor, _ in layer.missing] == ["stack"]
    assert [one.statement for one in layer.laws] == [
        "frobenius(pool) = frobenius(slice)",
        "frobenius(fft) / n = frobenius(slice)",
        "frobenius(fft[n=4]) / n = frobenius(slice)",
    ]


def test_an_observer_that_breaks_costs_nothing(weights):
    class Clumsy(ww.RunObserver):
        def on_layer(self, layer):
            raise ValueError("clumsy")

    found = compare_svd(weights, n=4, layers=["square"], observers=[Clumsy()])
    assert {failure.stage for failure in found.failures} == {"observer"}
    assert len(found.layers[0].results) == 5


class TestWhatIsStored:
    """A comparison is an analysis: it is kept, found by name, and not mistaken for another."""

    @pytest.fixture
    def path(self, weights, tmp_path):
        path = tmp_path / "net.safetensors"
        save_file(weights, path)
        return path

    @pytest.fixture
    def store(self, tmp_path):
        return tmp_path / "s.sqlite"

    def runs(self, store, name="net"):
        with ww.open_store(store, mode="read") as opened:
            return opened.report(name).run

    def test_the_second_time_nothing_is_computed(self, path, store):
        first = compare_svd(path, n=4, store=store)
        spectra = 7 * 4 - 1 + 9 + 1 + 3 + 9 + 9 + 5 + 8  # five positions of a kernel are too many for a grid of four
        assert (self.runs(store).computed, self.runs(store).reused) == (spectra, 0)
        second = compare_svd(path, n=4, store=store)
        assert (self.runs(store).computed, self.runs(store).reused) == (0, spectra)
        assert second == first
        # Another grid: the other four are there.
        compare_svd(path, n=5, store=store)
        assert self.runs(store).computed == 7

    def test_a_name_answers_without_the_file(self, path, store):
        from_file = compare_svd(str(path), n=4, store=store, version="v1")
        path.unlink()
        for name in ("net", "net@v1", from_file.digest[:8]):
            assert compare_svd(name, n=4, store=store) == from_file
        chosen = compare_svd("net", n=4, store=store, layers=["[sp]*"])
        assert [layer.name for layer in chosen.layers] == ["point", "square"]
        with pytest.raises(UnknownNameError, match="unknown layer 'dense'"):
            compare_svd("net", n=4, store=store, layers=["dense"])

    def test_a_name_that_was_not_compared_is_refused(self, path, store):
        ww.analyze(path, store=store)
        with pytest.raises(
            NotStoredError, match=r"'net' is stored, but was not compared with slice, pool, stack, fft, "
        ):
            compare_svd("net", store=store)
        compare_svd(path, n=4, store=store)
        with pytest.raises(NotStoredError, match=r"fft\[n=5\]: name the file of its weights once"):
            compare_svd("net", n=5, store=store)

    def test_neither_a_file_nor_a_model(self, path, store, tmp_path):
        with pytest.raises(ww.StoreError, match="nett: there is no such file or folder, and there is no store at"):
            compare_svd("nett", store=store)
        compare_svd(path, n=4, store=store)
        with pytest.raises(
            NotStoredError, match=r"nett: there is no such file or folder, and no model 'nett'.* did you mean net"
        ):
            compare_svd("nett", n=4, store=store)
        with pytest.raises(NotStoredError, match="no version '7': it has 1"):
            compare_svd("net@7", n=4, store=store)
        with pytest.raises(ww.SourceError, match="no such file"):
            compare_svd("nett", n=4)  # without a store there are no models
        with pytest.raises(ww.SourceError, match="no such file"):
            compare_svd(Path("nett"), n=4, store=store)

    @pytest.mark.parametrize(
        "option", [{"groups": {"square": 2}}, {"name": "x"}, {"version": "2"}, {"loader": "arrays"}]
    )
    def test_what_is_said_of_a_file_asks_for_one(self, path, store, option):
        compare_svd(path, n=4, store=store)
        with pytest.raises(ww.SourceError, match="net: there is no such file or folder"):
            compare_svd("net", n=4, store=store, **option)

    def test_addresses_and_names_too_long_for_a_path(self, path, store):
        long = "漢" * 150  # 450 bytes: a name for a model, not for a file
        by_address = compare_svd(path.as_uri(), n=4, store=store, name=long, layers=["square"])
        assert by_address.layers[0].name == "square"
        assert compare_svd(long, n=4, store=store) == by_address
        with pytest.raises(ww.SourceError, match="no such file"):
            compare_svd("file:/nowhere/at/all", store=store)
        with pytest.raises(ww.SourceError, match="download"):
            compare_svd("hf://some/model", store=store)
        with pytest.raises(NotStoredError, match="no model"):
            compare_svd("x" * 5000, n=4, store=store)

    def test_a_narrow_comparison_hides_nothing_of_a_wide_one(self, path, store):
        wide = compare_svd(path, n=4, store=store)
        narrow = compare_svd(path, n=4, store=store, layers=["point"])
        assert [layer.name for layer in narrow.layers] == ["point"]
        assert compare_svd("net", n=4, store=store) == wide

    def test_a_grid_that_no_kernel_fits_is_a_comparison_too(self, path, store):
        found = compare_svd(path, n=2, store=store, layers=["square", "row"])
        assert compare_svd("net", n=2, store=store) == found

    def test_an_analysis_of_all_columns_will_do(self, path, store):
        ww.analyze(path, store=store, extractors=["fft[n=4]", "pool", "fft", "slice", "stack"])
        by_name = compare_svd("net", n=4, store=store)
        assert by_name.to_dict()["layers"] == compare_svd(path, n=4, store=store).to_dict()["layers"]
        assert "dense" not in [layer.name for layer in by_name.layers]

    @pytest.mark.parametrize(
        "options",
        [
            {"metrics": ["alpha"]},
            {"parameters": {"power_law.ks": "two-sided"}},
            {"precision": "float32"},
            {"profile": "weightwatcher"},
            {"profile": "weightwatcher", "metrics": METRICS},
        ],
        ids=str,
    )
    def test_an_analysis_of_other_definitions_will_not(self, path, store, options):
        ww.analyze(path, store=store, extractors=["slice", "pool", "stack", "fft", "fft[n=4]"], **options)
        with pytest.raises(NotStoredError, match="was not compared"):
            compare_svd("net", n=4, store=store)

    def test_spectra_of_another_precision_are_not_counted_in(self, path, store):
        ww.analyze(path, store=store, precision="float32", layers=["square"])
        found = compare_svd(path, n=4, store=store, layers=["square"])
        assert result_of(found.layers[0], "pool").count == 9 * 6

    @pytest.mark.parametrize("memory", [None, ":memory:", "sqlite://"])
    def test_a_store_in_memory_will_do(self, path, store, memory):
        expected = compare_svd(path, n=4, store=store, layers=["point"]).layers[0]
        (layer,) = compare_svd(path, n=4, store=memory, layers=["point"]).layers
        assert layer.laws == expected.laws

    @pytest.mark.parametrize("option", [{"name": "a@b"}, {"jobs": -1}, {"loader": "lost"}, {"groups": {"square": 5}}])
    def test_wrong_usage_makes_no_store(self, path, store, option):
        with pytest.raises(ww.UsageError):
            compare_svd(path, store=store, **option)
        assert not store.exists()

    def test_a_store_for_reading_answers_and_takes_nothing(self, path, store):
        found = compare_svd(path, n=4, store=store, layers=["square"])
        with ww.open_store(store, mode="read") as opened:
            assert compare_svd("net", n=4, store=opened) == found
            with pytest.raises(ReadOnlyStoreError, match="opened for reading"):
                compare_svd(path, n=4, store=opened)


def test_torch_agrees(weights, comparison):
    pytest.importorskip("torch")
    found = compare_svd(weights, n=7, groups=GROUPS, device="torch")
    assert found.broken == ()
    for layer in found.layers:
        for result in layer.results:
            expected = result_of(named(comparison, layer.name), result.extractor)
            assert result.spectral_norm == pytest.approx(expected.spectral_norm, rel=1e-10)
            assert (result.tail is None) == (expected.tail is None)
            if result.tail:
                assert result.tail.alpha == pytest.approx(expected.tail.alpha, rel=1e-8)


def test_norms_that_have_lost_their_digits_break_nothing():
    for weight in (np.full((4, 3, 3, 3), 5e-324), 1e-320 * np.random.default_rng(0).standard_normal((4, 3, 3, 3))):
        assert not compare_svd({"a.weight": weight}, n=4).broken
