"""The lines of an untrusted file: each is a list of fields, in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

from ww_core.errors import CorruptFileError
from ww_core.store.exchange.fields import Check


class LineReader:
    """Reads the lines of a file.

    Attributes:
        line: Number of the line that was read last.
    """

    def __init__(self, place: Path, columns: Sequence[tuple[str, Check]]) -> None:
        self.line = 0
        self._place = place
        self._columns = columns

    def rows(self, file: BufferedReader, longest: int) -> Iterator[list[Any]]:
        """Yield the fields of each line as they are stored.

        Args:
            file: The file.
            longest: Bytes that a line may have: no more is read.

        Raises:
            CorruptFileError: A line is no row of the table.
        """
        checks = [check for _, check in self._columns]
        while content := file.readline(longest + 1):
            self.line += 1
            try:
                text = content.decode()
                fields, end = _decode(text)
                row = [check(field) for check, field in zip(checks, fields, strict=True)]
            except (ValueError, TypeError, RecursionError):  # TypeError: it is no list
                raise self._corrupt(content, longest) from None
            if text[end:] != "\n" or type(fields) is not list:
                raise self._corrupt(content, longest)
            yield row

    def _corrupt(self, content: bytes, longest: int) -> CorruptFileError:
        """Say what is wrong with a line."""
        return CorruptFileError(f"{self._place}, line {self.line}: {self._fault(content, longest)}")

    def _fault(self, content: bytes, longest: int) -> str:
        if not content.endswith(b"\n"):
            return f"it has more than {longest:,} bytes" if len(content) > longest else "it is cut"
        try:
            fields, end = _decode(content.decode())
        except UnicodeDecodeError:
            return "it is not UTF-8 text"
        except RecursionError:
            return "it is nested too deep"
        except ValueError as error:
            return f"it is not JSON: {error}"
        if type(fields) is not list or len(fields) != len(self._columns) or end != len(content.decode()) - 1:
            return f"it is no list of {len(self._columns)} fields"
        for (name, check), field in zip(self._columns, fields, strict=True):
            try:
                check(field)
            except ValueError as error:
                return f"{name} {error}"
        return "it cannot be read"


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"it holds {name}, which is no number")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode
