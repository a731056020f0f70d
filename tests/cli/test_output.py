"""What commands print of names and texts of strangers: nothing moves a cursor or is run, and nothing is lost."""

import csv
import io
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import ww_core as ww

NAMES = ["\x1b]0;owned\x07a", "b\u202egpj.exe", "=cmd|' /C calc'!A0", "\x9b31mc", "d\u2028e\U000e0041", r"f\x1b", "-g"]
ACTS = "\x1b\x07\x9b\u202e\u2028\U000e0041\r"
COMMANDS = [
    ("show", "net"),
    ("show", "net", "--scope", "layer"),
    ("diff", "net@1", "net@2"),
    ("describe", "net.safetensors"),
    ("sql", "SELECT layer, layer AS \"=\x1b[2J\", value FROM v_metrics WHERE column_name = 'stable_rank'"),
    ("history", "net"),
    ("regressions", "net"),
    ("leaderboard", "--metric", "stable_rank"),
    ("scores", "list"),
    ("db", "info"),
    ("spectrum", "net", NAMES[0]),
    ("blame", "net", NAMES[1]),
    ("export", "-o", "-"),
    ("compare-svd", "net.safetensors", "--n", "3"),
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A folder with a model whose layers have names of an attacker, analysed twice."""
    folder = tmp_path_factory.mktemp("hostile")
    random = np.random.default_rng(0)
    for version in ("1", "2"):
        net = {f"{name}.weight": random.standard_normal((8, 6)).astype(np.float32) for name in NAMES}
        net["\x1b\u202econv.weight"] = random.standard_normal((4, 3, 3, 3)).astype(np.float32)
        save_file(net, folder / "net.safetensors")
        ww.analyze(folder / "net.safetensors", store=folder / "s.sqlite", name="net", version=version)
    with ww.open_store(folder / "s.sqlite") as store:
        store.add_scores([ww.Score("net", "top1", data, 0.5, "+me", "1") for data in ("=1+1", "-x", "@y", "'=z")])
    return folder


@pytest.fixture
def run(hostile, ww_here, monkeypatch):
    ww_here.folder, ww_here.store = hostile, hostile / "s.sqlite"
    return ww_here


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:1]))
def test_no_form_lets_a_name_act(run, command):
    for form in ("--csv", "--json", "table"):
        done = run(*command, *([] if form == "table" else [form]))
        assert done.returncode == 0, done.stderr
        assert done.stdout or command[0] == "regressions"
        assert not set(done.stdout + done.stderr) & set(ACTS), form
        if form == "--json":
            json.loads(done.stdout)
        if form == "--csv":
            cells = [cell for row in csv.reader(io.StringIO(done.stdout)) for cell in row]
            assert not any(cell[:1] in set("=@") or cell == "-g" for cell in cells)


@pytest.mark.parametrize("form", ["text", "json", "junit", "github", "markdown"])
def test_no_verdict_lets_a_name_act(run, form):
    done = run("check", "net@2", "--rule", "stable_rank: < 0.1", "--format", form)
    assert done.returncode == 1, done.stderr
    assert "stable_rank" in done.stdout
    assert not set(done.stdout + done.stderr) & set(ACTS)


def test_no_picture_has_a_name_that_acts(run, tmp_path):
    pytest.importorskip("matplotlib")
    assert run("compare-svd", "net.safetensors", "--n", "3", "--plot", tmp_path / "p.svg").returncode == 0
    assert not set((tmp_path / "p.svg").read_text()) & set(ACTS)


def test_json_has_every_name_as_it_is(run):
    told = json.loads(run("show", "net", "--json").stdout)
    assert {row["name"] for row in told["layers"]} == {*NAMES, "\x1b\u202econv"}


def test_raw_csv_has_every_name_as_it_is_and_the_usual_one_can_be_read_back(run):
    from ww_core.domain.csv_text import text_of_cell

    raw, usual = (run("show", "net", "--csv", *more).stdout for more in (["--raw"], []))
    raw_rows, rows = (list(csv.DictReader(io.StringIO(text, newline=""))) for text in (raw, usual))
    assert {row["layer"] for row in raw_rows} == {*NAMES, "\x1b\u202econv"}
    assert [text_of_cell(row["layer"]) for row in rows] == [row["layer"] for row in raw_rows]


@pytest.mark.parametrize("name", NAMES[:5])
def test_a_layer_is_chosen_by_what_is_shown_of_it(run, name):
    shown = next(line for line in run("show", "net").stdout.splitlines() if line.startswith(ascii(name)[1:-1][:4]))
    for given in (name, shown.split("  ")[0]):
        rows = json.loads(run("describe", "net.safetensors", "--layers", given.replace(",", "?"), "--json").stdout)
        assert [row["name"] for row in rows["layers"]] == [name]
        assert json.loads(run("spectrum", "net", given, "--json").stdout)["layer"] == name


def test_a_name_and_its_escape_are_two_layers(ww_here):
    layers = ["x\x1b", r"x\x1b", "x\\\x1b", r"x\\x1b"]
    net = {f"{name}.weight": np.random.default_rng(n).standard_normal((6, 5)) for n, name in enumerate(layers)}
    ww.analyze(net, store=ww_here.store, name="net")
    for form in (["--scope", "matrix"], ["--csv"]):
        shown = ww_here("show", "net", *form).stdout.replace(",", " ")
        told = [line.split()[0] for line in shown.splitlines() if line.startswith("x\\")]
        assert len(set(told)) == len(told) == 4, form
    rows = json.loads(ww_here("show", "net", "--json").stdout)["layers"]
    assert sorted(row["name"] for row in rows) == sorted(layers)


def test_our_own_scores_are_read_back(run, tmp_path):
    (tmp_path / "scores.csv").write_text(run("scores", "list", "--csv").stdout)
    done = run("scores", "import", tmp_path / "scores.csv")
    assert (done.returncode, "4 known already" in done.stdout) == (0, True), done.stderr


def test_a_folder_takes_names_without_loss(run, tmp_path):
    assert run("export", "-o", tmp_path / "moved").returncode == 0
    assert run("import", tmp_path / "moved", "--store", tmp_path / "new.sqlite").returncode == 0
    before, after = (
        json.loads(run("show", "net", "--json", "--store", store).stdout)
        for store in (run.store, tmp_path / "new.sqlite")
    )
    assert before | {"store": ""} == after | {"store": ""}


def test_a_table_of_ours_with_such_layers_is_imported(run, tmp_path):
    (tmp_path / "map.toml").write_text(
        'provider = "me"\nsource = "a paper"\nmodel = "other"\nlayer = "{layer}"\n'
        '[[columns]]\ncolumn = "stable_rank"\ndefinition = "as ww has it"\n'
    )
    (tmp_path / "table.csv").write_text(run("show", "net", "--csv").stdout)
    store = ("--store", tmp_path / "s.sqlite")
    done = run("import", tmp_path / "table.csv", "--mapping", tmp_path / "map.toml", *store)
    assert done.returncode == 0, done.stderr
    told = json.loads(run("sql", "SELECT layer FROM v_reported", "--json", *store).stdout)
    assert {row["layer"] for row in told["rows"]} == {*NAMES, "\x1b\u202econv"}


@pytest.mark.parametrize("arguments", [("show", "net", "--raw"), ("show", "net", "--json", "--raw")])
def test_raw_goes_with_csv(run, arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --raw is for CSV: give --csv too, or leave it out\n"


@pytest.mark.parametrize("target", ["t.json", "t.parquet", "folder/"])
def test_raw_goes_with_an_exported_csv(run, target, tmp_path):
    done = (
        run("export", "-o", tmp_path / target, "--raw") if target != "folder/" else run("export", "-o", target, "--raw")
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "--raw" in done.stderr
    assert run("export", "-o", tmp_path / "t.csv", "--raw").returncode == 0
    assert "\x1b" in (tmp_path / "t.csv").read_text()
    assert "\x1b" not in run("export", "-o", "-").stdout
    assert "\x1b" in run("export", "-o", "-", "--raw").stdout


def test_a_fault_of_ours_shows_no_raw_text(capsys):
    from ww_core.command import run_guarded

    def fails():
        raise RuntimeError("\x1b[2J\u202e")

    assert run_guarded(fails) == 4
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert r"\x1b[2J\u202e" in shown
    assert not set(shown) & set(ACTS)
