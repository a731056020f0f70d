"""The contract of every plugin: it loads, and nothing about it is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ww_core.plugins.discovery import load_plugins

if TYPE_CHECKING:
    from ww_core.plugins.registry import Names, Owned, PluginInfo, Registry


class PluginContract:
    """Tests that any plugin must pass.

    Attributes:
        plugin: The module or object that carries the hooks. It is found in the registry whether it is installed or not.
    """

    plugin: Any = None
    _loaded: Registry | None = None  # pytest makes an instance of the class for each test

    def registry(self) -> Registry:
        """Return all plugins, this one among them; they are loaded once in a test."""
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def _load(self) -> Registry:
        if self.plugin is None:
            raise AssertionError(f"{type(self).__name__} must set the class attribute `plugin`")
        installed = load_plugins()
        return installed if installed.info_of(self.plugin) else load_plugins(objects=[self.plugin])

    def info(self) -> PluginInfo:
        """Return what the registry says of this plugin."""
        registry = self.registry()
        return registry.info_of(self.plugin) or registry.plugins[-1]  # last are objects, also those that were refused

    def own(self, names: Names[Any]) -> list[Owned[Any]]:
        """Return this plugin's objects of one kind, at least one.

        Raises:
            AssertionError: It has none.
        """
        name = self.info().name
        found = [owned for owned in names if owned.plugin == name]
        assert found, f"the plugin registers no {names.what}"
        return found

    def test_it_loads_without_a_problem(self) -> None:
        """Every hook is known and marked, every object keeps its form, needs and doubts resolve, no name clashes."""
        info = self.info()
        assert info.state == "loaded", [problem.message for problem in info.problems]
        assert not info.problems, [problem.message for problem in info.problems]
        assert info.hooks

    def test_hooks_answer_the_same_twice(self) -> None:
        """Loading again gives objects of the same names."""
        first, self._loaded = self.info().objects, None
        assert self.info().objects == first
