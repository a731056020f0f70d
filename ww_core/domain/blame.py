"""In which version what a layer is today came to be."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from ww_core.domain.difference import Verdict


@dataclass(frozen=True, slots=True)
class ValueOrigin:
    """The version in which a column of a layer came to the value that it has.

    Attributes:
        column: Label of the column.
        extractor: Label of the extractor that made the matrix; empty for a metric of the whole layer.
        index: Position of the matrix among those of the layer.
        value: The value.
        version: The first version of all up to now that have it.
        previous: The version before that has another; empty if there is none.
        before: The value there; None if there is none.
        verdict: What the change means by the direction of the column.
    """

    column: str
    extractor: str
    index: int
    value: float
    version: str
    previous: str
    before: float | None
    verdict: Verdict

    @property
    def change(self) -> float | None:
        """What it changed by then."""
        return None if self.before is None else self.value - self.before

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self) | {"change": self.change}


@dataclass(frozen=True, slots=True)
class Blame:
    """What ``ww blame`` answers. ``to_dict`` is what ``--json`` prints.

    Attributes:
        model: Name of the model.
        layer: Name of the layer.
        at: The version that is asked about.
        version: The version in which its weight and bias, or the columns that were asked for, came to be what they are.
        previous: The version before it in which the layer was another; empty if there is none.
        columns: Where its values came to be, the latest first.
        profile: The profile whose own variants these are.
    """

    model: str
    layer: str
    at: str
    version: str
    previous: str
    columns: tuple[ValueOrigin, ...]
    profile: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        own = {"model": self.model, "layer": self.layer, "at": self.at, "version": self.version}
        own |= {"previous": self.previous, "profile": self.profile}
        return own | {"columns": [column.to_dict() for column in self.columns]}

    def rows(self) -> list[dict[str, Any]]:
        """Return a flat dict for each column."""
        return [{"model": self.model, "layer": self.layer} | column.to_dict() for column in self.columns]

    def to_pandas(self) -> pd.DataFrame:
        """Return ``rows()`` as a data frame. Needs the extra ``pandas``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from ww_core.domain.frames import data_frame

        return data_frame(self.rows())
