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
        ("file://server/tmp/m.safetensors", "only files of this machine are opened"),
        ("file:", "is not an address of a file"),
        ("file://", "is not an address of a file"),
        ("file:///tmp/m?x.safetensors", "write \\? as %3F"),
        ("file:///tmp/m#x.safetensors", "write \\? as %3F"),
        ("file:///tmp/m\nx.safetensors", "is not an address of a file"),
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


def test_the_name_of_this_machine_is_read_in_any_case(odd_file):
    assert ww.describe(odd_file.as_uri().replace("file://", "file://LocalHost")).format == "safetensors"


SOURCES = [
    ("describe",), ("analyze",), ("diff", "net.safetensors"),
    ("check", "--baseline", "net.safetensors", "--rule", "alpha: +5%"),
    ("compare-svd",), ("import",), ("zoo", "show"), ("zoo", "import"), ("zoo", "analyze"),
]  # fmt: skip
"""Commands that take a file or a folder, of whatever kind."""


def refused(result):
    assert result.returncode == 3, result.stderr
    (line,) = [own for own in result.stderr.splitlines() if own.startswith("error: ")]
    return line


@pytest.mark.parametrize("command", SOURCES, ids=" ".join)
def test_no_command_takes_a_file_of_another_machine_for_one_of_this(command, model_file, ww_here):
    there = model_file.parent / "file:" / "host" / "net.safetensors"
    there.parent.mkdir(parents=True)
    there.write_bytes(model_file.read_bytes())
    line = refused(ww_here(*command, "file://host/net.safetensors"))
    assert "host" in line
    assert "this machine" in line or "of this one" in line


@pytest.mark.parametrize("command", SOURCES, ids=" ".join)
def test_every_command_calls_a_dangling_link_one(command, model_file, ww_here):
    folder = model_file.parent
    (folder / "link").symlink_to("between")
    (folder / "between").symlink_to("gone/m.safetensors")
    line = refused(ww_here(*command, "link")).replace("'", "")
    assert f"link: this is a symbolic link to {folder / 'gone/m.safetensors'}, and nothing is there" in line


def test_links_on_the_way_and_in_a_folder_are_called_so_too(tmp_path):
    (tmp_path / "latest").symlink_to("run-7")
    with pytest.raises(ww.SourceError) as caught:
        ww.describe(tmp_path / "latest" / "m.safetensors")
    assert str(caught.value).endswith(
        f"{tmp_path / 'latest'} is a symbolic link to {tmp_path / 'run-7'}, and nothing is there"
    )
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "model.safetensors").symlink_to("../blobs/0\n1")
    with pytest.raises(ww.SourceError, match=r"model.safetensors: this is a symbolic link to .*0\\n1, and nothing"):
        ww.describe(folder)


def test_a_link_to_itself_is_called_so(tmp_path):
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(ww.SourceError, match="one: this is a symbolic link that leads back to itself"):
        ww.describe(tmp_path / "one")
