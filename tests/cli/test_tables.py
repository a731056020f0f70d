"""Tables of layers: marks beside numbers that are not to be trusted, tables of each scope, --columns and --sort."""

import csv
import io
import json
import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from ww_core.command.choice import Choice
from ww_core.command.table import Marked, Table

NOTE = "* short_tail: this number is not to be trusted"

FLAGS = """
import ww_core as ww


@ww.metric(version="1", doubts="entropy, stable_rank")
def small(n_rows) -> bool:
    return n_rows < 20


@ww.metric(version="1", doubts="stable_rank")
def tiny(n_rows) -> bool:
    return n_rows < 10


@ww.hookimpl
def ww_register_metrics():
    return [small, tiny]
"""


@pytest.fixture
def stored(ww_here, tmp_path):
    """The program, after an analysis of three layers: two of a short tail, and one of none, which is constant."""
    random = np.random.Generator(np.random.Philox(1))
    weights = {
        "long.weight": random.standard_t(2, (300, 200)).astype(np.float32),
        "short.weight": np.diag(np.arange(1.0, 9.0)).astype(np.float32),
        "none.weight": np.ones((12, 6), np.float32),
    }
    save_file(weights, tmp_path / "net.safetensors")
    assert ww_here("analyze", "net.safetensors").returncode == 0
    return ww_here


def ok(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(done, *sentences):
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    for sentence in sentences:
        assert sentence in done.stderr
    assert done.stdout == ""


def names(text):
    """First words of the lines of the first table."""
    lines = text.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("layer "))
    return [line.split()[0] for line in lines[start + 1 :][:3]]


def test_a_number_has_the_mark_of_its_flag_and_data_has_not(stored):
    text = ok(stored("show", "net", "--columns", "alpha"))
    assert re.search(r"^short +[\d.]+\*$", text, re.MULTILINE)
    assert re.search(r"^long +[\d.]+$", text, re.MULTILINE)
    assert text.count(NOTE) == 1
    report = json.loads(ok(stored("show", "net", "--json")))
    assert {own["name"]: own["doubts"] for own in report["columns"]}["short_tail"].startswith("alpha")
    assert all(isinstance(own["metrics"]["alpha"], float | None) for own in report["layers"])
    assert "*" not in ok(stored("show", "net", "--csv"))
    assert NOTE not in ok(stored("show", "net", "--columns", "D"))  # nothing is marked


def test_marks_need_no_plugin_later_and_each_flag_has_its_own(ww_here, tmp_path):
    save_file({"a.weight": np.diag(np.arange(1.0, 9.0)).astype(np.float32)}, tmp_path / "net.safetensors")
    (tmp_path / "flags.py").write_text(FLAGS)
    ok(ww_here("--plugin", "flags.py", "analyze", "net.safetensors"))
    text = ok(ww_here("show", "net", "--columns", "stable_rank,entropy,alpha"))
    assert re.search(r"^a +[\d.]+\+\^ +[\d.]+\+ +[\d.]+\*$", text, re.MULTILINE)
    assert [line.partition(":")[0] for line in text.splitlines() if ": this number" in line] == [
        "+ small",
        "^ tiny",
        "* short_tail",
    ]


def test_a_flag_that_is_no_yes_or_no_is_refused(ww_here, tmp_path):
    (tmp_path / "flags.py").write_text(
        FLAGS.replace("-> bool:\n    return n_rows < 10", "-> float:\n    return n_rows")
    )
    done = ww_here("--plugin", "flags.py", "metrics")
    assert "'tiny' doubts other columns, and is not of type bool" in done.stderr


def test_all_scopes_have_a_table_and_one_can_be_chosen(stored):
    text = ok(stored("show", "net"))
    assert text.index(" alpha ") < text.index(" weight_std ") < text.index("model: log_prod_spectral_norm ")
    assert "weight_std" not in ok(stored("show", "net", "--scope", "matrix"))
    whole = ok(stored("show", "net", "--scope", "model"))
    assert re.search(r"^log_prod_spectral_norm +[\d.]+ +log10", whole, re.MULTILINE)
    assert "alpha" not in whole
    changed = ok(stored("diff", "net", "net.safetensors", "--all", "--metrics", "weight_std"))
    assert re.search(r"^layer +status +weight_std$", changed, re.MULTILINE)


def test_a_scope_shows_nothing_of_which_no_column_is_chosen(stored):
    layers = ok(stored("show", "net", "--columns", "weight_std,weight_mean"))
    assert [line.split() for line in layers.splitlines() if line.startswith("layer ")] == [
        ["layer", "weight_std", "weight_mean"]
    ]
    matrices = ok(stored("show", "net", "--columns", "alpha,n_tail"))
    assert [line.split() for line in matrices.splitlines() if line.startswith("layer ")] == [
        ["layer", "alpha", "n_tail"]
    ]
    model = ok(stored("show", "net", "--columns", "log_prod_spectral_norm"))
    assert not re.search("^layer ", model, re.MULTILINE)
    assert model.splitlines()[2].startswith("model: log_prod_spectral_norm ")


def test_columns_and_sort_choose_from_tables_and_csv(stored):
    assert names(ok(stored("show", "net", "--sort", "alpha")))[-1] == "none"
    assert names(ok(stored("show", "net", "--sort", "-alpha")))[-1] == "none"
    assert names(ok(stored("show", "net", "--sort", "N"))) == ["short", "none", "long"]
    assert names(ok(stored("show", "net", "--sort", "-layer"))) == ["short", "none", "long"]
    for command in (("show", "net"), ("analyze", "net.safetensors")):
        rows = list(csv.DictReader(io.StringIO(ok(stored(*command, "--csv", "--columns", "N,D", "--sort", "-N")))))
        assert [list(row) for row in rows] == [["layer", "N", "D"]] * 3
        assert [row["N"] for row in rows] == ["300", "12", "8"]
    text = ok(stored("show", "net", "--columns", "weight_std,shape"))
    assert [line.split() for line in text.splitlines() if line.startswith("layer ")] == [
        ["layer", "weight_std", "shape"]
    ]
    text = ok(stored("describe", "net.safetensors", "--columns", "dtype", "--sort", "-N"))
    assert names(text) == ["long", "none", "short"]
    assert "eigenvalues" not in text.splitlines()[2]
    assert names(ok(stored("show", "--columns", "digest")).replace("model ", "layer "))[0] == "net"


def test_what_cannot_be_chosen_is_refused(stored):
    for command in (("show", "net"), ("analyze", "net.safetensors"), ("describe", "net.safetensors")):
        for option in ("--columns", "--sort"):
            refused(stored(*command, option, "shpe"), "unknown column 'shpe'", "shape")
            refused(stored(*command, option, "shape", "--json"), "JSON is always whole")
            refused(stored(*command, option, ""), option)
    refused(stored("show", "net", "--columns", "alhpa\x1b[31m"), "alpha", r"\x1b")
    refused(stored("show", "net", "--csv", "--columns", "weight_std"), "of scope layer: choose --scope layer")
    refused(stored("show", "net", "--origin", "--sort", "alpha"), "--origin")


@pytest.mark.parametrize("column", ["log_prod_spectral_norm", "-log_prod_spectral_norm", "digest"])
@pytest.mark.parametrize("options", [(), ("--csv",), ("--scope", "model"), ("--scope", "model", "--csv")], ids=" ".join)
def test_rows_are_not_sorted_by_what_the_model_has_one_of(stored, column, options):
    done = stored("show", "net", "--sort", column, *options)
    name = column.removeprefix("-")
    refused(done, f"--sort: the model has one {name}, which sorts no rows: sort by layer, kind, ", " N, ", " alpha,")


def test_what_chooses_from_an_analysis_needs_a_model(stored):
    refused(stored("show", "--scope", "layer"), "--scope", "name one")
    refused(stored("show", "net", "--sort", "-"), "--sort", "no column")


def test_a_long_list_of_what_is_known_says_how_much_more_there_is(stored):
    done = stored("show", "net", "--sort", "bogus")
    assert re.search(r"known: D, .*, and \d+ more$", done.stderr.strip())


def test_a_flag_named_twice_marks_once(ww_here, tmp_path, stored):
    (tmp_path / "flags.py").write_text(FLAGS.replace("entropy, stable_rank", "entropy,, entropy"))
    text = ok(stored("analyze", "net.safetensors", "--plugin", "flags.py", "--columns", "entropy"))
    assert re.search(r"^short +[\d.]+[*+]$", text, re.MULTILINE)


def test_a_note_names_the_command_that_tells_of_the_flag(stored):
    text = ok(stored("show", "net"))
    assert "`ww metrics short_tail` says why" in text
    told = ok(stored("metrics", "short_tail"))
    assert re.search(r"^  doubts +alpha, alpha_weighted, log_alpha_norm$", told, re.MULTILINE)


def test_a_wrong_column_is_refused_before_the_work(ww_here, tmp_path):
    save_file({"a.weight": np.eye(4, dtype=np.float32)}, tmp_path / "net.safetensors")
    refused(ww_here("analyze", "net.safetensors", "--sort", "alhpa"), "did you mean alpha")
    assert not ww_here.store.exists()


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False), st.integers(), st.text(max_size=3), st.booleans())))
def test_rows_are_sorted_and_those_without_a_value_come_last(values):
    rows = [{"x": value} for value in values]
    up, down = Choice(sort="x").order(rows), Choice(sort="-x").order(rows)
    assert sorted(up) == sorted(down) == list(range(len(values)))
    missing = [at for at, value in enumerate(values) if value is None or value == ""]
    there = len(values) - len(missing)
    assert up[there:] == down[there:] == missing
    numbers = [values[at] for at in up[:there] if not isinstance(values[at], str)]
    assert numbers == sorted(numbers)
    assert [values[at] for at in up[:there]] == [values[at] for at in down[:there]][::-1]


def test_digits_stand_under_digits_where_some_have_marks():
    table = Table.of([{"x": Marked(8.0, "*")}, {"x": 12.5}, {"x": None}, {"x": Marked(1.25, "*+")}])
    assert list(table.lines()) == ["     x", "   8*", "12.5", "", "1.25*+"]


def test_a_scope_without_any_of_the_chosen_columns_has_no_table(ww_here, weights):
    save_file(weights, ww_here.folder / "net.safetensors")
    done = ww_here("analyze", "net.safetensors", "--columns", "alpha,layer", "--sort", "-alpha")
    assert [line.split() for line in done.stdout.splitlines()].count(["layer", "alpha"]) == 1
    assert "weight_mean" not in done.stdout
    of_layers = ww_here("show", "net", "--columns", "weight_mean").stdout
    assert "weight_mean" in of_layers
    assert "alpha_weighted" not in of_layers.partition("mean:")[0]
    assert "conv" in ww_here("show", "net", "--columns", "kind,shape").stdout


@pytest.mark.parametrize("width", [30, 60, 120])
def test_a_table_on_a_terminal_folds_texts_and_keeps_numbers(width, capsys):
    text = "a name of many words and/one.long.word.without.any.blank.in.it [red]x[/red] \u4e2d\u6587\u4e2d\u6587"
    rows = [{"text": text, "x": Marked(8.5, "*"), "n": 1}, {"text": "short", "x": None, "n": 123456}]
    Table.of(rows).print_fitted(width)
    lines = capsys.readouterr().out.splitlines()
    room = 2 + len("8.5*") + 2 + len("123456")
    assert [line[-room:] for line in lines if line.endswith(("n", "1", "6"))] == [
        "     x       n",
        "  8.5*       1",
        "        123456",
    ]
    folded = [line[:-room].strip() if len(line) > room else line.strip() for line in lines[1:-1]]
    assert "".join(folded).replace(" ", "") == text.replace(" ", "")


def test_a_table_of_many_rows_takes_little_time_for_each_cell(capsys):
    numbers = {f"metric{at}": at / 7 for at in range(7)}
    table = Table.of([{"layer": f"model.layers.{at}.mlp", "x": Marked(0.5, "*"), **numbers} for at in range(3000)])
    begin = time.process_time()
    table.print_fitted(100)
    assert time.process_time() - begin < 0.5  # it takes 0.1 s, by rich's own table 1.2 s
    assert len(capsys.readouterr().out.splitlines()) == 3001
