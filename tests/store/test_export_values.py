"""A table of values has what the view v_metrics shows, in an order that people expect."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from sqlalchemy import text

import ww_core as ww
from ww_core.domain.exchange import VALUE_COLUMNS
from ww_core.store.store import open_store
from ww_core.use_cases.value_files import write_csv

NUMBERS = {"step": int, "position": int, "matrix_index": int, "value": float}


def viewed(location, where="profile = 'default'"):
    """What the view shows."""
    with open_store(location, mode="read") as store, store._reading() as connection:
        return [dict(row) for row in connection.execute(text(f"SELECT * FROM v_metrics WHERE {where}")).mappings()]


def in_order(rows):
    return sorted(rows, key=lambda row: [str(field) for field in row.values()])


def typed(row):
    """A row of a CSV file as the view has it."""
    fields = {name: NUMBERS[name](own) if name in NUMBERS and own else own for name, own in row.items()}
    nullable = {"step", "layer", "extractor", "matrix_index", "value", "text"}
    return {name: None if own == "" and name in nullable else own for name, own in fields.items()}


def of_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def of_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        rows = [typed(row) for row in csv.DictReader(file)]
    return [{name: own[1:] if str(own).startswith("'") else own for name, own in row.items()} for row in rows]


def of_parquet(path):
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(path).to_pylist()


@pytest.mark.parametrize(("name", "read"), [("t.csv", of_csv), ("t.json", of_json), ("t.parquet", of_parquet)])
def test_a_table_has_what_the_view_shows(everything, tmp_path, name, read):
    exported = ww.export(tmp_path / name, store=everything)
    found = read(tmp_path / name)
    assert [*found[0]] == [*VALUE_COLUMNS]
    expected = viewed(everything)
    if name.endswith("csv"):  # where no text and an empty one are the same
        expected = [row | {"text": row["text"] or None} for row in expected]
    assert in_order(found) == in_order(expected)
    assert len(found) > 100
    assert (exported.rows, exported.bytes) == (len(found), (tmp_path / name).stat().st_size)
    assert exported.path == str(tmp_path / name)


def test_the_columns_are_those_of_the_view(everything):
    assert [*viewed(everything)[0]] == [*VALUE_COLUMNS]


@pytest.mark.parametrize(
    ("chosen", "where"),
    [
        ({"models": ["net"]}, "profile = 'default' AND model = 'net'"),
        ({"models": ["net@checkpoint-500", "odd"]}, "version = 'checkpoint-500' OR model = 'odd'"),
        ({"metrics": ["alpha", "log_prod_spectral_norm"]}, "column_name IN ('alpha', 'log_prod_spectral_norm')"),
        ({"scope": "matrix"}, "scope = 'matrix'"),
        ({"scope": "layer"}, "scope = 'layer'"),
        ({"scope": "model"}, "scope = 'model'"),
        ({"profile": "weightwatcher"}, "profile = 'weightwatcher'"),
        ({"metrics": ["alpha"], "models": ["twin"]}, "column_name = 'alpha' AND model = 'twin'"),
    ],
)
def test_what_is_chosen(everything_in_a_file, tmp_path, chosen, where):
    ww.export(tmp_path / "t.json", store=everything_in_a_file, **chosen)
    profile = chosen.get("profile", "default")
    expected = viewed(everything_in_a_file, f"profile = '{profile}' AND ({where})")
    assert in_order(of_json(tmp_path / "t.json")) == in_order(expected)
    assert expected


def test_rows_come_in_the_order_of_models_versions_layers_and_columns(tmp_path):
    names = [f"blocks.{number}" for number in range(12)]
    for version in (10, 9):
        random = np.random.default_rng(version)
        net = {f"{name}.weight": random.standard_normal((8, 6)) for name in names}
        ww.analyze(net, store=tmp_path / "s.sqlite", name="net", version=f"checkpoint-{version}")
    ww.export(tmp_path / "t.json", store=tmp_path / "s.sqlite", metrics=["stable_rank", "alpha"], scope="matrix")
    rows = of_json(tmp_path / "t.json")
    places = [(row["version"], row["layer"], row["column_name"]) for row in rows]
    with open_store(tmp_path / "s.sqlite") as store:
        labels = [label for label in store.report("net").labels("matrix") if label in {"alpha", "stable_rank"}]
    versions = ("checkpoint-9", "checkpoint-10")
    assert places == [(version, name, label) for version in versions for name in names for label in labels]


def test_numbers_are_exact(everything_in_a_file, tmp_path):
    ww.export(tmp_path / "t.csv", store=everything_in_a_file, scope="matrix")
    values = sorted(row["value"] for row in of_csv(tmp_path / "t.csv") if row["value"] is not None)
    expected = sorted(
        row["value"]
        for row in viewed(everything_in_a_file, "scope = 'matrix' AND profile = 'default'")
        if row["value"] is not None
    )
    assert values == expected


@pytest.mark.parametrize(
    ("field", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\\x0d=1"),
        ("-1.5", "-1.5"),
        ("+3e-5", "+3e-5"),
        ("-.5", "-.5"),
        ("-", "'-"),
        ("--1", "'--1"),
        ("1=1", "1=1"),
        ("net", "net"),
        ("", ""),
        ("a,b", "a,b"),
        ('say "x"\nand', 'say "x"\nand'),
        (-1.5, "-1.5"),
        (-7, "-7"),
        (1e-320, "1e-320"),
        (0.1 + 0.2, "0.30000000000000004"),
        (None, ""),
    ],
)
def test_no_cell_is_run_by_a_spreadsheet(field, written):
    pieces = []
    assert write_csv(pieces.append, ["one", "other"], iter([[[field, "x"]]])) == 1
    assert list(csv.reader("".join(pieces).splitlines(keepends=True))) == [["one", "other"], [written, "x"]]


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"models": ["nix"]}, ww.NotStoredError, "no model 'nix'"),
        ({"models": ["net@nix"]}, ww.NotStoredError, "has no version 'nix'"),
        ({"models": [""]}, ww.UsageError, "empty"),
        ({"metrics": ["alphaa"]}, ww.UnknownNameError, "unknown column 'alphaa': did you mean alpha"),
        ({"metrics": ["alpha"], "scope": "model"}, ww.UnknownNameError, "unknown column of scope model 'alpha'"),
        ({"metrics": [""]}, ww.UsageError, "empty"),
        ({"scope": "world"}, ww.UnknownNameError, "unknown scope 'world'"),
        ({"profile": ""}, ww.UsageError, "the profile is empty"),
        ({"profile": "nix"}, ww.NotStoredError, "no complete analysis of any version under profile 'nix'"),
        ({"models": ["stopped"]}, ww.NotStoredError, "no complete analysis of stopped"),
        (
            {"models": ["stopped"] * 9},
            ww.NotStoredError,
            "no complete analysis of stopped, stopped, stopped and 6 more under",
        ),
    ],
)
def test_what_cannot_be_chosen_leaves_no_file(everything_in_a_file, tmp_path, options, error, sentence):
    with pytest.raises(error, match=sentence):
        ww.export(tmp_path / "t.csv", store=everything_in_a_file, **options)
    assert list(tmp_path.glob("t.csv")) == list(tmp_path.glob(".ww*")) == []


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(everything_in_a_file, tmp_path):
    (tmp_path / "t.csv").write_text("precious")
    with pytest.raises(ww.UsageError, match=r"t\.csv exists already: give another name, or --force"):
        ww.export(tmp_path / "t.csv", store=everything_in_a_file)
    assert (tmp_path / "t.csv").read_text() == "precious"
    assert ww.export(tmp_path / "t.csv", store=everything_in_a_file, replace=True).rows > 100
    assert len(of_csv(tmp_path / "t.csv")) > 100


@pytest.mark.parametrize("name", ["t", "t.cvs", "t.xlsx", ".csv", "t.csv.gz"])
def test_a_name_that_is_none_of_a_table(everything_in_a_file, tmp_path, name):
    with pytest.raises(ww.UsageError, match=r"it ends in \.csv, \.json, \.parquet"):
        ww.export(tmp_path / name, store=everything_in_a_file)


def test_places_that_cannot_be_written(everything_in_a_file, tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for place in (tmp_path / "missing" / "t.csv", tmp_path / "folder.csv"):
        with pytest.raises(ww.OutputError, match="cannot be written"):
            ww.export(place, store=everything_in_a_file, replace=True)


def test_an_analysis_without_a_value_makes_a_table_without_a_row(tmp_path):
    ww.analyze({"w.weight": np.zeros((3, 3))}, store=tmp_path / "s.sqlite", name="net", metrics=["alpha"])
    with pytest.raises(ww.NotStoredError):  # a narrowed run is not in force
        ww.export(tmp_path / "t.csv", store=tmp_path / "s.sqlite")
    pieces = []
    assert write_csv(pieces.append, ["a"], iter([])) == 0
    assert "".join(pieces) == "a\n"


def test_without_pyarrow_the_sentence_says_what_to_install(everything_in_a_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ww.MissingExtraError, match=r"pip install 'ww-core\[parquet\]'"):
        ww.export(tmp_path / "t.parquet", store=everything_in_a_file)
    assert ww.export(tmp_path / "t.csv", store=everything_in_a_file).rows


@pytest.mark.slow
@pytest.mark.stress
def test_memory_does_not_grow_with_the_rows(tmp_path):
    """Of five times as many versions no more is in memory."""
    drawn = np.random.default_rng(0)
    peaks = []
    for count in (4, 20):
        store = tmp_path / f"{count}.sqlite"
        for version in range(count):
            net = {f"{n}.weight": drawn.standard_normal((6, 5)) for n in range(120)}
            ww.analyze(net, store=store, name="net", version=str(version))
        for what in (
            f"ww.export('{tmp_path}/{count}.csv', store=p)",
            f"ww.export_folder('{tmp_path}/{count}', store=p)",
        ):
            program = (
                f"import ww_core as ww; p = '{store}'; {what}\n"
                "print([line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1])"
            )
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
            peaks.append(int(done.stdout))
    small_table, small_folder, large_table, large_folder = peaks
    assert large_table < 1.1 * small_table + 4000
    assert large_folder < 1.1 * small_folder + 4000
