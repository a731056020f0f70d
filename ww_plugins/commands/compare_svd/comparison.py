"""Convolutions through several extractors, side by side: the numbers, and the laws that must hold between them."""

from __future__ import annotations

import dataclasses
import math
import sys
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ww_core as ww

TOLERANCE = 1e-10
"""How far rounding may carry a law, relative to its larger side."""

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
class ExtractorResult:
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
        grid: Length of the grid of a Fourier transform; None for what is none.
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
    grid: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and texts. The label tells the grid."""
        content = dataclasses.asdict(self)
        del content["grid"]
        return content


@dataclass(frozen=True, slots=True)
class Law:
    """Something that must hold between two extractors' results of a layer.

    Attributes:
        statement: What must hold, such as ``spectral_norm(stack) <= spectral_norm(fft)``.
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
        """Whether it is missed by no more than rounding."""
        return self.deviation <= TOLERANCE


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two extractors whose exponents differ by more than their joint standard error, or whose warnings differ."""

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
    """A convolution with its results, in the order of the extractors, and why an extractor has none."""

    name: str
    shape: tuple[int, ...]
    groups: int
    results: tuple[ExtractorResult, ...]
    missing: tuple[tuple[str, str], ...] = ()

    @property
    def laws(self) -> tuple[Law, ...]:
        """What must hold between the results that are there.

        Frobenius norms are equal. Of the spectral norms s, with P positions of the kernel, max s(slice) <= s(stack) <=
        s(fft) <= sqrt(P) s(stack): the Gram matrix of the stack is the sum of the slices', and the mean of those at all
        frequencies; the matrix at a frequency is the stack under a row of P phases.
        """
        laws = [self._equal_norms(result, self.results[0]) for result in self.results[1:]]
        norms = {result.extractor: result.spectral_norm for result in self.results}
        if "stack" in norms:
            stack, root = norms["stack"], math.sqrt(math.prod(self.shape[2:]))
            for label, norm in norms.items():
                if label in ("slice", "pool"):
                    laws.append(_at_most(f"spectral_norm({label}) <= spectral_norm(stack)", norm, stack))
                elif label != "stack":
                    laws.append(_at_most(f"spectral_norm(stack) <= spectral_norm({label})", stack, norm))
                    # Divided, since the product may be beyond the largest number.
                    laws.append(
                        _at_most(f"spectral_norm({label}) / sqrt(P) <= spectral_norm(stack)", norm / root, stack)
                    )
        return tuple(laws)

    def _equal_norms(self, first: ExtractorResult, second: ExtractorResult) -> Law:
        root = {1: "sqrt(n)", 2: "n"}.get(len(self.shape) - 2, "n^1.5")
        norms = [
            f"frobenius({result.extractor}){f' / {root}' if result.grid is not None else ''}"
            for result in (first, second)
        ]
        left, right = first.frobenius_norm, second.frobenius_norm
        return Law(" = ".join(norms), left, right, _relative(abs(left - right), left, right))

    @property
    def disagreements(self) -> tuple[Disagreement, ...]:
        """The pairs of extractors whose results would be read differently."""
        tails = [(result.extractor, result.tail) for result in self.results if result.tail is not None]
        pairs = (
            Disagreement(
                first=first,
                second=second,
                first_alpha=first_tail.alpha,
                second_alpha=second_tail.alpha,
                joint_sigma=math.hypot(first_tail.sigma, second_tail.sigma),
                first_warning=first_tail.warning,
                second_warning=second_tail.warning,
            )
            for (first, first_tail), (second, second_tail) in combinations(tails, 2)
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
    failures: tuple[ww.Failure, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def broken(self) -> tuple[tuple[str, Law], ...]:
        """Laws that do not hold, with the names of their layers."""
        return tuple((layer.name, law) for layer in self.layers for law in layer.laws if not law.holds)

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
                    "views": [result.to_dict() for result in layer.results],
                    "missing": [{"extractor": extractor, "reason": reason} for extractor, reason in layer.missing],
                    "identities": [dataclasses.asdict(law) | {"holds": law.holds} for law in layer.laws],
                    "disagreements": [dataclasses.asdict(pair) for pair in layer.disagreements],
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
            rows += [place | _flat(result) for result in layer.results]
            rows += [place | {"extractor": extractor, "note": reason} for extractor, reason in layer.missing]
        return rows


def _flat(result: ExtractorResult) -> dict[str, Any]:
    tail = result.tail
    return {
        "extractor": result.extractor,
        "matrices": result.matrices,
        "count": result.count,
        "alpha": tail.alpha if tail else None,
        "sigma": tail.sigma if tail else None,
        "alpha_min": tail.smallest if tail else None,
        "alpha_max": tail.largest if tail else None,
        "spectral_norm": result.spectral_norm,
        "stable_rank": result.stable_rank,
        "frobenius_norm": result.frobenius_norm,
        "seconds": result.seconds,
        "warning": tail.warning if tail else "",
        "note": result.reason,
    }


def _at_most(statement: str, left: float, right: float) -> Law:
    return Law(statement, left, right, _relative(max(0.0, left - right), left, right))


def _relative(difference: float, left: float, right: float) -> float:
    return difference / max(left, right, SMALLEST) if difference else 0.0
