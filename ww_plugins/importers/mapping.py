"""Mappings: files in TOML that say what the columns of a table are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, cast

import ww_core as ww
from ww_core.loading.toml_files import read_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TYPES = ("float", "int", "bool", "text")
DIRECTIONS = ("lower", "higher", "none")

COLUMN = "column"
NAME = "name"

_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True, slots=True)
class Template:
    """A text with names of columns in braces, which stand for their cells; ``{{`` and ``}}`` are braces."""

    text: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The names in it, each once."""
        return tuple(dict.fromkeys(match[1] for match in _FIELD.finditer(self.text) if match[1] is not None))

    def filled(self, cell_of: Callable[[str], str]) -> str:
        """Return the text with cells instead of names, without blanks around it."""
        return _FIELD.sub(lambda match: cell_of(match[1]) if match[1] is not None else match[0][0], self.text).strip()

    def fault(self) -> str:
        """Say what is wrong with it; empty if nothing is."""
        for match in _FIELD.finditer(self.text):
            if match[0] in {"{", "}"}:
                return f"{self.text!r} has a brace without its other one: write {match[0] * 2} for the character"
            if match[1] == "":
                return f"{self.text!r} has empty braces: name a column in them"
        return ""


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """What one or several columns of the file are.

    Attributes:
        where: How messages call it.
        column: A column of the file, or a glob over columns that hold numbers.
        left_out: Columns, or globs, that the glob does not mean.
        name: Name in ww. It may name columns of the file: then it is another column from row to row.
        metric: Key of the definition.
        version: Version of the definition.
        definition: One sentence.
        type: Type of the values.
        better: Which direction is better.
        unit: Unit or log base.
        caveat: Why models must not be ranked by its plain mean.
    """

    where: str
    column: str
    left_out: tuple[str, ...]
    name: Template
    metric: Template
    version: str
    definition: Template
    type: Literal["float", "int", "bool", "text"]
    better: Literal["lower", "higher", "none"]
    unit: str
    caveat: str

    @property
    def is_long(self) -> bool:
        """Whether its name depends on the row."""
        return any(name != COLUMN for name in self.name.columns)


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """Scores that stand in a column of the file; ``low`` and ``high`` are columns too, empty for none."""

    where: str
    name: Template
    value: str
    dataset: Template
    source: Template
    better: Literal["lower", "higher", "none"]
    unit: str
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class TableMapping:
    """What a mapping says.

    Attributes:
        path: Its file.
        provider: The program or the paper that the table is of; the same for all rows.
        source: What tells the table from others; the same for all rows.
        model: Name of a row's model; empty if the file does not say it.
        version: Its version.
        layer: Name of the layer.
        series: Series that the model is a member of.
        keep: Texts that a cell of a column must have one of, by column.
        leave_out: Texts that it must have none of.
        columns: Its columns.
        scores: Its scores.
    """

    path: Path
    provider: Template
    source: Template
    model: Template
    version: Template
    layer: Template
    series: tuple[Template, ...]
    keep: Mapping[str, tuple[str, ...]]
    leave_out: Mapping[str, tuple[str, ...]]
    columns: tuple[ColumnRule, ...]
    scores: tuple[ScoreRule, ...]

    def templates(self) -> list[tuple[str, Template]]:
        """Return the templates of the table itself, each with its key."""
        named = [(key, cast("Template", getattr(self, key))) for key in ("provider", "source", *_ROW_TEXTS)]
        return named + [("series", template) for template in self.series]


_ROW_TEXTS = ("model", "version", "layer")


def read_mapping(path: Path) -> TableMapping:
    """Read a mapping.

    Raises:
        UsageError: It cannot be read, is not TOML, or says something else; the message names the key.
    """
    whole = _Section(str(path), read_toml(path, "mapping"), _WHOLE)
    mapping = TableMapping(
        path=path,
        provider=whole.template("provider"),
        source=whole.template("source"),
        model=whole.template("model"),
        version=whole.template("version"),
        layer=whole.template("layer"),
        series=whole.templates("series"),
        keep=whole.choices("keep"),
        leave_out=whole.choices("leave_out"),
        columns=tuple(_column_rule(section) for section in whole.sections("columns", _COLUMN)),
        scores=tuple(_score_rule(section) for section in whole.sections("scores", _SCORE)),
    )
    if not mapping.columns and not mapping.scores:
        raise ww.UsageError(f"{path} maps nothing: write [[columns]] with column = '*', or [[scores]]")
    return mapping


_WHOLE = ("provider", "source", "model", "version", "layer", "series", "keep", "leave_out", "columns", "scores")
_COLUMN = ("column", "except", "name", "metric", "version", "definition", "type", "better", "unit", "caveat")
_SCORE = ("name", "value", "dataset", "source", "better", "unit", "low", "high")


def _column_rule(section: _Section) -> ColumnRule:
    return ColumnRule(
        where=section.where,
        column=section.needed("column"),
        left_out=section.texts("except"),
        name=section.template("name", "{column}"),
        metric=section.template("metric", "mapped:{name}"),
        version=section.text("version") or "1",
        definition=section.template("definition"),
        type=cast("Any", section.one_of("type", TYPES, "float")),
        better=cast("Any", section.one_of("better", DIRECTIONS, "none")),
        unit=section.text("unit"),
        caveat=section.text("caveat"),
    )


def _score_rule(section: _Section) -> ScoreRule:
    low, high = section.text("low"), section.text("high")
    if bool(low) != bool(high):
        section.refuse("an interval has two ends: name the columns low and high, or neither")
    section.needed("name")
    section.needed("source")
    return ScoreRule(
        where=section.where,
        name=section.template("name"),
        value=section.needed("value"),
        dataset=section.template("dataset"),
        source=section.template("source"),
        better=cast("Any", section.one_of("better", DIRECTIONS, "none")),
        unit=section.text("unit"),
        low=low,
        high=high,
    )


class _Section:
    """A table of the file, and what messages call it."""

    def __init__(self, where: str, content: object, keys: Iterable[str]) -> None:
        self.where = where
        if not isinstance(content, Mapping):
            self.refuse(f"a table of keys is expected, not {_kind(content)}")
        self._content = content
        for key in content:
            if key not in keys:
                self.refuse(str(ww.UnknownNameError("key", str(key), keys)))

    def refuse(self, sentence: str) -> NoReturn:
        """Say what is wrong with it.

        Raises:
            UsageError: Always.
        """
        raise ww.UsageError(f"{self.where}: {sentence}")

    def text(self, key: str, default: str = "") -> str:
        """Return a text; the default if it is not there."""
        value = self._content.get(key, default)
        if not isinstance(value, str):
            self.refuse(f"{key} must be a text, not {_kind(value)}")
        if not value.isprintable():
            self.refuse(f"{key} {value!r} has control characters: leave them out")
        return value.strip()

    def needed(self, key: str) -> str:
        """Return a text that must be there and not be empty."""
        value = self.text(key)
        if not value:
            self.refuse(f"{key} is missing: give it a text")
        return value

    def one_of(self, key: str, known: tuple[str, ...], default: str) -> str:
        """Return a text that is one of those that are known."""
        value = self.text(key, default)
        if value not in known:
            self.refuse(f"{key} must be one of {', '.join(known)}, not {value!r}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a text or a list of texts."""
        return _texts(self, key, self._content.get(key, []))

    def template(self, key: str, default: str = "") -> Template:
        """Return a template."""
        return self._template(key, self.text(key, default))

    def templates(self, key: str) -> tuple[Template, ...]:
        """Return a template or a list of them."""
        return tuple(self._template(key, text) for text in self.texts(key))

    def choices(self, key: str) -> dict[str, tuple[str, ...]]:
        """Return a table of columns with a text, a number or a list of them for each."""
        content = self._content.get(key, {})
        if not isinstance(content, Mapping):
            self.refuse(f"{key} must be a table of columns, as {key} = {{ column = 'text' }}, not {_kind(content)}")
        return {str(column): _texts(self, f"{key}.{column}", value) for column, value in content.items()}

    def sections(self, key: str, keys: tuple[str, ...]) -> list[_Section]:
        """Return a list of tables."""
        content = self._content.get(key, [])
        if not isinstance(content, list):
            self.refuse(f"{key} must be a list of tables, each under [[{key}]], not {_kind(content)}")
        return [_Section(f"{self.where}: [[{key}]] {at}", table, keys) for at, table in enumerate(content, 1)]

    def _template(self, key: str, text: str) -> Template:
        template = Template(text)
        if fault := template.fault():
            self.refuse(f"{key} {fault}")
        return template


def _texts(section: _Section, key: str, value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    for each in values:
        if isinstance(each, bool) or not isinstance(each, (str, int, float)):
            section.refuse(f"{key} must be a text or a list of texts, not {_kind(each)}")
    return tuple(str(each).strip() for each in values)


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a table"}
    return names.get(type(value), f"a {type(value).__name__}")
