"""List what plugins gave."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ww_core.domain.doubts import doubted_names
from ww_core.plugins.checks import is_typer
from ww_core.plugins.entry_points import (
    OWN_DISTRIBUTION,
    all_command_entry_points,
    blocked_by,
    distribution_of,
    is_own,
)
from ww_core.plugins.extras import to_install
from ww_core.plugins.isolation import all_but_interrupts, sentence_of
from ww_core.plugins.selection import chosen_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from importlib.metadata import EntryPoint

    from ww_core.contracts.metric import Quantity
    from ww_core.contracts.profile import Profile
    from ww_core.domain.column import Column
    from ww_core.domain.parameter import Parameter
    from ww_core.plugins.registry import Owned, Registry


def list_metrics(registry: Registry) -> list[dict[str, Any]]:
    """Return one row per column of every metric, with the command that installs what it lacks."""
    return [_row_of(registry, owned, column) for owned in registry.quantities for column in owned.object.columns]


def columns_of_metric(registry: Registry, name: str) -> tuple[Owned[Quantity], list[dict[str, Any]]]:
    """Return the metric that a name means, and the rows of ``list_metrics`` of its columns; of a column's name its own.

    Raises:
        UnknownNameError: No metric and no column has the name.
        UsageError: Several have it, or it is the name of a quantity that is not stored.
    """
    chosen = chosen_columns(registry, [name])
    owned = registry.quantities.find(name)
    return owned, [_row_of(registry, owned, column) for _, column in chosen]


def _row_of(registry: Registry, owned: Owned[Quantity], column: Column) -> dict[str, Any]:
    return {
        "column": registry.quantities.display(owned, column.name),
        "scope": str(owned.object.scope),
        "type": column.type,
        "better": column.better,
        "unit": column.unit,
        "version": owned.object.version,
        "metric": owned.qualified,
        "key": owned.key,
        "needs": list(owned.object.needs.values()),
        "parameters": _parameters(owned.object.parameters),
        "on_request": owned.object.on_request,
        "extra": f"{OWN_DISTRIBUTION}[{owned.object.extra}]" if owned.object.extra else "",
        "install": to_install(owned.object.extra),
        "doc": column.doc or owned.object.summary,
        "caveat": column.caveat,
        "doubts": doubted_names(column.doubts),
    }


def list_profiles(registry: Registry) -> list[dict[str, Any]]:
    """Return one row per profile, with the columns that it computes and how it makes matrices."""
    return [_profile_row(registry, owned) for owned in registry.profiles]


def _profile_row(registry: Registry, owned: Owned[Profile]) -> dict[str, Any]:
    profile = owned.object
    columns = chosen_columns(registry, profile.metrics, owned.plugin)
    return {
        "profile": registry.profiles.display(owned, owned.name),
        "plugin": owned.plugin,
        "key": owned.key,
        "extractor": profile.extractor,
        "convolution_extractor": profile.convolution_extractor,
        "extractors_by_kind": {str(kind): extractor for kind, extractor in profile.extractors_by_kind.items()},
        "every_metric": profile.metrics is None,
        "columns": [registry.quantities.display(registry.quantities[metric], own.name) for metric, own in columns],
        "parameters": dict(profile.parameters),
        "headline": list(profile.headline),
        "doc": profile.description,
    }


def list_extractors(registry: Registry) -> list[dict[str, Any]]:
    """Return one row per extractor."""
    return [
        {
            "extractor": registry.extractors.display(owned, owned.name),
            "version": owned.object.version,
            "plugin": owned.plugin,
            "parameters": _parameters(owned.object.parameters()),
            "doc": (owned.object.__doc__ or "").strip().partition("\n")[0],
        }
        for owned in registry.extractors
    ]


def list_loaders(registry: Registry) -> list[dict[str, Any]]:
    """Return one row per loader, with the command that installs what it lacks."""
    return [
        {
            "loader": registry.loaders.display(owned, owned.name),
            "plugin": owned.plugin,
            "extra": f"{OWN_DISTRIBUTION}[{owned.object.extra}]" if owned.object.extra else "",
            "install": to_install(owned.object.extra),
            "options": _parameters(owned.object.parameters()),
            "doc": owned.object.description,
        }
        for owned in registry.loaders
    ]


def list_importers(registry: Registry) -> list[dict[str, Any]]:
    """Return one row per importer, with the command that installs what it lacks."""
    return [
        {
            "importer": registry.importers.display(owned, owned.name),
            "plugin": owned.plugin,
            "extra": f"{OWN_DISTRIBUTION}[{owned.object.extra}]" if owned.object.extra else "",
            "install": to_install(owned.object.extra),
            "options": _parameters(owned.object.parameters()),
            "doc": owned.object.description,
        }
        for owned in registry.importers
    ]


def list_plugins(registry: Registry) -> list[dict[str, Any]]:
    """Return one row per plugin, with what it gave and what is wrong with it."""
    rows = []
    for info in registry.plugins:
        row = asdict(info)
        row["problems"] = [f"{problem.stage}: {problem.message}" for problem in info.problems]
        rows.append(row)
    return rows


def list_commands(registry: Registry, own: Iterable[str]) -> list[dict[str, Any]]:
    """Return one row per command that is listed by an entry point alone, in the form of ``list_plugins``.

    Each is imported to see whether it can be. One that a loaded plugin of the same distribution registers too stands
    among that plugin's objects.

    Args:
        registry: The loaded plugins.
        own: Names of ww's own commands, which no plugin can take.
    """
    taken = dict.fromkeys(own, "ww itself")
    rows = []
    distributions = {info.name: info.distribution for info in registry.plugins}
    registered = {(distributions[owned.plugin], owned.name) for owned in registry.commands}
    for point in all_command_entry_points():
        distribution = distribution_of(point)
        if (distribution, point.name) in registered:
            taken.setdefault(point.name, distribution)
            continue
        variable = blocked_by(point.name, distribution, os.environ)
        problems = [] if variable else _problems_of_command(point, taken)
        state = "blocked" if variable else "failed" if problems else "loaded"
        rows.append(
            {
                "name": point.name,
                "distribution": distribution,
                "version": point.dist.version if point.dist else "",
                "origin": point.value + (f" (blocked by {variable})" if variable else ""),
                "builtin": is_own(distribution),
                "state": state,
                "hooks": [],
                "objects": [f"command {point.name}"] if state == "loaded" else [],
                "problems": problems,
            }
        )
        if not variable:
            taken.setdefault(point.name, distribution)
    return rows


def _problems_of_command(point: EntryPoint, taken: Mapping[str, str]) -> list[str]:
    if point.name in taken:
        return [f"name: the command {point.name} is taken by {taken[point.name]}"]
    try:
        if not is_typer(point.load()):
            return [f"object: {point.value} is not a typer.Typer"]
    except all_but_interrupts() as error:
        return [f"import: {sentence_of(error, point.module)}"]
    return []


def _parameters(parameters: Iterable[Parameter]) -> dict[str, Any]:
    return {parameter.name: parameter.default for parameter in parameters}
