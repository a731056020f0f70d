"""Where the work runs: threads of this process, processes of their own, or the workers of a Dask cluster."""

from __future__ import annotations

import ww_core as ww
from ww_plugins.executors.dask import Dask
from ww_plugins.executors.processes import Processes
from ww_plugins.executors.threads import Threads


@ww.hookimpl
def ww_register_executors() -> list[ww.Executor]:
    """The built-in executors."""
    return [Threads(), Processes(), Dask()]
