"""Making the spectra of matrices at hand, those of equal shapes together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from ww_core.compute.batches import parted
from ww_core.compute.evaluate import Lost
from ww_core.domain.report import Failure
from ww_core.errors import NotApplicable, NoValue, Refused
from ww_core.plugins.isolation import all_but_interrupts, sentence_of
from ww_core.spectral import singular_values
from ww_core.spectral.singular_values import Decomposable, stackable

if TYPE_CHECKING:
    from ww_core.compute.at_hand import MatrixAtHand
    from ww_core.contracts.device import Device
    from ww_core.contracts.extractor import Matrix
    from ww_core.domain.spectrum import Spectrum, SpectrumKind
    from ww_core.spectral.sharing import Share


class Lacking(NamedTuple):
    """A spectrum that a matrix lacks.

    Attributes:
        matrix: The matrix.
        kind: Which spectrum.
        failures: Where exceptions are recorded.
    """

    matrix: MatrixAtHand
    kind: SpectrumKind
    failures: list[Failure]


STACK_BYTES = 4 * 2**20
"""Most bytes in double precision of matrices that are decomposed in one call, unless one piece of it has more."""


@dataclass(frozen=True, slots=True, eq=False)
class SpectrumMaker:
    """Makes spectra.

    Attributes:
        device: Where.
        share: Who else may take part.
    """

    device: Device
    share: Share

    @property
    def stack_bytes(self) -> int:
        """Most bytes in double precision of matrices that are decomposed together, unless one has more."""
        return max(STACK_BYTES, self.device.piece_bytes)

    def make(self, lacking: Iterable[Lacking]) -> None:
        """Make spectra, and have them at hand; or the reason why there is none.

        What goes wrong with one costs no other its spectrum. No digit depends on what is made together.
        """
        groups: dict[Hashable, list[Lacking]] = defaultdict(list)
        for own in lacking:
            try:
                groups[_likeness(own.matrix.made(), own.kind)].append(own)
            except (NoValue, Lost) as missing:
                own.matrix.take(own.kind, missing)
        for group in groups.values():
            for stack in parted(group, lambda own: own.matrix.nbytes, self.stack_bytes):
                self._make(stack)

    def _make(self, stack: Sequence[Lacking]) -> None:
        kind = stack[0].kind
        try:
            spectra = singular_values.spectra_of(
                [_decomposable(own) for own in stack],
                resolution=kind.resolution,
                precision=kind.precision,
                device=self.device,
                share=self.share,
            )
            made = [_scaled(spectrum, own) for spectrum, own in zip(spectra, stack, strict=True)]
        except all_but_interrupts() as error:
            if len(stack) > 1:
                for own in stack:
                    self._make([own])
                return
            self._miss(error, *stack)
        else:
            for spectrum, own in zip(made, stack, strict=True):
                own.matrix.take_new(own.kind, spectrum)

    def _miss(self, error: BaseException, own: Lacking) -> None:
        """Have the reason at hand why there is no spectrum; said once, not tried by each metric."""
        if issubclass(type(error), NoValue):  # of a stranger's exception nothing else is asked
            own.matrix.take_new(own.kind, cast("NoValue", error))
        elif issubclass(type(error), Lost):
            own.matrix.take(own.kind, cast("Lost", error))
        else:  # such as too little memory
            lost = Lost(f"spectrum: {sentence_of(error, self.device)}")
            own.failures.append(Failure("input", "ww", own.matrix.layer.layer.name, str(lost)))
            own.matrix.take(own.kind, lost)


def _likeness(matrix: Matrix, kind: SpectrumKind) -> Hashable:
    """What is equal of matrices whose spectra are made together; what is made piece by piece stays by itself."""
    own = stackable(matrix.entries) if isinstance(matrix.entries, np.ndarray) else id(matrix)
    return own, kind.resolution, kind.precision


def _decomposable(own: Lacking) -> Decomposable:
    matrix, layer = own.matrix.made(), own.matrix.layer.layer
    rounding = layer.weight.rounding.times(own.matrix.plan.gain)
    return Decomposable(_permuted(own, matrix).entries, rounding, matrix.multiplicities)


def _permuted(own: Lacking, matrix: Matrix) -> Matrix:
    if own.kind.randomized is None:
        return matrix
    from ww_core.spectral.permutation import permuted

    if not isinstance(matrix.entries, np.ndarray):
        # The numbers of what is made piece by piece are not the weights, and permuting them would mean nothing.
        raise NotApplicable("the entries are made of the weights one by one: they cannot be permuted in place")
    key = own.kind.randomized.key(own.matrix.subject.tensor, own.matrix.subject.index)
    return replace(matrix, entries=permuted(matrix.entries, key))


def _scaled(spectrum: Spectrum, own: Lacking) -> Spectrum:
    scale, randomized = own.matrix.plan.scale, own.kind.randomized
    if scale == 1.0 and randomized is None:
        return spectrum
    scaled = spectrum.scaled(scale, randomized)
    if scaled.singular_values[0] == math.inf:
        raise Refused("the largest singular value is beyond the range of float64")
    return scaled
