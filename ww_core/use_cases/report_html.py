"""A report on stored models, to hand on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ww_core.errors import MissingExtraError, PluginError, UsageError, WWError
from ww_core.plugins.discovery import load_plugins
from ww_core.plugins.isolation import all_but_interrupts, kind_of, sentence_of
from ww_core.use_cases.naming import opened_store

if TYPE_CHECKING:
    import os

    from ww_core.plugins.registry import Registry
    from ww_core.store.store import Store


def report_html(
    models: Sequence[str],
    *,
    store: Store | str | os.PathLike[str],
    history: bool = False,
    profile: str | None = None,
    writer: str = "page",
    plugins: Sequence[object] = (),
    registry: Registry | None = None,
) -> str:
    """Return a report on stored models: a page of HTML that runs from a file, without a network. No weight is read.

    Args:
        models: ``MODEL``, ``MODEL@VERSION`` or digest prefixes, at least one.
        store: An open store, or its path or URL.
        history: Whether it tells how each model went over its versions.
        profile: Name of the profile; None for that of the newest runs.
        writer: Name of the report writer. ww's own, ``page``, gives the same text for the same store.
        plugins: Modules or objects with hooks, besides those that are installed.
        registry: Loaded plugins, if they are loaded already.

    Raises:
        UsageError: No model is named, a name is no text, a name or the profile is empty, or no report writer has this
            name; or the history is asked for of weights without a name.
        NotStoredError: Nothing carries a name, or it was never analysed under the profile.
        MissingExtraError: No plugin writes reports, or what the writer needs is not installed.
        PluginError: The writer failed, or what it returned is no text that a file can hold.
        StoreError: The store could not be read.
    """
    named = [] if isinstance(models, str) else [*models]
    if not named or not all(isinstance(own, str) for own in named):
        raise UsageError("name one model or more, as a list of texts")
    registry = registry or load_plugins(objects=plugins)
    if not len(registry.report_writers):
        advice = "no plugin writes reports: pip install 'ww-core[web]'"
        raise MissingExtraError("; ".join((advice, *registry.blocked)))
    owned = registry.report_writers.find(writer)
    try:
        with opened_store(store, mode="read") as opened:
            text = owned.object.html(named, store=opened, history=history, profile=profile, registry=registry)
    except WWError:
        raise
    except all_but_interrupts() as error:
        sentence = sentence_of(error, owned.object)
        raise PluginError(f"report writer {owned.qualified} failed: {sentence}") from error
    if not isinstance(text, str):
        raise PluginError(f"report writer {owned.qualified} returned {kind_of(text)}, and no text")
    text = str.__str__(text)  # plain, whatever class of text it was
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PluginError(
            f"report writer {owned.qualified} returned a text that no file can hold: {sentence_of(error)}"
        ) from None
    return text
