"""What published analyses change about an extractor: a factor of the eigenvalues, and limits of size."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import ww_core as ww


@dataclass(frozen=True)
class Adjustable(ww.Extractor):
    """Base of extractors whose spectra can be given a factor, and that can be told to leave matrices out.

    Attributes:
        factor: What the eigenvalues are multiplied by; P is the number of kernel positions, 1 without a kernel.
        min_M: Smallest length of an entry's shorter side.
        max_N: Largest length of an entry's longer side; 0 for any.
        min_eigenvalues: Smallest number of eigenvalues in a spectrum.
        max_eigenvalues: Largest number of eigenvalues in a spectrum; 0 for any.
    """

    factor: Literal["1", "1/2", "P/2"] = "1"
    min_M: int = 0
    max_N: int = 0
    min_eigenvalues: int = 0
    max_eigenvalues: int = 0

    def __post_init__(self) -> None:
        """Refuse what no count can be."""
        for limit in ("min_M", "max_N", "min_eigenvalues", "max_eigenvalues"):
            if getattr(self, limit) < 0:
                raise ValueError(f"{limit} is a count: it cannot be {getattr(self, limit)}")

    def adjusted(self, plan: ww.MatrixPlan, positions: int = 1) -> ww.MatrixPlan:
        """Return ``plan``, of a layer with so many kernel positions, with the factor of this variant.

        Raises:
            NotApplicable: The matrices are smaller or larger than this variant takes.
        """
        M, N = sorted((plan.rows, plan.cols))
        for what, size, least, most in (
            ("the shorter side", M, self.min_M, 0),
            ("the longer side", N, 0, self.max_N),
            ("the number of eigenvalues", plan.n_eigenvalues, self.min_eigenvalues, self.max_eigenvalues),
        ):
            if size < least:
                raise ww.NotApplicable(f"{what} is {size}, and this variant of {self.name} takes {least} or more")
            if most and size > most:
                raise ww.NotApplicable(f"{what} is {size}, and this variant of {self.name} takes {most} or less")
        factor = {"1": 1.0, "1/2": 0.5, "P/2": positions / 2}[self.factor]
        return plan if factor == 1.0 else replace(plan, scale=math.sqrt(factor))
