"""What an importer is: a form of tables of results that others made."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ww_core.contracts.variant import Variant

if TYPE_CHECKING:
    from ww_core.contracts.source import Source
    from ww_core.domain.reported_table import ReportedTable


class Importer(Variant):
    """A form of tables of results: what a program writes, or what a mapping describes.

    It says what stands in the file and nothing else. What the file does not say stays empty in the table, and the
    person who imports it says it, or its name does: the source, the provider, the model and the version of a row.

    Subclass it as a frozen dataclass; fields are options. An option ``mapping`` is what ``ww import --mapping`` sets.

    Attributes:
        name: Its name.
        description: One line for ``ww importers``.
        extra: The extra of ww that installs what it needs; empty if nothing is needed.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    extra: ClassVar[str] = ""

    @abstractmethod
    def probe(self, source: Source) -> float:
        """Tell by content, not by suffix, how sure it is that it can read ``source``: 0 no, 1 certain.

        Cheap, and never raises for a source of another kind.
        """

    @abstractmethod
    def read(self, source: Source) -> ReportedTable:
        """Read the whole table.

        ``source``, ``provider``, and ``model`` and ``version`` of its rows and scores are empty where the file does not
        say them. Columns that are left out are named in ``notes``.

        Raises:
            SourceError: The source cannot be read.
            CorruptFileError: It contradicts itself; the message names the line.
            UsageError: The options do not fit the table.
            MissingExtraError: What reads the format is not installed.
        """
