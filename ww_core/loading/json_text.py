"""JSON of an untrusted file: no key hides another, and no depth or number of digits ends the program."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NoReturn

from ww_core.errors import CorruptFileError
from ww_core.loading.names import quoted

if TYPE_CHECKING:
    from collections.abc import Callable


def refuse_constant(name: str) -> NoReturn:
    """Refuse ``NaN`` and ``Infinity``, which Python writes and JSON has not.

    Raises:
        CorruptFileError: Always.
    """
    raise CorruptFileError(f"it holds {name}, which is not a number of JSON")


def parse_json(content: bytes, label: str, what: str, *, constant: Callable[[str], Any] = refuse_constant) -> Any:
    """Return what a text in JSON says.

    Args:
        content: The text, in UTF-8 with or without a byte order mark.
        label: What messages call the file.
        what: What it should be, as ``"report of ww"``.
        constant: Gives what ``NaN``, ``Infinity`` and ``-Infinity`` mean.

    Raises:
        CorruptFileError: It is not JSON, or an object in it has a key twice.
    """
    try:
        return json.loads(content, parse_constant=constant, object_pairs_hook=_object)
    except CorruptFileError as error:
        raise CorruptFileError(f"{label} is not a {what}: {error}") from None
    except json.JSONDecodeError as error:
        raise CorruptFileError(
            f"{label} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        ) from None
    except UnicodeDecodeError:
        raise CorruptFileError(f"{label} is not JSON: it is not UTF-8 text") from None
    except RecursionError:
        raise CorruptFileError(f"{label} is not a {what}: it is nested too deep") from None
    except ValueError:
        raise CorruptFileError(f"{label} is not readable JSON: a number has thousands of digits") from None


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, in which no key may hide another, as after a merge that went wrong."""
    found = dict(members)
    if len(found) < len(members):
        twice = next(key for key, count in Counter(key for key, _ in members).items() if count > 1)
        raise CorruptFileError(f"the key {quoted(twice)} is there twice in one object")
    return found
