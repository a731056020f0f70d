"""``ww export`` and ``ww import FOLDER`` as a user runs them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest

import ww_core as ww

WRONG, PLACE = 2, 3


@pytest.fixture
def stored(ww_here):
    """The program, with a store of two versions."""
    for number in (1, 2):
        net = {"a.weight": np.random.default_rng(number).standard_normal((20, 12)), "b.weight": np.eye(9)}
        ww.analyze(net, store=ww_here.store, name="net", version=str(number))
    return ww_here


def fails(done, code, *texts):
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    for text in texts:
        assert text in done.stderr


def test_a_table_for_people_and_programs(stored):
    done = stored("export", "-o", "net.csv")
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO((stored.folder / "net.csv").read_text())))
    size = (stored.folder / "net.csv").stat().st_size
    assert done.stdout == f"net.csv: {len(rows):,} rows, {size:,} bytes\n"
    told = json.loads(stored("export", "-o", "net.json", "--json").stdout)
    assert told == {"file": "net.json", "rows": len(rows), "bytes": (stored.folder / "net.json").stat().st_size}
    assert len(json.loads((stored.folder / "net.json").read_text())) == len(rows)
    fails(stored("export", "-o", "net.csv"), WRONG, "net.csv exists already", "--force")
    assert stored("export", "-o", "net.csv", "--force").returncode == 0


def test_stdout_takes_the_table_too(stored):
    done = stored("export", "net@2", "-o", "-", "--metrics", "stable_rank")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["version"], row["layer"]) for row in rows] == [("2", "a"), ("2", "b")]
    asked = stored("export", "net@2", "-o", "-", "--metrics", "stable_rank", "--json", "--scope", "matrix")
    assert [row["value"] for row in json.loads(asked.stdout)] == [float(row["value"]) for row in rows]


def test_a_folder_goes_to_another_store(stored):
    done = stored("export", "--output", "moved/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("moved/: ")
    digest = json.loads((stored.folder / "moved" / "manifest.json").read_text())["digest"]
    assert f"digest {digest[:12]}" in done.stdout
    taken = stored("import", "moved", "--store", "new.sqlite")
    assert (taken.returncode, taken.stderr) == (0, "")
    assert "rows are new here" in taken.stdout
    assert stored("import", "moved", "--store", "new.sqlite").stdout.startswith("moved: 0 of ")
    told = json.loads(stored("import", "moved", "--store", "another.sqlite", "--json").stdout)
    assert (told["digest"], told["added"]["label"]) == (digest, 2)
    shown = [json.loads(stored("show", "net", "--json", *at).stdout) for at in ((), ("--store", "new.sqlite"))]
    assert shown[0] | {"store": ""} == shown[1] | {"store": ""}
    assert stored("db", "check", "--store", "new.sqlite").stdout.startswith("sound: ")
    again = stored("export", "-o", "again", "--store", "new.sqlite", "--json")
    assert json.loads(again.stdout)["digest"] == digest


def test_chosen_models_and_new_names(stored):
    assert stored("export", "net@2", "-o", "part").returncode == 0
    done = stored("import", "part", "--store", "new.sqlite", "--rename", "net@2=net@old")
    assert done.returncode == 0, done.stderr
    assert "old" in stored("show", "--store", "new.sqlite").stdout
    fails(
        stored("import", "part", "--rename", "net@2=net@1"),
        WRONG,
        "net@1 stands on other weights or layers here",
        "--rename",
    )
    fails(stored("import", "part", "--rename", "nix=new"), PLACE, "no model 'nix'")
    fails(stored("import", "part", "--rename", "nix"), WRONG, "--rename 'nix' is not of the form OLD=NEW")


@pytest.mark.parametrize(
    ("arguments", "code", "texts"),
    [
        (["-o", "net.cvs"], WRONG, ("'net.cvs' is no name of a table", ".csv, .json, .parquet")),
        (["-o", ""], WRONG, ("--output is empty",)),
        (["-o", "folder", "--metrics", "alpha"], WRONG, ("folder is a folder", "leave out --metrics")),
        (["-o", "folder/", "--scope", "model"], WRONG, ("folder/ is a folder", "leave out --metrics")),
        (["-o", "folder", "--profile", "default"], WRONG, ("folder is a folder", "leave out --metrics")),
        (["nix", "-o", "folder"], PLACE, ("no model 'nix'",)),
        (["", "-o", "net.csv"], WRONG, ("MODEL is empty",)),
        (["nix", "-o", "-"], PLACE, ("no model 'nix'",)),
        (["-o", "net.csv", "--metrics", "nix"], WRONG, ("unknown column 'nix'",)),
        (["-o", "net.csv", "--profile", "nix"], PLACE, ("under profile 'nix'",)),
        (["-o", "net.csv", "--json", "--csv"], WRONG, ("exclude each other",)),
        (["-o", "net.csv", "--store", "nothing.sqlite"], PLACE, ("there is no store at",)),
        (["-o", "."], WRONG, (" exists already",)),
    ],
)
def test_wrong_usage_of_export(stored, arguments, code, texts):
    before = sorted(path.name for path in stored.folder.iterdir() if "sqlite" not in path.name)
    fails(stored("export", *arguments), code, *texts)
    assert sorted(path.name for path in stored.folder.iterdir() if "sqlite" not in path.name) == before


@pytest.mark.parametrize("name", ["net.csv", "folder"])
def test_a_place_that_cannot_be_written(ww_program, name):
    ww.analyze({"a.weight": np.eye(5)}, store=ww_program.store, name="net")
    fails(ww_program("export", "-o", f"missing/{name}"), PLACE, f"{name} cannot be written: No such file or directory")


def test_wrong_usage_of_import(stored):
    stored("export", "-o", "moved")
    (stored.folder / "empty").mkdir()
    (stored.folder / "table.csv").write_text("a\n1\n")
    fails(stored("import", "empty"), PLACE, "empty is no export of ww: it has no manifest.json")
    fails(
        stored("import", "moved", "--source", "x"), WRONG, "moved is a folder: folders take only the options --rename"
    )
    fails(stored("import", "moved", "--replace"), WRONG, "moved is a folder: folders take only the options --rename")
    fails(stored("import", "table.csv", "--rename", "a=b"), WRONG, "--rename is for folders")
    (stored.folder / "moved" / "extra").write_text("")
    fails(stored("import", "moved", "--store", "new.sqlite"), PLACE, "there is 'extra' in it")
    assert not (stored.folder / "new.sqlite").exists()


def test_a_reader_that_goes_away_is_no_error(ww_program):
    net = {f"{n}.weight": np.random.default_rng(n).standard_normal((6, 5)) for n in range(100)}
    ww.analyze(net, store=ww_program.store, name="net")

    command = f"{sys.executable} -m ww_core export -o - --store {ww_program.store} | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("model,version,")
    assert (done.returncode, done.stderr) == (0, "")
