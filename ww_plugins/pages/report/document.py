"""A report on stored models, as one HTML text that needs nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import ww_core as ww
from ww_plugins.pages.rendering import page
from ww_plugins.pages.report.differences import difference_part
from ww_plugins.pages.report.histories import history_part
from ww_plugins.pages.report.meanings import Meanings
from ww_plugins.pages.report.model import model_part


def report_html(
    models: Sequence[str],
    *,
    store: ww.Store,
    history: bool,
    profile: str | None,
    registry: ww.Registry,
) -> str:
    """Return a report on stored models: a page of HTML that runs from a file, without a network.

    It says of each model what it comes to, with warnings, layers, spectra, coverage and provenance; of two or more how
    each differs from the first. The same store gives the same text. No weight is read.

    Args:
        models: ``MODEL``, ``MODEL@VERSION`` or digest prefixes, at least one; each analysis is told of once.
        store: An open store.
        history: Whether it tells how each model went over its versions.
        profile: Name of the profile; None for that of the newest runs.
        registry: The plugins: metrics say what their columns mean.

    Raises:
        UsageError: A name or the profile is empty; or the history is asked for of weights without a name.
        NotStoredError: Nothing carries a name, or it was never analysed under the profile.
        StoreError: The store could not be read.
    """
    reports: dict[tuple[str, str, str], tuple[str, ww.AnalysisReport]] = {}
    for named in models:
        report = store.report(named, profile)
        reports.setdefault((report.digest, report.model, report.version), (named, report))
    (first, _), *others = reports.values()
    meanings = Meanings(registry)
    names = list(dict.fromkeys(report.model for _, report in reports.values()))
    if history and "" in names:
        raise ww.UsageError("weights without a name have no versions: leave --history out, or name a model")
    profiles = {report.model: report.run.profile for _, report in reports.values()}
    parts = [model_part(store, report, named, meanings) for named, report in reports.values()]
    return page(
        "report.html",
        {
            "title": f"Report on {', '.join(part.name for part in parts)}",
            "models": parts,
            "differences": [
                difference_part(
                    ww.diff(first, other, store=store, profile=profile), [row.name for row in report.layers]
                )
                for other, report in others
            ],
            "histories": [history_part(store, name, profiles[name]) for name in names] if history else [],
            "command": _command(list(dict.fromkeys(models)), profile, history=history),
            "program": f"ww {ww.__version__}",
        },
    )


def _command(models: Sequence[str], profile: str | None, *, history: bool) -> str:
    options = [*(["--history"] if history else []), *(["--profile", profile] if profile else [])]
    return shlex.join(["ww", "report", *models, *options, "-o", "report.html"])
