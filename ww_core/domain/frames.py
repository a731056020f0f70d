"""Data frames of pandas, which is an extra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ww_core.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas as pd


def data_frame(
    rows: Sequence[Mapping[str, Any]] | Mapping[str, Any], columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return rows, or columns by name, as a data frame.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtraError("pandas is not installed: pip install 'ww-core[pandas]'") from None
    return pd.DataFrame(rows, columns=None if columns is None else list(columns))
