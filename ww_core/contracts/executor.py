"""Executors: where the work runs."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ww_core.contracts.variant import Variant

if TYPE_CHECKING:
    import concurrent.futures


class Executor(Variant):
    """A factory of ``concurrent.futures.Executor``: any pool of the standard library's will do, or a cluster's client.

    Workers need no preparation: a call that travels carries a recipe, by which its worker loads the plugins and opens
    the source. Where a future raises, the layers of its call are tried again, each in a call of its own. Where
    ``submit`` raises ``concurrent.futures.BrokenExecutor``, another pool is created.

    Attributes:
        name: Its name.
        description: One line on when to use it.
        shares_memory: Whether workers see the caller's objects. If not, calls are pickled, and sources or plugins given
            as Python objects run in threads instead.
        extra: The extra of ww that installs what it needs; empty if nothing is needed.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    shares_memory: ClassVar[bool]
    extra: ClassVar[str] = ""

    def check(self) -> None:
        """Try whether it can be had, before there is work for it.

        Raises:
            MissingExtraError: What it needs is not installed.
            UsageError: It cannot work here.
        """
        return

    @abstractmethod
    def create(self, jobs: int) -> concurrent.futures.Executor:
        """Return a pool of ``jobs`` workers. It serves any number of runs, and is shut down after the last.

        What it warns of, by ``warnings.warn``, is a warning of the run.
        """
