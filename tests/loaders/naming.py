"""Loaders as they are asked by a path or an object, instead of by the source that the core makes of it."""

from dataclasses import dataclass
from pathlib import Path

import ww_core as ww
from ww_core.contracts.source import ObjectSource
from ww_core.loading.files import FileSource


def source_of(named) -> ww.Source:
    return FileSource(named) if isinstance(named, Path) else ObjectSource(named)


@dataclass(frozen=True)
class ByName:
    """A loader that is told what a person named."""

    loader: ww.Loader

    def probe(self, named) -> float:
        return self.loader.probe(source_of(named))

    def open(self, named) -> ww.Checkpoint:
        return self.loader.open(source_of(named))
