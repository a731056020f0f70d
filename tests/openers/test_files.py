"""Addresses of files on this machine."""

import numpy as np
import pytest
from safetensors.numpy import save_file

import ww_core as ww


@pytest.fixture
def odd_file(tmp_path):
    path = tmp_path / "a b?c#d.safetensors"
    save_file({"fc.weight": np.random.default_rng(0).standard_normal((9, 7))}, path)
    return path


def test_a_path_and_its_address_are_the_same_file(odd_file):
    uri = odd_file.as_uri()
    reports = [ww.analyze(named) for named in (odd_file, str(odd_file), uri, uri.replace("file:", "FILE:", 1))]
    assert len({report.digest for report in reports}) == 1
    assert ww.analyze(uri.replace("file://", "file://localhost")).digest == reports[0].digest


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("file://server/tmp/m.safetensors", "only those of this one are opened"),
        ("file:", "is no address of a file"),
        ("file://", "is no address of a file"),
        ("file:///tmp/m?x.safetensors", "write \\? as %3F"),
        ("file:///tmp/m#x.safetensors", "write \\? as %3F"),
        ("file:///tmp/m\nx.safetensors", "is no address of a file"),
    ],
)
def test_what_is_no_file_of_this_machine_is_refused(address, sentence):
    with pytest.raises(ww.SourceError, match=sentence) as caught:
        ww.analyze(address)
    assert "\n" not in str(caught.value)


def test_without_its_plugin_the_variable_is_named(odd_file, monkeypatch):
    monkeypatch.setenv("WW_BLOCK_PLUGINS", "ww.openers")
    with pytest.raises(ww.SourceError, match=r"nothing opens files; plugin ww\.openers is blocked by WW_BLOCK_PLUGINS"):
        ww.analyze(odd_file)
