"""The documentation is run: every Python block, every console command, every link.

A page is a small world of its own: a folder with ``net.safetensors``, ``net-2.safetensors`` (some layers differ),
``examples/`` and ``docs/plugins/``, its own store, one Python namespace and one shell. Its blocks run in the order they
are written. How to mark a block is told in CONTRIBUTING.md.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import textwrap
import types
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch
from urllib.parse import unquote

import pytest

from ww_core.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if page.is_file()]
FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w+-]*)(?P<marks>.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: where its content starts, how it is marked, what it says."""

    page: Path
    line: int
    language: str
    marks: str
    text: str

    @property
    def id(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"

    @property
    def title(self) -> str | None:
        found = re.search(r'title="([^"]+)"', self.marks)
        return found.group(1) if found else None


def blocks_of(page: Path) -> Iterator[Block]:
    lines = page.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        opening = FENCE.match(lines[at])
        at += 1
        if not opening:
            continue
        start, close = at, re.compile(rf" *{re.escape(opening['fence'])}[`~]* *$")
        while at < len(lines) and not close.match(lines[at]):
            at += 1
        text = textwrap.dedent("\n".join(lines[start:at]) + "\n")
        yield Block(page, start + 1, opening["language"], opening["marks"].strip(), text)
        at += 1


def prose_of(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    return re.sub(r"(?ms)^ *(`{3,}|~{3,}).*?^ *\1[`~]* *$", "", text)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


class World:
    """The folder, namespace and shell of one page, and how far it has been read."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.blocks = [block for block in BLOCKS if block.page == page]
        self.folder = folder
        self.module = types.ModuleType(f"page_{page.stem.replace('-', '_').lower()}")
        self.done = 0
        self.failed: Block | None = None
        self.state = folder.parent / f"{folder.name}.sh"
        self.state.write_text(f"cd {shlex.quote(str(folder))}\n")

    def run_up_to(self, block: Block) -> None:
        """Run this block, after those before it that have not run yet."""
        while not self.failed and self.done <= self.blocks.index(block):
            current = self.blocks[self.done]
            self.done += 1
            self.failed = current
            self.run(current)
            self.failed = None
        if self.failed and self.failed != block:
            pytest.skip(f"{self.failed.id} failed before")

    def run(self, block: Block) -> None:
        if block.title:
            (self.folder / block.title).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / block.title).write_text(block.text, encoding="utf-8")
        if block.language == "python":
            code = "\n" * (block.line - 1) + block.text  # so that a traceback names the page's own line
            exec(compile(code, str(block.page), "exec"), self.module.__dict__)
        elif block.language == "console" and "setup" not in block.marks.split():
            for command, line, expected in commands_of(block):
                self.shell(command, f"{block.page.name}:{line}", expected if "exact" in block.marks.split() else None)

    def shell(self, command: str, where: str, expected: str | None) -> None:
        """Run one command line; `cd` and `export` last until the end of the page."""
        done = self.here(command) if PLAIN.fullmatch(command) else self.bash(command)
        wanted = re.search(r"#\s*exit (\d+)\s*$", command)
        code = int(wanted.group(1)) if wanted else 0
        assert done.returncode == code, f"{where}: $ {command}\nexit {done.returncode}, not {code}\n{done.stdout}"
        assert "Traceback (most recent call last)" not in done.stdout, f"{where}: $ {command}\n{done.stdout}"
        if expected is not None:
            assert done.stdout.rstrip() == expected.rstrip(), f"{where}: $ {command}"

    def bash(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command line through bash."""
        keep = f"{{ export -p; printf 'cd %q\\n' \"$PWD\"; }} >{shlex.quote(str(self.state))}"
        script = f"source {shlex.quote(str(self.state))}\n{command}\ncode=$?\n{keep}\nexit $code\n"
        return subprocess.run(
            ["bash", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )

    def here(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a plain `ww` or example in this process, in the folder and with the variables that the page came to."""
        told = subprocess.run(
            ["bash", "-c", f"source {shlex.quote(str(self.state))}; pwd; env -0"], capture_output=True, check=True
        ).stdout.decode()
        folder, _, variables = told.partition("\n")
        environ = dict(pair.partition("=")[::2] for pair in variables.split("\0") if pair)
        command, _, target = command.partition(" > ")
        arguments = shlex.split(command, comments=True)
        while "=" in arguments[0]:  # variables of this command alone
            name, _, value = arguments.pop(0).partition("=")
            environ[name] = value
        run = main
        if arguments[0] == "python":
            run, arguments = self.example, arguments[1:]
        printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        with (
            Path(folder, target).open("w", encoding="utf-8") if target else contextlib.nullcontext(printed) as output,
            patch.dict(os.environ, environ, clear=True),
            patch.object(sys, "argv", arguments),
            patch.object(sys, "path", sys.path.copy()),  # examples lead it to what lies beside them
            patch.object(gc, "freeze"),  # the program's last act, when its process ends
            patch.object(os, "cpu_count", return_value=1),  # a zoo is trained here: more processes import torch anew
            contextlib.chdir(folder),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(printed),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("default")
            code = run()
        return subprocess.CompletedProcess(arguments, code, printed.buffer.getvalue().decode())

    @staticmethod
    def example() -> int:
        """Run the program that `sys.argv` names; one that fails ends the test, as its traceback would."""
        runpy.run_path(sys.argv[0], run_name="__main__")
        return 0


PLAIN = re.compile(r"(?:WW_\w+=[\w.-]* )*(?:ww |python examples/)(?!.*--executor)[^|&;<>$`\\*~\n]*(?: > [\w.-]+)?")
"""A command line that takes no shell, and no other process; a variable and a file for its output are none."""


def commands_of(block: Block) -> Iterator[tuple[str, int, str]]:
    """Each command of a console block with its line and the output shown; a trailing backslash continues it."""
    lines = block.text.splitlines()
    at = 0
    while at < len(lines):
        line, at = block.line + at, at + 1
        if not lines[at - 1].startswith("$ "):
            continue
        command = lines[at - 1][2:]
        while command.endswith("\\"):
            command, at = f"{command}\n{lines[at].removeprefix('> ')}", at + 1
        shown = at
        while at < len(lines) and not lines[at].startswith("$ "):
            at += 1
        yield command, line, "\n".join(lines[shown:at])


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """The world of a page, made when its first block runs."""

    @functools.cache
    def furnished() -> Path:
        folder = tmp_path_factory.mktemp("furnished")
        for name in ("examples", "docs/plugins"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copyfile(ROOT / "examples/digits-cnn.safetensors", folder / "net.safetensors")
        derive = [sys.executable, "examples/derive_version.py", "net.safetensors", "net-2.safetensors"]
        subprocess.run(derive, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return folder

    @functools.cache
    def world(page: Path) -> World:
        folder = tmp_path_factory.mktemp(page.stem)
        return World(page, shutil.copytree(furnished(), folder, dirs_exist_ok=True))

    return world


@pytest.fixture
def at_home(monkeypatch, tmp_path_factory):
    """The environment of a reader: nobody's store, the ww of this Python first on the path."""

    def settle(world: World) -> None:
        home = world.folder.parent / f"{world.folder.name}-home"
        for name in [name for name in os.environ if name.startswith(("WW_", "XDG_"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("XDG_DATA_HOME", str(home / "share"))
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.chdir(world.folder)
        monkeypatch.syspath_prepend(world.folder)
        monkeypatch.setitem(sys.modules, world.module.__name__, world.module)

    return settle


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, id=block.id)
        for block in BLOCKS
        if block.language == "python" or (block.language == "console" and "setup" not in block.marks.split())
    ],
)
def test_block_runs(block, worlds, at_home):
    world = worlds(block.page)
    at_home(world)
    world.run_up_to(block)


@pytest.mark.parametrize("block", [pytest.param(block, id=block.id) for block in BLOCKS])
def test_block_is_marked_so_that_it_can_be_checked(block):
    assert block.language, "name the language; `text` for what is only read"
    assert block.language not in {"sh", "bash", "shell", "zsh", "py", "pycon"}, "write ```console or ```python"
    if block.language == "console":
        marks = set(re.sub(r'title="[^"]+"', "", block.marks).split())
        assert marks <= {"exact", "setup"}, "a console block is marked `exact`, `setup` or not at all"
        assert any(commands_of(block)), "a console block has lines that start with `$ `"


def test_make_targets_named_in_the_pages_exist():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for block in BLOCKS:
        for command, line, _ in commands_of(block) if block.language == "console" else ():
            for target in re.findall(r"\bmake ([a-z]+)", command):
                assert target in targets, f"{block.page.name}:{line}"


def test_readme_names_its_two_commands():
    commands = [
        command.partition("#")[0].strip()
        for block in BLOCKS
        if block.page.name == "README.md" and block.page.parent == ROOT and block.language == "console"
        for command, _, _ in commands_of(block)
    ]
    assert "make demo" in commands
    assert "make test" in commands


def anchors_of(page: Path) -> set[str]:
    """The anchors GitHub makes of a page's headings."""
    headings = re.findall(r"^#{1,6} +(.+?)(?: +#+)?$", prose_of(page), flags=re.MULTILINE)
    named = set(re.findall(r'<a (?:id|name)="([^"]+)"', prose_of(page)))
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return named | {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in plain}


def links_of(page: Path) -> list[str]:
    prose = re.sub(r"`[^`\n]*`", "", prose_of(page))
    return re.findall(r"\]\(<?([^)>\s]+)>?(?: \"[^\"]*\")?\)", prose) + re.findall(r"(?m)^\[[^]]+\]: +(\S+)", prose)


OTHER_PAGES = [page for page in (ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md") if page.is_file()]


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES + OTHER_PAGES])
def test_relative_links_lead_somewhere(page):
    broken = []
    for link in links_of(page):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        inside = target.is_relative_to(ROOT) and target.exists()
        if not inside or (anchor and target.suffix == ".md" and anchor not in anchors_of(target)):
            broken.append(link)
    assert not broken
