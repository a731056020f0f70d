"""Tables of results that others made: what they say of models and layers, under their own definitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from ww_core.domain.identity import digest_of

if TYPE_CHECKING:
    from ww_core.domain.column import Better
    from ww_core.domain.outcome import Outcome
    from ww_core.domain.score import Score


@dataclass(frozen=True, slots=True)
class ReportedColumn:
    """A column as its provider defines it.

    Attributes:
        name: What questions call it, such as ``log_norm``.
        metric: Key of the definition, such as ``weightwatcher:log_norm``: columns of one meaning have one key.
        version: Version of the definition: it changes when the meaning does, not with each release of the provider.
        definition: One sentence that says what the number is.
        type: ``float``, ``int``, ``bool`` or ``text``.
        better: ``lower``, ``higher`` or ``none``.
        unit: Unit or log base; empty for none.
        caveat: Why models must not be ranked by its plain mean; empty if they may.
    """

    name: str
    metric: str
    version: str
    definition: str
    type: Literal["float", "int", "bool", "text"] = "float"
    better: Better = "none"
    unit: str = ""
    caveat: str = ""

    @property
    def identity(self) -> str:
        """Digest of the definition."""
        content = {"metric": self.metric, "version": self.version, "definition": self.definition}
        return digest_of("definition", content)


class ReportedEntry(NamedTuple):
    """A row of a table.

    Attributes:
        model: Name of the model.
        values: What the row says, by the name of the column.
        version: Version of the model; empty for none.
        layer: Name of the layer; empty for a row that speaks of the whole model. A layer of several matrices has
            several rows, in order.
    """

    model: str
    values: Mapping[str, Outcome]
    version: str = ""
    layer: str = ""


@dataclass(frozen=True, slots=True)
class ReportedTable:
    """A table of results, as an importer reads it.

    Attributes:
        source: What tells this table from others, such as the name of its file.
        provider: The program that computed it, with its version, or the paper: ``weightwatcher 0.2.7``.
        columns: Its columns.
        rows: Its rows, in order.
        series: Series that a model is a member of, by name of the model.
        scores: Scores that stand in the table.
        notes: Sentences the user should see, such as which columns were left out.
    """

    source: str
    provider: str
    columns: tuple[ReportedColumn, ...]
    rows: tuple[ReportedEntry, ...]
    series: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scores: tuple[Score, ...] = ()
    notes: tuple[str, ...] = ()
