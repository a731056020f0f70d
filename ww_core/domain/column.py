"""Columns of metrics, and what they speak of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Better = Literal["lower", "higher", "none"]
"""Which direction of a column is better."""


class Scope(StrEnum):
    """What a quantity speaks of, from narrow to wide."""

    MATRIX = "matrix"
    LAYER = "layer"
    MODEL = "model"

    @property
    def width(self) -> int:
        """Rank in the order matrix, layer, model."""
        return list(Scope).index(self)


ROW_KEYS = frozenset(
    {"name", "layer", "kind", "shape", "groups", "extractor", "index", "N", "M", "Q"}
    | {"model", "version", "digest", "matrix_index"}
)
"""What a row of a report says besides its columns, in CSV beside them: no column may have such a name."""


@dataclass(frozen=True, slots=True)
class Column:
    """One stored column of a metric.

    Attributes:
        name: Its name; the metric's own if the metric has only one.
        type: ``float``, ``int``, ``bool`` or ``text``.
        better: Which direction is better.
        unit: Unit or log base, as ``"log10"``; empty for none.
        doc: One line on what it is.
        key: What it is stored under, whatever its name becomes; default its name.
        standard_error: Key of the column of the same metric that holds its standard error; empty for none.
        caveat: One sentence that says why models must not be ranked by its plain mean; empty if they may.
        doubts: Of a column of yes or no, the columns whose numbers are not to be trusted where it holds, as ``"A,B"``;
            empty for none.
    """

    name: str
    type: Literal["float", "int", "bool", "text"] = "float"
    better: Better = "none"
    unit: str = ""
    doc: str = ""
    key: str = ""
    standard_error: str = ""
    caveat: str = ""
    doubts: str = ""

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", self.name)
