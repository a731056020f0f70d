"""Rules that are kept in files: a TOML file, or the table ``[tool.ww.check]`` of a ``pyproject.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ww_core.errors import UnknownNameError, UsageError
from ww_core.loading.toml_files import read_toml

PROJECT_FILE = "pyproject.toml"
TABLE = ("tool", "ww", "check")
KEYS = ("rules", "baseline")
WHAT = "file of rules"


@dataclass(frozen=True, slots=True)
class RuleFile:
    """What a file says of checks.

    Attributes:
        path: The file.
        rules: Its rules, as texts; None if it says nothing of them.
        baseline: What is compared with; None if it says nothing of it.
    """

    path: Path
    rules: tuple[str, ...] | None = None
    baseline: str | None = None


def read_rule_file(path: str | Path) -> RuleFile:
    """Read a TOML file with the keys ``rules`` and ``baseline``.

    Raises:
        UsageError: It cannot be read, is not TOML, or says something else; the message names the key.
    """
    found = _checked(Path(path), read_toml(Path(path), WHAT), "")
    if found.rules is None:
        raise UsageError(f"{path} has no rules: write rules = ['alpha: < 6']")
    return found


def find_project_rules(folder: Path) -> RuleFile | None:
    """Read ``[tool.ww.check]`` of the nearest ``pyproject.toml``, in a folder or above it, that has such a table.

    Returns:
        What it says; None if there is no such table.

    Raises:
        UsageError: A file cannot be read, is not TOML, or its table says something else; the message names the key.
    """
    for place in (folder, *folder.parents):
        path = place / PROJECT_FILE
        if not _is_file(path):
            continue
        table: Any = read_toml(path, WHAT)
        for key in TABLE:
            table = table.get(key) if isinstance(table, Mapping) else None
        if table is not None:
            return _checked(path, table, f"[{'.'.join(TABLE)}] ")
    return None


def _checked(path: Path, table: object, where: str) -> RuleFile:
    """Return what a table says, after a look at every key of it."""
    if not isinstance(table, Mapping):
        raise UsageError(f"{path}: {where}is not a table of keys")
    for key in table:
        if key not in KEYS:
            raise UsageError(f"{path}: {where}{UnknownNameError('key', str(key), KEYS)}")
    rules, baseline = table.get("rules"), table.get("baseline")
    if rules is not None and not (isinstance(rules, list) and all(isinstance(rule, str) for rule in rules)):
        raise UsageError(f"{path}: {where}rules must be a list of texts, such as ['alpha: < 6']")
    if rules == []:
        raise UsageError(f"{path}: {where}rules is an empty list: write a rule, such as 'alpha: < 6'")
    if baseline is not None and (not isinstance(baseline, str) or not baseline.strip()):
        raise UsageError(f"{path}: {where}baseline must be a text that is not empty, such as 'previous'")
    return RuleFile(path, None if rules is None else tuple(rules), baseline and _found(baseline, path.parent))


def _found(baseline: str, folder: Path) -> str:
    """Return a baseline; one that is a file beside the rules, and none in the current folder, with its folder."""
    return str(folder / baseline) if _is_file(folder / baseline) and not _is_file(Path(baseline)) else baseline


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a folder that may not be entered, or a text that is no path
        return False
