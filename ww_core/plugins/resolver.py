"""Resolving a selection of quantities: all they need, in order, each with its parameters and identity."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ww_core.domain.column import Scope
from ww_core.domain.identity import NUMERICS_VERSION, PRECISION, quantity_identity
from ww_core.domain.spectrum import Randomized, SpectrumKind
from ww_core.plugins.links import Need, needs_of

if TYPE_CHECKING:
    from ww_core.contracts.core_input import CoreInput
    from ww_core.contracts.metric import Quantity
    from ww_core.domain.spectrum import Precision, Resolution
    from ww_core.plugins.registry import Registry

OF_SPECTRA = "precision"
"""What a label calls that which is of no metric, but of the spectra."""


@dataclass(frozen=True, eq=False)
class Node:
    """A quantity with everything fixed.

    Attributes:
        qualified: ``plugin:name``.
        quantity: The quantity itself.
        needs: What its positional parameters get.
        parameters: Values of its parameters.
        key: Its permanent key.
        identity: Digest of key, version, parameters and the identities of its needs.
        need_identities: What of each need went into the identity, by parameter.
        context: The widest scope among all it needs, directly or not, but no wider than a layer for a matrix metric.
        overrides: Parameters here or further up that differ from the profile's, as label parts.
        kinds: Which spectrum it reads, by name of the core input.
        of_weights: Whether it, or something it needs, takes the weights themselves.
    """

    qualified: str
    quantity: Quantity
    needs: tuple[Need, ...]
    parameters: Mapping[str, Any]
    key: str
    identity: str
    need_identities: Mapping[str, Any]
    context: Scope
    overrides: tuple[str, ...]
    kinds: Mapping[str, SpectrumKind]
    of_weights: bool

    @functools.cached_property
    def in_context(self) -> bool:
        """Whether its value depends on more than its own subject."""
        return self.context.width > self.quantity.scope.width


def resolve(
    registry: Registry,
    selected: Iterable[str],
    profile_parameters: Mapping[str, Mapping[str, Any]],
    parameters: Mapping[str, Mapping[str, Any]],
    seed: int,
    precision: Precision,
) -> dict[str, Node]:
    """Return the nodes of all selected quantities and of all they need, each after its needs.

    Args:
        registry: Where the quantities are; its needs are linked, so nothing is missing and there is no cycle.
        selected: Qualified names.
        profile_parameters: Values the profile fixes, by qualified name and parameter.
        parameters: Values that override them.
        seed: Seed of what is random; part of the identity of what depends on it.
        precision: Of spectra of standard resolution; part of the identity of what depends on them.
    """
    nodes: dict[str, Node] = {}

    def visit(qualified: str) -> Node:
        if qualified in nodes:
            return nodes[qualified]
        owned = registry.quantities[qualified]
        quantity = owned.object
        needs = needs_of(owned, registry)
        upstream = [(need, visit(need.quantity)) for need in needs if need.quantity]
        base = {p.name: p.default for p in quantity.parameters} | dict(profile_parameters.get(qualified, {}))
        values = base | dict(parameters.get(qualified, {}))
        inputs = {need.parameter: need.core for need in needs if need.core}
        kinds = {own.name: _kind(own, quantity, seed, precision) for own in inputs.values() if own.source == "spectrum"}
        identities: dict[str, Any] = {
            parameter: _core_identity(own, quantity, seed, kinds.get(own.name)) for parameter, own in inputs.items()
        }
        identities |= {need.parameter: _upstream_identity(need, node) for need, node in upstream}
        own_overrides = [f"{key}={values[key]}" for key in sorted(values) if values[key] != base[key]]
        if any(identity.get("precision", PRECISION) != PRECISION for identity in identities.values()):
            own_overrides.append(f"{OF_SPECTRA}={precision}")
        nodes[qualified] = Node(
            qualified=qualified,
            quantity=quantity,
            needs=needs,
            parameters=values,
            key=owned.key,
            identity=quantity_identity(owned.key, quantity.version, values, identities),
            need_identities=identities,
            context=_context(quantity, needs, [node for _, node in upstream]),
            overrides=tuple(dict.fromkeys([*own_overrides, *_inherited([node for _, node in upstream])])),
            kinds=kinds,
            of_weights=any(own.source == "weights" for own in inputs.values())
            or any(node.of_weights for _, node in upstream),
        )
        return nodes[qualified]

    for qualified in selected:
        visit(qualified)
    return nodes


def _upstream_identity(need: Need, node: Node) -> dict[str, str]:
    return {"identity": node.identity, "column": node.quantity.column(need.column).key if need.column else ""}


def _kind(own: CoreInput, quantity: Quantity, seed: int, precision: Precision) -> SpectrumKind:
    """Which spectrum a core input is of, for a quantity that asks for it."""
    resolution = quantity.resolution
    return _one_kind(resolution, precision if resolution == "standard" else PRECISION, own.randomized, seed)


@functools.cache
def _one_kind(resolution: Resolution, precision: Precision, number: int | None, seed: int) -> SpectrumKind:
    """Make each kind once: it is looked up for every metric of every matrix, and found sooner if it is the same."""
    return SpectrumKind(resolution, precision, None if number is None else Randomized(number, seed))


def _core_identity(own: CoreInput, quantity: Quantity, seed: int, kind: SpectrumKind | None) -> dict[str, Any]:
    identity: dict[str, Any] = {"core": own.name, "numerics": NUMERICS_VERSION, "precision": PRECISION}
    if kind is not None:
        identity |= {"resolution": kind.resolution, "precision": kind.precision}
    if own.is_seeded:
        identity["seed"] = seed
    if own.by_batch:
        identity["batched"] = quantity.batched
    return identity


def _context(quantity: Quantity, needs: Iterable[Need], upstream: Iterable[Node]) -> Scope:
    scopes = [quantity.scope]
    scopes += [need.core.scope for need in needs if need.core and need.core.scope]
    scopes += [node.context for node in upstream]
    return max(scopes, key=lambda scope: scope.width)


def _inherited(upstream: Iterable[Node]) -> Iterator[str]:
    seen = set()
    for node in upstream:
        for part in node.overrides:
            key = part.partition("=")[0]
            name = part if "." in key or key == OF_SPECTRA else f"{node.quantity.name}.{part}"
            if name not in seen:
                seen.add(name)
                yield name
