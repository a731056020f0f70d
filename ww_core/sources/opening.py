"""From what a person names to an opened checkpoint."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from ww_core.contracts.loader import Checkpoint
from ww_core.contracts.source import OBJECT_LABEL, ObjectSource, Source
from ww_core.domain.layer import Layer, SkippedTensor, TensorSpec
from ww_core.errors import LoaderFailedError, NoLoaderError, PluginError, SourceError, UsageError, WWError
from ww_core.loading.impostors import HEAD, Impostor, impostor
from ww_core.loading.names import legible, natural_order, shown_address
from ww_core.plugins.isolation import all_but_interrupts, forgiven, kind_of, sentence_of
from ww_core.plugins.probes import ranking, surest
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


def open_checkpoint(source: Source, registry: Registry, loader: str = "", layout: str = "") -> tuple[Checkpoint, str]:
    """Open a source with the loader that recognises it best, or with the one named, and with a layout if one is given.

    Returns:
        The checkpoint and the qualified name of its loader.

    Raises:
        SourceError: No loader recognises it, or the one that does cannot read it.
        UsageError: No loader has the name, several are equally sure, or the loader takes no layout.
    """
    warnings: list[str] = []
    if loader:
        owned = configured(registry.loaders, loader)
        source = _recognised(source, [owned])[0] if source.is_folder else source
    else:
        source, best, warnings = _recognised(source, registry.loaders)
        owned = best or _refuse_unknown(source, registry, warnings)
    owned = _with_layout(owned, layout) if layout else owned
    try:
        checkpoint = _checked(owned.object.open(source), owned.qualified)
        checkpoint.warnings = (*checkpoint.warnings, *warnings)
    except WWError:
        raise
    except all_but_interrupts() as error:
        sentence = sentence_of(error, owned.object)
        raise LoaderFailedError(f"{source.label}: loader {owned.qualified} failed: {sentence}") from error
    return checkpoint, spec_of(owned)


def _with_layout(owned: Owned[Loader], layout: str) -> Owned[Loader]:
    if "layout" not in {parameter.name for parameter in owned.object.parameters()}:
        raise UsageError(f"loader {owned.name} has no option 'layout': what it reads tells the order of its axes")
    return replace(owned, object=replace(owned.object, layout=layout))  # type: ignore[type-var] # it has options


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


def _recognised(source: Source, loaders: Iterable[Owned[Loader]]) -> tuple[Source, Owned[Loader] | None, list[str]]:
    """Return a source, or the one model in a folder that is none itself, with its loader and warnings.

    Raises:
        SourceError: The folder holds several models.
        UsageError: Several loaders are equally sure.
    """
    ranked, warnings = ranking(loaders, source, "loader")
    if ranked:
        return source, ranked[0][1], [*warnings, *_not_read(source, ranked, loaders)]
    if not source.is_folder:
        return source, None, warnings
    models = list(_models_in(source, loaders))
    if len(models) > 1:
        listed = _enumerated([file.name for file, _, _ in models])
        raise SourceError(f"{source.label}: the folder holds several models; name one: {listed}")
    return models[0] if models else (source, None, warnings)


def _not_read(
    source: Source, ranked: Sequence[tuple[float, Owned[Loader]]], loaders: Iterable[Owned[Loader]]
) -> Iterator[str]:
    """Say which of the models is read that a folder holds, and which are not.

    Formats are told by the loaders that the folder's names concern. Other loaders look at its files, where these are on
    this machine: to ask another one for the first bytes of every file takes longer than to read the model.
    """
    if not source.is_folder:
        return
    (_, best), *others = ranked
    names = [owned.name for confidence, owned in others if confidence >= _OWN_MODEL]
    if names:
        yield (
            f"{source.label}: it holds models in several formats: {best.name} is read, and not {', '.join(names)}: "
            f"to read another, name its file, or give --loader {names[0]}"
        )
    if source.path is None:
        return
    told = {owned.qualified for _, owned in others}
    if files := _files_apart(source, best, [owned for owned in loaders if owned.qualified not in told]):
        yield f"{source.label}: {best.name} is read, and not {_enumerated(files)}: to read another, name its file"


_OWN_MODEL = 0.5  # how sure a loader is of a folder where files are named as models of its format are
_CERTAIN = 0.9  # how sure it is of a file that it knows by its bytes
_LISTED = 8
_MOST_LOOKED_AT = 200  # files of a folder


def _files_apart(folder: Source, best: Owned[Loader], loaders: Iterable[Owned[Loader]]) -> list[str]:
    """Name the files that are models of other formats than the folder's; none if its loader takes no single file."""
    apart, is_of_files = [], False
    for name in sorted(folder.names(), key=natural_order)[:_MOST_LOOKED_AT]:
        try:
            ranked, _ = ranking(loaders, folder.entry(name), "loader")
        except (SourceError, UsageError):  # what may not be read, or is nobody's alone
            continue
        if ranked and ranked[0][1] is best:
            is_of_files = True
        elif ranked and ranked[0][0] >= _CERTAIN:
            apart.append(name)
    return apart if is_of_files else []


def _enumerated(names: Sequence[str]) -> str:
    return ", ".join([*map(legible, names[:_LISTED]), *(["..."] if len(names) > _LISTED else [])])


def _models_in(folder: Source, loaders: Iterable[Owned[Loader]]) -> Iterator[tuple[Source, Owned[Loader], list[str]]]:
    """Yield the files of a folder that a loader recognises."""
    for name in sorted(folder.names(), key=natural_order)[:_MOST_LOOKED_AT]:
        try:
            file = folder.entry(name)
            best, warnings = surest(loaders, file, "loader")
        except SourceError:  # a folder, a link that leads out of it, or what may not be read
            continue
        if best:
            yield file, best, warnings


def _refuse_unknown(source: Source, registry: Registry, warnings: Sequence[str]) -> NoReturn:
    """Raise, because no loader recognises a source.

    Raises:
        NoLoaderError: The message says what was found, and which loaders there are.
    """
    if warnings:
        raise NoLoaderError(f"{source.label}: no loader recognises it, and {'; '.join(warnings)}")
    formats = ", ".join(sorted(owned.name for owned in registry.loaders)) or "none"
    if source.is_folder:
        content = sorted(source.names(), key=natural_order)
        more = ", ..." if len(content) > _LISTED else ""
        found = f"it holds {', '.join(content[:_LISTED])}{more}" if content else "it is empty"
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
