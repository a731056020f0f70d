"""What a profile and a request come to: extractor variants by kind of layer, columns, and the nodes behind them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ww_core.contracts.extractor import Extractor
from ww_core.contracts.metric import Quantity
from ww_core.contracts.variant import variant_label
from ww_core.domain.column import Column, Scope
from ww_core.domain.identity import PRECISION, extractor_identity
from ww_core.domain.layer import LayerKind
from ww_core.domain.request import Request
from ww_core.domain.spectrum import SpectrumKind
from ww_core.errors import PluginError, UsageError
from ww_core.plugins.extras import to_install
from ww_core.plugins.isolation import all_but_interrupts, kind_of, sentence_of
from ww_core.plugins.links import needs_of
from ww_core.plugins.resolver import Node, resolve
from ww_core.plugins.variants import read_spec, value_of

if TYPE_CHECKING:
    from ww_core.contracts.profile import Profile
    from ww_core.domain.spectrum import Precision
    from ww_core.plugins.registry import Names, Owned, Registry


@dataclass(frozen=True, slots=True, eq=False)
class ExtractorVariant:
    """An extractor with its parameters fixed."""

    label: str
    qualified: str
    key: str
    extractor: Extractor
    identity: str


@dataclass(frozen=True, slots=True)
class SelectedColumn:
    """A column that is asked for, under the label it is shown by; tables for people show those of the headline."""

    label: str
    qualified: str
    column: Column
    scope: Scope
    headline: bool


@dataclass(frozen=True, eq=False)
class Selection:
    """Everything a profile and a request select.

    Attributes:
        profile: The profile.
        profile_key: Its permanent key.
        experiment: Whether a variant of a column or an extractor is another one than the profile's own.
        nodes: Selected quantities and all they need, each after its needs, by qualified name.
        columns: Columns asked for, in the order of display.
        extractors: Variants by kind of layer, the primary one first.
        precision: Of the arithmetic behind spectra of standard resolution.
        left_out: What the profile selects and is not computed, because an extra is not installed, a sentence each.
    """

    profile: Profile
    profile_key: str
    experiment: bool
    nodes: Mapping[str, Node]
    columns: tuple[SelectedColumn, ...]
    extractors: Mapping[LayerKind, tuple[ExtractorVariant, ...]]
    precision: Precision
    left_out: tuple[str, ...]

    @functools.cached_property
    def by_identity(self) -> Mapping[str, Node]:
        """The nodes by their identities."""
        return {node.identity: node for node in self.nodes.values()}

    @functools.cached_property
    def spectra(self) -> tuple[SpectrumKind, ...]:
        """The kinds of spectra that are taken and stored, those of the matrices themselves first."""
        own = [SpectrumKind("standard", self.precision), SpectrumKind("full", PRECISION)]
        asked = (kind for node in self.nodes.values() for kind in node.kinds.values())
        return tuple(dict.fromkeys([*own, *asked]))

    @functools.cached_property
    def column_keys(self) -> Mapping[str, Mapping[str, tuple[str, str]]]:
        """Identity and permanent key of every column, by the qualified name of its node and its own name."""
        return {
            node.qualified: {column.name: (node.identity, column.key) for column in node.quantity.columns}
            for node in self.nodes.values()
        }

    def wanted(self, scope: Scope) -> list[Node]:
        """Return the nodes of this scope whose columns are stored: those asked for and the metrics they need."""
        return [node for node in self.nodes.values() if node.quantity.scope is scope and node.quantity.is_metric]

    def headline(self) -> list[str]:
        """Return the labels that tables for people show, in the profile's order, then those of third parties."""
        order = {name: position for position, name in enumerate(self.profile.headline)}
        shown = [column for column in self.columns if column.headline]
        shown.sort(key=lambda column: order.get(column.column.name, len(order)))
        return [column.label for column in shown]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What was asked, and by which plugins it is understood.

    Attributes:
        registry: The plugins.
        request: The request, as it is stored: by names that mean the same to everybody.
        selection: What it selects.
        profile: The name that its profile goes by.
    """

    registry: Registry
    request: Request
    selection: Selection
    profile: str


def understood(registry: Registry, request: Request) -> Asked:
    """Bring a request to what it selects; the registry remembers it, for a request is often made of many models.

    Raises:
        UsageError: As for ``select``.
    """
    text = repr(request)  # equal requests may differ: a parameter is 1, or 1.0, or True
    asked = registry.understood.get(text)
    if asked is None:
        selection = select(registry, request)
        asked = Asked(registry, pinned(registry, request), selection, profile_name(registry, request.profile))
        if len(registry.understood) >= REMEMBERED:
            registry.understood.clear()
        registry.understood[text] = asked
    return asked


REMEMBERED = 32
"""Requests that a registry remembers."""


def profile_name(registry: Registry, name: str) -> str:
    """Return the name that a profile goes by, whichever of its names was given.

    Raises:
        UsageError: Nothing carries it, or several do.
    """
    owned = registry.profiles.find(name)
    return registry.profiles.display(owned, owned.name)


def select(registry: Registry, request: Request) -> Selection:
    """Bring a request to names, parameters and identities.

    Raises:
        UsageError: A profile, metric, extractor or parameter is unknown, ambiguous, or has a value it cannot have; or a
            metric that the request names needs an extra that is not installed.
    """
    owned = registry.profiles.find(request.profile)
    profile = owned.object
    profile_parameters = _parameters(registry, profile.parameters.items(), owned.plugin)
    parameters = _parameters(registry, request.parameters)
    if request.metrics:
        chosen = chosen_columns(registry, request.metrics)
    else:
        chosen = chosen_columns(registry, profile.metrics, owned.plugin)
    quantities = dict.fromkeys(qualified for qualified, _ in chosen)
    lacking = _lacking(registry, quantities)
    if lacking and request.metrics:
        raise UsageError(next(iter(lacking.values())))
    chosen = [(qualified, column) for qualified, column in chosen if qualified not in lacking]
    quantities = dict.fromkeys(qualified for qualified, _ in chosen)
    variant = functools.cache(functools.partial(_variant, registry))  # most kinds of layers share one
    nodes = resolve(registry, quantities, profile_parameters, parameters, request.seed, request.precision)
    unused = [qualified for qualified in parameters if qualified not in nodes]
    if unused:
        name = unused[0].rpartition(":")[2]
        raise UsageError(f"parameter of {name!r} has no effect: no selected metric or extractor uses {name}")
    specs = {kind: _profile_spec(registry, owned, kind) for kind in LayerKind}
    extractors = {kind: _variants(variant, owned, specs[kind], request.extractors, kind) for kind in LayerKind}
    plain = Request()
    own_nodes = nodes
    if parameters or (request.seed, request.precision) != (plain.seed, plain.precision):
        own_nodes = resolve(registry, quantities, profile_parameters, {}, plain.seed, plain.precision)
    return Selection(
        profile=profile,
        profile_key=owned.key,
        experiment=any(nodes[qualified].identity != own_nodes[qualified].identity for qualified in quantities)
        or any(not _are_own(variant, owned, specs[kind], kind, variants) for kind, variants in extractors.items()),
        nodes=nodes,
        columns=tuple(
            _selected_column(registry, nodes[qualified], column, () if request.metrics else profile.headline)
            for qualified, column in chosen
        ),
        extractors=extractors,
        precision=request.precision,
        left_out=tuple(lacking.values()),
    )


def _lacking(registry: Registry, selected: Iterable[str]) -> dict[str, str]:
    """Return those that lack an extra, or need something that lacks one, and a sentence on each."""

    @functools.cache
    def command(qualified: str) -> str:
        owned = registry.quantities[qualified]
        needed = (command(need.quantity) for need in needs_of(owned, registry) if need.quantity)
        return to_install(owned.object.extra) or next(filter(None, needed), "")

    return {
        qualified: f"metric {registry.quantities[qualified].name!r} needs a missing package: {command(qualified)}"
        for qualified in selected
        if command(qualified)
    }


def pinned(registry: Registry, request: Request) -> Request:
    """Return the request with every name as ``plugin:name``: whatever is installed later, it asks for the same."""
    return _named(registry, request, lambda _, owned, name: f"{owned.plugin}:{name}")


def shortened(registry: Registry, request: Request) -> Request:
    """Return the request with every name as short as it may be today."""
    return _named(registry, request, lambda names, owned, name: names.display(owned, name))


def _named(registry: Registry, request: Request, name_of: Callable[[Names[Any], Owned[Any], str], str]) -> Request:
    """Return the request with other names for the same things.

    Raises:
        UsageError: A name is unknown or ambiguous.
    """
    quantities = registry.quantities

    def metric(name: str) -> str:
        owned = quantities.find(name)
        columns = _columns_named(owned.object, name)
        return name_of(quantities, owned, columns[0].name if len(columns) == 1 else owned.name)

    def parameter(key: str) -> str:
        name, _, own = key.rpartition(".")
        owned = quantities.find(name)
        return f"{name_of(quantities, owned, owned.name)}.{own}"

    def extractor(spec: str) -> str:
        name, values = read_spec("extractor", spec)
        owned = registry.extractors.find(name)
        parts = ",".join(f"{key}={value}" for key, value in values.items())
        return name_of(registry.extractors, owned, owned.name) + (f"[{parts}]" if parts else "")

    profile = registry.profiles.find(request.profile)
    return replace(
        request,
        profile=name_of(registry.profiles, profile, profile.name),
        metrics=tuple(metric(name) for name in request.metrics),
        parameters=tuple((parameter(key), value) for key, value in request.parameters),
        extractors=tuple(extractor(spec) for spec in request.extractors),
    )


def chosen_columns(registry: Registry, names: Sequence[str] | None, plugin: str = "") -> list[tuple[str, Column]]:
    """Return the columns that names select, each with its metric's qualified name; None for all but those on request.

    Args:
        registry: The loaded plugins.
        names: Names of metrics and columns.
        plugin: Whose own metrics come first.

    Raises:
        UsageError: A name is unknown, ambiguous, or that of a quantity that is not stored.
    """
    if names is None:
        return [
            (owned.qualified, column)
            for owned in registry.quantities
            if not owned.object.on_request
            for column in owned.object.columns
        ]
    chosen: dict[tuple[str, str], Column] = {}
    for name in names:
        owned = registry.quantities.find(name, plugin=plugin)
        if not owned.object.is_metric:
            raise UsageError(f"{name!r} is a quantity, which is not stored: name a metric that uses it")
        columns = _columns_named(owned.object, name) or owned.object.columns
        chosen |= {(owned.qualified, column.name): column for column in columns}
    return [(qualified, column) for (qualified, _), column in chosen.items()]


def _columns_named(quantity: Quantity, name: str) -> Sequence[Column]:
    """The column that a name means, by what it is called or by its key; none if it means the metric itself."""
    short = name.rpartition(":")[2]
    called = [column for column in quantity.columns if column.name == short]
    return called or [column for column in quantity.columns if column.key == short and ":" in name]


def _selected_column(registry: Registry, node: Node, column: Column, headline: Sequence[str]) -> SelectedColumn:
    owned = registry.quantities[node.qualified]
    name = registry.quantities.display(owned, column.name)
    label = f"{name}[{','.join(node.overrides)}]" if node.overrides else name
    shown = not headline or not owned.builtin or column.name in headline
    return SelectedColumn(label, node.qualified, column, node.quantity.scope, shown)


def _parameters(registry: Registry, pairs: Iterable[tuple[str, Any]], plugin: str = "") -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for key, value in pairs:
        name, dot, parameter_name = key.rpartition(".")
        if not dot:
            raise UsageError(f"parameter {key!r} is not of the form METRIC.PARAMETER")
        owned = registry.quantities.find(name, plugin=plugin)
        declared = {parameter.name: parameter for parameter in owned.object.parameters}
        found.setdefault(owned.qualified, {})[parameter_name] = value_of(name, parameter_name, value, declared)
    return found


def _profile_spec(registry: Registry, profile: Owned[Profile], kind: LayerKind) -> str:
    """Return the variant that a profile chooses for a kind of layers; if it names none, the one of profile ``default``.

    Raises:
        UsageError: That names none either, or is not there.
        PluginError: The profile's class does it in a way of its own, and fails.
    """
    spec = _own_extractor(profile, kind) or _own_extractor(registry.profiles.find(Request().profile), kind)
    if not spec:
        raise UsageError(f"profile {profile.name!r} names no extractor for layers of kind {kind}")
    return spec


def _variants(
    variant: Callable[[str, str, str, str], ExtractorVariant],
    profile: Owned[Profile],
    own_spec: str,
    specs: Sequence[str],
    kind: LayerKind,
) -> tuple[ExtractorVariant, ...]:
    if specs and kind.is_convolution:
        variants = [variant(spec, "", profile.plugin, own_spec) for spec in specs]
    else:
        variants = [variant(own_spec, profile.plugin, profile.plugin, own_spec)]
    return tuple({variant.identity: variant for variant in variants}.values())


def _own_extractor(profile: Owned[Profile], kind: LayerKind) -> str:
    """Return the variant that a profile chooses for a kind of layers.

    Raises:
        PluginError: The profile's class does it in a way of its own, and fails.
    """
    try:
        spec = profile.object.extractor_for(kind)
    except all_but_interrupts() as error:
        sentence = sentence_of(error, profile.object)
        raise PluginError(f"profile {profile.qualified!r} failed: {sentence}") from error
    if not isinstance(spec, str):
        raise PluginError(f"profile {profile.qualified!r}: extractor_for returned {kind_of(spec)}, not a text")
    return spec


def _are_own(
    variant: Callable[[str, str, str, str], ExtractorVariant],
    profile: Owned[Profile],
    own_spec: str,
    kind: LayerKind,
    variants: Sequence[ExtractorVariant],
) -> bool:
    """Whether these are what the profile itself chooses for a kind of layers."""
    try:
        own = _variants(variant, profile, own_spec, (), kind)
    except UsageError:  # the profile's own extractor is not there, and another one was asked for
        return False
    return [each.identity for each in own] == [each.identity for each in variants]


def _variant(registry: Registry, spec: str, seen_from: str, profile_plugin: str, profile_spec: str) -> ExtractorVariant:
    """Make a variant of a spec as one plugin sees it; the profile's parameters hold where it means the same extractor.

    Raises:
        UsageError: The extractor is unknown, or cannot have these parameters.
    """
    name, values = read_spec("extractor", spec)
    owned = registry.extractors.find(name, plugin=seen_from)
    declared = {parameter.name: parameter for parameter in owned.object.parameters()}
    given = {key: value_of(name, key, text, declared) for key, text in values.items()}
    profile_name, profile_values = read_spec("extractor", profile_spec)
    base = {}
    if _is_named(registry, owned, profile_name, profile_plugin):
        base = {key: value_of(name, key, text, declared) for key, text in profile_values.items()}
    defaults = {parameter.name: parameter.default for parameter in declared.values()} | base
    try:
        extractor = owned.object(**(base | given))
        return ExtractorVariant(
            label=variant_label(registry.extractors.display(owned, owned.name), extractor.values, defaults),
            qualified=owned.qualified,
            extractor=extractor,
            key=owned.key,
            identity=extractor_identity(owned.key, extractor.version, extractor.values),
        )
    except all_but_interrupts() as error:  # the class is a plugin's: it may refuse a value in any way
        sentence = sentence_of(error, owned.object)
        raise PluginError(f"extractor {spec!r} ({owned.qualified}) cannot be made: {sentence}") from error


def _is_named(registry: Registry, owned: Owned[type[Extractor]], name: str, plugin: str) -> bool:
    try:
        return registry.extractors.find(name, plugin=plugin) is owned
    except UsageError:  # the profile's own extractor is not there: it fixes nothing
        return False
