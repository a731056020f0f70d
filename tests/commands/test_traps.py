"""``ww traps``, as a user runs it, and its function."""

from __future__ import annotations

import csv
import io
import json
import math
import shlex
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

import ww_core as ww
from ww_core.command import run_app
from ww_core.spectral import fit_marchenko_pastur, permuted
from ww_plugins.commands.traps import command, correlation_traps_of

RANDOM = np.random.default_rng(0)
LEVEL = 0.01


def noise(*shape):
    return RANDOM.standard_normal(shape)


def planted(weights, *values):
    """Weights with a few huge ones, each in a row and a column of its own."""
    changed = weights.copy()
    for place, value in enumerate(values):
        changed[3 + place, 5 + place, *[1] * (weights.ndim - 2)] = value
    return changed


WEIGHTS = {
    "two.weight": planted(noise(120, 100), 100.0, -60.0),
    "conv.weight": planted(noise(16, 12, 3, 3), 30.0),
    "noise.weight": noise(80, 60),
    "small.weight": noise(5, 4),
    "zero.weight": np.zeros((20, 20)),
}
OPTIONS = {"metrics": ["correlation_traps"], "name": "net", "version": "1"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    path = tmp_path_factory.mktemp("traps") / "s.sqlite"
    ww.analyze(WEIGHTS, store=path, **OPTIONS)
    ww.analyze({"noise.weight": noise(60, 50)}, store=path, **OPTIONS | {"name": "clean"})
    ww.analyze({"one.weight": planted(noise(60, 50), 80.0)}, store=path, name="one", metrics=["rand_distance"])
    ww.analyze({"fc.weight": noise(30, 20)}, store=path, name="never")
    ww.analyze({"a b.weight": noise(8, 6, 3, 3)}, store=path, name="fourier", extractors=["slice", "fft[n=4]"])
    return path


@pytest.fixture
def store(place):
    with ww.open_store(place, mode="read") as opened:
        yield opened


@pytest.fixture
def run(place, capsys):
    def run_(*arguments):
        code = run_app(command.app, [*arguments, "--store", str(place)], name="ww traps")
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return code, told.out, told.err

    return run_


def spectrum_again(weights, digest):
    """Eigenvalues of the weights in the order that a digest stands for, by brute force."""
    entries = weights[None] if weights.ndim == 2 else np.moveaxis(weights.reshape(*weights.shape[:2], -1), -1, 0)
    shuffled = permuted(entries, bytes.fromhex(digest))
    return np.sort(np.linalg.svd(shuffled, compute_uv=False).ravel())[::-1] ** 2


def test_planted_traps_are_where_theory_has_them(store):
    found = correlation_traps_of(store, "net")
    places = [(trap.layer, trap.rank, trap.above, trap.permutations) for trap in found.traps]
    assert places == [("two", 1, 5, 5), ("two", 2, 5, 5), ("conv", 1, 5, 5)]
    for trap, planted_value in zip(found.traps[:2], (100.0, 60.0), strict=True):
        # A singular value theta in noise of N x M: (theta^2 + N) (theta^2 + M) / theta^2.
        square = planted_value**2
        expected = (square + 120) * (square + 100) / square
        assert trap.eigenvalue == pytest.approx(expected, rel=0.01)
        assert trap.excess == pytest.approx(expected / (math.sqrt(120) + math.sqrt(100)) ** 2 - 1, rel=0.05)
        assert trap.excess > 20 * trap.excess_se > 0


def test_numbers_are_those_of_permutations_that_are_made_again(store):
    for name in ("two", "conv"):
        weights = WEIGHTS[f"{name}.weight"]
        (matrix,) = store.spectrum("net", name).matrices
        assert [each.number for each in matrix.permutations] == [0, 1, 2, 3, 4]
        assert {each.seed for each in matrix.permutations} == {0}
        assert len({each.digest for each in matrix.permutations}) == 5
        spectra = [spectrum_again(weights, each.digest) for each in matrix.permutations]
        for each, eigenvalues in zip(matrix.permutations, spectra, strict=True):
            assert each.spectrum.eigenvalues == pytest.approx(eigenvalues, abs=1e-9 * eigenvalues[0])
        fits = [fit_marchenko_pastur(own, *weights.shape[:2], level=LEVEL) for own in spectra]
        for trap in (trap for trap in correlation_traps_of(store, "net", [name]).traps):
            values = np.array([own[trap.rank - 1] for own in spectra])
            edges = np.array([fit.lambda_plus for fit in fits])
            excesses = values / edges - 1
            assert trap.eigenvalue == pytest.approx(values.mean(), rel=1e-9)
            assert trap.lambda_plus == pytest.approx(edges.mean(), rel=1e-9)
            assert trap.excess == pytest.approx(excesses.mean(), rel=1e-9)
            assert trap.excess_se == pytest.approx(excesses.std(ddof=1) / math.sqrt(5), rel=1e-6)
            assert trap.margin == pytest.approx(np.mean([fit.threshold / fit.lambda_plus for fit in fits]) - 1)
            assert trap.permutation == excesses.argmax()
            assert trap.digest == matrix.permutations[trap.permutation].digest


def test_rows_are_what_the_metric_counts(store):
    found = correlation_traps_of(store, "net").traps
    for row in store.report("net").layers:
        traps = [trap for trap in found if trap.layer == row.name]
        if row.metrics["num_traps"].is_ok:
            assert sum(trap.above for trap in traps) == pytest.approx(5 * row.metrics["num_traps"].number)
        if traps:
            told = {name: row.metrics[name] for name in ("trap_permutation", "trap_seed", "trap_digest")}
            assert (told["trap_permutation"].number, told["trap_seed"].number) == (traps[0].permutation, traps[0].seed)
            assert told["trap_digest"].text == traps[0].digest


def test_another_level_is_another_count(store):
    strict = correlation_traps_of(store, "net", ["noise"], level=1e-6)
    loose = correlation_traps_of(store, "net", ["noise"], level=0.9)
    assert strict.traps == ()
    assert loose.traps
    assert all(trap.margin < 0.1 for trap in loose.traps)


def test_scale_changes_no_share_and_what_float64_cannot_hold_has_no_number():
    weights = WEIGHTS["two.weight"]
    with ww.open_store() as opened:
        for name, factor in (("plain", 1.0), ("huge", 1e170)):
            ww.analyze({"w.weight": weights * factor}, store=opened, **OPTIONS | {"name": name})
        plain, huge = (correlation_traps_of(opened, name).traps for name in ("plain", "huge"))
    # Another content is permuted otherwise.
    assert [trap.excess for trap in plain] == pytest.approx([trap.excess for trap in huge], rel=0.02)
    assert {(trap.eigenvalue, trap.lambda_plus) for trap in huge} == {(None, None)}


def test_another_seed_is_pinned_by_another_digest(store):
    weights = {"w.weight": WEIGHTS["two.weight"]}
    with ww.open_store() as opened:
        ww.analyze(weights, store=opened, **OPTIONS)
        first = opened.spectrum("net", "w").matrices[0].permutations
        ww.analyze(weights, store=opened, seed=7, **OPTIONS | {"name": "other"})
        other = opened.spectrum("other", "w").matrices[0].permutations
    assert {each.seed for each in other} == {7}
    assert {each.digest for each in first}.isdisjoint(each.digest for each in other)
    # The digest is of the content: a layer of another name has the same.
    assert [each.digest for each in first] == [
        each.digest for each in store.spectrum("net", "two").matrices[0].permutations
    ]


def test_the_table_json_and_csv(run):
    code, table, told = run("net")
    assert code == 0
    lines = table.splitlines()
    assert lines[0] == "net@1  profile default  level 0.01"
    assert lines[3].split()[:4] == ["two", "matrix", "0", "1"]
    assert "5 of 5" in lines[3]
    assert told.splitlines() == [
        "not known for small: of 4 eigenvalues 4 are above the floor: a bulk needs 10",
        "not known for zero: the matrix is zero",
    ]
    rows = json.loads(run("net", "--json")[1])
    assert list(rows[0]) == [
        *("layer", "extractor", "index", "rank", "eigenvalue", "lambda_plus", "excess", "excess_se"),
        *("margin", "above", "permutations", "permutation", "seed", "digest"),
    ]
    cells = list(csv.DictReader(io.StringIO(run("net", "--csv")[1])))
    assert [(row["layer"], row["digest"], float(row["excess"])) for row in cells] == [
        (row["layer"], row["digest"], row["excess"]) for row in rows
    ]


def test_no_trap_is_said_and_no_error(run):
    assert run("clean") == (0, "clean@1  profile default  level 0.01\n\nno trap in 1 matrix\n", "")
    assert run("clean", "--json") == (0, "[]\n", "no trap in 1 matrix\n")
    assert run("clean", "--csv") == (0, "", "no trap in 1 matrix\n")


def test_one_permutation_has_no_error_bar(run):
    code, out, told = run("one", "--json")
    (row,) = json.loads(out)
    assert (code, row["excess_se"], row["permutations"], row["above"]) == (0, None, 1, 1)
    assert "there is no standard error: `ww analyze FILE --name one --version 1 " in told
    assert " --metrics correlation_traps " in told


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["never"], 3, "`ww analyze FILE --name never --version 1 --metrics correlation_traps "),
        (
            ["fourier", "--extractor", "fft[n=4]"],
            3,
            "--version 1 --extractor 'fft[n=4]' --metrics correlation_traps ",
        ),
        (["nobody"], 3, "no model 'nobody' in this store"),
        (["net", "--extractor", "slice"], 3, "no layer has a spectrum of extractor slice"),
        (["net", "--layers", "tow"], 2, "unknown layer 'tow'"),
        (["net", "--level", "1"], 2, "level 1: a probability above 0 and below 1 is needed"),
        (["net", "--level", "nan"], 2, "level nan"),
        (["net", "--json", "--csv"], 2, "exclude each other"),
        ([""], 2, "MODEL is empty"),
    ],
)
def test_what_is_asked_wrongly_is_one_sentence(run, arguments, code, sentence):
    found, out, told = run(*arguments)
    assert (found, out) == (code, "")
    assert sentence in told
    assert len(told.splitlines()) == 1 or code == 2


@pytest.mark.parametrize("options", [{"control": "random"}, {"control": "permuted", "seed": 3}, {"groups": {"c*": 2}}])
def test_the_command_that_is_proposed_makes_the_spectra(options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = np.random.default_rng(1).standard_normal((40, 20, 3, 3)).astype(np.float32)
    save_file({"conv.weight": weights}, "net.safetensors")
    first = ww.analyze("net.safetensors", store="s.sqlite", metrics=["stable_rank"], **options)
    with ww.open_store("s.sqlite") as store:
        name = f"{first.model}@{first.version}"
        with pytest.raises(ww.NotStoredError) as error:
            correlation_traps_of(store, name)
        _, command, _ = str(error.value).split("`")
        done = subprocess.run([sys.executable, "-m", "ww_core", *shlex.split(command)[1:]], capture_output=True)
        assert done.returncode == 0, done.stderr
        assert correlation_traps_of(store, name).matrices
        assert len(store.versions()) == 1


def test_what_is_made_frequency_by_frequency_can_have_none(tmp_path):
    path = tmp_path / "s.sqlite"
    options = OPTIONS | {"extractors": ["fft[n=4]"], "version": None}
    ww.analyze({"conv.weight": noise(12, 11, 3, 3)}, store=path, **options)
    with (
        ww.open_store(path, mode="read") as opened,
        pytest.raises(ww.NotStoredError, match="can be made: the entries are made of the weights one by one"),
    ):
        correlation_traps_of(opened, "net", extractor="fft[n=4]")


@pytest.fixture
def run_in(tmp_path, capsys):
    """Analyse weights in a store of its own, and ask ``ww traps`` there."""

    def run_(analyses, *arguments):
        place = tmp_path / "s.sqlite"
        for weights, options in analyses:
            ww.analyze(weights, store=place, **OPTIONS | options)
        code = run_app(command.app, [*arguments, "--store", str(place)], name="ww traps")
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return code, told.out, told.err

    return run_


def test_a_matrix_of_nan_hides_no_other(run_in):
    broken = noise(40, 30)
    broken[3, 4] = np.nan
    weights = {"a.weight": planted(noise(64, 48), 90.0), "nan.weight": broken}
    code, out, told = run_in([(weights, {})], "net", "--json")
    assert code == 0
    assert [row["layer"] for row in json.loads(out)] == ["a"]
    assert told == "not known for nan: 1 of 1200 weights are NaN or infinite\n"
    code, out, told = run_in([], "net", "--layers", "nan")
    assert (code, out) == (3, "")
    assert told == "error: no spectrum of layer 'nan' of net@1 is stored: 1 of 1200 weights are NaN or infinite\n"


def test_a_matrix_of_nan_hides_no_other_of_its_layer(run_in):
    kernels = planted(noise(40, 30, 3, 3), 90.0)
    kernels[:, :, 0, 0] = np.nan
    code, out, told = run_in([({"conv.weight": kernels}, {"extractors": ["slice"]})], "net", "--json")
    assert code == 0
    assert {row["index"] for row in json.loads(out)} == {4}
    assert told == "not known for conv: 1200 of 1200 weights are NaN or infinite\n"


def test_stored_permutations_are_found_whatever_seed_the_newest_run_has(run_in):
    weights = {"w.weight": planted(noise(60, 50), 90.0)}
    analyses = [
        (weights, {"seed": seed, "metrics": [metric]})
        for seed, metric in ((1, "correlation_traps"), (2, "correlation_traps"), (0, "alpha"))
    ]
    code, out, told = run_in(analyses, "net", "--json")
    assert (code, {row["seed"] for row in json.loads(out)}) == (0, {2})
    assert told == "the displayed run has seed 0: the permutations have seed 2, --seed chooses others: 1\n"
    code, out, told = run_in([], "net", "--json", "--seed", "1")
    assert (code, {row["seed"] for row in json.loads(out)}, told) == (0, {1}, "")
    code, out, told = run_in([], "net", "--seed", "7")
    assert code == 3
    assert "no spectrum of permuted weights of seed 7 is stored; of seeds 1, 2 there are some: `ww analyze" in told
    assert "--seed 7 " in told


def test_the_level_is_that_of_the_stored_metric(run_in, tmp_path):
    options = {"parameters": {"correlation_traps.level": 0.9}}
    code, out, _ = run_in([({"w.weight": noise(60, 50)}, options)], "net")
    assert code == 0
    assert out.startswith("net@1  profile default  level 0.9\n")
    with ww.open_store(tmp_path / "s.sqlite", mode="read") as store:
        counted = store.report("net").layers[0].metrics["num_traps[level=0.9]"].number
    assert sum(row["above"] for row in json.loads(run_in([], "net", "--json")[1])) == pytest.approx(5 * counted)
    assert counted > 0
    assert run_in([], "net", "--level", "0.01")[1].startswith("net@1  profile default  level 0.01\n")
