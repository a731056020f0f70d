"""Where a report is stored: from there its spectra and its coverage are read, when somebody asks for them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ww_core.errors import NotStoredError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ww_core.domain.layer_spectrum import LayerSpectrum
    from ww_core.domain.run import LayerCoverage
    from ww_core.store.engine import Location
    from ww_core.store.reader import Reader
    from ww_core.store.store import Store


class ReportPlace:
    """The place of a report: an open store in memory, or the location of another, which is opened again.

    To another process only the location of a file goes along: not what is in memory, and no password of a server.
    """

    def __init__(self, location: str, place: Store | Location | None) -> None:
        self.location = location
        self._place = place

    def spectrum(self, run: int, layer: str, extractor: str | None) -> LayerSpectrum:
        """Return the spectra of a layer that a run made or found.

        Raises:
            UnknownNameError: There is no such layer, or it was not seen through this extractor.
            NotStoredError: There are no spectra: the layer has none, or they were not kept.
            StoreError: The store is gone, or cannot be read.
        """
        with self._reading() as reader:
            return reader.layer_spectrum(run, layer, extractor)

    def layer_coverage(self, run: int) -> list[LayerCoverage]:
        """List what a run made of each layer by each extractor.

        Raises:
            NotStoredError: There is no such run any more.
            StoreError: The store is gone, or cannot be read.
        """
        with self._reading() as reader:
            return reader.layer_coverage(run)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Reader]:
        from ww_core.store.store import Store, reopened

        if self._place is None:
            raise NotStoredError("this report has no open store: open the store that it names, and use that")
        if isinstance(self._place, Store):
            with self._place.reading() as reader:
                yield reader
        else:
            with reopened(self._place) as store, store.reading() as reader:
                yield reader

    def __reduce__(self) -> tuple[object, tuple[str, Location | None]]:
        from ww_core.store.engine import Location

        place = self._place
        return ReportPlace, (self.location, place if isinstance(place, Location) and place.path is not None else None)
