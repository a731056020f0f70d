"""Executors: where the work runs."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from ww_core.contracts.variant import Variant

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable


class Executor(Variant):
    """A factory of ``concurrent.futures.Executor``.

    Attributes:
        name: Its name.
        description: One line on when to use it.
        shares_memory: Whether workers see the caller's objects. If not, everything is pickled, plugins are loaded anew
            by recipe in each worker, and sources given as Python objects run in threads instead.
        takes_help: Whether a worker may itself submit to the pool, so that idle ones help with its spectrum: ``submit``
            must not block. Only where memory is shared.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    shares_memory: ClassVar[bool]
    takes_help: ClassVar[bool] = False

    @abstractmethod
    def create(
        self, jobs: int, initializer: Callable[..., None], initargs: tuple[Any, ...]
    ) -> concurrent.futures.Executor:
        """Return an executor of ``jobs`` workers, each of which runs ``initializer(*initargs)`` first."""
