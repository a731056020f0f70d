"""Report writers: who makes the file that is handed on. Provisional."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ww_core.plugins.registry import Registry
    from ww_core.store.store import Store


class ReportWriter(ABC):
    """A writer of reports on stored models.

    Attributes:
        name: Its name.
        description: One line on what its reports are for.
        extra: The extra of ww that installs what it needs; empty if nothing is needed.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    extra: ClassVar[str] = ""

    @abstractmethod
    def html(
        self, models: Sequence[str], *, store: Store, history: bool, profile: str | None, registry: Registry
    ) -> str:
        """Return a report as one page of HTML that needs no other file and no network.

        Args:
            models: ``MODEL``, ``MODEL@VERSION`` or digest prefixes, at least one.
            store: An open store; it may be open for reading only.
            history: Whether it tells how each model went over its versions.
            profile: Name of the profile; None for that of the newest runs.
            registry: The plugins: metrics say what their columns mean.

        Raises:
            UsageError: What was asked is not possible.
            NotStoredError: Nothing carries a name, or it was never analysed under the profile.
            StoreError: The store could not be read.
            MissingExtraError: What it needs is not installed.
        """
