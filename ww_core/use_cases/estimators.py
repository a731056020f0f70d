"""Estimators as plugins ask for them: by a text, and with what they raise told in one sentence."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ww_core.errors import PluginError, WWError
from ww_core.plugins.isolation import all_but_interrupts, sentence_of
from ww_core.plugins.variants import configured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ww_core.contracts.estimator import Estimator
    from ww_core.plugins.registry import Owned, Registry


def configured_estimator(registry: Registry, spec: str) -> Owned[Estimator]:
    """Return the estimator that a text means, with its options: ``forest[trees=32]``, ``plugin:forest``.

    Raises:
        UnknownNameError: No estimator or no option has this name.
        UsageError: The text is not of this form, or an option cannot have this value.
        PluginError: The estimator refuses a value.
    """
    return configured(registry.estimators, spec)


def ready_estimator(registry: Registry, spec: str) -> Owned[Estimator]:
    """Return the estimator that a text means, after it was tried.

    Raises:
        UsageError: As of `configured_estimator`.
        MissingExtraError: What it needs is not installed.
        PluginError: It failed when it was tried, or refuses a value.
    """
    owned = configured_estimator(registry, spec)
    with estimator_at_work(owned):
        owned.object.check()
    return owned


@contextlib.contextmanager
def estimator_at_work(owned: Owned[Estimator]) -> Iterator[None]:
    """Let an estimator work inside the block: what it raises becomes one sentence that names it.

    Raises:
        WWError: As the estimator raised it.
        PluginError: It raised something else.
    """
    try:
        yield
    except WWError:
        raise
    except all_but_interrupts() as error:
        sentence = sentence_of(error, owned.object)
        raise PluginError(f"estimator {owned.qualified} failed: {sentence}") from error
