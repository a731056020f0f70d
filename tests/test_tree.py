"""What no text file of the tree may contain: a path of somebody's machine, the address of a package index."""

from __future__ import annotations

import fnmatch
import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IGNORED = [line.strip().rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.strip()]
# Written with brackets, so that this file does not contain what it forbids.
MACHINE_PATH = re.compile(r"(?<![\w.~}\])/-])/(?:[h]ome|[r]oot|[w]ork|[t]mp|[U]sers|[o]pt)/")
PACKAGE_INDEX = re.compile(
    r"(?i)https?://[^\s'\"]*(?:[p]ypi\.|[p]ythonhosted|download\.[p]ytorch|/[s]imple/)|--(?:extra-)?[i]ndex-url|--[f]ind-links"
)


def text_files():
    for folder, folders, names in os.walk(ROOT):
        ignored = {name for name in folders + names for pattern in IGNORED if fnmatch.fnmatch(name, pattern)}
        folders[:] = [name for name in folders if name not in ignored | {".git"}]
        for name in set(names) - ignored:
            path = Path(folder, name)
            content = path.read_bytes()
            if b"\0" not in content:
                yield path, content.decode("utf-8", "replace")


def lines_with(pattern):
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path, text in text_files()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_the_walk_sees_the_tree():
    seen = {path.relative_to(ROOT).as_posix() for path, _ in text_files()}
    assert {"pyproject.toml", "README.md", "constraints.txt", ".ci/run", "tests/test_tree.py"} <= seen


def test_no_path_of_a_machine():
    assert not lines_with(MACHINE_PATH)


def test_no_address_of_a_package_index():
    assert not lines_with(PACKAGE_INDEX)
