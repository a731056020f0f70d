"""Start-up stays quick because nothing heavy is imported; how quick is measured by benchmarks/startup.py."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

WW = Path(sys.executable).with_name("ww")
HEAVY = {
    "alembic",
    "dask",
    "distributed",
    "h5py",
    "keras",
    "ml_dtypes",
    "numpy",
    "onnx",
    "pandas",
    "matplotlib",
    "powerlaw",
    "psycopg",
    "rich",
    "safetensors",
    "scipy",
    "sqlalchemy",
    "tensorflow",
    "torch",
    "ww_plugins",
}


def imported_by(*arguments):
    """Top-level names of all modules that a Python process imports."""
    command = [sys.executable, "-X", "importtime", *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    modules = re.findall(r"^import time: .*\| +(\S+)$", done.stderr, flags=re.MULTILINE)
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], HEAVY | {"pydantic"}),  # typer itself imports pydantic as soon as a command is run
        (["--version"], HEAVY),
        (["analyze", "--help"], HEAVY),
        (["compare-svd", "--help"], HEAVY - {"ww_plugins"}),  # the plugin of that command, and nothing more
    ],
)
def test_help_imports_nothing_heavy(arguments, heavy):
    imported = imported_by(WW, *arguments)
    assert "ww_core" in imported  # the listing was read rightly
    assert sorted(imported & heavy) == []


def test_the_public_module_imports_nothing_heavy():
    imported = imported_by("-c", "import ww_core; dir(ww_core)")
    assert "ww_core" in imported
    assert sorted(imported & HEAVY) == []
