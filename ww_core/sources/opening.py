"""From what a person names to an opened checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ww_core.contracts.loader import Checkpoint
from ww_core.contracts.source import OBJECT_LABEL, ObjectSource, Source
from ww_core.domain.layer import Layer, SkippedTensor, TensorSpec
from ww_core.errors import LoaderFailedError, NoLoaderError, PluginError, SourceError, UsageError, WWError
from ww_core.loading.impostors import HEAD, Impostor, impostor
from ww_core.loading.names import shown_address
from ww_core.plugins.isolation import all_but_interrupts, forgiven, kind_of, sentence_of
from ww_core.plugins.probes import surest
from ww_core.plugins.variants import configured, spec_of

if TYPE_CHECKING:
    from ww_core.contracts.loader import Loader
    from ww_core.plugins.registry import Owned, Registry


def find_source(source: object, registry: Registry) -> Source:
    """Find what a path, an address or an object is.

    Raises:
        SourceError: Nothing opens such addresses, or there is nothing at this one.
        UsageError: Several plugins open such addresses.
    """
    if isinstance(source, Source):
        return source
    if not isinstance(source, (str, os.PathLike)):
        return ObjectSource(source)
    address = os.fspath(source)
    if isinstance(address, bytes):
        address = os.fsdecode(address)
    if not address:
        raise SourceError("the source is empty: name a file or a folder")
    scheme = _scheme_of(address)
    openers = [owned for owned in registry.openers if scheme in owned.object.schemes]
    label = shown_address(address)
    if not openers:
        what = (
            f"nothing opens {scheme}:// addresses: download it and name the file" if scheme else "nothing opens files"
        )
        raise SourceError("; ".join([f"{label}: {what}", *registry.blocked]))
    if len(openers) > 1 and not any(owned.builtin for owned in openers):
        names = " or ".join(owned.qualified for owned in openers)
        raise UsageError(f"{label}: several plugins open {scheme}:// addresses, {names}: block one of them")
    owned = min(openers, key=lambda own: not own.builtin)  # an installed plugin does not change what an address means
    try:
        found: object = owned.object.open(address)
        if not isinstance(found, Source):
            raise PluginError(f"opener {owned.qualified} gave an object of type {kind_of(found)}, no ww.Source")
    except WWError:
        raise
    except all_but_interrupts() as error:
        sentence = sentence_of(error, owned.object)
        raise SourceError(f"{label}: opener {owned.qualified} failed: {sentence}") from error
    return found


def _scheme_of(address: str) -> str:
    """What stands before ``://``, and ``file`` before a colon alone; a path has none."""
    try:
        scheme = urlsplit(address).scheme
    except ValueError as error:
        raise SourceError(f"{shown_address(address)} is no address: {error}") from None
    return scheme if scheme == "file" or "://" in address else ""


def is_object_label(label: str) -> bool:
    """Tell whether a source's label is that of a Python object, which nobody can name again."""
    begin, end = OBJECT_LABEL.split("{}")
    return label.startswith(begin) and label.endswith(end)


def open_checkpoint(source: Source, registry: Registry, loader: str = "") -> tuple[Checkpoint, str]:
    """Open a source with the loader that recognises it best, or with the one named.

    Returns:
        The checkpoint and the qualified name of its loader.

    Raises:
        SourceError: No loader recognises it, or the one that does cannot read it.
        UsageError: No loader has the name, or several are equally sure.
    """
    owned, warnings = (configured(registry.loaders, loader), []) if loader else _best_loader(source, registry)
    try:
        checkpoint = _checked(owned.object.open(source), owned.qualified)
        checkpoint.warnings = (*checkpoint.warnings, *warnings)
    except WWError:
        raise
    except all_but_interrupts() as error:
        sentence = sentence_of(error, owned.object)
        raise LoaderFailedError(f"{source.label}: loader {owned.qualified} failed: {sentence}") from error
    return checkpoint, spec_of(owned)


def close_checkpoint(checkpoint: Checkpoint) -> None:
    """Close a checkpoint of which all was read that is needed: what its class raises costs nothing any more."""
    with forgiven():
        checkpoint.close()


def _checked(checkpoint: object, loader: str) -> Checkpoint:
    """Return what a loader gave, as far as it is what the contract says.

    Raises:
        PluginError: It is not.
    """
    if not isinstance(checkpoint, Checkpoint):
        raise PluginError(f"loader {loader} gave an object of type {kind_of(checkpoint)}, no ww.Checkpoint")
    for name, wanted in _LISTS.items():
        given = getattr(checkpoint, name)
        if not (isinstance(given, (tuple, list)) and all(isinstance(own, wanted) for own in given)):
            raise PluginError(f"loader {loader} gave a checkpoint whose {name} are no tuple of {wanted.__name__}")
    if not isinstance(checkpoint.format, str):
        raise PluginError(f"loader {loader} gave a checkpoint whose format is no text")
    return checkpoint


_LISTS: Mapping[str, type] = {"layers": Layer, "buffers": TensorSpec, "skipped": SkippedTensor, "warnings": str}
"""What a checkpoint lists."""


def _best_loader(source: Source, registry: Registry) -> tuple[Owned[Loader], list[str]]:
    best, warnings = surest(registry.loaders, source, "loader")
    if best:
        return best, warnings
    if warnings:
        raise NoLoaderError(f"{source.label}: no loader recognises it, and {'; '.join(warnings)}")
    formats = ", ".join(sorted(owned.name for owned in registry.loaders)) or "none"
    if source.is_folder:
        content = sorted(source.names())
        found = f"it holds {', '.join(content[:8])}{', ...' if len(content) > 8 else ''}" if content else "it is empty"
        raise NoLoaderError(f"{source.label}: no loader recognises this folder ({found}); there are: {formats}")
    seems = "" if (other := _impostor(source)) is None else f": it is {other}"
    raise NoLoaderError(f"{source.label}: no loader recognises it{seems}; there are: {formats}")


def _impostor(source: Source) -> Impostor | None:
    """Tell what a file is that is no weight file; None for what is no file, or may be one."""
    if source.is_object or source.is_folder:
        return None
    try:
        return impostor(source.head(HEAD))
    except SourceError:
        return None
