"""The registry: every object of every loaded plugin, by name, with its owner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from ww_core.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    from ww_core.plugins.selection import Asked

T = TypeVar("T")

Stage = Literal["import", "register", "call", "object", "name", "need", "doubt", "clash"]
"""Where a problem of a plugin showed. A clash costs only the short name; after any other, something is missing."""


@dataclass(frozen=True, slots=True, eq=False)
class Owned(Generic[T]):
    """An object and the plugin that registered it."""

    plugin: str
    name: str
    builtin: bool
    object: T

    @property
    def qualified(self) -> str:
        """``plugin:name``, which is always unique."""
        return f"{self.plugin}:{self.name}"

    @property
    def key(self) -> str:
        """What is stored under: the permanent key that a metric, extractor or profile claims, else ``qualified``."""
        key = getattr(self.object, "key", "")  # of a loader or an executor it may be anything
        return key if isinstance(key, str) and ":" in key else self.qualified


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a plugin: where it showed, and its cause in one sentence.

    ``picture`` is the source line of a syntax error with its caret.
    """

    stage: Stage
    message: str
    picture: str = ""


@dataclass(slots=True)
class PluginInfo:
    """What ``ww plugins`` lists of a plugin.

    Attributes:
        name: Name of its entry point, file stem or object.
        distribution: Distribution it came with; empty for files and objects.
        version: Version of that distribution.
        origin: What was loaded: a module, a file, an object.
        builtin: Whether it came with ww itself.
        state: ``loaded``, ``failed`` (nothing of it is used) or ``blocked``.
        hooks: Hooks it implements.
        objects: What it registered, as ``"metric alpha"``.
        problems: What was wrong with it.
    """

    name: str
    distribution: str
    version: str
    origin: str
    builtin: bool
    state: Literal["loaded", "failed", "blocked"] = "loaded"
    hooks: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def refusals(self) -> list[Problem]:
        """Return why the plugin, or something of it, cannot be used."""
        return [problem for problem in self.problems if problem.stage != "clash"]


class Names(Generic[T]):
    """Objects of one kind by name. A short name works while it is unique; ``plugin:name`` always works.

    A name that comes with ww stays its own when a third party takes it too: installing a plugin must not change what an
    existing name means. The newcomer is reached by its qualified name.

    Args:
        what: The kind, as people know it.
        where: The command that lists all of it.
        names_of: Gives the names that an object goes by.
        blocked: Sentences on plugins that were not loaded: what is unknown may be theirs.
        parts_of: Gives the keys of the parts of an object, such as columns: they are found by these too.
    """

    def __init__(
        self,
        what: str,
        where: str,
        names_of: Callable[[T], tuple[str, ...]],
        blocked: Sequence[str] = (),
        parts_of: Callable[[T], tuple[str, ...]] = lambda _: (),
    ) -> None:
        self.what = what
        self.where = where
        self.blocked = blocked
        self._names_of = names_of
        self._parts_of = parts_of
        self._owned: dict[str, Owned[T]] = {}
        self._own_names: dict[str, tuple[str, ...]] = {}  # asked once: an object is a stranger's
        self._by_name: dict[str, list[Owned[T]]] = {}
        self._by_key: dict[str, Owned[T]] = {}
        self._by_part: dict[str, Owned[T]] = {}

    def __iter__(self) -> Iterator[Owned[T]]:
        return iter(self._owned.values())

    def __len__(self) -> int:
        return len(self._owned)

    def __getitem__(self, qualified: str) -> Owned[T]:
        return self._owned[qualified]

    def add(self, owned: Owned[T]) -> list[str]:
        """Add an object.

        Returns:
            Clashes, one sentence each: another plugin's object carries a name too. Both stay reachable.

        Raises:
            ValueError: The same plugin registered the name twice, or another object has the permanent key; the first
                stays.
        """
        names = self._names_of(owned.object)
        own = [name for name in names if any(other.plugin == owned.plugin for other in self._by_name.get(name, ()))]
        if own:
            raise ValueError(f"{self.what} {owned.name!r} is left out: this plugin has {own[0]!r} already")
        if (holder := self._by_key.get(owned.key)) is not None:
            raise ValueError(
                f"{self.what} {owned.name!r} is left out: {holder.qualified} has its key {owned.key!r}, "
                "and what is stored can belong to one of them only"
            )
        clashes = []
        for name in names:
            others = self._by_name.setdefault(name, [])
            if others:
                rivals = ", ".join(f"{other.plugin}:{name}" for other in others)
                clashes.append(f"{self.what} {name!r} clashes with {rivals}: reach it as {owned.plugin}:{name}")
            others.append(owned)
        self._owned[owned.qualified] = self._by_key[owned.key] = owned
        home = owned.key.rpartition(":")[0]
        for part in self._parts_of(owned.object):
            self._by_part.setdefault(f"{home}:{part}", owned)
        self._own_names[owned.qualified] = names
        return clashes

    def remove(self, qualified: str) -> None:
        """Take an object out again."""
        owned = self._owned.pop(qualified)
        del self._by_key[owned.key]
        self._by_part = {part: other for part, other in self._by_part.items() if other is not owned}
        for name in self._own_names.pop(qualified):
            self._by_name[name] = [other for other in self._by_name[name] if other is not owned]
            if not self._by_name[name]:
                del self._by_name[name]

    def find(self, name: str, *, plugin: str = "") -> Owned[T]:
        """Return the object that ``name`` means, seen from ``plugin``, whose own objects come first.

        What goes by another qualified name today is found by its key.

        Raises:
            UnknownNameError: Nothing carries the name.
            UsageError: Several do, and none has precedence.
        """
        if ":" in name:
            owner, _, short = name.rpartition(":")
            matches = [owned for owned in self._by_name.get(short, ()) if owned.plugin == owner]
            by_key = self._by_key.get(name) or self._by_part.get(name)
            matches = matches or ([by_key] if by_key else [])
        else:
            matches = list(self._by_name.get(name, ()))
            matches = (
                [owned for owned in matches if owned.plugin == plugin]
                or [owned for owned in matches if owned.builtin]
                or matches
            )
        if not matches:
            raise unknown_name(self.what, name, self.known(), self.where, self.blocked)
        if len(matches) > 1:
            choices = " or ".join(f"{owned.plugin}:{name}" for owned in matches)
            raise UsageError(f"{self.what} {name!r} is registered by several plugins: name it as {choices}")
        return matches[0]

    def display(self, owned: Owned[T], name: str) -> str:
        """Return the shortest text that means ``name`` of ``owned``."""
        try:
            return name if self.find(name) is owned else f"{owned.plugin}:{name}"
        except UsageError:
            return f"{owned.plugin}:{name}"

    def known(self) -> list[str]:
        """Return every name that may be typed, short where that is enough."""
        return sorted(self.display(owned, name) for owned in self for name in self._own_names[owned.qualified])


def unknown_name(
    what: str, name: str, known: Iterable[str], where: str = "", blocked: Iterable[str] = ()
) -> UnknownNameError:
    """Return the error that nothing carries a name, with what was not loaded and may carry it."""
    error = UnknownNameError(what, name, known, where)
    error.args = ("; ".join((str(error), *blocked)),)
    return error


def _quantity_names(quantity: Quantity) -> tuple[str, ...]:
    return tuple(dict.fromkeys((quantity.name, *(column.name for column in quantity.columns))))


def _column_keys(quantity: Quantity) -> tuple[str, ...]:
    return tuple(column.key for column in quantity.columns)


def _own_name(thing: Any) -> tuple[str, ...]:
    return (thing.name,)


class Registry:
    """Everything plugins gave, by kind, and how another process comes to the same.

    Attributes:
        plugins: What was found, and what was wrong with it.
        loaded: What was loaded under each name: a module or an object.
        blocked: A sentence for each plugin that was not to be loaded.
        plugin_files: Absolute paths of the files that were given: another process loads them too.
        has_objects: Whether objects were given, which cannot travel to another process.
        taken_commands: Who has a command that needs no plugin to be loaded, by its name: ww itself, or the distribution
            that lists it by an entry point.
        understood: What requests came to, by their texts.
    """

    def __init__(
        self,
        *,
        plugin_files: tuple[str, ...] = (),
        has_objects: bool = False,
        taken_commands: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.plugin_files = plugin_files
        self.has_objects = has_objects
        self.taken_commands = taken_commands
        self.plugins: list[PluginInfo] = []
        self.loaded: dict[str, object] = {}
        self.blocked: list[str] = []
        self.openers: Names[Opener] = Names("opener", "ww plugins", _own_name, self.blocked)
        self.loaders: Names[Loader] = Names("loader", "ww loaders", _own_name, self.blocked)
        self.extractors: Names[type[Extractor]] = Names("extractor", "ww extractors", _own_name, self.blocked)
        self.quantities: Names[Quantity] = Names("metric", "ww metrics", _quantity_names, self.blocked, _column_keys)
        self.profiles: Names[Profile] = Names("profile", "ww profiles", _own_name, self.blocked)
        self.commands: Names[Command] = Names("command", "ww plugins", _own_name, self.blocked)
        self.executors: Names[Executor] = Names("executor", "ww plugins", _own_name, self.blocked)
        self.devices: Names[Device] = Names("device", "ww plugins", _own_name, self.blocked)
        self.importers: Names[Importer] = Names("importer", "ww importers", _own_name, self.blocked)
        self.feature_sets: Names[FeatureSet] = Names("feature set", "ww zoo feature-sets", _own_name, self.blocked)
        self.estimators: Names[Estimator] = Names("estimator", "ww predictor estimators", _own_name, self.blocked)
        self.report_writers: Names[ReportWriter] = Names("report writer", "ww plugins", _own_name, self.blocked)
        self.transforms: Names[Any] = Names("transform", "ww plugins", _own_name, self.blocked)
        self.observers: list[Owned[RunObserver]] = []
        self.understood: dict[str, Asked] = {}

    def info_of(self, plugin: object) -> PluginInfo | None:
        """Return what is known of the plugin that this module or object is; None if it was not loaded."""
        names = {name for name, loaded in self.loaded.items() if loaded is plugin}
        return next((info for info in self.plugins if info.name in names and info.state != "blocked"), None)

    def problems(self) -> list[tuple[PluginInfo, Problem]]:
        """Return every problem of every plugin."""
        return [(info, problem) for info in self.plugins for problem in info.problems]
