"""``ww zoo plot``: two numbers of each network against each other."""

import numpy as np
import pytest
from published_zoo import metrics, write

import ww_core as ww
from ww_plugins.commands.zoo.points import points_of
from ww_plugins.zoos.columns import named_columns
from ww_plugins.zoos.folder import read_zoo

NETWORKS = 12
RANGES = ("layer1.bias.q100 - layer1.bias.q0", "layer2.bias.q100-layer2.bias.q0")


@pytest.fixture
def folder(tmp_path):
    rows = metrics(NETWORKS)
    rows[2]["config.optimizer"] = "$x^2$"
    rows[-1]["config.dropout"] = ""
    for row in rows:
        row["config.tag"] = f"t{row['modeldir']}"
    return write(tmp_path / "zoo", rows=rows)[0]


@pytest.fixture
def run(ww_here, folder):
    return lambda *more: ww_here("zoo", "plot", folder, *more)


def test_a_difference_of_two_features_is_a_range(folder):
    zoo = read_zoo(folder).last()
    found, (first, last) = named_columns(zoo, RANGES)
    assert found.networks.tolist() == list(range(NETWORKS))
    weights = zoo.weights().astype(np.float64)
    np.testing.assert_allclose(first, np.ptp(weights[:, :2], axis=1))
    np.testing.assert_allclose(last, np.ptp(weights[:, 20:30], axis=1))


def test_results_and_hyperparameters_take_no_weights(folder):
    zoo = read_zoo(folder).last()
    (folder / "weights.npy").unlink()
    names = ("train_accuracy-test_accuracy", "learning_rate", "dropout")
    found, (gap, rate, dropout) = named_columns(ww.Zoo(**{**_fields(zoo), "stored": None}), names)
    assert len(found) == NETWORKS
    np.testing.assert_array_equal(gap, zoo.results["train_accuracy"] - zoo.results["test_accuracy"])
    np.testing.assert_array_equal(rate, zoo.hyperparameters["learning_rate"])
    assert np.isnan(dropout[-1])


def _fields(zoo):
    return {name: getattr(zoo, name) for name in ww.Zoo.__dataclass_fields__}


def test_a_name_may_have_a_minus_itself(folder):
    zoo = read_zoo(folder).last()
    results = {**zoo.results, "top-1": zoo.results["test_accuracy"] * 2, "top": zoo.results["test_accuracy"]}
    own = ww.Zoo(**{**_fields(zoo), "results": results})
    _, (alone, less) = named_columns(own, ("top-1", "top-1-top"))
    np.testing.assert_array_equal(alone, results["top-1"])
    np.testing.assert_array_equal(less, results["top-1"] - results["top"])


def test_colours_tell_an_optimizer_or_a_number(folder):
    zoo = read_zoo(folder).last()
    told = points_of(zoo, *RANGES, "optimizer", "statistics")
    assert told.colors.tolist() == zoo.hyperparameters["optimizer"].tolist()
    told = points_of(zoo, *RANGES, "test_accuracy", "statistics")
    np.testing.assert_array_equal(told.colors, zoo.results["test_accuracy"])
    others = {name: own for name, own in zoo.hyperparameters.items() if name != "optimizer"}
    told = points_of(ww.Zoo(**{**_fields(zoo), "hyperparameters": others}), *RANGES, "optimizer", "statistics")
    assert told.color_name == ""


@pytest.mark.parametrize(
    ("end", "more"), [("png", ("--log",)), ("png", ("--color", "test_accuracy")), ("svg", ("--color", "activation"))]
)
def test_a_picture_is_drawn(run, tmp_path, end, more):
    done = run("--x", RANGES[0], "--y", RANGES[1], "-o", f"own.{end}", *more)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"12 networks of zoo drawn in own.{end}\n"
    assert (tmp_path / f"own.{end}").stat().st_size > 5_000


def test_what_is_left_out_is_said(run):
    done = run("--x", "learning_rate", "--y", "dropout", "-o", "own.png")
    assert done.stdout == "11 networks of zoo drawn in own.png\n"
    assert "note: 1 left out: a number is missing" in done.stderr
    done = run("--x", "layer1.weight.q0", "--y", "test_loss", "--log", "-o", "own.png")
    assert done.returncode == 2
    assert "no network has numbers layer1.weight.q0 and test_loss that are above zero" in done.stderr
    done = run("--x", "learning_rate", "--y", "test_accuracy", "--epochs", "all", "-o", "own.png")
    assert done.stdout.startswith("36 checkpoints of zoo")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--x", "test_acuracy", "--y", "test_loss"), "did you mean test_accuracy"),
        (("--x", "activation", "--y", "test_loss"), "activation of zoo zoo has texts"),
        (("--x", "layer9.bias.q0", "--y", "test_loss"), "unknown feature, result or hyperparameter"),
        (("--x", "test_loss-activation", "--y", "test_loss"), "activation of zoo zoo has texts"),
        (("--x", "test_loss", "--y", "test_loss", "--color", "optimzer"), "did you mean optimizer"),
        (("--x", "-", "--y", "test_loss"), "unknown feature, result or hyperparameter"),
        (("--x", "", "--y", "test_loss"), "--x"),
        (("--x", "test_loss", "--y", "test_loss", "--color", "colour"), "unknown feature, result or hyperparameter"),
        (
            ("--x", "test_loss", "--y", "test_loss", "--color", "tag"),
            "tag of zoo zoo has 12 values, and there are 7 colours",
        ),
        (("--x", "test_loss", "--y", "test_loss", "--epochs", "7"), "no checkpoint of epoch 7"),
        (("--x", "layer1.bias.q0", "--y", "test_loss", "--features", "statistix"), "statistix"),
    ],
)
def test_wrong_names_are_one_sentence(run, tmp_path, arguments, said):
    done = run(*arguments, "-o", "own.png")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "own.png").exists()


def test_every_colour_is_in_the_legend_whatever_its_name(ww_here, folder, tmp_path):
    rows = metrics(NETWORKS)
    for number, row in enumerate(rows):
        row["config.optimizer"] = ("_under", "$x", "a,b")[number // 3 % 3]
    write(folder, rows=rows)
    for command in (("plot", folder, "--x", "test_loss", "--y", "test_accuracy", "-o"), ("show", folder, "--plot")):
        done = ww_here("zoo", *command, "own.svg")
        assert (done.returncode, done.stderr) == (0, "")
        picture = (tmp_path / "own.svg").read_text()
        assert all(f"<!-- {name} -->" in picture for name in ("_under", "$x", "a,b"))


@pytest.mark.parametrize("more", [(), ("--log",), ("--color", "size")])
def test_numbers_too_large_for_an_axis_are_left_out(run, folder, more):
    rows = metrics(NETWORKS)
    for number, row in enumerate(rows):
        row["config.size"] = ("1e308", "-1e308", "1e-308", "2")[number % 4]
    write(folder, rows=rows)
    done = run("--x", "size", "--y", "test_accuracy", "-o", "own.png", *more)
    assert done.returncode == 0, done.stderr
    assert "note: " in done.stderr
    assert "beyond 1e+200" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_picture_of_no_known_form_is_refused_at_once(run):
    assert run("--x", "test_loss", "--y", "test_loss", "-o", "own.txt").returncode == 2
