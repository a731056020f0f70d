from __future__ import annotations

import os
from pathlib import Path

import pytest
import ww_core as ww
from ww_core.testing import OpenerContract

import plugin_name


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(plugin_name.FOLDER, str(tmp_path))
    return tmp_path


class TestContract(OpenerContract):
    plugin = plugin_name

    def place(self, folder: Path) -> str:
        (folder / "models").mkdir()
        return "object-name://models"

    def write(self, address: str, content: bytes) -> None:
        path_of(address).write_bytes(content)

    def remove(self, address: str) -> None:
        path_of(address).unlink()


def path_of(address: str) -> Path:
    return Path(os.environ[plugin_name.FOLDER], address.partition("://")[2])


def test_nothing_outside_of_the_folder_is_opened(folder: Path) -> None:
    opener = plugin_name.ObjectName()
    with pytest.raises(ww.SourceError, match="leads out of"):
        opener.open(f"object-name://../{folder.name}-secret")


def test_without_a_folder_the_sentence_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(plugin_name.FOLDER)
    opener = plugin_name.ObjectName()
    with pytest.raises(ww.SourceError, match=f"set {plugin_name.FOLDER}"):
        opener.open("object-name://net.safetensors")
