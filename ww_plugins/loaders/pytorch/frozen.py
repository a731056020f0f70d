"""Frozen TorchScript: its weights are constants, which the code calls ``CONSTANTS.c0``, ``CONSTANTS.c1``.

``torch.jit.freeze`` writes the code of all modules into that of the outermost one, folds batch norms into convolutions
and makes constants that are equal one. What each is, is told by the first call that has it as a weight, else as a bias.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import ww_core as ww
from ww_core.loading.mapped import StoredTensor, transposed
from ww_core.loading.names import listing
from ww_core.loading.state_dict import Part, fits
from ww_plugins.loaders.pytorch.code import CONSTANTS
from ww_plugins.loaders.pytorch.scripted import several_groups
from ww_plugins.loaders.pytorch.storages import FLOATING
from ww_plugins.loaders.pytorch.tensors import is_tensor, stored_tensor

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from ww_plugins.loaders.pytorch.archives import Archive
    from ww_plugins.loaders.pytorch.calls import Use
    from ww_plugins.loaders.pytorch.code import Uses
    from ww_plugins.loaders.pytorch.scripted import ScriptedTypes

_MOST_OF_A_BUFFER = 16


class Frozen(NamedTuple):
    """The constants of an archive that are tensors of its model, and what to say of them."""

    tensors: tuple[StoredTensor, ...] = ()
    warnings: tuple[str, ...] = ()


def frozen_tensors(archive: Archive, types: ScriptedTypes, *, holds_others: bool) -> Frozen:
    """Return the constants of an archive, if weights are among them.

    Where objects hold the weights, the constants are numbers that the code computes with.

    Args:
        archive: The file.
        types: Its types.
        holds_others: Whether objects hold tensors.
    """
    told = list(types.uses(archive.pickle.named))
    missing = sum(uses.not_stored for uses in told)
    warnings = [_NOT_STORED.format(missing)] if missing else []
    constants = archive.constants
    root = constants.pickle.root if constants is not None else None
    if constants is None or not isinstance(root, (list, tuple)):
        return Frozen((), tuple(warnings))
    found = {f"{CONSTANTS}c{place}": node for place, node in enumerate(root) if is_tensor(node)}
    if holds_others and not any(name in found for uses in told for name in uses.weights):
        return Frozen((), tuple(warnings))
    archive.file.budget.take("tensors", len(found))
    archive.file.budget.take("names", sum(map(len, found)))
    tensors = {name: stored_tensor(name, node, constants) for name, node in found.items()}
    weights = _weights(tensors, told)
    biases = _biases(tensors, weights, told)
    statistics = {name for uses in told for name in uses.buffers}
    warnings += _warnings(tensors, weights, biases, told)
    return Frozen(
        tuple(_placed(tensor, weights, biases, statistics) for tensor in tensors.values()),
        tuple(warnings),
    )


_NOT_STORED = (
    "it uses {} tensors that PyTorch does not write, in a layout of MKLDNN: save the model as it was before "
    "torch.jit.optimize_for_inference"
)


def _weights(tensors: Mapping[str, StoredTensor], told: Sequence[Uses]) -> dict[str, list[Use]]:
    """Return what calls use each weight for, as far as it fits."""
    weights: dict[str, list[Use]] = {}
    for uses in told:
        for name, used in uses.weights.items():
            if name in tensors:
                shape = tensors[name].shape
                weights.setdefault(name, []).extend(use for use in used if fits(use.kind, _groups(use), shape))
    return {name: used for name, used in weights.items() if used}


def _biases(
    tensors: Mapping[str, StoredTensor], weights: Mapping[str, list[Use]], told: Sequence[Uses]
) -> dict[str, str]:
    """Return the weight that each bias stands beside; each weight has one."""
    pairs = itertools.chain.from_iterable(
        itertools.chain(uses.biases.items(), _recurrent(tensors, uses)) for uses in told
    )
    biases: dict[str, str] = {}
    taken: set[str] = set()
    for bias, weight in pairs:
        is_one = bias in tensors and bias not in weights and len(tensors[bias].shape) == 1
        if is_one and weight in weights and weight not in taken and bias not in biases:
            biases[bias] = weight
            taken.add(weight)
    return biases


def _recurrent(tensors: Mapping[str, StoredTensor], uses: Uses) -> Iterator[tuple[str, str]]:
    """Pair biases and weights of lists: two matrices, and behind them their biases; a projection has none."""
    for names in uses.recurrent:
        matrices: list[str] = []
        for name in names:
            if name not in tensors or len(tensors[name].shape) != 1:
                matrices.append(name)
            elif matrices:
                yield name, matrices[-2:][0]
                matrices = matrices[-1:] if len(matrices) > 1 else []


def _placed(
    tensor: StoredTensor, weights: Mapping[str, list[Use]], biases: Mapping[str, str], statistics: Collection[str]
) -> StoredTensor:
    """Say what a tensor is, and bring a matrix into ww's layout."""
    name = tensor.name
    if name in weights:
        use = weights[name][0]
        turns = use.turned and len(tensor.shape) == 2 and not tensor.fault and not tensor.parts
        return replace(
            transposed(tensor, (1, 0)) if turns else tensor, part=Part("weight", name, use.kind, _groups(use))
        )
    if name in biases:
        return replace(tensor, part=Part("bias", biases[name]))
    is_small = len(tensor.shape) < 2 and math.prod(tensor.shape) <= _MOST_OF_A_BUFFER
    is_buffer = name in statistics or is_small
    return replace(tensor, part=Part("buffer") if is_buffer else Part("weight", name, ww.LayerKind.OTHER))


def _groups(use: Use) -> int:
    return use.groups if isinstance(use.groups, int) and use.groups else 1


def _warnings(
    tensors: Mapping[str, StoredTensor],
    weights: Mapping[str, list[Use]],
    biases: Mapping[str, str],
    told: Sequence[Uses],
) -> Iterator[str]:
    kernels = [weight for weight in biases.values() if weights[weight][0].kind.is_convolution]
    if kernels and not any(uses.has_batch_norm for uses in told):
        holds = "1 kernel holds" if len(kernels) == 1 else f"{len(kernels)} kernels hold"
        them, have = ("it", "it has") if len(kernels) == 1 else ("them", "they have")
        yield (
            f"{holds} a batch norm that was folded into {them}, it seems: {have} a bias, and no batch norm is left in "
            "the code; a network that never had one looks the same"
        )
    untold = [
        name
        for name, tensor in tensors.items()
        if len(tensor.shape) >= 3 and name not in weights and tensor.dtype in FLOATING and not tensor.fault
    ]
    if untold:
        yield f"no call tells what {listing(untold)} {'is' if len(untold) == 1 else 'are'}: taken for kind other"
    several = (name for name, used in weights.items() if len({use.groups for use in used}) > 1)
    yield from several_groups(several)
