"""Compute the tables of the papers anew, from the published numbers, and compare each cell as it was printed.

    python -m benchmarks.papers DATA_FOLDER --expected DATA_FOLDER/expected_tables.json [--json]

DATA_FOLDER holds the published numbers as tidy files; FILE says which cells there are, and what was printed:
``{"cells": [{recipe, args, format, printed, ...}], "corrections": [{recipe, args, value, ...}]}``. All is imported into
an empty store, and every cell is the answer of a public function. The exit code is 1 if a cell that the file calls
reproducible comes out otherwise. Beside the cells stand the values that are right where the printed ones are not.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import ww_core as ww
from benchmarks.papers.corrections import corrections as corrected_cells
from benchmarks.papers.recipes import Papers
from benchmarks.papers.tables import import_all

RIGHT_TO = 5e-3
"""How far a corrected value, which is given to two or three digits, may be off relatively or absolutely."""


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of the published numbers")
    parser.add_argument("--expected", type=Path, required=True, metavar="FILE", help="cells to reproduce")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--store", default=None, help="where to keep the store; default in memory")
    options = parser.parse_args()
    try:
        expected = asked(options.expected)
        started = time.perf_counter()
        with ww.open_store(options.store) as store:
            import_all(options.folder, store)
            imported = time.perf_counter()
            papers = Papers(store)
            cells = [answered(papers, cell) for cell in expected["cells"]]
            corrections = [corrected(papers, own) for own in (*corrected_cells(), *expected.get("corrections", []))]
        ended = time.perf_counter()
    except (ww.WWError, OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 3
    if options.json:
        print(json.dumps({"cells": cells, "corrections": corrections}, indent=1))
    else:
        show(cells, corrections)
        print(f"import {imported - started:.1f} s, questions {ended - imported:.1f} s")
    wanted = [cell for cell, given in zip(cells, expected["cells"], strict=True) if given.get("match", True)]
    return int(not all(cell["match"] for cell in wanted))


def asked(file: Path) -> dict[str, Any]:
    """Return what a file asks for, as far as its form is the one that is described above.

    Raises:
        UsageError: It is not.
        OSError: The file cannot be read.
    """
    try:
        found = json.loads(file.read_text())
    except (ValueError, RecursionError) as error:
        raise ww.UsageError(f"{file} is not JSON: {error}") from None
    for name, texts in {"cells": ("recipe", "format", "printed"), "corrections": ("recipe",)}.items():
        own = found.get(name, [] if name == "corrections" else None) if isinstance(found, dict) else None
        if not isinstance(own, list):
            raise ww.UsageError(f"{file} has no list of {name}")
        for at, cell in enumerate(own, 1):
            if not isinstance(cell, dict) or not isinstance(cell.get("args"), dict):
                raise ww.UsageError(f"{file}, {name} {at}: it has no args, which are an object")
            for key in texts:
                if not isinstance(cell.get(key), str):
                    raise ww.UsageError(f"{file}, {name} {at}: it has no {key}, which is a text")
    return found


def answered(papers: Papers, cell: dict[str, Any]) -> dict[str, Any]:
    """Return a cell with the value that was computed, and whether it is what was printed."""
    told = {name: own for name, own in cell.items() if name not in {"recomputed", "recomputed_as_printed", "match"}}
    try:
        value = papers.value(cell["recipe"], cell["args"])
    except ww.WWError as error:
        return {**told, "value": None, "as_printed": "", "match": False, "error": str(error)}
    if not math.isfinite(value):
        return {**told, "value": None, "as_printed": "", "match": False, "error": "it has no value"}
    try:
        shown = written(value, cell["format"])
    except (ValueError, LookupError) as error:
        why = f"format {cell['format']!r} writes no number: {error}"
        return {**told, "value": value, "as_printed": "", "match": False, "error": why}
    return {**told, "value": value, "as_printed": shown, "match": shown == cell["printed"]}


def corrected(papers: Papers, own: dict[str, Any]) -> dict[str, Any]:
    """Return a correction with the value that was computed; and, where one is given, whether it is that one."""
    try:
        value = papers.value(own["recipe"], own["args"])
    except ww.WWError as error:
        return {**own, "value": None, "match": False, "error": str(error)}
    if "value" not in own:
        return {**own, "value": value}
    match = math.isclose(value, own["value"], rel_tol=RIGHT_TO, abs_tol=RIGHT_TO)
    return {**own, "expected": own["value"], "value": value, "match": match}


def written(value: float, form: str) -> str:
    """Write a number as a table does; a zero has no sign."""
    if form == "int":
        return str(round(value))
    text = str(round(value, 2)) if form == "round2" else form.format(value)
    return text.removeprefix("-") if float(text) == 0 else text


def show(cells: list[dict[str, Any]], corrections: list[dict[str, Any]]) -> None:
    """Print how many cells of each table come out, and each that does not."""
    tables: dict[tuple[str, str], list[bool]] = {}
    for cell in cells:
        tables.setdefault((cell.get("source", ""), cell.get("table", "")), []).append(cell["match"])
    for (source, table), matches in tables.items():
        print(f"{sum(matches):4d} of {len(matches):4d}  {source}  {table}")
    for cell in cells:
        if not cell["match"]:
            place = ", ".join(str(cell.get(name)) for name in ("table", "row", "column"))
            print(f"{place}: printed {cell['printed']}, is {cell['as_printed']}")
            for told in filter(None, (cell.get("error"), cell.get("note"))):
                print(f"    {told}")
    print("\ncorrected values")
    for what in dict.fromkeys(own.get("what") for own in corrections):
        print(f"  {what}")
        for own in (other for other in corrections if other.get("what") == what):
            told = "" if own.get("match", True) else f", given as {own.get('expected')}"
            shown = own["error"] if own["value"] is None else f"{own['value']:.3g}{told}"
            print(f"    {own.get('row')}, {own.get('column')}: {shown}")


if __name__ == "__main__":
    sys.exit(main())
