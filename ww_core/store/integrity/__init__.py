"""Integrity: whether a store holds what it says, as far as it can tell without the weights.

Digests are made again of what is stored, by the functions that made them. Of tensors, checkpoints and files only the
digests are stored: these cannot be checked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ww_core.errors import StoreError
from ww_core.store.engine import is_interruption
from ww_core.store.integrity import digests
from ww_core.store.integrity.database import check_cells, check_constraints, check_file, check_references
from ww_core.store.integrity.findings import Check, Faults, Findings, Integrity
from ww_core.store.integrity.results import check_spectra, check_values
from ww_core.store.integrity.summaries import check_summaries, mend_summaries, rebuild_summaries
from ww_core.store.rows import UNREADABLE
from ww_core.store.schema import parts_of_others

__all__ = ["Faults", "Integrity", "mend_summaries", "rebuild_summaries", "verify_content", "verify_store"]

_CONTENT_STEPS: tuple[Check, ...] = (check_constraints, *digests.STEPS, check_spectra, check_values)


def verify_store(connection: Connection) -> Integrity:
    """Check everything that can be checked, in bounded memory."""
    # A server looks after its pages, references and types itself.
    own = (check_file, check_cells, check_references) if connection.dialect.name == "sqlite" else ()
    found = _verified(connection, (*own, *_CONTENT_STEPS, check_summaries))
    return replace(found, others=tuple(parts_of_others(connection)))


def verify_content(connection: Connection) -> Integrity:
    """Check rules of tables, digests, spectra and values, in bounded memory; not what follows from values."""
    return _verified(connection, _CONTENT_STEPS)


def _verified(connection: Connection, steps: Sequence[Check]) -> Integrity:
    findings = Findings()
    for step in steps:
        try:
            step(connection, findings)
        except (DBAPIError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if not isinstance(cause, sqlite3.Error) or is_interruption(cause):
                raise  # of a server: there the transaction has ended
            findings.fault("file", str(cause))
        except UnicodeDecodeError as error:  # the driver reads the message of an error that quotes damaged text
            findings.fault("file", str(error))
        except (StoreError, *UNREADABLE) as error:
            if not findings.counts["cell"]:  # which names the row
                findings.fault("cell", str(error))
    return findings.result()
