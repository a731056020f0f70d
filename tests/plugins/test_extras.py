"""What an extra installs is there, or the command that installs it is told."""

from importlib import metadata

import pytest

from ww_core.plugins import extras

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
