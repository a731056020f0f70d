"""The two marks of pluggy: ``hookspec`` for ww's page of hooks, ``hookimpl`` for plugins."""

from __future__ import annotations

import pluggy

PROJECT = "ww"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
