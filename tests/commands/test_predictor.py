"""``ww predictor``, as a user runs it: fit on a real zoo, ask, and what goes wrong."""

import json

import numpy as np
import pytest

import ww_core as ww
from ww_plugins.zoos.data import image_set
from ww_plugins.zoos.folder import read_zoo
from ww_plugins.zoos.training.request import zoo_request
from ww_plugins.zoos.training.train import train_zoo

USAGE, PLACE = 2, 3
NETWORKS, EPOCHS = 90, 6


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo") / "digits"
    images = image_set("digits")
    request = zoo_request(data="digits", count=NETWORKS, epochs=EPOCHS, images=images, checkpoints=[0])
    train_zoo(request, images, folder, jobs=1)
    return folder


@pytest.fixture
def run(ww_here):
    return lambda *arguments: ww_here("predictor", *arguments)


def told(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fit(run, zoo, *more):
    return told(run("fit", zoo, "--estimator", "extra-trees", "--out", "digits.predictor", "--json", *more))


def state_dict(zoo, number, file):
    """Write a network of the zoo as PyTorch names its tensors."""
    found = read_zoo(zoo).last()
    row = found.weights()[found.networks.tolist().index(number)]
    tensors = {}
    for place, layer in enumerate(found.layers):
        name = f"conv{place + 1}" if len(layer.weight.shape) == 4 else "fc"
        weight = row[layer.weight.start : layer.weight.stop].reshape(layer.weight.shape)
        tensors[f"{name}.weight"] = np.ascontiguousarray(weight.transpose(3, 2, 0, 1) if weight.ndim == 4 else weight.T)
        tensors[f"{name}.bias"] = row[layer.bias.start : layer.bias.stop].copy()
    import safetensors.numpy

    safetensors.numpy.save_file(tensors, file)
    return file


def test_a_predictor_is_fitted_and_tells_how_good_it_is(run, zoo):
    fitted = fit(run, zoo)
    assert (fitted["networks"], fitted["trained_on"], fitted["calibrated_on"]) == (45, 36, 9)
    assert fitted["r2"] > 0.2
    assert fitted["kendall_tau"] > 0.3
    again = told(run("evaluate", "digits.predictor", "--json"))
    assert {key: again[key] for key in ("r2", "mse", "mad", "kendall_tau", "r2_std")} == {
        key: fitted[key] for key in ("r2", "mse", "mad", "kendall_tau", "r2_std")
    }
    on_zoo = told(run("evaluate", "digits.predictor", "--on", zoo, "--json"))
    assert on_zoo["seen"] == 45
    for measure in ("r2", "mse", "mad", "kendall_tau"):
        assert on_zoo[measure] == pytest.approx(fitted[measure], abs=1e-9)
    text = run("evaluate", "digits.predictor")
    assert text.stdout.startswith("on the 45 held-out networks: r2 ")


def test_the_same_command_writes_the_same_bytes(run, zoo, tmp_path):
    fit(run, zoo)
    first = (tmp_path / "digits.predictor").read_bytes()
    assert run("fit", zoo, "--estimator", "extra-trees", "--out", "digits.predictor").returncode == USAGE
    fit(run, zoo, "--force")
    assert (tmp_path / "digits.predictor").read_bytes() == first


def test_a_network_is_predicted_from_its_file_as_from_the_zoo(run, zoo, tmp_path):
    fit(run, zoo)
    number = 7
    row = told(run("predict", "digits.predictor", state_dict(zoo, number, tmp_path / "own.safetensors"), "--json"))[0]
    found = read_zoo(zoo).last()
    from ww_plugins.predictors.file import read_predictor

    predictor = read_predictor(tmp_path / "digits.predictor", ww.load_plugins())
    features = ww.zoo_features(found.chosen(found.networks == number), "statistics")
    assert row["value"] == pytest.approx(float(predictor.predict(features.values)[0]), abs=1e-12)
    assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1
    assert row["nearest"]
    assert row["source"].startswith("predictor:")


def test_an_untrained_network_of_other_layers_is_refused(run, zoo, tmp_path):
    fit(run, zoo)
    import safetensors.numpy

    safetensors.numpy.save_file({"fc.weight": np.ones((10, 3), np.float32)}, tmp_path / "other.safetensors")
    done = run("predict", "digits.predictor", "other.safetensors")
    assert done.returncode == USAGE
    assert "other.safetensors" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_predicted_is_kept_as_a_score(run, zoo, tmp_path):
    fit(run, zoo)
    file = state_dict(zoo, 7, tmp_path / "own.safetensors")
    store = tmp_path / "s.sqlite"
    with ww.open_store(store) as opened:
        ww.analyze(file, store=opened)
        model = opened.versions()[0]
    name = f"{model.model}@{model.version}"
    row = told(run("predict", "digits.predictor", file, "--json"))[0]
    done = run("predict", "digits.predictor", file, "--record", name, "--store", store)
    if not row["inside"]:
        assert done.returncode == USAGE
        return
    assert done.returncode == 0, done.stderr
    with ww.open_store(store, mode="read") as opened:
        score = next(iter(opened.scores()))
    assert (score.value, score.source, score.low, score.high) == (row["value"], row["source"], row["low"], row["high"])


def test_zoos_feature_sets_and_changes_are_compared(run, zoo):
    fit(run, zoo)
    rows = told(
        run("compare", zoo, "--features", "statistics", "--features", "norms", "--estimator", "extra-trees", "--json")
    )
    assert [row["features"] for row in rows] == ["statistics", "norms"]
    changes = told(run("invariance", "digits.predictor", "--on", zoo, "--json"))
    assert {row["networks"] for row in changes} == {45}
    assert run("transfer", zoo).returncode == USAGE
    assert run("transfer", zoo, zoo).returncode == USAGE


def test_a_picture_is_drawn(run, zoo, tmp_path):
    fit(run, zoo)
    assert run("evaluate", "digits.predictor", "--on", zoo, "--plot", "own.png").returncode == 0
    assert (tmp_path / "own.png").stat().st_size > 5_000
    assert run("evaluate", "digits.predictor", "--plot", "own.png").returncode == USAGE


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--features", "statistix"], USAGE),
        (["--estimator", "gbn"], USAGE),
        (["--estimator", "extra-trees[trees=none]"], USAGE),
        (["--target", "top5"], USAGE),
        (["--held-out", "1"], USAGE),
        (["--held-out", "nan"], USAGE),
        (["--calibration", "0"], USAGE),
        (["--folds", "1"], USAGE),
        (["--families", "colour"], USAGE),
        (["--features", ""], USAGE),
    ],
)
def test_wrong_arguments_are_one_sentence(run, zoo, tmp_path, arguments, code):
    done = run("fit", zoo, "--out", "p.predictor", *arguments)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_wrong_files_are_one_sentence(run, ww_program, zoo, tmp_path):
    assert run("fit", tmp_path / "none", "--out", "p.predictor").returncode == PLACE
    assert ww_program("predictor", "fit", zoo, "--out", "none/p.predictor").returncode == PLACE
    assert run("evaluate", "none.predictor").returncode == PLACE
    (tmp_path / "text.predictor").write_text("hello")
    assert run("evaluate", "text.predictor").returncode == PLACE
    fit(run, zoo)
    whole = (tmp_path / "digits.predictor").read_bytes()
    (tmp_path / "cut.predictor").write_bytes(whole[: len(whole) // 2])
    done = run("evaluate", "cut.predictor")
    assert done.returncode == PLACE
    assert "cut.predictor" in done.stderr
    assert run("predict", "digits.predictor", "none.pt").returncode == PLACE
    assert run("predict", "digits.predictor", zoo / "weights.npy", "--confidence", "1.5").returncode == USAGE
    assert run("predict", "digits.predictor", zoo / "weights.npy", "--rate", "0").returncode == USAGE


def test_estimators_are_listed(run):
    names = {row["estimator"] for row in told(run("estimators", "--json"))}
    assert {"gbm", "forest", "extra-trees", "logit-linear", "dnn"} <= names


def test_a_zoo_of_other_layers_is_said_and_two_of_one_name_are_told_apart(run, zoo, tmp_path):
    fit(run, zoo)
    images = image_set("digits")
    request = zoo_request(data="digits", count=24, epochs=1, network="mlp", width=8, images=images, checkpoints=[0])
    train_zoo(request, images, tmp_path / "mlp", jobs=1)
    done = run("evaluate", "digits.predictor", "--on", "mlp")
    assert done.returncode == 0, done.stderr
    assert "other layers" in done.stderr
    pairs = told(run("transfer", zoo, "mlp", "--estimator", "forest", "--json"))
    assert {row["fitted_on"] for row in pairs} == {str(zoo), "mlp"}


def test_statistics_of_the_last_layer_serve_networks_of_other_layers(run, zoo, tmp_path):
    fit(run, zoo, "--features", "statistics[layers=last]")
    import safetensors.numpy

    rng = np.random.default_rng(0)
    tensors = {"fc1.weight": rng.normal(size=(20, 9)), "fc1.bias": np.zeros(20)}
    tensors |= {"fc2.weight": rng.normal(size=(10, 20)) / 5, "fc2.bias": rng.normal(size=10) / 9}
    safetensors.numpy.save_file(
        {name: own.astype(np.float32) for name, own in tensors.items()}, tmp_path / "o.safetensors"
    )
    assert run("predict", "digits.predictor", "o.safetensors").returncode == USAGE
    done = run("predict", "digits.predictor", "o.safetensors", "--other-layers", "--json")
    assert "other layers" in done.stderr
    assert 0 <= told(done)[0]["value"] <= 1
    assert "'fc2', whose weight is 10x20, is taken for the last layer" in done.stderr
    turned = {
        name.replace("fc2", "a").replace("fc1", "b"): own for name, own in tensors.items()
    }  # a file in another order
    safetensors.numpy.save_file(
        {name: own.astype(np.float32) for name, own in turned.items()}, tmp_path / "t.safetensors"
    )
    ask = ("predict", "digits.predictor", "t.safetensors", "--json")
    assert told(run(*ask, "--other-layers"))[0]["value"] != told(done)[0]["value"]
    named = run(*ask, "--other-layers", "--last-layer", "a")
    assert told(named)[0]["value"] == told(done)[0]["value"]
    assert "taken for" not in named.stderr
    unknown = run(*ask, "--other-layers", "--last-layer", "aa")
    assert unknown.returncode == USAGE
    assert "unknown layer 'aa': did you mean a?" in unknown.stderr
    assert "needs --other-layers" in run(*ask, "--last-layer", "a").stderr
    safetensors.numpy.save_file({"a.weight": np.zeros((0, 20), np.float32)}, tmp_path / "t.safetensors")
    empty = run(*ask, "--other-layers")
    assert empty.returncode == 3
    assert "'a.weight' holds no number, as its shape is 0x20: no feature can be made of it" in empty.stderr


def test_features_that_no_file_has_are_said_at_once(run, zoo):
    done = run("fit", zoo, "--features", "hyperparameters", "--estimator", "forest", "--out", "h.predictor")
    assert done.returncode == 0
    assert "note: hyperparameters is not in the file of a network" in done.stderr
