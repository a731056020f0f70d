"""The contract of importers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ww_core.domain.reported_table import ReportedTable
from ww_core.domain.table_check import check_reported_table
from ww_core.errors import SourceError, UsageError
from ww_core.sources.opening import find_source
from ww_core.store.store import open_store
from ww_core.testing.plugins import PluginContract
from ww_core.use_cases.import_table import import_table

if TYPE_CHECKING:
    from ww_core.contracts.importer import Importer

TRUNCATIONS = 20
SAID = "contract"
"""What a person says of a table that does not say it."""


class ImporterContract(PluginContract):
    """Tests that an importer must pass. Set ``plugin`` and ``name``, and define ``write``."""

    name: str

    def write(self, folder: Path) -> Path | object:
        """Write a table in the importer's form, and return the path or the object that a person would name."""
        raise NotImplementedError(f"{type(self).__name__} must define write")

    def importer(self) -> Importer:
        """Return the importer under test."""
        return self.registry().importers.find(self.name).object

    def spec(self) -> str:
        """Return the importer's name with the options under test, as a person writes it."""
        return f"{self.info().name}:{self.importer().label}"

    def read(self, named: Path | object) -> ReportedTable:
        """Read what was written."""
        return self.importer().read(find_source(named, self.registry()))

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path | object:
        """A table in the importer's form."""
        folder = tmp_path / "written"
        folder.mkdir()
        return self.write(folder)

    def test_it_says_what_it_reads(self) -> None:
        """It has one line for ``ww importers``."""
        description = self.importer().description
        assert description
        assert description.isprintable()

    def test_it_knows_its_own(self, source: Path | object) -> None:
        """The probe is sure of its own form."""
        assert 0 < self.importer().probe(find_source(source, self.registry())) <= 1

    def test_it_says_no_to_others(self, tmp_path: Path) -> None:
        """A text, an empty file, bytes, a folder, an object: no, and no exception."""
        text = tmp_path / "notes.txt"
        text.write_text("nothing of interest\n")
        empty = tmp_path / "empty.csv"
        empty.touch()
        binary = tmp_path / "net.bin"
        binary.write_bytes(bytes(range(256)) * 4)
        for other in (text, empty, binary, tmp_path, object(), 3):
            assert self.importer().probe(find_source(other, self.registry())) <= self.least_for_others(), other

    def least_for_others(self) -> float:
        """Return how sure the probe may be of a file that is none of its own; more than 0 where a person named one."""
        return 0.0

    def test_what_it_reads_can_be_stored(self, source: Path | object) -> None:
        """Names, definitions and values fit, once a person has said what the file does not say."""
        table = self.read(source)
        assert isinstance(table, ReportedTable)
        completed = replace(
            table,
            source=table.source or SAID,
            provider=table.provider or SAID,
            rows=tuple(row._replace(model=row.model or SAID) for row in table.rows),
            scores=tuple(score._replace(model=score.model or SAID) for score in table.scores),
        )
        check_reported_table(completed)
        used = {name for row in table.rows for name in row.values}
        assert {column.name for column in table.columns} == used, "every column is defined, and has values"

    def test_reading_again_gives_the_same(self, source: Path | object) -> None:
        """Nothing depends on what was read before."""
        assert self.read(source) == self.read(source)

    def test_it_is_imported_once(self, source: Path | object) -> None:
        """A store takes the table, and the same table again adds nothing."""
        table = self.read(source)
        models = [row.model for row in table.rows] + [score.model for score in table.scores]
        with open_store(None) as store:
            for is_new in (True, False):
                report = import_table(
                    source,
                    store=store,
                    importer=self.spec(),
                    source=table.source or SAID,
                    provider=table.provider or SAID,
                    model=None if any(models) else SAID,
                    registry=self.registry(),
                )
                assert report.is_new == is_new
                assert report.rows == len(table.rows)
                assert report.scores == len(table.scores)

    def test_what_is_cut_short_is_read_or_refused(self, source: Path | object) -> None:
        """A truncated file gives a table, or an error of ww's tree; nothing else is raised."""
        if not (isinstance(source, Path) and source.is_file()):
            pytest.skip("the source is no single file")
        whole = source.read_bytes()
        for part in range(TRUNCATIONS):
            source.write_bytes(whole[: len(whole) * part // TRUNCATIONS])
            try:
                assert isinstance(self.read(source), ReportedTable)
            except (SourceError, UsageError):
                continue
            assert part > 0, "an empty file is not a table"
