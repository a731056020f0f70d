"""The commands that look after a store, as a user runs them."""

import json
import re
import sqlite3

import numpy as np
import pytest
from safetensors.numpy import save_file

USAGE, PLACE = 2, 3


def ok(result):
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout


def fails(result, code, *texts):
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    for words in texts:
        assert words in error, error
    return result.stdout


@pytest.fixture
def stored(ww_here, model_file, weights):
    """The program, with two versions of a model in its store."""
    ok(ww_here("analyze", model_file, "--metrics", "stable_rank,alpha"))
    save_file(weights | {"first.weight": weights["first.weight"] * np.float32(2)}, model_file)
    ok(ww_here("analyze", model_file, "--metrics", "stable_rank,alpha", "--version", "double"))
    return ww_here


def versions(program):
    return [f"{row['model']}@{row['version']}" for row in json.loads(ok(program("show", "--json")))]


def test_forget_says_what_it_forgot_and_what_frees_the_room(stored):
    lines = ok(stored("forget", "net@double")).splitlines()
    assert re.fullmatch(r"forgotten: net@double  digest [0-9a-f]{12}", lines[0])
    assert "`ww db gc`" in lines[1]
    assert versions(stored) == ["net@1"]
    assert [row["version"] for row in json.loads(ok(stored("forget", "net", "--json")))] == ["1"]
    assert "nothing is stored" in ok(stored("show"))


def test_forget_of_what_is_not_there(stored, tmp_path):
    fails(stored("forget", "net@1", "nett"), PLACE, "no model 'nett'", "did you mean net?")
    fails(stored("forget", "net@7"), PLACE, "it has 1, double")
    digest = json.loads(ok(stored("show", "net", "--json")))["digest"]
    fails(stored("forget", digest[:10]), PLACE, "is the digest of net@double, and no name")
    assert versions(stored) == ["net@1", "net@double"]
    fails(stored("forget", "net", "--store", tmp_path / "no.sqlite"), PLACE, "there is no store at")
    assert not (tmp_path / "no.sqlite").exists()
    assert stored("forget").returncode == USAGE


def test_rename(stored):
    assert ok(stored("rename", "net", "résnet")).strip() == "net > résnet  (2 versions)"
    assert ok(stored("rename", "résnet@1", "résnet@first")).strip() == "résnet@1 > résnet@first"
    assert json.loads(ok(stored("rename", "résnet@double", "other@1", "--json"))) == {
        "old": "résnet@double",
        "new": "other@1",
        "versions": 1,
        "controls": [],
    }
    assert versions(stored) == ["other@1", "résnet@first"]


def test_rename_that_cannot_be(stored, tmp_path):
    fails(stored("rename", "net@1", "net@double"), USAGE, "net@double is a version already", "ww forget net@double")
    fails(stored("rename", "net@1", "other"), USAGE, "`ww rename MODEL@VERSION MODEL@NEW`")
    fails(stored("rename", "net", "a\tb"), USAGE, "cannot be used")
    fails(stored("rename", "nett", "other"), PLACE, "did you mean net?")
    fails(stored("rename", "a", "b", "--store", tmp_path / "no.sqlite"), PLACE, "there is no store at")
    assert versions(stored) == ["net@1", "net@double"]


def test_gc_frees_what_was_forgotten(stored, model_file):
    assert "nothing to remove" in ok(stored("db", "gc"))
    ok(stored("forget", "net@1"))
    promised = json.loads(ok(stored("db", "gc", "--dry-run", "--json")))
    assert "nothing was changed" in ok(stored("db", "gc", "--dry-run"))
    assert (promised["dry_run"], promised["removed"]["checkpoint"]) == (True, 1)
    done = json.loads(ok(stored("db", "gc", "--json")))
    assert done["removed"] == promised["removed"]
    assert done["bytes_after"] <= done["bytes_before"]
    assert done["bytes_after"] == stored.store.stat().st_size
    assert (done["interrupted"], done["running"]) == (0, 0)
    again = ok(stored("analyze", model_file, "--metrics", "stable_rank,alpha"))
    assert "0 computed, 3 reused" in again


def test_gc_prints_a_table(stored):
    ok(stored("forget", "net"))
    text = ok(stored("db", "gc"))
    assert re.search(r"^table +rows$", text, re.MULTILINE)
    assert re.search(r"^checkpoint +2$", text, re.MULTILINE)
    assert re.search(r"^bytes: [\d,]+ (→|->) [\d,]+$", text, re.MULTILINE)


def test_gc_of_a_store_that_is_not_there(ww_here):
    fails(ww_here("db", "gc"), PLACE, "there is no store at")
    fails(ww_here("db", "gc", "--dry-run"), PLACE, "there is no store at")
    assert not ww_here.store.exists()


def test_backup(stored, tmp_path):
    copy = tmp_path / "copy.sqlite"
    assert re.fullmatch(rf"{copy}: [\d,]+ bytes, checked\n", ok(stored("db", "backup", copy)))
    there, here = ok(stored("show", "net", "--json", "--store", copy)), ok(stored("show", "net", "--json"))
    assert there.replace(str(copy), "") == here.replace(str(stored.store), "")
    fails(stored("db", "backup", copy), USAGE, str(copy), "exists already")
    fails(stored("db", "backup", tmp_path / "no" / "copy.sqlite"), PLACE, "no copy can be made at")
    stored.store.chmod(0o444)
    ok(stored("db", "backup", "beside.sqlite"))
    fails(stored("db", "backup", "x.sqlite", "--store", tmp_path / "no.sqlite"), PLACE, "there is no store at")


def change(program, statement):
    connection = sqlite3.connect(program.store)
    with connection:
        connection.execute(statement)
    connection.close()


def test_check_of_a_sound_store(stored):
    assert re.match(r"sound: \d+ digests, \d+ spectra, \d+ values, \d+ summaries$", ok(stored("db", "check")).strip())
    found = json.loads(ok(stored("db", "check", "--json")))
    assert (found["faults"], found["repaired"]) == ({}, 0)
    assert found["checked"]["spectra"] == 4
    assert "sound" in ok(stored("db", "check", "--repair"))


def test_check_mends_summaries(stored):
    change(stored, "DELETE FROM summary WHERE aggregate = 'mean'")
    text = fails(stored("db", "check"), PLACE, "4 faults, all of them in summaries", "`ww db check --repair`")
    assert len(re.findall(r"^summary: mean of ", text, re.MULTILINE)) == 4
    text = ok(stored("db", "check", "--repair"))
    assert "checkpoints whose summaries were written again: 2" in text
    assert "sound" in ok(stored("db", "check"))


def test_check_says_what_it_cannot_mend(stored):
    change(stored, "UPDATE spectrum SET noise_floor = -1")
    change(stored, "DELETE FROM summary")
    text = fails(stored("db", "check", "--repair"), PLACE, "4 faults, which --repair cannot repair: restore a copy")
    assert "spectrum: the spectrum of matrix 1: its noise floor is -1.0" in text
    assert "summaries were written again: 2" in text
    stdout = fails(stored("db", "check", "--json"), PLACE, "4 faults: restore a copy")
    assert json.loads(stdout)["faults"].keys() == {"spectrum"}


def test_check_of_a_damaged_file(stored):
    content = bytearray(stored.store.read_bytes())
    for start in range(8192, len(content) - 100, 4096):
        content[start : start + 100] = b"\x5a" * 100
    stored.store.write_bytes(content)
    for options in ((), ("--repair",), ("--json",)):
        result = stored("db", "check", *options)
        assert result.returncode == PLACE, result.stderr
        assert "Traceback" not in result.stderr
        assert result.stderr.startswith("error: ")
    assert stored.store.read_bytes() == content


def test_check_of_what_is_no_store(ww_here, tmp_path):
    fails(ww_here("db", "check"), PLACE, "there is no store at")
    (tmp_path / "notes.txt").write_text("no database\n" * 100)
    fails(ww_here("db", "check", "--store", tmp_path / "notes.txt"), PLACE, "not a SQLite database")


def test_every_command_has_its_help(ww_here):
    for command in (("forget",), ("rename",), ("db", "gc"), ("db", "backup"), ("db", "check")):
        assert "Usage" in ok(ww_here(*command, "--help"))


@pytest.mark.parametrize(
    ("plugin", "code", "words"),
    [
        ("", USAGE, "PLUGIN is empty"),
        ("ww-core==", USAGE, "'ww-core==' names no version"),
        ("nix", PLACE, "nothing in this store came of nix"),
        ("ww-core==0.0.1", PLACE, "nothing in this store came of ww-core==0.0.1"),
        ("' OR 1=1 --", PLACE, "nothing in this store came of"),
    ],
)
def test_a_plugin_that_made_nothing_is_not_distrusted(stored, plugin, code, words):
    before = ok(stored("show", "net", "--json"))
    fails(stored("db", "distrust", plugin), code, words)
    assert ok(stored("show", "net", "--json")) == before


def test_what_a_plugin_made_is_shown_and_taken_back(stored):
    rows = json.loads(ok(stored("show", "net@1", "--origin", "--json")))
    assert {(row["column"], row["run"]) for row in rows} == {("stable_rank", 1), ("alpha", 1), ("(spectrum)", 1)}
    assert {row["plugin"].partition(" ")[0] for row in rows} == {"ww.metrics", "ww.extractors"}
    assert ok(stored("show", "net@1", "--origin", "--csv")).startswith("column,values,run,program,plugin,through,blas")
    taken = json.loads(ok(stored("db", "distrust", "ww_core", "--json")))
    assert taken["spectra"] == 4
    assert json.loads(ok(stored("show", "net@1", "--origin", "--json"))) == []
    assert "sound" in ok(stored("db", "check"))
    fails(stored("show", "--origin"), USAGE, "name one")
