"""What there is, as a person reads it: a line for each thing, and all of one that is named."""

import csv
import io
import json

import pytest

BROKEN = '''
import ww_core as ww

@ww.metric(version="1", caveat="it grows with the width", unit="nats")
def nuclear(singular_values, *, p: float = 1.0):
    """Sum of the singular values\\x1b[31m, whatever they are, at a length that no terminal has room for.

    More of it.
    """
    return singular_values.sum()

@ww.hookimpl
def ww_register_metrics():
    return [nuclear]
'''
LISTINGS = {
    ("metrics",): "alpha",
    ("extractors",): "fft",
    ("profiles",): "fast",
    ("loaders",): "keras",
    ("importers",): "mapped",
    ("zoo", "feature-sets"): "norms",
    ("predictor", "estimators"): "forest",
}


@pytest.fixture
def narrow(ww_here, monkeypatch):
    """Runs ``ww`` as on a terminal of 80 columns, and returns its lines."""

    def run(*arguments, width=80):
        with monkeypatch.context() as patched:
            patched.setattr("ww_core.command.listing.terminal_width", lambda: width)
            done = ww_here(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


@pytest.mark.parametrize("width", [40, 48, 60])
def test_on_a_narrower_terminal_a_line_keeps_its_name_and_some_of_its_text(width, narrow):
    lines = narrow("metrics", width=width)
    (line,) = [line for line in lines if line.startswith("spectral_norm ")]
    assert len(line) <= width
    assert line.split()[-1] not in {"...", "lower"}


@pytest.mark.parametrize("name", ["alpha[ks=two-sided]", "ww.metrics:alpha", "power_law[ks=two-sided]"])
def test_a_name_as_tables_show_it_is_known(name, ww_here):
    done = ww_here("metrics", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert ww_here("extractors", "fft[n=32]").stdout == ww_here("extractors", "fft").stdout


@pytest.mark.parametrize(("command", "name"), LISTINGS.items())
def test_each_thing_has_one_line_that_fits(command, name, narrow, ww_here):
    lines = narrow(*command)
    assert max(map(len, lines)) <= 80
    rows = json.loads(ww_here(*command, "--json").stdout)
    assert [line.split()[0] for line in lines[1 : 1 + len(rows)]] == [next(iter(row.values())) for row in rows]
    assert lines[-1] == f"`ww {' '.join(command)} NAME` shows all about one"
    (row,) = [row for row in rows if next(iter(row.values())) == name]
    (named,) = json.loads(ww_here(*command, name, "--json").stdout)
    assert row.items() <= named.items()  # all that the listing has, and more
    shown = narrow(*command, name)
    assert shown[0] == name
    (cells,) = csv.DictReader(io.StringIO(ww_here(*command, name, "--csv").stdout))
    assert cells.keys() == named.keys()


@pytest.mark.parametrize("command", LISTINGS)
def test_an_unknown_name_is_one_sentence_with_near_names(command, ww_here):
    near = LISTINGS[command]
    done = ww_here(*command, f"{near}x")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"'{near}x': did you mean {near}" in line
    assert line.endswith(f"(ww {' '.join(command)} lists all)")


def test_a_metric_in_full(narrow, ww_here):
    shown = narrow("metrics", "power_law")
    assert any(line.split() == ["parameters", "ks=lower", "(lower|two-sided)"] for line in shown)
    assert {"alpha", "D", "sigma"} <= set(shown)  # a block for each column
    assert sum(line.startswith("  version ") for line in shown) == 1  # what they share is said once
    assert any("Clauset" in line for line in shown)
    assert narrow("metrics", "ww.metrics:power_law") == shown
    asked = [row["column"] for row in json.loads(ww_here("metrics", "sigma", "--json").stdout)]
    assert asked == ["sigma"]
    assert "not stored" in ww_here("metrics", "scaled_spectrum").stderr


def test_a_metric_of_somebody(narrow, ww_here, tmp_path):
    (tmp_path / "own.py").write_text(BROKEN)
    shown = "\n".join(narrow("--plugin", "own.py", "metrics"))
    assert "nuclear                    matrix  none*" in shown
    assert "\x1b" not in shown
    assert "* its mean over layers" in shown
    full = "\n".join(narrow("--plugin", "own.py", "metrics", "nuclear"))
    for part in ("More of it.", "unit        nats", "p=1.0  (float)", "it grows with the width", "own:nuclear"):
        assert part in full
    assert "\x1b" not in full


def test_what_no_terminal_shows_is_never_cut(ww_here):
    rows = json.loads(ww_here("metrics", "--json").stdout)
    lines = ww_here("metrics").stdout.splitlines()
    assert all(line.endswith(row["doc"]) for line, row in zip(lines[1:], rows, strict=False))


def test_a_profile_says_what_it_computes(narrow, ww_here):
    (fast,) = json.loads(ww_here("profiles", "fast", "--json").stdout)
    assert "stable_rank" in fast["columns"]
    assert "alpha" not in fast["columns"]
    (default,) = json.loads(ww_here("profiles", "default", "--json").stdout)
    assert default["every_metric"]
    assert {"alpha", "stable_rank"} <= set(default["columns"])
    assert "smallest_singular_value" not in default["columns"]  # on request
    assert any(line.split() == ["parameters", "power_law.cut=1e-05"] for line in narrow("profiles", "weightwatcher"))


def test_one_plugin(ww_here):
    done = ww_here("plugins", "show", "ww.profiles")
    assert done.stdout.splitlines()[0].startswith("ww.profiles  loaded")
    assert "ww.metrics" not in done.stdout
    assert ww_here("plugins", "show", "ww.profile").returncode == 2


@pytest.mark.parametrize("option", ["--json", "--csv", "--raw"])
@pytest.mark.parametrize("words", [("new", "ww-gini", "--kind", "metric"), ("show", "ww.profiles")], ids=" ".join)
def test_a_format_before_a_command_of_plugins_is_refused(option, words, ww_here):
    done = ww_here("plugins", option, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: {option} before `{words[0]}` is for the list of plugins: give it after `{words[0]}`, or leave it out\n"
    )
    assert not (ww_here.folder / "ww-gini").exists()


def test_what_a_new_plugin_came_to_as_json(ww_here):
    done = ww_here("plugins", "new", "ww-gini", "--kind", "metric", "--json")
    written = json.loads(done.stdout)
    assert list(written) == ["folder", "kind", "registers", "files"]
    assert (written["kind"], written["registers"]) == ("metric", "gini")
    assert all((ww_here.folder / written["folder"] / file).is_file() for file in written["files"])
