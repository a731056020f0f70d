"""What is meant as an address where a path or a name is expected: it may hold a secret, and is not repeated."""

from __future__ import annotations

import os
import re
from pathlib import Path

_LOOKS_LIKE_ADDRESS = re.compile(
    r"[^\w./~\\-]*"  # such as blanks and quotes
    r"(?:(?:postgres\w*|sqlite\d?|mysql|mariadb|mssql|oracle|file|https?|s3|gs)(?:\+\w+)?:"
    r"|postgres[^/\\]*//"
    r"|[\w+.-]{2,}:/"  # one letter is a drive
    r"|[^/\\]*:[^/\\]*@"  # user:password@host
    r"|(?:host|hostaddr|port|dbname|user|password|service)\s*=)"
    r"|.*://",
    re.IGNORECASE | re.DOTALL,
)
_HAS_SCHEME = re.compile(r"\W*[\w+.-]{2,}:/")
_OF_A_SERVER = re.compile(
    r"\W*(?:postgres\w*|mysql|mariadb|mssql|oracle)(?:\+\w+)?:|\W*postgres[^/\\]*//|.*\bpassword\s*=",
    re.IGNORECASE | re.DOTALL,
)
_WITH_A_PASSWORD = re.compile(r"\W*[\w+.-]{2,}:/+[^/@]*:(?!\d+/).*@", re.DOTALL)  # a port is no password


def looks_like_address(text: str) -> bool:
    """Whether a text is meant as an address or a connection string, right or wrong: it is no path of a file.

    A file of such a name is named by a path with a folder before it, as ``./NAME``.
    """
    return _LOOKS_LIKE_ADDRESS.match(text) is not None


def has_scheme(text: str) -> bool:
    """Whether a text begins as addresses do, and as no name of a model: ``SCHEME:/``."""
    return _HAS_SCHEME.match(text) is not None


def is_of_a_server(text: str) -> bool:
    """Whether a text is meant as the address of a database, or as a connection string with a password."""
    return _OF_A_SERVER.match(text) is not None


def has_password(text: str) -> bool:
    """Whether a text is an address with a user's password: ``SCHEME://USER:PASSWORD@...``."""
    return _WITH_A_PASSWORD.match(text) is not None


def absolute_path(text: str | os.PathLike[str]) -> Path:
    """Return the absolute path that a person wrote, ``~`` read as a home.

    Raises:
        ValueError: No file can be there; the message says why.
    """
    try:
        if b"\0" in os.fsencode(text):
            raise ValueError("a path holds no NUL")
        return Path(text).expanduser().absolute()
    except UnicodeEncodeError:
        raise ValueError("a path holds no half characters") from None
    except RuntimeError as error:  # there is no such user
        raise ValueError(str(error)) from None
