"""Options that choose from tables of rows: their scope, their columns, their order, which ``choice`` reads."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import typer

from ww_core.command.option_values import not_empty


class RowScope(StrEnum):
    """What the rows of a table speak of."""

    MATRIX = "matrix"
    LAYER = "layer"
    MODEL = "model"

    @property
    def rows(self) -> Literal["matrix", "layer", "model"]:
        """The scope in the words of a report."""
        return self.value


ShownScope = Annotated[
    RowScope | None,
    typer.Option(
        "--scope",
        help="Rows of matrices, whole layers or the model.  [default: tables of all; CSV of matrices]",
        show_default=False,
    ),
]
ShownColumns = Annotated[
    list[str] | None,
    typer.Option(
        "--columns", metavar="A,B", help="Only these columns of tables and CSV, in this order, after the layer's name."
    ),
]
SortedBy = Annotated[
    str,
    typer.Option(
        "--sort",
        metavar="[-]COLUMN",
        help="Sort rows by a column, from small to large; -COLUMN from large to small.",
        show_default=False,
        callback=not_empty,
    ),
]
