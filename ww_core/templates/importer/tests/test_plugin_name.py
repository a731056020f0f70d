from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import ww_core as ww
from ww_core.testing import ImporterContract

import plugin_name

if TYPE_CHECKING:
    from pathlib import Path

TABLE = "layer,condition_number,model\nconv1,12.5,vgg\nfc,3e4,vgg\nfc,,lenet\n"


class TestContract(ImporterContract):
    plugin = plugin_name
    name = "object-name"

    def write(self, folder: Path) -> Path:
        file = folder / "conditions.csv"
        file.write_text(TABLE, encoding="utf-8")
        return file

    def test_rows_are_those_of_the_file(self, source: Path) -> None:
        first, second, third = self.read(source).rows
        assert (first.model, first.layer, first.values["condition_number"].value) == ("vgg", "conv1", 12.5)
        assert (second.model, second.layer, second.values["condition_number"].value) == ("vgg", "fc", 3e4)
        assert not third.values["condition_number"].is_ok

    def test_what_is_no_number_is_refused_with_its_line(self, source: Path) -> None:
        source.write_text(TABLE.replace("3e4", "many"), encoding="utf-8")
        with pytest.raises(ww.CorruptFileError, match=r"conditions\.csv.* 3.*many"):
            self.read(source)
