"""What the core itself gives to metrics: one table, which everything that deals with needs reads."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ww_core.domain.column import Scope
from ww_core.domain.layer import LayerContent
from ww_core.domain.rounding import ROUNDINGS


@dataclass(frozen=True, slots=True)
class CoreInput:
    """Something the core gives to every quantity that names it.

    Attributes:
        name: Its name.
        scope: What it speaks of; None for what there is in every scope.
        source: What it takes: the header of a file, a spectrum, be it fresh or stored, or the weights.
        provider: Gives it to the node that asks, of the subject at hand (``compute/at_hand.py``), or of the spectrum.
        randomized: For a spectrum, which permutation of all elements it is of; None for the matrix itself.
        is_seeded: Whether the seed is part of what it is.
        by_batch: Whether a quantity with ``batched=True`` gets another thing than one without.
        copies: How many float64 copies of the matrix, or of the layer's tensors, making it takes at most.
        decomposes: Whether that takes an SVD with vectors.
    """

    name: str
    scope: Scope | None
    source: Literal["header", "spectrum", "weights"]
    provider: Callable[[Any, Any], Any]
    randomized: int | None = None
    is_seeded: bool = False
    by_batch: bool = False
    copies: int = 0
    decomposes: bool = False

    def of(self, at_hand: Any, node: Any) -> Any:
        """Return it, of a subject of its scope.

        Raises:
            NoValue: There is none.
            Lost: An exception cost it.
        """
        return self.provider(at_hand.spectrum(node.kinds[self.name]) if self.source == "spectrum" else at_hand, node)


def _singular_values(spectrum: Any, _: Any) -> Any:
    return spectrum.singular_values


def _eigenvalues(spectrum: Any, _: Any) -> Any:
    return spectrum.eigenvalues


def _seed(spectrum: Any, _: Any) -> Any:
    return spectrum.randomized.seed


def _digest(spectrum: Any, _: Any) -> Any:
    return spectrum.permutation_digest


MATRIX, LAYER, MODEL = Scope.MATRIX, Scope.LAYER, Scope.MODEL

CORE_INPUTS: Mapping[str, CoreInput] = {
    own.name: own
    for own in (
        CoreInput("rng", None, "header", lambda at, node: at.generator(node.key), is_seeded=True),
        CoreInput("n_rows", MATRIX, "header", lambda at, _: at.plan.rows),
        CoreInput("n_cols", MATRIX, "header", lambda at, _: at.plan.cols),
        CoreInput("n_entries", MATRIX, "header", lambda at, _: at.plan.entries),
        CoreInput("multiplicities", MATRIX, "header", lambda at, _: at.multiplicities()),
        CoreInput("singular_values", MATRIX, "spectrum", _singular_values),
        CoreInput("eigenvalues", MATRIX, "spectrum", _eigenvalues),
        CoreInput("noise_floor", MATRIX, "spectrum", lambda spectrum, _: spectrum.noise_floor),
        CoreInput("epsilon", MATRIX, "spectrum", lambda spectrum, _: ROUNDINGS[spectrum.precision].epsilon),
        CoreInput("randomized_singular_values", MATRIX, "spectrum", _singular_values, randomized=0, is_seeded=True),
        CoreInput("randomized_eigenvalues", MATRIX, "spectrum", _eigenvalues, randomized=0, is_seeded=True),
        CoreInput("randomized_seed", MATRIX, "spectrum", _seed, randomized=0, is_seeded=True),
        CoreInput("randomized_digest", MATRIX, "spectrum", _digest, randomized=0, is_seeded=True),
        CoreInput(
            "matrix", MATRIX, "weights", lambda at, node: at.matrix(node.quantity.batched), by_batch=True, copies=2
        ),
        CoreInput(
            "left_singular_vectors",
            MATRIX,
            "weights",
            lambda at, node: at.singular_vectors(node.quantity.batched)[0],
            by_batch=True,
            copies=10,
            decomposes=True,
        ),
        CoreInput(
            "right_singular_vectors",
            MATRIX,
            "weights",
            lambda at, node: at.singular_vectors(node.quantity.batched)[1],
            by_batch=True,
            copies=10,
            decomposes=True,
        ),
        CoreInput("layer", LAYER, "header", lambda at, _: LayerContent.of(at.layer)),
        CoreInput("weight", LAYER, "weights", lambda at, _: at.wide(at.layer.weight), copies=1),
        CoreInput("bias", LAYER, "weights", lambda at, _: at.wide(at.layer.bias), copies=1),
        CoreInput("stored_weight", LAYER, "weights", lambda at, _: at.stored(at.layer.weight)),
        CoreInput("stored_bias", LAYER, "weights", lambda at, _: at.stored(at.layer.bias)),
        CoreInput("layers", MODEL, "header", lambda at, _: at.layers),
        CoreInput("matrices", MODEL, "header", lambda at, _: at.matrices),
    )
}
"""All of them, by name. Those of randomized spectra may have a number: ``randomized_eigenvalues[2]``."""


@functools.cache
def core_input(name: str) -> CoreInput | None:
    """Return the core input of a name, which may have a number; None if there is none.

    The first of what is numbered, number 0, goes by the plain name.
    """
    plain = CORE_INPUTS.get(name)
    numbered = _NUMBERED.fullmatch(name)
    if plain is not None or numbered is None:
        return plain
    first, number = CORE_INPUTS.get(numbered[1]), int(numbered[2])
    if first is None or first.randomized is None:
        return None
    return replace(first, name=name, randomized=number) if number else first


_NUMBERED = re.compile(r"(\w+)\[(0|[1-9][0-9]{0,3})\]")
