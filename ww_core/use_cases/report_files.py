"""Reports that were written to files: what ``ww show --json`` and ``ww analyze --json`` print."""

from __future__ import annotations

import re
from pathlib import Path

from ww_core.domain.report import AnalysisReport
from ww_core.errors import CorruptFileError, SourceError
from ww_core.loading.json_text import parse_json

WHAT = "report of ww"

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
    parsed = parse_json(content, str(path), WHAT)
    try:
        return AnalysisReport.from_dict(parsed)
    except CorruptFileError as error:
        raise CorruptFileError(f"{path} is not a {WHAT}: {error}") from None
