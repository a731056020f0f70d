"""Names as a person gives or leaves them: defaults, versions in order, empty texts; and rows of every scope."""

import csv
import io
import json

import numpy as np
import pytest
from safetensors.numpy import save_file


def weights(seed, prefix="", rows=24):
    drawn = np.random.Generator(np.random.Philox(seed))
    return {
        f"{prefix}a.weight": drawn.standard_normal((rows, 16)).astype(np.float32),
        f"{prefix}b.weight": drawn.standard_normal((16, 12)).astype(np.float32),
    }


@pytest.fixture
def save(tmp_path):
    """A function that writes a model under a path and returns the path."""

    def write(path, seed=0, **how):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        save_file(weights(seed, **how), tmp_path / path)
        return path

    return write


def versions(ww_here):
    rows = json.loads(ww_here("show", "--json").stdout)
    return [f"{row['model']}@{row['version']}" for row in rows]


def ok(done):
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def refused(done, code, *words):
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert len(done.stderr.strip().splitlines()) <= 4


# --- default names ----------------------------------------------------------------------------------------------------


def test_networks_in_files_of_one_name_are_not_one_model(ww_here, save):
    ok(ww_here("analyze", save("bert/model.safetensors", prefix="bert.")))
    ok(ww_here("analyze", save("gpt2/model.safetensors", 1, prefix="h.")))
    assert versions(ww_here) == ["bert@1", "gpt2@1"]


def test_checkpoints_of_one_training_are_versions_and_of_two_are_not(ww_here, save):
    for run, step in [("one", 1000), ("one", 500), ("two", 500)]:
        ok(ww_here("analyze", save(f"{run}/checkpoint-{step}/model.safetensors", hash((run, step)) % 1000)))
    assert versions(ww_here) == ["one@500", "one@1000", "two@500"]
    assert json.loads(ok(ww_here("show", "one", "--json")))["version"] == "1000"  # the last step, not the last run
    difference = json.loads(ok(ww_here("diff", "one@500", "one", "--json")))
    assert difference["second"]["name"] == "one@1000"


def test_a_snapshot_of_the_hub_is_called_as_there_and_its_revisions_are_counted(ww_here, save):
    for seed, revision in enumerate(["9f1c", "03ab"]):
        ok(ww_here("analyze", save(f"hub/models--openai--tiny/snapshots/{revision}/model.safetensors", seed)))
    ok(ww_here("analyze", save("moved/models--openai--tiny/snapshots/77aa/model.safetensors", 2)))
    assert versions(ww_here) == ["openai/tiny@1", "openai/tiny@2", "openai/tiny@3"]


def test_a_default_name_from_another_folder_is_refused(ww_here, save, tmp_path):
    ok(ww_here("analyze", save("here/net.safetensors")))
    elsewhere = save("there/net.safetensors", 1)
    refused(ww_here("analyze", elsewhere), 2, "the default name 'net' is taken", "--name", str(tmp_path / "here"))
    assert versions(ww_here) == ["net@1"]
    ok(ww_here("analyze", elsewhere, "--name", "net"))
    assert versions(ww_here) == ["net@1", "net@2"]


def test_the_same_weights_elsewhere_keep_their_label(ww_here, save):
    ok(ww_here("analyze", save("here/net.safetensors")))
    ok(ww_here("analyze", save("there/net.safetensors")))
    assert versions(ww_here) == ["net@1"]


def test_a_default_name_is_not_given_to_a_network_that_shares_no_layer(ww_here, save):
    ok(ww_here("analyze", save("net.safetensors")))
    save("net.safetensors", 1, prefix="other.")
    refused(ww_here("analyze", "net.safetensors"), 2, "shares no layer name", "--name")
    assert versions(ww_here) == ["net@1"]
    ok(ww_here("analyze", "net.safetensors", "--name", "net"))  # who says so is believed
    assert versions(ww_here) == ["net@1", "net@2"]


def test_a_checkpoint_trained_anew_does_not_take_the_place_of_the_old_one(ww_here, save):
    path = save("run/checkpoint-500/model.safetensors")
    ok(ww_here("analyze", path))
    save(path, 1)
    refused(ww_here("analyze", path), 2, "run@500 stands on other weights", "--move-label")
    ok(ww_here("analyze", path, "--version", "500", "--move-label"))
    assert versions(ww_here) == ["run@500"]


def test_the_final_model_of_a_training_comes_after_its_checkpoints(ww_here, save):
    for step in (1000, 500):
        ok(ww_here("analyze", save(f"run/checkpoint-{step}/model.safetensors", step)))
    ok(ww_here("analyze", save("run/model.safetensors", 7)))
    assert versions(ww_here) == ["run@500", "run@1000", "run@1001"]


# --- steps ------------------------------------------------------------------------------------------------------------


def test_label_sets_the_order(ww_here, save):
    for seed, version in enumerate(["first", "second"]):
        save("net.safetensors", seed)
        ok(ww_here("analyze", "net.safetensors", "--version", version))
    assert versions(ww_here) == ["net@first", "net@second"]
    ok(ww_here("label", "net@first", "--step", "20"))
    assert "the order is second, first" in ok(ww_here("label", "net@second", "--step", "10"))
    assert json.loads(ok(ww_here("show", "net", "--json")))["version"] == "first"
    content = json.loads(ok(ww_here("label", "net@second", "--no-step", "--json")))
    assert content == {"name": "net@second", "step": None, "order": ["first", "second"]}


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["net@1"], 2, "--step"),
        (["net@1", "--step", "1", "--no-step"], 2, "--step"),
        (["net@1", "--step", "-1"], 2, "greater than or equal to 0"),
        (["net@1", "--step", "x"], 2, "valid integer"),
        (["net@1", "--step", str(2**63)], 2, "whole number"),
        (["net", "--step", "1"], 2, "MODEL@VERSION"),
        (["", "--step", "1"], 2, "empty"),
        (["net@9", "--step", "1"], 3, "has no version"),
        (["nix@1", "--step", "1"], 3, "no model"),
    ],
)
def test_label_says_what_is_wrong(ww_here, save, arguments, code, word):
    ok(ww_here("analyze", save("net.safetensors")))
    done = ww_here("label", *arguments)
    assert done.returncode == code
    assert word in done.stderr
    assert "Traceback" not in done.stderr


# --- empty texts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option", ["--store", "--name", "--version", "--series", "--profile", "--loader", "--executor"]
)
def test_an_empty_option_is_not_one_that_was_left_out(ww_here, save, tmp_path, option):
    home = tmp_path / "home"
    home.mkdir()
    environ = {"HOME": str(home), "XDG_DATA_HOME": str(home)}
    done = ww_here("analyze", save("net.safetensors"), option, "", environ=environ, store=option != "--store")
    refused(done, 2, f"{option} is empty")
    assert not list(home.rglob("*"))
    assert not ww_here.store.exists()


def test_empty_names_are_wrong_usage_everywhere(ww_here, save, subtests):
    ok(ww_here("analyze", save("net.safetensors")))
    for arguments in (
        ["show", ""],
        ["show", "net", "--profile", ""],
        ["show", "net", "--variant", ""],
        ["show", "--store", ""],
        ["diff", "", "net"],
        ["diff", "net", ""],
        ["diff", "net", "net", "--profile", ""],
        ["forget", ""],
        ["rename", "", "x"],
        ["rename", "net", ""],
        ["backfill", ""],
        ["backfill", "--profile", ""],
        ["label", "", "--step", "1"],
        ["compare-svd", "net", "--name", ""],
        ["db", "info", "--store", ""],
        ["db", "gc", "--store", ""],
    ):
        with subtests.test(" ".join(arguments)):
            done = ww_here(*arguments)
            assert done.returncode == 2, done.stdout + done.stderr
            assert "empty" in done.stderr
            assert "Traceback" not in done.stderr
    assert versions(ww_here) == ["net@1"]


# --- rows -------------------------------------------------------------------------------------------------------------


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_rows_of_every_scope(ww_here, save):
    done = ww_here("analyze", save("net.safetensors"), "--csv")
    assert [row["layer"] for row in rows(ok(done))] == ["a", "b"]
    assert f"stored in {ww_here.store}" in done.stderr
    layers = rows(ok(ww_here("show", "net", "--csv", "--scope", "layer")))
    assert float(layers[0]["weight_std"]) == pytest.approx(weights(0)["a.weight"].std(), rel=1e-5)
    (model,) = rows(ok(ww_here("show", "net", "--csv", "--scope", "model")))
    assert (model["model"], model["version"]) == ("net", "1")
    assert float(model["log_prod_spectral_norm"]) != 0
    refused(ww_here("show", "net", "--scope", "tensor"), 2, "tensor")


def test_metrics_of_layers_alone_have_a_table(ww_here, save):
    done = ww_here("analyze", save("net.safetensors"), "--metrics", "weight_std")
    assert "weight_std" in ok(done)
    assert f"stored in {ww_here.store}" in done.stdout
    assert any(line.startswith("a ") for line in done.stdout.splitlines())
    done = ww_here("analyze", "net.safetensors", "--metrics", "weight_std", "--csv")
    assert done.stdout == ""
    assert "no metric of scope matrix was selected" in done.stderr
    assert "--scope layer" in done.stderr
    table = ok(ww_here("analyze", "net.safetensors", "--metrics", "alpha", "--scope", "layer"))
    assert "no metric of scope layer was selected" in table


def test_a_new_version_of_a_metric_is_said_to_be_another_number(ww_here, save, tmp_path):
    for version, factor in (("1", 1), ("2", 2)):
        (tmp_path / "mine.py").write_text(
            "import ww_core as ww\n"
            f"@ww.metric(version='{version}')\n"
            "def mine(singular_values):\n"
            "    'A number.'\n"
            f"    return singular_values[0] * {'1 * ' * factor}{factor}\n"  # another size: compiled anew
            "@ww.hookimpl\n"
            "def ww_register_metrics():\n"
            "    return [mine]\n"
        )
        save("net.safetensors", int(version))
        ok(ww_here("--plugin", "mine.py", "analyze", "net.safetensors"))
    text = ok(ww_here("diff", "net@1", "net@2"))
    assert "not comparable: mine: version 1 in net@1, 2 in net@2" in text
    assert "mean mine" in text
    assert "(not comparable: version 1 in net@1, 2 in net@2)" in text
    content = json.loads(ok(ww_here("diff", "net@1", "net@2", "--json")))
    layer = content["layers"][0]
    assert layer["status"] == "changed"
    assert layer["not_comparable"] == {"mine": "version 1 in net@1, 2 in net@2"}
    assert "mine" not in layer["change"]
    assert {"first", "second"} <= layer.keys()
    assert layer["first"]["mine"]
    layers = rows(ok(ww_here("diff", "net@1", "net@2", "--csv", "--scope", "layer")))
    assert "weight_std_first" in layers[0]


def test_runs_and_variants_are_chosen(ww_here, save):
    own = json.loads(ok(ww_here("analyze", save("net.safetensors"), "--json")))
    experiment = json.loads(ok(ww_here("analyze", "net.safetensors", "--param", "power_law.ks=two-sided", "--json")))
    assert "alpha" in rows(ok(ww_here("show", "net", "--csv")))[0]
    by_variant = json.loads(ok(ww_here("show", "net", "--variant", "alpha[ks=two-sided]", "--json")))
    by_run = json.loads(ok(ww_here("show", "net", "--run", experiment["run"]["id"], "--json")))
    assert by_variant == by_run == experiment
    assert json.loads(ok(ww_here("show", "net", "--run", own["run"]["id"], "--json"))) == own
    refused(ww_here("show", "net", "--run", "77"), 3, "run 77 is none of net@1", "there is")
    refused(ww_here("show", "net", "--variant", "slice"), 3, "no run of net@1 shows 'slice'")
    refused(ww_here("show", "--run", "1"), 2, "MODEL")


def test_a_renamed_metric_is_no_changed_code(ww_here, save, tmp_path):
    """Its name and its key are told by the declaration; the code that counts is what they stand for."""
    body = "(singular_values):\n    'A number.'\n    return singular_values[0]\n\n\n"
    hook = "@ww.hookimpl\ndef ww_register_metrics():\n    return [{}]\n"
    begin = "import ww_core as ww\n\n\n"
    first = f"{begin}@ww.metric(version='1')\ndef old{body}" + hook.format("old")
    (tmp_path / "mine.py").write_text(first)
    ok(ww_here("--plugin", "mine.py", "analyze", save("net.safetensors")))
    second = f"{begin}@ww.metric(\n    version='1', better='lower', key='mine:old'\n)\ndef new{body}" + hook.format(
        "new"
    )
    (tmp_path / "mine.py").write_text(second)
    done = ww_here("--plugin", "mine.py", "analyze", "net.safetensors", "--json")
    assert "its code changed" not in done.stderr
    assert {"old", "new"} & json.loads(done.stdout)["layers"][0]["metrics"].keys() == {"new"}
    (tmp_path / "mine.py").write_text(second.replace("singular_values[0]", "singular_values[-1]"))
    assert "its code changed" in ww_here("--plugin", "mine.py", "analyze", "net.safetensors").stderr


def test_one_who_tells_less_is_told_of_the_other(ww_here, save):
    path = save("net.safetensors", rows=24)
    save_file(
        {"c.weight": np.ones((8, 2, 3, 3), np.float32) * np.arange(8, dtype=np.float32)[:, None, None, None]},
        ww_here.store.parent / path,
    )
    ok(ww_here("analyze", path, "--groups", "c=2"))
    done = ww_here("analyze", path)
    assert "net@1 stands on the same weights with other kinds, groups or layers: these are net@2" in done.stderr
