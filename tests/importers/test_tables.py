"""Tables in files: what a program wrote is what is read, whatever stands between cells."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ww_core.errors import CorruptFileError
from ww_core.loading.files import FileSource
from ww_core.loading.tables import number_of, outcome_of, read_table

names = st.text(st.characters(categories=["L", "N"], include_characters="_ ./-"), min_size=1, max_size=8).map(str.strip)
cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=12)


@st.composite
def tables(draw):
    header = draw(st.lists(names.filter(bool), min_size=2, max_size=5, unique=True))
    rows = draw(st.lists(st.lists(cells, min_size=len(header), max_size=len(header)), max_size=6))
    return header, rows


@settings(max_examples=60, deadline=None)
@given(table=tables(), delimiter=st.sampled_from(",;\t"), end=st.sampled_from(["\n", "\r\n"]), compressed=st.booleans())
def test_what_was_written_is_read(tmp_path_factory, table, delimiter, end, compressed):
    header, rows = table
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([header, *rows])
    content = text.getvalue().encode()
    path = tmp_path_factory.mktemp("table") / "table"
    path.write_bytes(gzip.compress(content) if compressed else content)
    read = read_table(FileSource(path))
    assert read.header == tuple(header)
    assert [list(row.cells) for row in read] == rows
    assert [list(row.cells) for row in read] == rows  # a second time
    lines = content.decode().split("\n")
    for row in read:
        assert lines[row.number - 1].startswith('"' + row.cells[0].replace('"', '""').split("\n")[0])


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.dictionaries(names.filter(bool), st.none() | st.floats() | st.integers() | cells), min_size=1))
def test_records_are_read_as_they_are(tmp_path_factory, rows):
    header = list(dict.fromkeys(name for row in rows for name in row))
    path = tmp_path_factory.mktemp("table") / "table"
    path.write_text(json.dumps(rows))
    if not header:
        with pytest.raises(CorruptFileError, match="no header"):
            read_table(FileSource(path))
        return
    read = read_table(FileSource(path))
    assert read.header == tuple(header)
    for row, record in zip(read, rows, strict=True):
        for name, cell in zip(header, row.cells, strict=True):
            expected = record.get(name)
            assert cell == expected or (math.isnan(cell) and math.isnan(expected))


@given(st.floats())
def test_a_number_is_read_to_the_last_bit(number):
    for text in (repr(number), f" {number!r} ", str(number).upper()):
        read = number_of(text)
        assert read == number or (math.isnan(read) and math.isnan(number))


@given(st.text("0123456789.eE+-_ x٣,", max_size=6))
def test_a_text_is_a_number_where_python_and_json_agree(text):
    """Python's own reader is the oracle; what only it takes, as ``1_0`` and digits of other scripts, is none."""
    try:
        expected = float(text) if text.isascii() and "_" not in text else math.inf
    except ValueError:
        expected = math.inf
    if math.isfinite(expected):
        assert number_of(text) == expected
    else:
        with pytest.raises(ValueError, match="number"):
            number_of(text)


@pytest.mark.parametrize(
    "text", ["1_000", "0x10", "1e999", "-1e999", "1,5", "1 000", "٣", "½", "1.2.3", "e5", ".", "+", "1e", "--1", "true"]
)
def test_what_is_no_number(text):
    with pytest.raises(ValueError, match="number"):
        number_of(text)


def test_numbers_that_do_not_fit_an_integer():
    for text in ("1.5", "1e30", "9223372036854775808"):
        with pytest.raises(ValueError, match="not a whole number"):
            outcome_of(text, "int")
    assert outcome_of("766.0", "int").value == 766
    assert isinstance(outcome_of("766.0", "int").value, int)
