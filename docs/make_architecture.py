"""Draw docs/explanation/architecture.svg from the code: its rooms from top to bottom, and which imports which.

``python docs/make_architecture.py`` writes the picture and the table of the page; ``--check`` only says whether they
are stale (exit code 1).
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from html import escape
from pathlib import Path
from typing import NamedTuple

import grimp

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/explanation/architecture.md"
PICTURE = PAGE.with_suffix(".svg")
BEGIN, END = "<!-- written by make docs: begin -->", "<!-- written by make docs: end -->"

CORE, BUILT_IN = "ww_core", "ww_plugins"
ROW, BOX, LEFT, TOP = 34, 660, 16, 116
FONT = "font-family='Helvetica, Arial, sans-serif'"


class Room(NamedTuple):
    """A package, or a module that stands alone, as a box of the picture."""

    name: str
    about: str


def rooms() -> list[Room]:
    """The rooms of the core from top to bottom, as import-linter holds them, under the built-in plugins."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    names = [name.strip() for layer in layers for name in layer.split("|")]
    return [room(name) for name in (BUILT_IN, *names)]


def room(name: str) -> Room:
    """Read what a package, or a module, says of itself."""
    place = ROOT / name.replace(".", "/")
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return Room(name, text.partition("\n")[0])


def imports(names: list[str]) -> set[tuple[str, str]]:
    """Pairs of rooms of which the first imports the second directly, and not for type checkers only."""
    graph = grimp.build_graph(CORE, BUILT_IN, exclude_type_checking_imports=True, cache_dir=None)
    found = {
        (home(importer, names), home(imported, names))
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    }
    return {(above, below) for above, below in found if above and below and above != below}


def home(module: str, names: list[str]) -> str:
    """The room that a module stands in; nothing for the public door itself."""
    return next((name for name in names if module == name or module.startswith(f"{name}.")), "")


def picture(found: list[Room], edges: set[tuple[str, str]]) -> str:
    """The picture: a box for each room, and beside it a mark under each room that it imports."""
    width, height = LEFT + BOX + ROW * len(found) + 24, TOP + ROW * len(found) + 16
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {width} {height}'>",
        f"<rect width='{width}' height='{height}' fill='#ffffff'/>",
    ]
    for place, own in enumerate(found):
        y = TOP + ROW * place
        short = own.name.removeprefix(f"{CORE}.")
        fill = "#fff3d6" if own.name == BUILT_IN else "#eaf2fb"
        about = own.about if len(own.about) <= 92 else f"{own.about[:90].rsplit(' ', 1)[0]} ..."
        x = LEFT + BOX + ROW * place + ROW // 2
        parts += [
            f"<rect x='{LEFT}' y='{y + 2}' width='{BOX - 12}' height='{ROW - 5}' rx='4' fill='{fill}' stroke='#9bc'/>",
            text(LEFT + 10, y + 21, short, "bold", 14),
            text(LEFT + 110, y + 20, about, "normal", 11),
            f"<text {FONT} font-size='12' transform='translate({x + 4} {TOP - 8}) rotate(-55)'>{escape(short)}</text>",
        ]
        for at, other in enumerate(found):
            x, middle = LEFT + BOX + ROW * at, LEFT + BOX + ROW * at + ROW // 2
            shade = "#d9d9d9" if at == place else "#ffffff"
            parts.append(f"<rect x='{x}' y='{y}' width='{ROW}' height='{ROW}' fill='{shade}' stroke='#e4e4e4'/>")
            if (own.name, other.name) in edges:
                parts.append(f"<circle cx='{middle}' cy='{y + ROW // 2}' r='8' fill='#3b6ea5'/>")
    return "\n".join([*parts, "</svg>", ""])


def text(x: int, y: int, words: str, weight: str, size: int) -> str:
    """A line of text."""
    return f"<text {FONT} font-size='{size}' font-weight='{weight}' x='{x}' y='{y}'>{escape(words)}</text>"


def table(found: list[Room]) -> str:
    """The rooms as a table."""
    rows = [f"| `{own.name}` | {own.about} |" for own in found]
    return "\n".join([BEGIN, "| room | what is in it |", "|---|---|", *rows, END])


def main(arguments: list[str]) -> int:
    """Write, or compare."""
    found = rooms()
    drawn = picture(found, imports([own.name for own in found]))
    page = PAGE.read_text(encoding="utf-8")
    written = re.sub(rf"{BEGIN}.*?{END}", lambda _: table(found), page, flags=re.DOTALL)
    if "--check" in arguments:
        there = PICTURE.read_text(encoding="utf-8") if PICTURE.exists() else ""
        if (there, page) != (drawn, written):
            print(f"{PAGE.name} is not what the code is: run `make docs`")
            return 1
        return 0
    PICTURE.write_text(drawn, encoding="utf-8")
    PAGE.write_text(written, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
