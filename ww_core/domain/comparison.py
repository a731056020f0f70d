"""Convolutions seen through several extractors, side by side."""

from __future__ import annotations

import dataclasses
import math
import sys
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ww_core.domain.report import Failure

TOLERANCE = 1e-10
"""How far rounding may carry an identity, relative to its larger side."""

SMALLEST = sys.float_info.min / sys.float_info.epsilon
"""Norms below it may have lost digits, and are compared as if they were this large."""


@dataclass(frozen=True, slots=True)
class Tail:
    """The power-law fits of one extractor's spectra.

    Attributes:
        alpha: Exponent, or the mean of several.
        sigma: Its standard error: that of the fit, or sqrt(sum sigma_i**2) / k for the mean of k.
        smallest: Smallest exponent.
        largest: Largest exponent.
        warning: The warning that most of the fits have; empty for none.
    """

    alpha: float
    sigma: float
    smallest: float
    largest: float
    warning: str


@dataclass(frozen=True, slots=True)
class View:
    """What one extractor says of a convolution.

    Attributes:
        extractor: Label of the variant.
        matrices: How many matrices, each with a spectrum.
        count: Eigenvalues in all spectra, multiplicities counted.
        tail: The fits; None where there is none.
        spectral_norm: Largest singular value of all; unit of the weights.
        stable_rank: Mean of the matrices' stable ranks; None for a kernel of zeros.
        frobenius_norm: Root of the sum of the squares of all singular values, for a Fourier transform divided by the
            root of the number of grid points; unit of the weights.
        seconds: How long the spectra took when they were made.
        reason: Why some or all of the matrices have no tail.
    """

    extractor: str
    matrices: int
    count: int
    tail: Tail | None
    spectral_norm: float
    stable_rank: float | None
    frobenius_norm: float
    seconds: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """Something that must hold between two views of a layer.

    Attributes:
        statement: What must hold, such as ``sigma(stack) <= sigma(fft)``.
        left: Its left side.
        right: Its right side.
        deviation: By how much it is missed, relative to the larger side; 0 where an inequality holds.
    """

    statement: str
    left: float
    right: float
    deviation: float

    @property
    def holds(self) -> bool:
        """Whether no more than rounding stands against it."""
        return self.deviation <= TOLERANCE


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two views whose exponents differ by more than their joint standard error, or whose warnings differ."""

    first: str
    second: str
    first_alpha: float
    second_alpha: float
    joint_sigma: float
    first_warning: str
    second_warning: str

    @property
    def is_significant(self) -> bool:
        """Whether the exponents differ by more than their joint standard error."""
        return abs(self.first_alpha - self.second_alpha) > self.joint_sigma


@dataclass(frozen=True, slots=True)
class ComparedLayer:
    """A convolution with its views, in the order of the extractors, and why an extractor has none."""

    name: str
    shape: tuple[int, ...]
    groups: int
    views: tuple[View, ...]
    missing: tuple[tuple[str, str], ...] = ()

    @property
    def identities(self) -> tuple[Identity, ...]:
        """What must hold between the views that are there.

        Frobenius norms are equal, and max sigma(slice) <= sigma(stack) <= sigma(fft) <= sqrt(P) sigma(stack) with P
        positions of the kernel: the Gram matrix of the stack is the sum of the slices', and the mean of those at all
        frequencies; the matrix at a frequency is the stack under a row of P phases.
        """
        found = [self._equal_norms(view, self.views[0]) for view in self.views[1:]]
        norms = {view.extractor: view.spectral_norm for view in self.views}
        if "stack" in norms:
            stack, root = norms["stack"], math.sqrt(math.prod(self.shape[2:]))
            for label, norm in norms.items():
                if label in ("slice", "pool"):
                    found.append(_at_most(f"sigma({label}) <= sigma(stack)", norm, stack))
                elif label != "stack":
                    found.append(_at_most(f"sigma(stack) <= sigma({label})", stack, norm))
                    # Divided, since the product may be beyond the largest number.
                    found.append(_at_most(f"sigma({label}) / sqrt(P) <= sigma(stack)", norm / root, stack))
        return tuple(found)

    def _equal_norms(self, one: View, other: View) -> Identity:
        root = {1: "sqrt(n)", 2: "n"}.get(len(self.shape) - 2, "n^1.5")
        norms = [
            f"frobenius({label}){f' / {root}' if is_fourier(label) else ''}"
            for label in (one.extractor, other.extractor)
        ]
        left, right = one.frobenius_norm, other.frobenius_norm
        return Identity(" = ".join(norms), left, right, _relative(abs(left - right), left, right))

    @property
    def disagreements(self) -> tuple[Disagreement, ...]:
        """The pairs of views that would be read differently."""
        tails = [(view.extractor, view.tail) for view in self.views if view.tail is not None]
        pairs = (
            Disagreement(
                first=first,
                second=second,
                first_alpha=one.alpha,
                second_alpha=other.alpha,
                joint_sigma=math.hypot(one.sigma, other.sigma),
                first_warning=one.warning,
                second_warning=other.warning,
            )
            for (first, one), (second, other) in combinations(tails, 2)
        )
        return tuple(pair for pair in pairs if pair.is_significant or pair.first_warning != pair.second_warning)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The convolutions of a checkpoint through several extractors. ``to_dict`` is what ``--json`` prints.

    Attributes:
        source: How the source is named to people.
        model: Name of the model.
        version: Its label.
        digest: Digest of the checkpoint.
        extractors: Labels of the variants.
        layers: Convolutions of which at least one extractor makes something.
        failures: What was lost to exceptions.
        warnings: Sentences on the source and the plugins.
    """

    source: str
    model: str
    version: str
    digest: str
    extractors: tuple[str, ...]
    layers: tuple[ComparedLayer, ...]
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def broken(self) -> tuple[tuple[str, Identity], ...]:
        """Identities that do not hold, with the names of their layers."""
        return tuple((layer.name, one) for layer in self.layers for one in layer.identities if not one.holds)

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, numbers and texts."""
        return {
            "source": self.source,
            "model": self.model,
            "version": self.version,
            "digest": self.digest,
            "extractors": list(self.extractors),
            "layers": [
                {
                    "name": layer.name,
                    "shape": list(layer.shape),
                    "groups": layer.groups,
                    "views": [dataclasses.asdict(view) for view in layer.views],
                    "missing": [{"extractor": extractor, "reason": reason} for extractor, reason in layer.missing],
                    "identities": [dataclasses.asdict(one) | {"holds": one.holds} for one in layer.identities],
                    "disagreements": [dataclasses.asdict(one) for one in layer.disagreements],
                }
                for layer in self.layers
            ],
            "failures": [dataclasses.asdict(failure) for failure in self.failures],
            "warnings": list(self.warnings),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat dict per layer and extractor. What has no value is None."""
        rows: list[dict[str, Any]] = []
        for layer in self.layers:
            place = {"layer": layer.name, "shape": "x".join(map(str, layer.shape))}
            rows += [place | _flat(view) for view in layer.views]
            rows += [place | {"extractor": extractor, "note": reason} for extractor, reason in layer.missing]
        return rows


def _flat(view: View) -> dict[str, Any]:
    tail = view.tail
    return {
        "extractor": view.extractor,
        "matrices": view.matrices,
        "count": view.count,
        "alpha": tail.alpha if tail else None,
        "sigma": tail.sigma if tail else None,
        "alpha_min": tail.smallest if tail else None,
        "alpha_max": tail.largest if tail else None,
        "spectral_norm": view.spectral_norm,
        "stable_rank": view.stable_rank,
        "frobenius_norm": view.frobenius_norm,
        "seconds": view.seconds,
        "warning": tail.warning if tail else "",
        "note": view.reason,
    }


def is_fourier(extractor: str) -> bool:
    """Whether a label is that of a variant of ``fft``."""
    return extractor.partition("[")[0] == "fft"


def _at_most(statement: str, left: float, right: float) -> Identity:
    return Identity(statement, left, right, _relative(max(0.0, left - right), left, right))


def _relative(difference: float, left: float, right: float) -> float:
    return difference / max(left, right, SMALLEST) if difference else 0.0
