"""The power-law fit of the package powerlaw, an estimator that is not ww's own. It needs the extra ``powerlaw``."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import math
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

import ww_core as ww
from ww_core.spectral.distinct import Distinct
from ww_plugins.metrics.scaled import Floats, ScaledSpectrum

PACKAGE = "powerlaw"
OWN_COPY = "_powerlaw_of_ww"

_making_it = threading.Lock()


def _package_version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "none"


PACKAGE_VERSION = _package_version()
NAME = f"{PACKAGE} {PACKAGE_VERSION}"


@dataclass(frozen=True)
class PowerlawPackage:
    """Columns of the tail fit p(lambda) ~ lambda**-powerlaw_alpha on lambda >= powerlaw_xmin, as powerlaw finds it."""

    powerlaw_alpha: float = ww.column(
        better="lower",
        doc="Exponent of the density of eigenvalues in the tail, by the package powerlaw",
        standard_error="powerlaw_sigma",
        caveat=("as for alpha, the mean over layers does not rank models of one architecture that differ in depth"),
    )
    powerlaw_D: float = ww.column(better="lower", doc="Kolmogorov-Smirnov distance of the tail from this fit, 0 to 1")
    powerlaw_sigma: float = ww.column(doc="Standard error of powerlaw_alpha, as the package tells it")
    powerlaw_xmin: float = ww.column(unit="weight^2", doc="Smallest eigenvalue of the tail of this fit")
    powerlaw_n_tail: int = ww.column(unit="count", doc="Eigenvalues in the tail of this fit")


@ww.metric(version=f"1, {NAME}", on_request=True, extra=PACKAGE)
def powerlaw_package(scaled_spectrum: ScaledSpectrum) -> PowerlawPackage:
    """Power-law fit of the eigenvalues' tail by the package powerlaw, whose version is part of this metric's.

    ``powerlaw.Fit(eigenvalues)``, with alpha free above: p(lambda) ~ lambda**-alpha on lambda >= xmin,
    alpha = 1 + n_tail / sum(ln(lambda_i / xmin)), and the xmin with the smallest Kolmogorov-Smirnov distance D, as in
    ``power_law``. What is cut, and what is a tie, is as there too. Version 1.5 tries every distinct eigenvalue but the
    largest as xmin. Version 2 does not try the second largest either, so that three distinct ones are too few for it;
    of itself it takes an alpha above 3 for invalid, and is told not to. Pooled and complex entries count as their
    eigenvalues do: all in one tail. The time grows with the square of their number: a second for 500, minutes for some
    thousand.

    J. Alstott, E. Bullmore, D. Plenz, powerlaw: a Python package for analysis of heavy-tailed distributions, PLoS ONE 9
    (2014); A. Clauset, C. R. Shalizi, M. E. J. Newman, SIAM Review 51 (2009).

    Args:
        scaled_spectrum: The spectrum over a power of two.

    Raises:
        NotApplicable: Fewer than two distinct eigenvalues are left.
        Refused: The spectrum has no width, the best tail is no wider than the noise floor, or the package raises an
            exception or tells no number.
    """
    distinct = scaled_spectrum.distinct
    with _complaints():
        fit = _fit(_expanded(distinct))
        alpha, D, sigma, xmin = _numbers(fit.alpha, fit.D, fit.sigma, fit.xmin)
    if fit.noise_flag:
        raise ww.Refused(f"{NAME} found no valid fit")
    scaled_spectrum.refuse_narrow(xmin, distinct.largest)
    return PowerlawPackage(
        powerlaw_alpha=alpha,
        powerlaw_D=D,
        powerlaw_sigma=sigma,
        powerlaw_xmin=scaled_spectrum.restored(xmin),
        powerlaw_n_tail=int(fit.n_tail),
    )


@dataclass(frozen=True)
class PowerlawPackageTruncated:
    """Columns of the fit p(lambda) ~ lambda**-powerlaw_tpl_alpha * exp(-powerlaw_tpl_Lambda * lambda) to that tail."""

    powerlaw_tpl_alpha: float = ww.column(doc="Exponent of the power law with a cut-off, by the package powerlaw")
    powerlaw_tpl_Lambda: float = ww.column(unit="1/weight^2", doc="Rate of that cut-off")


@ww.metric(version=f"1, {NAME}", on_request=True, extra=PACKAGE)
def powerlaw_package_truncated(scaled_spectrum: ScaledSpectrum, powerlaw_n_tail: int) -> PowerlawPackageTruncated:
    """Power law with an exponential cut-off, fitted by the package powerlaw to the tail of ``powerlaw_package``.

    p(lambda) ~ lambda**-alpha * exp(-Lambda * lambda) on lambda >= powerlaw_xmin, by maximum likelihood with
    Lambda > 0, and alpha > 1 in version 1.5, alpha >= 0 in version 2. It is ``powerlaw.Fit(...).truncated_power_law``,
    on eigenvalues divided by a power of two such that the largest is from 1/4 to 1. The package looks for the largest
    likelihood with a simplex, which may end short of it where it lies on a bound, as at Lambda = 0 or alpha = 1.
    ``tail_alternatives`` finds it. A tenth of a second for any tail.

    J. Alstott, E. Bullmore, D. Plenz, PLoS ONE 9 (2014).

    Args:
        scaled_spectrum: The spectrum over a power of two.
        powerlaw_n_tail: Eigenvalues in the tail.

    Raises:
        Refused: The package raises an exception or tells no number.
    """
    tail = _expanded(scaled_spectrum.distinct)[-powerlaw_n_tail:]
    with _complaints():
        fit = _fit(tail, xmin=float(tail[0])).truncated_power_law
        alpha, rate = _numbers(fit.alpha, fit.Lambda)
    return PowerlawPackageTruncated(
        powerlaw_tpl_alpha=alpha, powerlaw_tpl_Lambda=scaled_spectrum.restored(rate, power=-2) if rate else 0.0
    )


def _expanded(distinct: Distinct) -> Floats:
    """Return the ascending values, each as often as it counts."""
    return np.repeat(distinct.values, distinct.counts.astype(np.intp))


def _fit(eigenvalues: Floats, **options: float) -> Any:
    """Return the package's fit, with alpha free above."""
    package = _silent_package()
    if hasattr(package.Power_Law, "DEFAULT_PARAMETER_RANGES"):  # version 2; they end at 3
        return package.Fit(eigenvalues, verbose=False, parameter_ranges={"alpha": [0.0, None]}, **options)
    return package.Fit(eigenvalues, verbose=False, **options)


def _numbers(*found: Any) -> list[float]:
    """Return what the package found as plain numbers.

    Raises:
        Refused: One is none.
    """
    numbers = [float(number) for number in found]
    if not all(map(math.isfinite, numbers)):
        raise ww.Refused(f"{NAME} found no fit to these eigenvalues")
    return numbers


@contextlib.contextmanager
def _complaints() -> Iterator[None]:
    """Turn whatever the package raises into a refusal; NumPy is silent in this thread meanwhile."""
    try:
        with np.errstate(all="ignore"):
            yield
    except (ww.NoValue, ImportError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, there is no number for these eigenvalues
        raise ww.Refused(f"{NAME} raised {type(error).__name__}: {error}") from None


def _silent_package() -> ModuleType:
    """Return a copy of the package that neither prints nor warns."""
    with _making_it:  # threads that come meanwhile wait for it
        return _made_copy()


@functools.cache
def _made_copy() -> ModuleType:
    """Make a copy of the package under a name of its own, in which ``print`` and ``warnings`` do nothing.

    It reports progress whatever it is told, and changes the filters of warnings, which all threads share. What others
    import under the package's own name stays as it is.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"No module named {PACKAGE!r}", name=PACKAGE)
    loader = SourceFileLoader(OWN_COPY, found.origin)
    spec = ModuleSpec(OWN_COPY, loader, origin=found.origin)
    spec.has_location = True
    spec.submodule_search_locations = found.submodule_search_locations
    package = importlib.util.module_from_spec(spec)
    sys.modules[OWN_COPY] = package  # its modules import each other through it
    try:
        loader.exec_module(package)
    except BaseException:
        del sys.modules[OWN_COPY]
        raise
    mute = SimpleNamespace(warn=_nothing, filterwarnings=_nothing, catch_warnings=contextlib.nullcontext)
    for module in [own for name, own in sys.modules.items() if name.split(".")[0] == OWN_COPY]:
        vars(module).update(print=_nothing, warnings=mute)
    return package


def _nothing(*_: Any, **__: Any) -> None:
    """Say nothing."""
