"""``ww import`` as a user runs it: what it stores, what it says, and what it refuses in one sentence."""

from __future__ import annotations

import gzip
import json
import os

import pytest

import ww_core as ww

MAPPING = """
provider = "paper"
model = "{model}"

[[columns]]
column = "alpha"
better = "lower"
"""

TABLE = "model,alpha\na,1.5\nb,2.5\n"


@pytest.fixture
def mapping(tmp_path):
    path = tmp_path / "map.toml"
    path.write_text(MAPPING)
    return path


def lines(done):
    return [line for line in done.stderr.splitlines() if line.strip()]


def assert_refused(done, code, *parts):
    """One sentence with all parts, the exit code, and no traceback."""
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stdout == ""
    assert len(lines(done)) == 1, done.stderr
    sentence = lines(done)[0]
    assert sentence.startswith("error: ")
    assert "Traceback" not in sentence
    assert len(sentence) < 600
    for part in parts:
        assert part in sentence, sentence


def stored(store):
    with ww.open_store(store) as opened, opened.reading() as reader:
        return reader.reported_tables()


def test_a_table_is_stored_once_and_replaced_when_asked(ww_here, mapping):
    table = ww_here.folder / "table.csv"
    table.write_text(TABLE)
    first = ww_here("import", table, "--mapping", mapping)
    assert first.returncode == 0
    assert first.stdout == "table.csv: 2 models, 2 rows, 1 column, 2 values of paper\n"
    again = ww_here("import", table, "--mapping", mapping)
    assert (again.returncode, again.stdout) == (0, "table.csv: stored already, nothing is added\n")
    table.write_text(TABLE + "c,3\n")
    assert_refused(ww_here("import", table, "--mapping", mapping), 2, "table.csv", "--replace")
    assert stored(ww_here.store)[0].rows == 2
    replaced = ww_here("import", table, "--mapping", mapping, "--replace")
    assert replaced.stdout.startswith("table.csv: 3 models")
    assert stored(ww_here.store)[0].rows == 3


def test_json_says_all_of_it(ww_here, mapping):
    table = ww_here.folder / "table.csv"
    table.write_text("model,alpha,comment\na,1.5,x\n")
    done = ww_here("import", table, "--mapping", mapping, "--source", "s", "--provider", "p", "--series", "f", "--json")
    report = json.loads(done.stdout)
    assert report["source"] == "s"
    assert report["provider"] == "p"
    assert report["columns"] == ["alpha"]
    assert (report["models"], report["rows"], report["values"], report["scores"]) == (1, 1, 1, 0)
    assert report["is_new"] is True
    assert report["importer"].startswith("ww.importers:mapped[mapping=")
    assert report["notes"] == ["left out, as the mapping does not name them: comment"]
    with ww.open_store(ww_here.store) as store:
        assert [(member.series, member.model) for member in store.series()] == [("f", "a")]


def test_notes_go_to_stderr(ww_here, mapping):
    table = ww_here.folder / "table.csv"
    table.write_text("model,alpha,comment\na,1.5,x\n")
    done = ww_here("import", table, "--mapping", mapping)
    assert lines(done) == ["note: left out, as the mapping does not name them: comment"]


def test_importers_are_listed(ww_here):
    done = ww_here("importers", "--json")
    rows = {row["importer"]: row for row in json.loads(done.stdout)}
    assert {"weightwatcher", "weightwatcher-summary", "report", "mapped"} <= rows.keys()
    assert rows["weightwatcher"]["options"] == {"version": "", "model_column": "", "undocumented": False}
    assert all(row["doc"] for row in rows.values())


def test_an_importer_of_a_file_is_used(ww_here):
    (ww_here.folder / "own.py").write_text(
        "import ww_core as ww\n"
        "class Own(ww.Importer):\n"
        "    name = 'own'\n"
        "    description = 'own'\n"
        "    def probe(self, source):\n"
        "        return float(not source.is_folder and source.head(3) == b'own')\n"
        "    def read(self, source):\n"
        "        column = ww.ReportedColumn('x', 'own:x', '1', 'A number.')\n"
        "        rows = (ww.ReportedEntry('', {'x': ww.Outcome.of(1.5)}),)\n"
        "        return ww.ReportedTable('', 'own 1', (column,), rows)\n"
        "@ww.hookimpl\n"
        "def ww_register_importers():\n"
        "    return [Own()]\n"
    )
    (ww_here.folder / "net.own").write_text("own")
    done = ww_here("import", "net.own", "--plugin", "own.py")
    assert done.stdout == "net.own: 1 model, 1 row, 1 column, 1 value of own 1\n"


@pytest.mark.parametrize(
    ("body", "code", "part"),
    [
        ("raise KeyError('gone')", 2, "importer own:own failed: KeyError: 'gone' (own.py:8)"),
        ("return 3", 2, "gave an object of type int, no ww.ReportedTable"),
        ("return ww.ReportedTable('', 'p', (), ())", 3, "holds no row"),
        ("return ww.ReportedTable('', 'p', (), (ww.ReportedEntry('a@b', {}),))", 3, "'a@b' cannot be used"),
        ("return ww.ReportedTable('', 'p', (), (ww.ReportedEntry('a', {'x': 1.0}),))", 3, "'x', which is no column"),
    ],
)
def test_an_importer_that_is_wrong_is_named(ww_here, body, code, part):
    (ww_here.folder / "own.py").write_text(
        "import ww_core as ww\n"
        "class Own(ww.Importer):\n"
        "    name = 'own'\n"
        "    description = 'own'\n"
        "    def probe(self, source):\n"
        "        return 1.0\n"
        "    def read(self, source):\n"
        f"        {body}\n"
        "@ww.hookimpl\n"
        "def ww_register_importers():\n"
        "    return [Own()]\n"
    )
    (ww_here.folder / "net.own").write_text("own")
    assert_refused(ww_here("import", "net.own", "--plugin", "own.py"), code, part)
    assert not ww_here.store.exists() or stored(ww_here.store) == []


BROKEN = {
    "empty": (b"", 3, ["the file is empty"]),
    "blank lines": (b"\n  \n\n", 3, ["the file is empty"]),
    "header only": (b"model,alpha\n", 2, ["has a header and no rows"]),
    "header twice": (b"model,alpha,alpha\na,1,2\n", 3, ["names column 'alpha' twice"]),
    "header without a name": (b"model,,alpha\na,1,2\n", 3, ["column 2 of the header has no name"]),
    "header with control characters": (b"model,al\x07pha\na,1\n", 3, ["column 2 of the header", "control"]),
    "header of 300 characters": (b"model," + b"x" * 300 + b"\na,1\n", 3, ["more than 200 characters"]),
    "no header": (b"a,1.5\nb,2.5\n", 2, ["unknown column", "'model'"]),
    "short row": (b"model,alpha\na,1\nb\n", 3, ["line 3", "1 cells", "the header has 2"]),
    "long row": (b"model,alpha\na,1,5\n", 3, ["line 2", "3 cells"]),
    "unclosed quote": (b'model,alpha\na,1\n"b,2\nc,3\n', 3, ["line 3", "not closed"]),
    "text behind a quote": (b'model,alpha\n"a"x,1\n', 3, ["line 2", "closing quote"]),
    "NUL": (b"model,alpha\na,1\nb\0,2\n", 3, ["line 3", "NUL"]),
    "Latin-1": ("model,alpha\na,1\né,2\n".encode("latin-1"), 3, ["line 3", "not UTF-8 text"]),
    "UTF-16": ("model,alpha\na,1\n".encode("utf-16"), 3, ["UTF-16", "as CSV in UTF-8"]),
    "UTF-16 without its mark": ("model,alpha\na,1\n".encode("utf-16-le"), 3, ["line 1", "NUL"]),
    "carriage returns alone": (b"model,alpha\ra,1\rb,2\r", 3, ["carriage return"]),
    "decimal commas": (b"model;alpha\na;1,5\n", 3, ["line 2, column alpha", "write a point"]),
    "underscores": (b"model,alpha\na,1_000\n", 3, ["line 2, column alpha", "'1_000' is no number"]),
    "hexadecimal": (b"model,alpha\na,0x10\n", 3, ["line 2, column alpha", "'0x10' is no number"]),
    "too large": (b"model,alpha\na,1e999\n", 3, ["line 2, column alpha", "too large"]),
    "other digits": ("model,alpha\na,٣\n".encode(), 3, ["line 2, column alpha", "is no number"]),
    "text among numbers": (b"model,alpha\na,1\nb,good\n", 3, ["line 3, column alpha", "'good' is no number"]),
    "model empty": (b"model,alpha\na,1\n,2\n", 3, ["line 3", "the model is empty"]),
    "model with @": (b"model,alpha\na@1,1\n", 3, ["line 2", "'a@1' cannot be used"]),
    "model with an escape": (b"model,alpha\n\x1b[31ma,1\n", 3, ["line 2", "control characters"]),
    "model of 300 characters": (b"model,alpha\n" + b"m" * 300 + b",1\n", 3, ["line 2", "300 characters"]),
    "model twice": (b"model,alpha\na,1\nb,2\na,1\n", 3, ["line 4", "a has a row in line 2 already"]),
    "cut gzip": (gzip.compress(os.urandom(5000))[:2000], 3, ["cut short"]),
    "damaged gzip": (b"\x1f\x8b\x08\x00" + b"\xff" * 40, 3, ["damaged"]),
    "gzip in gzip": (gzip.compress(gzip.compress(TABLE.encode())), 3, ["line 1"]),
    "zip": (b"PK\x03\x04" + bytes(40), 3, ["a zip archive", "as CSV"]),
    "SQLite": (b"SQLite format 3\0" + bytes(100), 3, ["a database of SQLite"]),
    "bytes": (bytes(range(256)), 3, ["NUL"]),
    "a million columns": (b"model," + b"x," * 1_000_000 + b"y\n", 3, ["1,000,002 columns"]),
    "a cell of 1 MB": (b'model,alpha\n"' + b"x" * 1_000_000 + b'",1\n', 3, ["line 2", "131,072 characters"]),
    "a line of 5 MB": (b"model,alpha\n" + b"x" * 5_000_000, 3, ["line 2", "bytes: this is not a table"]),
    "JSON, no list": (b'{"model":\n"a"}', 3, ["a list of objects is expected"]),
    "JSON, columns": (b'{"model": {"0": "a"}, "alpha": {"0": 1}}', 3, ["line 1, column model", "not an object"]),
    "JSON, a list of lists": (b'[["model", "alpha"], ["a", 1]]', 3, ["a list of objects is expected"]),
    "JSON, an empty list": (b"[]", 3, ["the list is empty"]),
    "JSON, cut": (b'[{"model": "a", "alpha": 1}, {"mod', 3, ["is not JSON", "line 1"]),
    "JSON, a key twice": (b'[{"model": "a", "model": "b", "alpha": 1}]', 3, ["'model' is there twice"]),
    "JSON, nested": (b'[{"model": "a", "alpha": [1]}]', 3, ["record 1, column alpha", "not a list"]),
    "JSON, deep": (b"[" * 100_000, 3, ["nested too deep"]),
    "JSON, true for a number": (b'[{"model": "a", "alpha": true}]', 3, ["record 1, column alpha", "True is no number"]),
    "JSON, a number of 5,000 digits": (b'[{"model": "a", "alpha": ' + b"9" * 5000 + b"}]", 3, ["not readable JSON"]),
    "JSON, a number of 400 digits": (b'[{"model": "a", "alpha": ' + b"9" * 400 + b"}]", 3, ["too large"]),
    "JSON, a NUL in a name": (b'[{"model": "a\\u0000", "alpha": 1}]', 3, ["record 1", "control characters"]),
    "JSON, half a character": (b'[{"model": "a\\ud800", "alpha": 1}]', 3, ["record 1", "control characters"]),
}  # fmt: skip


class TestBrokenFiles:
    """Broken tables: one sentence that names the file, the line and the cause; nothing is stored."""

    @pytest.mark.parametrize("case", BROKEN)
    def test_it_is_one_sentence(self, case, ww_here, mapping):
        content, code, parts = BROKEN[case]
        (ww_here.folder / "table.csv").write_bytes(content)
        named = [] if code == 2 and "column" in parts[0] else ["table.csv"]
        assert_refused(ww_here("import", "table.csv", "--mapping", mapping), code, *named, *parts)
        assert not ww_here.store.exists()

    @pytest.mark.parametrize("case", ["empty", "UTF-16", "cut gzip", "JSON, cut", "JSON, an empty list", "zip"])
    def test_without_a_mapping_it_is_the_same_sentence(self, case, ww_here):
        content, code, parts = BROKEN[case]
        (ww_here.folder / "table.csv").write_bytes(content)
        assert_refused(ww_here("import", "table.csv"), code, "table.csv", *parts)

    @pytest.mark.parametrize("row", [b"1,\0,2", b'1,"2,3', b"1,2", b"1,2,x", b"1,\xff,2", b"1,2,1_0", b",2,3"])
    def test_a_frame_with_a_broken_row(self, row, ww_here):
        (ww_here.folder / "net.csv").write_bytes(b"layer_id,norm,alpha\n0,1,2\n" + row + b"\n")
        assert_refused(ww_here("import", "net.csv"), 3, "net.csv, line 3")
        assert not ww_here.store.exists()

    def test_a_bomb_is_stopped(self, ww_here, mapping):
        line = b"a,1\n" * 250_000
        with gzip.open(ww_here.folder / "bomb.csv.gz", "wb", compresslevel=9) as file:
            file.write(b"model,alpha\n")
            for _ in range(80):
                file.write(line)
        assert (ww_here.folder / "bomb.csv.gz").stat().st_size < 2**20
        assert_refused(ww_here("import", "bomb.csv.gz", "--mapping", mapping), 3, "bomb.csv.gz", "1,000,000 rows")

    def test_a_folder(self, ww_here, mapping):
        assert_refused(ww_here("import", ".", "--mapping", mapping), 2, ". is a folder")

    def test_a_missing_file(self, ww_here, mapping):
        assert_refused(ww_here("import", "gone.csv", "--mapping", mapping), 3, "gone.csv", "no such file")

    def test_a_device(self, ww_here, mapping):
        assert_refused(ww_here("import", "/dev/zero", "--mapping", mapping), 3, "a device")

    def test_a_pipe(self, ww_here, mapping):
        os.mkfifo(ww_here.folder / "pipe.csv")
        assert_refused(ww_here("import", "pipe.csv", "--mapping", mapping), 3, "a named pipe")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_an_unreadable_file(self, ww_here, mapping):
        table = ww_here.folder / "table.csv"
        table.write_text(TABLE)
        table.chmod(0)
        assert_refused(ww_here("import", table, "--mapping", mapping), 3, "table.csv", "Permission denied")

    def test_an_address_that_nothing_opens(self, ww_here):
        assert_refused(ww_here("import", "gopher://x/table.csv"), 3, "gopher://")

    def test_an_empty_name(self, ww_here):
        assert_refused(ww_here("import", ""), 2, "FOLDER is empty")


class TestWhatWorks:
    """Tables that look odd and are not broken."""

    @pytest.mark.parametrize(
        "content",
        [
            TABLE.encode(),
            b"\xef\xbb\xbf" + TABLE.encode(),
            TABLE.replace("\n", "\r\n").encode(),
            TABLE.replace(",", ";").encode(),
            TABLE.replace(",", "\t").encode(),
            TABLE.rstrip().encode(),
            b"\n\n" + TABLE.replace("\n", "\n\n").encode(),
            b'"model","alpha"\n"a"," 1.5 "\n b ,2.50\n',
            b",model,alpha\n0,a,1.5\n1,b,2.5\n",
            gzip.compress(TABLE.encode()),
            b'[{"model": "a", "alpha": 1.5}, {"alpha": 2.5, "model": "b"}]',
            gzip.compress(b'\n [{"model": "a", "alpha": "1.5"}, {"alpha": 2.5, "model": "b"}]'),
        ],
        ids=[
            "plain", "BOM", "CRLF", "semicolons", "tabs", "no last line feed", "blank lines", "quotes and blanks",
            "an index", "gzip", "JSON", "JSON in gzip",
        ],
    )  # fmt: skip
    def test_it_is_the_same_table(self, content, ww_here, mapping):
        (ww_here.folder / "table").write_bytes(content)
        done = ww_here("import", "table", "--mapping", mapping)
        assert done.stdout == "table: 2 models, 2 rows, 1 column, 2 values of paper\n", done.stderr
        assert values_of(ww_here.store) == [("a", "ok", 1.5), ("b", "ok", 2.5)]

    def test_cells_without_a_number_have_a_state(self, ww_here, mapping):
        cells = {
            "": "not_applicable", "None": "not_applicable", "NA": "not_applicable", "nan": "nan", "NaN": "nan",
            "inf": "inf", "-Infinity": "-inf", "1": "ok",
        }  # fmt: skip
        rows = "".join(f"m{at},{cell}\n" for at, cell in enumerate(cells))
        (ww_here.folder / "table.csv").write_text("model,alpha\n" + rows)
        assert ww_here("import", "table.csv", "--mapping", mapping).returncode == 0
        assert [state for _, state, _ in values_of(ww_here.store)] == list(cells.values())


def values_of(store):
    import sqlite3

    connection = sqlite3.connect(store)
    try:
        return connection.execute(
            "select r.model, v.state, v.number from reported_subject r join value v on v.subject_id = r.subject_id "
            "order by r.row"
        ).fetchall()
    finally:
        connection.close()


class TestMappings:
    """Mappings that fit nothing, or are none."""

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("", ["maps nothing"]),
            ("model = 3\n[[columns]]\ncolumn='*'", ["model must be a text, not a number"]),
            ("modle = '{model}'\n[[columns]]\ncolumn='*'", ["unknown key 'modle'", "did you mean model"]),
            ("[[column]]\ncolumn='*'", ["unknown key 'column'", "columns"]),
            ("columns = 3", ["columns must be a list of tables"]),
            ("columns = ['alpha']", ["[[columns]] 1", "a table of keys is expected"]),
            ("[[columns]]\nname='x'", ["[[columns]] 1", "column is missing"]),
            ("[[columns]]\ncolumn='*'\nbetter='up'", ["better must be one of lower, higher, none"]),
            ("[[columns]]\ncolumn='*'\ntype='double'", ["type must be one of float, int, bool, text"]),
            ("[[columns]]\ncolumn='*'\nunits='%'", ["unknown key 'units'", "did you mean unit"]),
            ("[[columns]]\ncolumn='alfa'", ["unknown column of table.csv 'alfa'", "did you mean alpha"]),
            ("[[columns]]\ncolumn='gamma*'", ["unknown column of table.csv 'gamma*'"]),
            ("model='{modle}'\n[[columns]]\ncolumn='*'", ["model '{modle}'", "did you mean model"]),
            ("model='{model'\n[[columns]]\ncolumn='*'", ["a brace without its other one"]),
            ("model='{}'\n[[columns]]\ncolumn='*'", ["empty braces"]),
            ("keep={model='z'}\n[[columns]]\ncolumn='*'", ["no row is left"]),
            ("keep=3\n[[columns]]\ncolumn='*'", ["keep must be a table of columns"]),
            ("keep={model=[['a']]}\n[[columns]]\ncolumn='*'", ["keep.model must be a text or a list of texts"]),
            ("keep={name='a'}\n[[columns]]\ncolumn='*'", ["keep", "unknown column"]),
            ("[[columns]]\ncolumn='mod*'", ["no column of table.csv that it names holds a number"]),
            ("[[columns]]\ncolumn='alpha'\nname='{modle}'", ["[[columns]] 1: name", "did you mean model"]),
            (
                "model='{model}'\n[[columns]]\ncolumn='alpha'\nname='x'\n[[columns]]\ncolumn='beta'\nname='x'",
                ["'x'", "rename one"],
            ),
            ("[[scores]]\nname='e'\nsource='s'", ["[[scores]] 1", "value is missing"]),
            ("[[scores]]\nname='e'\nvalue='alpha'", ["source is missing"]),
            ("[[scores]]\nname='e'\nvalue='alpha'\nsource='s'\nlow='alpha'", ["an interval has two ends"]),
            ("[[scores]]\nname='e'\nvalue='err'\nsource='s'", ["unknown column of table.csv 'err'"]),
            ("source='{model}'\n[[columns]]\ncolumn='*'", ["source '{model}' is not the same in all rows"]),
            ("[[columns]]\ncolumn='*'", ["which model a row of table.csv is of", "model = '{column}'"]),
            ("model=\"\\u0007\"\n[[columns]]\ncolumn='*'", ["control characters"]),
            ("a = [", ["is not TOML"]),
        ],
    )
    def test_it_is_one_sentence(self, text, parts, ww_here):
        (ww_here.folder / "table.csv").write_text(
            "model,alpha,beta\na,1,x\nb,2,y\n".replace("x", "5").replace("y", "6")
        )
        (ww_here.folder / "map.toml").write_text(text)
        done = ww_here("import", "table.csv", "--mapping", "map.toml", "--provider", "p")
        assert_refused(done, 2, "map.toml", *parts)
        assert not ww_here.store.exists()

    def test_a_column_of_texts_is_told(self, ww_here):
        (ww_here.folder / "table.csv").write_text("model,alpha,grade\na,1,good\nb,2,bad\n")
        (ww_here.folder / "map.toml").write_text("model='{model}'\nprovider='p'\n[[columns]]\ncolumn='*'")
        done = ww_here("import", "table.csv", "--mapping", "map.toml")
        assert done.stdout.startswith("table.csv: 2 models, 2 rows, 1 column")
        assert lines(done) == ["note: left out, as they hold no numbers: grade (line 2: 'good' is no number)"]

    @pytest.mark.parametrize("kind", ["missing", "folder", "long", "bytes"])
    def test_a_file_that_is_no_mapping(self, kind, ww_here):
        path = ww_here.folder / "map.toml"
        (ww_here.folder / "table.csv").write_text(TABLE)
        if kind == "folder":
            path.mkdir()
        elif kind != "missing":
            path.write_bytes(b"#" * 2**21 if kind == "long" else b"\xff\xfe")
        assert_refused(ww_here("import", "table.csv", "--mapping", "map.toml"), 2, "map.toml")


class TestOptions:
    @pytest.mark.parametrize(
        ("arguments", "code", "parts"),
        [
            (["--importer", "mappd"], 2, ["unknown importer 'mappd'", "did you mean mapped"]),
            (["--importer", "mapped"], 2, ["needs a mapping"]),
            (["--importer", "mapped[map=x]"], 2, ["unknown parameter of mapped 'map'"]),
            (["--importer", "weightwatcher", "--mapping", "map.toml"], 2, ["takes no mapping"]),
            (["--importer", "weightwatcher[version=9]"], 2, ["version '9' of WeightWatcher is not known"]),
            (["--importer", "weightwatcher[version=x]"], 2, ["version 'x' of WeightWatcher is not known"]),
            (["--importer", "weightwatcher"], 3, ["table.csv", "no details frame"]),
            (["--importer", ""], 2, ["--importer is empty"]),
            (["--mapping", ""], 2, ["--mapping is empty"]),
            (["--mapping", "map.toml", "--model", "x"], 2, ["names its models, such as 'a'", "leave --model out"]),
            (["--mapping", "map.toml", "--source", "\x07"], 2, ["--source", "control characters"]),
            (["--mapping", "map.toml", "--provider", ""], 2, ["--provider is empty"]),
            (["--mapping", "map.toml", "--version", "a@b"], 2, ["--version 'a@b' cannot be used"]),
            (["--mapping", "map.toml", "--series", " "], 2, ["--series"]),
            ([], 3, ["no importer recognises it", "model, alpha", "--mapping FILE.toml"]),
        ],
    )
    def test_a_wrong_option_is_one_sentence(self, arguments, code, parts, ww_here, mapping):
        (ww_here.folder / "table.csv").write_text(TABLE)
        assert_refused(ww_here("import", "table.csv", *arguments), code, *parts)
        assert not ww_here.store.exists()

    def test_nobody_says_who_computed_it(self, ww_here):
        (ww_here.folder / "table.csv").write_text(TABLE)
        (ww_here.folder / "map.toml").write_text("model='{model}'\n[[columns]]\ncolumn='*'")
        assert_refused(ww_here("import", "table.csv", "--mapping", "map.toml"), 2, "table.csv", "give --provider")

    def test_the_model_and_its_version_are_said_or_the_files(self, ww_here):
        (ww_here.folder / "vgg11.csv.gz").write_bytes(gzip.compress(b"alpha\n1.5\n"))
        (ww_here.folder / "map.toml").write_text("provider='p'\n[[columns]]\ncolumn='*'")
        for arguments in ([], ["--model", "net", "--version", "2", "--source", "other"]):
            assert ww_here("import", "vgg11.csv.gz", "--mapping", "map.toml", *arguments).returncode == 0
        import sqlite3

        connection = sqlite3.connect(ww_here.store)
        rows = connection.execute(
            "select distinct source, model, version from reported_subject where source != '' order by model"
        ).fetchall()
        connection.close()
        assert rows == [("other", "net", "2"), ("vgg11.csv.gz", "vgg11", "")]


def test_a_full_disk_or_a_store_that_is_none_is_one_sentence(ww_here, mapping):
    (ww_here.folder / "table.csv").write_text(TABLE)
    (ww_here.folder / "bad").write_text("no store")
    done = ww_here("import", "table.csv", "--mapping", mapping, "--store", "bad")
    assert_refused(done, 3, "bad")
