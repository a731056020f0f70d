"""The commands, as a user runs them: good input."""

import csv
import io
import json
import re

import numpy as np
import pytest
from safetensors.numpy import save_file


def ok(result):
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout


def test_analyze_prints_the_table_and_the_name_of_its_source(ww_here, model_file):
    text = ok(ww_here("analyze", model_file))
    assert str(model_file) in text
    assert "net@1" in text
    assert re.search(r"^first +dense +40x30 +matrix +40 +30 ", text, re.MULTILINE)
    assert "3 computed, 0 reused" in text
    assert "a vector has no spectrum" in text
    assert "steps" in text
    assert "\x1b" not in text


def test_analyze_json_is_one_object_of_the_documented_form(ww_here, model_file):
    report = json.loads(ok(ww_here("analyze", model_file, "--json", "--name", "net", "--version", "v3")))
    assert (report["model"], report["version"], report["source"]) == ("net", "v3", str(model_file))
    assert report["run"].keys() == {"id", "profile", "state", "computed", "reused", "seconds", "control"}
    assert report["coverage"]["layers"] == {
        "analyzed": 3,
        "statistics_only": 1,
        "skipped": 0,
        "failed": 0,
        "unread": 0,
    }
    assert {"name": "steps", "reason": "dtype int64 is not floating point"} in report["coverage"]["skipped"]
    first = next(row for row in report["layers"] if row["name"] == "first")
    assert (first["kind"], first["shape"], first["extractor"], first["index"]) == ("dense", [40, 30], "matrix", 0)
    assert (first["N"], first["M"], first["Q"]) == (40, 30, 40 / 30)
    assert isinstance(first["metrics"]["alpha"], float)
    assert isinstance(first["metrics"]["n_tail"], int)
    assert isinstance(first["metrics"]["short_tail"], bool)
    assert isinstance(first["metrics"]["warning"], str)
    conv = next(row for row in report["layer_metrics"] if row["name"] == "conv")
    assert conv["metrics"]["bias_mean"] is None
    assert conv["states"]["bias_mean"] == "not_applicable: the layer has no bias"
    assert report["model_metrics"]["log_prod_spectral_norm"] == pytest.approx(
        sum(row["metrics"]["log_spectral_norm"] for row in report["layers"])
    )
    assert report["summary"]["alpha"]["count"] == 3
    assert report["failures"] == []


def test_analyze_csv_has_a_row_per_matrix(ww_here, model_file):
    rows = list(csv.DictReader(io.StringIO(ok(ww_here("analyze", model_file, "--csv", "--extractor", "slice")))))
    assert [row["layer"] for row in rows].count("conv") == 9
    assert float(rows[0]["frobenius_norm"]) > 0


def test_show_says_the_same_as_analyze(ww_here, model_file):
    analyzed = json.loads(ok(ww_here("analyze", model_file, "--json")))
    shown = json.loads(ok(ww_here("show", "net", "--json")))
    by_digest = json.loads(ok(ww_here("show", analyzed["digest"][:10], "--json")))
    assert analyzed == shown == by_digest


def test_show_lists_every_version(ww_here, model_file, weights):
    ok(ww_here("analyze", model_file, "--series", "nets"))
    save_file(weights | {"first.weight": weights["first.weight"] * np.float32(2)}, model_file)
    ok(ww_here("analyze", model_file, "--version", "double"))
    rows = json.loads(ok(ww_here("show", "--json")))
    assert [(row["model"], row["version"], row["series"]) for row in rows] == [
        ("net", "1", ["nets"]),
        ("net", "double", ["nets"]),
    ]
    assert json.loads(ok(ww_here("show", "net", "--json")))["version"] == "double"
    assert json.loads(ok(ww_here("show", "net@1", "--json")))["version"] == "1"


def test_diff_finds_what_changed(ww_here, model_file, weights):
    ok(ww_here("analyze", model_file))
    weights["first.weight"] = weights["first.weight"] * np.float32(2)
    del weights["second.weight"]
    weights["third.weight"] = weights["conv.weight"][:, :, 0, 0].copy()
    save_file(weights, model_file)
    ok(ww_here("analyze", model_file))
    difference = json.loads(ok(ww_here("diff", "net@1", "net@2", "--json")))
    assert difference["counts"] == {"same": 2, "changed": 1, "added": 1, "removed": 1}
    first = next(change for change in difference["layers"] if change["name"] == "first")
    assert first["change"]["log_norm"] == pytest.approx(2 * np.log10(2))
    text = ok(ww_here("diff", "net@1", "net@2"))
    assert "net@1 → net@2" in text
    assert not re.search(r"^conv ", text, re.MULTILINE)
    assert re.search(r"^conv ", ok(ww_here("diff", "net@1", "net@2", "--all")), re.MULTILINE)
    rows = list(csv.DictReader(io.StringIO(ok(ww_here("diff", "net@1", "net@2", "--csv")))))
    assert {row["layer"] for row in rows} == {"first", "second", "third"}


def test_diff_shows_every_column_of_both(ww_here, model_file, weights):
    ok(ww_here("analyze", model_file, "--metrics", "alpha"))
    save_file(weights | {"first.weight": weights["first.weight"] * np.float32(2)}, model_file)
    ok(ww_here("analyze", model_file, "--metrics", "stable_rank"))
    for pair in (("net@1", "net@2"), ("net@2", "net@1")):
        header = ok(ww_here("diff", *pair, "--csv", "--all")).splitlines()[0].split(",")
        assert {f"{name}_{side}" for name in ("alpha", "stable_rank") for side in ("first", "second")} <= set(header)
        assert "stable_rank" in ok(ww_here("diff", *pair))


def test_each_table_of_a_difference_has_columns_of_its_scope(ww_here, model_file, weights, tmp_path):
    (tmp_path / "whole.py").write_text(
        "import ww_core as ww\n"
        "@ww.metric(version='1', scope='layer')\n"
        "def axes(weight):\n    return weight.ndim\n"
        "@ww.metric(version='1', scope='model')\n"
        "def depth(layers):\n    return len(layers)\n"
        "@ww.metric(version='1')\n"
        "def nuclear(singular_values):\n    return singular_values.sum()\n"
        "@ww.hookimpl\n"
        "def ww_register_metrics():\n    return [axes, depth, nuclear]\n"
    )
    program = ("--plugin", tmp_path / "whole.py")
    ok(ww_here(*program, "analyze", model_file))
    save_file(weights | {"first.weight": weights["first.weight"] * np.float32(2)}, model_file)
    ok(ww_here(*program, "analyze", model_file))
    text = ok(ww_here("diff", "net@1", "net@2"))
    matrices, wholes = (line.split() for line in text.splitlines() if line.startswith("layer "))
    assert "nuclear" in matrices
    assert "axes" not in matrices
    assert wholes == ["layer", "status", "axes"]
    assert "depth" not in matrices


def test_describe_computes_nothing(ww_here, model_file):
    text = ok(ww_here("describe", model_file, "--extractor", "pool,slice,stack"))
    assert re.search(r"^conv +conv2d +float32 +16x8x3x3 +1 +slice +9 +1 +16 +8 +8", text, re.MULTILINE)
    assert not ww_here.store.exists()
    description = json.loads(ok(ww_here("describe", model_file, "--json")))
    assert [layer["name"] for layer in description["layers"]] == ["conv", "first", "norm", "second"]


def test_layers_metrics_and_parameters_are_chosen(ww_here, model_file):
    report = json.loads(
        ok(
            ww_here(
                "analyze", model_file, "--layers", "f*,conv", "--metrics", "alpha,warning", "--json",
                "--param", "warning.under_trained=1", "--param", "power_law.ks=two-sided",
            )
        )
    )  # fmt: skip
    assert [row["name"] for row in report["layers"]] == ["conv", "first"]
    labels = list(report["layers"][0]["metrics"])
    assert labels == ["alpha[ks=two-sided]", "warning[under_trained=1.0,power_law.ks=two-sided]"]
    assert report["coverage"]["layers"]["skipped"] == 2


def test_groups_come_from_the_user(ww_here, tmp_path):
    path = tmp_path / "depthwise.safetensors"
    random = np.random.Generator(np.random.Philox(2))
    save_file({"dw.weight": random.standard_normal((12, 1, 3, 3)).astype(np.float32)}, path)
    plain = json.loads(ok(ww_here("describe", path, "--extractor", "stack", "--json")))
    grouped = json.loads(ok(ww_here("describe", path, "--extractor", "stack", "--groups", "dw=12", "--json")))
    assert plain["layers"][0]["matrices"][0]["entries"] == 1
    assert grouped["layers"][0]["matrices"][0]["entries"] == 12
    ok(ww_here("analyze", path, "--groups", "dw=12"))


def test_listings(ww_here):
    metrics = json.loads(ok(ww_here("metrics", "--json")))
    alpha = next(row for row in metrics if row["column"] == "alpha")
    assert alpha["metric"] == "ww.metrics:power_law"
    assert alpha["parameters"]["ks"] == "lower"
    assert {row["extractor"] for row in json.loads(ok(ww_here("extractors", "--json")))} == {
        "matrix", "pool", "slice", "stack", "fft",
    }  # fmt: skip
    assert {row["loader"] for row in json.loads(ok(ww_here("loaders", "--json")))} == {
        "safetensors", "pytorch", "keras", "onnx", "tflite", "tensorflow", "npz",
        "torch-module", "keras-model", "arrays", "zoo",
    }  # fmt: skip
    plugins = json.loads(ok(ww_here("plugins", "--json")))
    assert {row["name"] for row in plugins} >= {"ww.loaders", "ww.metrics"}
    assert all(row["state"] == "loaded" for row in plugins)
    for command in ("metrics", "extractors", "loaders", "plugins"):
        assert ok(ww_here(command)).strip()


def test_db_info_and_upgrade(ww_here, model_file):
    ok(ww_here("analyze", model_file))
    info = json.loads(ok(ww_here("db", "info", "--json")))
    assert info["model"] == 1
    assert info["spectrum"] == 3
    assert info["location"] == str(ww_here.store)
    assert "up to date" in ok(ww_here("db", "upgrade"))


def test_the_store_option_and_the_default(ww_here, model_file, tmp_path):
    ok(ww_here("analyze", model_file, "--store", tmp_path / "other.sqlite"))
    assert (tmp_path / "other.sqlite").exists()
    assert not ww_here.store.exists()
    home = tmp_path / "home"
    home.mkdir()
    ok(ww_here("analyze", model_file, store=False, environ={"HOME": str(home), "XDG_DATA_HOME": ""}))
    assert list(home.rglob("ww.sqlite"))


def test_the_cause_of_a_broken_file_is_told_uncut(ww_here, tmp_path, model_file):
    long_cause = "very " * 60 + "long"
    (tmp_path / "bad.py").write_text(f"raise RuntimeError({long_cause!r})\n")
    for command in (("plugins",), ("analyze", model_file), ("--strict-plugins", "analyze", model_file)):
        result = ww_here("--plugin", tmp_path / "bad.py", *command)
        assert result.returncode == 2
        assert f"RuntimeError: {long_cause} (bad.py:1)\n" in result.stderr


def test_processes_give_the_numbers_of_threads(ww_here, model_file, tmp_path):
    (tmp_path / "extra.py").write_text(
        "import ww_core as ww\n"
        '@ww.metric(version="1")\n'
        "def trace_norm(singular_values):\n"
        '    "Sum of the singular values."\n'
        "    return singular_values.sum()\n"
        "@ww.hookimpl\n"
        "def ww_register_metrics():\n"
        "    return [trace_norm]\n"
    )
    plugin = ("--plugin", tmp_path / "extra.py")
    threads = json.loads(ok(ww_here(*plugin, "analyze", model_file, "--json", "--store", "a.sqlite")))
    processes = json.loads(
        ok(ww_here(*plugin, "analyze", model_file, "--json", "--store", "b.sqlite", "--executor", "processes"))
    )
    assert processes["layers"] == threads["layers"]
    assert processes["layers"][0]["metrics"]["trace_norm"] > 0


def test_help_and_version(ww_here):
    assert "analyze" in ok(ww_here("--help"))
    assert ok(ww_here("--version")).startswith("ww ")
    for command in ("analyze", "describe", "show", "diff", "metrics", "extractors", "loaders", "plugins", "db"):
        assert "Usage" in ok(ww_here(command, "--help"))


def test_names_from_a_file_cannot_steer_the_terminal(ww_here, tmp_path):
    path = tmp_path / "[bold]evil.safetensors"
    save_file({"[red]layer[/red].weight": np.eye(8, 6, dtype=np.float32) + 1}, path)
    text = ok(ww_here("analyze", path))
    assert "[red]layer[/red]" in text


def test_a_device_on_the_command_line(ww_here, model_file):
    pytest.importorskip("torch")
    result = ww_here("analyze", model_file, "--device", "gpu9")
    assert result.returncode == 2
    assert "unknown device 'gpu9'" in result.stderr
    assert result.stderr.count("\n") == 1
    assert ww_here("analyze", model_file, "--device", "torch").returncode == 0
