"""From the names of a state dict to layers: the rules of every format that tells names, dtypes and shapes, and no more.

**What is analysed.** Tensors of float16, bfloat16, float32 and float64. Every other tensor is skipped, with its reason;
the digest covers it all the same. Buffers are listed and are no layers:

- what the source says is one: a module, or a graph;
- running statistics and tables that follow from a configuration, by their own names: `_BUFFERS`, and ``*_buffer``;
- what stands beside a quantized weight and is no bias: scales, zero points, tables of a code. A weight is quantized if
  its dtype is an integer or a float of eight bits or less;
- masks of attention: a ``bias`` with four axes, the first two of length 1.

**Which tensors make a layer.** A tensor ``X.weight`` makes the layer ``X``, with ``X.bias`` as its bias if there is
one. ``in_proj_weight``, ``weight_ih_l0``, ``weight_hh_l0_reverse`` and their like take the bias of the same name with
"bias" for "weight"; they keep their full names. Every other tensor is a layer of its own under its full name, a bias
without a weight too. Where ``X.weight`` would share its layer's name with a tensor ``X``, it keeps its full name.

**Kinds.** The first line that fits, by name and shape:

========= ==============================================================================================================
recurrent ``weight_ih``, ``weight_hh``, ``weight_hr``, with or without ``_l0``, ``_l0_reverse``; 2-D
qkv       ``in_proj_weight``; 2-D
norm      1-D, and the name speaks of a norm (norm, bn1, ln_f, gamma, ...) or a running statistic stands beside it
embedding 2-D, and the module's own name is that of a table (embed, wte, token_type_embeddings, ...); names of
          projections beside one (embed_out, embed_proj) and modules inside of one (patch_embed.proj) are not
dense     every other 2-D tensor
expert    3-D, and "experts", "switch_mlp" or "switch_glu" is in the name
other     three axes or more, the first of length 1, no ``.weight`` in the name: position tables, class tokens, masks
conv1d    every other 3-D tensor; then conv2d for 4-D and conv3d for 5-D
other     the rest
========= ==============================================================================================================

Groups are 1: a shape does not tell them. Where the source tells of the module that holds a ``weight``, its kind and its
groups are the module's. Where it tells of a tensor what it is, as graphs do, no rule is asked: see `Part`. The layers
stand in the order of the tensors that were given.

**Names** are the model's own: what wrappers put into them is taken out, see ``plain_names``.

**Weights that others make**, as weight norm does, are layers, and what makes them is none: see ``parametrized``.

**Tied weights.** Tensors that are the same numbers in the same place are one, under the first name, whatever its dtype.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

from ww_core.domain.layer import ITEM_SIZES, Layer, LayerKind, SkippedTensor, TensorSpec, tied_tensor
from ww_core.domain.rounding import Rounding

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence

_BUFFERS = frozenset({
    "running_mean", "running_var", "running_std", "running_min", "running_max",
    "moving_mean", "moving_var", "moving_variance",
    "inv_freq", "cos_cached", "sin_cached", "freqs_cis",
    "masked_bias", "causal_mask", "attn_mask", "attention_mask", "relative_coords_table",
    "forward_basis", "inverse_basis", "mel_basis", "hann_window", "filterbank",
    "weight_scale", "weight_scale_inv", "input_scale", "k_scale", "v_scale", "zero_point", "weight_zero_point",
})  # fmt: skip
_QUANTIZED = re.compile(r"u?int(2|4|8|32)|q\w+|float[468]_\w+")
_QUANTIZED_WEIGHTS = frozenset({"weight", "qweight", "weight_packed"})
_RECURRENT = re.compile(r"weight_(ih|hh|hr)(_l[0-9]+(_reverse)?)?")
_EXPERTS = re.compile(r"experts|switch_(mlp|glu)")
_NORM = re.compile(r"norm|gamma|(^|[._])(bn|ln|gn)[0-9]*([._]|$)", re.IGNORECASE)
_TABLE = re.compile(r"embeddings?$|embeddings?_|(^|_)(embeds?|embs?|wte|wpe|token_type)(_|$)", re.IGNORECASE)
_BESIDE_A_TABLE = re.compile(r"(^|_)(out|proj|project|projection|mapping|linear|dense)(_|$)", re.IGNORECASE)


_WRAPPERS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
_PARALLEL = "module."
_AVERAGED = "n_averaged"
_AXES = {
    LayerKind.DENSE: 2, LayerKind.EMBEDDING: 2, LayerKind.RECURRENT: 2,
    LayerKind.CONV1D: 3, LayerKind.CONV2D: 4, LayerKind.CONV3D: 5, LayerKind.BILINEAR: 3,
}  # fmt: skip


class Part(NamedTuple):
    """What a source says a tensor is.

    Attributes:
        role: ``weight`` of a layer, its ``bias``, or a ``buffer``, which is of no layer.
        layer: Name of the layer; empty for a buffer. A layer has one weight and at most one bias.
        kind: What the layer does, as its weight tells.
        groups: Groups of a convolution, as its weight tells.
    """

    role: Literal["weight", "bias", "buffer"]
    layer: str = ""
    kind: LayerKind = LayerKind.OTHER
    groups: int = 1


class Makes(NamedTuple):
    """What is made of a tensor.

    Attributes:
        tensor: The name of what is made.
        what: What makes it: ``weight norm``, ``pruning``; empty where nothing tells.
        stands: Whether the numbers of the one are those of the other, which count once.
    """

    tensor: str
    what: str
    stands: bool


class FoundTensor(NamedTuple):
    """A tensor that a source holds.

    Attributes:
        name: Its name; unique.
        dtype: NumPy's name (``float32``, ``bfloat16``, ``float8_e4m3fn``).
        shape: Its canonical shape.
        place: Equal for tensors that are the same numbers; None where that is not known.
        fault: Why it is no row of numbers that can be analysed; empty if it is one.
        readable: Whether its content can be had as bytes.
        rounding: How precisely its numbers were stored, where its dtype does not say it.
        part: What the source says that it is; None if only names and shapes can tell.
        makes: What is made of it, and so is no layer; None for nothing.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    place: Hashable = None
    fault: str = ""
    readable: bool = False
    rounding: Rounding = Rounding()
    part: Part | None = None
    makes: Makes | None = None


class Module(NamedTuple):
    """What a source says of a module.

    Attributes:
        kind: What it does, as its ``weight`` tells; None if its class is not known.
        groups: Groups of a convolution.
        buffers: Names of its own buffers.
        tensors: Kind and groups of its own tensors, by their names, where its code tells more than its class.
    """

    kind: LayerKind | None = None
    groups: int = 1
    buffers: frozenset[str] = frozenset()
    tensors: Mapping[str, tuple[LayerKind, int]] = MappingProxyType({})


_NO_MODULES: Mapping[str, Module] = {}
_UNKNOWN = Module()


@dataclass(frozen=True, slots=True)
class StateDict:
    """The tensors of a state dict, each in its place."""

    layers: tuple[Layer, ...]
    buffers: tuple[TensorSpec, ...]
    skipped: tuple[SkippedTensor, ...]


def sort_state_dict(tensors: Iterable[FoundTensor], modules: Mapping[str, Module] = _NO_MODULES) -> StateDict:
    """Sort all tensors into layers, buffers and skipped tensors, keeping their order.

    Args:
        tensors: The tensors.
        modules: What is known of the modules that hold them, by path.
    """
    floating: dict[str, TensorSpec] = {}
    parts: dict[str, Part] = {}
    buffers: list[TensorSpec] = []
    skipped: list[SkippedTensor] = []
    names = set()
    first_at: dict[Hashable, str] = {}
    tensors = list(tensors)
    beside = _beside_quantized(tensors)
    for name, dtype, shape, place, fault, readable, rounding, part, makes in tensors:
        names.add(name)
        if not fault and place is not None and first_at.setdefault(place, name) != name:
            skipped.append(tied_tensor(name, dtype, shape, first_at[place]))
        elif makes is not None:
            made, what, stands = makes
            reason = f"{what} makes {made} of it" if what else f"{made} is made of it"
            skipped.append(
                SkippedTensor(name, dtype, shape, reason, made if stands else "", readable=readable and not stands)
            )
        elif fault or dtype not in ITEM_SIZES:
            skipped.append(SkippedTensor(name, dtype, shape, fault or _reason(dtype), readable=readable))
        elif part.role == "buffer" if part else _is_buffer(name, shape, beside, modules):
            buffers.append(TensorSpec(name, dtype, shape, rounding))
        else:
            floating[name] = TensorSpec(name, dtype, shape, rounding)
            parts |= {name: part} if part else {}

    bias_of = _biases(floating, parts)
    biases = set(bias_of.values())
    layers: list[Layer] = []
    taken: set[str] = set()
    for name, weight in floating.items():
        if name in biases:
            continue
        told = parts.get(name) or _told_by_module(name, weight.shape, modules)
        wished = told.layer if told and told.layer and told.role == "weight" else _layer_name(name, floating)
        free = next(own for own in _names_for(wished, name) if own not in taken)
        taken.add(free)
        layers.append(
            Layer(
                name=free,
                kind=told.kind if told else _kind(name, weight.shape, names),
                weight=weight,
                bias=floating[bias_of[name]] if name in bias_of else None,
                groups=told.groups if told else 1,
            )
        )
    return StateDict(tuple(layers), tuple(buffers), tuple(skipped))


def _names_for(wished: str, tensor: str) -> Iterator[str]:
    """Yield names that a layer may have, the best one first: two of one name would be one to everybody else."""
    yield wished
    yield tensor
    yield from (f"{tensor} ({number})" for number in itertools.count(2))


def _beside_quantized(tensors: Iterable[FoundTensor]) -> set[str]:
    """Return the paths of what stands beside quantized weights, or under them: ``X`` and ``X.weight``."""
    quantized = {
        own.name for own in tensors if _last(own.name) in _QUANTIZED_WEIGHTS and _QUANTIZED.fullmatch(own.dtype)
    }
    return quantized | {path for name in quantized if (path := name.rpartition(".")[0])}


def _is_buffer(
    name: str, shape: tuple[int, ...], beside_quantized: Collection[str], modules: Mapping[str, Module]
) -> bool:
    path, _, last = name.rpartition(".")
    if path in modules and last in modules[path].buffers:
        return True
    if last == "bias":
        return len(shape) == 4 and shape[:2] == (1, 1)
    return is_named_buffer(name) or path in beside_quantized


def _biases(floating: Collection[str], parts: Mapping[str, Part]) -> dict[str, str]:
    """Return the bias of each weight that has one, by their names."""
    told = {part.layer: name for name, part in parts.items() if part.role == "bias"}
    found = {}
    for weight in floating:
        part = parts.get(weight)
        # A bias is that of one weight, the first one.
        bias = _bias_name(weight) if part is None else told.pop(part.layer, None) if part.role == "weight" else None
        if bias in floating and bias is not None and (part is not None or bias not in parts):
            found[weight] = bias
    return found


def _told_by_module(name: str, shape: tuple[int, ...], modules: Mapping[str, Module]) -> Part | None:
    """Return what the module says that holds a tensor; None if it is of another kind."""
    path, _, last = name.rpartition(".")
    module = modules.get(path, _UNKNOWN)
    kind, groups = module.tensors.get(last, (module.kind if _is_weight_of(module.kind, last) else None, module.groups))
    return Part("weight", "", kind, groups) if kind is not None and fits(kind, groups, shape) else None


def kind_of(name: str, shape: tuple[int, ...]) -> LayerKind:
    """Return what a tensor does, as its name and its shape tell."""
    return _kind(name, shape, ())


def is_kernel(name: str, shape: tuple[int, ...]) -> bool:
    """Tell whether a tensor is taken for the kernel of a convolution."""
    return len(shape) >= 3 and kind_of(name, shape).is_convolution


def is_named_buffer(name: str) -> bool:
    """Tell whether a tensor has the name of a buffer."""
    last = _last(name)
    return last in _BUFFERS or last.endswith("_buffer") or name == _AVERAGED


def is_named_recurrent(name: str) -> bool:
    """Tell whether a tensor has a name that the tensors of recurrent layers have, weights and biases."""
    return _RECURRENT.fullmatch(_last(name).replace("bias", "weight")) is not None


def plain_names(names: Sequence[str]) -> dict[str, str]:
    """Return the model's own names of the tensors of a model, by the names they have in its source.

    ``module.`` goes where all names begin with it (data parallel training), or all but ``n_averaged``, which counts
    the models that ``torch.optim.swa_utils.AveragedModel`` is the mean of. ``_orig_mod`` (``torch.compile``),
    ``_fsdp_wrapped_module`` and ``_checkpoint_wrapped_module`` go wherever they stand. Where two tensors would then
    have one name, all keep theirs.
    """
    plain = [".".join(part for part in name.split(".") if part not in _WRAPPERS) for name in names]
    while (held := set(plain) - {_AVERAGED}) and all(name.startswith(_PARALLEL) for name in held):
        plain = [name.removeprefix(_PARALLEL) for name in plain]
    return dict(zip(names, plain if all(plain) and len(set(plain)) == len(plain) else names, strict=True))


def _is_weight_of(kind: LayerKind | None, last: str) -> bool:
    return last == "weight" or (kind is LayerKind.RECURRENT and _RECURRENT.fullmatch(last) is not None)


def fits(kind: LayerKind, groups: int, shape: tuple[int, ...]) -> bool:
    """Tell whether a tensor of some shape can be a weight of a kind, in so many groups."""
    if _AXES.get(kind, len(shape)) != len(shape):
        return False
    return 1 <= groups <= max(1, *shape[:1]) and not (shape and shape[0] % groups)


def _reason(dtype: str) -> str:
    if dtype.startswith(("float", "bfloat", "complex")):
        return f"dtype {dtype} is not supported"
    return f"dtype {dtype} is not floating point"


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _bias_name(name: str) -> str | None:
    path, dot, last = name.rpartition(".")
    if last in {"weight", "in_proj_weight"} or _RECURRENT.fullmatch(last):
        return f"{path}{dot}{last.replace('weight', 'bias')}"
    return None


def _layer_name(name: str, taken: Collection[str]) -> str:
    short = name.removesuffix(".weight")
    return short if short and short not in taken else name


def _kind(name: str, shape: tuple[int, ...], names: Collection[str]) -> LayerKind:
    match len(shape):
        case 1:
            return LayerKind.NORM if _is_norm(name, names) else LayerKind.OTHER
        case 2:
            return _matrix_kind(name)
        case 3 if _EXPERTS.search(name):
            return LayerKind.EXPERT
        case axes if axes >= 3 and shape[0] == 1 and _last(name) != "weight":
            return LayerKind.OTHER
        case axes:
            kinds = {3: LayerKind.CONV1D, 4: LayerKind.CONV2D, 5: LayerKind.CONV3D}
            return kinds.get(axes, LayerKind.OTHER)


def _is_norm(name: str, names: Collection[str]) -> bool:
    path, dot, _ = name.rpartition(".")
    return bool(_NORM.search(name)) or any(f"{path}{dot}{statistic}" in names for statistic in _BUFFERS)


def _matrix_kind(name: str) -> LayerKind:
    last = _last(name)
    if _RECURRENT.fullmatch(last):
        return LayerKind.RECURRENT
    if last == "in_proj_weight":
        return LayerKind.QKV
    module = _last(name.removesuffix(".weight"))
    if _TABLE.search(module) and not _BESIDE_A_TABLE.search(module):
        return LayerKind.EMBEDDING
    return LayerKind.DENSE
