"""What the global options said, and the plugins that they name."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ww_core.command.messages import say_more, warn, warn_lines
from ww_core.plugins.isolation import DEBUG_VARIABLE
from ww_core.plugins.verbosity import is_verbose

if TYPE_CHECKING:
    from ww_core.plugins.registry import Registry


@dataclass(slots=True)
class Session:
    """What the global options said; a command finds it as ``typer.Context.obj``.

    Attributes:
        own_commands: Names of ww's own commands.
        plugin_files: Files given by ``--plugin``, before or after the command.
        strict_plugins: Whether ``--strict-plugins`` was given.
        verbosity: ``verbose`` or ``quiet``, as was given; empty for neither.
    """

    own_commands: tuple[str, ...] = ()
    plugin_files: tuple[str, ...] = ()
    strict_plugins: bool = False
    verbosity: str = ""
    _registry: Registry | None = field(default=None, repr=False)
    _reported: bool = field(default=False, repr=False)

    def registry(self) -> Registry:
        """Load plugins once, and report what is wrong with them on stderr, once.

        Raises:
            PluginError: A plugin file cannot be used; or something is wrong, and ``--strict-plugins`` was given.
        """
        registry = self.unreported_registry()
        if not self._reported:
            self._reported = True
            for info, problem in registry.problems():
                warn(f"warning: plugin {info.name}: {problem.message}")
                if problem.picture and (is_verbose() or os.environ.get(DEBUG_VARIABLE)):
                    warn_lines(problem.picture)
        return registry

    def unreported_registry(self) -> Registry:
        """Load plugins once; for a command that tells by itself what is wrong with them.

        Raises:
            PluginError: As for ``registry``.
        """
        if self._registry is None:
            from ww_core.plugins.discovery import load_plugins

            begin = time.perf_counter()
            with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no data of ours
                self._registry = load_plugins(
                    files=self.plugin_files, strict=self.strict_plugins, own_commands=self.own_commands
                )
            say_more(f"plugins: {len(self._registry.plugins)} in {time.perf_counter() - begin:.2f} s")
        return self._registry
