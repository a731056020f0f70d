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
from typing import TYPE_CHECKING

from ww_core.domain.comparison import ComparedLayer, Comparison, Tail, View, is_fourier
from ww_core.domain.globs import choose_layers
from ww_core.domain.layer import LayerKind
from ww_core.errors import NothingToAnalyzeError, NotStoredError, StoreError, UsageError
from ww_core.plugins.discovery import load_plugins
from ww_core.store.engine import Location
from ww_core.store.store import Store, open_store
from ww_core.use_cases.analyze import analyze
from ww_core.use_cases.describe import describe

if TYPE_CHECKING:
    from ww_core.contracts.observer import RunObserver
    from ww_core.domain.report import AnalysisReport, MatrixRow
    from ww_core.domain.run import LayerCoverage
    from ww_core.plugins.registry import Registry
    from ww_core.store.reader import Reader
    from ww_core.store.records import CheckpointRef

PROFILE = "default"
NORMS = ("spectral_norm", "frobenius_norm")
METRICS = ("alpha", "sigma", "D", "n_tail", "warning", "stable_rank", *NORMS)


def compare_svd(
    source: object,
    *,
    n: int = 32,
    store: Store | str | os.PathLike[str] | None = None,
    layers: Sequence[str] = (),
    groups: Mapping[str, int] | None = None,
    name: str | None = None,
    version: str | None = None,
    loader: str | None = None,
    jobs: int = 0,
    device: str = "cpu",
    plugins: Sequence[object] = (),
    observers: Sequence[RunObserver] = (),
    registry: Registry | None = None,
) -> Comparison:
    """See the convolutions of a model through ``slice``, ``pool``, ``stack``, ``fft`` and ``fft[n=...]``.

    It is an analysis like any other: everything is stored, and what is stored is not computed again.

    Args:
        source: As in ``analyze``; or MODEL, MODEL@VERSION or a digest prefix, if it was compared before and nothing is
            there of this name that could be read.
        n: Length of the grid of the second Fourier transform; with the size of the layer's input it gives the operator
            of the network. The first has the kernel's own length.
        store: As in ``analyze``; so are all that follow.
        layers: Globs; of the layers they match, the convolutions are taken.
        groups: Count of groups by glob; only of a file or an object, like the next three.
        name: Name of the model.
        version: Its label.
        loader: Name of the loader.
        jobs: Workers.
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
        raise UsageError(f"n={n}: a grid has a length of 1 or more")
    extractors = ("slice", "pool", "stack", "fft", f"fft[n={n}]")
    of_a_file = bool(groups) or any(option is not None for option in (name, version, loader))
    with ExitStack() as stack:
        if store is not None and not of_a_file and _can_only_be_a_model(source):
            try:
                opened = store if isinstance(store, Store) else stack.enter_context(open_store(store, mode="read"))
                return _stored(opened, str(source), extractors, layers)
            except StoreError as error:
                raise type(error)(f"there is no file or folder {source!r}, and {error}") from error
        registry = registry or load_plugins(objects=plugins)
        described = describe(source, layers=layers, groups=groups, loader=loader, registry=registry)
        convolutions = [layer.name for layer in described.layers if LayerKind(layer.kind).is_convolution]
        if not convolutions:
            found = ", ".join(f"{layer.name} ({layer.kind})" for layer in described.layers[:8])
            more = f" and {len(described.layers) - 8} more" if len(described.layers) > 8 else ""
            raise NothingToAnalyzeError(f"{described.source}: no convolution; found: {found or 'no layer'}{more}")
        if not isinstance(store, Store) and Location.of(store).in_memory:
            store = stack.enter_context(open_store(store))  # else it would end with the analysis
        report = analyze(
            source,
            store=store,
            name=name,
            version=version,
            profile=PROFILE,
            extractors=extractors,
            metrics=METRICS,
            layers=[glob.escape(own) for own in convolutions],
            groups=groups,
            jobs=jobs,
            device=device,
            loader=loader,
            observers=observers,
            registry=registry,
        )
        opened = store if isinstance(store, Store) else stack.enter_context(open_store(store, mode="read"))
        with opened.reading() as reader:
            return _comparison(report, extractors, reader.layer_coverage(report.run.id))


def _can_only_be_a_model(source: object) -> bool:
    """Whether a source is a text that is no address and no path of something that is there."""
    if not isinstance(source, str) or source.startswith("file:") or "://" in source:
        return False
    try:
        return not Path(source).exists()
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG


def _stored(store: Store, name: str, extractors: Sequence[str], layers: Sequence[str]) -> Comparison:
    """The stored comparison of a checkpoint that has most to say, the newest of several.

    Raises:
        NotStoredError: It was not compared before, or there is no such model.
        UnknownNameError: A glob matches none of its layers.
    """
    with store.reading() as reader:
        found = list(_comparisons(reader, reader.find(name), extractors))
    if not found:
        raise NotStoredError(
            f"{name!r} is stored, but was not compared with {', '.join(extractors)}: name the file of its weights once"
        )
    widest = max(found, key=lambda one: sum(len(layer.views) for layer in one.layers))
    return replace(widest, layers=tuple(choose_layers(widest.layers, layers)))


def _comparisons(reader: Reader, ref: CheckpointRef, extractors: Sequence[str]) -> Iterator[Comparison]:
    """Yield what the runs of a checkpoint say that took all these extractors and all columns, the newest first."""
    for run in reader.runs(ref):
        covered = reader.layer_coverage(run.number)
        if run.profile == PROFILE and {own.extractor for own in covered}.issuperset(extractors):
            report = reader.report(run.number, ref)
            if report.layers and set(METRICS) <= report.layers[0].metrics.keys():
                yield _comparison(report, extractors, covered)


def _comparison(report: AnalysisReport, extractors: Sequence[str], covered: Sequence[LayerCoverage]) -> Comparison:
    rows: dict[tuple[str, str], list[MatrixRow]] = defaultdict(list)
    for row in report.layers:
        rows[row.name, row.extractor].append(row)
    by_layer: dict[str, list[LayerCoverage]] = defaultdict(list)
    for own in covered:
        if own.extractor in extractors:
            by_layer[own.layer].append(own)
    layers = []
    for name, of_layer in by_layer.items():
        ordered = sorted(of_layer, key=lambda own: extractors.index(own.extractor))
        made = [(own, rows[name, own.extractor]) for own in ordered]
        first = next((one[0] for _, one in made if one), None)
        if first is not None:
            reasons = [(own.extractor, own.reason or _reason(one, *NORMS)) for own, one in made]
            missing = tuple((extractor, reason) for extractor, reason in reasons if reason)
            views = tuple(_view(own, one) for own, one in made if own.extractor not in dict(missing))
            layers.append(ComparedLayer(name, first.shape, first.groups, views, missing))
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


def _view(covered: LayerCoverage, rows: Sequence[MatrixRow]) -> View:
    stable_ranks = _numbers(rows, "stable_rank")
    return View(
        extractor=covered.extractor,
        matrices=len(rows),
        count=covered.eigenvalues,
        tail=_tail(rows),
        spectral_norm=max(_numbers(rows, "spectral_norm")),
        stable_rank=fmean(stable_ranks) if stable_ranks else None,
        frobenius_norm=math.hypot(*_numbers(rows, "frobenius_norm"))
        / math.sqrt(_grid_points(covered.extractor, rows[0].shape[2:])),
        seconds=covered.seconds,
        reason=_reason(rows, "alpha"),
    )


def _tail(rows: Sequence[MatrixRow]) -> Tail | None:
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


def _numbers(rows: Sequence[MatrixRow], label: str) -> list[float]:
    numbers = (row.metrics[label].number for row in rows)
    return [float(number) for number in numbers if number is not None]


def _reason(rows: Sequence[MatrixRow], *labels: str) -> str:
    """Why some rows have no such value; empty if all have all of them."""
    for label in labels:
        without = [row.metrics[label] for row in rows if not row.metrics[label].is_ok]
        if without:
            of_them = f"{len(without)} of {len(rows)} have no {label}" if len(rows) > 1 else f"no {label}"
            return f"{of_them}: {without[0].reason}"
    return ""


def _grid_points(extractor: str, kernel: Sequence[int]) -> int:
    """Frequencies of a Fourier transform; 1 for what is none."""
    if not is_fourier(extractor):
        return 1
    parameters = extractor.partition("[")[2]
    n = int(parameters.removeprefix("n=").removesuffix("]")) if parameters else max(kernel)
    return int(n ** len(kernel))
