"""How precisely numbers were stored: told by the loader, part of the subject, and what the noise floor follows from."""

import math
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ww_core as ww
from ww_core.domain.subject import LayerSubject, MatrixSubject


class Quantized:
    """Weights in memory with the roundings they had before they became float32; a plugin with their loader."""

    def __init__(self, weights, roundings=None, groups=1):
        self.weights, self.roundings, self.groups = weights, roundings or {}, groups

    @ww.hookimpl
    def ww_register_loaders(self):
        class QuantizedLoader(ww.Loader):
            name = "quantized"
            description = "weights that were quantized"

            def probe(self, source):
                return 1.0 if isinstance(source.value, Quantized) else 0.0

            def open(self, source):
                return QuantizedCheckpoint(source.value)

        return [QuantizedLoader()]


class QuantizedCheckpoint(ww.Checkpoint):
    format = "quantized"

    def __init__(self, source):
        self.source = source
        self.layers = tuple(
            ww.Layer(
                name,
                ww.LayerKind.DENSE if weight.ndim == 2 else ww.LayerKind.CONV2D,
                ww.TensorSpec(f"{name}.weight", "float32", weight.shape, source.roundings.get(name, ww.Rounding())),
                groups=source.groups if weight.ndim == 4 else 1,
            )
            for name, weight in source.weights.items()
        )

    @contextmanager
    def read(self, tensor):
        array = self.source.weights[tensor.name.removesuffix(".weight")].view()
        array.flags.writeable = False
        yield array


def analysed(source, **options):
    return ww.analyze(source, plugins=[source], **{"name": "net", **options})


def quantized(weight, axes=()):
    """int8 with a scale for each index of ``axes``, as float32, and the scales."""
    others = tuple(axis for axis in range(weight.ndim) if axis not in axes)
    scales = np.abs(weight).max(axis=others, keepdims=True) / 127
    return (np.round(weight / scales) * scales).astype(np.float32), scales


def in_blocks(weight, length):
    """The same with a scale for each block of a row."""
    rows, cols = weight.shape
    blocks, scales = quantized(weight.reshape(rows, cols // length, length), axes=(0, 1))
    return blocks.reshape(weight.shape), scales[..., 0]


def low_rank(seed, rank=3, shape=(96, 64)):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))


WAYS = {
    "tensor": quantized,
    "output channels": lambda weight: quantized(weight, axes=(0,)),
    "input channels": lambda weight: quantized(weight, axes=(1,)),
    "blocks": lambda weight: in_blocks(weight, 16),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_rank_of_a_quantized_matrix_is_that_before_it_was_quantized(way):
    made = {f"fc{seed}": WAYS[way](low_rank(seed)) for seed in range(8)}
    weights = {name: weight for name, (weight, _) in made.items()}
    roundings = {name: ww.Rounding.of_steps(scales) for name, (_, scales) in made.items()}
    told, untold = (analysed(Quantized(weights, given), metrics=["hard_rank"]) for given in (roundings, {}))
    assert [row.metrics["hard_rank"].value for row in told.layers] == 8 * [3]
    assert min(row.metrics["hard_rank"].value for row in untold.layers) > 60


class Floor:
    """A plugin with the noise floor as a metric."""

    @ww.hookimpl
    def ww_register_metrics(self):
        @ww.metric(version="1")
        def floor(noise_floor):
            """The floor."""
            return noise_floor

        return [floor]


POSITION = np.outer([0.5, 1.6, 0.6], [0.4, 1.6, 0.55])  # slices of many sizes, and no frequency without a share


@pytest.mark.parametrize("extractor", ["pool", "slice", "stack", "fft", "fft[n=8]"])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("axes", [(), (0,), (1,)], ids=["tensor", "output channels", "input channels"])
def test_the_errors_of_a_kernel_are_as_large_as_the_floor_of_its_matrices(extractor, groups, axes):
    rng = np.random.default_rng(30)
    magnitudes = rng.lognormal(sigma=0.4, size=(groups * 40, 1, 1, 1)) * rng.lognormal(sigma=0.4, size=(1, 32, 1, 1))
    kernel = magnitudes * POSITION * rng.standard_normal((groups * 40, 32, 3, 3))
    weight, scales = quantized(kernel, axes)
    source = Quantized({"conv": weight}, {"conv": ww.Rounding.of_steps(scales)}, groups)
    errors = Quantized({"conv": (weight - kernel).astype(np.float32)}, {}, groups)
    options = {"metrics": ["floor", "spectral_norm"], "extractors": [extractor], "name": "net"}
    found, made = (ww.analyze(own, plugins=[own, Floor()], **options).layers for own in (source, errors))
    least = 0.4 if groups > 1 and axes == (0,) else 0.6  # a group may lack the channels of the largest steps
    for row, error in zip(found, made, strict=True):
        assert least < error.metrics["spectral_norm"].value / row.metrics["floor"].value < 1.1


@pytest.mark.parametrize(
    ("extractor", "groups", "ranks"),
    [("slice", 1, 9 * [2]), ("stack", 1, [2]), ("fft", 1, [18]), ("pool", 3, [54]), ("slice", 3, 27 * [2])],
)
def test_and_so_is_that_of_the_matrices_of_a_kernel(extractor, groups, ranks):
    rng = np.random.default_rng(30)
    left, right = (rng.standard_normal((groups, side, 2)) for side in (40, 32))
    kernel = np.einsum("gor,gir,hw->goihw", left, right, POSITION).reshape(groups * 40, 32, 3, 3)
    weight, scales = quantized(kernel, axes=(0,))
    source = Quantized({"conv": weight}, {"conv": ww.Rounding.of_steps(scales)}, groups)
    report = analysed(source, metrics=["hard_rank"], extractors=[extractor])
    assert [row.metrics["hard_rank"].value for row in report.layers] == ranks


@pytest.mark.parametrize(("extractor", "gain"), [("pool", 1.0), ("slice", 1.0), ("stack", 1.0), ("fft", 3.0)])
@pytest.mark.parametrize(("profile", "factor"), [("default", 1.0), ("weightwatcher", 0.5), ("trends-2020", 4.5)])
def test_the_floor_has_the_scale_and_the_gain_of_the_matrix(extractor, gain, profile, factor):
    weight = np.random.default_rng(31).standard_normal((60, 52, 3, 3)).astype(np.float32)
    source = Quantized({"conv": weight}, {"conv": ww.Rounding.of_steps(0.05)})
    default = {"default": "pool", "weightwatcher": "pool", "trends-2020": "slice"}[profile]
    own = {} if extractor == default else {"extractors": [extractor]}
    scale = math.sqrt(factor) if extractor == default else 1.0
    rows = ww.analyze(source, plugins=[source, Floor()], profile=profile, metrics=["floor"], name="net", **own).layers
    sides = (60 * 9, 52) if extractor == "stack" else (60, 52)
    expected = scale * gain * 0.05 / math.sqrt(12) * sum(map(math.sqrt, sides))
    assert [row.metrics["floor"].value for row in rows] == pytest.approx(len(rows) * [expected], rel=1e-9)


def test_one_content_rounded_in_two_ways_has_results_of_both(tmp_path):
    store = tmp_path / "s.sqlite"
    weight, scales = quantized(low_rank(1))
    plain, told = Quantized({"fc": weight}), Quantized({"fc": weight}, {"fc": ww.Rounding.of_steps(scales)})
    first = analysed(plain, store=store, version="plain")
    second = analysed(told, store=store, version="told")
    assert first.digest == second.digest
    assert (second.run.computed, second.run.reused) == (1, 0)
    assert analysed(told, store=store, version="told").run.reused == 1
    with ww.open_store(store, mode="read") as opened:
        assert opened.report("net@plain").layers == first.layers
        assert opened.report("net@told").layers == second.layers
    ranks = [report.layers[0].metrics["hard_rank"].value for report in (first, second)]
    assert ranks == [64, 3]


def test_a_backfill_finds_what_was_rounded(tmp_path):
    store = tmp_path / "s.sqlite"
    weight, scales = quantized(low_rank(1))
    told = Quantized({"fc": weight}, {"fc": ww.Rounding.of_steps(scales)})
    analysed(told, store=store, version="1", metrics=["log_norm"])
    ww.backfill(store=store, metrics=["hard_rank"])
    again = analysed(told, store=store, version="1", metrics=["hard_rank"])
    assert again.layers[0].metrics["hard_rank"].value == 3
    assert (again.run.computed, again.run.reused) == (0, 1)


def test_a_store_with_roundings_is_sound(tmp_path):
    weight, scales = quantized(low_rank(1))
    told = Quantized({"fc": weight}, {"fc": ww.Rounding.of_steps(scales)})
    with ww.open_store(tmp_path / "s.sqlite") as store:
        analysed(told, store=store)
        assert not store.verify().faults


def test_what_floats_are_called_has_not_changed():
    matrix = MatrixSubject("t", 1, "", "e", 0, 4, 3, 1)
    assert matrix.digest == "16a75aa6a6c1ec16e4a3938abf657c3830a46e598bac45db6d448d7b0ce85a63"
    assert LayerSubject("dense", 1, "t").digest == "32e03503da142c809b7036108e00e2e355c0633f200e93fdbd6e2958d6848395"
    spec = ww.TensorSpec("w", "float32", (4, 3), ww.ROUNDINGS["float32"])
    assert spec == ww.TensorSpec("w", "float32", (4, 3))
    assert spec.told_rounding == ""
    told = ww.TensorSpec("w", "float32", (4, 3), ww.Rounding.of_steps(0.5)).told_rounding
    assert MatrixSubject("t", 1, "", "e", 0, 4, 3, 1, rounding=told).digest != matrix.digest
    assert LayerSubject("dense", 1, "t", rounding=told).digest != LayerSubject("dense", 1, "t").digest


STEPS = st.floats(1e-30, 1e30)


@given(epsilon=st.floats(0, 1), row=STEPS, col=STEPS)
def test_a_rounding_is_its_text(epsilon, row, col):
    rounding = ww.Rounding(epsilon, row, col)
    assert ww.Rounding.parse(rounding.text) == rounding
    assert ww.Rounding.parse("") == ww.Rounding()


@given(st.lists(STEPS, min_size=1, max_size=6), st.integers(1, 4))
def test_steps_of_channels_are_those_of_blocks_that_agree(steps, repeats):
    channels = np.array(steps)[:, np.newaxis]
    one, other = ww.Rounding.of_steps(channels), ww.Rounding.of_steps(np.repeat(channels, repeats, axis=1))
    turned = ww.Rounding.of_steps(channels.T)
    assert other.row_step == pytest.approx(one.row_step) == pytest.approx(max(steps))
    assert other.col_step == pytest.approx(one.col_step) == pytest.approx(math.sqrt(np.mean(np.square(steps))))
    assert (turned.row_step, turned.col_step) == pytest.approx((one.col_step, one.row_step))


@given(STEPS)
def test_a_step_of_the_tensor_is_one_of_every_channel(step):
    whole = ww.Rounding.of_steps(step)
    assert (whole.row_step, whole.col_step) == (step, step)
    assert ww.Rounding.of_steps(np.full((3, 1, 1, 1), step)).row_step == pytest.approx(step)


@pytest.mark.parametrize("steps", [-1.0, math.nan, math.inf, [[1.0], [math.nan]], [[-1.0], [2.0]]])
def test_a_step_is_a_distance(steps):
    with pytest.raises(ValueError, match="distances"):
        ww.Rounding.of_steps(steps)
    with pytest.raises(ValueError, match="distances"):
        ww.Rounding(epsilon=-1e-3)


def test_steps_of_channels_and_of_nothing():
    steps = [1.0, 1.0, 1.0, 100.0]
    assert ww.Rounding.of_steps(steps) == ww.Rounding.of_steps(np.array(steps)[:, None])
    assert ww.Rounding.of_steps(np.zeros((0, 1))) == ww.Rounding()


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_an_empty_quantized_tensor_costs_the_others_nothing(tmp_path):
    torch = pytest.importorskip("torch")
    none = torch.zeros(0)
    tensors = {
        "a.weight": torch.quantize_per_tensor(torch.randn(12, 8), 0.05, 0, torch.qint8),
        "e.weight": torch.quantize_per_channel(torch.zeros(0, 5), none, none.long(), 0, torch.qint8),
    }
    torch.save(tensors, tmp_path / "q.pth")
    report = ww.analyze(tmp_path / "q.pth", metrics=["hard_rank"])
    assert [row.name for row in report.layers] == ["a"]
    assert "is empty" in {skip.name: skip.reason for skip in report.coverage.reasons}["e"]
