"""``ww sql`` as a user runs it."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from safetensors.numpy import save_file

from ww_core.store.views import VIEWS

USAGE, PLACE, INTERRUPTED = 2, 3, 130
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


def ok(result):
    assert result.returncode == 0, result.stderr
    return result.stdout


def fails(result, code, *words):
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    (error,) = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert all(word in error for word in words), error


@pytest.fixture
def stored(ww_here, model_file, weights):
    """The program, with two versions of a model in its store."""
    ok(ww_here("analyze", model_file, "--metrics", "stable_rank,alpha"))
    save_file(weights | {"first.weight": weights["first.weight"] + weights["first.bias"][:, None]}, model_file)
    ok(ww_here("analyze", model_file, "--metrics", "stable_rank,alpha", "--version", "2"))
    return ww_here


@pytest.fixture
def typed(monkeypatch):
    """A function that puts bytes on stdin."""

    def put(content):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    return put


def test_an_answer_in_each_form(stored):
    query = "SELECT model, version, position / 3.0 AS third, NULL AS none, 1 AS one FROM v_models ORDER BY position"
    assert ok(stored("sql", query)).splitlines() == [
        "model  version   third  none  one",
        "net    1        0.3333          1",
        "net    2        0.6667          1",
    ]
    answer = json.loads(ok(stored("sql", query, "--json")))
    assert answer["columns"] == ["model", "version", "third", "none", "one"]
    assert answer["rows"][0] == {"model": "net", "version": "1", "third": 1 / 3, "none": None, "one": 1}
    assert answer["is_cut"] is False
    rows = list(csv.DictReader(io.StringIO(ok(stored("sql", query, "--csv")))))
    assert [float(row["third"]) for row in rows] == [1 / 3, 2 / 3]
    assert rows[0]["none"] == ""


def test_bytes_and_what_is_no_finite_number(stored):
    query = "SELECT x'00ff' AS content, 9e999 AS large, -9e999 AS small"
    assert ok(stored("sql", query)).splitlines()[1].split() == ["<2", "bytes>", "inf", "-inf"]
    assert json.loads(ok(stored("sql", query, "--json")))["rows"] == [{"content": "00ff", "large": None, "small": None}]
    assert ok(stored("sql", query, "--csv")).splitlines()[1] == "00ff,inf,-inf"


def test_names_of_strangers_move_no_cursor(stored):
    assert "\x1b" not in ok(
        stored("sql", "SELECT char(27) || '[2J' AS \"a\x1b[2J\", 'two' || char(10) || 'lines' AS b")
    )


def test_two_columns_of_one_name_are_both_shown(stored):
    query = "SELECT 1 AS a, 2 AS a"
    assert ok(stored("sql", query)).split() == ["a", "a_2", "1", "2"]
    assert ok(stored("sql", query, "--csv")) == "a,a_2\n1,2\n"


def test_an_answer_that_is_cut_says_so_beside_the_data(stored):
    query = "SELECT version FROM v_models ORDER BY version"
    for form, lines in {"--csv": ["version", "1"], None: ["version", "1"]}.items():
        result = stored("sql", query, "--rows", 1, *([form] if form else []))
        assert ok(result).split() == lines
        assert result.stderr == "there are more rows: these are the first 1, --rows N prints more\n"
    result = stored("sql", query, "--rows", 1, "--json")
    assert json.loads(ok(result))["is_cut"] is True
    assert result.stderr == ""
    result = stored("sql", query, "--rows", 2)
    assert len(ok(result).split()) == 3
    assert result.stderr == ""


def test_an_answer_without_a_row(stored):
    for form in ([], ["--csv"]):
        result = stored("sql", "SELECT version FROM v_models WHERE 1 = 0", *form)
        assert (ok(result), result.stderr) == ("", "no row\n")
    answer = json.loads(ok(stored("sql", "SELECT version FROM v_models WHERE 1 = 0", "--json")))
    assert answer == {"columns": ["version"], "rows": [], "is_cut": False}


def test_a_query_on_stdin(stored, typed):
    typed("\ufeffSELECT 'é' AS a;\n".encode())
    assert ok(stored("sql", "-")).split() == ["a", "é"]
    typed(b"SELECT '\xff'")
    fails(stored("sql", "-"), USAGE, "UTF-8")
    typed(b"")
    fails(stored("sql", "-"), USAGE, "empty")
    typed(b"SELECT '" + b"x" * 10_000_000 + b"'")
    fails(stored("sql", "-"), USAGE, "longer than 1,000,000 bytes")
    typed(b"SELECT 1\0")
    fails(stored("sql", "-"), USAGE, "NUL")


def test_without_a_query_the_views_are_listed_and_no_store_is_needed(ww_here):
    text = ok(ww_here("sql"))
    rows = json.loads(ok(ww_here("sql", "--json")))
    assert [row["name"] for row in rows] == [view.name for view in VIEWS]
    assert ok(ww_here("sql", "--csv")).splitlines()[0] == "name,row,question,columns"
    for view, row in zip(VIEWS, rows, strict=True):
        assert row["columns"] == list(view.columns)
        assert f"{view.name}  a row for each {view.row}" in text
        assert ", ".join(view.columns) in text
    assert not ww_here.store.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["SELECT * FROM v_modles"], USAGE, ["'v_modles'", "did you mean v_models"]),
        (["SELECT versoin FROM v_models"], USAGE, ["'versoin'", "version"]),
        (["SELCT 1"], USAGE, ["syntax error"]),
        (["DELETE FROM model"], USAGE, ["one SELECT"]),
        (["SELECT 1; SELECT 2"], USAGE, ["more than one statement"]),
        (["SELECT ?"], USAGE, ["placeholder"]),
        ([""], USAGE, ["QUERY is empty"]),
        (["  ;"], USAGE, ["empty"]),
        (["SELECT '\udcff'"], USAGE, ["half a character"]),
        ([ENDLESS, "--seconds", "0.3"], USAGE, ["stopped after 0.3 s"]),
        (["SELECT randomblob(1000000000)"], USAGE, ["128 MiB"]),
        (["SELECT 1", "--seconds", "0"], USAGE, ["seconds"]),
        (["SELECT 1", "--seconds", "nan"], USAGE, ["seconds"]),
        (["SELECT 1", "--rows", "0"], USAGE, ["rows"]),
        (["SELECT 1", "--json", "--csv"], USAGE, ["exclude each other"]),
        (["SELECT 1", "--store", "none.sqlite"], PLACE, ["there is no store", "none.sqlite"]),
        (["SELECT 1", "--store", ""], USAGE, ["--store is empty"]),
    ],
)
def test_what_is_wrong_is_one_sentence(stored, arguments, code, words):
    before = stored.store.read_bytes()
    fails(stored("sql", *arguments), code, *words)
    assert stored.store.read_bytes() == before
    assert not (stored.folder / "none.sqlite").exists()


def test_what_typer_refuses(ww_here):
    for arguments in (["SELECT 1", "--seconds", "soon"], ["SELECT 1", "--rows", "1.5"], ["SELECT", "1"]):
        result = ww_here("sql", *arguments)
        assert result.returncode == USAGE
        assert "Usage" in result.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_is_stopped_at_once_and_leaves_no_process(ww_program, stored, how):
    process = subprocess.Popen(
        [sys.executable, "-m", "ww_core", "sql", ENDLESS, "--seconds", "20" if how == signal.SIGINT else "4"],
        env=os.environ | {"WW_STORE": str(stored.store)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    if not os.path.exists(children):  # noqa: PTH110
        pytest.skip("this system does not tell the children of a process")
    deadline = time.monotonic() + 30
    while not _asks(children) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert _asks(children)
    process.send_signal(how)  # to this process alone: it ends the other one, or that ends itself
    start = time.monotonic()
    output, error = process.communicate(timeout=30)
    assert time.monotonic() - start < 8
    assert output == ""
    if how == signal.SIGINT:
        assert process.returncode == INTERRUPTED
        assert "Traceback" not in error
    deadline = time.monotonic() + 15
    while _alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(process.pid)


def _asks(children):
    with open(children, encoding="ascii") as file:  # noqa: PTH123
        return bool(file.read().strip())


def _alive(group):
    """Whether a process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
