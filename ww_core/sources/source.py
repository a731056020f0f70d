"""From what a person names to an opened checkpoint."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ww_core.domain.globs import choose_layers
from ww_core.errors import NoLoaderError, SourceError, UsageError, WWError
from ww_core.sources.default_names import DefaultName, default_name, usable_name
from ww_core.sources.reading import sentence_of

if TYPE_CHECKING:
    from ww_core.contracts.loader import Checkpoint, Loader
    from ww_core.domain.layer import Layer
    from ww_core.plugins.registry import Owned, Registry


@dataclass(frozen=True, slots=True)
class Source:
    """A path that exists, or a Python object.

    Attributes:
        target: The path or the object.
        name: How it is named to people.
        default: What a person would call what it holds.
        location: Absolute path; empty for an object.
    """

    target: Path | object
    name: str
    default: DefaultName
    location: str = ""


def resolve_source(source: object) -> Source:
    """Resolve a path, a ``file:`` URI or an object.

    Raises:
        SourceError: The path does not exist or cannot be looked at.
    """
    if not isinstance(source, (str, os.PathLike)):
        kind = type(source).__name__
        return Source(source, _OBJECT.format(kind), DefaultName(usable_name(kind)))
    text = os.fspath(source)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if not text:
        raise SourceError("the source is empty: name a file or a folder")
    parts = urlsplit(text)
    if parts.scheme == "file":
        text = unquote(parts.path)
    elif "://" in text:
        raise SourceError(f"{text}: nothing opens {parts.scheme}:// addresses: download it and name the file")
    path = Path(text)
    try:
        if not path.exists():
            raise SourceError(f"{path}: there is no such file or folder")
    except (OSError, ValueError) as error:
        raise SourceError(f"{text!r} cannot be looked at: {error}") from None
    return Source(path, str(path), default_name(path), str(path.resolve()))


_OBJECT = "<{} object>"


def is_object_name(name: str) -> bool:
    """Tell whether a source's name is that of a Python object, which nobody can name again."""
    begin, end = _OBJECT.split("{}")
    return name.startswith(begin) and name.endswith(end)


def open_checkpoint(source: Source, registry: Registry, loader: str = "") -> tuple[Checkpoint, str]:
    """Open a source with the loader that recognises it best, or with the one named.

    Returns:
        The checkpoint and the qualified name of its loader.

    Raises:
        SourceError: No loader recognises it, or the one that does cannot read it.
        UsageError: No loader has the name, or several are equally sure.
    """
    warnings: list[str] = []
    owned = registry.loaders.find(loader) if loader else _best_loader(source, registry, warnings)
    try:
        checkpoint = owned.object.open(source.target)
    except WWError:
        raise
    except Exception as error:
        raise SourceError(f"{source.name}: loader {owned.qualified} failed: {sentence_of(error)}") from error
    checkpoint.warnings = (*checkpoint.warnings, *warnings)
    return checkpoint, owned.qualified


def _best_loader(source: Source, registry: Registry, warnings: list[str]) -> Owned[Loader]:
    sure: list[tuple[float, Owned[Loader]]] = []
    for owned in registry.loaders:
        try:
            confidence = float(owned.object.probe(source.target))
        except Exception as error:  # noqa: BLE001 - one loader's guess must not cost the others'
            warnings.append(f"loader {owned.qualified} failed to look at {source.name}: {sentence_of(error)}")
            continue
        if confidence > 0:
            sure.append((confidence, owned))
    if not sure:
        formats = ", ".join(sorted(owned.name for owned in registry.loaders)) or "none"
        if warnings:
            raise NoLoaderError(f"{source.name}: no loader recognises it, and {'; '.join(warnings)}")
        if isinstance(source.target, Path) and source.target.is_dir():
            try:
                content = sorted(entry.name for entry in source.target.iterdir())
            except OSError as error:
                raise SourceError(f"{source.name}: the folder cannot be read: {error.strerror}") from None
            found = (
                f"it holds {', '.join(content[:8])}{', ...' if len(content) > 8 else ''}" if content else "it is empty"
            )
            raise NoLoaderError(f"{source.name}: no loader recognises this folder ({found}); there are: {formats}")
        raise NoLoaderError(f"{source.name}: no loader recognises it; there are: {formats}")
    highest = max(confidence for confidence, _ in sure)
    best = [owned for confidence, owned in sure if confidence == highest]
    if len(best) > 1:
        names = " or ".join(owned.qualified for owned in best)
        raise UsageError(f"{source.name}: several loaders are equally sure of it: choose by --loader {names}")
    return best[0]


def with_groups(layers: Sequence[Layer], groups: Sequence[tuple[str, int]]) -> list[Layer]:
    """Return the layers with the groups a person gave: pairs of a glob and a count.

    Raises:
        UsageError: A count does not divide the layer's output channels, or the layer is no convolution.
        UnknownNameError: A glob matches no layer.
    """
    if not groups:
        return list(layers)
    given: dict[str, int] = {}
    for glob, count in groups:
        for layer in choose_layers(layers, [glob]):
            if not layer.kind.is_convolution:
                raise UsageError(f"layer {layer.name!r} is {layer.kind}: only convolutions have groups")
            if count < 1 or layer.shape[0] % count:
                raise UsageError(f"layer {layer.name!r} has {layer.shape[0]} output channels: not {count} groups")
            given[layer.name] = count
    return [replace(layer, groups=given.get(layer.name, layer.groups)) for layer in layers]
