"""All hooks of ww, on one page.

A plugin is a module (or any object) whose functions carry ``@ww.hookimpl``. It is found by an entry point in group
``ww``, by ``ww --plugin FILE``, or given as ``plugins=[...]`` from Python. Every hook takes nothing and returns a list;
it is called once, when plugins are loaded, and a failure in it is reported under the plugin's name and stops no other.

Hooks marked provisional may still change their form with their first user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ww_core.plugins.markers import hookspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ww_core.contracts.command import Command
    from ww_core.contracts.device import Device
    from ww_core.contracts.estimator import Estimator
    from ww_core.contracts.executor import Executor
    from ww_core.contracts.extractor import Extractor
    from ww_core.contracts.feature_set import FeatureSet
    from ww_core.contracts.importer import Importer
    from ww_core.contracts.loader import Loader
    from ww_core.contracts.metric import Quantity
    from ww_core.contracts.observer import RunObserver
    from ww_core.contracts.profile import Profile
    from ww_core.contracts.report_writer import ReportWriter
    from ww_core.contracts.source import Opener

API_VERSION = 1
"""Version of this page. A plugin written for a later one says so by ``WW_API_VERSION = 2`` and is refused by name."""


@hookspec
def ww_register_openers() -> Sequence[Opener]:
    """Schemes of addresses. An opener finds the file or folder that an address leads to, whatever its format."""
    raise AssertionError("a specification is never called")


@hookspec
def ww_register_loaders() -> Sequence[Loader]:
    """Formats of checkpoints. Each loader recognises a source by content and reads one tensor at a time."""
    raise AssertionError("a specification is never called")


@hookspec
def ww_register_extractors() -> Sequence[type[Extractor]]:
    """Ways to make matrices of a layer. Classes, not instances: a variant is the class with its parameters."""
    raise AssertionError("a specification is never called")


@hookspec
def ww_register_metrics() -> Sequence[Quantity]:
    """Metrics and quantities, as made by ``@ww.metric`` and ``@ww.quantity``."""
    raise AssertionError("a specification is never called")


@hookspec
def ww_register_profiles() -> Sequence[Profile]:
    """Named selections of extractors, metrics and parameters."""
    raise AssertionError("a specification is never called")


@hookspec
def ww_register_executors() -> Sequence[Executor]:
    """Places where the work runs: factories of ``concurrent.futures.Executor``."""
    raise AssertionError("a specification is never called")


@hookspec
def ww_register_devices() -> Sequence[Device]:
    """Places where spectra are made: the processor, a graphics card."""
    raise AssertionError("a specification is never called")


@hookspec
def ww_register_commands() -> Sequence[Command]:
    """Commands of the program. An entry point in group ``ww.commands`` lists one in ``ww --help`` without an import."""
    raise AssertionError("a specification is never called")


@hookspec
def ww_register_observers() -> Sequence[RunObserver]:
    """Observers of runs: called at the start, after each layer and at the end."""
    raise AssertionError("a specification is never called")


@hookspec
def ww_register_importers() -> Sequence[Importer]:
    """Forms of tables of results that others made. Each importer recognises a table by content and reads all of it."""
    raise AssertionError("a specification is never called")


@hookspec
def ww_register_feature_sets() -> Sequence[FeatureSet]:
    """What a predictor sees of a network: numbers of each checkpoint of a zoo, made for all of them at once."""
    raise AssertionError("a specification is never called")


@hookspec
def ww_register_estimators() -> Sequence[Estimator]:
    """How the accuracy of a network is learned from features of many networks."""
    raise AssertionError("a specification is never called")


@hookspec
def ww_register_report_writers() -> Sequence[ReportWriter]:
    """Provisional. Writers of reports on stored models, which ``ww_core.report_html`` finds by name."""
    raise AssertionError("a specification is never called")


@hookspec
def ww_register_transforms() -> Sequence[Any]:
    """Provisional. Makers of a new checkpoint from an old one: objects with ``name`` and ``version``."""
    raise AssertionError("a specification is never called")
