"""Files in TOML that a person wrote, such as rules and mappings."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from ww_core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

LARGEST_FILE = 2**20
"""Bytes of such a file."""


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Read a file in TOML.

    Args:
        path: The file.
        what: What it should be, for the message that it is too long, such as ``"file of rules"``.

    Raises:
        UsageError: It cannot be read, is too long, or is not TOML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise UsageError(f"{path} has more than {LARGEST_FILE:,} bytes: no {what} is that long")
        # Editors of Windows begin a text with a mark, which is no part of it, and end lines with two characters.
        return tomllib.loads(content.decode("utf-8-sig").replace("\r\n", "\n"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not TOML: it is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    except RecursionError:
        raise UsageError(f"{path} is not readable TOML: it is nested too deep") from None
