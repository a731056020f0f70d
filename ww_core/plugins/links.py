"""Linking names to what they mean: every need and doubt of every quantity, once, for the whole registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ww_core.contracts.core_input import CORE_INPUTS, CoreInput, core_input
from ww_core.domain.column import Scope
from ww_core.domain.doubts import doubted_names
from ww_core.errors import UnknownNameError, UsageError
from ww_core.plugins.registry import Owned, Problem, Registry, unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ww_core.contracts.metric import Quantity


@dataclass(frozen=True, slots=True)
class Need:
    """What one positional parameter gets.

    Attributes:
        parameter: Name of the positional parameter.
        core: The core input; None if it is another quantity.
        quantity: Qualified name of the quantity; empty if it is a core input.
        column: Column of that quantity; empty for its whole result.
        is_elsewhere: Whether that quantity is of another scope.
    """

    parameter: str
    core: CoreInput | None = None
    quantity: str = ""
    column: str = ""
    is_elsewhere: bool = False


def needs_of(owned: Owned[Quantity], registry: Registry) -> tuple[Need, ...]:
    """Return what each positional parameter of a quantity means.

    Raises:
        UsageError: A need is unknown, ambiguous, or of a scope that cannot be had; the message says which.
    """
    return tuple(_need(owned, parameter, name, registry) for parameter, name in owned.object.needs.items())


def _need(owned: Owned[Quantity], parameter: str, name: str, registry: Registry) -> Need:
    own, core = owned.object, core_input(name)
    if core is not None:
        if own.scope is Scope.MODEL and core.scope not in {None, Scope.MODEL}:
            raise UsageError(
                f"need {name!r} is a {core.scope} input: a model metric names columns, or layers and matrices"
            )
        _check_scope(own, name, core.scope or own.scope)
        return Need(parameter, core=core)
    try:
        found = registry.quantities.find(name, plugin=owned.plugin)
    except UnknownNameError:
        known = {*registry.quantities.known(), *CORE_INPUTS} - {own.name}
        raise unknown_name("need", name, known, blocked=registry.blocked) from None
    target = found.object
    _check_scope(own, name, target.scope)
    short = name.rpartition(":")[2]
    column = short if any(column.name == short for column in target.columns) else ""
    if target.scope is not own.scope and own.scope is Scope.MODEL and not column:
        columns = ", ".join(column.name for column in target.columns)
        raise UsageError(f"need {name!r} has {'the columns ' + columns if columns else 'no column'}: name a column")
    return Need(parameter, quantity=found.qualified, column=column, is_elsewhere=target.scope is not own.scope)


def _check_scope(own: Quantity, name: str, scope: Scope) -> None:
    if own.scope is Scope.MODEL or scope is own.scope or (own.scope, scope) == (Scope.MATRIX, Scope.LAYER):
        return
    raise UsageError(f"need {name!r} is of scope {scope}, which a {own.scope} metric cannot see")


def link_needs(registry: Registry) -> None:
    """Take out every quantity whose needs cannot be met, and report each under its plugin.

    What needs a quantity that was taken out goes too, with that as its cause.
    """
    infos = {info.name: info for info in registry.plugins if info.state == "loaded"}

    def drop(owned: Owned[Quantity], message: str) -> None:
        registry.quantities.remove(owned.qualified)
        info = infos[owned.plugin]
        what = "metric" if owned.object.is_metric else "quantity"
        info.objects.remove(f"{what} {owned.name}")
        info.problems.append(Problem("need", f"{what} {owned.name!r}: {message}"))

    dropped: set[str] = set()
    while True:
        links: dict[str, tuple[Need, ...]] = {}
        faulty: list[tuple[Owned[Quantity], str]] = []
        for owned in registry.quantities:
            try:
                links[owned.qualified] = needs_of(owned, registry)
            except UsageError as error:
                lost = [name for name in owned.object.needs.values() if name in dropped]
                faulty.append((owned, f"it needs {lost[0]!r}, which could not be used" if lost else str(error)))
        faulty += [
            (registry.quantities[qualified], f"its needs form a cycle: {' > '.join(cycle)}")
            for qualified, cycle in _cycles(links).items()
        ]
        if not faulty:
            return
        for owned, message in faulty:
            dropped |= {owned.name, owned.qualified, *(column.name for column in owned.object.columns)}
            drop(owned, message)


def check_doubts(registry: Registry) -> None:
    """Report every flag that casts doubt on columns that are not there; it stays, and marks what is there."""
    infos = {info.name: info for info in registry.plugins}
    for owned in registry.quantities:
        for flag in (column for column in owned.object.columns if column.doubts):
            known = _columns_beside(owned, registry)
            for name in doubted_names(flag.doubts):
                if name not in known:
                    error = unknown_name(f"{owned.object.scope} column", name, known, blocked=registry.blocked)
                    message = f"metric {owned.name!r}: doubts={flag.doubts!r} names an {error}"
                    infos[owned.plugin].problems.append(Problem("doubt", message))


def _columns_beside(owned: Owned[Quantity], registry: Registry) -> set[str]:
    """Name the columns of a quantity's scope as people do, those of its own plugin by their plain names too."""
    names = set()
    for other in registry.quantities:
        if other.object.scope is owned.object.scope:
            columns = [column.name for column in other.object.columns]
            names |= {registry.quantities.display(other, name) for name in columns}
            names |= set(columns if other.plugin == owned.plugin else ())
    return names


def _cycles(links: Mapping[str, tuple[Need, ...]]) -> dict[str, list[str]]:
    """Return, for each quantity that is part of a cycle, one such cycle that starts and ends with it."""

    def path_back(start: str) -> list[str]:
        trails = [[start]]
        seen = set()
        while trails:
            trail = trails.pop()
            for need in links.get(trail[-1], ()):
                if need.quantity == start:
                    return [*trail, start]
                if need.quantity and need.quantity not in seen:
                    seen.add(need.quantity)
                    trails.append([*trail, need.quantity])
        return []

    return {qualified: cycle for qualified in links if (cycle := path_back(qualified))}
