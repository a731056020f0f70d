"""The contract of openers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ww_core.errors import SourceError
from ww_core.sources.opening import find_source
from ww_core.testing.plugins import PluginContract

if TYPE_CHECKING:
    from pathlib import Path

    from ww_core.contracts.source import Source

CONTENT = bytes(range(256)) * 8


class OpenerContract(PluginContract):
    """Tests that an opener must pass. Set ``plugin``, and define ``place``, ``write`` and ``remove``."""

    def place(self, folder: Path) -> str:
        """Return the address of an empty folder that the opener opens; ``folder`` is one of this machine."""
        raise NotImplementedError(f"{type(self).__name__} must define place")

    def write(self, address: str, content: bytes) -> None:
        """Make a file, or replace it."""
        raise NotImplementedError(f"{type(self).__name__} must define write")

    def remove(self, address: str) -> None:
        """Take a file away."""
        raise NotImplementedError(f"{type(self).__name__} must define remove")

    def source(self, address: str) -> Source:
        """Find what is at an address, as every command does."""
        return find_source(address, self.registry())

    @pytest.fixture
    def file(self, tmp_path: Path) -> str:
        """The address of a file with ``CONTENT``, in a folder of its own."""
        address = f"{self.place(tmp_path)}/w.bin"
        self.write(address, CONTENT)
        return address

    def test_it_gives_the_bytes(self, file: str) -> None:
        """The head, a range, an array and a file opened for reading hold what was written."""
        source = self.source(file)
        assert (source.size, source.name, source.is_folder, source.is_object) == (len(CONTENT), "w.bin", False, False)
        assert source.head(10) == CONTENT[:10]
        assert source.head(10**6) == CONTENT
        assert source.bytes_at(100, 7) == CONTENT[100:107]
        with source.array(64, np.dtype("<u4"), (3, 5)) as array:
            assert not array.flags.writeable
            assert array.tobytes() == CONTENT[64:124]
        with source.array(0, np.dtype("<f4"), (0, 3)) as array:
            assert array.shape == (0, 3)
        with source.open() as handle:
            handle.seek(-16, 2)
            assert handle.read() == CONTENT[-16:]

    def test_what_it_lacks_is_a_source_error_that_names_it(self, file: str) -> None:
        """Bytes behind the end, a file that is not there, a folder of a file."""
        source = self.source(file)
        with pytest.raises(SourceError, match=r"w\.bin"):
            source.bytes_at(len(CONTENT) - 3, 10)
        with pytest.raises(SourceError, match=r"w\.bin"):
            source.names()
        with pytest.raises(SourceError, match=r"not_there\.bin"):
            self.source(file.replace("w.bin", "not_there.bin"))

    def test_it_is_found_again_by_its_address(self, file: str) -> None:
        """Another process opens the same file by ``address``; the store keeps ``location``."""
        source = self.source(file)
        again = self.source(source.address)
        assert (again.location, again.stamp()) == (source.location, source.stamp())
        assert again.head(10) == CONTENT[:10]

    def test_a_folder_lists_its_files_and_lets_nobody_out(self, file: str) -> None:
        """Names without hidden ones; an entry is a file of the folder, and nothing above it."""
        self.write(file.replace("w.bin", ".hidden"), b"x")
        folder = self.source(file.rpartition("/")[0])
        assert folder.is_folder
        assert sorted(folder.names()) == ["w.bin"]
        assert folder.entry("w.bin").head(4) == CONTENT[:4]
        assert sorted(self.source(file).folder.names()) == ["w.bin"]
        for name in ("../w.bin", "no_such_file.bin"):
            with pytest.raises(SourceError):
                folder.entry(name).head(1)

    def test_its_stamp_changes_with_the_bytes(self, file: str) -> None:
        """A stamp is the same while nothing changes, and another when the file has been written again."""
        source = self.source(file)
        before = source.stamp()
        assert source.stamp() == before
        self.write(file, CONTENT[::-1])
        assert not before or self.source(file).stamp() != before
        self.remove(file)
        with pytest.raises((OSError, SourceError)):
            source.stamp()
