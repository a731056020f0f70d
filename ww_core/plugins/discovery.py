"""Finding plugins and loading each in isolation: one that is broken is reported, and never stops the others."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from ww_core.contracts.metric import Quantity
from ww_core.errors import PluginError, near_names
from ww_core.plugins import hookspecs
from ww_core.plugins.checks import fault_of
from ww_core.plugins.entry_points import blocked_by, command_entry_points, distribution_of, is_own, version_of
from ww_core.plugins.isolation import all_but_interrupts, kind_of, picture_of, sentence_of
from ww_core.plugins.links import check_doubts, link_needs
from ww_core.plugins.markers import PROJECT
from ww_core.plugins.registry import Names, Owned, PluginInfo, Problem, Registry, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin before it is loaded; ``module`` is the name of the module whose code runs when it is."""

    name: str
    distribution: str
    version: str
    origin: str
    load: Callable[[], object]
    module: str = ""

    @property
    def builtin(self) -> bool:
        """Whether it came with ww itself."""
        return is_own(self.distribution)

    def info(self) -> PluginInfo:
        """Return the listing of this plugin as far as it is known."""
        return PluginInfo(self.name, self.distribution, self.version, self.origin, self.builtin)


def load_plugins(
    *,
    files: Sequence[str | Path] = (),
    objects: Sequence[object] = (),
    strict: bool = False,
    environ: Mapping[str, str] | None = None,
    own_commands: Collection[str] = (),
) -> Registry:
    """Load every plugin that can be found.

    Args:
        files: Python files given by ``--plugin``, each taken once, by whatever names and links it is given; a file is
            executed, so name only files that are trusted.
        objects: Modules or objects given from Python.
        strict: Raise on the first problem instead of reporting it.
        environ: Environment to read ``WW_BLOCK_PLUGINS`` and ``WW_ONLY_PLUGINS`` from; default the process's own.
        own_commands: Names of ww's own commands, which no plugin takes over.

    Returns:
        The registry; what went wrong is in ``registry.plugins``.

    Raises:
        PluginError: A file is missing, cannot be loaded, or gives something that cannot be used; or ``strict``, and
            something was wrong with any plugin. The message lists all of it.
    """
    environ = os.environ if environ is None else environ
    paths = [Path(file) for file in files]
    for path in paths:
        _check_file(path, environ)
    paths = _distinct(paths)
    registry = Registry(
        plugin_files=tuple(str(path.absolute()) for path in paths),
        has_objects=bool(objects),
        taken_commands=_commands_of_entry_points() | dict.fromkeys(own_commands, "ww itself"),
    )
    for candidate in sorted(_installed(), key=lambda each: not each.builtin):
        _load(candidate, registry, environ)
    named = [_load(_from_file(path), registry, environ) for path in paths]
    for thing in objects:
        _load(_from_object(thing), registry, environ)
    link_needs(registry)
    check_doubts(registry)
    if strict:
        _refuse([(f"plugin {info.name}", info.problems) for info in registry.plugins])
    advice = "cannot be used, repair it or leave it out"
    _refuse([(f"plugin file {info.origin} {advice}", info.refusals()) for info in named])
    return registry


def _check_file(path: Path, environ: Mapping[str, str]) -> None:
    """Raise unless there is such a file and it may be loaded.

    Raises:
        PluginError: It is not so; the message says what to do.
    """
    if variable := blocked_by(path.stem, "", environ):
        raise PluginError(f"plugin file {path}: {variable} blocks plugin {path.stem}; take it out of there")
    try:
        kind = "file" if path.is_file() else "folder" if path.is_dir() else ""
    except (OSError, ValueError) as error:  # such as a name that is too long
        raise PluginError(f"plugin file {path} cannot be looked at: {getattr(error, 'strerror', error)}") from None
    if not kind:
        raise PluginError(f"plugin file {path}: the file does not exist; check the path")
    if kind == "folder":
        raise PluginError(f"plugin file {path}: this is a folder; name a Python file in it")


def _distinct(paths: Sequence[Path]) -> list[Path]:
    """Return each file once, by the first of its names."""
    first: dict[tuple[int, int], Path] = {}
    for path in paths:
        status = path.stat()
        first.setdefault((status.st_dev, status.st_ino), path)
    return list(first.values())


def _refuse(problems: Sequence[tuple[str, Sequence[Problem]]]) -> None:
    """Raise if anything has problems: pairs of what it is called and what is wrong with it.

    Raises:
        PluginError: With one sentence on all of them, and the source lines of syntax errors as notes.
    """
    sentences = [f"{what}: {'; '.join(each.message for each in own)}" for what, own in problems if own]
    if not sentences:
        return
    error = PluginError("; ".join(sentences))
    for problem in (problem for _, own in problems for problem in own if problem.picture):
        error.add_note(problem.picture)
    raise error


def _commands_of_entry_points() -> dict[str, str]:
    return {name: distribution_of(point) for name, point in command_entry_points().items()}


def _installed() -> Iterator[Candidate]:
    seen = set()
    for point in importlib.metadata.entry_points(group=PROJECT):
        distribution = distribution_of(point)
        if (point.name, point.value, distribution) not in seen:  # one distribution can stand on the path twice
            seen.add((point.name, point.value, distribution))
            yield Candidate(point.name, distribution, version_of(point), point.value, point.load, point.module)


def _from_file(file: str | Path) -> Candidate:
    path = Path(file)
    module_name = f"ww_plugin_{path.stem}"

    def load() -> object:
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise PluginError("it is no Python file: the name of one ends in .py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module  # dataclasses and pickle look their module up by name
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(module_name, None)
            raise
        return module

    return Candidate(path.stem, "", "", str(path), load, module_name)


def _from_object(thing: object) -> Candidate:
    try:
        name = getattr(thing, "__name__", None)
    except all_but_interrupts():
        name = None
    if not isinstance(name, str):
        name = kind_of(thing)
    return Candidate(name, "", "", f"object {name}", lambda: thing)


@contextmanager
def _same_folder() -> Iterator[None]:
    """Come back to the working folder, from which the paths that a person types are meant."""
    try:
        here = os.getcwd()  # noqa: PTH109 - asked once a plugin
    except FileNotFoundError:  # somebody has removed it
        here = ""
    try:
        yield
    finally:
        if here:
            os.chdir(here)


@_same_folder()
def _load(candidate: Candidate, registry: Registry, environ: Mapping[str, str]) -> PluginInfo:
    """Load one plugin, and return what became of it. Whatever it raises is its own problem."""
    info = candidate.info()
    rival = next((other for other in registry.plugins if other.name == info.name and other.state != "blocked"), None)
    registry.plugins.append(info)
    if variable := blocked_by(candidate.name, candidate.distribution, environ):
        info.state = "blocked"
        info.origin += f" (blocked by {variable})"
        registry.blocked.append(f"plugin {info.name} is blocked by {variable}")
        return info
    if rival:
        _fail(info, "name", f"the plugin name {info.name!r} is taken by {rival.distribution or rival.origin}")
        return info
    stage: Stage = "import"
    culprit: object = candidate.module
    try:
        plugin = candidate.load()
        if twin := registry.info_of(plugin):
            _fail(info, "name", f"it is loaded already, as plugin {twin.name!r}")
            return info
        registry.loaded[info.name] = culprit = plugin
        stage = "register"
        _check_version(plugin)
        manager = _manager()
        manager.register(plugin, name=info.name)
        _report_misspelt_hooks(plugin, manager, info)
    except all_but_interrupts() as error:
        _fail(info, stage, sentence_of(error, culprit), picture_of(error))
        return info
    for hook in info.hooks:
        for position, thing in enumerate(_call(manager, hook, plugin, info), 1):
            try:
                _add(thing, hook, registry, info)
            except all_but_interrupts() as error:
                cause = sentence_of(error, thing)
                info.problems.append(Problem("object", f"{hook}: object {position} of its list: {cause}"))
    return info


def _manager() -> pluggy.PluginManager:
    """Return a manager for one plugin: pluggy compares and hashes plugins, which a stranger's may not survive."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def _check_version(plugin: object) -> None:
    version = getattr(plugin, "WW_API_VERSION", hookspecs.API_VERSION)
    if not isinstance(version, int):
        raise PluginError(f"WW_API_VERSION is a whole number, not of type {type(version).__name__}")
    if version > hookspecs.API_VERSION:
        raise PluginError(f"it is written for plugin API {version}, this ww has {hookspecs.API_VERSION}: upgrade ww")


def _report_misspelt_hooks(plugin: object, manager: pluggy.PluginManager, info: PluginInfo) -> None:
    specified = [name for name in vars(hookspecs) if name.startswith("ww_register_")]
    callers = manager.get_hookcallers(plugin) or []
    info.hooks = sorted(caller.name for caller in callers if caller.name in specified)
    marked = {caller.name for caller in callers}
    unmarked = {name for name in dir(plugin) if name.startswith("ww_register")} - marked
    for name in sorted(marked - set(specified)):
        near = near_names(name, specified)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(specified)}"
        info.problems.append(Problem("register", f"there is no hook {name}: {hint}"))
    info.problems += [
        Problem("register", f"{name} is not marked with @ww.hookimpl, so it is not called") for name in sorted(unmarked)
    ]
    if not info.hooks and not info.problems:
        _fail(
            info,
            "register",
            "it implements no hook of ww: mark a function such as ww_register_metrics with @ww.hookimpl",
        )


def _call(manager: pluggy.PluginManager, hook: str, plugin: object, info: PluginInfo) -> list[Any]:
    try:
        answers = getattr(manager.hook, hook)() or [None]  # pluggy leaves out what is None
        for answer in answers:
            if not isinstance(answer, (list, tuple)):
                raise PluginError(f"{hook} must return a list, not {type(answer).__name__}")
        return [thing for answer in answers for thing in answer]
    except PluginError as error:
        info.problems.append(Problem("call", str(error)))
    except all_but_interrupts() as error:
        info.problems.append(Problem("call", f"{hook} failed: {sentence_of(error, plugin)}", picture_of(error)))
    return []


def _add(thing: Any, hook: str, registry: Registry, info: PluginInfo) -> None:
    kind = hook.removeprefix("ww_register_")
    if fault := fault_of(thing, kind):
        info.problems.append(Problem("object", f"{hook}: {fault}"))
        return
    if kind == "observers":
        registry.observers.append(Owned(info.name, kind_of(thing), info.builtin, thing))
        info.objects.append(f"observer {kind_of(thing)}")
        return
    table: Names[Any] = registry.quantities if kind == "metrics" else getattr(registry, kind)
    name = thing.name
    try:
        clashes = table.add(Owned(info.name, name, info.builtin, thing))
    except ValueError as error:
        info.problems.append(Problem("name", str(error)))
        return
    if kind == "commands" and (holder := registry.taken_commands.get(name)) not in {None, info.distribution}:
        clashes = [f"command {name!r} is taken by {holder}: run it as ww {info.name}:{name}"]
    info.problems += [Problem("clash", clash) for clash in clashes]
    what = "quantity" if isinstance(thing, Quantity) and not thing.is_metric else table.what
    info.objects.append(f"{what} {name}")


def _fail(info: PluginInfo, stage: Stage, message: str, picture: str = "") -> None:
    info.state = "failed"
    info.problems.append(Problem(stage, message, picture))
