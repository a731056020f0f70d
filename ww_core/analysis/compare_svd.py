"""Compare what the extractors say of a model's convolutions."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from ww_core.analysis.analyze import analyze
from ww_core.analysis.describe import describe
from ww_core.analysis.source import choose_layers
from ww_core.domain.comparison import ComparedLayer, Comparison, Tail, View, is_fourier
from ww_core.domain.layer import LayerKind
from ww_core.errors import LostResultsError, NothingToAnalyzeError, NotStoredError, UsageError
from ww_core.plugins.discovery import load_plugins
from ww_core.store import queries
from ww_core.store.store import Store, open_store

if TYPE_CHECKING:
    from ww_core.domain.execution import RunObserver
    from ww_core.domain.report import AnalysisReport, MatrixRow
    from ww_core.plugins.registry import Registry

METRICS = ("alpha", "sigma", "D", "n_tail", "warning", "spectral_norm", "frobenius_norm", "stable_rank")


def compare_svd(
    source: object,
    *,
    n: int = 32,
    store: Store | str | os.PathLike[str] | None = None,
    layers: Sequence[str] = (),
    groups: Mapping[str, int] | None = None,
    name: str = "",
    version: str = "",
    loader: str = "",
    jobs: int = 0,
    device: str = "cpu",
    plugins: Sequence[object] = (),
    observers: Sequence[RunObserver] = (),
    registry: Registry | None = None,
) -> Comparison:
    """See the convolutions of a model through ``slice``, ``pool``, ``stack``, ``fft`` and ``fft[n=...]``.

    It is an analysis like any other: everything is stored, and what is stored is not computed again.

    Args:
        source: As in ``analyze``; or MODEL, MODEL@VERSION or a digest prefix, if it was compared before.
        n: Length of the grid of the second Fourier transform; with the size of the layer's input it gives the operator
            of the network. The first has the kernel's own length.
        store: As in ``analyze``; so are all that follow.
        layers: Globs; of the layers they match, the convolutions are taken.
        groups: Count of groups by glob.
        name: Name of the model.
        version: Its label.
        loader: Name of the loader.
        jobs: Workers.
        device: Where spectra are made.
        plugins: Modules or objects with hooks.
        observers: Observers of the run.
        registry: Loaded plugins.

    Raises:
        UsageError: A name cannot be used, or n is not positive.
        SourceError: The source cannot be read, or has no convolution.
        NotStoredError: A stored model was not compared before.
        StoreError: The store cannot be opened or written.
        LostResultsError: Something was lost to an exception.
    """
    if n < 1:
        raise UsageError(f"n={n}: a grid has a length of 1 or more")
    extractors = ("slice", "pool", "stack", "fft", f"fft[n={n}]")
    with ExitStack() as stack:
        if store is not None and isinstance(source, str) and not Path(source).exists():
            opened = store if isinstance(store, Store) else stack.enter_context(open_store(store, mode="read"))
            return _stored(opened, source, extractors, layers)
        registry = registry or load_plugins(objects=plugins)
        described = describe(source, layers=layers, groups=groups, loader=loader, registry=registry)
        convolutions = [layer.name for layer in described.layers if LayerKind(layer.kind).is_convolution]
        if not convolutions:
            raise NothingToAnalyzeError(f"{described.source}: none of these layers is a convolution")
        opened = store if isinstance(store, Store) else stack.enter_context(open_store(store))
        report = analyze(
            source,
            store=opened,
            name=name,
            version=version,
            extractors=extractors,
            metrics=METRICS,
            layers=convolutions,
            groups=groups,
            jobs=jobs,
            device=device,
            loader=loader,
            observers=observers,
            registry=registry,
        )
        if report.failures:
            lost = report.failures[0]
            raise LostResultsError(f"{lost.subject}: {lost.message}; what was computed is stored")
        with opened.reading() as connection:
            return _comparison(report, extractors, queries.covered_layers(connection, report.run.id))


def _stored(store: Store, name: str, extractors: Sequence[str], layers: Sequence[str]) -> Comparison:
    """The newest stored comparison of a checkpoint with these extractors.

    Raises:
        NotStoredError: It was not compared before, or there is no such model.
        UnknownNameError: A glob matches none of its layers.
    """
    with store.reading() as connection:
        ref = queries.find_checkpoint(connection, name)
        for run in queries.stored_runs(connection, ref.id):
            covered = queries.covered_layers(connection, run.id)
            if {own.extractor for own in covered if own.eigenvalues} >= set(extractors):
                found = _comparison(queries.report_of_run(connection, run.id, ref), extractors, covered)
                chosen = choose_layers(found.layers, layers)
                return replace(found, layers=tuple(chosen))
    raise NotStoredError(
        f"{name!r} is stored, and was not compared with {', '.join(extractors)}: "
        "give the file or folder of its weights once"
    )


def _comparison(
    report: AnalysisReport, extractors: Sequence[str], covered: Sequence[queries.CoveredLayer]
) -> Comparison:
    rows: dict[str, dict[str, list[MatrixRow]]] = {}
    for row in report.layers:
        rows.setdefault(row.name, {}).setdefault(row.extractor, []).append(row)
    layers = []
    for name, by_extractor in rows.items():
        views: list[View] = []
        missing: list[tuple[str, str]] = []
        for one in covered:
            if one.layer != name:
                continue
            reason = one.reason or _reason(by_extractor[one.extractor], "spectral_norm")
            if reason:
                missing.append((one.extractor, reason))
            else:
                views.append(_view(one, by_extractor[one.extractor]))
        first = next(iter(by_extractor.values()))[0]
        layers.append(
            ComparedLayer(
                name=name,
                shape=first.shape,
                groups=first.groups,
                views=tuple(views),
                missing=tuple(missing),
            )
        )
    return Comparison(report.source, report.model, report.version, report.digest, tuple(extractors), tuple(layers))


def _view(covered: queries.CoveredLayer, rows: Sequence[MatrixRow]) -> View:
    stable_ranks = _numbers(rows, "stable_rank")
    return View(
        extractor=covered.extractor,
        matrices=len(rows),
        count=covered.eigenvalues,
        tail=_tail(rows),
        spectral_norm=max(_numbers(rows, "spectral_norm")),
        stable_rank=fmean(stable_ranks) if stable_ranks else None,
        frobenius_squared=math.fsum(norm * norm for norm in _numbers(rows, "frobenius_norm"))
        / _grid_points(covered.extractor, rows[0].shape[2:]),
        seconds=covered.seconds,
        reason=_reason(rows, "alpha"),
    )


def _tail(rows: Sequence[MatrixRow]) -> Tail | None:
    fitted = [row for row in rows if row.metrics["alpha"].is_ok]
    if not fitted:
        return None
    alphas, sigmas = _numbers(fitted, "alpha"), _numbers(fitted, "sigma")
    warnings = Counter(str(row.metrics["warning"].value) for row in fitted)
    return Tail(
        alpha=fmean(alphas),
        sigma=math.hypot(*sigmas) / len(sigmas),
        smallest=min(alphas),
        largest=max(alphas),
        warning=warnings.most_common(1)[0][0],
    )


def _numbers(rows: Sequence[MatrixRow], label: str) -> list[float]:
    numbers = (row.metrics[label].number for row in rows)
    return [float(number) for number in numbers if number is not None]


def _reason(rows: Sequence[MatrixRow], label: str) -> str:
    """Why some rows have no such value; empty if all have one."""
    without = [row.metrics[label] for row in rows if not row.metrics[label].is_ok]
    if not without:
        return ""
    of_them = f"{len(without)} of {len(rows)} have no {label}: " if len(rows) > 1 else f"no {label}: "
    return of_them + without[0].reason


def _grid_points(extractor: str, kernel: Sequence[int]) -> int:
    """Frequencies of a Fourier transform; 1 for what is none."""
    if not is_fourier(extractor):
        return 1
    parameters = extractor.partition("[")[2]
    n = int(parameters.removeprefix("n=").removesuffix("]")) if parameters else max(kernel)
    return int(n ** len(kernel))
