"""Kinds of plugins that there are templates for: known to ``ww --help`` without what writes them."""

from __future__ import annotations

from enum import StrEnum


class PluginKind(StrEnum):
    """What there are templates for: every kind of object that a plugin registers by a hook that is not provisional."""

    METRIC = "metric"
    LOADER = "loader"
    EXTRACTOR = "extractor"
    FEATURE_SET = "feature-set"
    ESTIMATOR = "estimator"
    IMPORTER = "importer"
    PROFILE = "profile"
    EXECUTOR = "executor"
    DEVICE = "device"
    OPENER = "opener"
    OBSERVER = "observer"
    COMMAND = "command"

    @property
    def words(self) -> str:
        """What sentences call it."""
        return self.value.replace("-", " ")
