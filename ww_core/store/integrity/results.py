"""Whether spectra and values are what they can be."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, case, func, or_, select

from ww_core.errors import StoreError
from ww_core.store import tables as t
from ww_core.store.encoding import check_lengths, decode_spectrum
from ww_core.store.integrity.findings import Findings, place_of, rows_of
from ww_core.store.rows import UNREADABLE


def check_spectra(connection: Connection, findings: Findings) -> None:
    """Find spectra that cannot be read, or are none."""
    for row in rows_of(connection, select(t.spectrum).where(t.spectrum.c.singular_values.is_not(None))):
        findings.checked["spectra"] += 1
        try:
            wrong = _wrong_with(row)
        except (StoreError, *UNREADABLE) as error:
            wrong = str(error)
        if wrong:
            findings.fault("spectrum", f"the spectrum of matrix {row.subject_id}: {wrong}")


def _wrong_with(row: Row[Any]) -> str:
    check_lengths([(row.singular_values, row.length)])
    values = decode_spectrum(row.encoding, row.singular_values, row.length)
    if not np.isfinite(values).all() or (values < 0).any():
        return "not all of its singular values are finite and 0 or more"
    if (np.diff(values) > 0).any():
        return "its singular values are not descending"
    if not 0 <= row.noise_floor < math.inf:
        return f"its noise floor is {row.noise_floor}"
    return ""


def check_values(connection: Connection, findings: Findings) -> None:
    """Find values that are not of the type of their column, or not finite."""
    value, column = t.value.c, t.metric_column.c
    findings.checked["values"] = connection.execute(select(func.count()).select_from(t.value)).scalar_one()
    wrong_kind = case((column.type == "text", value.text.is_(None)), else_=value.number.is_(None))
    query = (
        select(value.subject_id, value.column_id, column.type)
        .join(t.metric_column, column.id == value.column_id)
        .where(value.state == "ok", or_(wrong_kind, func.abs(value.number) > sys.float_info.max))
    )
    for row in rows_of(connection, query):
        findings.fault("value", f"{place_of(t.value, row)} is no {row.type} that is finite")
