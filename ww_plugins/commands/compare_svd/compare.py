"""Compare what the extractors say of a model's convolutions."""

from __future__ import annotations

import errno
import glob
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import ww_core as ww
from ww_core.loading.files import why_missing
from ww_core.loading.names import shown_address
from ww_plugins.commands.compare_svd.comparison import ComparedLayer, Comparison, ExtractorResult, Tail

PROFILE = "default"
FOURIER = "ww.extractors:fft"
"""Permanent key of the extractor that makes a Fourier transform; its parameter ``n`` is the length of the grid."""

NORMS = ("spectral_norm", "frobenius_norm")
METRICS = ("alpha", "sigma", "D", "n_tail", "warning", "stable_rank", *NORMS)


def compare_svd(
    source: object,
    *,
    n: int = 32,
    store: ww.Store | str | os.PathLike[str] | None = None,
    layers: Sequence[str] = (),
    groups: Mapping[str, int] | None = None,
    name: str | None = None,
    version: str | None = None,
    loader: str | None = None,
    jobs: int = 0,
    memory: int = 0,
    device: str = "cpu",
    plugins: Sequence[object] = (),
    observers: Sequence[ww.RunObserver] = (),
    registry: ww.Registry | None = None,
) -> Comparison:
    """See the convolutions of a model through ``slice``, ``pool``, ``stack``, ``fft`` and ``fft[n=...]``.

    It is an analysis like any other: everything is stored, and what is stored is not computed again.

    Args:
        source: As in ``ww_core.analyze``; or MODEL, MODEL@VERSION or a digest prefix, if it was compared before and
            nothing is there of this name that could be read.
        n: Length of the grid of the second Fourier transform; with the size of the layer's input it gives the operator
            of the network. The first has the kernel's own length.
        store: As in ``ww_core.analyze``; so are all that follow.
        layers: Globs; of the layers they match, the convolutions are taken.
        groups: Count of groups by glob; only of a file or an object, like the next three.
        name: Name of the model.
        version: Its label.
        loader: Name of the loader.
        jobs: Workers.
        memory: Bytes that it may take.
        device: Where spectra are made.
        plugins: Modules or objects with hooks.
        observers: Observers of the run.
        registry: Loaded plugins.

    Returns:
        The comparison; what was lost to exceptions is in its ``failures``.

    Raises:
        UsageError: A name cannot be used, or n is not positive.
        SourceError: The source cannot be read, or has no convolution.
        NotStoredError: There is no such file or stored model, or the model was not compared before.
        StoreError: The store cannot be opened or written.
    """
    layers = (layers,) if isinstance(layers, str) else layers
    if n < 1:
        raise ww.UsageError(f"n={n}: a grid has a length of 1 or more")
    extractors = ("slice", "pool", "stack", "fft", f"fft[n={n}]")
    of_a_file = bool(groups) or any(option is not None for option in (name, version, loader))
    if store is not None and not of_a_file and _can_only_be_a_model(source):
        return _of_a_model(str(source), store, extractors, layers)
    registry = registry or ww.load_plugins(objects=plugins)
    report = ww.analyze(
        source,
        store=store,
        name=name,
        version=version,
        profile=PROFILE,
        extractors=extractors,
        metrics=METRICS,
        layers=[glob.escape(layer) for layer in _convolutions(source, layers, groups, loader, registry)],
        groups=groups,
        jobs=jobs,
        memory=memory,
        device=device,
        loader=loader,
        observers=observers,
        registry=registry,
    )
    return _comparison(report, extractors, report.layer_coverage())


def _can_only_be_a_model(source: object) -> bool:
    """Whether a source is a text that is no address and no path of something that is there."""
    if not isinstance(source, str) or source.startswith("file:") or "://" in source:
        return False
    try:
        return not Path(source).exists()
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG


def _convolutions(
    source: object,
    layers: Sequence[str],
    groups: Mapping[str, int] | None,
    loader: str | None,
    registry: ww.Registry,
) -> list[str]:
    """Return the names of the convolutions among the layers that were chosen.

    Raises:
        NothingToAnalyzeError: There is none; the message lists what was found.
    """
    described = ww.describe(source, layers=layers, groups=groups, loader=loader, registry=registry)
    convolutions = [layer.name for layer in described.layers if ww.LayerKind(layer.kind).is_convolution]
    if not convolutions:
        names = ", ".join(f"{layer.name} ({layer.kind})" for layer in described.layers[:8]) or "no layer"
        more = f" and {len(described.layers) - 8} more" if len(described.layers) > 8 else ""
        raise ww.NothingToAnalyzeError(f"{described.source}: no convolution; found: {names}{more}")
    return convolutions


def _of_a_model(
    name: str, store: ww.Store | str | os.PathLike[str], extractors: Sequence[str], layers: Sequence[str]
) -> Comparison:
    """Return the stored comparison of a model.

    Raises:
        StoreError: There is none, or no such store or model; the message says that there is no such file either.
        UnknownNameError: A glob matches none of its layers.
    """
    with ExitStack() as stack:
        try:
            opened = store if isinstance(store, ww.Store) else stack.enter_context(ww.open_store(store, mode="read"))
            widest = _widest(opened, name, extractors)
        except ww.StoreError as error:
            raise type(error)(f"{shown_address(name)}: {why_missing(Path(name))}, and {error}") from error
    return replace(widest, layers=tuple(ww.choose_layers(widest.layers, layers)))


def _widest(store: ww.Store, name: str, extractors: Sequence[str]) -> Comparison:
    """Return the stored comparison of a checkpoint that has most to say, the newest of several.

    Raises:
        NotStoredError: It was not compared before, or there is no such model.
    """
    comparisons = list(_stored_comparisons(store, name, extractors))
    if not comparisons:
        raise ww.NotStoredError(
            f"{name!r} is stored, but was not compared with {', '.join(extractors)}: name the file of its weights once"
        )
    return max(comparisons, key=lambda comparison: sum(len(layer.results) for layer in comparison.layers))


def _stored_comparisons(store: ww.Store, name: str, extractors: Sequence[str]) -> Iterator[Comparison]:
    """Yield what the runs of a checkpoint say that took all these extractors and all columns, the newest first."""
    for run in store.runs(name):
        if run.profile != PROFILE:
            continue
        coverage = store.layer_coverage(name, run=run.number)
        if {covered.extractor for covered in coverage}.issuperset(extractors):
            report = store.report(name, run=run.number)
            if report.layers and set(METRICS) <= report.layers[0].metrics.keys():
                yield _comparison(report, extractors, coverage)


def _comparison(
    report: ww.AnalysisReport, extractors: Sequence[str], coverage: Sequence[ww.LayerCoverage]
) -> Comparison:
    rows: dict[tuple[str, str], list[ww.MatrixRow]] = defaultdict(list)
    for row in report.layers:
        rows[row.name, row.extractor].append(row)
    by_layer: dict[str, list[ww.LayerCoverage]] = defaultdict(list)
    for covered in coverage:
        if covered.extractor in extractors:
            by_layer[covered.layer].append(covered)
    layers = []
    for of_layer in by_layer.values():
        of_layer.sort(key=lambda covered: extractors.index(covered.extractor))
        made = [(covered, rows[covered.layer, covered.extractor]) for covered in of_layer]
        if any(matrices for _, matrices in made):
            layers.append(_compared_layer(made))
    unfinished = ["the comparison was interrupted: the same command with the file goes on"]
    return Comparison(
        source=report.source,
        model=report.model,
        version=report.version,
        digest=report.digest,
        extractors=tuple(extractors),
        layers=tuple(layers),
        failures=report.failures,
        warnings=(*report.warnings, *(unfinished if report.run.state != "done" else ())),
    )


def _compared_layer(made: Sequence[tuple[ww.LayerCoverage, Sequence[ww.MatrixRow]]]) -> ComparedLayer:
    """Put together what the extractors made of a layer, in their order: the coverage of each with its matrices."""
    layer = made[0][0]
    reasons = {covered.extractor: covered.reason or _reason(rows, *NORMS) for covered, rows in made}
    return ComparedLayer(
        name=layer.layer,
        shape=layer.shape,
        groups=layer.groups,
        results=tuple(_result(covered, rows) for covered, rows in made if not reasons[covered.extractor]),
        missing=tuple((extractor, reason) for extractor, reason in reasons.items() if reason),
    )


def _result(covered: ww.LayerCoverage, rows: Sequence[ww.MatrixRow]) -> ExtractorResult:
    kernel = covered.shape[2:]
    grid = (covered.parameters["n"] or max(kernel)) if covered.extractor_key == FOURIER else None
    points = grid ** len(kernel) if grid is not None else 1
    stable_ranks = _numbers(rows, "stable_rank")
    return ExtractorResult(
        extractor=covered.extractor,
        matrices=len(rows),
        count=covered.eigenvalues,
        tail=_tail(rows),
        spectral_norm=max(_numbers(rows, "spectral_norm")),
        stable_rank=fmean(stable_ranks) if stable_ranks else None,
        frobenius_norm=math.hypot(*_numbers(rows, "frobenius_norm")) / math.sqrt(points),
        seconds=covered.seconds,
        reason=_reason(rows, "alpha"),
        grid=grid,
    )


def _tail(rows: Sequence[ww.MatrixRow]) -> Tail | None:
    fitted = [row for row in rows if row.metrics["alpha"].is_ok]
    if not fitted:
        return None
    alphas, sigmas = _numbers(fitted, "alpha"), _numbers(fitted, "sigma")
    warnings = Counter(row.metrics["warning"].text or "" for row in fitted)
    return Tail(
        alpha=fmean(alphas),
        sigma=math.hypot(*sigmas) / len(sigmas),
        smallest=min(alphas),
        largest=max(alphas),
        warning=warnings.most_common(1)[0][0],
    )


def _numbers(rows: Sequence[ww.MatrixRow], label: str) -> list[float]:
    numbers = (row.metrics[label].number for row in rows)
    return [float(number) for number in numbers if number is not None]


def _reason(rows: Sequence[ww.MatrixRow], *labels: str) -> str:
    """Why some rows have no such value; empty if all have all of them."""
    for label in labels:
        without = [row.metrics[label] for row in rows if not row.metrics[label].is_ok]
        if without:
            of_them = f"{len(without)} of {len(rows)} have no {label}" if len(rows) > 1 else f"no {label}"
            return f"{of_them}: {without[0].reason}"
    return ""
