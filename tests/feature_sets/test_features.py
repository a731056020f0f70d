"""Features of zoos: against NumPy, under the changes that leave a network as it is, and as they are asked for."""

from decimal import Decimal, localcontext
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ww_core as ww
import ww_plugins.feature_sets
from ww_core.command import run_app
from ww_core.testing import FeatureSetContract
from ww_core.testing.feature_sets import sample_zoo
from ww_plugins.commands.zoo.command import app
from ww_plugins.feature_sets.norms import Norms
from ww_plugins.feature_sets.statistics import Statistics, statistics_of
from ww_plugins.feature_sets.weights import SortedWeights
from ww_plugins.zoos.writing import write_zoo

LAYERS = ("conv2d", "conv2d_1", "dense")


class TestFeatureSets(FeatureSetContract):
    plugin = ww_plugins.feature_sets


def features(zoo, spec, **options):
    options.setdefault("plugins", [ww_plugins.feature_sets] if "ww.feature_sets" not in loaded() else [])
    return ww.zoo_features(zoo, spec, **options)


def loaded():
    return ww.load_plugins().loaded


def put(zoo, changes):
    """The zoo with other numbers for some tensors, given as arrays of shape (n, ...)."""
    stored = zoo.weights().astype(np.float64)
    for tensor in zoo.tensors:
        if tensor.name in changes:
            stored[:, tensor.start : tensor.stop] = changes[tensor.name].reshape(len(zoo), -1)
    return sample_zoo(len(zoo), stored=stored)


def tensors(zoo):
    return {own.name: zoo.weights()[:, own.start : own.stop].reshape(len(zoo), *own.shape) for own in zoo.tensors}


# --- statistics -------------------------------------------------------------------------------------------------------


def test_statistics_are_numpys():
    zoo = sample_zoo(9, seed=3)
    found = features(zoo, "statistics")
    assert found.names[:8] == (
        "layer1.weight.mean",
        "layer1.weight.variance",
        "layer1.weight.q0",
        "layer1.weight.q25",
        "layer1.weight.q50",
        "layer1.weight.q75",
        "layer1.weight.q100",
        "layer1.bias.mean",
    )
    own = tensors(zoo)
    expected = []
    for layer in LAYERS:
        for last in ("kernel:0", "bias:0"):
            flat = own[f"{layer}/{last}"].reshape(len(zoo), -1).astype(np.float64)
            expected += [flat.mean(1), flat.var(1), *np.percentile(flat, (0, 25, 50, 75, 100), axis=1)]
    assert np.abs(found.values - np.array(expected).T).max() < 1e-12


@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(-150, 150))
def test_statistics_of_any_length_and_size(length, seed, exponent):
    numbers = np.random.default_rng(seed).standard_normal((3, length)) * 10.0**exponent
    found = statistics_of(numbers)
    wanted = np.array([numbers.mean(1), numbers.var(1), *np.percentile(numbers, (0, 25, 50, 75, 100), axis=1)]).T
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12 * np.abs(numbers).max())


def test_the_papers_network_has_56_statistics():
    shapes = [(3, 3, 1, 16), (3, 3, 16, 16), (3, 3, 16, 16), (16, 10)]
    zoo_tensors, at = [], 0
    for number, shape in enumerate(shapes):
        for role, own in (("bias", shape[-1:]), ("weight", shape)):
            zoo_tensors.append(ww.ZooTensor(f"l{number}/{role}", f"l{number}", role, at, at + int(np.prod(own)), own))
            at += int(np.prod(own))
    zoo = sample_zoo(2, tensors=tuple(zoo_tensors), stored=np.ones((2, at), np.float32))
    assert zoo.parameters == 4970
    assert len(features(zoo, "statistics").names) == 56
    assert len(features(zoo, "statistics[layers=last]").names) == 14
    assert len(features(zoo, "statistics[layers=ends]").names) == 28
    assert len(features(zoo, "weights[layer=2]").names) == 2320
    assert len(features(zoo, "norms").names) == 8
    assert len(features(zoo, "weights").names) == 4970


def test_statistics_do_not_depend_on_the_order_of_units():
    zoo = sample_zoo(5)
    own = tensors(zoo)
    order = [2, 0, 3, 1]
    changed = put(
        zoo,
        {
            "conv2d/kernel:0": own["conv2d/kernel:0"][..., order],
            "conv2d/bias:0": own["conv2d/bias:0"][..., order],
            "conv2d_1/kernel:0": own["conv2d_1/kernel:0"][:, :, :, order],
        },
    )
    np.testing.assert_allclose(
        features(changed, "statistics").values, features(zoo, "statistics").values, rtol=0, atol=1e-14
    )
    sorted_before, sorted_after = features(zoo, "sorted-weights"), features(changed, "sorted-weights")
    assert np.array_equal(sorted_before.values, sorted_after.values)
    assert not np.array_equal(features(zoo, "weights").values, features(changed, "weights").values)


def test_relative_statistics_do_not_depend_on_the_scale_of_layers():
    zoo = sample_zoo(5)
    own = tensors(zoo)
    factors, total = (0.125, 8.0, 3.0), 1.0
    changes = {}
    for layer, factor in zip(LAYERS, factors, strict=True):
        total *= factor
        changes[f"{layer}/kernel:0"] = own[f"{layer}/kernel:0"].astype(np.float64) * factor
        changes[f"{layer}/bias:0"] = own[f"{layer}/bias:0"].astype(np.float64) * total
    scaled = put(zoo, changes)
    before, after = (features(each, "relative-statistics").values for each in (zoo, scaled))
    np.testing.assert_allclose(after, before, rtol=1e-12, atol=1e-12)
    assert not np.allclose(features(zoo, "statistics").values, features(scaled, "statistics").values)


def test_relative_statistics_of_weights_that_shrank_to_nothing():
    zoo = sample_zoo(3)
    own = tensors(zoo)
    tiny = put(zoo, {name: own[name].astype(np.float64) * 1e-140 for name in own if "kernel" in name})
    found = features(tiny, "relative-statistics")
    assert len(found) == 3
    assert np.abs(found.values).max() < 1100**2
    q0 = found.values[:, found.names.index("relative.layer3.bias.q0")]
    biases = own["dense/bias:0"].astype(np.float64)
    logs = sum(
        np.log(np.sqrt((own[f"{layer}/kernel:0"].astype(np.float64) ** 2).reshape(3, -1).mean(1))) for layer in LAYERS
    )
    expected = -np.log(2 * np.abs(biases.min(1))) + logs - 3 * 140 * np.log(10)
    np.testing.assert_allclose(q0, expected, rtol=1e-9)


def test_sorted_weights_compute_the_same():
    torch = pytest.importorskip("torch")
    zoo = sample_zoo(4)
    images = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 1, 15, 15)))

    def answers(row):
        own = {t.name: torch.from_numpy(row[t.start : t.stop].astype(np.float64).reshape(t.shape)) for t in zoo.tensors}
        out = images
        for layer in LAYERS[:2]:
            kernel = own[f"{layer}/kernel:0"].permute(3, 2, 0, 1)
            out = torch.relu(torch.nn.functional.conv2d(out, kernel, own[f"{layer}/bias:0"], stride=2))
        return out.mean((2, 3)) @ own["dense/kernel:0"] + own["dense/bias:0"]

    for before, after in zip(zoo.weights(), SortedWeights().features(zoo), strict=True):
        torch.testing.assert_close(answers(after), answers(before), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layout", ["keras", "pytorch"])
def test_sorting_follows_a_picture_that_is_flattened(layout):
    rng = np.random.default_rng(5)
    conv, bias, dense = rng.standard_normal((2, 3, 3, 2)), rng.standard_normal(2), rng.standard_normal((2 * 4, 3))
    order = [1, 0]
    if layout == "keras":  # flattened position by position
        other = conv[..., order], bias[order], dense.reshape(4, 2, 3)[:, order].reshape(8, 3)
        kernel, matrix = (lambda own: own), (lambda own: own)
    else:  # flattened channel by channel
        other = conv[..., order], bias[order], dense.reshape(2, 4, 3)[order].reshape(8, 3)
        kernel, matrix = (lambda own: own.transpose(3, 2, 0, 1)), (lambda own: own.T)
    rows = [
        np.concatenate([kernel(c).ravel(), b, matrix(d).ravel(), np.zeros(3)])
        for c, b, d in ((conv, bias, dense), other)
    ]
    shapes = [
        ("a/w", "a", "weight", kernel(conv).shape),
        ("a/b", "a", "bias", (2,)),
        ("d/w", "d", "weight", matrix(dense).shape),
        ("d/b", "d", "bias", (3,)),
    ]
    own, at = [], 0
    for name, layer, role, shape in shapes:
        own.append(ww.ZooTensor(name, layer, role, at, at + int(np.prod(shape)), shape))
        at += int(np.prod(shape))
    zoo = sample_zoo(2, tensors=tuple(own), stored=np.array(rows), layout=layout)
    found = SortedWeights().features(zoo)
    assert np.array_equal(found[0], found[1])


def small_zoo(rows, shapes, layout="keras"):
    """A zoo of rows of weights, and the layer, role and shape of each tensor."""
    own, at = [], 0
    for layer, role, shape in shapes:
        own.append(ww.ZooTensor(f"{layer}/{role}", layer, role, at, at + int(np.prod(shape)), shape))
        at = own[-1].stop
    return sample_zoo(len(rows), tensors=tuple(own), stored=np.array(rows), layout=layout)


@pytest.mark.parametrize("positions", [1, 2])
@pytest.mark.parametrize("layout", ["keras", "pytorch"])
def test_units_are_sorted_through_a_norm(layout, positions):
    rng = np.random.default_rng(3)
    first, bias = rng.standard_normal((2, 3)), rng.standard_normal(3)
    gamma, beta = rng.standard_normal((2, 3))
    last = rng.standard_normal((positions, 3, 2))

    def row(order):
        own = last[:, order]
        flat = own.reshape(-1, 2) if layout == "keras" else own.transpose(1, 0, 2).reshape(-1, 2).T
        kernel = first[:, order] if layout == "keras" else first[:, order].T
        return np.concatenate([kernel.ravel(), bias[order], gamma[order], beta[order], flat.ravel()])

    rows = [row(list(order)) for order in permutations(range(3))]
    turned = (lambda *shape: shape) if layout == "keras" else (lambda *shape: shape[::-1])
    shapes = [
        ("d", "weight", turned(2, 3)),
        ("d", "bias", (3,)),
        ("n", "weight", (3,)),
        ("n", "bias", (3,)),
        ("e", "weight", turned(3 * positions, 2)),
    ]
    found = SortedWeights().features(small_zoo(rows, shapes, layout))
    assert np.array_equal(found, np.tile(row(np.argsort(bias)), (6, 1)))


def test_norms_where_there_is_nothing_to_sort_or_no_fit():
    norm = [("n", "weight", (3,)), ("n", "bias", (3,))]
    rows = np.arange(12.0).reshape(1, 12)[:, ::-1]
    assert np.array_equal(SortedWeights().features(small_zoo(rows[:, :6], norm)), rows[:, :6])
    wrong = [("d", "weight", (1, 2)), ("n", "weight", (3,)), ("e", "weight", (2, 3))]
    with pytest.raises(ww.UsageError, match="layer n has 3 inputs, and the one before 2 outputs"):
        SortedWeights().features(small_zoo(rows[:, :11], wrong))


@settings(deadline=None)
@given(
    st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=8),
    st.one_of(st.floats(1.0, 50.0), st.floats(1.0, 1e308), st.sampled_from([1.0, 2.0, 300.0, 1e300])),
)
@pytest.mark.filterwarnings("error")
def test_norms_of_any_power_are_those_of_many_digits(numbers, p):
    (found,) = Norms(p=p).features(small_zoo([numbers], [("d", "weight", (len(numbers), 1))]))[0]
    with localcontext(prec=40):
        sizes = [abs(Decimal(own)) for own in numbers]
        largest = max(sizes)
        power = sum((own / largest) ** Decimal(p) for own in sizes if own)
        exact = largest * power ** (1 / Decimal(p)) if largest else Decimal(0)
        assert abs(Decimal(float(found)) - exact) <= Decimal("1e-13") * exact + Decimal("5e-324")


def test_powers_that_differ_have_names_that_differ():
    names = [Norms(p=p).names(sample_zoo(2))[0] for p in (2.0, 2.0000001, 1234567.0, 1234568.0)]
    assert names[0].endswith(".norm2")
    assert len(set(names)) == 4


# --- how they are asked for -------------------------------------------------------------------------------------------


def test_sets_are_put_together():
    zoo = sample_zoo(6)
    found = features(zoo, "norms[p=1] + hyperparameters[optimizer=false]+global-statistics")
    assert found.values.shape == (6, 6 + 12 + 7)
    assert found.names[0] == "layer1.weight.norm1"
    assert "optimizer=adam" not in found.names
    assert [version for _, version in found.versions] == ["1", "1", "1"]


def test_choices_are_named_even_where_none_made_them():
    zoo = sample_zoo(3)
    found = features(zoo, "hyperparameters")
    assert len(found.names) == 15
    picked = found.values[:, [found.names.index(f"optimizer={own}") for own in ("adam", "rmsprop", "sgd")]]
    assert np.array_equal(picked.sum(1), np.ones(3))


def test_a_network_that_diverged_is_left_out():
    zoo = sample_zoo(5)
    zoo.stored[2, 7] = np.nan
    zoo.stored[4, 9] = np.inf
    for spec in ("statistics", "weights", "norms", "global-statistics", "sorted-weights", "relative-statistics"):
        found = features(zoo, spec)
        assert found.left_out == (2, 4)
        assert found.zoo.networks.tolist() == [0, 1, 3]
    zoo.stored[:] = np.nan
    with pytest.raises(ww.UsageError, match="no network has finite features"):
        features(zoo, "norms")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", "name nothing"),
        ("statistics+", "name nothing"),
        ("statistic", "did you mean statistics"),
        ("statistics+statistics", "twice"),
        ("statistics[layer=1]", "unknown parameter of statistics 'layer'"),
        ("statistics[layers=middle]", "all|first|last|ends"),
        ("weights[layer=9]", "there is no layer 9"),
        ("norms[p=0.5]", "p=0.5 gives no norm"),
        ("alpha", "name the store"),
        ("nobody:statistics", "nobody:statistics"),
    ],
)
def test_what_cannot_be_asked_for(spec, said):
    with pytest.raises(ww.UsageError) as caught:
        features(sample_zoo(2), spec)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_zoo_without_hyperparameters():
    with pytest.raises(ww.UsageError, match="does not say the learning_rate"):
        features(sample_zoo(2, hyperparameters={}), "hyperparameters")


def test_weights_that_are_not_here():
    for changes in ({"stored": None}, {"stored": None, "tensors": ()}):
        for spec in ("statistics", "weights", "weights[layer=1]", "sorted-weights", "norms", "global-statistics"):
            with pytest.raises(ww.UsageError, match="its weights are not on this machine"):
                features(sample_zoo(2, **changes), spec)
    assert len(features(sample_zoo(2, stored=None, tensors=()), "hyperparameters")) == 2


def plugin(**members):
    own = type("Own", (ww.FeatureSet,), {"name": "own", "version": "1", "description": "for a test", **members})
    return SimpleNamespace(ww_register_feature_sets=ww.hookimpl(lambda: [own()]))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda self, zoo: 1 / 0, "ZeroDivisionError"),
        (lambda self, zoo: np.zeros((len(zoo), 3)), "it made"),
        (lambda self, zoo: np.zeros((len(zoo), 1), np.float32), "float64"),
        (lambda self, zoo: None, "float64"),
    ],
)
def test_a_feature_set_that_fails(made, said):
    broken = plugin(names=lambda self, zoo: ("one",), features=made)
    with pytest.raises(ww.PluginError, match=said):
        ww.zoo_features(sample_zoo(2), "own", plugins=[broken])


def test_one_of_a_plugin():
    own = plugin(names=lambda self, zoo: ("epochs",), features=lambda self, zoo: zoo.epochs[:, None].astype(float))
    assert ww.zoo_features(sample_zoo(2), "own", plugins=[own]).values.tolist() == [[20.0], [20.0]]


# --- of the store, and into files -------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path):
    zoo = sample_zoo(3)
    path = tmp_path / "zoo.sqlite"
    for row, model, version in zip(zoo.weights(), zoo.models, zoo.versions, strict=True):
        own = {t.name: row[t.start : t.stop].reshape(t.shape) for t in zoo.tensors}
        np.savez(tmp_path / "network.npz", **own)
        ww.analyze(tmp_path / "network.npz", loader="npz[layout=keras]", store=path, name=model, version=version)
    return zoo, path


def test_columns_of_the_store(stored):
    zoo, path = stored
    found = features(zoo, "log_spectral_norm+norms", store=path)
    assert found.names[:3] == tuple(f"{layer}.log_spectral_norm" for layer in LAYERS)
    own = tensors(zoo)["dense/kernel:0"]
    expected = 2 * np.log10(np.linalg.norm(own.astype(np.float64), 2, axis=(1, 2)))
    np.testing.assert_allclose(found.values[:, 2], expected, rtol=1e-6)
    with ww.open_store(path) as opened:
        assert np.array_equal(features(zoo, "log_spectral_norm", store=opened).values, found.values[:, :3])


def test_networks_that_were_not_analysed_are_left_out(stored):
    zoo, path = stored
    more = sample_zoo(5, stored=np.concatenate([zoo.weights(), zoo.weights()[:2] + 1]))
    found = features(more, "log_spectral_norm", store=path)
    assert found.left_out == (3, 4)
    assert len(found) == 3


def test_a_store_that_does_not_know_the_zoo(stored, tmp_path):
    _, path = stored
    with pytest.raises(ww.NotStoredError):
        features(sample_zoo(2, name="another"), "log_spectral_norm", store=path)


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet", ".npz"])
def test_files(suffix, tmp_path):
    found = features(sample_zoo(4), "norms")
    path = tmp_path / f"norms{suffix}"
    assert ww.write_features(found, path) == path.stat().st_size
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as read:
            assert np.array_equal(read["values"], found.values)
            assert read["names"].tolist() == list(found.names)
            assert read["network"].tolist() == [0, 1, 2, 3]
    else:
        import pandas as pd

        read = {".csv": pd.read_csv, ".json": pd.read_json, ".parquet": pd.read_parquet}[suffix](path)
        assert list(read.columns) == ["network", "epoch", *found.names, "test_accuracy"]
        np.testing.assert_allclose(read[list(found.names)].to_numpy(), found.values, rtol=1e-14)
    with pytest.raises(ww.UsageError, match="exists already"):
        ww.write_features(found, path)
    ww.write_features(found, path, replace=True)


def test_a_place_that_cannot_be_is_told_before_features_are_made(tmp_path, monkeypatch, capfd):
    def made(*_arguments, **_named):
        raise AssertionError("features were made")

    write_zoo(sample_zoo(2), tmp_path / "zoo", {})
    (tmp_path / "old.csv").write_text("x")
    (tmp_path / "folder.csv").mkdir()
    monkeypatch.setattr(ww, "zoo_features", made)
    for name, code, said in (
        ("nodir/x.csv", 3, "No such file or directory"),
        ("folder.csv", 2, "exists already"),
        ("old.csv", 2, "exists already"),
        ("x.txt", 2, "no name of a table"),
        (f"{'x' * 300}.csv", 3, "cannot be written"),
    ):
        place = str(tmp_path / name)
        assert (
            run_app(app, ["features", str(tmp_path / "zoo"), "--features", "norms", "-o", place], name="ww zoo") == code
        )
        told = capfd.readouterr().err
        assert said in " ".join(told.split()), told
        assert "Error" not in told


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path):
    made = ww.zoo_features(sample_zoo(2), "norms")
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    with pytest.raises(ww.OutputError, match="No such file or directory"):
        ww.write_features(made, tmp_path / "nodir/x.csv")
    with pytest.raises(ww.OutputError, match="it is a folder"):
        ww.write_features(made, folder, replace=True)


def test_a_file_of_no_known_form(tmp_path):
    with pytest.raises(ww.UsageError, match="it ends in"):
        ww.write_features(features(sample_zoo(2), "norms"), tmp_path / "norms.xlsx")


def test_versions_are_told():
    ((name, version),) = features(sample_zoo(2), "statistics[layers=last]").versions
    assert name.endswith(":statistics[layers=last]")
    assert version == Statistics.version
