"""Controls: the same layers without what was learnt, the same wherever they are made, and never taken for a network."""

import json
import tracemalloc
from contextlib import contextmanager, nullcontext

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from scipy import stats

import ww_core as ww
from ww_core.domain.control import Control, ControlInfo, ControlledNetwork
from ww_core.domain.layer import Layer, LayerKind, SkippedTensor, TensorSpec
from ww_core.domain.report import AnalysisReport
from ww_core.domain.request import Request
from ww_core.domain.rounding import Rounding
from ww_core.sources.control import controlled
from ww_core.sources.digests import tensors_of

KINDS = ["permuted", "random"]


class Held(ww.Checkpoint):
    """Arrays with layers that are told."""

    format = "held"

    def __init__(self, arrays, layers, buffers=(), skipped=()):
        self.arrays, self.layers, self.buffers, self.skipped = arrays, layers, buffers, skipped

    def read(self, tensor):
        return nullcontext(self.arrays[tensor.name])


def spec(name, array, **options):
    return TensorSpec(name, array.dtype.name, array.shape, **options)


def of_arrays(kind=LayerKind.DENSE, groups=1, split="", **arrays):
    layers = tuple(Layer(name, kind, spec(name, own), None, groups, split) for name, own in arrays.items())
    return Held(arrays, layers)


def made(checkpoint, kind, seed=0):
    """Every tensor of a control by name."""
    control = controlled(checkpoint, "ww:held", Request(control=kind, seed=seed))
    found = {}
    for own in tensors_of(control):
        with control.read(own) as array:
            assert not array.flags.writeable
            assert (array.dtype.name, array.shape) == (own.dtype, own.shape)
            found[own.name] = np.array(array)
    return found


def random_arrays(seed=1, dtype=np.float32, shape=(40, 30)):
    random = np.random.Generator(np.random.Philox(seed))
    return {name: random.standard_t(3, shape).astype(dtype) for name in ("a", "b")}


# --- permuted ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (7,), (6, 5), (4, 3, 2, 2), (0, 3)])
def test_permuting_keeps_every_element_and_moves_it(dtype, shape):
    arrays = random_arrays(dtype=dtype, shape=shape)
    permuted = made(of_arrays(**arrays), "permuted")
    for name, array in arrays.items():
        before, after = (np.sort(own.astype(np.float64).ravel()) for own in (array, permuted[name]))
        np.testing.assert_array_equal(before, after)
        assert array.size < 7 or not np.array_equal(array, permuted[name])


def test_norm_and_moments_stay_and_the_spectrum_does_not():
    arrays = random_arrays()
    with ww.open_store(None) as store:
        columns = ["log_norm", "log_spectral_norm", "weight_std", "weight_mean"]
        before = ww.analyze(arrays, store=store, metrics=columns)
        after = ww.analyze(arrays, store=store, metrics=columns, control="permuted")
    for old, new in zip(before.layers, after.layers, strict=True):
        assert new.metrics["log_norm"].value == pytest.approx(old.metrics["log_norm"].value, rel=1e-12)
        assert new.metrics["log_spectral_norm"].value != old.metrics["log_spectral_norm"].value
    for old, new in zip(before.layer_metrics, after.layer_metrics, strict=True):
        for name in ("weight_std", "weight_mean"):
            assert new.metrics[name].value == pytest.approx(old.metrics[name].value, rel=1e-9)


def test_nan_and_infinities_are_elements_like_any():
    array = np.array([[np.nan, np.inf], [-np.inf, 1.0]])
    assert sorted(map(str, made(of_arrays(a=array), "permuted")["a"].ravel())) == sorted(map(str, array.ravel()))


def test_a_permuted_tensor_has_the_rounding_of_the_network_and_a_random_one_that_of_its_dtype():
    array = random_arrays()["a"]
    coarse = Layer("a", LayerKind.DENSE, spec("a", array, rounding=Rounding(0.0, 0.1, 0.2)))
    roundings = {
        kind: controlled(Held({"a": array}, (coarse,)), "", Request(control=kind)).layers[0].weight.rounding
        for kind in KINDS
    }
    assert roundings == {"permuted": coarse.weight.rounding, "random": spec("a", array).rounding}


# --- random -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "shape", "groups", "split", "variance"),
    [
        (LayerKind.DENSE, (300, 200), 1, "", 2 / 500),
        (LayerKind.CONV2D, (64, 32, 3, 3), 1, "", 2 / (96 * 9)),
        (LayerKind.CONV2D, (512, 1, 5, 5), 512, "", 2 / (2 * 25)),
        (LayerKind.CONV1D, (64, 16, 7), 4, "", 2 / ((16 + 16) * 7)),
        (LayerKind.EMBEDDING, (1000, 30), 1, "", 1.0),
        (LayerKind.EXPERT, (8, 60, 40), 1, "", 2 / 100),
        (LayerKind.RECURRENT, (400, 50), 1, "rows/4", 2 / 150),
        (LayerKind.OTHER, (1, 90, 90), 1, "", 2 / (91 * 90)),
    ],
)
def test_the_variance_is_that_of_glorot_and_bengio(kind, shape, groups, split, variance):
    array = np.zeros(shape, np.float32)
    drawn = made(of_arrays(kind, groups, split, a=array), "random")["a"].astype(np.float64).ravel()
    assert abs(drawn.mean()) < 4 * np.sqrt(variance / drawn.size)
    assert abs(drawn.var() / variance - 1) < 4 * np.sqrt(2 / drawn.size)
    assert stats.kstest(drawn / np.sqrt(variance), "norm").pvalue > 1e-4


def test_a_large_tensor_is_normal_over_many_blocks():
    drawn = made(of_arrays(a=np.zeros((1200, 900), np.float64)), "random")["a"].ravel()
    assert stats.kstest(drawn * np.sqrt(1050), "norm").pvalue > 1e-4


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_every_dtype_holds_the_same_deviates_rounded(dtype):
    wide = made(of_arrays(a=np.zeros((30, 20))), "random")["a"]
    drawn = made(of_arrays(a=np.zeros((30, 20), dtype)), "random")["a"]
    np.testing.assert_array_equal(drawn, wide.astype(np.float32).astype(dtype) if dtype != np.float64 else wide)


def test_norms_and_vectors_are_one_and_biases_and_buffers_zero():
    arrays = {name: np.full(5, 7.0, np.float32) for name in ("norm", "scale", "bias", "mean")}
    arrays["weight"] = np.full((5, 4), 7.0, np.float32)
    arrays["table"] = np.full((5, 4), 7.0, np.float32)
    specs = {name: spec(name, own) for name, own in arrays.items()}
    layers = (
        Layer("norm", LayerKind.NORM, specs["norm"]),
        Layer("scale", LayerKind.OTHER, specs["scale"]),
        Layer("dense", LayerKind.DENSE, specs["weight"], specs["bias"]),
    )
    drawn = made(Held(arrays, layers, (specs["mean"], specs["table"])), "random")
    assert [set(drawn[name]) for name in ("norm", "scale", "bias", "mean")] == [{1.0}, {1.0}, {0.0}, {0.0}]
    assert np.unique(drawn["weight"]).size == np.unique(drawn["table"]).size == 20


def test_nothing_of_the_network_is_in_a_random_control():
    one, other = (random_arrays(seed) for seed in (1, 2))
    with ww.open_store(None) as store:
        digests = {
            ww.analyze(arrays | {"steps": np.arange(at)}, store=store, control="random", name=f"n{at}").digest
            for at, arrays in ((3, one), (3, other))
        }
    assert len(digests) == 1


def test_a_random_control_is_random_like():
    arrays = {"a.weight": random_arrays(shape=(200, 120))["a"], "b.weight": random_arrays(shape=(150, 150))["b"]}
    report = ww.analyze(arrays, control="random", metrics=["phase"])
    assert [row.metrics["phase"].value for row in report.layers] == ["random-like"] * 2


# --- both -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_and_the_name_draw_and_nothing_else(kind):
    same = np.arange(600.0).reshape(30, 20)
    first, again, other = (made(of_arrays(a=same, b=same), kind, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first["a"], again["a"])
    assert not np.array_equal(first["a"], other["a"])
    assert not np.array_equal(first["a"], first["b"])
    alone = made(of_arrays(b=same), kind)
    np.testing.assert_array_equal(alone["b"], first["b"])


def test_frozen_controls():
    """Stored results depend on these numbers: they must change with the version of controls only."""
    array = np.arange(6.0).reshape(2, 3)
    assert made(of_arrays(a=array), "permuted")["a"].tolist() == FROZEN_PERMUTED
    np.testing.assert_allclose(made(of_arrays(a=array), "random")["a"], FROZEN_RANDOM, rtol=1e-13)


FROZEN_PERMUTED = [[1.0, 5.0, 3.0], [4.0, 0.0, 2.0]]
FROZEN_RANDOM = [
    [0.7169157228044162, 0.11789582954393438, 0.1078013242726212],
    [0.07079804856065808, 0.35487015947817574, -0.5177749449131878],
]


@pytest.mark.parametrize("kind", KINDS)
def test_layers_groups_ties_and_order_are_those_of_the_network(kind):
    arrays = random_arrays()
    tied = SkippedTensor("c", "float32", (40, 30), "tied", tied_to="a")
    whole = SkippedTensor("n", "int64", (), "not floating point", readable=True)
    closed = SkippedTensor("q", "unknown", (3,), "not readable")
    network = of_arrays(**arrays)
    network.skipped, network.warnings = (tied, whole, closed), ("a warning",)
    control = controlled(network, "", Request(control=kind))
    assert [(own.name, own.kind, own.shape, own.groups) for own in control.layers] == [
        (own.name, own.kind, own.shape, own.groups) for own in network.layers
    ]
    assert (control.format, control.warnings) == ("held", ("a warning",))
    assert [(own.name, own.tied_to, own.readable) for own in control.skipped] == [
        ("c", "a", False),
        ("n", "", True),
        ("q", "", True),
    ]
    with control.read_bytes(control.skipped[2]) as content:
        assert (content.dtype, content.size) == (np.uint8, 0)
    assert control.locate(control.layers[0].weight) is None


def test_no_control_is_the_checkpoint_itself():
    network = of_arrays(**random_arrays())
    assert controlled(network, "", Request()) is network
    with pytest.raises(ww.UsageError, match="control is empty"):
        ww.analyze(random_arrays(), control="")
    with pytest.raises(ww.UnknownNameError, match="unknown control 'shuffled': known: permuted, random"):
        controlled(network, "", Request(control="shuffled"))


@given(st.text(max_size=20), st.sampled_from(KINDS), st.integers(-(2**70), 2**70))
def test_any_name_and_seed_draws(name, kind, seed):
    made(of_arrays(**{name: np.ones((2, 2), np.float32)}), kind, seed)


def test_a_name_of_half_characters_draws():
    made(of_arrays(**{"\udc80": np.ones((2, 2), np.float32)}), "permuted")


@pytest.mark.parametrize("kind", KINDS)
def test_every_executor_makes_the_same_and_finds_it_stored(kind, model_file):
    with ww.open_store(None) as store:
        first = ww.analyze(model_file, store=store, control=kind)
        again = ww.analyze(model_file, store=store, control=kind, rehash=True)
        assert (again.digest, again.run.computed) == (first.digest, 0)
    rows = [row.metrics for row in first.layers]
    for options in ({"executor": "processes", "jobs": 1}, {"jobs": 3}):
        other = ww.analyze(model_file, control=kind, **options)
        assert other.digest == first.digest
        assert other.failures == ()
        assert [row.metrics for row in other.layers] == rows


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_a_control_are_the_parts_of_the_whole(kind, model_file):
    with ww.open_store(None) as store:
        ww.analyze(model_file, store=store, control=kind)
        part = ww.analyze(model_file, store=store, control=kind, layers=["second"])
        assert part.run.computed == 0
        split = ww.analyze(model_file, store=store, control=kind, splits={"first": 2}, label=False)
        grouped = ww.analyze(model_file, store=store, control=kind, groups={"conv": 2}, label=False)
    assert len({split.digest, grouped.digest, part.digest}) == (1 if kind == "permuted" else 3)
    assert len([row for row in split.layers if row.name == "first"]) == 2


@pytest.mark.parametrize(("kind", "executor"), [("permuted", "processes"), ("random", "threads")])
def test_buffers_may_be_layers(kind, executor, tmp_path):
    random = np.random.Generator(np.random.Philox(4))
    table = random.standard_normal((9, 8)).astype(np.float32)
    save_file(
        {"bn.weight": table[0], "bn.running_mean": table[1], "bn.running_var": table[2]}, tmp_path / "net.safetensors"
    )
    report = ww.analyze(
        tmp_path / "net.safetensors",
        control=kind,
        include_buffers=True,
        executor=executor,
        metrics=["weight_mean"],
    )
    means = {row.name: row.metrics["weight_mean"].value for row in report.layer_metrics}
    assert means["bn.running_mean"] == pytest.approx(table[1].mean() if kind == "permuted" else 0.0, rel=1e-5)
    assert report.failures == ()


def test_objects_of_python_have_controls():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(30, 20), torch.nn.LayerNorm(20))
    arrays = {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}
    for kind in KINDS:
        reports = [ww.analyze(own, control=kind) for own in (module, arrays)]
        assert reports[0].digest == reports[1].digest
        assert [own.model.endswith(f"~{kind}") for own in reports] == [True, True]


# --- what goes wrong --------------------------------------------------------------------------------------------------


class Hostile(Held):
    """Tells one thing and gives another."""

    def read(self, tensor):
        match tensor.name:
            case "short":
                return nullcontext(np.zeros((2, 2), np.float32))
            case "raises":
                raise RuntimeError("I do not")
        return super().read(tensor)

    def making_bytes(self, tensor):
        raise ValueError("who knows")


class HostileLoader(ww.Loader):
    name = "hostile"
    description = "Gives what it has not told."

    def probe(self, source):
        return 1.0 if source.is_object else 0.0

    def open(self, source):
        arrays = source.value
        return Hostile(arrays, of_arrays(**arrays).layers)


class Plugin:
    @ww.hookimpl
    def ww_register_loaders(self):
        return [HostileLoader()]


def test_what_a_loader_does_wrong_costs_its_tensor_alone():
    arrays = {name: np.ones((30, 20), np.float32) for name in ("good", "short", "raises")}
    options = {"plugins": [Plugin()], "loader": "hostile"}
    network = ww.analyze(arrays, **options)
    permuted = ww.analyze(arrays, control="permuted", **options)
    said, expected = ({own.subject: own.message for own in one.failures} for one in (permuted, network))
    assert said.keys() == expected.keys() == {"short", "raises"}
    assert said["short"] == expected["short"]
    assert permuted.coverage.analyzed == 1
    random = ww.analyze(arrays, control="random", **options)  # which reads nothing
    assert (random.coverage.analyzed, random.failures) == (3, ())


def test_a_file_that_changes_while_it_is_permuted_is_not_analysed(model_file, weights):
    class Changing:
        changed = False

        @ww.hookimpl
        def ww_register_observers(self):
            return [Observer()]

    class Observer(ww.RunObserver):
        def on_start(self, run):
            save_file({**weights, "first.weight": weights["first.weight"] + 1}, model_file)

    report = ww.analyze(model_file, control="permuted", plugins=[Changing()])
    assert {own.message for own in report.failures if own.stage == "read"} == {
        "the file changed while it was analysed: analyse it again"
    }
    assert report.coverage.analyzed == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_control_of_nothing_is_refused(kind):
    with pytest.raises(ww.NothingToAnalyzeError, match="nothing in it can be analysed"):
        ww.analyze({"steps": np.arange(3)}, control=kind)


def test_what_permuting_takes_is_told_before(tmp_path):
    array = np.zeros((1000, 500), np.float32)
    save_file({"big.weight": array, "small.weight": array[:20, :20]}, tmp_path / "net.safetensors")
    plain = ww.analyze(tmp_path / "net.safetensors", memory=8 * array.nbytes, metrics=["weight_mean"])
    assert plain.failures == ()
    permuted = ww.analyze(
        tmp_path / "net.safetensors", memory=6 * array.nbytes, control="permuted", metrics=["weight_mean"]
    )
    (failure,) = permuted.failures
    assert (failure.stage, failure.subject) == ("read", "big.weight")
    assert "memory" in failure.message


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_is_taken_than_is_told(kind):
    array = np.random.default_rng(0).standard_normal((3000, 1000)).astype(np.float32)
    network = of_arrays(a=array)
    control = controlled(network, "", Request(control=kind))
    weight = control.layers[0].weight
    tracemalloc.start()
    try:
        with control.read(weight):
            peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.5 * control.nbytes(weight) < peak < control.nbytes(weight) + 2**20


def test_a_huge_shape_is_refused_without_being_drawn():
    huge = np.broadcast_to(np.float32(0), (2**20, 2**20))

    @contextmanager
    def never(_):
        pytest.fail("it was read")

    network = of_arrays(a=huge)
    network.read = never
    control = controlled(network, "", Request(control="random"))
    assert control.nbytes(control.layers[0].weight) > 2**42


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def store():
    with ww.open_store(None) as store:
        yield store


def names(store):
    return [f"{own.model}@{own.version}" for own in store.versions()]


def test_a_control_stands_under_the_version_of_its_network(store):
    one, other = ({"a.weight": own} for own in random_arrays().values())
    ww.analyze(one, store=store, name="net", version="7")
    ww.analyze(other, store=store, name="net", version="9")
    assert ww.analyze(one, store=store, name="net", control="permuted").version == "7"
    assert ww.analyze(other, store=store, name="net", control="permuted").version == "9"
    assert ww.analyze(one, store=store, name="net", control="permuted").version == "7"
    assert ww.analyze(other, store=store, name="net", control="random").version == "9"
    assert ww.analyze(one, store=store, name="net~random", control="random").version == "7"
    assert ww.analyze(one, store=store, name="net", control="random", seed=3).model == "net~random-seed3"
    assert {own.partition("@")[0] for own in names(store)} == {"net", "net~permuted", "net~random", "net~random-seed3"}


def test_without_its_network_it_takes_the_version_that_the_network_would_get(store):
    one, other = ({"a.weight": own} for own in random_arrays().values())
    ww.analyze(one, store=store, name="net")
    first = ww.analyze(other, store=store, name="net", control="permuted")
    assert (first.version, ww.analyze(other, store=store, name="net").version) == ("2", "2")
    third = {"a.weight": one["a.weight"] + 1}
    fourth = {"a.weight": one["a.weight"] + 2}
    for _ in range(2):
        assert ww.analyze(third, store=store, name="net", control="permuted").version == "3"
    assert ww.analyze(fourth, store=store, name="net", control="permuted").version == "4"


def test_the_path_tells_the_version_of_a_control(store, weights, tmp_path):
    for step in (500, 1000):
        folder = tmp_path / "run" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        save_file({**weights, "first.bias": weights["first.bias"] + step}, folder / "model.safetensors")
        report = ww.analyze(folder, store=store, control="permuted")
        assert (report.model, report.version) == ("run~permuted", str(step))
    assert {own.step for own in store.versions()} == {500, 1000}


def test_a_control_never_stands_among_the_versions_of_a_network(store):
    arrays = {"a.weight": random_arrays()["a"]}
    ww.analyze(arrays, store=store, name="net", control="random")
    with pytest.raises(ww.UsageError, match=r"'net~random' is the name of a control \(random\), and this is a network"):
        ww.analyze(arrays, store=store, name="net~random")
    ww.analyze(arrays, store=store, name="other~permuted")
    with pytest.raises(ww.UsageError, match=r"is the name of a network, and this is a control \(permuted\)"):
        ww.analyze(arrays, store=store, name="other", control="permuted")
    store.rename("net~random", "mine~random-seed2")
    with pytest.raises(ww.UsageError, match=r"a control \(random\), and this is a control \(random-seed2\)"):
        ww.analyze(arrays, store=store, name="mine", control="random", seed=2)


def test_other_weights_do_not_take_the_label_of_a_control_away(store):
    one, other = ({"a.weight": own} for own in random_arrays().values())
    ww.analyze(one, store=store, name="net", version="a", control="permuted")
    with pytest.raises(ww.UsageError, match="net~permuted@a stands on other weights"):
        ww.analyze(other, store=store, name="net", version="a", control="permuted")
    ww.analyze(other, store=store, name="net", version="a", control="permuted", move_label=True)


def test_long_names_are_cut_or_refused(store, tmp_path):
    save_file({"a.weight": random_arrays()["a"]}, tmp_path / f"{'n' * 196}.safetensors")
    report = ww.analyze(tmp_path / f"{'n' * 196}.safetensors", store=store, control="permuted")
    assert report.model == f"{'n' * 191}~permuted"
    with pytest.raises(ww.UsageError, match="the name of the control has 205 characters: 200 are allowed"):
        ww.analyze(random_arrays(), store=store, name="n" * 196, control="permuted")


def test_a_control_without_a_label_still_says_what_it_is(store):
    report = ww.analyze(random_arrays(), store=store, control="permuted", label=False)
    assert (report.model, report.run.control.kind) == ("", "permuted")
    assert store.report(report.digest[:12]).run.control == report.run.control


# --- what the store says ----------------------------------------------------------------------------------------------


def test_the_store_knows_what_a_control_was_made_of(store):
    arrays = {"a.weight": random_arrays()["a"]}
    control = ww.analyze(arrays, store=store, name="net", control="permuted", seed=5)
    assert [own.model for own in control.run.control.of] == [""]
    network = ww.analyze(arrays, store=store, name="net")
    shown = store.report("net~permuted-seed5")
    assert shown.run.control == ControlInfo("permuted", 5, (ControlledNetwork(network.digest, "net", "1"),))
    assert str(shown.run.control) == (
        "a control, no trained network: net@1 with the elements of every tensor permuted (seed 5)"
    )
    assert network.run.control is None
    answer = store.sql("SELECT transform, version, parameters FROM derivation")
    assert [list(row) for row in answer.rows] == [["ww:control", "1", '{"kind":"permuted","seed":5}']]
    assert not store.verify().faults


def test_a_random_control_is_one_of_every_network_of_its_shapes(store):
    for name, array in random_arrays().items():
        ww.analyze({"a.weight": array}, store=store, name=name)
        ww.analyze({"a.weight": array}, store=store, name=name, control="random")
    shown = store.report("a~random").run.control
    assert [own.name for own in shown.of] == ["a@1", "b@1"]
    assert str(shown) == "a control, no trained network: weights drawn at random in the shapes of a@1, b@1 (seed 0)"
    assert store.report("a~random").digest == store.report("b~random").digest


def test_many_networks_are_counted():
    of = tuple(ControlledNetwork(f"{at:064}", "net", str(at)) for at in range(5))
    assert str(ControlInfo("random", 0, of)).endswith("of net@0, net@1, net@2 and 2 more (seed 0)")
    assert "the shapes of weights 000000000000 (seed" in str(ControlInfo("random", 0, (ControlledNetwork("0" * 64),)))
    assert "in the shapes of a network (seed 0)" in str(ControlInfo("random", 0))


def test_a_report_keeps_its_control_in_json(store):
    report = ww.analyze({"a.weight": random_arrays()["a"]}, store=store, name="net", control="random")
    content = json.loads(json.dumps(report.to_dict()))
    assert content["run"]["control"]["kind"] == "random"
    assert AnalysisReport.from_dict(content).run == report.run
    del content["run"]["control"]  # as an older program wrote it
    assert AnalysisReport.from_dict(content).run.control is None
    content["run"]["control"] = {"kind": "other", "seed": 0, "of": []}
    with pytest.raises(ww.CorruptFileError, match="control"):
        AnalysisReport.from_dict(content)


def test_a_control_is_ranked_where_it_is_named(store):
    arrays = {"a.weight": random_arrays()["a"]}
    for control in (None, *KINDS):
        ww.analyze(arrays, store=store, name="net", control=control, series="family")

    def ranked(**choice):
        return sorted(own.model for own in ww.leaderboard("alpha", store=store, **choice).models)

    assert ranked() == ranked(models=["net*"]) == ranked(series=["family"]) == ["net"]
    assert ranked(models=["net", "net~random"]) == ["net", "net~random"]
    assert ranked(models=["*~*"]) == ["net~permuted", "net~random"]
    store.rename("net~random", "noise")
    assert ranked(models=["n*"]) == ["net"]
    assert ranked(models=["noise"]) == ["noise"]
    store.forget("net")
    with pytest.raises(ww.NotStoredError, match="controls are ranked where --models names them"):
        ranked()


def test_a_control_goes_through_an_export_with_what_it_was_made_of(store, tmp_path):
    arrays = {"a.weight": random_arrays()["a"]}
    ww.analyze(arrays, store=store, name="net")
    ww.analyze(arrays, store=store, name="net", control="permuted")
    store.export_folder(tmp_path / "folder")
    with ww.open_store(None) as other:
        other.import_folder(tmp_path / "folder")
        assert other.report("net~permuted").run.control == store.report("net~permuted").run.control
        assert [own.model for own in ww.leaderboard("alpha", store=other).models] == ["net"]


def test_diff_compares_a_network_with_its_control(store):
    arrays = {"a.weight": random_arrays()["a"]}
    ww.analyze(arrays, store=store, name="net")
    ww.analyze(arrays, store=store, name="net", control="random")
    assert [own.status for own in ww.diff("net", "net~random", store=store).layers] == ["changed"]


def test_backfill_names_the_command_that_makes_the_control_again(store):
    ww.analyze({"a.weight": random_arrays()["a"]}, store=store, name="net", control="random", keep_spectra=False)
    (needed,) = ww.backfill(store, metrics=["rand_distance"]).needs_weights
    assert "--name 'net~random' --version 1" in needed.command
    assert "--control random" in needed.command


def test_names_of_controls():
    assert Control("random").name_of("net") == "net~random"
    assert Control("random").name_of("net~random") == "net~random"
    assert Control("random", 1).name_of("net~random") == "net~random~random-seed1"
    assert Control("random").name_of("~random") == "~random~random"


# --- networks and controls that pair, whatever comes first ------------------------------------------------------------


def gaussian(seed, *shape):
    return np.random.Generator(np.random.Philox(seed)).standard_normal(shape or (64, 48)).astype(np.float32)


@pytest.fixture
def put(store, tmp_path):
    """Analyse weights that overwrite one file; return ``MODEL@VERSION``."""

    def analyzed(weights, **options):
        save_file({"fc.weight": gaussian(weights)}, tmp_path / "k.safetensors")
        report = ww.analyze(tmp_path / "k.safetensors", store=store, metrics=["alpha"], **options)
        return f"{report.model}@{report.version}"

    return analyzed


def test_another_network_does_not_take_the_version_of_a_control(put):
    assert put(1, control="permuted") == "k~permuted@1"
    assert put(2) == "k@2"
    assert put(2, control="permuted") == "k~permuted@2"
    assert put(1) == "k@1"
    assert put(1, control="random", seed=2) == "k~random-seed2@1"


def test_a_network_after_controls_of_others_is_numbered_after_them(put):
    assert put(1) == "k@1"
    assert [put(seed, control="permuted") for seed in (2, 3)] == ["k~permuted@2", "k~permuted@3"]
    assert put(4) == "k@4"
    assert put(3) == "k@3"
    assert put(3, control="random") == "k~random@3"
    assert put(5, control="random") == "k~random@5"
    assert put(5, control="permuted", seed=1) == "k~permuted-seed1@5"
    assert put(2) == "k@2"
    assert put(5) == "k@5"


def test_a_version_that_a_person_gave_away_is_not_taken_back(put):
    assert put(1, control="permuted") == "k~permuted@1"
    assert put(2, version="1") == "k@1"
    assert put(1) == "k@2"


def test_the_controls_of_a_long_name_count_too(store, tmp_path):
    path = tmp_path / f"{'n' * 196}.safetensors"
    found = []
    for seed, control in ((1, "permuted"), (2, None), (1, None)):
        save_file({"a.weight": gaussian(seed)}, path)
        found.append(ww.analyze(path, store=store, control=control, metrics=["alpha"]).version)
    assert found == ["1", "2", "1"]


def test_a_neighbour_with_a_similar_name_does_not_count(put, store):
    ww.analyze({"fc.weight": gaussian(7)}, store=store, name="k~other", metrics=["alpha"], version="7")
    ww.analyze({"fc.weight": gaussian(7)}, store=store, name="K", metrics=["alpha"], control="permuted", version="8")
    ww.analyze({"fc.weight": gaussian(7)}, store=store, name="k~b", metrics=["alpha"], control="permuted", version="9")
    assert put(1) == "k@1"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", ["network", "control"])
def test_two_views_of_one_network_have_a_control_each(kind, first, store, tmp_path):
    path = tmp_path / "g1.safetensors"
    save_file({"conv.weight": gaussian(1, 16, 8, 3, 3)}, path)
    views = [{}, {"groups": {"conv": 2}}]
    order = [None, kind] if first == "network" else [kind, None]
    for _ in range(2):
        for control in order:
            found = [ww.analyze(path, store=store, control=control, metrics=["alpha"], **view) for view in views]
            assert [own.version for own in found] == ["1", "2"]
    assert [own.run.control.of[0].version for own in found if own.run.control] in ([], ["1", "2"])


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [("conv", (32, 4, 3, 3), {"groups": {"conv": 4}}), ("lstm", (64, 16), {"splits": {"lstm": 4}})],
)
def test_groups_and_blocks_that_a_person_tells_count_in_the_fans(name, shape, options):
    array = gaussian(1, *shape)
    kind = LayerKind.CONV2D if "groups" in options else LayerKind.RECURRENT
    told = of_arrays(kind, 4 if "groups" in options else 1, "rows/4" if "splits" in options else "", a=array)
    plain = of_arrays(kind, a=array)
    counts = {key: tuple(("a", count) for count in own.values()) for key, own in options.items()}
    asked = controlled(plain, "", Request(control="random", **counts))
    with asked.read(asked.layers[0].weight) as drawn:
        np.testing.assert_array_equal(drawn, made(told, "random")["a"])
    digest = ww.analyze({f"{name}.weight": array}, control="random", metrics=["alpha"], **options).digest
    assert digest != ww.analyze({f"{name}.weight": array}, control="random", metrics=["alpha"]).digest


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_module_and_its_arrays_with_groups_have_one_random_control(executor, tmp_path):
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Conv2d(16, 32, 3, groups=4))
    save_file({key: own.detach().numpy() for key, own in module.state_dict().items()}, tmp_path / "g.safetensors")
    of_module = ww.analyze(module, control="random", metrics=["weight_std"])
    of_file = ww.analyze(
        tmp_path / "g.safetensors", control="random", metrics=["weight_std"], groups={"0": 4}, executor=executor
    )
    assert of_file.failures == ()
    assert of_file.digest == of_module.digest
    assert of_file.layer_metrics[0].metrics["weight_std"].value == pytest.approx(0.141, abs=0.01)


def test_a_part_of_a_control_gives_way_to_more_of_it(store, tmp_path):
    save_file({"small.weight": gaussian(1), "large.weight": gaussian(2, 300, 200)}, tmp_path / "mix.safetensors")
    found = []
    for memory in (2**10, 400 * 2**10, 2**30):
        report = ww.analyze(
            tmp_path / "mix.safetensors", store=store, control="permuted", memory=memory, metrics=["weight_mean"]
        )
        found.append((report.version, len(report.layer_metrics), report.warnings[-1:]))
    assert [own[:2] for own in found] == [("1", 0), ("1", 1), ("1", 2)]
    assert found[1][2] == ("more of the weights could be read now: mix~permuted@1 stands on these",)
    assert found[2][2] == ("all of the weights could be read now: mix~permuted@1 stands on the whole of them",)
    with pytest.raises(ww.UsageError, match="@1 stands on these weights, of which more was read than now"):
        ww.analyze(tmp_path / "mix.safetensors", store=store, control="permuted", memory=2**10)


# --- other names ------------------------------------------------------------------------------------------------------


def test_a_control_with_another_name_is_made_again_under_it(put, store):
    put(1, control="permuted", keep_spectra=False)
    store.rename("k~permuted", "ctl")
    (needed,) = ww.backfill(store, models=["ctl"], metrics=["rand_distance"]).needs_weights
    assert "--name ctl --version 1" in needed.command
    assert put(1, control="permuted", name="ctl", version="1") == "ctl@1"
    assert put(1, control="permuted", name="ctl") == "ctl@1"
    assert put(1, control="random", name="ctl") == "ctl~random@1"
    assert sorted({own.model for own in store.versions()}) == ["ctl", "ctl~random"]


def test_a_network_takes_its_controls_along(put, store):
    for options in ({}, {"control": "permuted"}, {"control": "random", "seed": 3}):
        put(1, **options)
    put(2)
    put(2, control="permuted")
    renamed = store.rename("k", "x")
    assert renamed.controls == ("x~permuted", "x~random-seed3")
    assert sorted(names(store)) == ["x@1", "x@2", "x~permuted@1", "x~permuted@2", "x~random-seed3@1"]
    renamed = store.rename("x@1", "y@best")
    assert renamed.controls == ("y~permuted@best", "y~random-seed3@best")
    assert sorted(names(store)) == ["x@2", "x~permuted@2", "y@best", "y~permuted@best", "y~random-seed3@best"]
    assert put(1, control="permuted", name="y") == "y~permuted@best"
    assert store.rename("x~permuted", "ctl").controls == ()
    assert store.rename("x", "z").controls == ()
    assert not store.verify().faults


def test_a_name_that_a_control_would_need_is_not_taken_over(put, store):
    put(1)
    put(1, control="permuted")
    ww.analyze({"fc.weight": gaussian(9)}, store=store, name="x~permuted", metrics=["alpha"])
    before = names(store)
    with pytest.raises(ww.UsageError, match="its control k~permuted cannot become x~permuted: there is a model"):
        store.rename("k", "x")
    with pytest.raises(ww.UsageError, match="its control k~permuted@1 cannot become x~permuted@1: x~permuted@1 is a"):
        store.rename("k@1", "x@1")
    assert names(store) == before


def test_an_import_with_other_names_takes_controls_along(put, store, tmp_path):
    put(1)
    put(1, control="permuted")
    put(1, control="random")
    store.export_folder(tmp_path / "folder")
    with ww.open_store(None) as other:
        other.import_folder(tmp_path / "folder", rename={"k": "x", "k~random": "noise"})
        assert sorted(names(other)) == ["noise@1", "x@1", "x~permuted@1"]


@pytest.mark.parametrize("seed", [1.7, True, "3", None, np.float64(2.0)])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(ww.UsageError, match=r"^seed .* is not a whole number$"):
        ww.analyze(random_arrays(), seed=seed)


def test_a_seed_may_be_numpys():
    assert ww.analyze(random_arrays(), control="random", seed=np.int64(4)).run.control.seed == 4
