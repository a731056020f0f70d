"""The distribution's name and extras, and what sentences and pages tell people to install."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from ww_core.plugins.discovery import load_plugins
from ww_core.plugins.entry_points import OWN_DISTRIBUTION

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = set(PROJECT["optional-dependencies"])
SOURCES = sorted(file for package in ("ww_core", "ww_plugins") for file in (ROOT / package).rglob("*.py"))
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "docs").rglob("*.toml"))]
OTHER_NAME = re.compile(r"pip install[^\n`]*[\s'\"]ww(?![\w.-])|\bww\[\w|dependencies = \[\"ww\"")


def extras_of(requirement):
    """The extras in ``ww-core[a,b]``."""
    named = re.fullmatch(rf"{OWN_DISTRIBUTION}\[([\w,-]+)\]", requirement)
    assert named, requirement
    return set(named[1].split(","))


def named_in(files):
    """Each extra that a file names as ``ww-core[a,b]``, with the file."""
    for file in files:
        for found in re.findall(rf"{OWN_DISTRIBUTION}\[[\w,-]+\]", file.read_text(encoding="utf-8")):
            yield from ((file.relative_to(ROOT).as_posix(), extra) for extra in extras_of(found))


def test_the_program_knows_its_distribution():
    assert PROJECT["name"] == OWN_DISTRIBUTION


def test_the_extra_all_holds_every_other():
    (requirement,) = PROJECT["optional-dependencies"]["all"]
    assert extras_of(requirement) == EXTRAS - {"all"}


@pytest.mark.parametrize("files", [SOURCES, PAGES], ids=["sources", "pages"])
def test_every_extra_that_people_are_told_to_install_exists(files):
    named = set(named_in(files))
    assert named
    assert not {(file, extra) for file, extra in named if extra not in EXTRAS}


@pytest.mark.parametrize("kind", ["loaders", "devices", "executors"])
def test_every_extra_of_a_plugin_exists(kind):
    assert {owned.object.extra for owned in getattr(load_plugins(), kind) if owned.builtin} <= EXTRAS | {""}


def test_nobody_is_told_to_install_another_distribution():
    files = [file for file in SOURCES + PAGES if OTHER_NAME.search(file.read_text(encoding="utf-8"))]
    assert [file.relative_to(ROOT).as_posix() for file in files] == []


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {name: citation[name] for name in ("version", "license")} == {
        name: PROJECT[name] for name in ("version", "license")
    }
    assert [reference["year"] for reference in citation["references"]] == [2021, 2020]


@pytest.mark.parametrize("form", ["bug", "format", "metric"])
def test_a_form_for_issues_asks_for_version_and_plugins_and_for_no_weights(form):
    fields = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{form}.yml").read_text(encoding="utf-8"))["body"]
    required = {field["id"]: field for field in fields if field.get("validations", {}).get("required")}
    assert all(command in required["system"]["attributes"]["description"] for command in ("ww --version", "ww plugins"))
    assert "without your weights" in required["reproduce"]["attributes"]["label"]
