"""Cells that hold what ww never writes: one sentence, whoever reads them, and no memory for what they claim."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

import ww_core as ww
from ww_core.domain.spectrum import SpectrumKind
from ww_core.store.encoding import LONGEST, check_lengths, decode_spectrum, encode_spectrum
from ww_core.store.store import open_store


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "store.sqlite"
    random = np.random.default_rng(1)
    ww.analyze({f"{name}.weight": random.standard_normal((9, 7)) for name in "abc"}, store=path, name="net")
    return path


@pytest.fixture
def file(sound_file, tmp_path):
    """Path of a store in a file, of which any change is possible."""
    return shutil.copyfile(sound_file, tmp_path / "store.sqlite")


def change(path: Path, statement: str, parameters: tuple = ()) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(statement, parameters)
        connection.commit()


def without_rule(path: Path, table: str, rule: str, statement: str) -> None:
    """Execute a statement as if a rule were not in the definition of a table."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (definition,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", [table]).fetchone()
        assert rule in definition
        for text in (definition.replace(rule, ""), definition):
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", [text, table])
            connection.commit()
            connection.execute("PRAGMA writable_schema = RESET")
            if text != definition:
                connection.execute(statement)


@contextlib.contextmanager
def bounded(mebibytes: float = 50, seconds: float = 10):
    """Fail where more memory or time is taken."""
    tracemalloc.start()
    began = time.monotonic()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < mebibytes * 2**20
        assert time.monotonic() - began < seconds
    finally:
        tracemalloc.stop()


# --- numbers that claim memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE coverage SET matrices = {2**63 - 1}",
        f"UPDATE coverage SET matrices = {2**40} WHERE position = 1",
        f"UPDATE coverage SET matrices = {-(2**63)}",
        f"UPDATE coverage SET matrices = CASE position WHEN 0 THEN {2**40} ELSE {-(2**39)} END",
        "UPDATE coverage SET matrices = 500001",
        "UPDATE coverage SET matrices = 3, rows = 0",
        "UPDATE coverage SET rows = 0",
        "UPDATE coverage SET cols = -1 WHERE position = 1",
    ],
)
def test_counts_of_matrices_claim_no_memory(file, statement):
    change(file, statement)
    with bounded(), open_store(file, mode="read") as store:
        with pytest.raises(ww.StoreError, match=r"counts .*matrices.*: look with `ww db check`|cannot be read"):
            store.report("net")
        assert store.verify().faults


CLAIMS = {
    "more than any": (LONGEST + 1, 2_000_000),
    "all that there may be": (LONGEST, 2_000_000),
    "two gibibytes": (2**28, 2_000_000),
    "in few bytes": (LONGEST, 20),
    "the largest number": (2**63 - 1, 2_000_000),
    "a negative one": (-(2**63), 20),
}


@pytest.mark.parametrize(("length", "size"), CLAIMS.values(), ids=CLAIMS)
def test_lengths_of_spectra_claim_no_memory(file, length, size):
    change(file, "UPDATE spectrum SET length = ?, singular_values = zeroblob(?)", (length, size))
    with contextlib.closing(sqlite3.connect(file)) as connection:
        subjects = [digest for (digest,) in connection.execute("SELECT digest FROM subject")]
    with bounded(), open_store(file, mode="read") as store:
        with pytest.raises(ww.StoreError, match="damaged"):
            store.spectrum("net", "a")
        with pytest.raises(ww.StoreError, match="damaged"), store.reading() as reader:
            reader.spectra(subjects, SpectrumKind("standard"))
        assert store.verify().faults["spectrum"].count == 3


def test_what_is_decompressed_is_limited():
    bomb = zlib.compress(bytes(64 << 20), 9)
    for count in (-1, 0, 1, 100, LONGEST + 1, 2**63 - 1):
        with bounded(1), pytest.raises(ww.StoreError, match="damaged"):
            decode_spectrum("f8-shuffle-zlib", bomb, count)
    with bounded(1), pytest.raises(ww.StoreError, match="cannot hold"):
        check_lengths([(bomb[:1000], LONGEST // 10)] * 10)
    constant = np.full(100_000, 0.5)
    encoding, content = encode_spectrum(constant)
    check_lengths([(content, constant.size)])
    assert np.array_equal(decode_spectrum(encoding, content, constant.size), constant)


# --- cells ------------------------------------------------------------------------------------------------------------

ROWS = {
    "text for a number": (
        "UPDATE coverage SET matrices = 'two' WHERE position = 1",
        "matrices",
        "(analysis_id 1, position 1)",
        "type text",
    ),
    "blob for a text": ("UPDATE run SET profile = x'00' WHERE id = 1", "profile", "run (id 1)", "type blob"),
    "text for a float": (
        "UPDATE spectrum SET noise_floor = 'low' WHERE rowid = 2",
        "noise_floor",
        "spectrum (subject_id ",
        "type text",
    ),
    "float for a whole number": ("UPDATE layer SET groups = 1.5 WHERE id = 2", "groups", "layer (id 2)", "type real"),
    "text for a blob": (
        "UPDATE spectrum SET singular_values = 'x' WHERE rowid = 3",
        "singular_values",
        "spectrum (subject_id ",
        "type text",
    ),
    "more than yes and no": (
        "UPDATE coverage SET is_primary = 7 WHERE position = 2",
        "is_primary",
        "position 2)",
        "type integer",
    ),
    "no letters": ("UPDATE label SET source = CAST(x'ff61' AS TEXT)", "source", "label (id 1)", "no text"),
}


@pytest.mark.parametrize(("statement", "column", "row", "what"), ROWS.values(), ids=ROWS)
def test_a_check_names_the_row(ww_here, sound_file, statement, column, row, what):
    shutil.copyfile(sound_file, ww_here.store)
    change(ww_here.store, statement)
    done = ww_here("db", "check")
    assert done.returncode == 3
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("cell: ")]
    assert line.startswith(f"cell: {column} of ")
    assert row in line
    assert line.endswith(what)


@pytest.mark.parametrize(
    ("table", "rule", "statement", "words"),
    [
        ("coverage", "extractor TEXT NOT NULL", "UPDATE coverage SET extractor = NULL", "extractor of coverage"),
        ("layer", "name TEXT NOT NULL", "UPDATE layer SET name = NULL WHERE id = 2", "name of layer (id 2)"),
        ("run", "state VARCHAR(16) NOT NULL", "UPDATE run SET state = NULL", "state of run (id 1)"),
    ],
)
def test_nothing_in_place_of_something(file, table, rule, statement, words):
    with contextlib.closing(sqlite3.connect(file)) as connection:
        (definition,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", [table]).fetchone()
    without_rule(file, table, " NOT NULL", statement)
    assert rule in definition
    with open_store(file, mode="read") as store:
        with contextlib.suppress(ww.StoreError):
            store.report("net")
        assert any(message.startswith(words) for message in store.verify().faults["cell"].first)


@pytest.mark.parametrize("place", [16, 18, 44, 47, 56])
@pytest.mark.parametrize("value", [0, 9, 255])
@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_header_that_sqlite_does_not_know_is_one_sentence(file, place, value, mode):
    content = bytearray(file.read_bytes())
    content[place] = value
    file.write_bytes(content)
    with contextlib.suppress(ww.StoreError), open_store(file, mode=mode) as store:
        store.report("net")


def test_a_format_of_another_sqlite_is_named(file):
    content = bytearray(file.read_bytes())
    content[47] = 9  # the number of the format of the schema: 1 to 4
    file.write_bytes(content)
    with pytest.raises(ww.StoreError, match="has a format that this SQLite"):
        open_store(file)


@pytest.mark.parametrize(
    "statement", [f"UPDATE sqlite_sequence SET seq = {2**63 - 1}", f"UPDATE run SET id = {2**63 - 1}"]
)
def test_numbers_that_are_used_up_are_no_full_disk(file, statement):
    change(file, statement)
    with pytest.raises(ww.StoreError, match="no number is left for another run: look with `ww db check`"):
        ww.analyze({"a.weight": np.eye(3)}, store=file, name="net")
    with open_store(file, mode="read") as store:
        assert store.verify().faults["cell"].first[-1] == "no number is left for another row of run"
