"""ww: judge trained neural networks from their weights alone.

    import ww_core as ww

    report = ww.analyze("model.safetensors")
    report.to_pandas()

This module is the public door, for users and for plugins alike. Names are loaded when first used.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # a type checker takes it for that of typing, which takes long to load: Ctrl-C would show where
if TYPE_CHECKING:
    from typing import Any

    from ww_core.contracts.command import Command
    from ww_core.contracts.device import Device
    from ww_core.contracts.estimator import Among, Between, Estimator, Fitted
    from ww_core.contracts.executor import Executor
    from ww_core.contracts.extractor import Entries, Extractor, Matrix, MatrixPlan
    from ww_core.contracts.feature_set import FeatureSet
    from ww_core.contracts.importer import Importer
    from ww_core.contracts.loader import Checkpoint, Checksum, FileRange, Loader
    from ww_core.contracts.metric import Quantity, column, metric, quantity
    from ww_core.contracts.observer import LayerDone, RunObserver, RunStart
    from ww_core.contracts.profile import Profile
    from ww_core.contracts.report_writer import ReportWriter
    from ww_core.contracts.source import Opener, Source
    from ww_core.domain.blame import Blame
    from ww_core.domain.column import Column, Scope
    from ww_core.domain.difference import CheckpointDifference
    from ww_core.domain.exchange import ExportedFile, FolderExport, FolderImport, TableExport
    from ww_core.domain.globs import choose_layers
    from ww_core.domain.history import History
    from ww_core.domain.judgement import Judgement
    from ww_core.domain.layer import ITEM_SIZES, Layer, LayerContent, LayerKind, SkippedTensor, TensorSpec
    from ww_core.domain.leaderboard import Leaderboard
    from ww_core.domain.outcome import Outcome, State
    from ww_core.domain.regression import Regression, Regressions
    from ww_core.domain.report import AnalysisReport, Failure, MatrixRow
    from ww_core.domain.reported_table import ReportedColumn, ReportedEntry, ReportedTable
    from ww_core.domain.rounding import ROUNDINGS, Rounding
    from ww_core.domain.rules.verdict import CheckReport
    from ww_core.domain.run import LayerCoverage, StoredRun
    from ww_core.domain.score import Score
    from ww_core.domain.spectrum import Spectrum
    from ww_core.domain.sql_answer import SqlAnswer
    from ww_core.domain.subject import MatrixPlace
    from ww_core.domain.trend import Trend
    from ww_core.domain.zoo import Zoo, ZooFeatures, ZooLayer, ZooTensor
    from ww_core.errors import (
        CommandFailedError,
        CorruptFileError,
        LoaderFailedError,
        LostResultsError,
        MissingExtraError,
        NoLoaderError,
        NotApplicable,
        NotAStoreError,
        NothingToAnalyzeError,
        NotStoredError,
        NoValue,
        OutputError,
        PluginError,
        ReadOnlyStoreError,
        Refused,
        SchemaTooNewError,
        SchemaTooOldError,
        SourceError,
        StoreError,
        UnknownNameError,
        UsageError,
        WWError,
    )
    from ww_core.plugins.discovery import load_plugins
    from ww_core.plugins.hookspecs import API_VERSION
    from ww_core.plugins.markers import hookimpl
    from ww_core.plugins.registry import Registry
    from ww_core.store.store import Store, open_store
    from ww_core.use_cases.analysis_command import analysis_command
    from ww_core.use_cases.analyze import analyze
    from ww_core.use_cases.backfill import backfill
    from ww_core.use_cases.blame import blame
    from ww_core.use_cases.check import check
    from ww_core.use_cases.describe import describe
    from ww_core.use_cases.diff import diff
    from ww_core.use_cases.estimators import configured_estimator, estimator_at_work, ready_estimator
    from ww_core.use_cases.export import export, export_folder
    from ww_core.use_cases.history import history
    from ww_core.use_cases.import_folder import import_folder
    from ww_core.use_cases.import_table import ImportReport, import_table
    from ww_core.use_cases.judge import judge
    from ww_core.use_cases.leaderboard import leaderboard
    from ww_core.use_cases.open_checkpoint import open_checkpoint
    from ww_core.use_cases.output_files import new_output, output_place
    from ww_core.use_cases.regressions import regressions, regressions_of
    from ww_core.use_cases.report_html import report_html
    from ww_core.use_cases.scores import import_scores
    from ww_core.use_cases.sql import sql
    from ww_core.use_cases.trend import trend
    from ww_core.use_cases.zoo_features import features_place, write_features, zoo_features
    from ww_core.use_cases.zoo_weights import on_other_weights, zoo_digests

_HOMES = {
    "ww_core.contracts.command": ["Command"],
    "ww_core.contracts.device": ["Device"],
    "ww_core.contracts.estimator": ["Among", "Between", "Estimator", "Fitted"],
    "ww_core.contracts.executor": ["Executor"],
    "ww_core.contracts.extractor": ["Entries", "Extractor", "Matrix", "MatrixPlan"],
    "ww_core.contracts.feature_set": ["FeatureSet"],
    "ww_core.contracts.importer": ["Importer"],
    "ww_core.contracts.loader": ["Checkpoint", "Checksum", "FileRange", "Loader"],
    "ww_core.contracts.metric": ["Quantity", "column", "metric", "quantity"],
    "ww_core.contracts.observer": ["LayerDone", "RunObserver", "RunStart"],
    "ww_core.contracts.profile": ["Profile"],
    "ww_core.contracts.report_writer": ["ReportWriter"],
    "ww_core.contracts.source": ["Opener", "Source"],
    "ww_core.domain.blame": ["Blame"],
    "ww_core.domain.column": ["Column", "Scope"],
    "ww_core.domain.difference": ["CheckpointDifference"],
    "ww_core.domain.exchange": ["ExportedFile", "FolderExport", "FolderImport", "TableExport"],
    "ww_core.domain.globs": ["choose_layers"],
    "ww_core.domain.history": ["History"],
    "ww_core.domain.judgement": ["Judgement"],
    "ww_core.domain.layer": ["ITEM_SIZES", "Layer", "LayerContent", "LayerKind", "SkippedTensor", "TensorSpec"],
    "ww_core.domain.leaderboard": ["Leaderboard"],
    "ww_core.domain.outcome": ["Outcome", "State"],
    "ww_core.domain.regression": ["Regression", "Regressions"],
    "ww_core.domain.report": ["AnalysisReport", "Failure", "MatrixRow"],
    "ww_core.domain.reported_table": ["ReportedColumn", "ReportedEntry", "ReportedTable"],
    "ww_core.domain.rounding": ["ROUNDINGS", "Rounding"],
    "ww_core.domain.rules.verdict": ["CheckReport"],
    "ww_core.domain.run": ["LayerCoverage", "StoredRun"],
    "ww_core.domain.score": ["Score"],
    "ww_core.domain.spectrum": ["Spectrum"],
    "ww_core.domain.sql_answer": ["SqlAnswer"],
    "ww_core.domain.subject": ["MatrixPlace"],
    "ww_core.domain.trend": ["Trend"],
    "ww_core.domain.zoo": ["Zoo", "ZooFeatures", "ZooLayer", "ZooTensor"],
    "ww_core.errors": [
        "CommandFailedError",
        "CorruptFileError",
        "LoaderFailedError",
        "LostResultsError",
        "MissingExtraError",
        "NoLoaderError",
        "NoValue",
        "NotAStoreError",
        "NotApplicable",
        "NotStoredError",
        "NothingToAnalyzeError",
        "OutputError",
        "PluginError",
        "ReadOnlyStoreError",
        "Refused",
        "SchemaTooNewError",
        "SchemaTooOldError",
        "SourceError",
        "StoreError",
        "UnknownNameError",
        "UsageError",
        "WWError",
    ],
    "ww_core.plugins.discovery": ["load_plugins"],
    "ww_core.plugins.hookspecs": ["API_VERSION"],
    "ww_core.plugins.markers": ["hookimpl"],
    "ww_core.plugins.registry": ["Registry"],
    "ww_core.store.store": ["Store", "open_store"],
    "ww_core.use_cases.analysis_command": ["analysis_command"],
    "ww_core.use_cases.analyze": ["analyze"],
    "ww_core.use_cases.backfill": ["backfill"],
    "ww_core.use_cases.blame": ["blame"],
    "ww_core.use_cases.check": ["check"],
    "ww_core.use_cases.describe": ["describe"],
    "ww_core.use_cases.diff": ["diff"],
    "ww_core.use_cases.estimators": ["configured_estimator", "estimator_at_work", "ready_estimator"],
    "ww_core.use_cases.export": ["export", "export_folder"],
    "ww_core.use_cases.history": ["history"],
    "ww_core.use_cases.import_folder": ["import_folder"],
    "ww_core.use_cases.import_table": ["ImportReport", "import_table"],
    "ww_core.use_cases.judge": ["judge"],
    "ww_core.use_cases.leaderboard": ["leaderboard"],
    "ww_core.use_cases.open_checkpoint": ["open_checkpoint"],
    "ww_core.use_cases.output_files": ["new_output", "output_place"],
    "ww_core.use_cases.regressions": ["regressions", "regressions_of"],
    "ww_core.use_cases.report_html": ["report_html"],
    "ww_core.use_cases.sql": ["sql"],
    "ww_core.use_cases.scores": ["import_scores"],
    "ww_core.use_cases.trend": ["trend"],
    "ww_core.use_cases.zoo_features": ["features_place", "write_features", "zoo_features"],
    "ww_core.use_cases.zoo_weights": ["on_other_weights", "zoo_digests"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "API_VERSION",
    "ITEM_SIZES",
    "ROUNDINGS",
    "Among",
    "AnalysisReport",
    "Between",
    "Blame",
    "CheckReport",
    "Checkpoint",
    "CheckpointDifference",
    "Checksum",
    "Column",
    "Command",
    "CommandFailedError",
    "CorruptFileError",
    "Device",
    "Entries",
    "Estimator",
    "Executor",
    "ExportedFile",
    "Extractor",
    "Failure",
    "FeatureSet",
    "FileRange",
    "Fitted",
    "FolderExport",
    "FolderImport",
    "History",
    "ImportReport",
    "Importer",
    "Judgement",
    "Layer",
    "LayerContent",
    "LayerCoverage",
    "LayerDone",
    "LayerKind",
    "Leaderboard",
    "Loader",
    "LoaderFailedError",
    "LostResultsError",
    "Matrix",
    "MatrixPlace",
    "MatrixPlan",
    "MatrixRow",
    "MissingExtraError",
    "NoLoaderError",
    "NoValue",
    "NotAStoreError",
    "NotApplicable",
    "NotStoredError",
    "NothingToAnalyzeError",
    "Opener",
    "Outcome",
    "OutputError",
    "PluginError",
    "Profile",
    "Quantity",
    "ReadOnlyStoreError",
    "Refused",
    "Registry",
    "Regression",
    "Regressions",
    "ReportWriter",
    "ReportedColumn",
    "ReportedEntry",
    "ReportedTable",
    "Rounding",
    "RunObserver",
    "RunStart",
    "SchemaTooNewError",
    "SchemaTooOldError",
    "Scope",
    "Score",
    "SkippedTensor",
    "Source",
    "SourceError",
    "Spectrum",
    "SqlAnswer",
    "State",
    "Store",
    "StoreError",
    "StoredRun",
    "TableExport",
    "TensorSpec",
    "Trend",
    "UnknownNameError",
    "UsageError",
    "WWError",
    "Zoo",
    "ZooFeatures",
    "ZooLayer",
    "ZooTensor",
    "analysis_command",
    "analyze",
    "backfill",
    "blame",
    "check",
    "choose_layers",
    "column",
    "configured_estimator",
    "describe",
    "diff",
    "estimator_at_work",
    "export",
    "export_folder",
    "features_place",
    "history",
    "hookimpl",
    "import_folder",
    "import_scores",
    "import_table",
    "judge",
    "leaderboard",
    "load_plugins",
    "metric",
    "new_output",
    "on_other_weights",
    "open_checkpoint",
    "open_store",
    "output_place",
    "quantity",
    "ready_estimator",
    "regressions",
    "regressions_of",
    "report_html",
    "sql",
    "trend",
    "write_features",
    "zoo_digests",
    "zoo_features",
]
__version__ = "0.1.0"


if not TYPE_CHECKING:  # to a type checker it would say that every name is there

    def __getattr__(name: str) -> Any:
        if name not in _HOME_OF:
            raise AttributeError(f"module 'ww_core' has no attribute {name!r}")
        value = getattr(importlib.import_module(_HOME_OF[name]), name)
        globals()[name] = value  # the next use does not come here
        return value


def __dir__() -> list[str]:
    return sorted([*_HOME_OF, "__version__"])
