"""The workers of a Dask cluster. They need the extra ``dask``."""

from __future__ import annotations

import concurrent.futures
import logging
import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

import ww_core as ww
from ww_plugins.executors import interrupts

P = ParamSpec("P")
R = TypeVar("R")

SECONDS = 5
"""How long a scheduler has to answer."""

TOLD = ("ww_core", "python", "numpy", "scipy", "distributed", "cloudpickle", "msgpack")
"""Packages whose versions should be the same everywhere."""


@dataclass(frozen=True)
class Dask(ww.Executor):
    """Workers of a Dask cluster.

    Attributes:
        address: Of its scheduler, as ``tcp://host:8786``; empty for a cluster of this machine that ends with the work.
    """

    name = "dask"
    description = "Workers of a Dask cluster: dask[address=tcp://HOST:8786], or dask for one on this machine."
    shares_memory = False
    extra = "dask"
    address: str = ""

    def check(self) -> None:
        """Try whether Dask is installed.

        Raises:
            MissingExtraError: It is not.
        """
        try:
            import distributed  # noqa: F401 - tried here, used later
        except ImportError:
            raise ww.MissingExtraError(
                f"executor {self.label!r} needs distributed: pip install 'ww-core[dask]', or take processes"
            ) from None

    def create(self, jobs: int) -> concurrent.futures.Executor:
        """Return a pool of the cluster's workers; of ``jobs`` where the cluster is made for it.

        Raises:
            UsageError: No scheduler answers at the address.
        """
        from distributed.utils import silence_logging_cmgr

        with ExitStack() as opened:
            opened.enter_context(silence_logging_cmgr(logging.CRITICAL))  # what matters is said by ww
            client = opened.enter_context(self._client() if self.address else _local_client(jobs, opened))
            return DaskPool(client, opened.pop_all())

    def _client(self) -> Any:
        """Return a client of the cluster at the address; warn of versions that are others there.

        Raises:
            UsageError: No scheduler answers.
        """
        from distributed import Client

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions, which are told in one sentence
            try:
                client = Client(self.address, timeout=SECONDS)
            except (OSError, ValueError, TimeoutError) as error:
                raise ww.UsageError(
                    f"no Dask scheduler answers at {self.address}: start one there, "
                    "or leave the address out for workers on this machine"
                ) from error
        if differences := _differences(client.get_versions(packages=["ww_core"])):
            warnings.warn(f"versions differ: {'; '.join(differences)}", stacklevel=2)
        return client


def _local_client(jobs: int, opened: ExitStack) -> Any:
    """Return a client of a new cluster of processes on this machine, without a page or a limit of memory."""
    import dask
    from distributed import Client, LocalCluster

    own_retries = {"distributed.scheduler.allowed-failures": 0}  # layers are tried again one by one, and no batch is
    with dask.config.set(own_retries), interrupts.left_to_the_parent():
        cluster = LocalCluster(
            n_workers=jobs,
            threads_per_worker=1,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # without a page it still takes a port, and not 8787
            memory_limit=None,
            preload=["from ww_plugins.executors.processes import print_to_stderr; print_to_stderr()"],
            silence_logs=logging.CRITICAL,
        )
    return Client(opened.enter_context(cluster))


def _differences(versions: dict[str, Any]) -> list[str]:
    """Say of each package whose version is not the same everywhere what there is."""
    here = _packages(versions["client"])
    there = [_packages(own) for own in versions["workers"].values()]
    found = {name: sorted({str(own.get(name)) for own in there} - {str(here.get(name))}) for name in TOLD}
    return [f"{name} is {here.get(name)} here and {', '.join(own)} at workers" for name, own in found.items() if own]


def _packages(versions: dict[str, Any] | None) -> dict[str, Any]:
    return {} if versions is None else versions["packages"]


class DaskPool(concurrent.futures.Executor):
    """Calls to the workers of a cluster. Where workers died, or the scheduler did, that is a ``BrokenExecutor``.

    Args:
        client: Of the cluster.
        opened: What is closed at the end, the client too.
    """

    def __init__(self, client: Any, opened: ExitStack) -> None:
        self._client = client
        self._calls = client.get_executor(pure=False)
        self._opened = opened
        self._pending: set[concurrent.futures.Future[Any]] = set()
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._give_up_in_time, name="ww-dask", daemon=True)
        self._watch.start()

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> concurrent.futures.Future[R]:
        """Give a call to a worker.

        Raises:
            BrokenExecutor: The scheduler is gone.
        """
        if self._client.status == "closed" and not self._ended.is_set():
            raise concurrent.futures.BrokenExecutor("the scheduler is gone")
        future: concurrent.futures.Future[R] = concurrent.futures.Future()
        sent = self._calls.submit(fn, *args, **kwargs)
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        future.add_done_callback(lambda own: sent.cancel() if own.cancelled() else None)
        sent.add_done_callback(partial(_pass_on, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let go of the cluster; one of this machine ends."""
        self._ended.set()
        self._watch.join()
        if self._client.status != "closed":
            self._calls.shutdown(wait=wait and not cancel_futures)
        self._opened.close()

    def _give_up_in_time(self) -> None:
        """End what waits for a scheduler that is gone: once the client has given it up, nobody else will."""
        while not self._ended.wait(1):
            if self._client.status == "closed":
                for future in list(self._pending):
                    with suppress(concurrent.futures.InvalidStateError):
                        future.set_exception(concurrent.futures.BrokenExecutor("the scheduler is gone"))


def _pass_on(future: concurrent.futures.Future[R], sent: concurrent.futures.Future[R]) -> None:
    from distributed.scheduler import KilledWorker

    with suppress(concurrent.futures.InvalidStateError):  # it was cancelled or given up at this moment
        if sent.cancelled():
            future.cancel()
            future.set_running_or_notify_cancel()
        elif isinstance(error := sent.exception(), KilledWorker):
            future.set_exception(concurrent.futures.BrokenExecutor(str(error)))
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(sent.result())
