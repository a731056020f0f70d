"""Digests of tensors in files, remembered in the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ww_core.store.store import Store


@dataclass(frozen=True, slots=True)
class StoredDigests:
    """A ``DigestMemory`` that is a store."""

    store: Store

    def recall(self, host: str, location: str, names: Sequence[str]) -> Mapping[str, tuple[str, str]]:
        """Return stamp and digest of the tensors that are known."""
        with self.store.reading() as reader:
            return reader.file_digests(host, location, names)

    def remember(self, host: str, location: str, digests: Mapping[str, tuple[str, str]]) -> None:
        """Keep stamp and digest of tensors."""
        with self.store.writing() as writer:
            writer.record_digests(host, location, digests)
