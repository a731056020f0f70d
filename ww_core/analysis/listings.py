"""List what plugins gave."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ww_core.domain.parameter import Parameter
    from ww_core.plugins.registry import Registry


def list_metrics(registry: Registry) -> list[dict[str, Any]]:
    """Return one row per column of every metric."""
    return [
        {
            "column": registry.quantities.display(owned, column.name),
            "scope": str(owned.object.scope),
            "type": column.type,
            "better": column.better,
            "unit": column.unit,
            "version": owned.object.version,
            "metric": owned.qualified,
            "needs": list(owned.object.needs.values()),
            "parameters": _parameters(owned.object.parameters),
            "on_request": owned.object.on_request,
            "doc": column.doc or owned.object.summary,
        }
        for owned in registry.quantities
        for column in owned.object.columns
    ]


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
    """Return one row per loader."""
    return [
        {
            "loader": registry.loaders.display(owned, owned.name),
            "plugin": owned.plugin,
            "extra": f"ww[{owned.object.extra}]" if owned.object.extra else "",
            "doc": owned.object.description,
        }
        for owned in registry.loaders
    ]


def list_plugins(registry: Registry) -> list[dict[str, Any]]:
    """Return one row per plugin, with what it gave and what is wrong with it."""
    rows = []
    for info in registry.plugins:
        row = asdict(info)
        row["problems"] = [f"{problem.stage}: {problem.message}" for problem in info.problems]
        rows.append(row)
    return rows


def _parameters(parameters: Iterable[Parameter]) -> dict[str, Any]:
    return {parameter.name: parameter.default for parameter in parameters}
