"""``ww compare-svd``, as a user runs it: tables, JSON, CSV, pictures; stored models; bad and hostile input."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ww_plugins.commands.compare_svd import compare_svd

USAGE, PLACE, LOST = 2, 3, 4

WRONG_STACK = """
import ww_core as ww
from ww_plugins.extractors import Stack

matrices = Stack.matrices


def wrong(self, weight, layer):
    {body}


Stack.matrices = wrong


@ww.hookimpl
def ww_register_metrics():
    return []
"""
"""A plugin file, which is a program: it breaks an extractor."""


@pytest.fixture
def weights():
    """Convolutions of four forms, and a layer that is none."""
    shapes = {
        "point": (6, 5, 1, 1),
        "square": (8, 6, 3, 3),
        "row": (5, 4, 1, 3),
        "line": (6, 4, 5),
        "dense": (20, 10),
    }
    random = np.random.Generator(np.random.Philox(3))
    return {f"{name}.weight": random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def ok(result):
    assert result.returncode == 0, (result.stdout, result.stderr)
    assert result.stderr == ""
    return result.stdout


def fails(result, code, *texts):
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    for text in texts:
        assert text in error, error
    return result.stdout


def paragraphs(text):
    return [paragraph.splitlines() for paragraph in text.strip("\n").split("\n\n")]


def test_the_tables(ww_here, model_file):
    name, table, identities, disagreements = paragraphs(ok(ww_here("compare-svd", model_file, "--n", 6)))
    assert name == [f"net@1  {model_file}"]
    header = "layer   shape    extractor  matrices  count  alpha  sigma  spectral_norm  stable_rank  seconds  warning"
    assert table[0].split()[:11] == header.split()
    assert [line.split()[:5] for line in table if line.startswith("square ")] == [
        ["square", "8x6x3x3", "slice", "9", "54"],
        ["square", "8x6x3x3", "pool", "1", "54"],
        ["square", "8x6x3x3", "stack", "1", "6"],
        ["square", "8x6x3x3", "fft", "1", "54"],
        ["square", "8x6x3x3", "fft[n=6]", "1", "216"],
    ]
    assert len(table) == 1 + 4 * 5
    assert identities[0] == "what must hold, with P positions of the kernel:"
    assert re.fullmatch(
        r"  frobenius\(stack\) = frobenius\(slice\): holds in 4 layers(, to \de-1\d \(\w+\))?", identities[2]
    )
    # The kernels of one axis and of two have different grids.
    assert any(
        line.startswith("  frobenius(fft) / sqrt(n) = frobenius(slice): holds in 1 layer") for line in identities
    )
    assert any(line.startswith("  frobenius(fft) / n = frobenius(slice): holds in 3 layers") for line in identities)
    assert re.match(
        r"alpha differs by more than the joint sigma in \d+ pairs, the warning in \d+, in ", disagreements[0]
    )
    assert disagreements[2].split() == ["layer", "pool", "slice", "stack", "fft", "fft[n=6]"]


def test_the_table_of_disagreements_is_in_joint_sigmas_beside_pool(ww_here, model_file):
    text = ok(ww_here("compare-svd", model_file, "--layers", "square"))
    shown = paragraphs(text)[-1][-1]
    (layer,) = compare_svd("net", store=ww_here.store).layers
    tails = {result.extractor: result.tail for result in layer.results}
    pool = tails.pop("pool")
    cells = [f"{pool.alpha:.4g}"]
    for tail in tails.values():
        cells.append(f"{(tail.alpha - pool.alpha) / np.hypot(tail.sigma, pool.sigma):+.1f}")
        cells += ["!"] if tail.warning != pool.warning else []
    assert shown.split() == ["square", *cells]
    assert {one.second for one in layer.disagreements} <= {"pool", "stack", "fft", "fft[n=32]"}


def test_json_is_what_python_returns_and_has_all_pairs(ww_here, model_file):
    printed = json.loads(ok(ww_here("compare-svd", model_file, "--n", 6, "--json")))
    assert printed == compare_svd(str(model_file), n=6, store=ww_here.store).to_dict()
    assert printed.keys() == {
        "source", "model", "version", "digest", "extractors", "layers", "failures", "warnings",
    }  # fmt: skip
    square = next(layer for layer in printed["layers"] if layer["name"] == "square")
    assert square.keys() == {"name", "shape", "groups", "views", "missing", "identities", "disagreements"}
    assert square["views"][1].keys() == {
        "extractor", "matrices", "count", "tail", "spectral_norm", "stable_rank", "frobenius_norm", "seconds", "reason",
    }  # fmt: skip
    assert square["views"][1]["tail"].keys() == {"alpha", "sigma", "smallest", "largest", "warning"}
    assert len(square["identities"]) == 10
    assert all(one["holds"] for layer in printed["layers"] for one in layer["identities"])
    for layer in printed["layers"]:
        tails = {view["extractor"]: view["tail"] for view in layer["views"] if view["tail"]}
        names = list(tails)
        expected = {
            (first, second)
            for place, first in enumerate(names)
            for second in names[place + 1 :]
            if abs(tails[first]["alpha"] - tails[second]["alpha"])
            > np.hypot(tails[first]["sigma"], tails[second]["sigma"])
            or tails[first]["warning"] != tails[second]["warning"]
        }
        assert {(one["first"], one["second"]) for one in layer["disagreements"]} == expected


def test_csv_has_a_row_for_each_layer_and_extractor(ww_here, model_file):
    rows = list(csv.DictReader(io.StringIO(ok(ww_here("compare-svd", model_file, "--n", 2, "--csv")))))
    assert len(rows) == 4 * 5
    by_place = {(row["layer"], row["extractor"]): row for row in rows}
    pooled = by_place["square", "pool"]
    assert (pooled["shape"], pooled["matrices"], pooled["count"]) == ("8x6x3x3", "1", "54")
    assert float(pooled["alpha"]) == float(pooled["alpha_min"]) == float(pooled["alpha_max"])
    assert float(pooled["frobenius_norm"]) == pytest.approx(float(by_place["square", "slice"]["frobenius_norm"]))
    missing = by_place["square", "fft[n=2]"]
    assert (missing["alpha"], missing["note"]) == ("", "a kernel of 3x3 does not fit into a grid of n = 2")
    assert float(by_place["point", "fft[n=2]"]["alpha"]) > 1


def test_all_of_it_is_stored_and_the_file_is_needed_once(ww_here, model_file):
    command = ("compare-svd", "--n", 4)
    first = ok(ww_here(*command, model_file, "--version", "v1"))
    again = json.loads(ok(ww_here("show", "net", "--json")))
    assert again["run"]["computed"] > 0
    assert ok(ww_here(*command, model_file)) == first
    again = json.loads(ok(ww_here("show", "net", "--json")))
    assert (again["run"]["computed"], again["version"]) == (0, "v1")
    model_file.unlink()
    assert ok(ww_here(*command, "net@v1")) == first
    shorter = ok(ww_here(*command, "net", "--layers", "square,li*"))
    assert {line.split()[0] for line in paragraphs(shorter)[1][1:]} == {"square", "line"}
    fails(ww_here("compare-svd", "net", "--n", 8), PLACE, "'net' is stored, but was not compared with", "fft[n=8]")
    fails(ww_here(*command, "net", "--layers", "sqare"), USAGE, "unknown layer 'sqare'", "square")


def test_a_model_that_was_analysed_and_not_compared(ww_here, model_file):
    assert ww_here("analyze", model_file).returncode == 0
    fails(ww_here("compare-svd", "net"), PLACE, "not compared with slice, pool, stack, fft, fft[n=32]", "the file")
    fails(ww_here("compare-svd", "nett"), PLACE, "nett: there is no such file or folder", "did you mean net?")


def test_groups_come_from_the_user(ww_here, tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({"dw.weight": np.random.default_rng(0).standard_normal((12, 2, 3, 3))}, path)
    grouped = json.loads(ok(ww_here("compare-svd", path, "--groups", "dw=6", "--n", 4, "--json")))["layers"][0]
    assert grouped["groups"] == 6
    assert [view["matrices"] for view in grouped["views"]] == [54, 1, 1, 1, 1]
    fails(ww_here("compare-svd", path, "--groups", "dw=5"), USAGE, "12 output channels")


@pytest.mark.parametrize(
    ("arguments", "code", "texts"),
    [
        (
            ("nowhere.safetensors",),
            PLACE,
            ("nowhere.safetensors: there is no such file or folder, and there is no store",),
        ),
        (("",), PLACE, ("empty",)),
        (("x" * 5000,), PLACE, ("no such file or folder",)),
        (("a\x01b",), PLACE, ("no such file or folder",)),
        (("hf://some/model",), PLACE, ("download",)),
        (("file:///nowhere",), PLACE, ("no such file",)),
        (("net.safetensors", "--layers", "sqare"), USAGE, ("unknown layer 'sqare'",)),
        (("net.safetensors", "--layers", "dense"), PLACE, ("no convolution; found: dense (dense)",)),
        (("net.safetensors", "--layers", ""), USAGE, ("--layers is empty",)),
        (("net.safetensors", "--json", "--csv"), USAGE, ("--json", "--csv")),
        (("net.safetensors", "--name", "a@b"), USAGE, ("'a@b'",)),
        (("net.safetensors", "--loader", "lost"), USAGE, ("unknown loader 'lost'",)),
        (("net.safetensors", "--groups", "dense=2"), USAGE, ("only convolutions",)),
    ],
)
def test_what_cannot_be_is_one_sentence_and_makes_no_store(ww_here, model_file, arguments, code, texts):
    assert fails(ww_here("compare-svd", *arguments), code, *texts) == ""
    assert not ww_here.store.exists()


@pytest.mark.parametrize("n", ["0", "-1", "2.5", "many"])
def test_a_grid_has_a_whole_length(ww_here, model_file, n):
    result = ww_here("compare-svd", model_file, "--n", n)
    assert result.returncode == USAGE
    assert "--n" in result.stderr
    assert "Traceback" not in result.stderr
    assert not ww_here.store.exists()


def test_a_layer_with_nan_stands_there_with_its_reason(ww_here, weights, tmp_path):
    weights["square.weight"][0, 0, 0, 0] = np.inf
    path = tmp_path / "net.safetensors"
    save_file(weights, path)
    text = ok(ww_here("compare-svd", path, "--n", 6))
    lines = [line for line in text.splitlines() if line.startswith("square ")]
    assert len(lines) == 5
    assert all(line.endswith("weights are NaN or infinite") for line in lines)
    assert "frobenius(pool) = frobenius(slice): holds in 3 layers" in text
    # With nothing to compare, nothing is said of it.
    assert len(paragraphs(ok(ww_here("compare-svd", path, "--n", 6, "--layers", "square")))) == 2


def test_a_kernel_of_zeros_has_norms_and_no_tail(ww_here, tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({"zero.weight": np.zeros((4, 3, 3, 3), dtype=np.float32)}, path)
    text = ok(ww_here("compare-svd", path, "--plot", "zero.png"))
    assert len(paragraphs(text)) == 3  # no exponents, so no disagreements
    assert "9 of 9 have no alpha: no eigenvalue is above the floor" in text
    assert text.count("holds in 1 layer") == 10


def test_an_identity_that_is_broken_ends_with_its_code_and_shows_the_numbers(ww_program, model_file):
    doubled = WRONG_STACK.format(
        body="return [type(one)(one.index, 2 * one.entries) for one in matrices(self, weight, layer)]"
    )
    (ww_program.folder / "wrong.py").write_text(doubled)
    result = ww_program("--plugin", "wrong.py", "compare-svd", model_file, "--n", 6, "--layers", "point,square")
    text = fails(result, LOST, "identities do not hold", "not to be trusted")
    assert "  frobenius(stack) = frobenius(slice): BROKEN in 2 of 2 layers, to 0.5 (" in text
    assert "  frobenius(pool) = frobenius(slice): holds in 2 layers" in text
    assert len(paragraphs(text)) == 4


def test_what_an_exception_costs_is_told_and_the_rest_is_shown(ww_here, ww_program, model_file):
    (ww_program.folder / "wrong.py").write_text(WRONG_STACK.format(body="raise ZeroDivisionError('no such stack')"))
    result = ww_program("--plugin", "wrong.py", "compare-svd", model_file, "--n", 6, "--layers", "square")
    text = fails(result, LOST, "1 of the selected results failed with exceptions (above); the rest is stored")
    assert "failed: square (extract, ww.extractors:stack): ZeroDivisionError: no such stack" in result.stderr
    assert [line.split()[2] for line in text.splitlines() if line.startswith("square  8x6")] == [
        "slice", "pool", "fft", "fft[n=6]", "stack",
    ]  # fmt: skip
    # An exception is not a result: without it, what was lost is made, and the rest is there.
    ok(ww_here("compare-svd", model_file, "--n", 6, "--layers", "square"))
    assert json.loads(ok(ww_here("show", "net", "--json")))["run"]["computed"] == 1


class TestPlot:
    """``--plot`` draws the picture that its suffix says, or says in one sentence why it cannot."""

    @pytest.mark.parametrize(
        ("name", "start"),
        [("a.png", b"\x89PNG\r\n\x1a\n"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF-"), ("b.PNG", b"\x89PNG\r\n\x1a\n")],
    )
    def test_its_form_is_that_of_its_suffix(self, ww_here, model_file, name, start):
        ok(ww_here("compare-svd", model_file, "--n", 6, "--plot", name))
        assert (ww_here.folder / name).read_bytes().startswith(start)

    def test_it_names_layers_extractors_and_panels(self, ww_here, weights, model_file, monkeypatch):
        from matplotlib.figure import Figure

        from ww_plugins.commands.compare_svd.picture import draw

        seen = {}

        def savefig(figure, file, **_):
            alpha, *others = figure.axes
            seen["legend"] = [text.get_text() for text in alpha.get_legend().get_texts()]
            seen["layers"] = [label.get_text() for label in others[-1].get_xticklabels()]
            seen["panels"] = [axis.get_ylabel() for axis in figure.axes]
            seen["title"] = figure.get_suptitle()
            seen["points"] = {
                container.get_label(): len(container.lines[0].get_ydata()) for container in alpha.containers
            }

        monkeypatch.setattr(Figure, "savefig", savefig)
        draw(compare_svd(weights, n=2, name="net", version="v"), Path("x.png"))
        assert seen["legend"] == ["slice", "pool", "stack", "fft", "fft[n=2]"]
        assert seen["layers"] == ["point", "square", "row", "line"]
        assert seen["panels"] == ["alpha, with its standard error", "spectral norm", "stable rank", "seconds"]
        assert seen["title"] == "net@v"
        assert seen["points"] == {"slice": 4, "pool": 4, "stack": 4, "fft": 4, "fft[n=2]": 1}

    def test_names_are_no_formulas_and_leave_room(self, ww_here, tmp_path):
        path = tmp_path / "a$\\sqrt$b.safetensors"
        names = ("$\\frac{$", "a_b^c$x$", "[b]bold[/b]", "漢", "x" * 300, "*")
        random = np.random.default_rng(0)
        save_file({f"{name}.weight": random.standard_normal((4, 3, 3, 3)) for name in names}, path)
        text = ok(ww_here("compare-svd", path, "--n", 3, "--plot", "names.svg"))
        assert "[b]bold[/b]" in text
        assert (ww_here.folder / "names.svg").stat().st_size > 10_000

    @pytest.mark.parametrize(
        "weights",
        [
            {"zero": np.zeros((3, 2, 3, 3))},
            {"nan": np.full((3, 2, 3, 3), np.nan)},
            {"vast": np.full((3, 2, 3, 3), 1e200), "tiny": np.full((3, 2, 3, 3), 1e-200)},
            {f"{place}": np.full((2, 1, 1), 1.0 + place) for place in range(370)},
        ],
        ids=["zero", "nan", "vast", "many"],
    )
    def test_there_is_a_picture_of_anything(self, tmp_path, weights):
        from ww_plugins.commands.compare_svd.picture import draw

        found = compare_svd({f"{name}.weight": weight for name, weight in weights.items()}, n=3)
        draw(found, tmp_path / "a.png")
        width, height = np.frombuffer((tmp_path / "a.png").read_bytes()[16:24], dtype=">u4")
        assert 900 <= width < 15_500  # no wider for 370 layers than for 360
        assert 1400 <= height < 1500

    @pytest.mark.parametrize(
        ("name", "code", "texts"),
        [
            ("a.jpg", USAGE, ("--plot a.jpg", ".png, .svg, .pdf")),
            ("png", USAGE, ("--plot png", ".png, .svg, .pdf")),
            ("", USAGE, (".png, .svg, .pdf",)),
            ("nowhere/a.png", PLACE, ("--plot nowhere/a.png", "there is no folder nowhere")),
            ("folder.png", PLACE, ("--plot folder.png cannot be written", "folder")),
        ],
    )
    def test_where_none_can_be_nothing_is_computed(self, ww_here, ww_program, model_file, name, code, texts):
        (ww_here.folder / "folder.png").mkdir()
        program = ww_here if code == USAGE else ww_program  # which gives up its stdout
        assert fails(program("compare-svd", model_file, "--plot", name), code, *texts) == ""
        assert not program.store.exists()

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place where nobody can write, not even root")
    def test_a_file_that_cannot_be_written(self, ww_program, model_file):
        fails(
            ww_program("compare-svd", model_file, "--n", 6, "--plot", "/proc/a.png"), PLACE, "--plot /proc/a.png cannot"
        )
        Path(ww_program.folder / "full.png").symlink_to("/dev/full")
        result = ww_program("compare-svd", model_file, "--n", 6, "--plot", "full.png")
        fails(result, PLACE, "No space left on device")
        assert "what must hold" in result.stdout  # the table is not lost with the picture

    def test_without_matplotlib(self, ww_program, model_file):
        (ww_program.folder / "matplotlib.py").write_text("raise ImportError('blocked')\n")
        result = ww_program("compare-svd", model_file, "--plot", "a.png")
        fails(result, PLACE, "matplotlib is not installed: pip install 'ww-core[plot]'")
        assert not ww_program.store.exists()
        ok(ww_program("compare-svd", model_file, "--n", 6))  # nothing else needs it


def test_names_from_a_file_cannot_steer_the_terminal(ww_here, tmp_path):
    path = tmp_path / "net.safetensors"
    kernel = np.random.default_rng(0).standard_normal((4, 3, 3, 3))
    save_file({"[red]c*[/red].weight": kernel, "c1.weight": kernel[0, 0]}, path)
    assert "[red]c*[/red]  4x3x3x3  slice" in ok(ww_here("compare-svd", path, "--n", 3))
    save_file({"a\x1b[31m\nb.weight": kernel}, path)
    shown = ww_here("compare-svd", path, "--n", 3, "--name", "other")
    assert r"a\x1b[31m\x0ab  4x3x3x3  slice" in ok(shown)
    assert "\x1b" not in shown.stderr


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place where nobody can write, not even root")
def test_a_store_that_cannot_be_written(ww_here, model_file):
    fails(ww_here("compare-svd", model_file, "--store", "/proc/ww/store.sqlite"), PLACE, "/proc/ww")
    notes = ww_here.folder / "notes.txt"
    notes.write_text("these are my notes, not a database\n" * 100)
    fails(ww_here("compare-svd", model_file, "--store", notes), PLACE, "notes.txt")
    fails(ww_here("compare-svd", "net", "--store", notes), PLACE, "notes.txt")
    assert notes.read_text().startswith("these are my notes")


def test_output_that_nobody_takes(ww_here, model_file):
    variables = {"WW_STORE": str(ww_here.store), "PATH": os.environ["PATH"], "HOME": str(ww_here.folder)}
    for redirection, code in ((">/dev/full", PLACE), (">&-", 0), ("| head -1", 0), ("--plot a.svg | true", 0)):
        command = f"{sys.executable} -m ww_core compare-svd net.safetensors --n 3 --layers point {redirection}"
        result = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"],
            cwd=ww_here.folder,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (result.returncode, "Traceback" in result.stderr) == (code, False), (redirection, result.stderr)
    assert ok(ww_here("compare-svd", "net", "--n", 3))  # it was stored
    assert (ww_here.folder / "a.svg").read_bytes().startswith(b"<?xml")  # it does not go where the tables go


def test_it_is_listed_and_explained(ww_here):
    assert re.search(r"^  compare-svd +Compare slice, pool, stack and fft", ok(ww_here("--help")), re.MULTILINE)
    text = ok(ww_here("compare-svd", "--help"))
    for option in ("--n", "--plot", "--layers", "--groups", "--device", "--json", "--csv", "--store"):
        assert option in text
