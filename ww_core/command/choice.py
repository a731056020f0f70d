"""``--columns`` and ``--sort``: which columns of a table are shown, and in which order its rows stand."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ww_core.command.option_values import listed
from ww_core.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from ww_core.command.output import Output


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen of a table.

    Attributes:
        columns: Columns to show, in this order; empty for those that the table shows by itself.
        sort: Column to sort by, from small to large, or from large to small after a ``-``; empty for the usual order.
    """

    columns: tuple[str, ...] = ()
    sort: str = ""

    @classmethod
    def of(cls, columns: list[str] | None, sort: str, output: Output) -> Choice:
        """Read the two options.

        Raises:
            UsageError: JSON was asked for, which is always whole; or an option names no column.
        """
        choice = cls(tuple(dict.fromkeys(listed(columns, "--columns"))), sort)
        if sort and not choice.sorted_by:
            raise UsageError("--sort - names no column: give -COLUMN, or leave it out")
        if choice.names and output.format == "json":
            raise UsageError("--columns and --sort choose from tables and CSV; JSON is always whole: leave them out")
        return choice

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that it names."""
        return (*self.columns, *([self.sorted_by] if self.sort else []))

    @property
    def sorted_by(self) -> str:
        """The column that rows are sorted by; empty for none."""
        return self.sort.removeprefix("-")

    def without_options(self) -> Choice:
        """The same with the plain names of columns such as ``alpha[ks=two-sided]``."""
        return Choice(tuple(name.partition("[")[0] for name in self.columns), self.sort.partition("[")[0])

    def check(self, known: Collection[str], where: str = "") -> None:
        """Refuse columns that are not there.

        Raises:
            UnknownNameError: One is not; the message lists near ones.
        """
        for name in self.names:
            if name not in known:
                raise UnknownNameError("column", name, known, where)

    def order(self, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """Return the places of rows in the order to show them; rows without a value come last, either way."""
        places = list(range(len(rows)))
        if not self.sort:
            return places
        values = [row.get(self.sorted_by) for row in rows]
        there = [at for at in places if values[at] is not None and values[at] != ""]
        in_order = sorted(there, key=lambda at: _sort_key(values[at]), reverse=self.sort.startswith("-"))
        return in_order + [at for at in places if values[at] is None or values[at] == ""]

    def of_rows(self, rows: Sequence[Mapping[str, Any]], named_by: Sequence[str]) -> list[dict[str, Any]]:
        """Return the chosen columns of rows, in the chosen order.

        Args:
            rows: One mapping per row, by header.
            named_by: Headers that tell rows apart: they stay, before all others.
        """
        in_order = [rows[at] for at in self.order(rows)]
        if not self.columns:
            return [dict(row) for row in in_order]
        return [{header: row.get(header) for header in dict.fromkeys((*named_by, *self.columns))} for row in in_order]


def _sort_key(value: Any) -> tuple[bool, Any]:
    """Numbers before texts: a column may hold both."""
    return (False, value) if isinstance(value, (bool, int, float)) else (True, str(value))
