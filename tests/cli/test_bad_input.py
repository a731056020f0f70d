"""Bad input on the command line: one sentence that names the thing, the right exit code, nothing lost."""

import json
import os
import sqlite3
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

USAGE, PLACE, LOST = 2, 3, 4


def fails(result, code, *texts):
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    for text in texts:
        assert text in errors[0], errors[0]
    return errors[0]


def test_a_wrong_path(ww_here, tmp_path):
    fails(ww_here("analyze", "nowhere.safetensors"), PLACE, "nowhere.safetensors", "no such file")
    fails(ww_here("analyze", ""), PLACE, "empty")
    fails(ww_here("analyze", "a\0b".replace("\0", "\x01")), PLACE)
    assert fails(ww_here("analyze", "x" * 5000), PLACE, "cannot be looked at: File name too long").count("xxx") < 2000
    fails(ww_here("analyze", "zip://some/model"), PLACE, "download")


def test_an_empty_folder_and_a_folder_of_other_things(ww_here, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    fails(ww_here("analyze", folder), PLACE, str(folder), "empty")
    (folder / "readme.md").write_text("hello")
    fails(ww_here("analyze", folder), PLACE, "readme.md")


def test_a_file_of_no_known_format(ww_here, tmp_path):
    path = tmp_path / "model.xyz"
    path.write_bytes(b"PK\x03\x04 not really")
    fails(ww_here("analyze", path), PLACE, str(path), "safetensors")


def test_a_truncated_file(ww_here, model_file):
    whole = model_file.read_bytes()
    for cut in (0, 4, 8, 40, len(whole) // 2, len(whole) - 1):
        model_file.write_bytes(whole[:cut])
        fails(ww_here("analyze", model_file), PLACE, "net.safetensors")


def test_a_header_that_lies(ww_here, tmp_path):
    header = json.dumps({"w.weight": {"dtype": "F32", "shape": [1000, 1000], "data_offsets": [0, 64]}}).encode()
    path = tmp_path / "lies.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))
    fails(ww_here("analyze", path), PLACE, "lies.safetensors", "w.weight")


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (("--metrics", "alpah"), ("unknown metric 'alpah'", "alpha")),
        (("--layers", "frist"), ("unknown layer 'frist'", "first")),
        (("--profile", "defualt"), ("unknown profile 'defualt'", "default")),
        (("--extractor", "slcie"), ("unknown extractor 'slcie'", "slice")),
        (("--extractor", "slice["), ("slice[", "form")),
        (("--extractor", "slice[n=3]"), ("unknown parameter of slice 'n'", "factor")),
        (("--extractor", "pool[min_M=-1]"), ("min_M is a count", "-1")),
        (("--extractor", "fft[n=-1]"), ("n is a length", "-1")),
        (("--extractor", "fft[n=8,n=9]"), ("'n' twice",)),
        (("--precision", "float16"), ("unknown precision 'float16'", "float32")),
        (("--executor", "thread"), ("unknown executor 'thread'", "threads")),
        (("--loader", "safetensor"), ("unknown loader 'safetensor'", "safetensors")),
        (("--param", "power_law.kz=lower"), ("unknown parameter of power_law 'kz'", "ks")),
        (("--param", "power_law.ks=upper"), ("ks", "lower|two-sided", "'upper'")),
        (("--param", "alpah.ks=lower"), ("unknown metric 'alpah'", "alpha")),
        (("--param", "alpha"), ("--param", "form")),
        (("--param", "alpha=3"), ("'alpha'", "form")),
        (("--param", "warning.over_trained=low"), ("over_trained", "float", "'low'")),
        (("--param", "warning.over_trained=nan"), ("over_trained",)),
        (("--metrics", "stable_rank", "--param", "power_law.ks=lower"), ("no effect",)),
        (("--groups", "first=2"), ("'first'", "only convolutions")),
        (("--groups", "conv=5"), ("'conv'", "16 output channels")),
        (("--groups", "conv=two"), ("'two'",)),
        (("--groups", "nowhere=2"), ("unknown layer 'nowhere'",)),
        (("--name", "a@b"), ("'a@b'",)),
        (("--json", "--csv"), ("--json", "--csv")),
    ],
)
def test_wrong_usage_is_named_with_what_is_near(ww_here, model_file, options, texts):
    fails(ww_here("analyze", model_file, *options), USAGE, *texts)
    assert not ww_here.store.exists()


def test_what_typer_refuses(ww_here, model_file):
    for arguments in (("analyze",), ("analyse", "x"), ("analyze", model_file, "--jobs", "-1"), ("show", "--no-such")):
        result = ww_here(*arguments)
        assert result.returncode == USAGE
        assert "Traceback" not in result.stderr
        assert "Usage" in result.stderr


def test_nothing_that_can_be_analysed_lists_what_was_found(ww_here, tmp_path):
    path = tmp_path / "flat.safetensors"
    save_file({"ids": np.arange(3), "scale.weight": np.ones(4, dtype=np.float32)}, path)
    fails(ww_here("analyze", path), PLACE, "scale 4 (a vector has no spectrum)", "ids 3 (dtype int64")
    save_file({}, path)
    fails(ww_here("analyze", path), PLACE, "no tensor at all")
    assert not ww_here.store.exists()


def test_a_store_that_is_no_database(ww_here, model_file, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("these are my notes, not a database\n" * 100)
    fails(ww_here("analyze", model_file, "--store", text), PLACE, "notes.txt")
    assert text.read_text().startswith("these are my notes")
    stranger = tmp_path / "stranger.sqlite"
    with sqlite3.connect(stranger) as connection:
        connection.execute("CREATE TABLE accounts (id INTEGER)")
    connection.close()
    before = stranger.read_bytes()
    fails(ww_here("analyze", model_file, "--store", stranger), PLACE, "stranger.sqlite")
    assert stranger.read_bytes() == before
    fails(ww_here("analyze", model_file, "--store", tmp_path), PLACE, str(tmp_path))
    fails(ww_here("show", "net", "--store", tmp_path / "none.sqlite"), PLACE, "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()


def test_a_store_made_by_a_newer_program(ww_here, model_file):
    assert ww_here("analyze", model_file).returncode == 0
    connection = sqlite3.connect(ww_here.store)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    for command in (("analyze", model_file), ("show", "net"), ("db", "info"), ("db", "upgrade")):
        fails(ww_here(*command), PLACE, "newer")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place where nobody can write, not even root")
def test_a_place_that_cannot_be_written(ww_here, model_file):
    fails(ww_here("analyze", model_file, "--store", "/proc/ww/store.sqlite"), PLACE, "/proc/ww")
    fails(ww_here("analyze", model_file, "--store", "/proc/store.sqlite"), PLACE, "/proc/store.sqlite")


def test_a_model_that_is_not_stored(ww_here, model_file):
    assert ww_here("analyze", model_file).returncode == 0
    fails(ww_here("show", "nett"), PLACE, "no model 'nett'", "net")
    fails(ww_here("show", "net@7"), PLACE, "no version '7'", "it has 1")
    fails(ww_here("show", "net", "--profile", "other"), PLACE, "never analysed", "default")
    fails(ww_here("diff", "net", "abcdef0123"), PLACE, "abcdef0123")


def test_a_label_in_use(ww_here, model_file, weights):
    assert ww_here("analyze", model_file, "--version", "v1").returncode == 0
    save_file(weights | {"first.weight": weights["first.weight"] + np.float32(1)}, model_file)
    fails(ww_here("analyze", model_file, "--version", "v1"), USAGE, "net@v1", "--move-label")
    assert ww_here("analyze", model_file, "--version", "v1", "--move-label").returncode == 0


def test_what_is_lost_to_an_exception_is_reported_and_the_rest_is_stored(ww_here, model_file, tmp_path):
    (tmp_path / "fragile.py").write_text(
        textwrap.dedent("""
            import ww_core as ww

            @ww.metric(version="1")
            def fragile(singular_values, n_rows):
                "Breaks on convolutions."
                if n_rows == 16:
                    raise ZeroDivisionError("too thin")
                return 1.0

            @ww.metric(version="1")
            def after(fragile):
                "Needs the fragile one."
                return fragile

            @ww.hookimpl
            def ww_register_metrics():
                return [fragile, after]
        """)
    )
    plugin = ("--plugin", tmp_path / "fragile.py")
    result = ww_here(*plugin, "analyze", model_file, "--json")
    fails(result, LOST, "failed with exceptions")
    assert "failed: conv pool 0 (metric, fragile): fragile: ZeroDivisionError: too thin (fragile.py:8)" in result.stderr
    report = json.loads(result.stdout)
    rows = {row["name"]: row for row in report["layers"]}
    assert rows["conv"]["metrics"]["fragile"] is None
    assert rows["conv"]["states"]["after"].startswith("failed")
    assert rows["conv"]["metrics"]["alpha"] > 0
    assert rows["first"]["metrics"]["fragile"] == 1.0
    assert len(report["failures"]) == 1
    # An exception is not a result: it is tried again.
    again = json.loads(ww_here(*plugin, "analyze", model_file, "--json").stdout)
    assert (again["run"]["computed"], len(again["failures"])) == (0, 1)


def test_a_layer_with_nan_is_refused_and_the_others_are_there(ww_here, weights, tmp_path):
    weights["second.weight"][3, 3] = np.nan
    path = tmp_path / "nan.safetensors"
    save_file(weights, path)
    result = ww_here("analyze", path, "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    rows = {row["name"]: row for row in report["layers"]}
    assert rows["second"]["metrics"]["alpha"] is None
    assert "1 of 600 weights are NaN or infinite" in rows["second"]["states"]["alpha"]
    assert rows["first"]["metrics"]["alpha"] > 0
    assert report["coverage"]["layers"]["analyzed"] == 2


def test_an_empty_choice_does_not_mean_everything(ww_here, model_file):
    for option in ("--layers", "--metrics", "--extractor"):
        fails(ww_here("analyze", model_file, option, ""), USAGE, f"{option} is empty")


def test_odd_stores(ww_here, model_file):
    fails(ww_here("show", "--store", "~nobody-of-this-name/x.sqlite"), PLACE, "~nobody-of-this-name")
    assert ww_here("analyze", model_file).returncode == 0
    connection = sqlite3.connect(ww_here.store)
    connection.execute("DROP VIEW v_summaries")
    connection.execute("DROP TABLE summary")
    connection.commit()
    connection.close()
    fails(ww_here("analyze", model_file), PLACE, "damaged", "summary")


def test_output_that_cannot_be_written(ww_here, model_file):
    assert ww_here("analyze", model_file).returncode == 0
    command = f"{sys.executable} -m ww_core show net"
    variables = {"WW_STORE": str(ww_here.store), "PATH": os.environ["PATH"]}
    for redirection, code in ((">/dev/full", 3), (">&-", 0), ("| head -1", 0)):
        script = f"set -o pipefail; {command} {redirection}"
        result = subprocess.run(["bash", "-c", script], env=variables, capture_output=True, text=True, check=False)
        assert (result.returncode, "Traceback" in result.stderr) == (code, False), (redirection, result.stderr)


@pytest.mark.parametrize("arguments", ["--version", "show --help", "zoo show --help"])
def test_texts_of_typer_that_cannot_be_written(arguments):
    for redirection, code in ((">/dev/full", 3), (">&-", 0), ("| true", 0)):
        script = f"set -o pipefail; {sys.executable} -m ww_core {arguments} {redirection}"
        result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        assert (result.returncode, len(result.stderr.splitlines())) == (code, code == 3), (redirection, result.stderr)


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "2> >(true)"])
def test_messages_that_cannot_be_written_change_no_exit_code(ww_here, redirection):
    for command, code in (("show nope", 3), ("leaderboard", 2)):
        script = f"{sys.executable} -m ww_core {command} {redirection}"
        result = subprocess.run(["bash", "-c", script], cwd=ww_here.folder, check=False)
        assert result.returncode == code


def test_names_a_terminal_cannot_show(ww_here, tmp_path):
    path = tmp_path / "größe.safetensors"
    save_file({"schön.weight": np.eye(8, 6, dtype=np.float32) + 1}, path)
    for options in ((), ("--json",), ("--csv",)):
        result = ww_here("analyze", path, *options, environ={"PYTHONIOENCODING": "ascii"})
        assert result.returncode == 0, result.stderr
    assert (
        json.loads(ww_here("analyze", path, "--json", environ={"PYTHONIOENCODING": "ascii"}).stdout)["model"] == "größe"
    )


def test_what_a_plugin_prints_is_no_data(ww_here, model_file, tmp_path):
    (tmp_path / "chatty.py").write_text(
        "import ww_core as ww\n"
        "print('hello from import')\n"
        '@ww.metric(version="1")\n'
        "def chatty(singular_values):\n"
        "    'One.'\n"
        "    print('hello from a metric')\n"
        "    return 1.0\n"
        "@ww.hookimpl\n"
        "def ww_register_metrics():\n"
        "    return [chatty]\n"
    )
    result = ww_here("--plugin", tmp_path / "chatty.py", "analyze", model_file, "--json")
    assert json.loads(result.stdout)["layers"][0]["metrics"]["chatty"] == 1.0
    assert "hello from a metric" in result.stderr


def test_output_into_a_closed_pipe(ww_here, model_file):
    command = [sys.executable, "-m", "ww_core", "metrics"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("value", ["up", "Value error, up", "up."])
def test_a_value_that_is_none_of_a_choice_is_one_sentence(ww_here, value):
    done = ww_here("scores", "add", "net", "a", "1", "--source", "x", "--direction", value)
    assert done.returncode == USAGE
    sentence = f"Error: Invalid value for '--direction': {value!r} is not one of 'lower', 'higher', 'none'"
    assert done.stderr.splitlines()[-1] == sentence
