"""One call for one matrix: what `judge` says is what `analyze` says, and every value that is missing has its reason."""

import gc
import subprocess
import sys
import weakref

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ww_core as ww

RANDOM = np.random.Generator(np.random.Philox(20))
DTYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]


def drawn(*shape, dtype=np.float64):
    return RANDOM.standard_t(3, shape).astype(dtype)


def by_analysis(arrays, **options):
    """Values and states of matrices by an analysis of a model with these weights, a mapping for each row."""
    report = ww.analyze({f"{i:03}.weight": own for i, own in enumerate(arrays)}, name="net", **options)
    return [
        (
            {label: own.value for label, own in row.metrics.items()},
            {label: own.explain() for label, own in row.metrics.items() if not own.is_ok},
        )
        for row in sorted(report.layers, key=lambda row: (row.name, row.index))
    ]


def by_judge(array, **options):
    judgement = ww.judge(array, **options)
    return dict(judgement.values), dict(judgement.states)


def with_number(matrix, number):
    changed = matrix.copy()
    changed[1, 2] = number
    return changed


SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (7, 31), (31, 7), (39, 39), (40, 40), (64, 64), (65, 90), (300, 20)]
KERNELS = [(8, 4, 3, 3), (4, 8, 1, 1), (3, 3, 5, 2), (4, 3, 2, 2, 2)]
DEGENERATE = [
    np.zeros((6, 5)),
    np.zeros((1, 1), np.float32),
    np.outer(np.arange(1.0, 7), np.arange(1.0, 6)),
    np.outer(np.arange(1, 7), np.arange(1, 6)).astype(np.float16),
    np.eye(12),
    np.ones((5, 5), np.float32),
    with_number(drawn(6, 5), np.nan),
    with_number(drawn(6, 5), -np.inf),
    drawn(6, 5) * 1e300,
    drawn(6, 5) * 1e-300,
    drawn(40, 41) * 1e200,
    np.full((4, 4), 5e-324),
    np.full((3, 3), 1.7e308),
]


# --- the same numbers -------------------------------------------------------------------------------------------------


MANY = [drawn(*shape, dtype=dtype) for shape in [*SHAPES, *KERNELS] for dtype in DTYPES]


@pytest.mark.parametrize(
    ("profile", "arrays"),
    [
        ("default", [*MANY, *DEGENERATE]),
        ("fast", [*MANY, *DEGENERATE]),
        ("weightwatcher", [own for own in MANY if own.ndim == 2 and min(own.shape) > 9]),
    ],
)
def test_the_numbers_are_those_of_an_analysis_to_the_last_digit(profile, arrays):
    assert [by_judge(own, profile=profile) for own in arrays] == by_analysis(arrays, profile=profile)


@pytest.mark.parametrize("array", [drawn(64, 64, dtype=np.float32), drawn(6, 5, 3, 3), DEGENERATE[2]], ids=str)
def test_a_model_of_one_layer_has_these_numbers(array):
    assert [by_judge(array)] == by_analysis([array])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 24), st.integers(1, 24), st.sampled_from(DTYPES))
def test_a_stack_is_each_of_its_matrices(seed, rows, cols, dtype):
    stack = np.random.Generator(np.random.Philox(seed)).standard_normal((4, rows, cols)).astype(dtype)
    stack[1], stack[2, 0, 0] = 0, np.nan
    judgement = ww.judge(stack)
    for index, matrix in enumerate(stack):
        one = ww.judge(matrix)
        for label, value in one.values.items():
            in_stack = judgement[label][index]
            assert in_stack == value if value is not None else in_stack is None or np.isnan(in_stack)
            assert (judgement.states[label][index] if label in judgement.states else "") == one.states.get(label, "")


def test_it_is_no_matter_how_an_array_lies_in_memory():
    matrix = drawn(40, 30)
    wide = np.zeros((80, 60))
    wide[::2, ::-2] = matrix
    for same in (np.asfortranarray(matrix), matrix.astype(">f8"), wide[::2, ::-2], matrix.T.copy().T, matrix.tolist()):
        assert by_judge(same) == by_judge(matrix)


def test_the_array_stays_as_it_is():
    matrix = drawn(20, 20)
    before = matrix.copy()
    ww.judge(matrix)
    matrix[0, 0] += 1  # it can still be written
    matrix[0, 0] = before[0, 0]
    assert (matrix == before).all()


def test_masks_that_hide_nothing_are_no_masks():
    matrix = drawn(6, 5)
    assert by_judge(np.ma.masked_array(matrix, mask=np.zeros_like(matrix, bool))) == by_judge(matrix)


def test_masked_weights_are_refused_by_an_analysis_too():
    with pytest.raises(ww.SourceError, match=r"array 'a\.weight' cannot be read: .*some of its elements are masked"):
        ww.analyze({"a.weight": np.ma.masked_greater(np.eye(3), 0.5)})


def test_what_offers_itself_as_an_array_is_one():
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            return np.eye(5)[:, :4]

    assert by_judge(Tensor()) == by_judge(np.eye(5)[:, :4])


@pytest.mark.parametrize("metrics", [["rand_distance"], ["max_rand_eval", "alpha"], ["smallest_singular_value"]])
def test_random_numbers_are_drawn_from_the_content(metrics):
    arrays = [drawn(30, 20), drawn(30, 20)]
    told = [by_judge(own, metrics=metrics) for own in arrays]
    assert told == by_analysis(arrays, metrics=metrics)
    assert ww.judge(np.stack(arrays), metrics=metrics)[metrics[0]].tolist() == [own[0][metrics[0]] for own in told]


# --- what an array is -------------------------------------------------------------------------------------------------


def test_three_axes_are_a_stack_unless_they_are_said_to_be_a_kernel():
    array = drawn(6, 5, 4)
    assert ww.judge(array)["alpha"].shape == (6,)
    assert [by_judge(array, kind="conv1d")] == by_analysis([array])


def test_a_stack_of_kernels_is_said():
    kernels = drawn(3, 6, 5, 3, 3)
    judgement = ww.judge(kernels, kind="conv2d")
    assert judgement["spectral_norm"].tolist() == [ww.judge(own)["spectral_norm"] for own in kernels]
    assert isinstance(ww.judge(kernels)["spectral_norm"], float)  # else it is the kernel of a conv3d


def test_slices_of_a_kernel_have_an_axis():
    kernels = drawn(2, 60, 50, 2, 3)
    rows = by_analysis(list(kernels), profile="trends-2020")
    found = ww.judge(kernels, kind="conv2d", profile="trends-2020")["alpha"]
    assert found.shape == (2, 6)
    assert found.reshape(-1).tolist() == [values["alpha"] for values, _ in rows]
    assert ww.judge(kernels[0], profile="trends-2020")["alpha"].tolist() == found[0].tolist()


def test_a_stack_of_none_has_arrays_of_none():
    judgement = ww.judge(np.zeros((0, 5, 4)))
    assert judgement["alpha"].shape == judgement["warning"].shape == (0,)
    assert not judgement.states


# --- reasons ----------------------------------------------------------------------------------------------------------


def test_what_an_extractor_makes_nothing_of_is_not_applicable():
    assert {*ww.judge(np.zeros((0, 5))).states.values()} == {"not_applicable: a weight of shape 0x5 is empty"}
    small = ww.judge(drawn(2, 6, 5), profile="trends-2020", metrics=["alpha"])
    assert np.isnan(small["alpha"]).all()
    assert {*small.states["alpha"]} == {
        "not_applicable: the shorter side is 5, and this variant of matrix takes 50 or more"
    }


@pytest.mark.parametrize(
    ("array", "options", "said"),
    [
        (np.zeros(3), {}, "an array of shape (3,) is neither a matrix"),
        (np.zeros((2,) * 6), {}, "is neither a matrix"),
        (np.zeros((2, 2), int), {}, "an array of dtype int64 is not judged: give it as float16"),
        (np.zeros((2, 2), complex), {}, "an array of dtype complex128 is not judged"),
        (None, {}, "an array of dtype object is not judged"),
        ("model.pt", {}, "holds no numbers: judge takes one array, and analyze takes files and models"),
        (np.ma.masked_greater(np.eye(3), 0.5), {}, "some of its elements are masked"),
        ([[1.0], [2.0, 3.0]], {}, "an object of type list is no array"),
        (np.eye(3), {"kind": "conv2d"}, "an array of shape (3, 3) is no conv2d, which has 4 axes"),
        (np.eye(3), {"kind": "conv"}, "unknown kind 'conv': did you mean conv3d, conv2d, conv1d?"),
        (np.eye(3), {"metrics": ["weight_std"]}, "weight_std is a metric of a layer"),
        (np.eye(3), {"metrics": ["log_prod_spectral_norm"]}, "is a metric of a model"),
        (np.eye(3), {"metrics": ["alhpa"]}, "unknown metric 'alhpa': did you mean alpha"),
        (np.eye(3), {"metrics": [""]}, "metrics must be texts that are not empty"),
        (np.eye(3), {"profile": "defualt"}, "unknown profile 'defualt': did you mean default"),
        (np.eye(3), {"profile": ["default"]}, "unknown profile"),
    ],
)
def test_what_cannot_be_judged_is_said_in_a_sentence(array, options, said):
    with pytest.raises((ww.SourceError, ww.UsageError)) as raised:
        ww.judge(array, **options)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


# --- plugins ----------------------------------------------------------------------------------------------------------


class Plugin:
    """Metrics that need the layer and its content, and one that raises."""

    __name__ = "mine"

    @ww.hookimpl
    def ww_register_metrics(self):
        @ww.metric(version="1", scope="layer")
        def layer_noise(weight, rng):
            """Something random."""
            return float(weight.sum()) + rng.random()

        @ww.metric(version="1")
        def above(spectral_norm, layer_noise, layer):
            """Something that needs the layer."""
            return spectral_norm + layer_noise + len(layer.shape)

        @ww.metric(version="1")
        def broken(matrix):
            """Nothing."""
            raise RuntimeError("as it was to be")

        @ww.metric(version="1")
        def needs_broken(broken):
            """Nothing either."""
            return broken

        return [layer_noise, above, broken, needs_broken]


def test_metrics_of_plugins_are_judged_and_an_exception_costs_its_own_column_only():
    registry = ww.load_plugins(objects=[Plugin()])
    arrays = [drawn(20, 10), drawn(20, 10)]
    told = [ww.judge(own, registry=registry) for own in arrays]
    for judgement, (values, _) in zip(told, by_analysis(arrays, registry=registry), strict=True):
        assert judgement.values == values
        assert judgement["above"] is not None
        assert judgement.states.keys() == {"broken", "needs_broken"}
        assert judgement.states["broken"].startswith("failed: broken: RuntimeError: as it was to be")
    together = ww.judge(np.stack(arrays), registry=registry)
    assert together["above"].tolist() == [own["above"] for own in told]
    assert together.states.keys() == {"broken", "needs_broken"}


def test_a_registry_that_nobody_uses_any_more_is_freed():
    registry = ww.load_plugins(objects=[Plugin()])
    ww.judge(drawn(4, 3), registry=registry, metrics=["above"])
    gone = weakref.ref(registry)
    del registry
    gc.collect()
    assert gone() is None


def test_threads_that_begin_at_once_load_plugins_once():
    script = """
import concurrent.futures, numpy, ww_core
from ww_core.use_cases import judge
loaded, load = [], judge.load_plugins
judge.load_plugins = lambda: loaded.append(load()) or loaded[-1]
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    told = set(pool.map(lambda _: ww_core.judge(numpy.eye(4)[:3])["hard_rank"], range(8)))
print(len(loaded), told)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "1 {3.0}\n"


def test_more_shapes_than_are_remembered_are_judged():
    shapes = [(rows, cols) for rows in range(2, 15) for cols in range(2, 15)]
    first, again = ([ww.judge(np.ones(shape))["hard_rank"] for shape in shapes] for _ in range(2))
    assert first == again == [1.0] * len(shapes)


def test_no_store_is_loaded_for_it():
    script = (
        "import sys, numpy, ww_core; ww_core.judge(numpy.eye(4)[:3]); "
        "print(sorted({'sqlalchemy', 'typer', 'rich', 'pandas'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
