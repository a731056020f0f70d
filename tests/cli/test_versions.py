"""Questions about the versions of a model, as a user asks them: good, wrong and hostile input."""

import contextlib
import csv
import io
import json
import math
import os
import pickle
import re
import shutil
import sqlite3
import tempfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import ww_core as ww

USAGE, PLACE = 2, 3

ODD = "[red]$x_1$"
ODD_LAYERS = ("größe$\\frac{$", "[b]bold[/b]")

CHANGED_AT = "v8"
"""The version of ``net`` from which on the layer ``c`` is ten times as large."""

COMMANDS = (("history", "net"), ("regressions", "net"), ("blame", "net", "c"), ("diff", "net@v1", "net@v2"))


def ok(result):
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout


def fails(result, code, *texts):
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    for text in texts:
        assert text in errors[0], errors[0]
    return result.stdout


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def plain(content):
    """What it is after a way through JSON."""
    return json.loads(json.dumps(content, allow_nan=False))


def in_csv(value):
    return "" if value is None else str(value)


def layers_of(rng, scale=1.0):
    weights = {f"{name}.weight": rng.standard_normal((40, 30)).astype(np.float32) for name in "abcd"}
    weights["c.weight"] *= np.float32(scale)
    return weights | {"small.weight": rng.standard_normal((6, 5)).astype(np.float32)}


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store of three models: 12 versions, one version, and names that nobody should give."""
    path = tmp_path_factory.mktemp("filled") / "store.sqlite"
    rng = np.random.default_rng(0)
    with ww.open_store(path) as store:
        given = {"store": store, "registry": ww.load_plugins(objects=[])}
        for number in range(1, 13):
            weights = layers_of(rng, 10.0 if number >= int(CHANGED_AT[1:]) else 1.0)
            ww.analyze(weights, name="net", version=f"v{number}", **given)
        ww.analyze(weights, name="one", version="only", **given)
        odd = {f"{ODD_LAYERS[0]}.weight": weights["a.weight"], f"{ODD_LAYERS[1]}.weight": weights["b.weight"]}
        for version, scale in (("ü[1]", 1), ("2", 2), ("3", 4)):
            first = {f"{ODD_LAYERS[0]}.weight": odd[f"{ODD_LAYERS[0]}.weight"] * np.float32(scale)}
            profile = "weightwatcher" if version == "3" else "default"  # has no analysis under the profile default
            ww.analyze(odd | first, name=ODD, version=version, profile=profile, **given)
    return path


@pytest.fixture
def here(ww_here, filled):
    """The program in this process, beside a copy of that store."""
    shutil.copyfile(filled, ww_here.store)
    return ww_here


@pytest.fixture
def program(ww_program, filled):
    """The program in a process of its own, beside a copy of that store."""
    shutil.copyfile(filled, ww_program.store)
    return ww_program


# --- good questions ---------------------------------------------------------------------------------------------------


def test_history_says_the_same_in_every_form(here, filled):
    history = ww.history("net", store=filled, metrics=["alpha", "spectral_norm"], layers=["a", "c"])
    asked = ("history", "net", "--metrics", "alpha,spectral_norm", "--layers", "a,c")
    assert json.loads(ok(here(*asked, "--json"))) == plain(history.to_dict())
    rows = history.rows()
    assert rows_of(ok(here(*asked, "--csv"))) == [{key: in_csv(value) for key, value in row.items()} for row in rows]
    text = ok(here(*asked, "--metrics", "spectral_norm"))
    assert text.startswith("net  12 versions  profile default\n")
    means = ww.history("net", store=filled, metrics=["alpha"], layers=["a", "c"]).tracks["alpha"].means
    for at, mean in enumerate(means, 1):
        assert re.search(rf"^v{at} +{mean:.4g}\b", text, re.MULTILINE), text


def test_a_line_of_blocks_rises_with_the_mean(here):
    text = ok(here("history", "net", "--metrics", "spectral_norm"))
    (line,) = [line for line in text.splitlines() if line.startswith("mean spectral_norm: ")]
    blocks = line.split()[2]
    assert len(blocks) == 12
    assert set(blocks[:7]) == {"▁"}
    assert set(blocks[7:]) <= {"▇", "█"}
    assert "worse" in line
    assert re.search(rf"^{CHANGED_AT} .* c \+99\.\d+$", text, re.MULTILINE), text
    assert re.search(r"^moved most in spectral_norm: c ", text, re.MULTILINE)


def test_a_metric_of_the_model_has_no_layers_that_moved(here):
    text = ok(here("history", "net", "--metrics", "log_prod_spectral_norm"))
    assert "moved most in" not in text
    rows = [line for line in text.splitlines() if re.match(r"v\d+ ", line)]
    assert len(rows) == 12
    assert all(line.endswith(")") for line in rows[1:]), text


def test_a_sign_to_stop_or_to_go_on_comes_with_its_caveat(here):
    caveat = "look at held-out data before you stop a training by it, or go on\n"
    text = ok(here("history", "net", "--metrics", "spectral_norm"))
    assert re.search(r"^spectral_norm stops improving at v\d: ", text, re.MULTILINE)
    assert text.endswith(caveat)
    with ww.open_store(here.store) as store:
        for scale in (4.0, 2.0, 1.0):
            ww.analyze(layers_of(np.random.default_rng(5), scale), store=store, name="shrinks")
    text = ok(here("history", "shrinks", "--metrics", "log_norm"))
    assert "\nlog_norm is best at 3, the last version: none before it is as good. " in text
    assert text.endswith(caveat)
    assert "improv" not in ok(here("history", "net", "--metrics", "n_tail"))  # neither direction is better


def test_regressions_say_the_same_in_every_form(here, filled):
    answer = ww.regressions("net", store=filled)
    assert {(own.version, own.layer) for own in answer.regressions} == {(CHANGED_AT, "c")}
    assert json.loads(ok(here("regressions", "net", "--json"))) == plain(answer.to_dict())
    rows = rows_of(ok(here("regressions", "net", "--csv")))
    assert rows == [{key: in_csv(value) for key, value in row.items()} for row in answer.rows()]
    text = ok(here("regressions", "net"))
    assert re.search(rf"^{CHANGED_AT} +v7 +c +matrix +spectral_norm +\S+ → \S+ \(\+\S+ worse\)", text, re.MULTILINE)
    assert re.search(rf"^{CHANGED_AT}: 1 layer \(c\)", text, re.MULTILINE)
    assert "the chance of any false alarm is 0.01" in text


def test_the_first_rows_are_those_of_the_table_whatever_the_form(here):
    text = ok(here("regressions", "net", "--top", "2"))
    table = [line.split() for line in text.splitlines() if line.startswith(f"{CHANGED_AT}  ")]
    shown = [
        ("" if cells[2] == "(summary)" else cells[2], cells[3 if cells[2] == "(summary)" else 4]) for cells in table
    ]
    assert len(shown) == 2
    rows = rows_of(ok(here("regressions", "net", "--top", "2", "--csv")))
    assert [(row["layer"], row["column"]) for row in rows] == shown
    content = json.loads(ok(here("regressions", "net", "--top", "2", "--json")))
    told = [*content["regressions"], *content["summaries"]]
    assert sorted((own["layer"], own["column"]) for own in told) == sorted(shown)


def test_blame_says_the_same_in_every_form(here, filled):
    for name in ("net", "net@v9"):
        answer = ww.blame(name, "c", store=filled, metrics=["alpha", "spectral_norm"])
        asked = ("blame", name, "c", "--metrics", "alpha,spectral_norm")
        assert json.loads(ok(here(*asked, "--json"))) == plain(answer.to_dict())
        rows = rows_of(ok(here(*asked, "--csv")))
        assert rows == [{key: in_csv(value) for key, value in row.items()} for row in answer.rows()]
        text = ok(here(*asked))
        assert text.startswith(f"c of net@{answer.at} got its weights in {answer.version}, after {answer.previous}\n")
        assert re.search(rf"^spectral_norm +matrix +\S+ +{answer.at} +\S+ → \S+ \(", text, re.MULTILINE)


def test_diff_says_the_same_in_every_form(here, filled):
    difference = ww.diff("net@v7", "net@v8", store=filled, metrics=["alpha", "spectral_norm"], sort="spectral_norm")
    asked = ("diff", "net@v7", "net@v8", "--metrics", "alpha,spectral_norm", "--sort", "spectral_norm")
    assert json.loads(ok(here(*asked, "--json"))) == plain(difference.to_dict())
    rows = rows_of(ok(here(*asked, "--csv")))
    assert rows == [{key: in_csv(value) for key, value in row.items()} for row in difference.rows()]
    assert rows[0]["layer"] == "c"
    assert rows[0]["spectral_norm_verdict"] == "worse"
    text = ok(here(*asked))
    assert re.search(r"^c +changed +matrix .* → \S+ \(\+\S+ worse\)", text, re.MULTILINE)


def test_three_names_are_two_comparisons_with_the_first(here):
    content = json.loads(ok(here("diff", "net@v7", "net@v8", "one", "--json")))
    pairs = [(own["first"]["name"], own["second"]["name"]) for own in content["differences"]]
    assert pairs == [("net@v7", "net@v8"), ("net@v7", "one@only")]
    rows = rows_of(ok(here("diff", "net@v7", "net@v8", "one", "--csv", "--top", "1", "--metrics", "alpha")))
    assert [(row["first"], row["second"]) for row in rows] == pairs
    text = ok(here("diff", "net@v7", "net@v8", "one"))
    assert re.findall(r"^net@v7 → (\S+)  profile", text, re.MULTILINE) == ["net@v8", "one@only"]


def test_a_candidate_is_compared_and_labelled_only_on_request(here, tmp_path):
    save_file(layers_of(np.random.default_rng(1), 5.0), tmp_path / "candidate.safetensors")
    content = json.loads(ok(here("diff", "net", "candidate.safetensors", "--json", "--layers", "c")))
    assert content["second"]["name"] == "candidate.safetensors"
    assert {row["model"] for row in json.loads(ok(here("show", "--json")))} == {"net", "one", ODD}
    content = json.loads(ok(here("diff", "net", "candidate.safetensors", "--json", "--record")))
    assert content["second"]["name"] == "candidate@1"
    assert "candidate" in {row["model"] for row in json.loads(ok(here("show", "--json")))}
    assert json.loads(ok(here("diff", "net", "candidate", "--json")))["second"] == content["second"]


def test_one_version_is_no_history_and_no_error(here):
    text = ok(here("history", "one", "--metrics", "alpha"))
    assert text.startswith("one  1 version  profile default\n")
    assert not set(text) & set("▁█→")
    text = ok(here("regressions", "one"))
    assert text.startswith("one  1 version  profile default\n")
    assert "no step is larger than the noise" in text
    assert "so few versions" in text
    empty = here("regressions", "one", "--csv")
    assert (ok(empty), empty.stderr) == ("", "no row: no step is larger than the noise\n")
    text = ok(here("blame", "one", "a"))
    assert text.startswith("a of one@only got its weights in only, the first version that has it\n")


def test_versions_without_an_analysis_are_said(here):
    text = ok(here("history", ODD, "--metrics", "log_norm"))
    assert re.search(r"^3 +3 +not analysed under default$", text, re.MULTILINE), text
    content = json.loads(ok(here("history", ODD, "--metrics", "log_norm", "--json")))
    assert [own["is_analyzed"] for own in content["versions"]] == [True, True, False]
    assert content["versions"][2]["summary"]["log_norm"]["mean"] is None
    sentence = "no value of it is stored under profile default\n"
    assert ok(here("blame", ODD, ODD_LAYERS[0])).endswith(sentence)
    empty = here("blame", ODD, ODD_LAYERS[0], "--csv")
    assert (ok(empty), empty.stderr) == ("", f"no row: {sentence}")
    ok(here("regressions", ODD))
    for command in ("history", "regressions"):
        fails(here(command, "one", "--profile", "weightwatcher"), PLACE, "no complete analysis of one", "weightwatcher")
    fails(here("blame", "one", "a", "--profile", "weightwatcher"), PLACE, "no complete analysis of one")


# --- names ------------------------------------------------------------------------------------------------------------


def test_names_are_no_markup_and_no_formulas(here):
    text = ok(here("history", ODD, "--metrics", "log_norm", "--plot", "a.svg"))
    assert text.startswith(f"{ODD}  3 versions")
    assert f"moved most in log_norm: {ODD_LAYERS[0]} " in text
    drawn = (here.folder / "a.svg").read_bytes()
    assert drawn.startswith(b"<?xml")
    for layer in ODD_LAYERS:
        assert ok(here("blame", ODD, layer)).startswith(f"{layer} of {ODD}@3 got its weights in ")
    assert ODD_LAYERS[1] in ok(here("diff", "one", ODD, "--metrics", "alpha"))
    ok(here("regressions", ODD, "--any"))


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\nb", "[/red]", "$(id)", "x" * 5000, "\u202ea", "größe", "*"])
def test_a_hostile_name_is_one_sentence(here, name):
    for arguments in (("history", name), ("regressions", name), ("blame", name, "a"), ("diff", "net", name)):
        result = here(*arguments)
        fails(result, PLACE)
        assert not set(result.stderr) & {"\x1b", "\u202e"}
        assert result.stderr.count("\n") == 1
    result = here("blame", "net", name)
    fails(result, USAGE, "unknown layer")
    assert result.stderr.count("\n") == 1


def test_a_terminal_of_ascii(program):
    plain_terminal = {"PYTHONIOENCODING": "ascii"}
    text = ok(program("history", ODD, "--metrics", "log_norm", environ=plain_terminal))
    assert "3.061 -> 3.362" in text
    assert text.isascii()
    assert "\\xfc[1]" in text
    assert " -> " in ok(program("diff", ODD, f"{ODD}@2", environ=plain_terminal)).splitlines()[0]
    assert ok(program("regressions", "net", environ=plain_terminal)).isascii()
    assert ok(program("blame", ODD, ODD_LAYERS[0], "--json", environ=plain_terminal)).isascii()


def test_a_terminal_that_has_arrows_and_no_blocks(monkeypatch):
    from ww_core.cli.history import sparkline
    from ww_core.command import arrow

    assert sparkline([1.0, 2.0, math.nan, 3.0]) == "▁▅ █"
    assert sparkline([2.0, math.nan, 2.0]) == "▁ ▁"
    assert sparkline([-1.7e308, 0.0, 1.7e308]) == "▁▅█"
    assert sparkline([1.0]) == ""
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="shift_jis"))
    assert arrow() == "→"
    assert sparkline([1.0, 2.0]) == ""


# --- wrong questions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "texts"),
    [
        (("history", "nett"), PLACE, ("no model 'nett'", "did you mean net?")),
        (("history", "net@v1"), USAGE, ("net@v1 names one version", "MODEL")),
        (("history", "net@v99"), PLACE, ("no version 'v99'", "v1, v2")),
        (("history", "net", "--metrics", "alhpa"), USAGE, ("unknown column 'alhpa'", "alpha")),
        (("history", "net", "--metrics", "warning"), USAGE, ("'warning' holds texts",)),
        (("history", "net", "--layers", "zz"), USAGE, ("unknown layer 'zz'", "a, b, c")),
        (("history", "net", "--leave-out", "shrt"), USAGE, ("unknown bool column 'shrt'", "short_tail")),
        (("history", "net", "--leave-out", "alpha"), USAGE, ("unknown bool column 'alpha'", "short_tail")),
        (("history", "net", "--profile", "none"), PLACE, ("no complete analysis of net under profile 'none'",)),
        (("history", "net", "--json", "--csv"), USAGE, ("--json", "--csv")),
        (("regressions", "nett"), PLACE, ("no model 'nett'",)),
        (("regressions", "net@v1"), USAGE, ("net@v1 names one version",)),
        (("regressions", "net", "--metrics", "n_tail"), USAGE, ("'n_tail' has no direction", "--any")),
        (("regressions", "net", "--metrics", "warning", "--any"), USAGE, ("'warning' holds texts",)),
        (("regressions", "net", "--metrics", "alhpa"), USAGE, ("unknown column 'alhpa'",)),
        (("regressions", "net", "--layers", "zz"), USAGE, ("unknown layer 'zz'",)),
        (("regressions", "net", "--false-alarms", "0"), USAGE, ("0.0 is no chance", "0.01")),
        (("regressions", "net", "--false-alarms", "nan"), USAGE, ("nan is no chance",)),
        (("regressions", "net", "--profile", "none"), PLACE, ("under profile 'none'",)),
        (("blame", "nett", "a"), PLACE, ("no model 'nett'",)),
        (("blame", "net@v99", "a"), PLACE, ("no version 'v99'",)),
        (("blame", "net", "zz"), USAGE, ("unknown layer 'zz'", "a, b, c", "ww show net")),
        (("blame", "net", "a", "--metrics", "alhpa"), USAGE, ("unknown column 'alhpa'",)),
        (("blame", "net", "a", "--metrics", "warning"), USAGE, ("'warning' holds texts",)),
        (("blame", "net", "a", "--metrics", "log_prod_spectral_norm"), PLACE, ("no number of log_prod",)),
        (("blame", "net", "a", "--profile", "none"), PLACE, ("under profile 'none'",)),
        (("diff", "net", "nett"), PLACE, ("no model 'nett'", "nett: there is no such file or folder")),
        (("diff", "net", "net@v99"), PLACE, ("no version 'v99'",)),
        (("diff", "net", "one", "--metrics", "alhpa"), USAGE, ("unknown column 'alhpa'",)),
        (("diff", "net", "one", "--layers", "zz"), USAGE, ("unknown layer 'zz'",)),
        (("diff", "net", "one", "--sort", "alhpa"), USAGE, ("unknown order 'alhpa'",)),
        (("diff", "net", "one", "--profile", "none"), PLACE, ("never analysed under profile 'none'",)),
    ],
)
def test_a_wrong_question_is_answered_in_one_sentence(here, arguments, code, texts):
    assert fails(here(*arguments), code, *texts) == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_an_empty_text_does_not_count_as_not_given(here, command):
    """It is what an unset variable of the shell makes."""
    options = {"history": ("--metrics", "--layers", "--leave-out", "--profile", "--store", "--plot")}
    options["regressions"] = options["history"][:-1]
    options["blame"] = ("--metrics", "--profile", "--store")
    options["diff"] = ("--metrics", "--layers", "--sort", "--profile", "--store")
    for option in options[command[0]]:
        fails(here(*command, option, ""), USAGE, option)
    for place in range(1, len(command)):
        fails(here(*command[:place], "", *command[place + 1 :]), USAGE, "empty")


def test_what_typer_refuses(here):
    for arguments in (
        ("history",), ("regressions", "net", "--top", "-1"), ("regressions", "net", "--false-alarms", "few"),
        ("blame", "net"), ("diff", "net"), ("diff", "net", "one", "--top", "-1"), ("history", "net", "--no-such"),
    ):  # fmt: skip
        result = here(*arguments)
        assert result.returncode == USAGE
        assert "Traceback" not in result.stderr
        assert "Usage" in result.stderr


# --- pictures ---------------------------------------------------------------------------------------------------------


class TestPlot:
    """``--plot`` draws the picture that its suffix says, or says in one sentence why it cannot."""

    @pytest.mark.parametrize(
        ("name", "start"),
        [("a.png", b"\x89PNG\r\n\x1a\n"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF-"), ("b.PNG", b"\x89PNG\r\n\x1a\n")],
    )
    def test_its_form_is_that_of_its_suffix(self, here, name, start):
        ok(here("history", "net", "--metrics", "alpha", "--plot", name))
        assert (here.folder / name).read_bytes().startswith(start)

    def test_it_names_what_moved_most_and_the_versions(self, filled, monkeypatch):
        from matplotlib.figure import Figure

        from ww_core.cli.history_plot import draw

        seen = {}

        def savefig(figure, file, **_):
            alpha, norm, model = figure.axes[:3]
            seen["panels"] = [axis.get_ylabel() for axis in (alpha, norm, model)]
            seen["legends"] = [[text.get_text() for text in axis.get_legend().get_texts()] for axis in (norm, model)]
            seen["versions"] = [label.get_text() for label in model.get_xticklabels()]
            seen["title"] = figure.get_suptitle()
            (line,) = [line for line in norm.lines if line.get_label() == "mean"]
            seen["errors"] = len(alpha.collections), len(norm.collections)
            seen["means"] = line.get_ydata().tolist()

        monkeypatch.setattr(Figure, "savefig", savefig)
        metrics = ["alpha", "spectral_norm", "log_prod_spectral_norm"]
        history = ww.history("net", store=filled, metrics=metrics)
        draw(history, Path("x.png"))
        assert seen["panels"] == ["alpha", "spectral_norm (weight)", "log_prod_spectral_norm (log10 weight^2)"]
        assert sorted(seen["legends"][0]) == ["a", "b", "c", "d", "mean", "small"]
        assert seen["legends"][1] == ["model"]
        assert seen["versions"] == [f"v{number}" for number in range(1, 13)]
        assert seen["title"] == "net, profile default; bars are standard errors"
        assert seen["errors"] == (5, 0)
        assert seen["means"] == history.tracks["spectral_norm"].means.tolist()

    @pytest.mark.parametrize(
        ("name", "code", "texts"),
        [
            ("a.jpg", USAGE, ("--plot a.jpg", ".png, .svg, .pdf")),
            ("png", USAGE, ("--plot png", ".png, .svg, .pdf")),
            ("nowhere/a.png", PLACE, ("--plot nowhere/a.png", "there is no folder nowhere")),
            ("folder.png", PLACE, ("--plot folder.png cannot be written", "folder")),
            ("x" * 300 + ".png", PLACE, ("cannot be written",)),
        ],
    )
    def test_where_none_can_be_nothing_is_asked(self, here, program, name, code, texts):
        (here.folder / "folder.png").mkdir()
        run = here if code == USAGE else program  # which gives up its stdout
        assert fails(run("history", "net", "--plot", name), code, *texts) == ""

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
    def test_a_full_disk_does_not_cost_the_table(self, program):
        Path(program.folder / "full.png").symlink_to("/dev/full")
        result = program("history", "net", "--metrics", "alpha", "--plot", "full.png")
        assert "net  12 versions" in fails(result, PLACE, "No space left on device")

    def test_there_is_a_picture_of_anything(self, here):
        ok(here("history", "one", "--plot", "one.png"))
        ok(here("history", "net", "--metrics", "log_prod_spectral_norm", "--plot", "model.png"))
        with ww.open_store(here.store) as store:
            weights = {f"{name}.weight": np.full((2, 3), 1 + name, np.float32) for name in range(50)}
            ww.analyze(weights, store=store, name="flat", version="x" * 200)  # not one of them has an alpha
            ww.analyze({name: 2 * weight for name, weight in weights.items()}, store=store, name="flat")
        ok(here("history", "flat", "--plot", "flat.svg"))
        assert b"45 others" in re.sub(rb"<!-- | -->", b"", (here.folder / "flat.svg").read_bytes())

    def test_without_matplotlib(self, program):
        (program.folder / "matplotlib.py").write_text("raise ImportError('blocked')\n")
        result = program("history", "net", "--plot", "a.png")
        fails(result, PLACE, "matplotlib is not installed: pip install 'ww-core[plot]'")
        ok(program("history", "net"))  # nothing else needs it


# --- stores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_a_store_that_is_missing_or_none(here, command):
    fails(here(*command, "--store", "nowhere.sqlite"), PLACE, "no store", "nowhere.sqlite")
    assert not (here.folder / "nowhere.sqlite").exists()
    notes = here.folder / "notes.txt"
    notes.write_text("these are my notes, not a database\n" * 100)
    fails(here(*command, "--store", notes), PLACE, "notes.txt")
    assert notes.read_text().startswith("these are my notes")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_damaged_store(here, command):
    content = here.store.read_bytes()
    for damaged in (content[: len(content) // 3], content[:8192] + bytes(len(content) - 8192)):
        here.store.write_bytes(damaged)
        fails(here(*command), PLACE, "damaged", "restore a copy")
    here.store.write_bytes(content)
    with contextlib.closing(sqlite3.connect(here.store)) as connection:
        connection.execute("ALTER TABLE value RENAME TO lost")
    fails(here(*command), PLACE, str(here.store))


@pytest.fixture
def read_only(filled):
    """The store in a folder in which a guest can write nothing."""
    folder = Path(tempfile.mkdtemp(prefix="ww-shared-"))
    folder.chmod(0o755)
    store = Path(shutil.copyfile(filled, folder / "store.sqlite"))
    save_file(layers_of(np.random.default_rng(1)), folder / "candidate.safetensors")
    store.chmod(0o444)
    folder.chmod(0o555)
    yield store
    folder.chmod(0o755)
    shutil.rmtree(folder)


@contextlib.contextmanager
def guest():
    """Work as a user whom permission bits bind: root gives up its power for a while."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_store_that_can_only_be_read_answers(here, read_only):
    here.folder = read_only.parent
    candidate = ("diff", "net", "candidate.safetensors")
    for command in (*COMMANDS, candidate):  # every module is imported, which a guest might not be allowed
        ok(here(*command, "--store", here.store))
    with guest():
        for command in COMMANDS:
            ok(here(*command, "--store", read_only))
        fails(here(*candidate, "--store", read_only), PLACE, "read-only", str(read_only))


class Evil:
    def __reduce__(self):
        return os.system, ("touch was-run",)


def test_a_candidate_that_would_run_something_is_compared_with_a_warning(here):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(weight) for name, weight in layers_of(np.random.default_rng(1)).items()}
    torch.save(state | {"evil": Evil()}, here.folder / "candidate.pt", pickle_module=pickle)
    result = here("diff", "net", "candidate.pt", "--json")
    content = json.loads(ok(result))
    (warning,) = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert "candidate.pt" in warning
    assert re.search(r"(os|posix)\.system", warning)
    assert any("system" in said for said in content["warnings"])
    assert not (here.folder / "was-run").exists()
    assert content["counts"]["changed"] == 5


def test_numbers_are_whole_and_never_nan(here):
    for command in (*COMMANDS, ("history", ODD), ("diff", "net", ODD)):
        content = ok(here(*command, "--json"))
        json.loads(content, parse_constant=pytest.fail)
        for row in rows_of(ok(here(*command, "--csv"))):
            assert not {value for value in row.values() if value in {"nan", "inf", "-inf"}}
    rows = rows_of(ok(here("history", "net", "--metrics", "alpha", "--csv")))
    assert math.isclose(
        sum(float(row["alpha_change"] or 0) for row in rows) + float(rows[0]["alpha"]), float(rows[-1]["alpha"])
    )
