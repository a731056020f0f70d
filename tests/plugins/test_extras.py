"""What an extra installs is there, or the command that installs it is told."""

from importlib import metadata

import numpy as np
import pytest

import ww_core as ww
from ww_core.domain.request import Request
from ww_core.plugins import extras
from ww_core.plugins.discovery import load_plugins
from ww_core.plugins.selection import select
from ww_core.use_cases.listings import list_importers, list_loaders, list_metrics

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


@ww.metric(version="1", extra="keras")
def odd(n_rows):
    """Needs more than is installed."""
    return n_rows


@ww.metric(version="1")
def after_odd(odd):
    """Needs what needs more than is installed."""
    return odd + 1


@ww.metric(version="1")
def even(n_rows):
    """Needs nothing."""
    return 2 * n_rows


class Plugin:
    @ww.hookimpl
    def ww_register_metrics(self):
        return [odd, after_odd, even]

    @ww.hookimpl
    def ww_register_profiles(self):
        return [ww.Profile(name="all", description="All of it.", metrics=("odd", "after_odd", "even"))]

    @ww.hookimpl
    def ww_register_importers(self):
        return [OddTable()]

    @ww.hookimpl
    def ww_register_loaders(self):
        return [OddFile()]


@pytest.fixture
def nothing_is_installed(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(extras, "version", version)


COMMAND = "pip install 'ww-core[keras]'"


def test_lists_tell_it(nothing_is_installed):
    registry = load_plugins(objects=[Plugin()])
    rows = {row.get("loader") or row["importer"]: row for row in list_loaders(registry) + list_importers(registry)}
    rows |= {row["column"]: row for row in list_metrics(registry)}
    for name in ("odd-file", "odd-table", "odd"):
        assert (rows[name]["extra"], rows[name]["install"]) == ("ww-core[keras]", COMMAND)
    assert rows["safetensors"]["install"] == rows["report"]["install"] == rows["alpha"]["install"] == ""


@pytest.mark.parametrize("name", ["odd", "after_odd"])
def test_a_metric_that_is_named_and_lacks_an_extra_is_refused_in_one_sentence(nothing_is_installed, name):
    with pytest.raises(ww.UsageError) as raised:
        select(load_plugins(objects=[Plugin()]), Request(metrics=("even", name)))
    assert str(raised.value) == f"metric {name!r} needs a missing package: {COMMAND}"
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("profile", ["default", "all"])
def test_a_profile_goes_on_without_a_metric_that_lacks_an_extra(nothing_is_installed, profile):
    report = ww.analyze({"fc.weight": np.eye(3)}, plugins=[Plugin()], profile=profile)
    assert report.layers[0].metrics["even"].number == 6
    assert not {"odd", "after_odd"} & report.layers[0].metrics.keys()
    assert not report.failures
    left_out = [f"metric {name!r} needs a missing package: {COMMAND}" for name in ("odd", "after_odd")]
    assert [warning for warning in report.warnings if "missing" in warning] == left_out


def test_with_its_extra_it_is_a_metric_like_others(monkeypatch):
    monkeypatch.setattr(extras, "version", lambda _: "1")
    report = ww.analyze({"fc.weight": np.eye(3)}, plugins=[Plugin()], metrics=["after_odd"])
    assert report.layers[0].metrics["after_odd"].number == 4
    assert not report.warnings
