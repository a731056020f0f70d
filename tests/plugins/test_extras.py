"""What an extra installs is there, or the command that installs it is told."""

from importlib import metadata

import pytest

import ww_core as ww
from ww_core.plugins import extras
from ww_core.plugins.discovery import load_plugins
from ww_core.use_cases.listings import list_importers, list_loaders

REQUIREMENTS = [
    "numpy>=1.26",
    'h5py>=3.11; extra == "keras"',
    'some-reader[fast]>=1; python_version < "4" and extra == "some"',
    "other_reader; extra == 'some'",
]


@pytest.fixture(autouse=True)
def afresh(monkeypatch):
    extras._is_installed.cache_clear()
    monkeypatch.setattr(extras, "requires", lambda _: REQUIREMENTS)
    yield
    extras._is_installed.cache_clear()


@pytest.mark.parametrize(
    ("extra", "installed", "command"),
    [
        ("", (), ""),
        ("keras", ("h5py",), ""),
        ("keras", (), "pip install 'ww-core[keras]'"),
        ("some", ("some-reader", "other_reader"), ""),
        ("some", ("some-reader",), "pip install 'ww-core[some]'"),
        ("of-somebody-else", (), ""),
    ],
)
def test_what_is_missing_is_told(monkeypatch, extra, installed, command):
    def version(name):
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(extras, "version", version)
    assert extras.to_install(extra) == command


class OddTable(ww.Importer):
    """Reads nothing."""

    name, description, extra = "odd-table", "odd tables", "keras"

    def probe(self, source):
        return 0.0

    def read(self, source):
        raise NotImplementedError


class OddFile(ww.Loader):
    """Opens nothing."""

    name, description, extra = "odd-file", "odd files", "keras"

    def probe(self, source):
        return 0.0

    def open(self, source):
        raise NotImplementedError


class Plugin:
    @ww.hookimpl
    def ww_register_importers(self):
        return [OddTable()]

    @ww.hookimpl
    def ww_register_loaders(self):
        return [OddFile()]


def test_lists_of_loaders_and_importers_tell_it(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(extras, "version", version)
    registry = load_plugins(objects=[Plugin()])
    rows = {row.get("loader") or row["importer"]: row for row in list_loaders(registry) + list_importers(registry)}
    for name in ("odd-file", "odd-table"):
        assert (rows[name]["extra"], rows[name]["install"]) == ("ww-core[keras]", "pip install 'ww-core[keras]'")
    assert rows["safetensors"]["install"] == rows["report"]["install"] == ""
