"""Broken files of scores: each is one sentence with file and line, and nothing of it is stored."""

from __future__ import annotations

import gzip
import json
import os
import re

import numpy as np
import pytest
from sqlalchemy import func, select

import ww_core as ww
from ww_core.store import tables
from ww_core.store.store import open_store

HEAD = b"model,version,dataset,name,value,unit,direction,source\n"
GOOD = b"net,1,digits,top1_error,5.5,%,lower,a paper\n"


def row(**cells):
    told = {"model": "net", "version": "1", "dataset": "digits", "name": "nll", "value": "5.5", "unit": "%"}
    told |= {"direction": "lower", "source": "a paper"}
    return ",".join((told | cells).values()).encode() + b"\n"


def lines(*rows):
    return HEAD + GOOD + b"".join(rows)


def records(*rows):
    good = {"model": "net", "name": "a", "value": 1, "direction": "lower", "source": "x"}
    return json.dumps([good, *[good | {"name": "b"} | own for own in rows]]).encode()


CASES = {
    # What the whole file is.
    "empty": (b"", 3, ": the file is empty"),
    "blank lines only": (b"\n\n   \n", 3, ": the file is empty"),
    "header only": (HEAD, 3, ": there is a header and no score below it"),
    "no header": (GOOD, 3, ": unknown column 'net'"),
    "UTF-16": (
        (HEAD + GOOD).decode().encode("utf-16"),
        3,
        ": this is a text in UTF-16: save the table as CSV in UTF-8",
    ),
    "UTF-16 without a mark": ((HEAD + GOOD).decode().encode("utf-16-le"), 3, ", line 1: there is a NUL character"),
    "Latin-1": (lines(row(source="Müller").decode().encode("latin-1")), 3, ", line 3: this is not UTF-8 text"),
    "NUL": (lines(row(source="a\0b")), 3, ", line 3: there is a NUL character"),
    "a workbook": (b"PK\x03\x04" + b"\0" * 100, 3, ": this is a zip archive, as a workbook of Excel is"),
    "a database": (b"SQLite format 3\0" + b"\0" * 100, 3, ": this is a database of SQLite"),
    "a gzip that is cut short": (gzip.compress(lines(row()))[:-12], 3, ": the file compressed by gzip is cut short"),
    "a gzip that is damaged": (
        gzip.compress(lines(row()))[:-8] + b"\0" * 8,
        3,
        ": the file compressed by gzip is damaged",
    ),
    # The header.
    "a duplicate in the header": (HEAD.replace(b"unit", b"name") + GOOD, 3, ": the header names column 'name' twice"),
    "two columns that are one": (
        HEAD.replace(b"unit", b"better") + GOOD,
        3,
        ": columns 'better' and 'direction' are one",
    ),
    "an unknown column": (HEAD.replace(b"unit", b"unti") + GOOD, 3, ": unknown column 'unti': did you mean unit?"),
    "a column of something else": (
        HEAD.replace(b"unit", b"epochs") + GOOD,
        3,
        ": unknown column 'epochs': known: model",
    ),
    "a column without a name": (HEAD.replace(b"unit", b"") + GOOD, 3, ": column 6 of the header has no name"),
    "no value": (b"model,name,source\nnet,nll,x\n", 3, ": it has no column 'value'"),
    "no model and no name": (b"value,source\n1,x\n", 3, ": it has no column 'model' and none 'name'"),
    "control characters in the header": (HEAD.replace(b"unit", b"un\x07it") + GOOD, 3, ": column 6 of the header"),
    # Rows.
    "a cell less": (lines(b"net,1,digits,nll,5.5,%,lower\n"), 3, ", line 3: the row has 7 cells, and the header has 8"),
    "a cell more": (lines(row(source="x,y")), 3, ", line 3: the row has 9 cells, and the header has 8"),
    "an unclosed quote": (lines(row(source='"a paper')), 3, ", line 3: a quote that opens in this row is not closed"),
    "text behind a quote": (lines(row(source='"a" paper')), 3, ", line 3: text follows a closing quote"),
    "a huge cell": (lines(row(source="x" * 300_000)), 3, ", line 3: a cell has more than 131,072 characters"),
    "a huge line": (lines(b"x" * (2**22 + 10)), 3, ", line 3: the line has more than"),
    "a long name": (lines(row(source="x" * 300)), 3, ", line 3: the source has 300 characters: 200 are allowed"),
    # Numbers.
    "no number": (lines(row(value="")), 3, ", line 3, column value: '' is no number"),
    "a word": (lines(row(value="high")), 3, ", line 3, column value: 'high' is no number"),
    "a decimal comma": (
        (HEAD + GOOD + row(value="5,5").replace(b"5,5", b'"5,5"')),
        3,
        ", line 3, column value: '5,5' is not a number: write a point",
    ),
    "semicolons and decimal commas": (
        (HEAD + GOOD).replace(b",", b";").replace(b"5.5", b"5,5"),
        3,
        ", line 2, column value: '5,5' is not a number: write a point",
    ),
    "nan": (lines(row(value="nan")), 3, ", line 3: the value must be a finite number"),
    "inf": (lines(row(value="-inf")), 3, ", line 3: the value must be a finite number"),
    "1e999": (lines(row(value="1e999")), 3, ", line 3, column value: '1e999' is too large"),
    "a percent sign": (lines(row(value="5.5%")), 3, ", line 3, column value: '5.5%' is no number"),
    "low above high": (
        b"model,name,value,low,high,source,direction\nnet,a,5,7,6,x,lower\n",
        3,
        ", line 2: low 7.0 is above high 6.0",
    ),
    "outside of the interval": (
        b"model,name,value,low,high,source,direction\nnet,a,5,6,7,x,lower\n",
        3,
        ", line 2: the value 5.0 is not between low 6.0 and high 7.0",
    ),
    "half an interval": (
        b"model,name,value,low,high,source,direction\nnet,a,5,,7,x,lower\n",
        3,
        ", line 2: an interval has two ends",
    ),
    # Names.
    "an empty model": (lines(row(model="")), 3, ", line 3: the model is empty"),
    "a model of blanks": (lines(row(model="  ")), 3, ", line 3: the model is empty"),
    "an empty name": (lines(row(name="")), 3, ", line 3: the name of the score is empty"),
    "control characters": (lines(row(dataset="dig\x1bits")), 3, r", line 3: the dataset 'dig\x1bits' has control"),
    "a line end in a name": (lines(row(source='"a\npaper"')), 3, r", line 3: the source 'a\npaper' has control"),
    "two versions": (lines(row(model="net@1")), 3, ", line 3, column model: 'net@1' names a version, and column"),
    "a wrong direction": (
        lines(row(direction="down")),
        3,
        ", line 3: the direction is lower, higher, none, not 'down'",
    ),
    "no direction": (lines(row(direction="", name="f1")), 2, ", line 3: nothing says which direction of f1 is better"),
    "no source": (lines(row(source="")), 2, ", line 3: the source is missing: give --source"),
    # What it says together with the rest.
    "two lines that say the same": (
        lines(row(name="top1_error", value="6")),
        3,
        ", line 3: top1_error of net@1 on digits from a paper is given in line 2 too",
    ),
    "the same line twice": (
        HEAD + GOOD + row() + GOOD,
        3,
        ", line 4: top1_error of net@1 on digits from a paper is given",
    ),
    "two names of the same weights": (
        lines(row(model="same", name="top1_error", value="6")),
        2,
        ", line 3 (line 2): top1_error of same@1 on digits from a paper is 6.0 %, and top1_error of net@1 on digits",
    ),
    "another number in the store": (
        lines(row(name="stored")),
        2,
        ", line 3: stored of net@1 on digits from a paper is 7.0 % in this store, not 5.5 %: --correct",
    ),
    "another direction in the store": (
        lines(row(name="stored", value="7", direction="higher")),
        2,
        ", line 3: stored of net@1 on digits from a paper is 7.0 % (better: lower) in this store",
    ),
    "an unknown model": (lines(row(model="nets")), 3, ", line 3: no model 'nets@1' (near: net) in this store: analyse"),
    "an unknown version": (lines(row(version="9")), 3, ", line 3: no model 'net@9' (it has 1) in this store"),
    "many unknown models": (
        lines(*(row(model=f"m{n}") for n in range(30))),
        3,
        ", line 3: no model 'm0@1', 'm1@1', 'm10@1'",
    ),
    # JSON.
    "JSON that is cut short": (records({})[:-5], 3, " is not JSON: "),
    "JSON of an object": (json.dumps({"scores": [1]}, indent=1).encode(), 3, ": a list of objects is expected"),
    "JSON of a number": (b"[1, 2]", 3, ": a list of objects is expected"),
    "JSON of nothing": (b"[]", 3, ": the list is empty"),
    "JSON of empty objects": (b"[{}]", 3, ": it has no header"),
    "deep JSON": (b"[" * 100_000, 3, " is not a table in JSON: it is nested too deep"),
    "a deep cell": (
        records({"value": [[1]]}),
        3,
        ", record 2, column value: a text or a number is expected, not a list",
    ),
    "a key twice": (b'[{"model": "net", "model": "b"}]', 3, "the key 'model' is there twice"),
    "NaN in JSON": (records({"value": float("nan")}), 3, ", record 2: the value must be a finite number"),
    "true as a value": (records({"value": True}), 3, ", record 2, column value: True is no number"),
    "null as a value": (records({"value": None}), 3, ", record 2, column value: None is no number"),
    "a model of many digits": (records({"model": "9" * 300}), 3, ", record 2: the model has 300 characters"),
    "a number of many digits": (
        records({}).replace(b'"value": 1,', b'"value": 1' + b"0" * 5000 + b",", 1),
        3,
        " is not readable JSON",
    ),
    "a number beyond 64 bits": (
        records({}).replace(b'"value": 1,', b'"value": 1' + b"0" * 400 + b",", 1),
        3,
        ", record 1, column value: the number is too large",
    ),
    "a lone surrogate": (
        records({"source": "X"}).replace(b'"X"', b'"\\ud800"'),
        3,
        r", record 2: the source '\ud800' has control characters",
    ),
    "an unknown key": (records({"paper": "x"}), 3, ": unknown column 'paper'"),
    "a broken line of JSON": (b'{"model": "net"}\n{"model": \n', 3, ", line 2 is not JSON"),
    "a list in JSON lines": (b'{"model": "net"}\n[1]\n', 3, ", line 2: an object of JSON is expected"),
    "an object in JSON lines": (
        b'{"model": "net", "name": "a", "value": {"x": 1}}\n',
        3,
        ", line 1, column value: a text or a number is expected, not an object",
    ),
}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A store with one network under two names, and a score."""
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    net = {"w.weight": np.random.default_rng(0).standard_normal((6, 5))}
    with open_store(path) as store:
        for name in ("net", "same"):
            ww.analyze(net, store=store, name=name, version="1", metrics=["log_norm"])
        stored = ww.Score("net", "stored", "digits", 7.0, "a paper", "1", better="lower", unit="%")
        store.add_scores([stored])
    return path


@pytest.fixture
def program(ww_here, original):
    ww_here.store.write_bytes(original.read_bytes())
    return ww_here


def rows_of(program):
    with open_store(program.store, mode="read") as store, store._reading() as connection:
        return {
            name: connection.scalar(select(func.count()).select_from(table))
            for name, table in tables.metadata.tables.items()
        }


def refused(program, path, code, sentence, *options):
    before = rows_of(program)
    done = program("scores", "import", path, *options)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert re.fullmatch(r"error: [^\n]+\n", done.stderr), done.stderr
    assert sentence in done.stderr
    assert len(done.stderr) < 1500 + len(str(path))
    assert rows_of(program) == before


@pytest.mark.parametrize(("content", "code", "sentence"), CASES.values(), ids=CASES)
def test_a_broken_file_is_one_sentence_and_leaves_nothing(program, content, code, sentence):
    path = program.folder / "scores.csv"
    path.write_bytes(content)
    refused(program, path, code, f"{path}{sentence}" if sentence[:1] in ",:" else sentence)
    assert str(path) in program("scores", "import", path).stderr


def test_the_good_rows_of_these_files_are_good(program):
    path = program.folder / "scores.csv"
    for content in (lines(row()), records({})):
        path.write_bytes(content)
        assert program("scores", "import", path).returncode == 0


def test_what_cannot_be_opened(program, tmp_path):
    refused(program, tmp_path / "missing.csv", 3, "missing.csv: there is no such file or folder")
    refused(program, tmp_path, 3, "this is a folder")
    refused(program, "/dev/zero", 3, "/dev/zero: this is a device, not a regular file")
    os.mkfifo(tmp_path / "pipe")
    refused(program, tmp_path / "pipe", 3, "this is a named pipe, not a regular file")
    (tmp_path / "loop").symlink_to("loop")
    refused(program, tmp_path / "loop", 3, "the symbolic link leads back to itself")
    refused(program, "x" * 5000, 3, "File name too long")


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root may read everything")
def test_no_permission(program, tmp_path):
    path = tmp_path / "secret.csv"
    path.write_bytes(lines())
    path.chmod(0)
    refused(program, path, 3, "secret.csv: it cannot be read: Permission denied")


def test_a_gzip_bomb_ends_at_a_limit(program, tmp_path, monkeypatch):
    bomb = tmp_path / "bomb.csv.gz"
    with monkeypatch.context() as patched:
        patched.setattr("ww_core.loading.tables.delimited.LARGEST_TEXT", 2**20)
        bomb.write_bytes(gzip.compress(lines(*(row(name=f"e{number}") for number in range(30_000)))))
        refused(program, bomb, 3, "bomb.csv.gz: the text has more than 1,048,576 bytes")
    bomb.write_bytes(gzip.compress(HEAD + b"\n" * 2**24, compresslevel=1))
    refused(program, bomb, 3, "bomb.csv.gz: the text has more than 2,000,000 lines")
    quoted = tmp_path / "quoted.csv.gz"
    with gzip.open(quoted, "wb", compresslevel=1) as file:
        file.write(HEAD)
        for _ in range(100):
            file.write(b'"' + b"\n" * 2**17 + b'"')
    refused(program, quoted, 3, "quoted.csv.gz, line 2: a cell has more than 131,072 characters")
    one_line = tmp_path / "line.csv.gz"
    one_line.write_bytes(gzip.compress(b"x" * 2**23))
    refused(program, one_line, 3, "line.csv.gz, line 1: the line has more than")
    deep = tmp_path / "json.gz"
    with gzip.open(deep, "wb", compresslevel=1) as file:
        file.write(b"[")
        for _ in range(70):
            file.write(b" " * 2**20)
    refused(program, deep, 3, "json.gz: it has more than 67,108,864 bytes")


def test_more_rows_than_a_table_may_have(program, tmp_path, monkeypatch):
    monkeypatch.setattr("ww_core.loading.tables.table.MOST_ROWS", 3)
    path = tmp_path / "scores.csv"
    path.write_bytes(lines(*(row(name=f"e{number}") for number in range(3))))
    refused(program, path, 3, "scores.csv: it has more than 3 rows")


def test_a_store_that_cannot_be_written_is_left_alone(program, tmp_path):
    path = tmp_path / "scores.csv"
    path.write_bytes(lines())
    done = program("scores", "import", path, environ={"WW_STORE": str(tmp_path)})
    assert (done.returncode, "folder or a device" in done.stderr) == (3, True)
