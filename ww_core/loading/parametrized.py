r"""Weights that a state dict holds as what they are made of: which tensors belong together, and what they make.

================= ================================================================ =====================================
what makes it     names, of a tensor ``X`` such as ``conv.weight``                 the tensor that acts
================= ================================================================ =====================================
weight norm       ``X_g``, ``X_v``; "weight" is in the last part of the name       g v / \|v\|
spectral norm     ``X_orig``, ``X_u``, ``X_v``                                     W / (u^T W v)
pruning           ``X_orig``, ``X_mask``                                           W * mask
weight norm       ``parametrizations.weight.original0``, ``.original1``            g v / \|v\|
spectral norm     ``parametrizations.weight.original``, ``.0._u``, ``.0._v``       W / (u^T W v)
anything else     ``parametrizations.weight.original``, and others                 not told: W is read, with a warning
================= ================================================================ =====================================

The norm of v is taken over the axes along which g has length 1 (T. Salimans and D. Kingma, 2016). u and v are the
vectors of a power iteration, as they are stored, and W is a matrix whose rows lie along the first axis, or along the
second one, as those of transposed convolutions do (T. Miyato et al., 2018): where both fit, along that whose product
is larger, because u and v are near its largest singular vectors. Each is a product of v or W with a factor; it is
formed in float64, a block at a time, and has the dtype of v or W.

Where the tensor that acts is there as well, it is the one that counts. What it is made of is no layer in any case; v
and W have the numbers of the tensor, which are counted once.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from ww_core.loading.names import listing
from ww_core.loading.state_dict import Makes

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

Shapes = Mapping[str, tuple[int, ...]]
"""Shape of each tensor, by name."""

Held = TypeVar("Held")


class Parametrized(NamedTuple):
    """A tensor that acts, and what the model holds of it.

    Attributes:
        name: Its name.
        parts: What it is made of: first the tensor whose shape and dtype it has, then what ``factor`` takes besides.
        what: What makes it: ``weight norm``, ``spectral norm``, ``pruning``; empty where nothing tells.
        factor: Returns what the first part is multiplied by, of all parts; None where nothing tells how, or where the
            tensor is there.
    """

    name: str
    parts: tuple[str, ...]
    what: str
    factor: Callable[..., npt.NDArray[Any]] | None

    def of(self, arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Return the tensor, in C order and in the dtype of its first part.

        Args:
            arrays: The parts, of any dtypes of numbers.
        """
        import numpy as np

        if self.factor is None:
            raise ValueError(f"the computation of {self.name} is unknown")
        made = np.empty(arrays[0].shape, arrays[0].dtype)
        with np.errstate(all="ignore"):  # what is not finite is told where it is analysed
            np.multiply(arrays[0], self.factor(*arrays), out=made, dtype=np.float64, casting="unsafe")
        return made


@dataclass
class Acting(Generic[Held]):
    """The tensors that act in a model, and those that they are made of.

    Attributes:
        tensors: All of them, by name.
        makes: Of each part, what is made of it.
        warnings: Sentences the user should see.
    """

    tensors: dict[str, Held]
    makes: dict[str, Makes] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def acting(
    tensors: Mapping[str, Held], shapes: Shapes, make: Callable[[Parametrized, Sequence[Held]], Held]
) -> Acting[Held]:
    """Add the tensors that act to those that a model holds, each before the first one that it is made of.

    What was pruned may be a part of a norm: it is made first, and not listed.

    Args:
        tensors: What the model holds, by name.
        shapes: Shapes of those among them that are rows of numbers.
        make: Makes a tensor of its parts.
    """
    pruned = _pruned(shapes)
    result = _with_made(Acting(dict(tensors)), pruned, make)
    left = {name: shape for name, shape in shapes.items() if name not in result.makes}
    left |= {own.name: shapes[own.parts[0]] for own in pruned}
    normed = _normed(left)
    result = _with_made(result, normed, make)
    outer = {part: own.name for own in normed for part in own.parts}
    inner = {own.name for own in pruned if own.name in outer and own.name not in tensors}
    result.tensors = {name: tensor for name, tensor in result.tensors.items() if name not in inner}
    result.makes = {
        name: own._replace(tensor=outer[own.tensor] if own.tensor in inner else own.tensor)
        for name, own in result.makes.items()
        if name not in inner
    }
    return result


def _with_made(
    model: Acting[Held], found: Sequence[Parametrized], make: Callable[[Parametrized, Sequence[Held]], Held]
) -> Acting[Held]:
    """Add what is made of others. What nothing tells how to make is its first part."""
    by_first = {own.parts[0]: own for own in found}
    tensors: dict[str, Held] = {}
    untold = []
    for name, tensor in model.tensors.items():
        own = by_first.get(name)
        if own is not None and own.name not in model.tensors:
            if own.factor is None:
                untold.append(own.name)
                tensors[own.name] = tensor
                continue
            tensors[own.name] = make(own, [model.tensors[part] for part in own.parts])
        tensors[name] = tensor
    makes = {
        part: Makes(own.name, own.what, stands=part == own.parts[0])
        for own in found
        for part in own.parts
        if part in tensors
    }
    warnings = model.warnings
    if untold:
        said = "with an unknown parametrization, and read as stored, not as they act"
        warnings += (f"{said}: {listing(untold)}",)
    return Acting(tensors, model.makes | makes, warnings)


def _pruned(shapes: Shapes) -> list[Parametrized]:
    """Find the tensors that are pruned, in the order of their first parts."""
    found = (_known(name, shapes, _PRUNING) for name in shapes if name.endswith("_orig"))
    return [_unless_there(own, shapes) for own in found if own is not None]


def _normed(shapes: Shapes) -> list[Parametrized]:
    """Find the tensors that norms make, and those that are registered, in the order of their first parts."""
    registered: dict[str, list[str]] = defaultdict(list)
    for name in shapes:
        if (place := _REGISTERED.match(name)) is not None:
            registered[place[0]].append(name)
    made: dict[str, Parametrized] = {}
    for name in shapes:
        place = _REGISTERED.match(name)
        own = _known(name, shapes, _NORMS)
        if place is not None:
            own = _registered(registered.pop(place[0], []), place, shapes)
        if own is not None and own.name not in made:
            made[own.name] = _unless_there(own, shapes)
    return list(made.values())


def _unless_there(own: Parametrized, shapes: Shapes) -> Parametrized:
    return own._replace(factor=None) if own.name in shapes else own


_REGISTERED = re.compile(r"((?:[^.]+\.)*?)parametrizations\.([^.]+)\.")
"""How the names of registered tensors begin: the module, then the tensor that acts."""


def _known(base: str, shapes: Shapes, rules: Mapping[str, _Rule]) -> Parametrized | None:
    """Return what a tensor makes with others, by the rule that their names and shapes fit; None if there is none."""
    for suffix, rule in rules.items():
        if not base.endswith(suffix):
            continue
        stem = base.removesuffix(suffix)
        others = [stem + own for own in rule.others]
        if not all(name in shapes for name in others):
            continue
        if suffix == "_v" and "weight" not in stem.rpartition(".")[2]:
            continue  # the matrices of attention, and of gates, have such names too
        if rule.fits(shapes[base], *(shapes[name] for name in others)):
            place = _REGISTERED.match(base) if suffix.startswith(".") else None
            return Parametrized(_acting(place) if place else stem, (base, *others), rule.what, rule.factor)
    return None


def _registered(names: Sequence[str], place: re.Match[str], shapes: Shapes) -> Parametrized | None:
    """Return what is registered in one place of a module; None if nothing is there that could act."""
    known = next((own for name in names if (own := _known(name, shapes, _NORMS)) is not None), None)
    if known is not None and len(known.parts) == len(names):
        return known
    originals = [name for name in names if name.startswith(f"{place[0]}original")]
    others = [name for name in names if not name.startswith(f"{place[0]}original")]
    return Parametrized(_acting(place), (*originals, *others), "", None) if originals else None


def _acting(place: re.Match[str]) -> str:
    """Return the tensor that acts: ``conv.weight`` of ``conv.parametrizations.weight.original``."""
    return place[1] + place[2]


def _is_gain(shape: tuple[int, ...], gain: tuple[int, ...]) -> bool:
    """Tell whether it is a number for a whole tensor, or one for each place along an axis."""
    if len(shape) < 2 or math.prod(gain) == 1:
        return len(shape) > 1
    long = [own == length for own, length in zip(gain, shape, strict=False) if own != 1]
    return len(gain) == len(shape) and long == [True]


def _is_mask(shape: tuple[int, ...], mask: tuple[int, ...]) -> bool:
    return shape == mask


def _are_vectors(shape: tuple[int, ...], left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    return any(True for _ in _axes_of_rows(shape, left, right))


def _axes_of_rows(shape: tuple[int, ...], left: tuple[int, ...], right: tuple[int, ...]) -> Iterator[int]:
    """Yield the axes along which the rows may lie of the matrix that has these singular vectors."""
    for axis, length in enumerate(shape[:2] if len(shape) > 1 else ()):
        if length and left == (length,) and right == (math.prod(shape) // length,):
            yield axis


def _of_weight_norm(direction: npt.NDArray[Any], gain: npt.NDArray[Any]) -> npt.NDArray[Any]:
    import numpy as np

    gain = np.asarray(gain, np.float64)
    gain = gain if gain.ndim == direction.ndim else gain.reshape((1,) * direction.ndim)
    axes = list(range(direction.ndim))
    kept = [axis for axis in axes if gain.shape[axis] != 1]
    squares = np.einsum(direction, axes, direction, axes, kept, dtype=np.float64, casting="unsafe")
    return np.asarray(gain / np.sqrt(squares).reshape(gain.shape))


def _of_spectral_norm(weight: npt.NDArray[Any], left: npt.NDArray[Any], right: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return 1 / (u^T W v). Where two axes fit, the vectors are those of the one whose product is larger."""
    import numpy as np

    products = []
    for axis in _axes_of_rows(weight.shape, left.shape, right.shape):
        matrix = np.moveaxis(weight, axis, 0).reshape(len(left), -1)
        products.append(float(np.einsum("i,ij,j", left, matrix, right, dtype=np.float64, casting="unsafe")))
    return np.asarray(np.divide(1.0, max(products, key=abs)))


def _of_pruning(_: npt.NDArray[Any], mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return mask


class _Rule(NamedTuple):
    """How tensors of certain names belong together.

    Attributes:
        what: What makes a tensor of them.
        others: How the names end of those beside the first one.
        fits: Tells whether their shapes fit.
        factor: Returns what the first one is multiplied by.
    """

    what: str
    others: tuple[str, ...]
    fits: Callable[..., bool]
    factor: Callable[..., npt.NDArray[Any]]


_PRUNING: Mapping[str, _Rule] = {"_orig": _Rule("pruning", ("_mask",), _is_mask, _of_pruning)}
_NORMS: Mapping[str, _Rule] = {
    "_v": _Rule("weight norm", ("_g",), _is_gain, _of_weight_norm),
    "_orig": _Rule("spectral norm", ("_u", "_v"), _are_vectors, _of_spectral_norm),
    ".original1": _Rule("weight norm", (".original0",), _is_gain, _of_weight_norm),
    ".original": _Rule("spectral norm", (".0._u", ".0._v"), _are_vectors, _of_spectral_norm),
}
"""By the end of the first tensor's name."""
