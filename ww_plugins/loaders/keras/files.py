"""Files of Keras: an HDF5 file, or the archive of a model with one in it, as tensors in ww's layout."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import ww_core as ww
from ww_core.loading.contents import BITS
from ww_core.loading.impostors import impostor_in_zip, refuse_impostor
from ww_core.loading.mapped import MappedFile, StoredTensor, with_strides
from ww_core.loading.names import fault_of_name, listing, quoted
from ww_core.loading.zips import ZIP_MAGIC, Directory, shown
from ww_plugins.loaders.keras.bytes_of import Extent
from ww_plugins.loaders.keras.configs import ModelConfig, read_config
from ww_plugins.loaders.keras.hdf5 import MAGIC, Group, read_groups
from ww_plugins.loaders.keras.layouts import LORA, View, is_kernel_of_untold_groups, untold_equations, views_of
from ww_plugins.loaders.keras.weights import (
    ATTRIBUTES,
    MODEL_CONFIG,
    OPTIMIZERS,
    HeldLayer,
    is_named,
    is_numbered,
    named_layers,
    numbered_layers,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WEIGHTS_ENTRY = b"model.weights.h5"
_CONFIG_ENTRY = b"config.json"
_SHOWN = 3
_LISTED = 5


def read_file(file: ww.Source) -> MappedFile:
    """Read what a file of Keras holds, short of its numbers.

    Raises:
        CorruptFileError: It is damaged, or no such file.
        SourceError: It cannot be read, or takes more than the budget.
    """
    head = file.head(len(MAGIC))
    if head == MAGIC:
        return _read(Extent(file, 0, file.size), None)
    if head.startswith(ZIP_MAGIC):
        return _read(*_in_archive(file))
    refuse_impostor(file)
    raise ww.CorruptFileError(
        f"{file.label}: no file of Keras, or damaged: it begins neither as HDF5 nor as a zip archive"
    )


def _in_archive(file: ww.Source) -> tuple[Extent, bytes | None]:
    """Find the weights and the configuration in the archive of a model."""
    with file.open() as handle:
        directory = Directory(file, handle)
        weights, config = directory.find(WEIGHTS_ENTRY), directory.find(_CONFIG_ENTRY)
        if weights is None:
            seems = impostor_in_zip(map(shown, directory.entries))
            said = f"; it seems to be {seems}" if seems else ""
            raise ww.CorruptFileError(
                f"{file.label}: this zip archive has no model.weights.h5, as Keras writes it{said}"
            )
        place = directory.content(weights)
        text = directory.content(config) if config is not None else None
    if text is None:
        return Extent(file, place.offset, place.size), None
    file.budget.take("text", text.size)
    return Extent(file, place.offset, place.size), file.bytes_at(text.offset, text.size)


def _read(extent: Extent, config: bytes | None) -> MappedFile:
    root = read_groups(extent, ATTRIBUTES, OPTIMIZERS)
    if config is None and (told := root.texts.get(MODEL_CONFIG)):
        config = told[0].encode()
    return file_of_groups(root, config, extent.file)


def file_of_groups(root: Group, config: bytes | None, file: ww.Source) -> MappedFile:
    """Return the tensors of a model.

    Args:
        root: Its groups, which may come from several files.
        config: Its configuration; None if there is none.
        file: The file that tells of them.

    Raises:
        CorruptFileError: The groups are no such model, or the configuration or a name is damaged.
        SourceError: They take more than the budget.
    """
    model = read_config(config, file) if config is not None else ModelConfig()
    if is_numbered(root):
        layers = numbered_layers(root, model, file)
    elif is_named(root):
        layers = named_layers(root, model)
    else:
        raise ww.CorruptFileError(f"{file.label}: an HDF5 file, but none with the weights of a model of Keras")
    tensors = tuple(_with_layers_apart(_tensors(layers, file), file))
    warnings = [*_warnings(root, layers), *(_untold_groups(layers) if config is not None else ())]
    warnings += [*untold_equations(held.layer for held in layers), *_updates_apart(layers)]
    return MappedFile(file, tensors, warnings=tuple(f"{file.label}: {said}" for said in warnings))


def _warnings(root: Group, layers: Iterable[HeldLayer]) -> Iterator[str]:
    """Name datasets that stand where Keras keeps no variables."""
    read = {(tensor.file.location, tensor.name) for held in layers for tensor in held.tensors.values()}
    apart = [quoted(own.name) for own in root.all_tensors() if (own.file.location, own.name) not in read]
    if apart:
        shown = ", ".join([*apart[:_SHOWN], *(["..."] if len(apart) > _SHOWN else [])])
        yield f"it holds datasets that are not variables of a layer; they are not read: {shown}"


def _untold_groups(layers: Iterable[HeldLayer]) -> Iterator[str]:
    """Name convolutions of which the configuration says nothing, as that of a subclassed model does not."""
    kernels = [held.layer.path for held in layers if is_kernel_of_untold_groups(held.layer)]
    if kernels:
        more = f" and {len(kernels) - _LISTED} more" if len(kernels) > _LISTED else ""
        yield (
            f"the configuration of the model does not give the groups of {', '.join(map(quoted, kernels[:_LISTED]))}"
            f"{more}: they are 1 unless --groups says more"
        )


def _updates_apart(layers: Iterable[HeldLayer]) -> Iterator[str]:
    """Name layers with an update by LoRA that is stored apart, as Keras's ``.h5`` has it."""
    names = [held.layer.path for held in layers if held.layer.variables.keys() & LORA.keys()]
    if names:
        yield (
            f"the updates by LoRA of {listing(names)} are not in their weights, and layers of their own: "
            "save the model as .keras to have the weights that act"
        )


def _tensors(layers: Iterable[HeldLayer], file: ww.Source) -> Iterator[StoredTensor]:
    for held in layers:
        for view in views_of(held.layer):
            name = f"{held.layer.path}/{view.name}"
            file.budget.take("names", len(name))
            if fault := fault_of_name(name):
                raise ww.CorruptFileError(f"{file.label}: {fault}")
            yield _seen_as(held.tensors[view.variable], view, name)


def _seen_as(tensor: StoredTensor, view: View, name: str) -> StoredTensor:
    if tensor.fault:
        return replace(tensor, name=name)
    begin = view.offset * BITS[tensor.dtype] // 8
    if tensor.content is None:
        tensor = replace(tensor, offset=tensor.offset + begin)
    elif begin:
        tensor = replace(tensor, content=tensor.content[begin:])
    return with_strides(replace(tensor, name=name, part=view.part), view.shape, view.strides)


def _with_layers_apart(tensors: Iterable[StoredTensor], file: ww.Source) -> Iterator[StoredTensor]:
    """Give each layer a name of its own: where two would share one, the second goes by the name of its tensor."""
    taken: set[str] = set()
    for tensor in tensors:
        part = tensor.part
        if part is not None and part.role == "weight":
            name = part.layer if part.layer not in taken else tensor.name
            if name in taken:
                raise ww.CorruptFileError(f"{file.label}: two layers have the name {quoted(name)}")
            taken.add(name)
            tensor = replace(tensor, part=part._replace(layer=name))
        yield tensor
