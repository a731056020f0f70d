"""Public: contract tests for plugin authors. Needs pytest.

Subclass the class of each kind of object your plugin registers, and say where the plugin is:

    import my_plugin
    from ww_core.testing import MetricContract

    class TestMyMetrics(MetricContract):
        plugin = my_plugin

ww's own plugins pass the same classes.
"""

from __future__ import annotations

from ww_core.testing.commands import CommandContract
from ww_core.testing.devices import DeviceContract
from ww_core.testing.estimators import EstimatorContract
from ww_core.testing.execution import ExecutorContract, ObserverContract
from ww_core.testing.extractors import ExtractorContract
from ww_core.testing.feature_sets import FeatureSetContract
from ww_core.testing.importers import ImporterContract
from ww_core.testing.loaders import LoaderContract
from ww_core.testing.metrics import MetricContract
from ww_core.testing.openers import OpenerContract
from ww_core.testing.plugins import PluginContract
from ww_core.testing.profiles import ProfileContract

__all__ = [
    "CommandContract",
    "DeviceContract",
    "EstimatorContract",
    "ExecutorContract",
    "ExtractorContract",
    "FeatureSetContract",
    "ImporterContract",
    "LoaderContract",
    "MetricContract",
    "ObserverContract",
    "OpenerContract",
    "PluginContract",
    "ProfileContract",
]
