"""Reports of ww itself, as ``ww analyze --json`` and ``ww show --json`` print them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import ww_core as ww
from ww_core.loading.json_text import parse_json
from ww_core.loading.unpacked import unpacked_content, unpacked_head

LARGEST_REPORT = 2**28
"""Bytes: the report of a model of a hundred thousand layers has a third of that."""

HEAD = 4096
SIGNS = (b'"digest"', b'"provisional"', b'"run"')
"""Keys that stand near the beginning of a report."""


@dataclass(frozen=True)
class ReportImporter(ww.Importer):
    """Reads a report of ww, with the definitions that its columns name.

    Matrices of further extractors are left out: a table has the primary ones, which means are taken over.
    """

    name = "report"
    description = "reports of ww: what ww analyze --json and ww show --json print"

    def probe(self, source: ww.Source) -> float:
        """Look for the keys of a report at the beginning of the file."""
        if source.is_object:
            return 1.0 if isinstance(source.value, ww.AnalysisReport) else 0.0
        try:
            head = b"" if source.is_folder else unpacked_head(source, HEAD)
        except (ww.SourceError, OSError):
            return 0.0
        return 1.0 if head.lstrip().startswith(b"{") and all(sign in head for sign in SIGNS) else 0.0

    def read(self, source: ww.Source) -> ww.ReportedTable:
        """Read the report.

        Raises:
            SourceError: The file cannot be read.
            CorruptFileError: It is no report; the message names the field.
        """
        report = _report(source)
        rows = list(_rows(report))
        notes = []
        others = sum(not row.is_primary for row in report.layers)
        if others:
            notes.append(f"left out {others} matrices of further extractors")
        if report.failures:
            notes.append(f"{len(report.failures)} results were lost when the report was made, and are not in it")
        used = {name for row in rows for name in row.values}
        return ww.ReportedTable(
            source="",
            provider=f"ww {ww.__version__}",
            columns=tuple(
                ww.ReportedColumn(
                    name=own.name,
                    metric=own.metric,
                    version=own.version,
                    definition=f"Column {own.column} of {own.metric} {own.version} of ww, variant {own.variant}.",
                    type=own.type,  # type: ignore[arg-type] # it was checked when the report was read
                    better=own.better,  # type: ignore[arg-type]
                    unit=own.unit,
                )
                for own in report.columns
                if own.name in used
            ),
            rows=tuple(rows),
            notes=tuple(notes),
        )


def _report(source: ww.Source) -> ww.AnalysisReport:
    if isinstance(source.value, ww.AnalysisReport):
        return source.value
    content = unpacked_content(source, LARGEST_REPORT, "report of ww")
    parsed = parse_json(content, source.label, "report of ww")
    try:
        return ww.AnalysisReport.from_dict(parsed)
    except ww.CorruptFileError as error:
        raise ww.CorruptFileError(f"{source.label} is not a report of ww: {error}") from None


def _rows(report: ww.AnalysisReport) -> Iterator[ww.ReportedEntry]:
    """Yield a row of the model, then those of its layers: a layer's own columns stand in the first row of it."""

    def entry(values: Mapping[str, ww.Outcome], layer: str) -> ww.ReportedEntry:
        return ww.ReportedEntry(report.model, values, report.version, layer)

    if report.model_metrics:
        yield entry(report.model_metrics, "")
    of_layers = {row.name: row.metrics for row in report.layer_metrics}
    for row in report.layers:
        if row.is_primary:
            yield entry({**row.metrics, **of_layers.pop(row.name, {})}, row.name)
    for name, values in of_layers.items():
        yield entry(values, name)
