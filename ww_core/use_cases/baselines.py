"""Baselines that are sought among the versions of a model: ``previous``, and ``best:METRIC``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ww_core.domain.expressions.arithmetic import Summary, parse_expression
from ww_core.errors import NotStoredError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from ww_core.domain.report import AnalysisReport
    from ww_core.plugins.registry import Registry
    from ww_core.store.reader import Reader
    from ww_core.store.records import CheckpointRef
    from ww_core.use_cases.naming import Named

PREVIOUS = "previous"
BEST = "best:"


def is_sought(baseline: object) -> bool:
    """Whether a baseline is no name but says how to find one."""
    return isinstance(baseline, str) and (baseline == PREVIOUS or baseline.startswith(BEST))


def report_on(reader: Reader, named: Named, profile: str | None) -> AnalysisReport:
    """Return the analysis that answers for what was named, under a profile or any.

    Raises:
        NotStoredError: It was never analysed under the profile.
    """
    return named.report or reader.report(reader.runs(named.ref, profile or "")[0].number, named.ref)


def find_baseline(
    reader: Reader,
    wanted: str,
    candidate: object,
    named: Named,
    model: str | None,
    profile: str | None,
    registry: Callable[[], Registry],
) -> CheckpointRef | None:
    """Return the version that is meant; None if the model has none.

    Args:
        reader: The store.
        wanted: ``previous`` or ``best:METRIC``.
        candidate: What the person named.
        named: What that is in the store.
        model: The model whose versions are meant; None for that of the candidate.
        profile: The profile of the analyses; None for any.
        registry: Loads plugins, where the candidate is a source that has yet to be given its default name.

    Raises:
        UsageError: METRIC is no column that has a direction, or the candidate has no name.
    """
    model = model or named.ref.model
    if not model and named.report is None:
        raise UsageError(f"{named.name} has no name, and so {wanted} means no version: give --name MODEL")
    model = model or _default_model(candidate, registry)
    if wanted == PREVIOUS:
        return _previous(reader, model, named.ref)
    return _best(reader, wanted.removeprefix(BEST), model, report_on(reader, named, profile), named.ref)


def _default_model(source: object, registry: Callable[[], Registry]) -> str:
    from ww_core.sources.default_names import default_name
    from ww_core.sources.opening import find_source

    return default_name(find_source(source, registry())).model


def _previous(reader: Reader, model: str, candidate: CheckpointRef) -> CheckpointRef | None:
    """Return the version before the candidate; if it is none of the model, the newest one of other weights."""
    try:
        versions = [own for own in reader.find_versions(model) if own.model == model]
    except NotStoredError:
        return None
    names = [own.name for own in versions]
    if candidate.model == model:
        versions = versions[: names.index(candidate.name)]
    else:
        versions = [own for own in versions if own.digest != candidate.digest]
    return versions[-1] if versions else None


def _best(
    reader: Reader, metric: str, model: str, report: AnalysisReport, candidate: CheckpointRef
) -> CheckpointRef | None:
    """Return the version with the best summary of a column that means what it means in the candidate.

    Raises:
        UsageError: It is no column of the candidate, or neither of its directions is better.
    """
    summary = parse_expression(metric, f"metric of {BEST}METRIC")
    if not isinstance(summary, Summary):
        raise UsageError(f"{BEST}{metric} is no column: write {BEST}alpha or {BEST}max(alpha)")
    columns = {column.name: column for column in report.columns}
    column = columns.get(summary.column)
    if column is None:
        raise UnknownNameError("column", summary.column, columns)
    if column.better == "none":
        raise UsageError(f"neither direction of {summary.column} is better, and so no version is the best by it")
    found = [
        own
        for own in reader.summaries(model, column.variant, summary.aggregate)
        if own.ref.digest != candidate.digest and own.ref.name != candidate.name
    ]
    sign = -1.0 if column.better == "lower" else 1.0
    return max(found, key=lambda own: sign * own.value).ref if found else None
