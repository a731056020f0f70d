"""Open a source as ``analyze`` does, and read its tensors: for programs that need the weights themselves."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ww_core.plugins.discovery import load_plugins
from ww_core.sources import opening

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ww_core.contracts.loader import Checkpoint
    from ww_core.plugins.registry import Registry


@contextlib.contextmanager
def open_checkpoint(
    source: object,
    *,
    loader: str | None = None,
    layout: str | None = None,
    plugins: Sequence[object] = (),
    registry: Registry | None = None,
    plugin_files: Sequence[str] = (),
) -> Iterator[Checkpoint]:
    """Open a source with the loader that recognises it, and close it at the end of the block.

    Args:
        source: A path, an address, or an object such as a dict of NumPy arrays.
        loader: Name of the loader, with options; default the one that recognises the source.
        layout: In which order the axes of weights are stored, of a loader that has this option.
        plugins: Modules or objects with hooks, besides those that are installed.
        registry: Loaded plugins, if they are loaded already.
        plugin_files: Python files with hooks.

    Yields:
        The checkpoint: its layers in the canonical layout, of which ``read`` gives one tensor at a time.

    Raises:
        UsageError: There is no such loader, or it has no such option.
        SourceError: The source cannot be read, or no loader recognises it.
    """
    own = load_plugins(files=plugin_files, objects=plugins) if registry is None else registry
    checkpoint, _ = opening.open_checkpoint(opening.find_source(source, own), own, loader or "", layout or "")
    try:
        yield checkpoint
    finally:
        opening.close_checkpoint(checkpoint)
