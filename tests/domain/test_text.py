"""Texts of strangers on terminals and in files: nothing acts, nothing is lost, no two are shown alike."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ww_core.domain.csv_text import CsvLines, cell_of_value, raw_cell, text_of_cell
from ww_core.domain.globs import matches
from ww_core.domain.text import escaped, json_escaped, printable, unescaped

UNPRINTABLE = [
    *map(chr, range(0x01, 0x20)),
    *map(chr, range(0x7F, 0xA0)),
    *map(chr, range(0x202A, 0x202F)),
    *map(chr, range(0x2066, 0x206A)),
    *"\u200b\u200e\u200f\u061c\ufeff\u2028\u2029\xad\U000e0001\U000e0041\ufff9",
]
# Made of what escapes are made of, so that texts that look like them are often drawn.
storable = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.text(st.sampled_from("\\xuU012ab'=+-@\t\r\n\x1b\u202e\U000e0041é")),
)


@given(text=storable)
def test_an_escaped_text_is_printable_and_can_be_read_back(text):
    assert escaped(text).isprintable()
    assert unescaped(escaped(text)) == text
    assert printable(text).isprintable()
    assert printable(escaped(text)) == escaped(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        (r"\x1b[2J", r"\\x1b[2J"),
        ("\\\x1b", r"\\\x1b"),
        ("\\\\x1b", r"\\\\x1b"),
        ("a\u202eb", r"a\u202eb"),
        ("\U000e0041", r"\U000e0041"),
        (r"C:\new\table", r"C:\new\table"),
        (r"$\theta \xi \x41 \u0041$", r"$\theta \xi \x41 \u0041$"),
        ("größe 模型", "größe 模型"),
        ("a\nb", r"a\x0ab"),
    ],
)
def test_what_is_shown(text, shown):
    assert escaped(text) == shown
    assert unescaped(shown) == text


@pytest.mark.parametrize("letter", UNPRINTABLE, ids=ascii)
def test_no_form_passes_a_character_on_that_acts(letter):
    text = f"a{letter}b"
    told = [escaped(text), printable(text), json_escaped(json.dumps(text, ensure_ascii=False))]
    assert not any(letter in own for own in told)
    assert (letter in str(cell_of_value(text))) == (letter in "\t\n")
    assert json.loads(told[2]) == text


@given(text=st.text())
def test_json_says_the_same_escaped(text):
    told = json_escaped(json.dumps({text: [text]}, ensure_ascii=False))
    assert told.isprintable()
    assert json.loads(told) == {text: [text]}


def csv_of(rows, cell):
    pieces = []
    CsvLines(pieces.append, cell).rows(rows)
    return "".join(pieces)


@given(rows=st.lists(st.lists(storable, min_size=2, max_size=2)))
def test_csv_is_read_back_without_loss(rows):
    text = csv_of(rows, cell_of_value)
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert [[text_of_cell(cell) for cell in row] for row in read] == rows
    assert text.replace("\n", "").replace("\t", "").isprintable()
    raw = list(csv.reader(io.StringIO(csv_of(rows, raw_cell), newline="")))
    assert raw == rows


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("'=1+1", "''=1+1"),
        ("'tis", "'tis"),
        ("@SUM(1)", "'@SUM(1)"),
        ("-x", "'-x"),
        ("'-1.5", "''-1.5"),
        ("＝1", "'＝1"),  # noqa: RUF001 - a formula in East Asia
        ("\t=1", "'\t=1"),
        ("=\x1b", r"'=\x1b"),
    ],
)
def test_no_text_is_a_formula(text, cell):
    assert cell_of_value(text) == cell
    assert text_of_cell(cell) == text


@pytest.mark.parametrize("value", [-1.5, -7, 0, True, None, "-1.5", "+3e-5", "-.5", 1e-320])
def test_numbers_are_what_they_are(value):
    assert cell_of_value(value) == value
    assert type(cell_of_value(value)) is type(value)


@pytest.mark.parametrize("glob", ["a\x1bb", r"a\x1bb", r"*\x1b*", "a?b", "*\x1bb"])
def test_a_glob_means_a_name_as_it_is_and_as_it_is_shown(glob):
    assert matches("a\x1bb", glob)
    assert not matches(r"c\x1bb", glob) or glob.startswith("*")
    assert not matches("ab", glob)
