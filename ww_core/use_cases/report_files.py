"""Reports that were written to files: what ``ww show --json`` and ``ww analyze --json`` print."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from ww_core.domain.report import AnalysisReport
from ww_core.errors import CorruptFileError, SourceError

HEAD = 64
"""Bytes by which a file is known."""

LARGEST_FILE = 2**30
"""Bytes: the report of a model of a hundred thousand layers has a tenth of that."""


_INDEX = re.compile(r"\.index(?:\.\w+)?\.json$", re.IGNORECASE)


def is_report_file(name: str) -> bool:
    """Whether a name leads to a file that is meant as a report: it ends in ``.json`` or begins with a brace.

    The index of a model in shards, such as ``model.safetensors.index.json``, is none.
    """
    try:
        path = Path(name)
        if not path.is_file() or _INDEX.search(path.name):
            return False
        if path.suffix == ".json":
            return True
        with path.open("rb") as file:
            head = file.read(HEAD)
        return head.lstrip().startswith(b"{") and b"\0" not in head  # a file of tensors may begin with any byte
    except (OSError, ValueError):  # it cannot be read, or is no path at all
        return False


def read_report(path: str | Path) -> AnalysisReport:
    """Read a report from a file.

    Raises:
        SourceError: The file cannot be read.
        CorruptFileError: It is no report; the message names the file and the field.
    """
    try:
        size = Path(path).stat().st_size
        if size > LARGEST_FILE:
            raise CorruptFileError(f"{path}: it has {size:,} bytes, and a report has {LARGEST_FILE:,} at most")
        content = Path(path).read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        return AnalysisReport.from_dict(json.loads(content, parse_constant=_refuse_constant, object_pairs_hook=_object))
    except CorruptFileError as error:
        raise CorruptFileError(f"{path} is no report of ww: {error}") from None
    except json.JSONDecodeError as error:
        raise CorruptFileError(f"{path} is no JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except UnicodeDecodeError:
        raise CorruptFileError(f"{path} is no JSON: it is no text in UTF-8") from None
    except RecursionError:
        raise CorruptFileError(f"{path} is no report of ww: it is nested too deep") from None
    except ValueError as error:  # such as a number of ten thousand digits
        raise CorruptFileError(f"{path} is no JSON that can be read: {error}") from None


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, in which no key may hide another, as after a merge that went wrong."""
    found = dict(members)
    if len(found) < len(members):
        twice = next(key for key, count in Counter(key for key, _ in members).items() if count > 1)
        raise CorruptFileError(f"the key {twice!r} is there twice in one object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise CorruptFileError(f"it holds {name}, which is no number of JSON")
